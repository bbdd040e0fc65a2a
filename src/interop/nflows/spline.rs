//! The scalar maps of the piecewise transforms of nflows, and the `Piecewise..CDF` with free parameters.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::bijector::Elementwise;
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::scope::{Scope, whole};
use crate::math::from_f64;
use crate::univariate::{
    AnyUnivariate, AnyUnivariateConfig, CubicSplineConfig, KnotMap, LinearSplineConfig,
    QuadraticSplineConfig, RationalQuadraticConfig, SplineDomain, TailSlope, Univariate,
};

/// The piecewise transform of nflows that a file holds. The widths of the networks do not determine it, because many
/// widths fit several transforms.
///
/// ```
/// use burn_flows::interop::nflows;
///
/// // `PiecewiseCubicCouplingTransform`, `MaskedPiecewiseCubicAutoregressiveTransform` or
/// // `PiecewiseCubicCDF`.
/// let options = nflows::Options::new().with_spline(nflows::Spline::Cubic);
/// assert_eq!(options.spline, nflows::Spline::Cubic);
/// assert_eq!(nflows::Options::new().spline, nflows::Spline::RationalQuadratic);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Spline {
    /// The `PiecewiseLinear..` transforms.
    Linear,
    /// The `PiecewiseQuadratic..` transforms.
    Quadratic,
    /// The `PiecewiseCubic..` transforms.
    Cubic,
    /// The `PiecewiseRationalQuadratic..` transforms.
    #[default]
    RationalQuadratic,
}

impl Spline {
    /// The names of the raw parameters of a `..CDF`, in the order of the map.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Linear => &[PDF],
            Self::Quadratic => &[WIDTHS, HEIGHTS],
            Self::Cubic => {
                &[WIDTHS, HEIGHTS, "unnorm_derivatives_left", "unnorm_derivatives_right"]
            }
            Self::RationalQuadratic => &[WIDTHS, HEIGHTS, "unnormalized_derivatives"],
        }
    }
}

const PDF: &str = "unnormalized_pdf";
const WIDTHS: &str = "unnormalized_widths";
const HEIGHTS: &str = "unnormalized_heights";

/// The spline with `per_element` parameters per element, or `None` if there is no such spline. For some networks,
/// nflows divides widths and heights by the square root of the network width; `logit_scale` is the reciprocal of that
/// root.
pub(super) fn spline_of(
    per_element: usize,
    logit_scale: f64,
    options: &Options,
) -> Option<AnyUnivariate> {
    let Options { spline, spline_domain: domain, min_width, min_height, min_slope, .. } = *options;
    // The arguments are the number of parameters of a bin, and of the ends on an interval and with linear tails.
    let bins = |of_bin: usize, interval: isize, tails: isize| {
        let ends = match domain {
            SplineDomain::LinearTails { .. } => tails,
            SplineDomain::Interval { .. } => interval,
            SplineDomain::Circular { .. } => 0,
        };
        per_element.saturating_add_signed(-ends) / of_bin
    };
    let config = match spline {
        Spline::Linear => AnyUnivariateConfig::LinearSpline(
            LinearSplineConfig::new()
                .with_bins(bins(1, 0, 0))
                .with_domain(domain)
                .with_min_height(0.0),
        ),
        Spline::Quadratic => AnyUnivariateConfig::QuadraticSpline(
            QuadraticSplineConfig::new()
                .with_bins(bins(2, 1, -1))
                .with_domain(domain)
                .with_min_width(min_width)
                .with_min_slope(min_height)
                .with_logit_scale(logit_scale)
                .with_tail_slope(TailSlope::Nflows),
        ),
        Spline::Cubic => AnyUnivariateConfig::CubicSpline(
            CubicSplineConfig::new()
                .with_bins(bins(2, 2, 2))
                .with_domain(domain)
                .with_min_width(min_width)
                .with_min_height(min_height)
                .with_min_slope(0.0)
                .with_logit_scale(logit_scale)
                .with_end_offset(Some(0.0)),
        ),
        Spline::RationalQuadratic => AnyUnivariateConfig::RationalQuadratic(
            RationalQuadraticConfig::new()
                .with_bins(bins(3, 1, -1))
                .with_domain(domain)
                .with_min_width(min_width)
                .with_min_height(min_height)
                .with_min_slope(min_slope)
                .with_knot_map(KnotMap::Softmax { logit_scale, slope_offset: Some(0.0) }),
        ),
    };
    config.validate().is_ok().then(|| config.init())
}

/// Loads a `PiecewiseRationalQuadraticCDF`, or the `..CDF` of another [`Spline`], with free parameters for each
/// feature.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("unnormalized_widths", HostTensor::floats([0.5, 0.5], [1, 2]));
/// dict.insert("unnormalized_heights", HostTensor::floats([3f64.ln(), 0.0], [1, 2]));
/// dict.insert("unnormalized_derivatives", HostTensor::floats([0.0; 3], [1, 3]));
/// let device = Device::flex();
/// let layer = nflows::elementwise_spline(&dict, "", &nflows::Options::new(), &device)?;
/// // Two bins of equal width; the first takes three quarters of the height.
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[0.5]], &device), None);
/// assert!((z.into_scalar::<f32>() - 0.75).abs() < 1e-3);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn elementwise_spline(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    whole(dict, prefix, |scope| Ok(elementwise_spline_in(scope, None, options, device)?.0))
}

