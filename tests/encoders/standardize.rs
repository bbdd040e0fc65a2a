//! Contexts with a fixed shift and scale.

use burn::optim::GradientsParams;
use burn_flows::cast;
use burn_flows::distribution::Distribution;
use burn_flows::encoder::{Embedded, StandardizeContext};
use burn_flows::model::IafConfig;

use super::*;

#[test]
fn columns_have_mean_zero_and_deviation_one() {
    let scale = Tensor::<2>::from_data([[1e-3, 1.0, 5e4]], &device());
    let shift = Tensor::<2>::from_data([[7.0, -2.0, 1e6]], &device());
    let contexts = normal(500, 3, 1) * scale + shift;
    let encoder = StandardizeContext::from_data(&contexts).unwrap();
    let features = host(encoder.encode(contexts.clone()));
    for column in 0..3 {
        let values: Vec<f64> = features.iter().skip(column).step_by(3).copied().collect();
        let mean = values.iter().sum::<f64>() / 500.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 500.0;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{column}: {mean} {variance}");
    }
    // Neither a later batch nor training changes them.
    let later = encoder.clone().init_from_data(contexts.clone() * 3.0);
    assert_eq!(host(later.encode(contexts.clone())), features);
    assert!(!encoder.mixes_rows());
    let trained = Embedded::new(encoder, narrow()).encoder().clone().train();
    let loss = trained.encode(contexts.autodiff().require_grad()).sum();
    assert!(GradientsParams::from_grads(loss.backward(), &trained).is_empty());
}

/// Seconds since 1970 in f32: neighbours differ by 128, and a mean rounded to f32 would be off by as much.
#[test]
fn a_mean_that_is_large_beside_the_deviation() {
    let start = 1_700_000_000.0;
    let values: Vec<f64> = (0..64).map(|i| start + 128.0 * f64::from(i % 3)).collect();
    let wide = double(&values, [64, 1]);
    let narrow = wide.clone().cast(DType::F32);
    for (contexts, bound) in [(wide, 1e-12), (narrow, 1e-5)] {
        let dtype = contexts.dtype();
        let encoder = StandardizeContext::from_data(&contexts).unwrap();
        let features = host(encoder.encode(contexts.clone()));
        let mean = features.iter().sum::<f64>() / 64.0;
        assert!(mean.abs() < bound, "{dtype:?}: {mean:e}");
        // A cast keeps the digits of the mean.
        let single = cast(encoder, DType::F32).encode(contexts.cast(DType::F32));
        let mean = host(single).iter().sum::<f64>() / 64.0;
        assert!(mean.abs() < 1e-5, "{dtype:?} cast to F32: {mean:e}");
    }
}

#[test]
fn a_constant_column_is_kept_and_harmless() {
    let contexts = Tensor::<2>::from_data([[2015.0, 1.0], [2015.0, 3.0]], &device());
    let encoder = StandardizeContext::from_data(&contexts).unwrap();
    assert_eq!(host(encoder.encode(contexts)), [0.0, -1.0, 0.0, 1.0]);
    let other = Tensor::<2>::from_data([[2016.5, 1.0]], &device());
    assert_eq!(host(encoder.encode(other)), [1.5, -1.0]);
}

#[test]
fn contexts_without_a_scale_are_refused() {
    let error =
        |contexts: Tensor<2>| StandardizeContext::from_data(&contexts).unwrap_err().to_string();
    let rows = |rows: [[f32; 2]; 2]| Tensor::<2>::from_data(rows, &device());
    assert_eq!(
        error(rows([[1.0, 2.0], [3.0, f32::INFINITY]])),
        "StandardizeContext: row 1, column 1 holds inf; remove or impute it"
    );
    assert_eq!(
        error(rows([[1.0, 2.0], [3.0, 4.0]]).narrow(0, 0, 1)),
        "StandardizeContext: needs at least 2 rows, found 1"
    );
    let tiny = error(rows([[1e-40, 2.0], [0.0, 4.0]]));
    assert!(tiny.starts_with("StandardizeContext: element 0 has standard deviation"), "{tiny}");
    let huge = error(rows([[3e38, 2.0], [-3e38, 4.0]]));
    assert!(huge.starts_with("StandardizeContext: element 0 has a range of 6"), "{huge}");
    let encoder = StandardizeContext::from_data(&rows([[1.0, 2.0], [3.0, 5.0]])).unwrap();
    assert_eq!(
        panic_of(|| encoder.encode(normal(2, 3, 1))),
        "StandardizeContext: expected a context of width 2, found 3"
    );
}

/// A flow that takes its context unchanged gives one density for kelvin and for standard units.
#[test]
fn a_density_in_any_unit() {
    let standard =
        StandardizeContext::from_data(&normal(100, 1, 1)).unwrap().encode(normal(100, 1, 1));
    let flow = || {
        let flow = IafConfig::new(2).with_layers(2).with_context(1).with_seed(1).init(&device());
        burn_flows::testing::moved(flow, 1).valid()
    };
    let kelvin = standard.clone() * 16.0 + 288.0;
    let embedded = Embedded::standardized(flow(), &kelvin).unwrap();
    let x = normal(100, 2, 2);
    let found = embedded.given(&kelvin).log_prob(x.clone());
    let expected = flow().given(&standard).log_prob(x);
    assert!((found - expected).abs().max().into_scalar::<f64>() < 1e-3);
    assert!(Embedded::standardized(flow(), &kelvin.narrow(0, 0, 1)).is_err());
    let _ = Distribution::<2>::integer_levels(&embedded);
}
