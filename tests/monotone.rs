//! Maps inverted by a search, at any finite value and any finite raw parameter, in f32. Nothing
//! panics and no result is NaN. The search returns the value from which the map came.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::Noise;
use burn_flows::testing::moved;
use burn_flows::univariate::{
    BernsteinConfig, DeepSigmoidalConfig, GaussianizationConfig, MixtureOfLogisticsConfig,
    NeuralConfig, SumOfSquaresConfig, UnconstrainedMonotonicConfig, Univariate,
};

/// The shape of a draw, and the number of draws.
const SHAPE: [usize; 2] = [32, 64];
const DRAWS: u64 = 8;

/// Random numbers: a quarter from `special`, the others normal with one of the `sizes` as scale.
fn numbers(count: usize, sizes: &[f64], special: &[f32], noise: &mut Noise) -> Vec<f32> {
    let one = |_| match noise.next_below(4) {
        0 => special[noise.next_below(special.len())],
        _ => (sizes[noise.next_below(sizes.len())] * noise.next_normal()) as f32,
    };
    (0..count).map(one).collect()
}

fn all_finite<const D: usize>(what: &str, x: Tensor<D>) {
    let bad = x.into_data().iter::<f32>().filter(|v| !v.is_finite()).count();
    assert!(bad == 0, "{bad} values of {what} are not finite");
}

/// Checks values, log-dets and gradients in both directions.
fn survives<U: Univariate>(map: &U) {
    let device = Device::flex();
    let count = SHAPE[0] * SHAPE[1];
    let per_element = map.params_per_element();
    for draw in 0..DRAWS {
        let noise = &mut Noise::stream(7, draw);
        let far = [0.0, 1e-30, 1e-38, 1.0, 5.0, 1e4, 1e10, 1e30];
        let far: Vec<f32> = far.into_iter().flat_map(|v: f32| [v, -v]).collect();
        let x = numbers(count, &[1.0, 3.0, 30.0], &far, noise);
        let huge = [1e30, -1e30, 1e5, -1e5, 80.0, -80.0, 0.0, f32::MAX, f32::MIN, 1e-40];
        // Half of the draws have sizes that are common in practice.
        let usual = [1.0, -1.0, 0.0, 4.0];
        let special: &[f32] = if draw % 2 == 0 { &huge } else { &usual };
        let raw = numbers(count * per_element, &[0.1, 1.0, 3.0], special, noise);
        let x = Tensor::<2>::from_data(TensorData::new(x, SHAPE), &device);
        let shape = [SHAPE[0], per_element, SHAPE[1]];
        let raw = Tensor::<3>::from_data(TensorData::new(raw, shape), &device);
        for inverse in [false, true] {
            let way = format!("{} in draw {draw}", if inverse { "inverse" } else { "forward" });
            let (x, raw) =
                (x.clone().autodiff().require_grad(), raw.clone().autodiff().require_grad());
            let (z, log_det) = if inverse {
                map.inverse_with_log_det(x.clone(), raw.clone())
            } else {
                map.forward(x.clone(), raw.clone())
            };
            all_finite(&format!("z of {way}"), z.clone());
            all_finite(&format!("log-det of {way}"), log_det.clone());
            let gradients = (z.mean() + log_det.mean()).backward();
            for (what, gradient) in [
                ("x", x.grad(&gradients).unwrap().into_data()),
                ("the parameters", raw.grad(&gradients).unwrap().into_data()),
            ] {
                let bad = gradient.iter::<f32>().filter(|v| v.is_nan()).count();
                assert!(bad == 0, "{bad} gradients of {what} of {way} are NaN");
            }
        }
    }
}

#[test]
fn bernstein() {
    survives(&BernsteinConfig::new().init());
}

#[test]
fn sum_of_squares() {
    survives(&SumOfSquaresConfig::new().init());
    survives(&SumOfSquaresConfig::new().with_degree(12).with_polynomials(1).init());
}

#[test]
fn gaussianization() {
    survives(&GaussianizationConfig::new().init());
    survives(&GaussianizationConfig::new().with_components(3).with_floor(1e-6).init());
}

#[test]
fn mixture_of_logistics() {
    survives(&MixtureOfLogisticsConfig::new().init());
}

#[test]
fn deep_sigmoidal() {
    survives(&DeepSigmoidalConfig::new().init());
    survives(&DeepSigmoidalConfig::new().with_units(4).with_layers(2).init());
}

#[test]
fn neural() {
    let map = NeuralConfig::new().with_signal(4).with_hidden(vec![16, 15]).init(&Device::flex());
    survives(&moved(map, 1).valid());
}

#[test]
fn unconstrained_monotonic() {
    let config = UnconstrainedMonotonicConfig::new().with_signal(4).with_hidden(vec![8, 8]);
    survives(&moved(config.init(&Device::flex()), 1).valid());
}

/// The largest distance of a map with raw parameters of zero from the identity, within three
/// standard deviations.
fn moves(map: &impl Univariate) -> f32 {
    let device = Device::flex();
    let x = Tensor::<2>::from_data([[-3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 3.0]], &device);
    let params = Tensor::zeros([1, map.params_per_element(), 7], &device);
    (map.forward(x.clone(), params).0 - x).abs().max().into_scalar::<f32>()
}

#[test]
fn raw_zeros_are_close_to_the_identity() {
    let neutral = UnconstrainedMonotonicConfig::new().init(&Device::flex());
    for (name, moved, most) in [
        ("Bernstein", moves(&BernsteinConfig::new().init()), 1e-5),
        ("SumOfSquares", moves(&SumOfSquaresConfig::new().init()), 1e-2),
        ("Gaussianization", moves(&GaussianizationConfig::new().init()), 0.6),
        ("MixtureOfLogistics", moves(&MixtureOfLogisticsConfig::new().init()), 0.2),
        ("DeepSigmoidal", moves(&DeepSigmoidalConfig::new().init()), 0.2),
        ("UnconstrainedMonotonic", moves(&neutral.valid()), 1e-5),
        ("one kernel", moves(&GaussianizationConfig::new().with_components(1).init()), 1e-5),
    ] {
        assert!(moved <= most, "{name} moves by {moved}");
    }
}
