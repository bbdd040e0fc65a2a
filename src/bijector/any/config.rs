//! Which layers, as a configuration file says it.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::AnyBijector;
use crate::bijector::{
    ActNormConfig, BatchNormConfig, BlockNeuralAutoregressiveConfig, CnfConfig, CouplingConfig,
    DenseLinearConfig, Elementwise, Exp, HouseholderConfig, Inverse, LeakyRelu, LeakyTanh, Logit,
    LuLinearConfig, Mask, MaskedAutoregressiveConfig, Partial, Permutation, PlanarConfig,
    QrLinearConfig, RadialConfig, ResidualConfig, RotationConfig, Softclip, Softplus, Standardize,
    SvdLinearConfig, SylvesterConfig, Tanh, TriangularLinearConfig,
};
use crate::conditioner::MlpConfig;
use crate::error::{Error, Result, count, fits};
use crate::univariate::{AnyUnivariate, AnyUnivariateConfig, Univariate};

/// Which [`AnyBijector`], with its configuration.
///
/// There is none for [`MultiCoupling`](AnyBijector::MultiCoupling), which comes from other
/// libraries' weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AnyBijectorConfig {
    /// [`AnyBijector::ActNorm`].
    ActNorm(ActNormConfig),
    /// [`AnyBijector::BatchNorm`].
    BatchNorm(BatchNormConfig),
    /// [`AnyBijector::BlockNeuralAutoregressive`].
    BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig),
    /// [`AnyBijector::Cnf`].
    Cnf(CnfConfig),
    /// [`AnyBijector::Coupling`] with a dense network.
    Coupling {
        /// The scalar map.
        univariate: AnyUnivariateConfig,
        /// Mask and network.
        coupling: CouplingConfig,
    },
    /// [`AnyBijector::DenseLinear`].
    DenseLinear(DenseLinearConfig),
    /// [`Elementwise`].
    Elementwise {
        /// The scalar map.
        univariate: AnyUnivariateConfig,
        /// Elements of an event.
        features: usize,
    },
    /// [`Elementwise`] that a context steers.
    ElementwiseContext {
        /// The scalar map.
        univariate: AnyUnivariateConfig,
        /// Elements of an event.
        features: usize,
        /// Width of the context, at least 1.
        context: usize,
        /// The network from the context to what is added to the parameters.
        mlp: MlpConfig,
    },
    /// [`Exp`].
    Exp,
    /// [`AnyBijector::Householder`].
    Householder(HouseholderConfig),
    /// [`Inverse`] of a stack.
    Inverse(Vec<AnyBijectorConfig>),
    /// [`LeakyRelu`].
    LeakyRelu {
        /// The slope below zero.
        slope: f64,
    },
    /// [`LeakyTanh`].
    LeakyTanh {
        /// Where the line begins.
        turn: f64,
    },
    /// [`Logit`].
    Logit {
        /// Distance kept from 0 and 1.
        alpha: f64,
    },
    /// [`AnyBijector::LuLinear`].
    LuLinear(LuLinearConfig),
    /// [`AnyBijector::MaskedAutoregressive`].
    MaskedAutoregressive {
        /// The scalar map.
        univariate: AnyUnivariateConfig,
        /// Network, order and inverse.
        autoregressive: MaskedAutoregressiveConfig,
    },
    /// [`Partial`] of a stack.
    Partial {
        /// Features of an event.
        features: usize,
        /// What passes as it is.
        mask: Mask,
        /// The stack.
        inner: Vec<AnyBijectorConfig>,
    },
    /// [`Permutation::given`].
    Permutation {
        /// `z_i = x_{order[i]}`.
        order: Vec<usize>,
    },
    /// [`AnyBijector::Planar`].
    Planar(PlanarConfig),
    /// [`AnyBijector::QrLinear`].
    QrLinear(QrLinearConfig),
    /// [`AnyBijector::Radial`].
    Radial(RadialConfig),
    /// [`AnyBijector::Residual`].
    Residual(ResidualConfig),
    /// [`Permutation::reverse`].
    Reverse {
        /// Features of an event.
        features: usize,
    },
    /// [`Permutation::random`].
    Shuffle {
        /// Features of an event.
        features: usize,
        /// Fixes the order.
        seed: u64,
    },
    /// [`AnyBijector::Rotation`].
    Rotation(RotationConfig),
    /// [`Softclip`].
    Softclip {
        /// The end of its interval.
        bound: f64,
    },
    /// [`Softplus`].
    Softplus,
    /// One after the other.
    Stack(Vec<AnyBijectorConfig>),
    /// [`Standardize::identity`], to load saved values into.
    Standardize {
        /// Features of an event.
        features: usize,
    },
    /// [`AnyBijector::SvdLinear`].
    SvdLinear(SvdLinearConfig),
    /// [`AnyBijector::Sylvester`].
    Sylvester(SylvesterConfig),
    /// [`Tanh`].
    Tanh,
    /// [`AnyBijector::TriangularLinear`].
    TriangularLinear(TriangularLinearConfig),
}

