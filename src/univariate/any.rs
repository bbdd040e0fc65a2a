//! A scalar map chosen at run time.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::half_turn::check_bound;
use super::{
    Additive, Affine, Bernstein, BernsteinConfig, CubicSpline, CubicSplineConfig, DeepSigmoidal,
    DeepSigmoidalConfig, Gaussianization, GaussianizationConfig, HalfTurn, LinearSpline,
    LinearSplineConfig, MixtureOfLogistics, MixtureOfLogisticsConfig, Neural, PerElement,
    QuadraticSpline, QuadraticSplineConfig, RationalQuadratic, RationalQuadraticConfig, ScaleMap,
    SumOfSquares, SumOfSquaresConfig, UnconstrainedMonotonic, Univariate,
};
use crate::error::{Error, Result};

/// The scalar maps of this crate behind one type, for stacks known only at run time.
///
/// ```
/// use burn_flows::univariate::{AnyUnivariate, AnyUnivariateConfig, Univariate};
///
/// let config: AnyUnivariateConfig = serde_json::from_str("\"Additive\"").unwrap();
/// assert_eq!(config.init().params_per_element(), 1);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
pub enum AnyUnivariate {
    /// [`Additive`].
    Additive(Additive),
    /// [`Affine`].
    Affine(Affine),
    /// [`Bernstein`].
    Bernstein(Bernstein),
    /// [`DeepSigmoidal`].
    DeepSigmoidal(DeepSigmoidal),
    /// [`Gaussianization`].
    Gaussianization(Gaussianization),
    /// [`MixtureOfLogistics`].
    MixtureOfLogistics(MixtureOfLogistics),
    /// [`Neural`].
    Neural(Neural),
    /// [`HalfTurn`] in front of a [`RationalQuadratic`].
    HalfTurn(HalfTurn<RationalQuadratic>),
    /// [`CubicSpline`].
    CubicSpline(CubicSpline),
    /// [`LinearSpline`].
    LinearSpline(LinearSpline),
    /// [`QuadraticSpline`].
    QuadraticSpline(QuadraticSpline),
    /// [`PerElement`] of any of them.
    PerElement(PerElement<AnyUnivariate>),
    /// [`RationalQuadratic`].
    RationalQuadratic(RationalQuadratic),
    /// [`SumOfSquares`].
    SumOfSquares(SumOfSquares),
    /// [`UnconstrainedMonotonic`].
    UnconstrainedMonotonic(UnconstrainedMonotonic),
}

/// Which [`AnyUnivariate`].
///
/// There is none for [`Neural`] and [`UnconstrainedMonotonic`], which own weights and so need a
/// device: their own configurations make them; nor for [`PerElement`](AnyUnivariate::PerElement), whose
/// elements only its user knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AnyUnivariateConfig {
    /// [`Additive`].
    Additive,
    /// [`Affine`] with its scale map.
    Affine(ScaleMap),
    /// [`Bernstein`].
    Bernstein(BernsteinConfig),
    /// [`DeepSigmoidal`].
    DeepSigmoidal(DeepSigmoidalConfig),
    /// [`Gaussianization`].
    Gaussianization(GaussianizationConfig),
    /// [`MixtureOfLogistics`].
    MixtureOfLogistics(MixtureOfLogisticsConfig),
    /// [`HalfTurn`] in front of a [`RationalQuadratic`].
    HalfTurn {
        /// Half the length of the circle.
        bound: f64,
        /// The spline behind it.
        spline: RationalQuadraticConfig,
    },
    /// [`CubicSpline`].
    CubicSpline(CubicSplineConfig),
    /// [`LinearSpline`].
    LinearSpline(LinearSplineConfig),
    /// [`QuadraticSpline`].
    QuadraticSpline(QuadraticSplineConfig),
    /// [`RationalQuadratic`].
    RationalQuadratic(RationalQuadraticConfig),
    /// [`SumOfSquares`].
    SumOfSquares(SumOfSquaresConfig),
}

