//! A scalar map chosen at run time.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Additive, Affine, CubicSpline, CubicSplineConfig, LinearSpline, LinearSplineConfig,
    QuadraticSpline, QuadraticSplineConfig, RationalQuadratic, RationalQuadraticConfig, ScaleMap,
    Univariate,
};
use crate::error::Result;

/// The scalar maps of this crate behind one type, for stacks known only at run time.
///
/// ```
/// use burn_flows::univariate::{AnyUnivariate, AnyUnivariateConfig, Univariate};
///
/// let config: AnyUnivariateConfig = serde_json::from_str("\"Additive\"").unwrap();
/// assert_eq!(config.init().params_per_element(), 1);
/// ```
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum AnyUnivariate {
    /// [`Additive`].
    Additive(Additive),
    /// [`Affine`].
    Affine(Affine),
    /// [`CubicSpline`].
    CubicSpline(CubicSpline),
    /// [`LinearSpline`].
    LinearSpline(LinearSpline),
    /// [`QuadraticSpline`].
    QuadraticSpline(QuadraticSpline),
    /// [`RationalQuadratic`].
    RationalQuadratic(RationalQuadratic),
}

/// Which [`AnyUnivariate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AnyUnivariateConfig {
    /// [`Additive`].
    Additive,
    /// [`Affine`] with its scale map.
    Affine(ScaleMap),
    /// [`CubicSpline`].
    CubicSpline(CubicSplineConfig),
    /// [`LinearSpline`].
    LinearSpline(LinearSplineConfig),
    /// [`QuadraticSpline`].
    QuadraticSpline(QuadraticSplineConfig),
    /// [`RationalQuadratic`].
    RationalQuadratic(RationalQuadraticConfig),
}

impl AnyUnivariateConfig {
    /// Says which field cannot be, and why.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Additive => Ok(()),
            Self::Affine(scale_map) => scale_map.validate(),
            Self::CubicSpline(config) => config.validate(),
            Self::LinearSpline(config) => config.validate(),
            Self::QuadraticSpline(config) => config.validate(),
            Self::RationalQuadratic(config) => config.validate(),
        }
    }

    /// The map.
    ///
    /// # Panics
    ///
    /// With the text of [`validate`](Self::validate).
    pub fn init(&self) -> AnyUnivariate {
        match *self {
            Self::Additive => AnyUnivariate::Additive(Additive::default()),
            Self::Affine(scale_map) => AnyUnivariate::Affine(Affine::new(scale_map)),
            Self::CubicSpline(config) => AnyUnivariate::CubicSpline(config.init()),
            Self::LinearSpline(config) => AnyUnivariate::LinearSpline(config.init()),
            Self::QuadraticSpline(config) => AnyUnivariate::QuadraticSpline(config.init()),
            Self::RationalQuadratic(config) => AnyUnivariate::RationalQuadratic(config.init()),
        }
    }
}

macro_rules! each {
    ($self:ident, $map:ident => $body:expr) => {
        match $self {
            AnyUnivariate::Additive($map) => $body,
            AnyUnivariate::Affine($map) => $body,
            AnyUnivariate::CubicSpline($map) => $body,
            AnyUnivariate::LinearSpline($map) => $body,
            AnyUnivariate::QuadraticSpline($map) => $body,
            AnyUnivariate::RationalQuadratic($map) => $body,
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
}
