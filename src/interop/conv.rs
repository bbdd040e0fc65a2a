//! Convolutions of other libraries: filters `[out, in, size, size]` are selected and never changed.

use burn::tensor::{Device, Tensor};

use super::scope::Scope;
use crate::conditioner::NormConv;
use crate::error::{Error, Result};
use crate::math::from_f64;

/// One convolution on the host, which preserves height and width.
pub(super) struct Conv {
    /// The name of the weight in the file, for error messages.
    name: String,
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
    inputs: usize,
    outputs: usize,
    size: usize,
}

impl Conv {
    /// Reads `part.weight [out, in, size, size]`, and `part.bias [out]` if the layer is `biased`.
    pub(super) fn read(scope: &Scope<'_>, part: &str, biased: bool) -> Result<Self> {
        let weight_name = format!("{part}.weight");
        let (weight, [outputs, inputs, size, width]) = scope.floats_of_rank(&weight_name)?;
        if size != width || size.is_multiple_of(2) {
            let reason = format!("needs a square kernel of odd size, found {size} by {width}");
            return Err(scope.wrong(&weight_name, reason));
        }
        let bias = || Ok(scope.floats(&format!("{part}.bias"), &[outputs])?.to_vec());
        Ok(Self {
            name: scope.full(&weight_name),
            weight: weight.to_vec(),
            bias: biased.then(bias).transpose()?,
            inputs,
            outputs,
            size,
        })
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Returns an error unless the layer has these numbers of channels.
    pub(super) fn expect(&self, outputs: usize, inputs: usize) -> Result<()> {
        if (self.outputs, self.inputs) == (outputs, inputs) {
            return Ok(());
        }
        Err(Error::ShapeMismatch {
            name: self.name.clone(),
            expected: vec![outputs, inputs, self.size, self.size],
            found: vec![self.outputs, self.inputs, self.size, self.size],
        })
    }

    /// A layer whose input `i` is input `from[i]` of this layer; other inputs are dropped.
    pub(super) fn pick_inputs(self, from: &[usize]) -> Self {
        let kernel = self.size * self.size;
        let filters = self.weight.chunks(self.inputs * kernel);
        let weight = filters
            .flat_map(|filter| from.iter().map(move |&i| &filter[i * kernel..(i + 1) * kernel]))
            .flatten()
            .copied()
            .collect();
        Self { weight, inputs: from.len(), ..self }
    }

    /// A layer whose output `i` is output `from[i]` of this layer; other outputs are dropped.
    pub(super) fn pick_outputs(self, from: &[usize]) -> Self {
        let filter = self.inputs * self.size * self.size;
        let row = |&i: &usize| &self.weight[i * filter..(i + 1) * filter];
        let weight = from.iter().flat_map(row).copied().collect();
        let bias = self.bias.as_ref().map(|bias| from.iter().map(|&i| bias[i]).collect());
        Self { weight, bias, outputs: from.len(), ..self }
    }

    /// Builds the module; `scale_shift` holds the log-scale and shift of an ActNorm after it.
    pub(super) fn layer(
        self,
        scale_shift: Option<(Tensor<1>, Tensor<1>)>,
        device: &Device,
    ) -> NormConv {
        let shape = [self.outputs, self.inputs, self.size, self.size];
        let bias = self.bias.map(|bias| from_f64(bias, [self.outputs], device));
        NormConv::from_weights(from_f64(self.weight, shape, device), bias, scale_shift)
    }
}
