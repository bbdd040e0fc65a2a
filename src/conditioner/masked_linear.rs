//! A linear layer with masked connections.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::Activation;
use super::activation::bias;
use crate::by_parts::module_by_parts;
use crate::kernel::{Curve, DenseLayer, dense, is_cut};
use crate::param::as_before;

/// A burn `Linear` layer with a mask of its weight, `[d_in, d_out]`. The mask is true where a connection
/// stays.
///
/// ```text
/// y = x (W * M) + b          M a matrix of zeros and ones
/// ```
///
/// Paper: Germain, Gregor, Murray, Larochelle (2015), MADE: Masked Autoencoder for Distribution
/// Estimation, equations 8 to 10, arXiv:1502.03509.
///
/// The stored weight has zeros where a connection is cut. Weights are masked when they enter the layer:
/// given weights, a record, a step of an optimizer or any other `Module::map`. So `forward` uses the
/// stored weight without a mask, and masks its gradient only.
///
/// # Shapes
///
/// - input `[.., d_in]`
/// - output `[.., d_out]`
///
/// # Example
///
/// ```
/// use burn::{nn::LinearConfig, tensor::{Bool, Device, Tensor}};
/// use burn_flows::conditioner::MaskedLinear;
///
/// let device = Device::flex();
/// let mask = Tensor::<2, Bool>::from_data([[true, false], [true, true]], &device);
/// let layer = MaskedLinear::new(LinearConfig::new(2, 2).with_bias(false).init(&device), mask);
/// let first = Tensor::<2>::from_data([[1.0, 0.0]], &device);
/// let out = layer.forward(first).into_data().try_to_vec_as::<f32>().unwrap();
/// assert_eq!(out[1], 0.0); // the second output does not see the first input
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
pub struct MaskedLinear {
    parts: Parts,
}

crate::store::checked! {
/// The fields of the layer, separate so that [`MaskedLinear`] can extend the derived `map`.
#[derive(Module, Debug, Serialize)]
#[serde(rename = "MaskedLinear")]
struct Parts {
    #[serde(with = "crate::store::part")]
    linear: Linear,
    #[serde(with = "crate::store::fixed")]
    mask: Param<Tensor<2, Bool>>,
}
}

impl Parts {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> crate::error::Result<()> {
        crate::store::shaped("MaskedLinear", "mask", &self.linear.weight.dims(), self.mask.dims())
    }
}

impl MaskedLinear {
    /// Builds the layer with the connections of `mask`.
    ///
    /// # Panics
    ///
    /// If the mask has another shape than the weight.
    pub fn new(linear: Linear, mask: Tensor<2, Bool>) -> Self {
        let (shape, found) = (linear.weight.lazy_shape(), mask.dims());
        let expected = shape.as_slice();
        assert!(
            expected == found,
            "MaskedLinear: expected a mask of shape {expected:?}, found {found:?}"
        );
        linear.bias.as_ref().map(Param::val);
        let mask = Param::initialized(burn::module::ParamId::new(), mask);
        Self { parts: Parts { linear, mask }.masked() }
    }

    /// Returns the layer's output.
    ///
    /// # Panics
    ///
    /// If the last axis of the input has another length than the layer was built for.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.parts.linear.weight.val();
        dense(x, weight, self.bias(), Some(self.mask()), Curve::Identity)
    }

    /// The activation applied to the layer's output.
    pub(super) fn activated<const D: usize>(
        &self,
        x: Tensor<D>,
        activation: &Activation,
    ) -> Tensor<D> {
        activation.after_dense(x, self.parts.linear.weight.val(), self.bias(), Some(self.mask()))
    }

    /// The layer for kernels.
    pub(super) fn dense(&self, curve: Curve) -> DenseLayer {
        let weight = self.parts.linear.weight.val();
        DenseLayer { weight, bias: self.bias(), mask: Some(self.mask()), curve }
    }

    /// The weight, `[d_in, d_out]`, with zeros where a connection is cut.
    pub fn weight(&self) -> Tensor<2> {
        let weight = self.parts.linear.weight.val();
        if weight.is_autodiff() { weight.mask_fill(self.mask().bool_not(), 0.0) } else { weight }
    }

    /// The bias, `[d_out]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<1>> {
        bias(&self.parts.linear)
    }

    /// The mask, `[d_in, d_out]`, true where a connection stays.
    pub fn mask(&self) -> Tensor<2, Bool> {
        self.parts.mask.val()
    }
}

impl From<Parts> for MaskedLinear {
    fn from(parts: Parts) -> Self {
        Self { parts: parts.masked() }
    }
}

impl From<MaskedLinear> for Parts {
    fn from(layer: MaskedLinear) -> Self {
        layer.parts
    }
}

impl Parts {
    fn masked(mut self) -> Self {
        let mask = self.mask.val();
        // An optimizer leaves the cut connections at zero, so there is mostly nothing to do.
        if !is_cut(&self.linear.weight.val().without_autodiff(), &mask) {
            let cut = mask.bool_not();
            self.linear.weight = self.linear.weight.map(|weight| {
                as_before(&weight, weight.clone().without_autodiff().mask_fill(cut, 0.0))
            });
        }
        self
    }
}

impl MaskedLinear {
    /// The implementation of `Module::map`.
    fn mapped<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self { parts: self.parts.map(mapper).masked() }
    }
}

module_by_parts!(MaskedLinear);

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    fn layer(device: &Device) -> MaskedLinear {
        let plain = device.clone().without_autodiff();
        let mask = [[true, false, true], [false, false, true]];
        let linear = LinearConfig::new(2, 3).init(device);
        MaskedLinear::new(linear, Tensor::from_data(mask, &plain))
    }

    fn host(x: Tensor<2>) -> Vec<f32> {
        x.into_data().try_to_vec_as().unwrap()
    }

    #[test]
    fn a_mapped_weight_is_masked_again() {
        struct Ones;
        impl ModuleMapper for Ones {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|old| as_before(&old, old.clone().without_autodiff().ones_like()))
            }
        }
        for device in [Device::flex(), Device::flex().autodiff()] {
            let layer = layer(&device).map(&mut Ones);
            let weight = layer.parts.linear.weight.val();
            assert_eq!(weight.is_require_grad(), device.is_autodiff());
            assert_eq!(host(weight), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        }
    }

    #[test]
    fn a_cut_connection_has_no_gradient() {
        let layer = layer(&Device::flex().autodiff());
        let x = Tensor::<2>::ones([4, 2], &Device::flex());
        let gradients = layer.forward(x).sum().backward();
        let gradient = layer.parts.linear.weight.val().grad(&gradients).unwrap();
        assert_eq!(host(gradient), [4.0, 0.0, 4.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn an_evaluation_gives_the_numbers_of_training() {
        let layer = layer(&Device::flex().autodiff());
        let x = Tensor::<2>::from_data([[0.3, -2.0]], &Device::flex());
        let trained = host(layer.forward(x.clone()).without_autodiff());
        assert_eq!(host(layer.valid().forward(x)), trained);
    }
}
