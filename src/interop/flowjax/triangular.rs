//! Triangular spline flows.

use burn::tensor::Device;

use super::{Chain, Options, flow};
use crate::bijector::{AnyBijector, Elementwise, Inverse, LeakyTanh, LinearMap, TriangularMatrix};
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::interop::StateDict;
use crate::interop::scope::Scope;
use crate::math::from_f64;
use crate::univariate::AnyUnivariate;

/// The paths of the splines and of the triangular map of a layer.
const SPLINES: &str = "bijections[0].inner.bijection";
const LINEAR: &str = "bijections[1]";
/// The path of the weights of the condition, if the layer has a condition.
const CONDITION: &str = "bijections[2].module.weight";

/// Loads a `triangular_spline_flow` with the base of a [`coupling_flow`](super::coupling_flow). FlowJAX does not save
/// `tanh_max_val`; its default is 3.
///
/// A layer consists of a spline of each feature between a [`LeakyTanh`] and its inverse, and of a triangular linear
/// map.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, flowjax};
///
/// // One layer of two features and splines of three bins, all equal; slopes of 1 at their knots.
/// let mut dict = StateDict::new();
/// let mut add = |name: &str, values: &[f64], shape: &[usize]| {
///     let name = format!("bijection.bijection.bijection.{name}");
///     dict.insert(name, HostTensor::floats(values, shape));
/// };
/// let one = (1f64 - 1e-3).exp_m1().ln(); // softplus(one) + 1e-3 = 1
/// add("bijections[0].inner.bijection.x_pos.arr", &[0.0; 6], &[1, 2, 3]);
/// add("bijections[0].inner.bijection.y_pos.arr", &[0.0; 6], &[1, 2, 3]);
/// add("bijections[0].inner.bijection.derivatives.args[0]", &[one; 8], &[1, 2, 4]);
/// add("bijections[1].loc", &[0.0, 5.0], &[1, 2]);
/// add("bijections[1].triangular.weight.args[0]", &[0.5, 9.0, 0.0, 0.5], &[1, 2, 2]);
/// add("bijections[1].triangular.scale.args[0]", &[1f64.exp_m1().ln(); 2], &[1, 2, 1]);
/// let device = Device::flex();
/// let flow = flowjax::triangular_spline_flow(&dict, 3.0, &flowjax::Options::new(), &device)?;
/// // Nothing but the shift of the second feature, and the flip behind it.
/// let z = flow.encode(Tensor::<2>::from_data([[0.5, -7.0]], &device));
/// let expected = Tensor::<2>::from_data([[-2.0, 0.5]], &device);
/// z.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn triangular_spline_flow(
    dict: &StateDict,
    tanh_max_val: f64,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let tanh = LeakyTanh::new(tanh_max_val)?;
    let conditional = dict.names().any(|name| name.ends_with(CONDITION));
    let chain = Chain {
        layer: "",
        probe: format!("{SPLINES}.x_pos.arr"),
        permutation: if conditional { 3 } else { 2 },
        features: |shape| shape.get(1).copied(),
    };
    flow(dict, &chain, device, |chain, index, layers, features| {
        let splines = splines(chain, index, [layers, features], options, device)?;
        let back = Inverse::new(vec![AnyBijector::LeakyTanh(tanh.clone())]);
        Ok(AnyBijector::Stack(vec![
            AnyBijector::LeakyTanh(tanh.clone()),
            AnyBijector::Elementwise(splines),
            AnyBijector::Inverse(back),
            AnyBijector::TriangularLinear(triangular(chain, index, [layers, features], device)?),
        ]))
    })
}

/// The splines of layer `index`.
fn splines(
    chain: &Scope<'_>,
    index: usize,
    [layers, features]: [usize; 2],
    options: &Options,
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    let part = chain.within(SPLINES);
    let (_, [_, _, bins]) = part.floats_of_rank("x_pos.arr")?;
    // The interval is the range of tanh.
    let map = options.spline(bins, [-1.0, 1.0], Some(0.0));
    let map = AnyUnivariate::RationalQuadratic(part.named("x_pos.arr", map)?);
    let mut params = vec![];
    for (name, count) in
        [("x_pos.arr", bins), ("y_pos.arr", bins), ("derivatives.args[0]", bins + 1)]
    {
        let values = part.floats(name, &[layers, features, count])?;
        let values = &values[index * features * count..][..features * count];
        params.extend((0..count).flat_map(|p| values[p..].iter().step_by(count)));
    }
    let params = from_f64(params, [3 * bins + 1, features], device);
    Ok(Elementwise::from_weights(map, params))
}

/// The triangular map of layer `index`.
fn triangular(
    chain: &Scope<'_>,
    index: usize,
    [layers, features]: [usize; 2],
    device: &Device,
) -> Result<LinearMap<TriangularMatrix>> {
    let part = chain.within(LINEAR);
    let row = |name, shape: &[usize]| {
        let size: usize = shape.iter().product();
        let shape = [&[layers], shape].concat();
        Ok(part.floats(name, &shape)?[index * size..][..size].to_vec())
    };
    let entries = row("triangular.weight.args[0]", &[features, features])?;
    let entries = from_f64(entries, [features, features], device);
    let scale = from_f64(row("triangular.scale.args[0]", &[features, 1])?, [features], device);
    let shift = from_f64(row("loc", &[features])?, [features], device);
    let layer = LinearMap::new(TriangularMatrix::from_weights(entries, scale)).with_bias(shift);
    if !chain.has(CONDITION) {
        return Ok(layer);
    }
    let (weights, [_, _, width]) = chain.floats_of_rank(CONDITION)?;
    chain.floats(CONDITION, &[layers, features, width])?;
    let own = &weights[index * features * width..][..features * width];
    let columns = (0..width).flat_map(|k| own[k..].iter().step_by(width)).copied().collect();
    Ok(layer.with_context(from_f64(columns, [width, features], device)))
}
