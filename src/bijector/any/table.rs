//! The table of run-time layers, one line per layer.

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::sizes::{Sizes, agree};
use crate::bijector::{
    ActNorm, ActNormConfig, BatchNorm, BatchNormConfig, BlockNeuralAutoregressive,
    BlockNeuralAutoregressiveConfig, Bound, Bounded, Cnf, CnfConfig, Coupling, CouplingConfig,
    DenseLinear, DenseLinearConfig, Elementwise, Exp, Householder, HouseholderConfig, Inverse,
    LeakyRelu, LeakyTanh, Logit, LuLinear, LuLinearConfig, Mask, MaskedAutoregressive,
    MaskedAutoregressiveConfig, Partial, Permutation, Planar, PlanarConfig, QrLinear,
    QrLinearConfig, Radial, RadialConfig, Residual, ResidualConfig, Rotation, RotationConfig,
    Softclip, Softplus, Standardize, SvdLinear, SvdLinearConfig, Sylvester, SylvesterConfig, Tanh,
    TriangularLinear, TriangularLinearConfig,
};
use crate::conditioner::{Mlp, MlpConfig};
use crate::config::construct;
use crate::error::{Error, Result, count, fits};
use crate::univariate::{AnyUnivariate, AnyUnivariateConfig, Univariate};

