//! The scalar maps of zuko, and the layout of their parameters.

use burn::tensor::Device;

use super::Options;
use super::layers::expect_no_normalization;
use crate::error::{Error, Result};
use crate::interop::scope::Scope;
use crate::math::from_f64;
use crate::univariate::{
    Affine, AnyUnivariate, BernsteinConfig, GaussianizationConfig, HalfTurn, KnotMap, Neural,
    RationalQuadratic, RationalQuadraticConfig, ScaleMap, SplineDomain, Stacked,
    SumOfSquaresConfig, UnconstrainedMonotonicConfig,
};

/// The `eps` of `MonotonicTransform`: the tails of a `BoundedBernsteinTransform` start inside the interval, by this share
/// of its length.
const BERNSTEIN_GAP: f64 = 1e-6;

/// The distance that a `GaussianizationTransform` keeps from the ends of the unit interval, applied twice.
const GAUSSIANIZATION_FLOOR: f64 = 1e-6;

/// The `univariate` of a layer, with the settings that zuko does not save.
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
        /// `bound` of the spline.
        bound: f64,
    },
    /// `CircularRQSTransform`.
    CircularSpline,
    /// `BoundedBernsteinTransform`.
    Bernstein {
        /// `bound` of the polynomial.
        bound: f64,
    },
    /// `SOSPolynomialTransform`, alone or followed by the constant of `SOSPF`. zuko does not save the shape of the
    /// parameters.
    SumOfSquares {
        /// `degree` of the polynomials; the number of polynomials follows from the number of parameters.
        degree: usize,
    },
    /// `GaussianizationTransform`.
    Gaussianization,
    /// `MNN`, with the weights `univariate.network` of the layer.
    Neural,
    /// `UMNN`, with the weights `univariate.integrand` of the layer.
    Unconstrained,
}

/// A scalar map, and the positions of its parameters.
pub(super) struct Spread {
    pub(super) univariate: AnyUnivariate,
    /// The number of parameters of each constructor argument, for one element.
    pub(super) sizes: Vec<usize>,
    /// The position of each parameter of the map, in the order of the map, among the parameters of all arguments.
    pub(super) places: Vec<usize>,
}

impl Univariate {
    /// `MonotonicRQSTransform` with its default bound, as in `NSF`.
    pub const SPLINE: Self = Self::Spline { bound: 5.0 };

    /// The constructor arguments: their names, and their number of axes for one element.
    pub(super) fn arguments(&self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Bernstein { .. } => &[("theta", 1)],
            Self::SumOfSquares { .. } => &[("a", 2), (CONSTANT, 0)],
            Self::Gaussianization => &[("shift", 1), ("scale", 1)],
            Self::Neural => &[("signal", 1)],
            Self::Unconstrained => &[("signal", 1), (CONSTANT, 0)],
            Self::Affine => &[("shift", 0), ("scale", 0)],
            Self::Spline { .. } | Self::CircularSpline => {
                &[("widths", 1), ("heights", 1), ("derivatives", 1)]
            }
        }
    }

    /// The map with `params` parameters, or `None` if it cannot have that many. Own weights of the map are read from
    /// the layer.
    ///
    /// # Errors
    ///
    /// Fails if a setting that zuko does not save is invalid, or if the weights are invalid.
    pub(super) fn spread(
        &self,
        layer: &Scope<'_>,
        params: usize,
        options: &Options,
        device: &Device,
    ) -> Result<Option<Spread>> {
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
                let map = AnyUnivariate::Affine(Affine::new(scale_map)?);
                (params == 2).then(|| in_order(map, &[1, 1]))
            }
            Self::Spline { bound } => spline(params, bound, limit)?.map(|(map, bins)| {
                in_order(AnyUnivariate::RationalQuadratic(map), &[bins, bins, bins - 1])
            }),
            Self::Bernstein { bound } => {
                let config = BernsteinConfig::new()
                    .with_degree(params + 4)
                    .with_bound(bound)
                    .with_min_rise(0.0)
                    .with_gap(BERNSTEIN_GAP);
                config.validate()?;
                Some(in_order(AnyUnivariate::Bernstein(config.init()), &[params]))
            }
            Self::SumOfSquares { degree } => {
                let (polynomials, constant) = (params / (degree + 1), params % (degree + 1));
                let config = SumOfSquaresConfig::new()
                    .with_degree(degree)
                    .with_polynomials(polynomials)
                    .with_min_slope(options.slope)
                    .with_spread(0.0);
                config.validate()?;
                let sizes = [params - constant, constant];
                let map = AnyUnivariate::SumOfSquares(config.init());
                (constant <= 1).then(|| in_order(map, &sizes[..1 + constant]))
            }
            Self::Gaussianization => {
                let config = GaussianizationConfig::new()
                    .with_components(params / 2)
                    .with_spread(0.0)
                    .with_floor(GAUSSIANIZATION_FLOOR);
                config.validate()?;
                let map = AnyUnivariate::Gaussianization(config.init());
                params.is_multiple_of(2).then(|| in_order(map, &[params / 2; 2]))
            }
            Self::Neural => {
                let layers = stacked(layer, "univariate.network", params, device)?;
                let map = AnyUnivariate::Neural(Neural::from_layers(layers));
                Some(in_order(map, &[params]))
            }
            Self::Unconstrained => {
                let Some(signal) = params.checked_sub(1) else { return Ok(None) };
                let layers = stacked(layer, "univariate.integrand", signal, device)?;
                let config = UnconstrainedMonotonicConfig::new()
                    .with_activation(options.integrand_activation.clone());
                config.validate()?;
                let map = AnyUnivariate::UnconstrainedMonotonic(config.with_layers(layers, device));
                Some(in_order(map, &[signal, 1]))
            }
            Self::CircularSpline => {
                let bound = std::f64::consts::PI;
                let Some((map, bins)) = spline(params, bound, limit)? else { return Ok(None) };
                let map = AnyUnivariate::HalfTurn(HalfTurn::new(map, bound)?);
                Some(in_order(map, &[bins, bins, bins - 1]))
            }
        })
    }
}

