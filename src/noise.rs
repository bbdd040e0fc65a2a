//! Seeded noise with the same numbers on every backend.

use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};

/// A seeded source of noise, drawn on the host by a counter-based generator (ChaCha8).
///
/// The numbers depend on the seed and on nothing else: not on the backend, not on the number of threads, not on the
/// draws of other parts of the process. A device's own generator has none of these three properties (BURN: one
/// process-wide generator on CPU, another stream on every GPU backend).
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::Noise;
///
/// let device = Device::flex();
/// let a = Noise::seeded(7).normal::<2>([3, 2], &device);
/// let b = Noise::seeded(7).normal::<2>([3, 2], &device);
/// assert_eq!(a.into_data(), b.into_data());
/// ```
#[derive(Debug, Clone)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of numbers of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A new stream, seeded from the entropy of the operating system.
    pub fn from_entropy() -> Self {
        Self(ChaCha8Rng::from_rng(&mut rand::rng()))
    }

    /// An independent stream of a seed. The draws of epoch 3, for example, do not depend on the draws of epoch 2.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// The next raw 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One number, uniform on `[0, 1)` with 53 random bits.
    pub fn next_uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// One number, standard normal.
    pub fn next_normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// One number from the gamma distribution of this shape and scale 1. The result is at least the smallest normal
    /// number, because a draw of a shape far below 1 would round to 0.
    ///
    /// # Panics
    ///
    /// If `shape` is not positive and finite.
    pub fn next_gamma(&mut self, shape: f64) -> f64 {
        let gamma = Gamma::new(shape, 1.0).ok().filter(|_| shape.is_finite());
        let gamma = gamma.unwrap_or_else(|| {
            panic!("next_gamma: expected a positive, finite shape, found {shape}")
        });
        gamma.sample(&mut self.0).max(f64::MIN_POSITIVE)
    }

    /// An integer in `0..bound`.
    pub fn next_below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A random order of `0..n` (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.next_below(last + 1));
        }
        order
    }

    /// A tensor of standard normal numbers.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        self.fill(shape, device, Self::next_normal)
    }

    /// A tensor of numbers uniform on `[0, 1)`, below 1 also after rounding to the device's precision.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        self.unit(shape, device)
    }

    /// [`uniform`](Self::uniform) for `(device, dtype)`, or in the device's default precision.
    pub(crate) fn unit<const D: usize>(
        &mut self,
        shape: [usize; D],
        options: impl Into<TensorCreationOptions>,
    ) -> Tensor<D> {
        let unit = self.fill(shape, options, Self::next_uniform);
        // An f64 below 1 rounds to 1 in f32 once in thirty million draws, in f16 once in four thousand.
        let last = below_one(unit.dtype());
        unit.clamp_max(last)
    }

    /// A tensor of numbers that `next` draws one after the other, in row-major order. `options` are `(device, dtype)`,
    /// or a device, which sets its default precision.
    pub(crate) fn fill<const D: usize>(
        &mut self,
        shape: [usize; D],
        options: impl Into<TensorCreationOptions>,
        mut next: impl FnMut(&mut Self) -> f64,
    ) -> Tensor<D> {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| next(self)).collect();
        let mut options = options.into();
        options.device = options.device.without_autodiff();
        Tensor::from_data(TensorData::new(values, shape), options)
    }
}

/// The largest number below 1 in a precision.
pub(crate) fn below_one(dtype: DType) -> f64 {
    1.0 - dtype.finfo().expect("a float has these").epsilon / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |stream| Noise::stream(3, stream).next_u64();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Noise::seeded(1).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut noise = Noise::seeded(5);
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|_| noise.next_normal()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| v * v).sum::<f64>() / f64::from(n) - mean * mean;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn gamma_numbers_have_the_mean_and_variance_of_their_shape() {
        let mut noise = Noise::seeded(6);
        let n = 100_000;
        for shape in [0.3, 2.5] {
            let values: Vec<f64> = (0..n).map(|_| noise.next_gamma(shape)).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let variance = values.iter().map(|v| v * v).sum::<f64>() / f64::from(n) - mean * mean;
            // Four standard errors: sqrt(shape / n), and sqrt((2 shape^2 + 6 shape) / n).
            assert!((mean - shape).abs() < 4.0 * (shape / f64::from(n)).sqrt(), "{mean}");
            let error = ((2.0 * shape * shape + 6.0 * shape) / f64::from(n)).sqrt();
            assert!((variance - shape).abs() < 4.0 * error, "{variance}");
        }
        assert!((0..1000).all(|_| noise.next_gamma(1e-4) > 0.0));
    }

    #[test]
    fn uniform_numbers_are_below_one_in_every_precision() {
        let device = Device::flex();
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            assert_eq!(
                Tensor::<1>::from_data([below_one(dtype)], (&device, dtype)).into_scalar::<f64>(),
                below_one(dtype)
            );
            assert_eq!(
                Tensor::<1>::from_data([1.0 - (1.0 - below_one(dtype)) / 2.1], (&device, dtype))
                    .into_scalar::<f64>(),
                1.0
            );
            let unit = Noise::seeded(7).unit::<1>([100_000], (&device, dtype));
            assert!(unit.max().into_scalar::<f64>() < 1.0, "{dtype:?}");
        }
    }

    #[test]
    #[should_panic(expected = "next_gamma: expected a positive, finite shape, found -1")]
    fn a_negative_gamma_shape_panics() {
        Noise::seeded(1).next_gamma(-1.0);
    }
}
