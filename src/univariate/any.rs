//! A scalar map chosen at run time.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::half_turn::check_bound;
use super::{
    Additive, Affine, Bernstein, BernsteinConfig, CubicSpline, CubicSplineConfig, DeepSigmoidal,
    DeepSigmoidalConfig, Gaussianization, GaussianizationConfig, HalfTurn, Kernel, LinearSpline,
    LinearSplineConfig, MixtureOfLogistics, MixtureOfLogisticsConfig, Neural, PerElement,
    QuadraticSpline, QuadraticSplineConfig, RationalQuadratic, RationalQuadraticConfig, ScaleMap,
    SumOfSquares, SumOfSquaresConfig, UnconstrainedMonotonic, Univariate,
};
use crate::config::construct;
use crate::error::{Error, Result};

/// Makes [`AnyUnivariate`], its configuration, and the match over all maps.
///
/// `configured`: a map and its configuration, which is `Copy`. `others`: maps that the code below
/// configures, or that can only be built in code. `by`: the variants of the configurations of `others`.
macro_rules! table {
    (($d:tt)
        configured { $($map:ident $config:ident;)+ }
        others { $($(#[$doc:meta])* $other:ident($type:ty);)+ }
        by { $($(#[$variant_doc:meta])* $variant:ident $(($field:ty))? $({ $($fields:tt)* })?,)+ }
    ) => {
/// The scalar maps of this crate behind one type, for stacks known only at run time.
///
/// ```
/// use burn_flows::univariate::{AnyUnivariate, AnyUnivariateConfig, Univariate};
///
/// let config: AnyUnivariateConfig = serde_json::from_str("\"Additive\"").unwrap();
/// assert_eq!(config.init().params_per_element(), 1);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
        #[module(custom_display)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
        pub enum AnyUnivariate {
            $(#[doc = concat!("[`", stringify!($map), "`].")] $map($map),)+
            $($(#[$doc])* $other($type),)+
        }

        crate::display::display!(AnyUnivariate);

/// The configuration of an [`AnyUnivariate`].
///
/// [`Neural`] and [`UnconstrainedMonotonic`] have no variant here: they own weights and need a device,
/// so their own configurations build them. [`PerElement`](AnyUnivariate::PerElement) has no variant
/// either, because only the user knows the map of each element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        #[serde(deny_unknown_fields)]
        pub enum AnyUnivariateConfig {
            $(#[doc = concat!("[`", stringify!($map), "`].")] $map($config),)+
            $($(#[$variant_doc])* $variant $(($field))? $({ $($fields)* })?,)+
        }

        impl AnyUnivariateConfig {
            /// Returns an error that names the first invalid field.
            pub fn validate(&self) -> Result<()> {
                match self {
                    $(Self::$map(config) => config.validate(),)+
                    Self::Additive => Ok(()),
                    Self::Affine(scale_map) => scale_map.validate(),
                    Self::HalfTurn { bound, spline } => check_half_turn(*bound, spline),
                }
            }

            construct! {
                /// Builds the map.
                unseeded() -> AnyUnivariate
            }

            fn build(&self) -> AnyUnivariate {
                match *self {
                    $(Self::$map(config) => AnyUnivariate::$map(config.init()),)+
                    Self::Additive => AnyUnivariate::Additive(Additive::default()),
                    Self::Affine(scale_map) => {
                        AnyUnivariate::Affine(Affine::new(scale_map).expect("validated"))
                    }
                    Self::HalfTurn { bound, spline } => {
                        let map = HalfTurn::new(spline.init(), bound);
                        AnyUnivariate::HalfTurn(map.expect("validated"))
                    }
                }
            }
        }

        macro_rules! each {
            ($d self:ident, $d map:ident => $d body:expr) => {
                match $d self {
                    $(AnyUnivariate::$map($d map) => $d body,)+
                    $(AnyUnivariate::$other($d map) => $d body,)+
                }
            };
        }
    };
}

table! {
    ($)
    configured {
        Bernstein BernsteinConfig;
        CubicSpline CubicSplineConfig;
        DeepSigmoidal DeepSigmoidalConfig;
        Gaussianization GaussianizationConfig;
        LinearSpline LinearSplineConfig;
        MixtureOfLogistics MixtureOfLogisticsConfig;
        QuadraticSpline QuadraticSplineConfig;
        RationalQuadratic RationalQuadraticConfig;
        SumOfSquares SumOfSquaresConfig;
    }
    others {
        /// [`Additive`].
        Additive(Additive);
        /// [`Affine`].
        Affine(Affine);
        /// [`HalfTurn`] in front of a [`RationalQuadratic`].
        HalfTurn(HalfTurn<RationalQuadratic>);
        /// [`Neural`].
        Neural(Neural);
        /// [`PerElement`] with any of these maps.
        PerElement(PerElement<AnyUnivariate>);
        /// [`UnconstrainedMonotonic`].
        UnconstrainedMonotonic(UnconstrainedMonotonic);
    }
    by {
        /// [`Additive`].
        Additive,
        /// [`Affine`] with its scale map.
        Affine(ScaleMap),
        /// [`HalfTurn`] in front of a [`RationalQuadratic`].
        HalfTurn {
            /// Half the length of the circle.
            bound: f64,
            /// The spline that follows the half turn. Its domain must be `[-bound, bound]`.
            spline: RationalQuadraticConfig,
        },
    }
}

/// Returns an error unless the spline's domain is `[-bound, bound]`.
fn check_half_turn(bound: f64, spline: &RationalQuadraticConfig) -> Result<()> {
    check_bound(bound)?;
    spline.validate()?;
    let (low, high, _) = spline.domain.ends();
    if (low, high) == (-bound, bound) {
        return Ok(());
    }
    let reason = format!("must be the end of the spline's domain [{low}, {high}], found {bound}");
    Err(Error::config("HalfTurn", "bound", reason))
}

impl AnyUnivariateConfig {
    /// [`validate`](Self::validate) for a model whose base distribution is on the line, not on a
    /// circle.
    pub(crate) fn validate_on_line(&self, config: &'static str) -> Result<()> {
        if let Self::HalfTurn { .. } = self {
            let reason = "a HalfTurn needs a base distribution of angles, and the base of this \
                          model is on the real line";
            return Err(Error::config(config, "univariate", reason.to_string()));
        }
        self.validate()
    }
}

impl Univariate for AnyUnivariate {
    fn params_per_element(&self) -> usize {
        each!(self, map => map.params_per_element())
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        each!(self, map => map.forward(x, params))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        each!(self, map => map.inverse(z, params))
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        each!(self, map => map.inverse_with_log_det(z, params))
    }

    fn elements(&self) -> Option<usize> {
        each!(self, map => map.elements())
    }

    fn of_elements(&self, elements: &[usize]) -> Option<Self> {
        match self {
            Self::Neural(map) => map.of_elements(elements).map(Self::Neural),
            Self::UnconstrainedMonotonic(map) => {
                map.of_elements(elements).map(Self::UnconstrainedMonotonic)
            }
            Self::HalfTurn(map) => map.of_elements(elements).map(Self::HalfTurn),
            Self::PerElement(map) => map.of_elements(elements).map(Self::PerElement),
            _ => None,
        }
    }

    fn has_inverse_formula(&self) -> bool {
        each!(self, map => map.has_inverse_formula())
    }

    fn kernel(&self) -> Option<Kernel> {
        each!(self, map => map.kernel())
    }
}
