//! Tests of the kernel against the map made of tensor operations.

use burn::tensor::{DType, Device, TensorData};

use super::*;
use crate::noise::Noise;

type Forward = fn(&RationalQuadratic, Tensor<2>, Tensor<3>) -> (Tensor<2>, Tensor<1>);

/// Splines of every kind.
fn splines() -> Vec<RationalQuadraticConfig> {
    let domains = [
        SplineDomain::LinearTails { bound: 3.0 },
        SplineDomain::Interval { low: -1.0, high: 2.5 },
        SplineDomain::Circular { bound: 2.0 },
    ];
    let maps = [
        KnotMap::default(),
        KnotMap::Softmax { logit_scale: 0.25, slope_offset: Some(0.0) },
        KnotMap::SoftBound { bound: 1e3_f64.ln() },
    ];
    let config =
        |domain, map| RationalQuadraticConfig::new().with_domain(domain).with_knot_map(map);
    let kinds = domains.map(|domain| maps.map(|map| config(domain, map)));
    let mut all: Vec<_> = kinds.into_iter().flatten().collect();
    let odd = RationalQuadraticConfig::new().with_bins(3).with_min_width(0.1);
    all.push(odd.with_min_height(0.02).with_min_slope(0.2));
    all
}

/// Values and parameters: half of them moderate, some far outside all bounds.
fn inputs(
    config: &RationalQuadraticConfig,
    [batch, n]: [usize; 2],
    spread: f64,
    dtype: DType,
) -> (Tensor<2>, Tensor<3>) {
    let mut noise = Noise::seeded(7);
    let count = config.init().params_per_element();
    let x: Tensor<2> = noise.normal([batch, n], &Device::flex()) * 2.0;
    let (low, high, _) = config.domain.ends();
    let low = Tensor::full([1, n], low, &Device::flex());
    let ends = Tensor::cat(vec![low.clone(), low.full_like(high)], 0);
    let x = x.slice_assign([0..2, 0..n], ends);
    let params: Tensor<3> = noise.normal([batch, count, n], &Device::flex()) * spread;
    (x.cast(dtype), params.cast(dtype))
}

/// The values, the log-det, and the gradients of a functional with random weights.
fn all(
    forward: Forward,
    map: &RationalQuadratic,
    x: Tensor<2>,
    params: Tensor<3>,
) -> [TensorData; 4] {
    let dtype = x.dtype();
    let (x, params) = (x.autodiff().require_grad(), params.autodiff().require_grad());
    let mut noise = Noise::seeded(8);
    let device = Device::flex();
    let weights: Tensor<2> = noise.normal(x.dims(), &device);
    let row: Tensor<1> = noise.normal([x.dims()[0]], &device);
    let (weights, row) = (weights.cast(dtype).autodiff(), row.cast(dtype).autodiff());
    let (z, log_det) = forward(map, x.clone(), params.clone());
    let loss = (z.clone() * weights).sum() + (log_det.clone() * row).sum();
    let gradients = loss.backward();
    let by_x = x.grad(&gradients).expect("tracked").into_data();
    let by_params = params.grad(&gradients).expect("tracked").into_data();
    [z.into_data(), log_det.into_data(), by_x, by_params]
}

/// The largest difference, as a share of the largest number of its row.
fn difference(found: &TensorData, wanted: &TensorData) -> f64 {
    assert_eq!((found.shape(), found.dtype()), (wanted.shape(), wanted.dtype()));
    let row = wanted.shape()[1..].iter().product::<usize>().max(1);
    let [found, wanted] = [found, wanted].map(|data| data.iter::<f64>().collect::<Vec<_>>());
    assert!(found.iter().all(|value| value.is_finite()));
    let rows = found.chunks(row).zip(wanted.chunks(row));
    let of_row = |(found, wanted): (&[f64], &[f64])| {
        let largest = wanted.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
        let pairs = found.iter().zip(wanted);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
    };
    rows.map(of_row).fold(0.0, f64::max)
}

#[test]
fn the_kernel_equals_the_reference_in_values_and_gradients() {
    for config in splines() {
        let map = config.init();
        for shape in [[40, 1], [9, 7], [5, 16], [6, 37]] {
            for (dtype, bound) in [(DType::F64, 1e-10), (DType::F32, 2e-3)] {
                let (x, params) = inputs(&config, shape, 1.0, dtype);
                let found = all(RationalQuadratic::forward, &map, x.clone(), params.clone());
                let wanted = all(unit::forward, &map, x.clone(), params.clone());
                let errors = [0, 1, 2, 3].map(|k| difference(&found[k], &wanted[k]));
                let most = errors.into_iter().fold(0.0, f64::max);
                assert!(most < bound, "{config:?} {shape:?} {dtype:?}: {errors:?}");
                let found = map.inverse_with_log_det(x.clone(), params.clone());
                let wanted = unit::inverse_with_log_det(&map, x, params);
                let error = difference(&found.0.into_data(), &wanted.0.into_data())
                    .max(difference(&found.1.into_data(), &wanted.1.into_data()));
                assert!(error < bound, "{config:?} {shape:?} {dtype:?} inverse: {error:e}");
            }
        }
    }
}

#[test]
fn extremes_stay_finite_and_agree_in_f64() {
    for config in splines() {
        let map = config.init();
        for spread in [30.0, 1e4, 1e20] {
            let (x, params) = inputs(&config, [64, 5], spread, DType::F64);
            let found = all(RationalQuadratic::forward, &map, x.clone(), params.clone());
            let wanted = all(unit::forward, &map, x, params);
            for (found, wanted) in found.iter().zip(&wanted).take(2) {
                let error = difference(found, wanted);
                assert!(error < 1e-8, "{config:?} {spread}: {error:e}");
            }
            let (x, params) = inputs(&config, [64, 5], spread, DType::F32);
            let found = all(RationalQuadratic::forward, &map, x, params);
            assert!(found.iter().all(|data| data.iter::<f32>().all(f32::is_finite)));
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_and_nan_stays() {
    for n in [3, 21] {
        let config = RationalQuadraticConfig::new();
        let map = config.init();
        let (x, params) = inputs(&config, [13, n], 1.0, DType::F32);
        let (whole, log_det) = map.forward(x.clone(), params.clone());
        let alone = map.forward(x.clone().narrow(0, 12, 1), params.clone().narrow(0, 12, 1));
        assert_eq!(alone.0.into_data(), whole.narrow(0, 12, 1).into_data());
        assert_eq!(alone.1.into_data(), log_det.narrow(0, 12, 1).into_data());
        let (z, log_det) = map.forward(x * f32::NAN, params);
        assert!(z.into_data().iter::<f32>().all(f32::is_nan));
        assert!(log_det.into_data().iter::<f32>().all(f32::is_nan));
    }
}
