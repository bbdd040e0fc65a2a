//! Neural autoregressive flow: masked layers whose scalar map is a monotone network.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::{Stack, stack};
use super::of_layer;
use crate::bijector::{InverseMethod, LuLinear, MaskedAutoregressive};
use crate::conditioner::MadeConfig;
use crate::config::seeded_config;
use crate::distribution::StandardNormal;
use crate::error::{Error, Result, expect_valid};
use crate::flow::Flow;
use crate::initial;
use crate::univariate::{Neural, NeuralConfig};

seeded_config! {
/// Configuration of a [`NeuralAutoregressiveFlow`].
///
/// Standardise the data first: a fresh network is like the identity only near 0.
///
/// ```
/// use burn_flows::{model::NeuralAutoregressiveFlowConfig, univariate::NeuralConfig};
///
/// let config = NeuralAutoregressiveFlowConfig::new(6).with_network(NeuralConfig::new().with_hidden(vec![32]));
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct NeuralAutoregressiveFlowConfig {
    /// Features of an event.
    pub features: usize,
    /// Number of masked layers.
    #[config(default = 3)]
    pub layers: usize,
    /// How the order of the features changes from layer to layer.
    #[config(default = Orders::Alternating)]
    pub orders: Orders,
    /// The network of every layer; its dependencies stay at `Forward`, as `orders` decides them.
    #[config(default = MadeConfig::new(vec![128, 128]))]
    pub made: MadeConfig,
    /// Width of the context; 0 for none.
    #[config(default = 0)]
    pub context: usize,
    /// The monotone networks of every layer; `elements` stays at 0, as `shared` decides it.
    #[config(default = NeuralConfig::new())]
    pub network: NeuralConfig,
    /// One monotone network that all features share, instead of one for each.
    #[config(default = false)]
    pub shared: bool,
    /// A learned linear map between layers, started as the identity.
    #[config(default = false)]
    pub linear: bool,
    /// How the layers are inverted to sample.
    #[config(default = InverseMethod::Incremental)]
    pub inverse: InverseMethod,
}
}

/// A step of a [`NeuralAutoregressiveFlow`].
pub type NeuralAutoregressiveFlowStep = (Option<LuLinear>, MaskedAutoregressive<Neural>);

/// Masked layers of monotone networks on a standard normal. A sample is a search for every feature.
///
/// ```text
/// layer     z_i = net_i(x_i; s_i),   net_i of positive weights, the signal s_i from a masked network
/// stack     layer, (linear map), layer with another order ..
/// ```
///
/// Paper: Huang, Krueger, Lacoste, Courville (2018), Neural Autoregressive Flows, arXiv:1804.00779. Its
/// sigmoids, with every weight from the masked network, are [`Maf`](super::Maf) with the scalar map
/// [`DeepSigmoidal`](crate::univariate::DeepSigmoidal).
/// The model that zuko 1.6 calls `NAF`, without the softclip between its layers, which its search for
/// inverses needs.
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row for all
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{NeuralAutoregressiveFlow, NeuralAutoregressiveFlowConfig};
///
/// let device = Device::flex();
/// let flow: NeuralAutoregressiveFlow = NeuralAutoregressiveFlowConfig::new(4).with_layers(2).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
#[doc(alias = "NAF")]
pub type NeuralAutoregressiveFlow = Flow<Vec<NeuralAutoregressiveFlowStep>, StandardNormal<2>>;

impl NeuralAutoregressiveFlowConfig {
    fn stack(&self) -> Stack<'_> {
        stack!(self, "NeuralAutoregressiveFlowConfig")
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        self.stack().validate(self.network.signal)?;
        if self.network.elements != 0 {
            let reason = "`shared` decides how many networks there are: leave `elements` at 0";
            return Err(Error::config(
                "NeuralAutoregressiveFlowConfig",
                "network",
                reason.to_string(),
            ));
        }
        let elements = if self.shared { 0 } else { self.features };
        self.network.clone().with_elements(elements).validate()
    }

    /// The flow, bent a little by its random networks until it is trained.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails, with its message.
    pub fn init(&self, device: &Device) -> NeuralAutoregressiveFlow {
        expect_valid(self.validate());
        initial::scope(self.seed, || self.flow(device))
    }

    fn flow(&self, device: &Device) -> NeuralAutoregressiveFlow {
        let elements = if self.shared { 0 } else { self.features };
        let network = self.network.clone().with_elements(elements);
        let steps = self.stack().init(|index| of_layer!(network, index).init(device), device);
        Flow::new(steps, StandardNormal::new([self.features], device))
    }
}