/// Whether this scope holds a `..CDF`.
pub(super) fn is_elementwise_spline(scope: &Scope<'_>) -> bool {
    scope.has(PDF) || scope.has(WIDTHS)
}

/// The elementwise layer, and its number of features. If an `order` is given, element `i` of the layer is element
/// `order[i]` in the file.
pub(super) fn elementwise_spline_in(
    scope: &Scope<'_>,
    order: Option<&[usize]>,
    options: &Options,
    device: &Device,
) -> Result<(Elementwise<AnyUnivariate>, usize)> {
    let (mut features, mut raw) = (None, vec![]);
    let parts = options.spline.parts();
    for name in parts {
        let (values, [rows, count]) = scope.floats_of_rank::<2>(name)?;
        let elements = order.map_or(rows, <[usize]>::len);
        scope.floats(name, &[*features.get_or_insert(elements), count])?;
        let natural: Vec<usize> = (0..elements).collect();
        let order = order.unwrap_or(&natural);
        raw.extend((0..count).flat_map(|p| order.iter().map(move |i| values[i * count + p])));
    }
    let features = features.unwrap_or_default();
    let per_element = raw.len() / features;
    let map = spline_of(per_element, 1.0, options)
        .filter(|map| map.params_per_element() == per_element)
        .ok_or_else(|| {
            let reason = format!("gives {per_element} parameters per feature, which fit no spline");
            scope.wrong(parts[0], reason)
        })?;
    let params = from_f64(raw, [per_element, features], device);
    Ok((Elementwise::from_weights(map, params), features))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::bijector::Bijector;
    use crate::interop::HostTensor;
    use crate::noise::Noise;

    const ALL: [Spline; 4] =
        [Spline::Linear, Spline::Quadratic, Spline::Cubic, Spline::RationalQuadratic];

    #[test]
    fn the_number_of_parameters_says_how_many_bins() {
        let tails = SplineDomain::LinearTails { bound: 3.0 };
        let interval = SplineDomain::Interval { low: 0.0, high: 1.0 };
        for bins in 2..12 {
            let counts = [
                (Spline::Linear, bins, bins),
                (Spline::Quadratic, 2 * bins - 1, 2 * bins + 1),
                (Spline::Cubic, 2 * bins + 2, 2 * bins + 2),
                (Spline::RationalQuadratic, 3 * bins - 1, 3 * bins + 1),
            ];
            for (spline, with_tails, on_interval) in counts {
                for (domain, count) in [(tails, with_tails), (interval, on_interval)] {
                    let options = Options::new().with_spline(spline).with_spline_domain(domain);
                    let map = spline_of(count, 1.0, &options).expect("at least two bins");
                    assert_eq!(map.params_per_element(), count, "{spline:?} {domain:?}");
                }
            }
        }
        for spline in ALL {
            assert!(spline_of(1, 1.0, &Options::new().with_spline(spline)).is_none());
        }
    }

    /// The raw parameters of three features and two bins on the unit interval: the dictionary that nflows saves, and
    /// the tensor that the map takes.
    fn free(spline: Spline) -> (StateDict, Tensor<3>) {
        let counts: &[usize] = match spline {
            Spline::Linear => &[2],
            Spline::Quadratic => &[2, 3],
            Spline::Cubic => &[2, 2, 1, 1],
            Spline::RationalQuadratic => &[2, 2, 3],
        };
        let (mut dict, mut all, mut noise) = (StateDict::new(), vec![], Noise::seeded(1));
        for (name, &count) in spline.parts().iter().zip(counts) {
            let values: Vec<f64> = (0..3 * count).map(|_| noise.next_normal()).collect();
            dict.insert(*name, HostTensor::floats(values.clone(), [3, count]));
            let part = TensorData::new(values, [1, 3, count]);
            all.push(Tensor::<3>::from_data(part, &Device::flex()).swap_dims(1, 2));
        }
        (dict, Tensor::cat(all, 1))
    }

    #[test]
    fn free_parameters_are_in_the_order_of_the_map() -> Result<()> {
        let x = Tensor::<2>::from_data([[0.2, 0.5, 0.9]], &Device::flex());
        for spline in ALL {
            let (dict, raw) = free(spline);
            let options = Options::new().with_spline(spline);
            let layer = elementwise_spline(&dict, "", &options, &Device::flex())?;
            let map = spline_of(raw.dims()[1], 1.0, &options).expect("two bins");
            let found = layer.forward(x.clone(), None).0.into_data();
            assert_eq!(found, map.forward(x.clone(), raw).0.into_data(), "{spline:?}");
        }
        Ok(())
    }

    #[test]
    fn parts_of_another_spline_are_an_error() {
        for (file, read) in [
            (Spline::Linear, Spline::RationalQuadratic),
            (Spline::Quadratic, Spline::Linear),
            (Spline::RationalQuadratic, Spline::Cubic),
            (Spline::Cubic, Spline::Quadratic),
        ] {
            let options = Options::new().with_spline(read);
            let error = elementwise_spline(&free(file).0, "", &options, &Device::flex());
            assert!(error.is_err(), "{file:?} read as {read:?}");
        }
    }
}
