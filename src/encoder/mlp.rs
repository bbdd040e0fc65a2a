//! Dense encoder.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Encoder, dense, renamed, sound_network};
use crate::conditioner::{ActivationConfig, Conditioner, Mlp, MlpConfig, check_context};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count};

seeded_config! {
/// Configuration of an [`MlpEncoder`].
///
/// ```
/// use burn_flows::encoder::MlpEncoderConfig;
///
/// assert!(MlpEncoderConfig::new(100, 8).validate().is_ok());
/// assert!(MlpEncoderConfig::new(100, 8).with_hidden(vec![]).validate().is_err());
/// ```
pub struct MlpEncoderConfig {
    /// Width of the context.
    pub context: usize,
    /// Number of features, the width of the context of the density.
    pub features: usize,
    /// Widths of the hidden layers.
    #[config(default = vec![64, 64])]
    pub hidden: Vec<usize>,
    /// The activation between layers.
    #[config(default = ActivationConfig::Silu)]
    pub activation: ActivationConfig,
    /// Probability that a hidden unit is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Uses residual blocks instead of plain hidden layers. Set it to `true` for deep networks; all widths must
    /// be equal.
    #[config(default = false)]
    pub residual: bool,
}
}

crate::store::checked! {
/// Features of a vector by a dense network.
///
/// ```text
/// out = mlp(c * 2^e - s)        e, s per column, set from a first batch
/// ```
///
/// Paper of learned features of an observation: Radev, Mertens, Voss, Ardizzone, Köthe (2020), BayesFlow, section on
/// the summary network, arXiv:2003.06281.
///
/// # Shapes
///
/// - context `[rows, context]`
/// - output `[rows, features]`
///
/// # Numerics
///
/// The first batch of [`init_from_data`](Encoder::init_from_data) sets the shift and the scale: every column gets a
/// mean near 0 and a deviation near 1. A column that is constant in the batch becomes 0. Later calls change nothing.
///
/// # Panics
///
/// If the context has another width than the encoder was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, MlpEncoderConfig};
///
/// let device = Device::flex();
/// let encoder = MlpEncoderConfig::new(3, 2).with_seed(1).init(&device);
/// assert_eq!(encoder.encode(Tensor::ones([5, 3], &device)).dims(), [5, 2]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct MlpEncoder {
    network: Mlp,
}
}

impl MlpEncoder {
    /// Returns an error if the fields read from a file do not form a valid encoder.
    fn sound(&self) -> Result<()> {
        sound_network("MlpEncoder", "network", &self.network, self.network.ends()[0].max(1))
    }
}

impl MlpEncoderConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("MlpEncoderConfig", "context", 1, self.context)?;
        count("MlpEncoderConfig", "features", 1, self.features)?;
        let fits = self.network().validate_between(self.context, self.features, 0);
        renamed(fits, "MlpEncoderConfig", "hidden")
    }

    construct! {
        /// Builds the encoder.
        seeded(device: &Device) -> MlpEncoder
    }

    fn network(&self) -> MlpConfig {
        dense(&self.hidden, &self.activation, self.dropout).with_residual(self.residual)
    }

    fn build(&self, device: &Device) -> MlpEncoder {
        MlpEncoder { network: self.network().of_context(self.context, self.features, device) }
    }
}

impl Encoder for MlpEncoder {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        check_context("MlpEncoder", self.network.ends()[0], Some(&context));
        self.network.forward(context, None)
    }

    fn init_from_data(self, context: Tensor<2>) -> Self {
        check_context("MlpEncoder", self.network.ends()[0], Some(&context));
        Self { network: self.network.scaled_to(&context) }
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}
