//! Activations by name: burn's activations and silu, which burn has as a function only. Also a dense
//! layer with its activation in one operation.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, activation as nn};
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::config::construct;
use crate::error::{Error, Result, length};
use crate::initial;
use crate::kernel::{Curve, dense};
use crate::math::{gelu, sigmoid, silu};

/// The largest parameter of an activation. With a larger one, a few layers overflow f32.
const STEEPEST: f64 = 1e3;

/// Configuration of an [`Activation`].
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
    /// `x * sigmoid(x)`. It is smooth, and the cheapest smooth activation on a CPU.
    Silu,
    /// Any activation of burn.
    Burn(nn::ActivationConfig),
}

impl ActivationConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        let Self::Burn(config) = self else { return Ok(()) };
        check_numbers(config)
    }

    construct! {
        /// Builds the activation. It takes a device because some of burn's activations have parameters.
        unseeded(device: &Device) -> Activation
    }

    fn build(&self, device: &Device) -> Activation {
        match self {
            Self::Relu => Activation::Burn(nn::ActivationConfig::Relu.init(device)),
            Self::Silu => Activation::Silu(Silu {}),
            Self::Burn(nn::ActivationConfig::SwiGlu(config)) => {
                let zeros = config.clone().with_initializer(Initializer::Zeros).init(device);
                let of = |zeros| initial::redrawn(zeros, &config.initializer);
                let (linear_inner, linear_outer) = (of(zeros.linear_inner), of(zeros.linear_outer));
                Activation::Burn(nn::Activation::SwiGlu(nn::SwiGlu { linear_inner, linear_outer }))
            }
            Self::Burn(config) => Activation::Burn(config.init(device)),
        }
    }

    /// [`validate`](Self::validate) for layers of these widths.
    pub(crate) fn validate_for(&self, widths: &[usize]) -> Result<()> {
        let Self::Burn(config) = self else { return Ok(()) };
        check_width(config, widths)?;
        check_numbers(config)
    }

    /// Whether each output depends on one input only, and all units have the same parameters.
    pub(crate) fn is_elementwise(&self) -> bool {
        match self {
            Self::Burn(nn::ActivationConfig::SwiGlu(_)) => false,
            Self::Burn(nn::ActivationConfig::PRelu(config)) => config.num_parameters == 1,
            _ => true,
        }
    }
}

fn wrong(field: &'static str, reason: String) -> Result<()> {
    Err(Error::config("ActivationConfig", field, reason))
}

/// Returns an error if an activation is configured for layers of other widths.
fn check_width(config: &nn::ActivationConfig, widths: &[usize]) -> Result<()> {
    let (field, width) = match config {
        nn::ActivationConfig::PRelu(c) if c.num_parameters != 1 => {
            ("num_parameters", c.num_parameters)
        }
        nn::ActivationConfig::SwiGlu(c) if c.d_input != c.d_output => {
            let (d_input, d_output) = (c.d_input, c.d_output);
            let reason = format!("must equal d_input ({d_input}), found {d_output}");
            return wrong("d_output", reason);
        }
        nn::ActivationConfig::SwiGlu(c) => ("d_input", c.d_input),
        _ => return Ok(()),
    };
    if widths.iter().all(|w| *w == width) {
        return Ok(());
    }
    wrong(field, format!("must be the width of every layer {widths:?}, found {width}"))
}

/// Returns an error if a parameter of an activation makes its output overflow.
fn check_numbers(config: &nn::ActivationConfig) -> Result<()> {
    use nn::ActivationConfig as Burn;
    let check = |field, least: f64, value: f64| {
        if (least..=STEEPEST).contains(&value) {
            return Ok(());
        }
        wrong(field, format!("must be in [{least:e}, {STEEPEST:e}], found {value}"))
    };
    let either = |field, value| check(field, -STEEPEST, value);
    let divisor = |field, value| check(field, STEEPEST.recip(), value);
    match config {
        Burn::PRelu(c) => either("alpha", c.alpha),
        Burn::LeakyRelu(c) => either("negative_slope", c.negative_slope),
        Burn::HardSigmoid(c) => either("alpha", c.alpha).and_then(|()| either("beta", c.beta)),
        Burn::Softplus(c) => divisor("beta", c.beta),
        Burn::Elu(c) => either("alpha", c.alpha),
        Burn::Celu(c) => divisor("alpha", c.alpha),
        Burn::ThresholdedRelu(c) => either("alpha", c.alpha),
        Burn::HardShrink(c) => either("lambda", c.lambda),
        Burn::SoftShrink(c) => either("lambda", c.lambda),
        Burn::Shrink(c) => either("lambda", c.lambda).and_then(|()| either("bias", c.bias)),
        Burn::SwiGlu(c) => check_initializer(&c.initializer),
        _ => Ok(()),
    }
}

