//! Variational dequantization: its bound, its training, its errors.

mod bound;
mod training;

use burn::module::{ModuleMapper, Param};
use burn::tensor::TensorData;
use burn_flows::bijector::{Coupling, Logit};
use burn_flows::conditioner::Mlp;
use burn_flows::train::{UniformNoise, VariationalDequantize, fit};

use super::*;

type Couplings = Vec<Coupling<Affine, Mlp>>;

type Unit = Flow<(Logit, Couplings), StandardNormal<2>>;

type Model = VariationalDequantize<Unit, Unit>;

const LEVELS: usize = 4;

/// A Real NVP on (0, 1)^2.
fn unit(alpha: f64, context: usize, dropout: f64) -> Unit {
    let mlp =
        MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu).with_dropout(dropout);
    let config = RealNvpConfig::new(2).with_layers(4).with_mlp(mlp).with_context(context);
    let (couplings, base) = config.init(&Device::flex()).into_parts();
    Flow::new((Logit::new(alpha).unwrap(), couplings), base)
}

fn variational(dropout: f64) -> Model {
    VariationalDequantize::new(unit(0.01, 0, dropout), unit(0.0, 2, dropout), LEVELS).unwrap()
}

/// With batch normalization at any place in the noise model, the noise of a row depends on the
/// other rows.
#[test]
fn batch_normalization_in_the_noise_mixes_rows() {
    use burn_flows::bijector::BatchNormConfig;
    let plain = || unit(0.0, 2, 0.0);
    let (layers, base) = plain().into_parts();
    let normalized = Flow::new((layers, BatchNormConfig::new(2).init(&Device::flex())), base);
    let model = VariationalDequantize::new(plain(), normalized, LEVELS).unwrap();
    assert!(Distribution::<2>::mixes_rows(&model));
    let model = VariationalDequantize::new(plain(), plain(), LEVELS).unwrap();
    assert!(!Distribution::<2>::mixes_rows(&model));
}

/// Sets all weights to seeded noise. Otherwise a new module uses the device's generator, and its
/// last layers are zero.
fn fixed<M: Module>(module: M, seed: u64) -> M {
    struct Draw(Noise);
    impl ModuleMapper for Draw {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let dims = value.dims();
                let widest = dims.into_iter().max().unwrap_or(1) as f64;
                let step = if D < 2 { 0.3 } else { 1.0 / widest.sqrt() };
                self.0.normal(dims, &value.device()) * step
            })
        }
    }
    module.map(&mut Draw(Noise::seeded(seed)))
}

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// All pairs of levels.
fn pairs() -> Tensor<2> {
    let values = (0..LEVELS * LEVELS).flat_map(|i| [(i / LEVELS) as f64, (i % LEVELS) as f64]);
    tensor(values.collect(), [LEVELS * LEVELS, 2])
}

/// In four of five rows the second pixel is the first plus one, modulo the number of levels. In the
/// others it is uniform.
fn neighbours(rows: usize, seed: u64) -> Tensor<2> {
    let mut noise = Noise::seeded(seed);
    let values = (0..rows).flat_map(|_| {
        let first = noise.next_below(LEVELS);
        let follows = noise.next_uniform() < 0.8;
        let second = if follows { (first + 1) % LEVELS } else { noise.next_below(LEVELS) };
        [first as f64, second as f64]
    });
    tensor(values.collect(), [rows, 2])
}

fn numbers(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn mean(x: Tensor<1>) -> f64 {
    let values = numbers(x);
    values.iter().sum::<f64>() / values.len() as f64
}
