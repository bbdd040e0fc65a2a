//! The random numbers that weights are initialised with.
//!
//! The process shares a device's own generator, so its numbers depend on the other threads and on what was built
//! before. In this crate every random weight takes a seed from the scope in which it is built.

use std::cell::RefCell;

use burn::module::Param;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};

use crate::noise::Noise;
use crate::param::replaced;

thread_local! {
    /// The source of the seeds of layers inside a call of [`seeded`]; `None` outside.
    static SOURCE: RefCell<Option<Noise>> = const { RefCell::new(None) };
}

/// Builds modules whose random weights follow a seed: the same bits in every build, thread, process and backend.
///
/// The configuration of a single module has `with_seed` for this purpose. Use this function for modules without a
/// configuration of their own: a stack composed by hand, an [`AnyBijectorConfig`](crate::bijector::AnyBijectorConfig),
/// a flow and its base. The layers inside get different weights. A layer with its own seed keeps that seed.
///
/// The seed applies to modules of this crate that the calling thread builds. burn's own modules, such as
/// `burn::nn::Linear`, draw from the device's generator when they are first used.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, CouplingConfig, RotationConfig};
/// use burn_flows::{seeded, univariate::Affine};
///
/// let device = Device::flex();
/// let stack = || {
///     seeded(7, || {
///         let turned = || RotationConfig::new(4).init(&device);
///         (turned(), CouplingConfig::new(4).init(Affine::default(), &device), turned())
///     })
/// };
/// let x = Tensor::<2>::ones([1, 4], &device);
/// let z = |stack: &_| Bijector::forward(stack, x.clone(), None).0.into_data();
/// assert_eq!(z(&stack()), z(&stack()));
/// let (first, _, second) = stack();
/// assert_ne!(first.forward(x.clone(), None).0.into_data(), second.forward(x, None).0.into_data());
/// ```
pub fn seeded<T>(seed: u64, build: impl FnOnce() -> T) -> T {
    /// The enclosing scope, which is restored when this scope ends, also by a panic.
    struct Around(Option<Noise>);
    impl Drop for Around {
        fn drop(&mut self) {
            SOURCE.set(self.0.take());
        }
    }
    let _around = Around(SOURCE.replace(Some(Noise::seeded(seed))));
    build()
}

/// [`seeded`] if there is a seed, else `build` in the current scope.
pub(crate) fn scope<T>(seed: Option<u64>, build: impl FnOnce() -> T) -> T {
    match seed {
        Some(seed) => seeded(seed, build),
        None => build(),
    }
}

/// The next seed of the scope. Outside any scope, a seed drawn by the device's generator.
fn next_seed(device: &Device) -> u64 {
    let next = SOURCE.with_borrow_mut(|source| source.as_mut().map(Noise::next_u64));
    next.unwrap_or_else(|| {
        let bytes = Distribution::Uniform(0.0, 256.0);
        let bytes = Tensor::<1>::random([8], bytes, &device.clone().without_autodiff());
        bytes.into_data().iter::<f64>().fold(0, |seed, byte| seed << 8 | u64::from(byte as u8))
    })
}

/// The module's own seed, or the next seed if it has none.
pub(crate) fn seed(own: Option<u64>, device: &Device) -> u64 {
    own.unwrap_or_else(|| next_seed(device))
}

/// A source of noise for one layer.
pub(crate) fn noise(device: &Device) -> Noise {
    Noise::seeded(next_seed(device))
}

/// The seed of layer `index` in a stack whose layers all have the same configuration.
pub(crate) fn of_layer(seed: Option<u64>, index: usize) -> Option<u64> {
    seed.map(|seed| Noise::stream(seed, index as u64).next_u64())
}

/// burn's default initialisation of linear layers and convolutions: uniform within `1 / sqrt(fan_in)`.
pub(crate) const USUAL: Initializer =
    Initializer::KaimingUniform { gain: 0.577_350_269_189_625_8, fan_out_only: false };

/// A linear layer whose weights follow burn's initializer and are drawn immediately.
pub(crate) fn linear(
    [d_in, d_out]: [usize; 2],
    bias: bool,
    initializer: &Initializer,
    device: &Device,
) -> Linear {
    let config = LinearConfig::new(d_in, d_out).with_bias(bias);
    redrawn(config.with_initializer(Initializer::Zeros).init(device), initializer)
}

