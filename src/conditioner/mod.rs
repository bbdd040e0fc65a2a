//! Networks that produce the parameters of a map. They do not depend on the meaning of the parameters.

mod activation;
mod burn_activation;
mod context_scale;
mod conv;
mod dropout;
mod made;
mod masked_linear;
mod mlp;
mod norm_conv;
mod periodic;
mod residual_conv;
mod row_params;

pub use activation::{Activation, ActivationConfig};
pub(crate) use context_scale::ContextScale;
pub use conv::{ConvNet, ConvNetConfig};
pub use dropout::Dropout;
pub use made::{Degrees, Dependencies, Made, MadeConfig};
#[cfg(feature = "interop")]
pub(crate) use made::{Layers, MaskedBlock, Style};
pub use masked_linear::MaskedLinear;
pub(crate) use mlp::linear;
pub use mlp::{Mlp, MlpConfig, ResidualBlock};
pub(crate) use norm_conv::NormConv;
pub use norm_conv::Normalization;
pub use periodic::Periodic;
#[cfg(feature = "interop")]
pub(crate) use periodic::PeriodicFeatures;
#[cfg(feature = "interop")]
pub(crate) use residual_conv::ResidualConvBlock;
pub use residual_conv::{ResidualConvNet, ResidualConvNetConfig};
pub(crate) use row_params::{Parts, RowParams};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::kernel::DenseNetwork;

/// A network that maps the kept part of an event, and the context, to parameters.
///
/// ```
/// use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
/// use burn_flows::conditioner::Conditioner;
///
/// /// One linear layer, without a context.
/// #[derive(Module, Debug)]
/// struct Plain { linear: Linear }
///
/// impl Conditioner<2> for Plain {
///     fn forward(&self, kept: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
///         self.linear.forward(kept)
///     }
/// }
///
/// let device = Device::flex();
/// let net = Plain { linear: LinearConfig::new(3, 4).init(&device) };
/// assert_eq!(net.forward(Tensor::zeros([2, 3], &device), None).dims(), [2, 4]);
/// ```
pub trait Conditioner<const D: usize>: Module + ModuleDisplay + Sync {
    /// Returns the parameters on axis 1, as `P` blocks of one value per element: `[batch, P * n]`, or
    /// `[batch, P * channels, height, width]`.
    fn forward(&self, kept: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D>;

    /// Data-dependent initialisation from a first batch. It sets the shift and scale by which this
    /// crate's networks standardise their context, and initialises their ActNorm layers. Default:
    /// nothing to initialise.
    fn init_from_data(self, _kept: Tensor<D>, _context: Option<&Tensor<2>>) -> Self {
        self
    }

    /// The network of this crate as dense layers, if it is nothing else.
    #[doc(hidden)]
    fn dense(&self, _context: Option<&Tensor<2>>) -> Option<Dense> {
        None
    }
}

/// Dense layers of this crate, for layers that run them inside of their own.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Dense(pub(crate) DenseNetwork);

/// Several networks with the same input, whose outputs are concatenated on axis 1. Use it for a
/// separate network per parameter of a map, as in Real NVP's `s` and `t`.
///
/// # Panics
///
/// If the vector is empty.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, MlpConfig};
///
/// let device = Device::flex();
/// let network = || MlpConfig::new(vec![8]).init(3, 2, 0, &device);
/// let both = vec![network(), network()];
/// assert_eq!(both.forward(Tensor::<2>::zeros([5, 3], &device), None).dims(), [5, 4]);
/// ```
impl<const D: usize, N: Conditioner<D>> Conditioner<D> for Vec<N> {
    fn forward(&self, kept: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        assert!(!self.is_empty(), "Conditioner: expected at least 1 network, found none");
        let outputs = self.iter().map(|network| network.forward(kept.clone(), context));
        Tensor::cat(outputs.collect(), 1)
    }

    fn init_from_data(self, kept: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        self.into_iter().map(|network| network.init_from_data(kept.clone(), context)).collect()
    }
}

/// Checks that a context has the width that a network was built for.
///
/// # Panics
///
/// If a context is given but not expected, is expected but missing, or has another width.
#[track_caller]
pub(crate) fn check_context(layer: &str, expected: usize, context: Option<&Tensor<2>>) {
    match context.map(|c| c.dims()[1]) {
        None if expected == 0 => {}
        Some(found) if found == expected => {}
        None => panic!("{layer}: expected a context of width {expected}, found none"),
        Some(found) => panic!("{layer}: expected a context of width {expected}, found {found}"),
    }
}

/// Appends a context to an image as constant channels.
pub(crate) fn join_context(image: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
    let Some(context) = context.filter(|context| context.dims()[1] > 0) else { return image };
    let ([batch, _, height, width], [_, planes]) = (image.dims(), context.dims());
    let wide =
        context.clone().reshape([batch, planes, 1, 1]).expand([batch, planes, height, width]);
    Tensor::cat(vec![image, wide], 1)
}

/// Checks the probability of a dropout.
pub(crate) fn check_dropout(config: &'static str, field: &'static str, prob: f64) -> Result<()> {
    if (0.0..1.0).contains(&prob) {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be in [0, 1), found {prob}")))
}
