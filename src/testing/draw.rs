//! Seeded inputs from the domain of a layer.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::noise::Noise;

/// Scales of the rows of an ordinary batch, in turn. They cover the body of a standard normal and values beyond it, so
/// that a layer with tails is tested inside and outside.
const SIZES: [f64; 2] = [1.0, 3.0];

/// The smallest and the largest distance of a draw from the end of a half line.
const HALF_LINE: (f64, f64) = (0.05, 4.0);

/// The share of a bounded interval that draws avoid at either end.
const MARGIN: f64 = 0.02;

/// An open interval from which values are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub const LINE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub fn contains(self, value: f64) -> bool {
        self.low < value && value < self.high
    }

    pub fn is_bounded(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// Draws one value; `size` scales it in an unbounded direction.
    fn draw(self, noise: &mut Noise, size: f64) -> f64 {
        let half_line = |end: f64, noise: &mut Noise| {
            let (least, most) = HALF_LINE;
            let most: f64 = most + 2.0 * end.abs();
            least * (most / least).powf(noise.next_uniform()) * size
        };
        match (self.low.is_finite(), self.high.is_finite()) {
            (false, false) => size * noise.next_normal(),
            (true, false) => self.low + half_line(self.low, noise),
            (false, true) => self.high - half_line(self.high, noise),
            (true, true) => {
                let share = MARGIN + (1.0 - 2.0 * MARGIN) * noise.next_uniform();
                self.low + (self.high - self.low) * share
            }
        }
    }
}

/// Creates the tensors of a run: one device, one precision, one stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub device: Device,
    pub dtype: DType,
    pub noise: Noise,
}

impl Source {
    /// Creates a tensor with these values.
    pub fn tensor<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
    }

    /// Draws a batch from an interval, with rows of ordinary scale.
    pub fn batch<const D: usize>(&mut self, shape: [usize; D], from: Interval) -> Tensor<D> {
        self.sized(shape, from, &SIZES)
    }

    /// Draws a batch from an interval. Row `i` has the scale `sizes[i % sizes.len()]`.
    pub fn sized<const D: usize>(
        &mut self,
        shape: [usize; D],
        from: Interval,
        sizes: &[f64],
    ) -> Tensor<D> {
        let event: usize = shape[1..].iter().product();
        let count = shape[0] * event;
        let size = |at: usize| sizes[at / event % sizes.len()];
        let values = (0..count).map(|at| from.draw(&mut self.noise, size(at))).collect();
        self.tensor(values, shape)
    }

    /// Draws standard normal numbers, for contexts and weights of losses.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        self.sized(shape, Interval::LINE, &[1.0])
    }

    /// For each value: one row filled with the value, and one ordinary row with the value at one position.
    pub fn edges<const D: usize>(
        &mut self,
        values: &[f64],
        mut shape: [usize; D],
        from: Interval,
    ) -> Tensor<D> {
        let event: usize = shape[1..].iter().product();
        let mut numbers = Vec::with_capacity(2 * values.len() * event);
        for (index, &value) in values.iter().enumerate() {
            numbers.extend(std::iter::repeat_n(value, event));
            let row = (0..event).map(|at| {
                if at == index % event { value } else { from.draw(&mut self.noise, 1.0) }
            });
            numbers.extend(row);
        }
        shape[0] = 2 * values.len();
        self.tensor(numbers, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_inside_and_reach_both_ends() {
        let infinity = f64::INFINITY;
        for (low, high) in [(0.0, 1.0), (-3.0, 2.0), (0.0, infinity), (-infinity, -2.0)] {
            let interval = Interval { low, high };
            let mut noise = Noise::seeded(1);
            let draws: Vec<f64> = (0..1000).map(|_| interval.draw(&mut noise, 1.0)).collect();
            assert!(draws.iter().all(|v| interval.contains(*v)), "{interval:?}");
            let near = |end: f64| draws.iter().any(|v| (v - end).abs() < 0.2);
            assert!([low, high].iter().all(|end| !end.is_finite() || near(*end)), "{interval:?}");
        }
    }
}
