//! Activations by name: burn's, and silu, which burn has as a function only; and the dense layers
//! before them, in one operation.

use burn::module::{Module, Param};
use burn::nn::{Linear, activation as nn};
use burn::tensor::{Bool, Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::kernel::{Curve, dense};

/// Which [`Activation`].
///
/// ```
/// use burn::{nn::activation::ActivationConfig as Burn, tensor::{Device, Tensor}};
/// use burn_flows::conditioner::ActivationConfig;
///
/// let device = Device::flex();
/// let gelu = ActivationConfig::Burn(Burn::Gelu).init(&device);
/// assert_eq!(gelu.forward(Tensor::<2>::zeros([1, 3], &device)).dims(), [1, 3]);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ActivationConfig {
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`: smooth, and the cheapest smooth one on a CPU.
    Silu,
    /// Any activation of burn.
    Burn(nn::ActivationConfig),
}

impl ActivationConfig {
    /// The activation; some of burn's have parameters, hence the device.
    pub fn init(&self, device: &Device) -> Activation {
        match self {
            Self::Relu => Activation::Burn(nn::ActivationConfig::Relu.init(device)),
            Self::Silu => Activation::Silu(Silu {}),
            Self::Burn(config) => Activation::Burn(config.init(device)),
        }
    }

    /// Whether an output depends on one input only, and every unit has the same parameters.
    pub(crate) fn is_elementwise(&self) -> bool {
        match self {
            Self::Burn(nn::ActivationConfig::SwiGlu(_)) => false,
            Self::Burn(nn::ActivationConfig::PRelu(config)) => config.num_parameters == 1,
            _ => true,
        }
    }
}

/// An activation of a conditioner.
#[derive(Module, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu(Silu),
    /// One of burn's.
    Burn(nn::Activation),
}

/// `x * sigmoid(x)`, also called swish.
#[derive(Module, Debug)]
pub struct Silu {}

impl Activation {
    /// The activation of every element.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Silu(_) => activation::silu(x),
            Self::Burn(inner) => inner.forward(x),
        }
    }

    /// The activation of a layer's output.
    pub(crate) fn after<const D: usize>(&self, layer: &Linear, x: Tensor<D>) -> Tensor<D> {
        self.after_dense(x, layer.weight.val(), bias(layer), None)
    }

    /// The activation of `x W + b`, the gradient of `W` cut where a mask is false.
    pub(super) fn after_dense<const D: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        mask: Option<Tensor<2, Bool>>,
    ) -> Tensor<D> {
        let curve = match self {
            Self::Silu(_) => Curve::Silu,
            Self::Burn(nn::Activation::Relu(_)) => Curve::Relu,
            Self::Burn(_) => return self.forward(dense(x, weight, bias, mask, Curve::Identity)),
        };
        dense(x, weight, bias, mask, curve)
    }
}

/// A layer's output, `x W + b`.
pub(crate) fn forward_linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    dense(x, layer.weight.val(), bias(layer), None, Curve::Identity)
}

pub(super) fn bias(layer: &Linear) -> Option<Tensor<1>> {
    layer.bias.as_ref().map(Param::val)
}
