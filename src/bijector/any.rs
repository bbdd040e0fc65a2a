//! A bijector of vectors chosen at run time.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    ActNorm, ActNormConfig, BatchNorm, BatchNormConfig, Bijector, BlockNeuralAutoregressive,
    BlockNeuralAutoregressiveConfig, Carried, Cnf, CnfConfig, Coupling, CouplingConfig,
    DenseLinear, DenseLinearConfig, Elementwise, Exp, Householder, HouseholderConfig, Inverse,
    LeakyRelu, LeakyTanh, Logit, LuLinear, LuLinearConfig, Mask, MaskedAutoregressive,
    MaskedAutoregressiveConfig, Partial, Permutation, Place, Planar, PlanarConfig, QrLinear,
    QrLinearConfig, Radial, RadialConfig, Recovery, Residual, ResidualConfig, Rotation,
    RotationConfig, Softclip, Softplus, Standardize, SvdLinear, SvdLinearConfig, Sylvester,
    SylvesterConfig, Tanh, Trace, TriangularLinear, TriangularLinearConfig, Walk,
};
use crate::conditioner::{Mlp, MlpConfig};
use crate::error::{Result, at_least};
use crate::univariate::{AnyUnivariate, AnyUnivariateConfig};

/// The vector layers of this crate behind one type, for stacks known only at run time: from a
/// configuration file, or from another library's checkpoint. Where the stack is known at compile
/// time, `Vec`, tuples and generics say the same without a match per call.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{AnyBijectorConfig, Bijector};
///
/// let text = r#"{"Stack": [{"ActNorm": {"features": 3}}, {"Reverse": {"features": 3}}, "Exp"]}"#;
/// let config: AnyBijectorConfig = serde_json::from_str(text)?;
/// let flow = config.init(&Device::flex())?;
/// let (z, _) = flow.forward(Tensor::<2>::zeros([2, 3], &Device::flex()), None);
/// assert_eq!(z.dims(), [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
pub enum AnyBijector {
    /// [`ActNorm`].
    ActNorm(ActNorm),
    /// [`BatchNorm`].
    BatchNorm(BatchNorm),
    /// [`BlockNeuralAutoregressive`].
    BlockNeuralAutoregressive(BlockNeuralAutoregressive),
    /// [`Cnf`].
    Cnf(Cnf),
    /// [`Coupling`] with a dense network.
    Coupling(Coupling<AnyUnivariate, Mlp>),
    /// [`DenseLinear`].
    DenseLinear(DenseLinear),
    /// [`Elementwise`].
    Elementwise(Elementwise<AnyUnivariate>),
    /// [`Exp`].
    Exp(Exp),
    /// [`Householder`].
    Householder(Householder),
    /// [`Inverse`] of a stack.
    Inverse(Inverse<Vec<AnyBijector>>),
    /// [`LeakyRelu`].
    LeakyRelu(LeakyRelu),
    /// [`LeakyTanh`].
    LeakyTanh(LeakyTanh),
    /// [`Logit`].
    Logit(Logit),
    /// [`LuLinear`].
    LuLinear(LuLinear),
    /// [`MaskedAutoregressive`].
    MaskedAutoregressive(MaskedAutoregressive<AnyUnivariate>),
    /// [`Coupling`] with several dense networks that see the same.
    MultiCoupling(Coupling<AnyUnivariate, Vec<Mlp>>),
    /// [`Partial`] of a stack.
    Partial(Partial<Vec<AnyBijector>>),
    /// [`Permutation`].
    Permutation(Permutation),
    /// [`Planar`].
    Planar(Planar),
    /// [`QrLinear`].
    QrLinear(QrLinear),
    /// [`Radial`].
    Radial(Radial),
    /// [`Residual`].
    Residual(Residual),
    /// [`Rotation`].
    Rotation(Rotation),
    /// [`Softclip`].
    Softclip(Softclip),
    /// [`Softplus`].
    Softplus(Softplus),
    /// One after the other.
    Stack(Vec<AnyBijector>),
    /// [`Standardize`].
    Standardize(Standardize<2>),
    /// [`SvdLinear`].
    SvdLinear(SvdLinear),
    /// [`Sylvester`].
    Sylvester(Sylvester),
    /// [`Tanh`].
    Tanh(Tanh),
    /// [`TriangularLinear`].
    TriangularLinear(TriangularLinear),
}

/// Which [`AnyBijector`], with its configuration.
///
/// There is none for [`MultiCoupling`](AnyBijector::MultiCoupling), which comes from other
/// libraries' weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AnyBijectorConfig {
    /// [`ActNorm`].
    ActNorm(ActNormConfig),
    /// [`BatchNorm`].
    BatchNorm(BatchNormConfig),
    /// [`BlockNeuralAutoregressive`].
    BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig),
    /// [`Cnf`].
    Cnf(CnfConfig),
    /// [`Coupling`] with a dense network.
    Coupling {
        /// The scalar map.
        univariate: AnyUnivariateConfig,
        /// Mask and network.
        coupling: CouplingConfig,
    },
    /// [`DenseLinear`].
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
    /// [`Householder`].
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
    /// [`LuLinear`].
    LuLinear(LuLinearConfig),
    /// [`MaskedAutoregressive`].
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
    /// [`Planar`].
    Planar(PlanarConfig),
    /// [`QrLinear`].
    QrLinear(QrLinearConfig),
    /// [`Radial`].
    Radial(RadialConfig),
    /// [`Residual`].
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
    /// [`Rotation`].
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
    /// [`SvdLinear`].
    SvdLinear(SvdLinearConfig),
    /// [`Sylvester`].
    Sylvester(SylvesterConfig),
    /// [`Tanh`].
    Tanh,
    /// [`TriangularLinear`].
    TriangularLinear(TriangularLinearConfig),
}