impl AnyBijectorConfig {
    /// The layer, or the stack. Random weights follow the seeds in it, and
    /// [`seeded`](crate::seeded) around the call where it has none.
    ///
    /// # Errors
    ///
    /// If a configuration in it is impossible, or layers of a stack are for other numbers of features or other
    /// contexts.
    pub fn init(&self, device: &Device) -> Result<AnyBijector> {
        let all =
            |configs: &[Self]| configs.iter().map(|c| c.init(device)).collect::<Result<Vec<_>>>();
        Ok(match self {
            Self::ActNorm(config) => {
                config.validate()?;
                AnyBijector::ActNorm(config.init(device))
            }
            Self::BatchNorm(config) => {
                config.validate()?;
                AnyBijector::BatchNorm(config.init(device))
            }
            Self::BlockNeuralAutoregressive(config) => {
                config.validate()?;
                AnyBijector::BlockNeuralAutoregressive(config.init(device))
            }
            Self::Cnf(config) => {
                config.validate()?;
                AnyBijector::Cnf(config.init(device))
            }
            Self::Coupling { univariate, coupling } => {
                univariate.validate()?;
                let univariate = univariate.init();
                coupling.validate_for(univariate.params_per_element())?;
                AnyBijector::Coupling(coupling.init(univariate, device))
            }
            Self::DenseLinear(config) => {
                config.validate()?;
                AnyBijector::DenseLinear(config.init(device))
            }
            Self::Elementwise { univariate, features } => {
                AnyBijector::Elementwise(elementwise(univariate, *features, device)?)
            }
            Self::ElementwiseContext { univariate, features, context, mlp } => {
                let free = elementwise(univariate, *features, device)?;
                count("Elementwise", "context", 1, *context)?;
                mlp.validate_between(*context, free.params(), 0)?;
                AnyBijector::Elementwise(free.with_context(mlp, *context, device))
            }
            Self::Exp => AnyBijector::Exp(Exp {}),
            Self::Householder(config) => {
                config.validate()?;
                AnyBijector::Householder(config.init(device))
            }
            Self::Inverse(inner) => {
                agree("Inverse", inner)?;
                AnyBijector::Inverse(Inverse::new(all(inner)?))
            }
            Self::LeakyRelu { slope } => AnyBijector::LeakyRelu(LeakyRelu::new(*slope)?),
            Self::LeakyTanh { turn } => AnyBijector::LeakyTanh(LeakyTanh::new(*turn)?),
            Self::Logit { alpha } => AnyBijector::Logit(Logit::new(*alpha)?),
            Self::LuLinear(config) => {
                config.validate()?;
                AnyBijector::LuLinear(config.init(device))
            }
            Self::MaskedAutoregressive { univariate, autoregressive } => {
                univariate.validate()?;
                autoregressive.validate()?;
                let (univariate, features) = (univariate.init(), autoregressive.features);
                let outputs = univariate.params_per_element();
                autoregressive.made.validate_outputs(features, outputs)?;
                let layer = autoregressive.init(univariate, device);
                AnyBijector::MaskedAutoregressive(layer)
            }
            Self::Partial { features, mask, inner } => {
                let (own, _) = agree("Partial", inner)?;
                let partial = Partial::new(mask, &[*features], all(inner)?, device)?;
                let moved = features - mask.kept(&[*features])?.len();
                if let Some(own) = own.filter(|own| *own != moved) {
                    let reason = format!("takes {own} features, but the mask moves {moved}");
                    return Err(Error::config("Partial", "inner", reason));
                }
                AnyBijector::Partial(partial)
            }
            Self::Permutation { order } => {
                AnyBijector::Permutation(Permutation::given(order, device)?)
            }
            Self::Planar(config) => {
                config.validate()?;
                AnyBijector::Planar(config.init(device))
            }
            Self::QrLinear(config) => {
                config.validate()?;
                AnyBijector::QrLinear(config.init(device))
            }
            Self::Radial(config) => {
                config.validate()?;
                AnyBijector::Radial(config.init(device))
            }
            Self::Residual(config) => {
                config.validate()?;
                AnyBijector::Residual(config.init(device))
            }
            Self::Reverse { features } => {
                count("Reverse", "features", 1, *features)?;
                AnyBijector::Permutation(Permutation::reverse(*features, device))
            }
            Self::Rotation(config) => {
                config.validate()?;
                AnyBijector::Rotation(config.init(device))
            }
            Self::Shuffle { features, seed } => {
                count("Shuffle", "features", 1, *features)?;
                AnyBijector::Permutation(Permutation::random(*features, *seed, device))
            }
            Self::Softclip { bound } => AnyBijector::Softclip(Softclip::new(*bound)?),
            Self::Softplus => AnyBijector::Softplus(Softplus {}),
            Self::Stack(inner) => {
                agree("Stack", inner)?;
                AnyBijector::Stack(all(inner)?)
            }
            Self::Standardize { features } => {
                count("Standardize", "features", 1, *features)?;
                AnyBijector::Standardize(Standardize::identity(&[*features], device))
            }
            Self::SvdLinear(config) => {
                config.validate()?;
                AnyBijector::SvdLinear(config.init(device))
            }
            Self::Sylvester(config) => {
                config.validate()?;
                AnyBijector::Sylvester(config.init(device))
            }
            Self::Tanh => AnyBijector::Tanh(Tanh {}),
            Self::TriangularLinear(config) => {
                config.validate()?;
                AnyBijector::TriangularLinear(config.init(device))
            }
        })
    }
}

