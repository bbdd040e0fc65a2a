//! Which scalar map, and how zuko lays out its parameters.

use super::Options;
use crate::error::Result;
use crate::univariate::{
    Affine, AnyUnivariate, HalfTurn, KnotMap, RationalQuadratic, RationalQuadraticConfig, ScaleMap,
    SplineDomain,
};

/// The `univariate` of a layer, with what zuko does not save of it.
///
/// ```
/// use burn_flows::interop::zuko::Univariate;
///
/// assert_eq!(Univariate::SPLINE, Univariate::Spline { bound: 5.0 });
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Univariate {
    /// `MonotonicAffineTransform`.
    Affine,
    /// `MonotonicRQSTransform`.
    Spline {
        /// `bound`.
        bound: f64,
    },
    /// `CircularRQSTransform`.
    CircularSpline,
}

/// A map, and where it finds its parameters.
pub(super) struct Spread {
    pub(super) univariate: AnyUnivariate,
    /// How many parameters every argument of the constructor holds, for one element.
    pub(super) sizes: Vec<usize>,
    /// Where every parameter of the map, in its own order, stands among all of these.
    pub(super) places: Vec<usize>,
}

impl Univariate {
    /// `MonotonicRQSTransform` with its default bound, as in `NSF`.
    pub const SPLINE: Self = Self::Spline { bound: 5.0 };

    /// The arguments of the constructor: their names, and how many axes they have for one element.
    pub(super) fn arguments(&self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Affine => &[("shift", 0), ("scale", 0)],
            Self::Spline { .. } | Self::CircularSpline => {
                &[("widths", 1), ("heights", 1), ("derivatives", 1)]
            }
        }
    }

    /// The map of `params` parameters, if it can have as many.
    ///
    /// # Errors
    ///
    /// If a number that zuko does not save cannot be.
    pub(super) fn spread(&self, params: usize, options: &Options) -> Result<Option<Spread>> {
        let limit = -options.slope.ln();
        let in_order = |univariate, sizes: &[usize]| Spread {
            univariate,
            sizes: sizes.to_vec(),
            places: (0..params).collect(),
        };
        Ok(match *self {
            Self::Affine => {
                let scale_map = ScaleMap::SoftBound { bound: limit };
                scale_map.validate()?;
                let map = AnyUnivariate::Affine(Affine::new(scale_map));
                (params == 2).then(|| in_order(map, &[1, 1]))
            }
            Self::Spline { bound } => spline(params, bound, limit)?.map(|(map, bins)| {
                in_order(AnyUnivariate::RationalQuadratic(map), &[bins, bins, bins - 1])
            }),
            Self::CircularSpline => {
                let bound = std::f64::consts::PI;
                spline(params, bound, limit)?.map(|(map, bins)| {
                    let map = AnyUnivariate::HalfTurn(HalfTurn::new(map, bound));
                    in_order(map, &[bins, bins, bins - 1])
                })
            }
        })
    }
}

/// The spline of so many parameters, and its bins.
fn spline(params: usize, bound: f64, limit: f64) -> Result<Option<(RationalQuadratic, usize)>> {
    let bins = params.div_ceil(3);
    if params != 3 * bins - 1 {
        return Ok(None);
    }
    let config = RationalQuadraticConfig::new()
        .with_bins(bins)
        .with_domain(SplineDomain::LinearTails { bound })
        .with_knot_map(KnotMap::SoftBound { bound: limit });
    config.validate()?;
    Ok(Some((config.init(), bins)))
}