/// Replaces the zeros of a linear layer by weights that follow burn's initializer.
pub(crate) fn redrawn(zeros: Linear, initializer: &Initializer) -> Linear {
    let fans = zeros.weight.dims();
    let bias = |bias| drawn(bias, initializer, fans);
    let weight = drawn(zeros.weight, initializer, fans);
    Linear { weight, bias: zeros.bias.map(bias) }
}

/// Replaces the zeros of a parameter by values that follow burn's initializer. `fans` are the numbers of inputs and of
/// outputs of a unit.
pub(crate) fn drawn<const D: usize>(
    zeros: Param<Tensor<D>>,
    initializer: &Initializer,
    fans: [usize; 2],
) -> Param<Tensor<D>> {
    let old = zeros.val();
    if *initializer == Initializer::Zeros {
        return zeros;
    }
    let (shape, device) = (old.dims(), old.device());
    let mut noise = noise(&device);
    // A layer without inputs still has a bias.
    let [fan_in, fan_out] = fans.map(|fan| fan.max(1) as f64);
    let kaiming = |out_only: bool| (if out_only { fan_out } else { fan_in }).sqrt().recip();
    let xavier = (2.0 / (fan_in + fan_out)).sqrt();
    let mut next: Box<dyn FnMut(&mut Noise) -> f64> = match *initializer {
        Initializer::Zeros => uniform(0.0, 0.0),
        Initializer::Ones => uniform(1.0, 1.0),
        Initializer::Constant { value } => uniform(value, value),
        Initializer::Uniform { min, max } => uniform(min, max),
        Initializer::Normal { mean, std } => normal(mean, std),
        Initializer::KaimingUniform { gain, fan_out_only } => within(gain * kaiming(fan_out_only)),
        Initializer::KaimingNormal { gain, fan_out_only } => {
            normal(0.0, gain * kaiming(fan_out_only))
        }
        Initializer::XavierUniform { gain } => within(gain * xavier),
        Initializer::XavierNormal { gain } => normal(0.0, gain * xavier),
        Initializer::Orthogonal { gain } => {
            let [rows, columns] = [shape[0], shape[1..].iter().product()];
            let directions = orthonormal(rows.min(columns), rows.max(columns), &mut noise);
            let values = match rows <= columns {
                true => directions.concat(),
                false => (0..rows).flat_map(|row| directions.iter().map(move |d| d[row])).collect(),
            };
            let mut values = values.into_iter();
            Box::new(move |_| gain * values.next().expect("one for every element"))
        }
    };
    let value = noise.fill(shape, (&device, old.dtype()), |noise| next(noise));
    replaced(zeros, value)
}

fn uniform(low: f64, high: f64) -> Box<dyn FnMut(&mut Noise) -> f64> {
    Box::new(move |noise| low + (high - low) * noise.next_uniform())
}

fn normal(mean: f64, std: f64) -> Box<dyn FnMut(&mut Noise) -> f64> {
    Box::new(move |noise| mean + std * noise.next_normal())
}

/// Uniform around zero with this standard deviation.
fn within(std: f64) -> Box<dyn FnMut(&mut Noise) -> f64> {
    let reach = 3f64.sqrt() * std;
    uniform(-reach, reach)
}

/// Random orthonormal rows, by Gram-Schmidt on normal rows.
pub(crate) fn orthonormal(count: usize, width: usize, noise: &mut Noise) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut row: Vec<f64> = (0..width).map(|_| noise.next_normal()).collect();
        // Two passes, because one pass leaves a rounding error of the size of the first row's.
        for _ in 0..2 {
            for done in &rows {
                let along: f64 = row.iter().zip(done).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(done).for_each(|(a, b)| *a -= along * b);
            }
        }
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        rows.push(row.into_iter().map(|v| v / length).collect());
    }
    rows
}

/// A random orthogonal matrix (perhaps with a reflection), by rows.
pub(crate) fn rotation(size: usize, seed: u64) -> Vec<Vec<f64>> {
    orthonormal(size, size, &mut Noise::seeded(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_keep_lengths() {
        for size in 1..9 {
            let rows = rotation(size, 3);
            for (i, a) in rows.iter().enumerate() {
                for (j, b) in rows.iter().enumerate() {
                    let along: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert!((along - f64::from(i == j)).abs() < 1e-14);
                }
            }
        }
    }
}
