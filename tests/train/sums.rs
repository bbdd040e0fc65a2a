//! Statistics over many rows, and over rows far from 0, agree with a computation in f64.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flows::bijector::{ActNormConfig, BatchNormConfig, Bijector, Standardize};
use burn_flows::distribution::{Distribution, GaussianMixtureConfig, StandardNormal};
use burn_flows::train::{nll, nll_gradients};
use burn_flows::{Flow, Noise, cast};

fn column(values: Vec<f64>, dtype: DType) -> Tensor<2> {
    let rows = values.len();
    Tensor::from_data(TensorData::new(values, [rows, 1]), (&Device::flex(), dtype))
}

fn normal(rows: usize, mean: f64, deviation: f64) -> Vec<f64> {
    let mut noise = Noise::seeded(1);
    (0..rows).map(|_| mean + deviation * noise.next_normal()).collect()
}

fn years(rows: usize) -> Vec<f64> {
    (0..rows).map(|row| 2005.0 + (row % 11) as f64).collect()
}

/// The mean and the standard deviation, computed in f64.
fn moments<const D: usize>(x: &Tensor<D>) -> (f64, f64) {
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    let rows = values.len() as f64;
    let mean = values.iter().map(|v| v - values[0]).sum::<f64>() / rows + values[0];
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows).sqrt())
}

#[track_caller]
fn assert_standard(z: &Tensor<2>) {
    let (mean, deviation) = moments(z);
    let fits = mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3;
    assert!(fits, "mean {mean}, deviation {deviation}");
}

/// The layer that `from_data` returns standardises these rows, and its inverse restores them.
fn standardizes(values: Vec<f64>) {
    for dtype in [DType::F32, DType::F64] {
        let x = column(values.clone(), dtype);
        let layer = Standardize::from_data(x.clone()).unwrap();
        let (z, log_det) = layer.forward(x.clone(), None);
        assert_standard(&z);
        let (_, deviation) = moments(&x);
        let found = log_det.narrow(0, 0, 1).into_scalar::<f64>();
        assert!((found + deviation.ln()).abs() < 1e-4 * deviation.ln().abs().max(1.0), "{found}");
        let largest = x.clone().abs().max().into_scalar::<f64>();
        let lost = (layer.inverse(z, None) - x).abs().max().into_scalar::<f64>();
        let epsilon = dtype.finfo().unwrap().epsilon;
        assert!(lost <= 2.0 * epsilon * largest + 4.0 * epsilon * deviation, "{lost}");
    }
}

/// One named test per row: these values are standardised.
macro_rules! standardize {
    ($($name:ident: $values:expr;)+) => {
        $(#[test]
        fn $name() {
            standardizes($values);
        })+
    };
}

standardize! {
    standardize_a_small_spread: normal(1_000_000, 0.1, 1e-3);
    standardize_years: years(1_000_000);
    standardize_a_large_offset: (0..10_000).map(|row| 1e6 + if row % 2 == 0 { 1.0 } else { -1.0 }).collect();
    standardize_a_large_offset_of_noise: normal(10_000, -1e6, 1.0);
    standardize_a_mean_between_two_f32: (0..10_001).map(|row| 1e7 + (row % 3) as f64).collect();
    standardize_large_numbers: normal(100_000, 3e30, 1e29);
    standardize_small_numbers: normal(100_000, 1e-30, 1e-33);
    standardize_sorted_numbers: (0..1_000_000).map(|row| row as f64).collect();
}

#[test]
fn f64_rows_are_centred_before_they_are_narrowed() {
    // In f32 these values would all be equal.
    let x = column(normal(10_000, 1e9, 1.0), DType::F64);
    let layer = Standardize::from_data(x.clone()).unwrap();
    assert_standard(&layer.forward(x, None).0);
    // Rows in f32, and a layer of f64 rows cast to f32. The cast keeps a mean between two f32
    // numbers.
    let values: Vec<f64> = normal(10_000, 1e6, 1.0).into_iter().map(|v| v as f32 as f64).collect();
    let layer = Standardize::from_data(column(values.clone(), DType::F64)).unwrap();
    assert_standard(&cast(layer, DType::F32).forward(column(values, DType::F32), None).0);
}