impl AnyUnivariateConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Additive => Ok(()),
            Self::Affine(scale_map) => scale_map.validate(),
            Self::Bernstein(config) => config.validate(),
            Self::DeepSigmoidal(config) => config.validate(),
            Self::Gaussianization(config) => config.validate(),
            Self::MixtureOfLogistics(config) => config.validate(),
            Self::HalfTurn { bound, spline } => {
                check_bound(*bound)?;
                spline.validate()?;
                let (low, high, _) = spline.domain.ends();
                if (low, high) == (-bound, *bound) {
                    return Ok(());
                }
                let reason = format!(
                    "must be where the spline's domain [{low}, {high}] ends, found {bound}"
                );
                Err(Error::config("HalfTurn", "bound", reason))
            }
            Self::CubicSpline(config) => config.validate(),
            Self::LinearSpline(config) => config.validate(),
            Self::QuadraticSpline(config) => config.validate(),
            Self::RationalQuadratic(config) => config.validate(),
            Self::SumOfSquares(config) => config.validate(),
        }
    }

    /// [`validate`](Self::validate) for a model whose base is on the line, not on a circle.
    pub(crate) fn validate_on_line(&self, config: &'static str) -> Result<()> {
        if let Self::HalfTurn { .. } = self {
            let reason = "a half turn maps every turn of an angle to the same: it needs a base of \
                          angles, and this one is on the line";
            return Err(Error::config(config, "univariate", reason.to_string()));
        }
        self.validate()
    }

    /// The map.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails, with its message.
    pub fn init(&self) -> AnyUnivariate {
        match *self {
            Self::Additive => AnyUnivariate::Additive(Additive::default()),
            Self::Affine(scale_map) => AnyUnivariate::Affine(Affine::new(scale_map)),
            Self::Bernstein(config) => AnyUnivariate::Bernstein(config.init()),
            Self::DeepSigmoidal(config) => AnyUnivariate::DeepSigmoidal(config.init()),
            Self::Gaussianization(config) => AnyUnivariate::Gaussianization(config.init()),
            Self::MixtureOfLogistics(config) => AnyUnivariate::MixtureOfLogistics(config.init()),
            Self::HalfTurn { bound, spline } => {
                AnyUnivariate::HalfTurn(HalfTurn::new(spline.init(), bound))
            }
            Self::CubicSpline(config) => AnyUnivariate::CubicSpline(config.init()),
            Self::LinearSpline(config) => AnyUnivariate::LinearSpline(config.init()),
            Self::QuadraticSpline(config) => AnyUnivariate::QuadraticSpline(config.init()),
            Self::RationalQuadratic(config) => AnyUnivariate::RationalQuadratic(config.init()),
            Self::SumOfSquares(config) => AnyUnivariate::SumOfSquares(config.init()),
        }
    }
}

macro_rules! each {
    ($self:ident, $map:ident => $body:expr) => {
        match $self {
            AnyUnivariate::Additive($map) => $body,
            AnyUnivariate::Affine($map) => $body,
            AnyUnivariate::Bernstein($map) => $body,
            AnyUnivariate::DeepSigmoidal($map) => $body,
            AnyUnivariate::Gaussianization($map) => $body,
            AnyUnivariate::MixtureOfLogistics($map) => $body,
            AnyUnivariate::Neural($map) => $body,
            AnyUnivariate::HalfTurn($map) => $body,
            AnyUnivariate::CubicSpline($map) => $body,
            AnyUnivariate::LinearSpline($map) => $body,
            AnyUnivariate::QuadraticSpline($map) => $body,
            AnyUnivariate::PerElement($map) => $body,
            AnyUnivariate::RationalQuadratic($map) => $body,
            AnyUnivariate::SumOfSquares($map) => $body,
            AnyUnivariate::UnconstrainedMonotonic($map) => $body,
        }
    };
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
}
