//! Dense layers of other libraries: `[out, in]` matrices whose rows and columns are picked, never
//! changed.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::tensor::Device;

use super::scope::Scope;
use crate::conditioner::{ActivationConfig, Mlp};
use crate::error::{Error, Result};
use crate::math::from_f64;

/// One dense layer on the host, `y = W x + b`.
#[derive(Clone)]
pub(super) struct Dense {
    /// The weight's name in the file, for messages.
    name: String,
    weight: Vec<f64>,
    bias: Vec<f64>,
    inputs: usize,
    /// Whether training moves it.
    trained: bool,
}

/// What stands between the layers of a network that has only one or two, without an activation.
pub(super) const NO_ACTIVATION: ActivationConfig = ActivationConfig::Burn(BurnActivation::Identity);

impl Dense {
    /// This layer, the only one of a network, as two: before or behind it stands the identity, which
    /// training leaves as it is. The identity has no more numbers than the layer.
    pub(super) fn split(self) -> (Self, Self) {
        if self.inputs() < self.outputs() {
            (self.identity(self.inputs()), self)
        } else {
            let identity = self.identity(self.outputs());
            (self, identity)
        }
    }

    fn identity(&self, width: usize) -> Self {
        let one = |at: usize| if at.is_multiple_of(width + 1) { 1.0 } else { 0.0 };
        Self {
            name: self.name.clone(),
            weight: (0..width * width).map(one).collect(),
            bias: vec![0.0; width],
            inputs: width,
            trained: false,
        }
    }

    /// `part.weight [out, in]` and `part.bias [out]`.
    pub(super) fn read(scope: &Scope<'_>, part: &str) -> Result<Self> {
        let weight_name = format!("{part}.weight");
        let (weight, [outputs, inputs]) = scope.floats_of_rank(&weight_name)?;
        let bias = scope.floats(&format!("{part}.bias"), &[outputs])?;
        Ok(Self {
            name: scope.full(&weight_name),
            weight: weight.to_vec(),
            bias: bias.to_vec(),
            inputs,
            trained: true,
        })
    }

    /// Layer `index` of `layers` that are stacked along a leading axis, with this `weight`.
    pub(super) fn read_stacked(
        scope: &Scope<'_>,
        part: &str,
        weight: &str,
        index: usize,
        layers: usize,
    ) -> Result<Self> {
        let weight_name = format!("{part}.{weight}");
        let (weight, [_, outputs, inputs]) = scope.floats_of_rank(&weight_name)?;
        // The leading axis is checked by shape, so that the error names both.
        scope.floats(&weight_name, &[layers, outputs, inputs])?;
        let bias = scope.floats(&format!("{part}.bias"), &[layers, outputs])?;
        let size = outputs * inputs;
        Ok(Self {
            name: scope.full(&weight_name),
            weight: weight[index * size..(index + 1) * size].to_vec(),
            bias: bias[index * outputs..(index + 1) * outputs].to_vec(),
            inputs,
            trained: true,
        })
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Fails unless the layer has these widths.
    pub(super) fn expect(&self, outputs: usize, inputs: usize) -> Result<()> {
        if (self.outputs(), self.inputs) == (outputs, inputs) {
            return Ok(());
        }
        Err(Error::ShapeMismatch {
            name: self.name.clone(),
            expected: vec![outputs, inputs],
            found: vec![self.outputs(), self.inputs],
        })
    }

    /// How many inputs are left for a context behind `kept` features.
    pub(super) fn context_behind(&self, kept: usize) -> Result<usize> {
        self.inputs.checked_sub(kept).ok_or_else(|| Error::Tensor {
            name: self.name.clone(),
            reason: format!("takes {} inputs, fewer than the {kept} kept features", self.inputs),
        })
    }

    /// The layer whose input `i` is input `from[i]` of this one; the rest is left out.
    pub(super) fn pick_inputs(mut self, from: &[usize]) -> Self {
        self.weight =
            self.weight.chunks(self.inputs).flat_map(|row| from.iter().map(|&i| row[i])).collect();
        self.inputs = from.len();
        self
    }

    /// The layer whose output `i` is output `from[i]` of this one; the rest is left out.
    pub(super) fn pick_outputs(mut self, from: &[usize]) -> Self {
        let row = |&i: &usize| &self.weight[i * self.inputs..(i + 1) * self.inputs];
        self.weight = from.iter().flat_map(row).copied().collect();
        self.bias = from.iter().map(|&i| self.bias[i]).collect();
        self
    }

    /// burn's layer, whose weight is `[in, out]`.
    pub(super) fn linear(self, device: &Device) -> Linear {
        let (outputs, inputs) = (self.outputs(), self.inputs);
        let column = |i| self.weight[i..].iter().step_by(inputs);
        let weight = (0..inputs).flat_map(column).copied().collect();
        let layer = Linear {
            weight: Param::from_tensor(from_f64(weight, [inputs, outputs], device)),
            bias: Some(Param::from_tensor(from_f64(self.bias, [outputs], device))),
        };
        if self.trained { layer } else { layer.no_grad() }
    }
}

/// A plain network on the host: dense layers with an activation between.
pub(super) struct Plain {
    pub(super) input: Dense,
    hidden: Vec<Dense>,
    pub(super) output: Dense,
    /// Whether there is a place for an activation.
    bent: bool,
}

impl Plain {
    /// The dense layers `part.k` in the order of their numbers; what stands between them has no
    /// weights.
    pub(super) fn read(scope: &Scope<'_>, part: &str) -> Result<Self> {
        let numbers = scope.numbered(part);
        let layer = |k| Dense::read(scope, &format!("{part}.{k}"));
        // Where nothing has a number, reading the first names what is missing.
        let first = numbers.first().copied().unwrap_or(0);
        let rest = numbers.into_iter().skip(1).map(layer).collect::<Result<_>>()?;
        Self::new(layer(first)?, rest)
    }