/// Generates [`AnyBijector`], its configuration, and the match over all layers.
///
/// - `configured`: a layer, its configuration, and the fields of the configuration that hold the sizes of an event and
///   of a context.
/// - `numbered`: a layer with one number.
/// - `plain`: a layer without settings.
/// - `composed`: layers whose configuration [`compose`] builds.
/// - `composed_by`: the variants of the configuration for the `composed` layers.
macro_rules! table {
    (($d:tt)
        configured { $($layer:ident $config:ident [$features:ident $($context:ident)?];)+ }
        numbered { $($numbered:ident { $number:ident: $meaning:literal };)+ }
        plain { $($plain:ident;)+ }
        composed { $($(#[$doc:meta])* $composed:ident($type:ty);)+ }
        composed_by { $($(#[$variant_doc:meta])* $variant:ident $fields:tt,)+ }
    ) => {
        /// The vector layers of this crate as one type, for stacks that are known only at run time: from a
        /// configuration file, or from the checkpoint of another library. For a stack that is known at compile time,
        /// `Vec`, tuples and generics avoid a match per call. Layers of images are not included: image layers change
        /// the shape of the event, and models fix the order of image layers at compile time.
        ///
        /// ```
        /// use burn::tensor::{Device, Tensor};
        /// use burn_flows::bijector::{AnyBijectorConfig, Bijector};
        ///
        /// let text = r#"{"Stack": [{"ActNorm": {"features": 3}}, {"Reverse": {"features": 3}}, "Exp"]}"#;
        /// let config: AnyBijectorConfig = serde_json::from_str(text)?;
        /// let flow = config.init(&Device::flex());
        /// let (z, _) = flow.forward(Tensor::<2>::zeros([2, 3], &Device::flex()), None);
        /// assert_eq!(z.dims(), [2, 3]);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Module, Debug, Serialize, Deserialize)]
        #[module(custom_display)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
        pub enum AnyBijector {
            $(#[doc = concat!("[`", stringify!($layer), "`].")] $layer($layer),)+
            $(#[doc = concat!("[`", stringify!($numbered), "`].")] $numbered($numbered),)+
            $(#[doc = concat!("[`", stringify!($plain), "`].")] $plain($plain),)+
            $($(#[$doc])* $composed($type),)+
        }

        crate::display::display!(AnyBijector);

        /// Configuration of an [`AnyBijector`]: one variant per layer.
        ///
        /// [`MultiCoupling`](AnyBijector::MultiCoupling) has no configuration; it is built from the weights of other
        /// libraries.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[non_exhaustive]
        #[serde(deny_unknown_fields)]
        pub enum AnyBijectorConfig {
            $(#[doc = concat!("[`AnyBijector::", stringify!($layer), "`].")] $layer($config),)+
            $(#[doc = concat!("[`AnyBijector::", stringify!($numbered), "`].")] $numbered {
                #[doc = $meaning] $number: f64,
            },)+
            $(#[doc = concat!("[`AnyBijector::", stringify!($plain), "`].")] $plain,)+
            $($(#[$variant_doc])* $variant $fields,)+
        }

        impl AnyBijectorConfig {
            /// Returns an error that names the first invalid field, or the layers of a stack that disagree in the
            /// number of features or in the width of the context.
            pub fn validate(&self) -> Result<()> {
                match self {
                    $(Self::$layer(config) => config.validate(),)+
                    $(Self::$numbered { $number } => $numbered::new(*$number).map(drop),)+
                    $(Self::$plain => Ok(()),)+
                    composed => validate_composed(composed),
                }
            }

            construct! {
                /// Builds the layer, or the stack. Random weights follow the seeds of the configurations in it.
                /// Configurations without a seed follow [`seeded`](crate::seeded) around the call.
                unseeded(device: &Device) -> AnyBijector
            }

            fn build(&self, device: &Device) -> AnyBijector {
                match self {
                    $(Self::$layer(config) => AnyBijector::$layer(config.init(device)),)+
                    $(Self::$numbered { $number } => {
                        AnyBijector::$numbered($numbered::new(*$number).expect("validated"))
                    })+
                    $(Self::$plain => AnyBijector::$plain($plain {}),)+
                    composed => compose(composed, device).expect("validated"),
                }
            }

            /// The sizes of an event and of a context, where the layer fixes them.
            pub(super) fn sizes(&self) -> Result<Sizes> {
                Ok(match self {
                    $(Self::$layer(config) => {
                        (Some(config.$features), [$(config.$context,)?].first().copied())
                    })+
                    $(Self::$numbered { .. } => (None, None),)+
                    $(Self::$plain => (None, None),)+
                    composed => return composed_sizes(composed),
                })
            }
        }

        /// Matches on the layer inside. `wrap` rebuilds the enum from the layer; `name` is the name of the variant.
        macro_rules! each {
            ($d self:expr, $d layer:ident => $d body:expr) => {
                each!($d self, ($d layer, _wrap, _name) => $d body)
            };
            ($d self:expr, ($d layer:ident, $d wrap:ident, $d name:ident) => $d body:expr) => {
                match $d self {
                    $(AnyBijector::$layer($d layer) => {
                        let ($d wrap, $d name) = (AnyBijector::$layer, stringify!($layer));
                        $d body
                    })+
                    $(AnyBijector::$numbered($d layer) => {
                        let ($d wrap, $d name) = (AnyBijector::$numbered, stringify!($numbered));
                        $d body
                    })+
                    $(AnyBijector::$plain($d layer) => {
                        let ($d wrap, $d name) = (AnyBijector::$plain, stringify!($plain));
                        $d body
                    })+
                    $(AnyBijector::$composed($d layer) => {
                        let ($d wrap, $d name) = (AnyBijector::$composed, stringify!($composed));
                        $d body
                    })+
                }
            };
        }
        pub(super) use each;
    };
}

table! {
    ($)
    configured {
        ActNorm ActNormConfig [features];
        BatchNorm BatchNormConfig [features];
        BlockNeuralAutoregressive BlockNeuralAutoregressiveConfig [features context];
        Cnf CnfConfig [features context];
        DenseLinear DenseLinearConfig [features];
        Householder HouseholderConfig [features];
        LuLinear LuLinearConfig [features];
        Planar PlanarConfig [features context];
        QrLinear QrLinearConfig [features];
        Radial RadialConfig [features context];
        Residual ResidualConfig [features context];
        Rotation RotationConfig [features];
        SvdLinear SvdLinearConfig [features];
        Sylvester SylvesterConfig [features context];
        TriangularLinear TriangularLinearConfig [features];
    }
    numbered {
        LeakyRelu { slope: "The slope below zero." };
        LeakyTanh { turn: "Where the line begins." };
        Logit { alpha: "Distance kept from 0 and 1." };
        Softclip { bound: "The end of its interval." };
    }
    plain {
        Exp;
        Softplus;
        Tanh;
    }
    composed {
        /// [`Bounded`].
        Bounded(Bounded);
        /// [`Coupling`] with a dense network.
        Coupling(Coupling<AnyUnivariate, Mlp>);
        /// [`Elementwise`].
        Elementwise(Elementwise<AnyUnivariate>);
        /// [`Inverse`] of a stack.
        Inverse(Inverse<Vec<AnyBijector>>);
        /// [`MaskedAutoregressive`].
        MaskedAutoregressive(MaskedAutoregressive<AnyUnivariate>);
        /// [`Coupling`] with several dense networks that see the same.
        MultiCoupling(Coupling<AnyUnivariate, Vec<Mlp>>);
        /// [`Partial`] of a stack.
        Partial(Partial<Vec<AnyBijector>>);
        /// [`Permutation`].
        Permutation(Permutation);
        /// One after the other.
        Stack(Vec<AnyBijector>);
        /// [`Standardize`].
        Standardize(Standardize<2>);
    }
    composed_by {
        /// [`Bounded::new`].
        Bounded {
            /// The bound of each feature.
            bounds: Vec<Bound>,
        },
        /// [`AnyBijector::Coupling`] with a dense network.
        Coupling {
            /// The scalar map.
            univariate: AnyUnivariateConfig,
            /// Mask and network.
            coupling: CouplingConfig,
        },
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
        /// [`Inverse`] of a stack.
        Inverse(Vec<AnyBijectorConfig>),
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
        /// One after the other.
        Stack(Vec<AnyBijectorConfig>),
        /// [`Standardize::identity`], to load saved values into.
        Standardize {
            /// Features of an event.
            features: usize,
        },
    }
}

/// Validates a layer that has no single configuration of its own.
fn validate_composed(config: &AnyBijectorConfig) -> Result<()> {
    use AnyBijectorConfig as Of;
    let all = |inner: &[AnyBijectorConfig]| inner.iter().try_for_each(AnyBijectorConfig::validate);
    match config {
        Of::Bounded { bounds } => Bounded::new(bounds.clone()).map(drop),
        Of::Coupling { univariate, coupling } => {
            univariate.validate()?;
            coupling.validate_for(univariate.init().params_per_element())
        }
        Of::Elementwise { univariate, features } => elementwise(univariate, *features).map(drop),
        Of::ElementwiseContext { univariate, features, context, mlp } => {
            let params = elementwise(univariate, *features)?;
            count("Elementwise", "context", 1, *context)?;
            mlp.validate_between(*context, params, 0)
        }
        Of::MaskedAutoregressive { univariate, autoregressive } => {
            univariate.validate()?;
            autoregressive.validate_for(&univariate.init())
        }
        Of::Partial { features, mask, inner } => {
            count("Partial", "features", 1, *features)?;
            all(inner)?;
            let (own, _) = agree("Partial", inner)?;
            let kept = mask.kept(&[*features]).map_err(|error| error.of("Partial"))?;
            let moved = features - kept.len();
            match own.filter(|own| *own != moved) {
                None => Ok(()),
                Some(own) => {
                    let reason =
                        format!("must take the {moved} moved features of the mask, found {own}");
                    Err(Error::config("Partial", "inner", reason))
                }
            }
        }
        Of::Inverse(inner) => all(inner).and_then(|()| agree("Inverse", inner).map(drop)),
        Of::Stack(inner) => all(inner).and_then(|()| agree("Stack", inner).map(drop)),
        Of::Permutation { order } => Permutation::check_order(order).map(drop),
        Of::Reverse { features } => count("Reverse", "features", 1, *features),
        Of::Shuffle { features, .. } => count("Shuffle", "features", 1, *features),
        Of::Standardize { features } => count("Standardize", "features", 1, *features),
        other => unreachable!("validated by the table: {other:?}"),
    }
}

/// Builds a layer that has no single configuration of its own.
fn compose(config: &AnyBijectorConfig, device: &Device) -> Result<AnyBijector> {
    use AnyBijectorConfig as Of;
    let all = |inner: &[AnyBijectorConfig]| -> Vec<_> {
        inner.iter().map(|config| config.build(device)).collect()
    };
    Ok(match config {
        Of::Bounded { bounds } => AnyBijector::Bounded(Bounded::new(bounds.clone())?),
        Of::Coupling { univariate, coupling } => {
            AnyBijector::Coupling(coupling.try_init(univariate.init(), device)?)
        }
        Of::Elementwise { univariate, features } => {
            AnyBijector::Elementwise(Elementwise::new(univariate.init(), *features, device)?)
        }
        Of::ElementwiseContext { univariate, features, context, mlp } => {
            let free = Elementwise::new(univariate.init(), *features, device)?;
            AnyBijector::Elementwise(free.with_context(mlp, *context, device)?)
        }
        Of::Inverse(inner) => AnyBijector::Inverse(Inverse::new(all(inner))),
        Of::MaskedAutoregressive { univariate, autoregressive } => {
            let layer = autoregressive.try_init(univariate.init(), device)?;
            AnyBijector::MaskedAutoregressive(layer)
        }
        Of::Partial { features, mask, inner } => {
            AnyBijector::Partial(Partial::new(mask, &[*features], all(inner), device)?)
        }
        Of::Permutation { order } => AnyBijector::Permutation(Permutation::given(order, device)?),
        Of::Reverse { features } => {
            AnyBijector::Permutation(Permutation::reverse(*features, device)?)
        }
        Of::Shuffle { features, seed } => {
            AnyBijector::Permutation(Permutation::random(*features, *seed, device)?)
        }
        Of::Stack(inner) => AnyBijector::Stack(all(inner)),
        Of::Standardize { features } => {
            AnyBijector::Standardize(Standardize::identity(&[*features], device))
        }
        other => unreachable!("built by the table: {other:?}"),
    })
}

fn composed_sizes(config: &AnyBijectorConfig) -> Result<Sizes> {
    use AnyBijectorConfig as Of;
    let (features, context) = match config {
        Of::Elementwise { features, .. }
        | Of::Reverse { features }
        | Of::Shuffle { features, .. }
        | Of::Standardize { features } => (*features, None),
        Of::Bounded { bounds } => (bounds.len(), None),
        Of::Permutation { order } => (order.len(), None),
        Of::Coupling { coupling, .. } => (coupling.features, Some(coupling.context)),
        Of::ElementwiseContext { features, context, .. } => (*features, Some(*context)),
        Of::MaskedAutoregressive { autoregressive, .. } => {
            (autoregressive.features, Some(autoregressive.context))
        }
        Of::Partial { features, inner, .. } => (*features, agree("Partial", inner)?.1),
        Of::Inverse(inner) => return agree("Inverse", inner),
        Of::Stack(inner) => return agree("Stack", inner),
        other => unreachable!("measured by the table: {other:?}"),
    };
    Ok((Some(features), context))
}

/// The number of parameters of an elementwise map of `features` elements.
fn elementwise(univariate: &AnyUnivariateConfig, features: usize) -> Result<usize> {
    univariate.validate()?;
    count("Elementwise", "features", 1, features)?;
    let per_element = univariate.init().params_per_element();
    fits("Elementwise", "features", &[per_element, features])?;
    Ok(per_element * features)
}
