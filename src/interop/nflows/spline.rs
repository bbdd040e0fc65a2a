//! The scalar maps of nflows' piecewise transforms, and `PiecewiseRationalQuadraticCDF`, whose parameters
//! are free.

use burn::tensor::Device;

use super::Options;
use crate::bijector::Elementwise;
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::scope::{Scope, whole};
use crate::math::from_f64;
use crate::univariate::{
    AnyUnivariate, KnotMap, RationalQuadraticConfig, SplineDomain, Univariate,
};

/// The spline that takes so many parameters per element, if one does. nflows divides logits by the
/// root of the width of some networks; `logit_scale` is its reciprocal.
pub(super) fn spline_of(
    per_element: usize,
    logit_scale: f64,
    options: &Options,
) -> Option<AnyUnivariate> {
    // Raw widths, heights and slopes of the knots between bins, and at the ends where they are free.
    let bins = match options.spline_domain {
        SplineDomain::LinearTails { .. } => (per_element + 1) / 3,
        SplineDomain::Interval { .. } => per_element.saturating_sub(1) / 3,
        SplineDomain::Circular { .. } => per_element / 3,
    };
    let config = RationalQuadraticConfig::new()
        .with_bins(bins)
        .with_domain(options.spline_domain)
        .with_min_width(options.min_width)
        .with_min_height(options.min_height)
        .with_min_slope(options.min_slope)
        .with_knot_map(KnotMap::Softmax { logit_scale, slope_offset: Some(0.0) });
    config.validate().is_ok().then(|| AnyUnivariate::RationalQuadratic(config.init()))
}

/// `PiecewiseRationalQuadraticCDF`: a spline with free parameters for every feature.
///
/// # Errors
///
/// As the [module](crate::interop#errors) says.
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

/// The raw parameters of a `..CDF`, in the order of the map.
const PARTS: [&str; 3] =
    ["unnormalized_widths", "unnormalized_heights", "unnormalized_derivatives"];

/// Whether a `..CDF` lies here.
pub(super) fn is_elementwise_spline(scope: &Scope<'_>) -> bool {
    scope.has(PARTS[0])
}

/// The layer, whose element `i` is element `order[i]` in the file where an order is given, and its
/// features.
pub(super) fn elementwise_spline_in(
    scope: &Scope<'_>,
    order: Option<&[usize]>,
    options: &Options,
    device: &Device,
) -> Result<(Elementwise<AnyUnivariate>, usize)> {
    let (mut features, mut raw) = (None, vec![]);
    for name in PARTS {
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
            let reason = format!("with {per_element} parameters per feature are no spline here");
            scope.wrong(PARTS[0], reason)
        })?;
    let params = from_f64(raw, [per_element, features], device);
    Ok((Elementwise::from_weights(map, params), features))
}