/// Returns an error for an initializer that gives no finite weights; burn panics for some of them.
fn check_initializer(initializer: &Initializer) -> Result<()> {
    let within = |value: f64| value.abs() <= STEEPEST;
    let fits = match *initializer {
        Initializer::Constant { value } => within(value),
        Initializer::Uniform { min, max } => within(min) && within(max) && min < max,
        Initializer::Normal { mean, std } => within(mean) && within(std) && std > 0.0,
        Initializer::KaimingUniform { gain, .. }
        | Initializer::KaimingNormal { gain, .. }
        | Initializer::XavierUniform { gain }
        | Initializer::XavierNormal { gain }
        | Initializer::Orthogonal { gain } => return length("Initializer", "gain", gain),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let reason = format!(
        "must be a valid distribution of numbers up to {STEEPEST:e}, found {initializer:?}"
    );
    wrong("initializer", reason)
}

/// An activation of a conditioner.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu(Silu),
    /// An activation of burn.
    Burn(#[serde(with = "crate::store::part")] nn::Activation),
}

crate::display::display!(Activation);

/// `x * sigmoid(x)`, also called swish.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Silu {}

crate::display::display!(Silu);

impl Activation {
    /// Whether each output depends on one input only, and all units have the same parameters.
    pub(crate) fn is_elementwise(&self) -> bool {
        match self {
            Self::Burn(nn::Activation::SwiGlu(_)) => false,
            Self::Burn(nn::Activation::PRelu(prelu)) => prelu.alpha.dims() == [1],
            _ => true,
        }
    }

    /// Applies the activation.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Silu(_) => silu(x),
            Self::Burn(nn::Activation::Sigmoid(_)) => sigmoid(x),
            Self::Burn(nn::Activation::Gelu(exact)) if !exact.approximate => gelu(x),
            Self::Burn(inner) => inner.forward(x),
        }
    }

    /// Applies the activation to an image, whose units are the channels.
    pub(crate) fn of_channels(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            // burn's SwiGlu acts on the last axis.
            Self::Burn(nn::Activation::SwiGlu(inner)) => {
                inner.forward(x.swap_dims(1, 3)).swap_dims(1, 3)
            }
            _ => self.forward(x),
        }
    }

    /// Applies the activation to a layer's output.
    pub(crate) fn after<const D: usize>(&self, layer: &Linear, x: Tensor<D>) -> Tensor<D> {
        self.after_dense(x, layer.weight.val(), bias(layer), None)
    }

    /// Applies the activation to `x W + b`. The gradient of `W` is zero where the mask is false.
    pub(super) fn after_dense<const D: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        mask: Option<Tensor<2, Bool>>,
    ) -> Tensor<D> {
        match self.curve() {
            Some(curve) => dense(x, weight, bias, mask, curve),
            None => self.forward(dense(x, weight, bias, mask, Curve::Identity)),
        }
    }

    /// The activation as the kernels take it.
    pub(super) fn curve(&self) -> Option<Curve> {
        match self {
            Self::Silu(_) => Some(Curve::Silu),
            Self::Burn(nn::Activation::Relu(_)) => Some(Curve::Relu),
            Self::Burn(_) => None,
        }
    }
}

/// A layer's output, `x W + b`.
pub(crate) fn forward_linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    dense(x, layer.weight.val(), bias(layer), None, Curve::Identity)
}

pub(super) fn bias(layer: &Linear) -> Option<Tensor<1>> {
    layer.bias.as_ref().map(Param::val)
}