    /// The network of these layers; one alone is a linear network.
    ///
    /// # Errors
    ///
    /// If neighbours do not fit.
    pub(super) fn new(input: Dense, mut rest: Vec<Dense>) -> Result<Self> {
        let mut width = input.outputs();
        for layer in &rest {
            layer.expect(layer.outputs(), width)?;
            width = layer.outputs();
        }
        let bent = !rest.is_empty();
        let (input, output) = match rest.pop() {
            Some(output) => (input, output),
            None => input.split(),
        };
        Ok(Self { input, hidden: rest, output, bent })
    }

    /// A network that gives zeros, which training leaves as it is.
    pub(super) fn zero(inputs: usize, outputs: usize) -> Self {
        let layer = |inputs: usize, outputs: usize| Dense {
            name: String::new(),
            weight: vec![0.0; inputs * outputs],
            bias: vec![0.0; outputs],
            inputs,
            trained: false,
        };
        Self { input: layer(inputs, 1), hidden: vec![], output: layer(1, outputs), bent: false }
    }

    /// As [`Dense::pick_inputs`].
    pub(super) fn pick_inputs(self, from: &[usize]) -> Self {
        Self { input: self.input.pick_inputs(from), ..self }
    }

    /// As [`Dense::pick_outputs`].
    pub(super) fn pick_outputs(self, from: &[usize]) -> Self {
        Self { output: self.output.pick_outputs(from), ..self }
    }

    /// The module; its last `context` inputs are the context.
    pub(super) fn mlp(self, activation: &ActivationConfig, context: usize, device: &Device) -> Mlp {
        let hidden = self.hidden.into_iter().map(|layer| layer.linear(device)).collect();
        let (input, output) = (self.input.linear(device), self.output.linear(device));
        let activation = if self.bent { activation } else { &NO_ACTIVATION };
        Mlp::from_layers(input, hidden, vec![], output, activation.init(device), context)
    }
}

/// Where to find parameter `p` of element `i` in the output of a network that gives the parameters
/// of one element side by side. In this crate one parameter of all elements stands side by side.
pub(super) fn interleaved(per_element: usize, elements: usize) -> Vec<usize> {
    (0..per_element).flat_map(|p| (0..elements).map(move |i| i * per_element + p)).collect()
}

/// The same for `elements` in this order, where the network gives parameter by parameter for
/// `count` of them.
pub(super) fn blockwise(per_element: usize, count: usize, elements: &[usize]) -> Vec<usize> {
    (0..per_element).flat_map(|p| elements.iter().map(move |i| p * count + i)).collect()
}

/// The positions of `values` in ascending order of the values.
pub(super) fn ascending(values: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&i| values[i]);
    order
}