#[test]
fn a_spread_that_the_precision_cannot_hold_is_an_error() {
    let text = |values: Vec<f64>| {
        Standardize::from_data(column(values, DType::F32)).unwrap_err().to_string()
    };
    assert_eq!(
        text(vec![-3e38, 3e38]),
        "Standardize: element 0 has a range of 6.0000000109955115e38, which overflows F32; scale the element down"
    );
    let small = text(vec![0.0, 2e-39]);
    assert!(small.ends_with("outside the normal range of F32; scale the element"), "{small}");
    // 1e9 and 1e9 + 1 are the same f32 number.
    let constant = text(vec![1e9, 1e9 + 1.0]);
    assert!(
        constant.ends_with(
            "expected a positive finite number; remove a constant element or a non-finite row"
        ),
        "{constant}"
    );
}

#[test]
fn actnorm_starts_from_many_rows() {
    for values in [normal(1_000_000, 0.1, 1e-1), years(1_000_000), normal(100_000, 1e3, 1.0)] {
        let x = column(values, DType::F32);
        let (_, z) = ActNormConfig::new(1).init(&Device::flex()).init_from_data(x, None);
        assert_standard(&z);
    }
}

#[test]
fn batch_norm_normalizes_a_large_batch() {
    let device = Device::flex();
    for values in [normal(65_536, 0.1, 1e-1), years(65_536), normal(65_536, 1e3, 1.0)] {
        let (mean, deviation) = moments(&column(values.clone(), DType::F32));
        let x = column(values, DType::F32);
        let layer = BatchNormConfig::new(1).with_momentum(1.0).init(&device.clone().autodiff());
        let expected = (deviation / (deviation.powi(2) + 1e-5).sqrt(), deviation);
        let (z, _) = layer.forward(x.clone(), None);
        let (z_mean, z_deviation) = moments(&z);
        assert!(z_mean.abs() < 1e-3 && (z_deviation - expected.0).abs() < 1e-3, "{z_mean}");
        // The running statistics are those of the batch, so evaluation gives the same result.
        let (z_mean, z_deviation) = moments(&layer.valid().forward(x, None).0);
        assert!(z_mean.abs() < 1e-3 && (z_deviation - expected.0).abs() < 1e-3, "{mean}: {z_mean}");
    }
}

#[test]
fn gradients_through_a_large_batch_are_those_of_f64() {
    let gradient = |dtype: DType| {
        let device = Device::flex();
        let layer = cast(BatchNormConfig::new(1).init(&device.autodiff()), dtype);
        let x = column(normal(65_536, 1.0, 0.5), dtype).autodiff().require_grad();
        let (z, _) = layer.forward(x.clone(), None);
        let gradients = z.clone().powf_scalar(3.0).sum().backward();
        x.grad(&gradients).unwrap().into_data().iter::<f64>().collect::<Vec<_>>()
    };
    let (single, double) = (gradient(DType::F32), gradient(DType::F64));
    let largest = double.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    let lost = single.iter().zip(&double).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(lost < 1e-5 * largest, "{lost} of {largest}");
}

#[test]
fn a_mixture_starts_with_the_spread_of_the_data() {
    let config = GaussianMixtureConfig::new(1, 1);
    let mixture = config.init(&Device::flex());
    let x = column(years(1_000_000), DType::F32);
    let mixture = Distribution::init_from_data(mixture, x, None);
    // The standard deviation is half the width between the points where the density is lower by a
    // factor of sqrt(e).
    let draws = mixture.sample(100_000, None, &mut Noise::seeded(3), &Device::flex());
    let (_, deviation) = moments(&draws);
    assert!((deviation / 10f64.sqrt() - 1.0).abs() < 0.02, "{deviation}");
}

#[test]
fn the_loss_of_many_rows_is_a_sum_in_f64() {
    let device = Device::flex();
    let base = StandardNormal::<2>::new([1], &device);
    let flow = Flow::new(BatchNormConfig::new(1).init(&device), base.clone());
    let x = column(vec![3.0; 1_000_000], DType::F32);
    let exact = 4.5 + 0.5 * (2.0 * std::f64::consts::PI).ln();
    assert!((nll(&base, x.clone(), 8192) - exact).abs() < 1e-6);
    // Batch normalization makes the batch one block.
    let x = column(normal(262_144, 0.0, 1.0), DType::F32);
    let (_, deviation) = moments(&x);
    let (value, _) = nll_gradients(&flow.train(), &x);
    let exact = 0.5 + 0.5 * (2.0 * std::f64::consts::PI).ln() + deviation.ln();
    assert!((value - exact).abs() < 1e-5, "{value}, expected {exact}");
}