/// The argument that may be missing from a map.
pub(super) const CONSTANT: &str = "constant";

/// The dense layers of a network from one value and `signal` signals. All elements share one network, or each element
/// has one.
fn stacked(layer: &Scope<'_>, part: &str, signal: usize, device: &Device) -> Result<Vec<Stacked>> {
    expect_no_normalization(layer, part)?;
    let numbers = layer.numbered(part);
    if numbers.len() < 2 {
        return Err(layer.wrong(part, "must be a network of at least 2 layers".into()));
    }
    let last = numbers.len() - 1;
    let (mut width, mut stack) = (1 + signal, None);
    let mut layers = vec![];
    for (index, number) in numbers.into_iter().enumerate() {
        let name = |what: &str| format!("{part}.{number}.{what}");
        let weight = layer.tensor(&name("weight"), None)?;
        let (outputs, found) = match *weight.shape() {
            [outputs, _] => (outputs, None),
            [stack, outputs, _] => (outputs, Some(stack)),
            ref shape => {
                let reason = format!("needs 2 or 3 axes, found shape {shape:?}");
                return Err(layer.wrong(&name("weight"), reason));
            }
        };
        let stack: Option<usize> = *stack.get_or_insert(found);
        let outputs = if index == last { 1 } else { outputs };
        let leading: Vec<usize> = stack.into_iter().collect();
        let weight =
            layer.floats(&name("weight"), &[leading.as_slice(), &[outputs, width]].concat())?;
        let bias = layer.floats(&name("bias"), &[leading.as_slice(), &[outputs]].concat())?;
        if weight.is_empty() {
            return Err(layer.wrong(&name("weight"), "is empty".into()));
        }
        let stack = stack.unwrap_or(1);
        let weight = from_f64::<3>(weight.to_vec(), [stack, outputs, width], device);
        let bias = from_f64(bias.to_vec(), [stack, 1, outputs], device);
        layers.push(Stacked::from_weights(weight.swap_dims(1, 2), bias));
        width = outputs;
    }
    Ok(layers)
}

/// Returns an error unless the file holds every parameter of the map. zuko may omit the constant of free parameters.
pub(super) fn expect_all(scope: &Scope<'_>, name: &str, map: &Spread) -> Result<()> {
    use crate::univariate::Univariate as _;

    let (given, needed) = (map.places.len(), map.univariate.params_per_element());
    if given == needed {
        return Ok(());
    }
    let reason = format!("gives {given} parameters per element, expected {needed}");
    Err(Error::Tensor { name: scope.full(name), reason })
}

/// The spline with `params` parameters, and its number of bins.
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