impl AnyBijectorConfig {
    /// The layer, or the stack.
    ///
    /// # Errors
    ///
    /// If a configuration in it is impossible.
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
                coupling.validate()?;
                AnyBijector::Coupling(coupling.init(univariate.init(), device))
            }
            Self::DenseLinear(config) => {
                config.validate()?;
                AnyBijector::DenseLinear(config.init(device))
            }
            Self::Elementwise { univariate, features } => {
                univariate.validate()?;
                at_least("Elementwise", "features", 1, *features)?;
                AnyBijector::Elementwise(Elementwise::new(univariate.init(), *features, device))
            }
            Self::ElementwiseContext { univariate, features, context, mlp } => {
                univariate.validate()?;
                at_least("Elementwise", "features", 1, *features)?;
                at_least("Elementwise", "context", 1, *context)?;
                mlp.validate()?;
                let free = Elementwise::new(univariate.init(), *features, device);
                AnyBijector::Elementwise(free.with_context(mlp, *context, device))
            }
            Self::Exp => AnyBijector::Exp(Exp {}),
            Self::Householder(config) => {
                config.validate()?;
                AnyBijector::Householder(config.init(device))
            }
            Self::Inverse(inner) => AnyBijector::Inverse(Inverse::new(all(inner)?)),
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
                let layer = autoregressive.init(univariate.init(), device);
                AnyBijector::MaskedAutoregressive(layer)
            }
            Self::Partial { features, mask, inner } => {
                AnyBijector::Partial(Partial::new(mask, &[*features], all(inner)?, device)?)
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
                at_least("Reverse", "features", 1, *features)?;
                AnyBijector::Permutation(Permutation::reverse(*features, device))
            }
            Self::Rotation(config) => {
                config.validate()?;
                AnyBijector::Rotation(config.init(device))
            }
            Self::Shuffle { features, seed } => {
                at_least("Shuffle", "features", 1, *features)?;
                AnyBijector::Permutation(Permutation::random(*features, *seed, device))
            }
            Self::Softclip { bound } => AnyBijector::Softclip(Softclip::new(*bound)?),
            Self::Softplus => AnyBijector::Softplus(Softplus {}),
            Self::Stack(inner) => AnyBijector::Stack(all(inner)?),
            Self::Standardize { features } => {
                at_least("Standardize", "features", 1, *features)?;
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

/// The layer inside, whichever it is; with `wrap`, what puts it back, and the variant's `name`.
macro_rules! each {
    ($self:expr, $layer:ident => $body:expr) => {
        each!($self, ($layer, _wrap, _name) => $body)
    };
    ($self:expr, ($layer:ident, $wrap:ident, $name:ident) => $body:expr) => {
        each!(@ $self, ($layer, $wrap, $name) => $body; ActNorm BatchNorm BlockNeuralAutoregressive Cnf Coupling DenseLinear Elementwise Exp Householder Inverse LeakyRelu LeakyTanh Logit LuLinear MaskedAutoregressive MultiCoupling Partial Permutation Planar QrLinear Radial Residual Rotation Softclip Softplus Stack Standardize SvdLinear Sylvester Tanh TriangularLinear)
    };
    (@ $self:expr, ($layer:ident, $wrap:ident, $name:ident) => $body:expr; $($variant:ident)+) => {
        match $self {
            $(AnyBijector::$variant($layer) => {
                let ($wrap, $name) = (AnyBijector::$variant, stringify!($variant));
                $body
            })+
        }
    };
}

impl Bijector<2> for AnyBijector {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.forward(x, context))
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        each!(self, layer => layer.inverse(z, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.inverse_with_log_det(z, context))
    }

    fn log_det_jacobian(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        each!(self, layer => layer.log_det_jacobian(x, context))
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Self, Tensor<2>) {
        each!(self, (layer, wrap, _name) => {
            let (layer, z) = layer.init_from_data(x, context);
            (wrap(layer), z)
        })
    }

    fn mixes_rows(&self) -> bool {
        each!(self, layer => Bijector::<2>::mixes_rows(layer))
    }

    fn recovery(&self) -> Recovery {
        each!(self, layer => Bijector::<2>::recovery(layer))
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<2>) -> Carried<2> {
        each!(self, (layer, _wrap, name) => layer.walk(walk, &at.part(name), carried))
    }

    fn trace(
        &self,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
        path: &str,
        visit: &mut dyn FnMut(&Trace<'_, 2>),
    ) -> Tensor<2> {
        each!(self, (layer, _wrap, name) => {
            // A parameter's path has the variant's name in it.
            layer.trace(x, context, &format!("{path}.{name}"), visit)
        })
    }
}
