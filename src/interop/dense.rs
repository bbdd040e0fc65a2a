//! Dense layers of other libraries: rows and columns of `[out, in]` matrices are selected and never changed.

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
    /// The name of the weight in the file, for error messages.
    name: String,
    weight: Vec<f64>,
    bias: Vec<f64>,
    inputs: usize,
    /// Whether the layer is trainable.
    trained: bool,
}

/// The activation of a network of one or two dense layers that has no activation.
pub(super) const NO_ACTIVATION: ActivationConfig = ActivationConfig::Burn(BurnActivation::Identity);

impl Dense {
    /// Splits the only layer of a network into two layers: this layer and a fixed identity in front of it or after it.
    /// The identity has at most as many weights as the layer.
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

    /// Reads `part.weight [out, in]` and `part.bias [out]`.
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

    /// Reads layer `index` of `layers` layers that are stacked along a leading axis; `weight` holds their weights.
    pub(super) fn read_stacked(
        scope: &Scope<'_>,
        part: &str,
        weight: &str,
        index: usize,
        layers: usize,
    ) -> Result<Self> {
        let weight_name = format!("{part}.{weight}");
        let (weight, [_, outputs, inputs]) = scope.floats_of_rank(&weight_name)?;
        // The shape check covers the leading axis, so that the error names both shapes.
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

    /// Returns an error unless the layer has these widths.
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

    /// The number of context inputs after the `kept` feature inputs.
    pub(super) fn context_behind(&self, kept: usize) -> Result<usize> {
        self.inputs.checked_sub(kept).ok_or_else(|| Error::Tensor {
            name: self.name.clone(),
            reason: format!("takes {} inputs, fewer than the {kept} kept features", self.inputs),
        })
    }

    /// A layer whose input `i` is input `from[i]` of this layer; other inputs are dropped.
    pub(super) fn pick_inputs(mut self, from: &[usize]) -> Self {
        self.weight =
            self.weight.chunks(self.inputs).flat_map(|row| from.iter().map(|&i| row[i])).collect();
        self.inputs = from.len();
        self
    }

    /// A layer whose output `i` is output `from[i]` of this layer; other outputs are dropped.
    pub(super) fn pick_outputs(mut self, from: &[usize]) -> Self {
        let row = |&i: &usize| &self.weight[i * self.inputs..(i + 1) * self.inputs];
        self.weight = from.iter().flat_map(row).copied().collect();
        self.bias = from.iter().map(|&i| self.bias[i]).collect();
        self
    }

    /// Builds the `Linear` of burn, whose weight is `[in, out]`.
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

/// A plain network on the host: dense layers with activations between them.
pub(super) struct Plain {
    pub(super) input: Dense,
    hidden: Vec<Dense>,
    pub(super) output: Dense,
    /// Whether the network has at least one activation.
    bent: bool,
}

impl Plain {
    /// Reads the dense layers `part.k` in ascending order of `k`. The modules between the dense layers have no weights.
    pub(super) fn read(scope: &Scope<'_>, part: &str) -> Result<Self> {
        let numbers = scope.numbered(part);
        let layer = |k| Dense::read(scope, &format!("{part}.{k}"));
        // If no layer is found, reading the first one returns an error that names the missing tensor.
        let first = numbers.first().copied().unwrap_or(0);
        let rest = numbers.into_iter().skip(1).map(layer).collect::<Result<_>>()?;
        Self::new(layer(first)?, rest)
    }

    /// Builds a network of these layers. A single layer makes a linear network.
    ///
    /// # Errors
    ///
    /// Fails if the widths of neighbouring layers do not match.
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

    /// A fixed network whose outputs are zero.
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

    /// Selects inputs as [`Dense::pick_inputs`] does.
    pub(super) fn pick_inputs(self, from: &[usize]) -> Self {
        Self { input: self.input.pick_inputs(from), ..self }
    }

    /// Selects outputs as [`Dense::pick_outputs`] does.
    pub(super) fn pick_outputs(self, from: &[usize]) -> Self {
        Self { output: self.output.pick_outputs(from), ..self }
    }

    /// Builds the module, whose last `context` inputs are the context.
    pub(super) fn mlp(self, activation: &ActivationConfig, context: usize, device: &Device) -> Mlp {
        let hidden = self.hidden.into_iter().map(|layer| layer.linear(device)).collect();
        let (input, output) = (self.input.linear(device), self.output.linear(device));
        let activation = if self.bent { activation } else { &NO_ACTIVATION };
        Mlp::from_layers(input, hidden, vec![], output, activation.init(device), context)
    }
}

/// The output indices of parameter `p` of element `i`, for a network that stores all parameters of one element next to
/// each other. This crate stores one parameter of all elements next to each other.
pub(super) fn interleaved(per_element: usize, elements: usize) -> Vec<usize> {
    (0..per_element).flat_map(|p| (0..elements).map(move |i| i * per_element + p)).collect()
}

/// The output indices of parameter `p` of `elements` in this order, for a network that stores one parameter of all
/// `count` elements next to each other.
pub(super) fn blockwise(per_element: usize, count: usize, elements: &[usize]) -> Vec<usize> {
    (0..per_element).flat_map(|p| elements.iter().map(move |i| p * count + i)).collect()
}

/// The indices that sort `values` in ascending order.
pub(super) fn ascending(values: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&i| values[i]);
    order
}
