//! Dense layers for scalar maps with weights: one for all elements, or one for each.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::error::{Result, count, fits};
use crate::initial;
use crate::math::wide;
use crate::param::{index_tensor, replaced};

/// Returns an error that names the field if a tensor of the layers would be too large. The networks
/// lead from a value and a signal through hidden layers to one number. `elements` is the number of
/// networks (0: one for all).
pub(super) fn check_widths(
    config: &'static str,
    elements: usize,
    signal: usize,
    hidden: &[usize],
) -> Result<()> {
    count(config, "elements", 0, elements)?;
    hidden.iter().try_for_each(|&width| count(config, "hidden", 1, width))?;
    let widths = [&[1 + signal], hidden, &[1]].concat();
    widths.windows(2).try_for_each(|w| fits(config, "hidden", &[elements.max(1), w[0], w[1]]))
}

crate::store::checked! {
/// `h W + b`, once for every element that has its own weights. Rows are `[S, rows, inputs]`, weights
/// `[S, inputs, outputs]`. `S` is 1 if all elements share the weights.
#[derive(Module, Debug, Serialize)]
pub(crate) struct Stacked {
    #[serde(with = "crate::store::part")]
    weight: Param<Tensor<3>>,
    #[serde(with = "crate::store::part")]
    bias: Param<Tensor<3>>,
}
}

impl Stacked {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let [stack, _, outputs] = self.dims();
        crate::store::shaped("Stacked", "bias", &[stack, 1, outputs], self.bias.dims())
    }
}

impl Stacked {
    /// A layer with weights uniform within `1 / sqrt(inputs)`, the initialisation of PyTorch and zuko.
    pub fn new(stack: usize, inputs: usize, outputs: usize, device: &Device) -> Self {
        let reach = (inputs as f64).sqrt().recip();
        let uniform = Initializer::Uniform { min: -reach, max: reach };
        let zeros = |rows| Initializer::Zeros.init::<3, _>([stack, rows, outputs], device);
        let drawn = |rows| initial::drawn(zeros(rows), &uniform, [inputs, outputs]);
        Self { weight: drawn(inputs), bias: drawn(1) }
    }

    /// A layer with these weights, `[S, inputs, outputs]` and `[S, 1, outputs]`.
    #[cfg(feature = "interop")]
    pub fn from_weights(weight: Tensor<3>, bias: Tensor<3>) -> Self {
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias) }
    }

    /// Layers from `widths[k]` to `widths[k + 1]`.
    pub fn chain(stack: usize, widths: &[usize], device: &Device) -> Vec<Self> {
        widths.windows(2).map(|pair| Self::new(stack, pair[0], pair[1], device)).collect()
    }

    /// The weight in at least single precision, the precision of scalar maps.
    pub fn weight(&self) -> Tensor<3> {
        wide(self.weight.val())
    }

    pub fn bias(&self) -> Tensor<3> {
        wide(self.bias.val())
    }

    /// `S`, the number of inputs and the number of outputs.
    pub fn dims(&self) -> [usize; 3] {
        self.weight.lazy_shape().dims()
    }

    /// The layer with its weights and its bias times one factor per element, plus a shift of the bias.
    pub fn scaled(self, scale: Tensor<3>, shift: Tensor<3>) -> Self {
        let weight = self.weight().without_autodiff() * scale.clone();
        let bias = self.bias().without_autodiff() * scale + shift;
        Self { weight: replaced(self.weight, weight), bias: replaced(self.bias, bias) }
    }

    /// The layer with weights and bias of zero.
    pub fn zeroed(self) -> Self {
        let (weight, bias) = (self.weight().zeros_like(), self.bias().zeros_like());
        Self { weight: replaced(self.weight, weight), bias: replaced(self.bias, bias) }
    }

    /// The layer restricted to these elements.
    pub fn of(&self, elements: &[usize]) -> Self {
        let of = |param: &Param<Tensor<3>>| {
            param.clone().map(|value| {
                let indices = index_tensor(elements, &value.device());
                value.select(0, indices)
            })
        };
        Self { weight: of(&self.weight), bias: of(&self.bias) }
    }
}

/// Returns an error unless the stacked layers lead from a value and a signal to a value.
pub(super) fn check_chain(layer: &'static str, layers: &[Stacked]) -> Result<()> {
    let dims: Vec<[usize; 3]> = layers.iter().map(Stacked::dims).collect();
    let chain = dims.windows(2).all(|pair| pair[0][0] == pair[1][0] && pair[0][2] == pair[1][1]);
    let first = dims.first().is_some_and(|[stack, inputs, _]| *stack > 0 && *inputs > 1);
    let ends = dims.len() > 1 && first && dims[dims.len() - 1][2] == 1;
    let reason = || format!("must map a value and a signal to one value, found shapes {dims:?}");
    crate::store::require(layer, "layers", chain && ends, reason)
}

#[derive(Clone, Copy)]
pub(super) struct Rows {
    batch: usize,
    n: usize,
    stack: usize,
}

impl Rows {
    /// # Panics
    ///
    /// If the number of networks is neither 1 nor the number of elements.
    pub fn new(layer: &str, stack: usize, [batch, n]: [usize; 2]) -> Self {
        assert!(
            stack == 1 || stack == n,
            "{layer}: expected {stack} elements, one for each of its networks, found {n}"
        );
        Self { batch, n, stack }
    }

    /// Reshapes parameters `[batch, P, n]` to one row per value, `[S, rows, P]`.
    pub fn params(self, params: Tensor<3>) -> Tensor<3> {
        let [_, width, _] = params.dims();
        if self.stack == 1 {
            let rows = params.swap_dims(1, 2);
            return rows.reshape([1, self.batch * self.n, width]);
        }
        params.permute([2, 0, 1])
    }

    /// Reshapes values `[batch, n]` to `[S, rows, 1]`.
    pub fn values(self, x: Tensor<2>) -> Tensor<3> {
        self.params(x.reshape([self.batch, 1, self.n]))
    }

    /// Reshapes one number per row to `[batch, n]`.
    pub fn back(self, rows: Tensor<3>) -> Tensor<2> {
        let Self { batch, n, stack } = self;
        if stack == 1 {
            return rows.reshape([batch, n]);
        }
        rows.reshape([n, batch]).transpose()
    }
}