/// How many features an event has, and how wide the context is that a network needs, where a layer says so.
type Sizes = (Option<usize>, Option<usize>);

/// The sizes of all layers of a stack.
fn agree(stack: &'static str, layers: &[AnyBijectorConfig]) -> Result<Sizes> {
    let (mut features, mut context): (Option<(usize, usize)>, _) = (None, None);
    for (index, layer) in layers.iter().enumerate() {
        let (own_features, own_context) = layer.sizes()?;
        let sizes = [
            ("features", &mut features, own_features),
            ("values of context", &mut context, own_context),
        ];
        for (what, known, own) in sizes {
            let Some(own) = own else { continue };
            let (first, expected) = *known.get_or_insert((index, own));
            if own != expected {
                let reason =
                    format!("layer {index} takes {own} {what}, layer {first} takes {expected}");
                return Err(Error::config("AnyBijectorConfig", stack, reason));
            }
        }
    }
    Ok((features.map(|(_, n)| n), context.map(|(_, n)| n)))
}

impl AnyBijectorConfig {
    fn sizes(&self) -> Result<Sizes> {
        let (features, context) = match self {
            Self::ActNorm(config) => (config.features, None),
            Self::BatchNorm(config) => (config.features, None),
            Self::DenseLinear(config) => (config.features, None),
            Self::Householder(config) => (config.features, None),
            Self::LuLinear(config) => (config.features, None),
            Self::QrLinear(config) => (config.features, None),
            Self::Rotation(config) => (config.features, None),
            Self::SvdLinear(config) => (config.features, None),
            Self::TriangularLinear(config) => (config.features, None),
            Self::Elementwise { features, .. }
            | Self::Reverse { features }
            | Self::Shuffle { features, .. }
            | Self::Standardize { features } => (*features, None),
            Self::Permutation { order } => (order.len(), None),
            Self::BlockNeuralAutoregressive(config) => (config.features, Some(config.context)),
            Self::Cnf(config) => (config.features, Some(config.context)),
            Self::Coupling { coupling, .. } => (coupling.features, Some(coupling.context)),
            Self::ElementwiseContext { features, context, .. } => (*features, Some(*context)),
            Self::MaskedAutoregressive { autoregressive, .. } => {
                (autoregressive.features, Some(autoregressive.context))
            }
            Self::Planar(config) => (config.features, Some(config.context)),
            Self::Radial(config) => (config.features, Some(config.context)),
            Self::Residual(config) => (config.features, Some(config.context)),
            Self::Sylvester(config) => (config.features, Some(config.context)),
            Self::Partial { features, inner, .. } => (*features, agree("Partial", inner)?.1),
            Self::Inverse(inner) => return agree("Inverse", inner),
            Self::Stack(inner) => return agree("Stack", inner),
            Self::Exp
            | Self::LeakyRelu { .. }
            | Self::LeakyTanh { .. }
            | Self::Logit { .. }
            | Self::Softclip { .. }
            | Self::Softplus
            | Self::Tanh => return Ok((None, None)),
        };
        Ok((Some(features), context))
    }
}

/// A free map of so many elements.
fn elementwise(
    univariate: &AnyUnivariateConfig,
    features: usize,
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    univariate.validate()?;
    count("Elementwise", "features", 1, features)?;
    let map = univariate.init();
    fits("Elementwise", "features", &[map.params_per_element(), features])?;
    Ok(Elementwise::new(map, features, device))
}
