//! burn's activations in the description of a model.

use burn::module::Param;
use burn::nn::{Linear, activation as nn};
use burn::tensor::Tensor;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ActivationConfig;
use crate::store::{Part, opening_device};

/// A serialised activation. Activations with weights are described by their parts, the others by their
/// configuration.
#[derive(Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "lives for the time of a call")]
enum Described {
    PRelu(#[serde(with = "PReluPart")] nn::PRelu),
    SwiGlu(#[serde(with = "SwiGluPart")] nn::SwiGlu),
    Kind(nn::ActivationConfig),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "nn::PRelu", rename = "PRelu")]
struct PReluPart {
    #[serde(with = "crate::store::part")]
    alpha: Param<Tensor<1>>,
    alpha_value: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "nn::SwiGlu", rename = "SwiGlu")]
struct SwiGluPart {
    #[serde(with = "crate::store::part")]
    linear_inner: Linear,
    #[serde(with = "crate::store::part")]
    linear_outer: Linear,
}

/// The configuration of an activation without weights.
fn config(activation: &nn::Activation) -> Option<nn::ActivationConfig> {
    use nn::{Activation as From, ActivationConfig as To};
    Some(match activation {
        From::Identity(_) => To::Identity,
        From::Gelu(gelu) if gelu.approximate => To::GeluApproximate,
        From::Gelu(_) => To::Gelu,
        From::Relu(_) => To::Relu,
        From::LeakyRelu(a) => nn::LeakyReluConfig { negative_slope: a.negative_slope }.into(),
        From::Selu(_) => To::Selu,
        From::Sigmoid(_) => To::Sigmoid,
        From::Tanh(_) => To::Tanh,
        From::HardSigmoid(a) => nn::HardSigmoidConfig { alpha: a.alpha, beta: a.beta }.into(),
        From::HardSwish(_) => To::HardSwish,
        From::Softplus(a) => nn::SoftplusConfig { beta: a.beta, threshold: a.threshold }.into(),
        From::Softsign(_) => To::Softsign,
        From::Elu(a) => nn::EluConfig { alpha: a.alpha }.into(),
        From::Celu(a) => nn::CeluConfig { alpha: a.alpha }.into(),
        From::ThresholdedRelu(a) => nn::ThresholdedReluConfig { alpha: a.alpha }.into(),
        From::HardShrink(a) => nn::HardShrinkConfig { lambda: a.lambda }.into(),
        From::SoftShrink(a) => nn::SoftShrinkConfig { lambda: a.lambda }.into(),
        From::Shrink(a) => nn::ShrinkConfig { lambda: a.lambda, bias: a.bias }.into(),
        _ => return None,
    })
}

impl Part for nn::Activation {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let described = match self {
            Self::PRelu(prelu) => Described::PRelu(prelu.clone()),
            Self::SwiGlu(swiglu) => Described::SwiGlu(swiglu.clone()),
            other => {
                let unknown = || S::Error::custom("is an activation that files cannot store");
                Described::Kind(config(other).ok_or_else(unknown)?)
            }
        };
        described.serialize(serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Described::deserialize(deserializer)? {
            Described::PRelu(prelu) => Self::PRelu(prelu),
            Described::SwiGlu(swiglu) => Self::SwiGlu(swiglu),
            Described::Kind(nn::ActivationConfig::PRelu(_) | nn::ActivationConfig::SwiGlu(_)) => {
                return Err(D::Error::custom("expected the weights of an activation, found none"));
            }
            Described::Kind(config) => {
                let checked = ActivationConfig::Burn(config.clone()).validate();
                checked.map_err(D::Error::custom)?;
                config.init(&opening_device().map_err(D::Error::custom)?)
            }
        })
    }
}
