//! Invertible 1x1 convolution: one matrix mixes the channels of every pixel.
//!
//! forward   z = L U P x + b, per pixel   L unit lower, U upper triangular, P a fixed permutation
//! log-det   (height * width) * sum of ln |U_ii|
//! inverse   x = P^-1 U^-1 L^-1 (z - b)
//!
//! Paper: Kingma, Dhariwal (2018), Glow, section 3.2, equations 9 to 11, arXiv:1807.03039.
//! Same numbers as nflows 0.14 `OneByOneConvolution`, normflows 1.7 `Invertible1x1Conv`.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{LuFactors, Permutation};
use crate::bijector::{Bijector, check_weights, check_width};
use crate::error::{Error, Result, at_least, expect_valid};
use crate::math::{event_len, repeat_batch};
use crate::noise::Noise;

/// Configuration of an [`InvertibleConv1x1`].
///
/// ```
/// use burn_flows::bijector::InvertibleConv1x1Config;
///
/// assert!(InvertibleConv1x1Config::new(12).validate().is_ok());
/// assert!(InvertibleConv1x1Config::new(0).validate().is_err());
/// ```
#[derive(Config, Debug)]
pub struct InvertibleConv1x1Config {
    /// Channels of an image.
    pub channels: usize,
    /// Decides the first rotation.
    #[config(default = 0)]
    pub seed: u64,
}

/// A learned matrix over the channels, started as a random rotation.
///
/// # Shapes
///
/// - `[batch, channels, height, width]`; the same on both sides
///
/// # Numerics
///
/// The log-determinant is a sum of logarithms of U's diagonal; the inverse matrix is formed once
/// per call, by the inverses of the triangles. Every entry of the diagonal keeps its sign.
///
/// # Panics
///
/// If the event has another number of channels than the layer was built for.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, InvertibleConv1x1Config};
///
/// let device = Device::flex();
/// let layer = InvertibleConv1x1Config::new(3).init(&device);
/// let x = Tensor::<4>::from_data([[[[1.0]], [[-2.0]], [[0.5]]]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-5); // a rotation
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug)]
pub struct InvertibleConv1x1 {
    permutation: Permutation,
    matrix: LuFactors,
    bias: Option<Param<Tensor<1>>>,
    permuted_last: bool,
}

impl InvertibleConv1x1Config {
    /// Says which field cannot be, and why.
    pub fn validate(&self) -> Result<()> {
        at_least("InvertibleConv1x1Config", "channels", 1, self.channels)
    }

    /// The layer.
    ///
    /// # Panics
    ///
    /// With the text of [`validate`](Self::validate).
    pub fn init(&self, device: &Device) -> InvertibleConv1x1 {
        expect_valid(self.validate());
        let rotation = rotation(self.channels, self.seed);
        InvertibleConv1x1::factored(rotation, device).expect("a rotation is not singular")
    }
}

impl InvertibleConv1x1 {
    /// The layer of a square matrix, by rows.
    ///
    /// # Errors
    ///
    /// If the matrix is singular.
    pub(crate) fn factored(rows: Vec<Vec<f64>>, device: &Device) -> Result<Self> {
        let size = rows.len();
        let largest = rows.iter().flatten().fold(0.0f64, |most, v| most.max(v.abs()));
        let Decomposition { order, factors } = decompose(rows);
        let diagonal: Vec<f64> = (0..size).map(|i| factors[i][i]).collect();
        let plain = device.clone().without_autodiff();
        let tensor = |values: Vec<f64>| {
            let count = values.len();
            let data = burn::tensor::TensorData::new(values, [count]);
            Tensor::<1>::from_data(data, &plain)
        };
        fn trained<const D: usize>(t: Tensor<D>, device: &Device) -> Tensor<D> {
            if device.is_autodiff() { t.autodiff() } else { t }
        }
        // What elimination leaves of a pivot that is zero is rounding of this size.
        let least = size as f64 * f64::EPSILON * largest;
        if !diagonal.iter().all(|pivot| pivot.abs() > least) {
            let reason = "is singular, so the layer has no inverse".into();
            return Err(Error::config("InvertibleConv1x1", "matrix", reason));
        }
        let sign = tensor(diagonal.iter().map(|d| d.signum()).collect());
        let log = tensor(diagonal.iter().map(|d| d.abs().ln()).collect());
        let factors = tensor(factors.into_iter().flatten().collect());
        let factors = trained::<2>(factors.reshape([size, size]), device);
        let permutation = Permutation::given(&order, device)?;
        let matrix = LuFactors::from_weights(factors, trained(log, device), Some(sign));
        Ok(Self::from_weights(permutation, matrix))
    }

    /// The layer of these factors: `permutation` first, then the matrix.
    pub fn from_weights(permutation: Permutation, matrix: LuFactors) -> Self {
        Self { permutation, matrix, bias: None, permuted_last: false }
    }

    /// The same factors with the permutation behind the matrix, `P L U`.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::bijector::{Bijector, InvertibleConv1x1, LuFactors, Permutation};
    ///
    /// let device = Device::flex();
    /// let factors = Tensor::<2>::from_data([[0.0, 0.0], [10.0, 0.0]], &device);
    /// let (log, sign) = (Tensor::zeros([2], &device), Tensor::ones([2], &device));
    /// let matrix = LuFactors::from_weights(factors, log, Some(sign));
    /// let swap = Permutation::reverse(2, &device);
    /// let layer = InvertibleConv1x1::from_weights(swap, matrix).permuted_last();
    /// let x = Tensor::<4>::from_data([[[[1.0]], [[2.0]]]], &device);
    /// let z = layer.forward(x, None).0.into_data().try_to_vec_as::<f32>().unwrap();
    /// assert_eq!(z, [12.0, 1.0]);
    /// ```
    pub fn permuted_last(self) -> Self {
        Self { permuted_last: true, ..self }
    }

    /// The same matrix with a learned shift per channel behind it.
    ///
    /// # Panics
    ///
    /// If there is not one for every channel.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::bijector::{Bijector, InvertibleConv1x1Config};
    ///
    /// let device = Device::flex();
    /// let bias = Tensor::from_data([5.0, 7.0], &device);
    /// let layer = InvertibleConv1x1Config::new(2).init(&device).with_bias(bias);
    /// let (z, _) = layer.forward(Tensor::zeros([1, 2, 1, 1], &device), None);
    /// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [5.0, 7.0]);
    /// ```
    pub fn with_bias(self, bias: Tensor<1>) -> Self {
        check_weights("InvertibleConv1x1", "bias", [self.matrix.size()], &bias);
        Self { bias: Some(Param::from_tensor(bias)), ..self }
    }

    /// The bias, broadcastable over an image.
    fn shift(&self) -> Option<Tensor<4>> {
        self.bias.as_ref().map(|bias| bias.val().reshape([1, self.matrix.size(), 1, 1]))
    }

    fn check(&self, x: &Tensor<4>) {
        check_width("InvertibleConv1x1", self.matrix.size(), x);
    }

    fn log_det(&self, x: &Tensor<4>) -> Tensor<1> {
        let pixels = event_len(x) / self.matrix.size();
        repeat_batch(self.matrix.log_abs_det() * pixels as f64, x)
    }
}

/// One matrix on the channels of every pixel.
fn mixed(matrix: Tensor<2>, x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let pixels = x.reshape([batch, channels, height * width]);
    matrix.unsqueeze::<3>().matmul(pixels).reshape([batch, channels, height, width])
}

impl Bijector<4> for InvertibleConv1x1 {
    fn forward(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> (Tensor<4>, Tensor<1>) {
        self.check(&x);
        let log_det = self.log_det(&x);
        let permuted = |x| self.permutation.forward(x, context).0;
        let z = if self.permuted_last {
            permuted(mixed(self.matrix.matrix(), x))
        } else {
            mixed(self.matrix.matrix(), permuted(x))
        };
        let z = match self.shift() {
            Some(shift) => z + shift,
            None => z,
        };
        (z, log_det)
    }

    fn inverse(&self, z: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        self.check(&z);
        let z = match self.shift() {
            Some(shift) => z - shift,
            None => z,
        };
        let ordered = |x| self.permutation.inverse(x, context);
        if self.permuted_last {
            mixed(self.matrix.inverse_matrix(), ordered(z))
        } else {
            ordered(mixed(self.matrix.inverse_matrix(), z))
        }
    }

    fn log_det_jacobian(&self, x: Tensor<4>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        self.check(&x);
        self.log_det(&x)
    }
}

/// A random rotation (perhaps with a reflection), by Gram and Schmidt on seeded normal rows.
fn rotation(size: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut noise = Noise::seeded(seed);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
    for _ in 0..size {
        let mut row: Vec<f64> = (0..size).map(|_| noise.next_normal()).collect();
        // Twice, since one pass leaves rounding of the size of the first row's.
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

/// `W = L U P`: L below and U on and above the diagonal of `factors`, `P` by `order`.
struct Decomposition {
    order: Vec<usize>,
    factors: Vec<Vec<f64>>,
}

/// Elimination with the largest pivot of every row, so that columns are reordered.
fn decompose(mut rows: Vec<Vec<f64>>) -> Decomposition {
    let size = rows.len();
    let mut order: Vec<usize> = (0..size).collect();
    for k in 0..size {
        let largest = |a: &usize, b: &usize| rows[k][*a].abs().total_cmp(&rows[k][*b].abs());
        let pivot = (k..size).max_by(largest).unwrap_or(k);
        order.swap(k, pivot);
        rows.iter_mut().for_each(|row| row.swap(k, pivot));
        let top = rows[k].clone();
        for row in &mut rows[k + 1..] {
            let factor = row[k] / top[k];
            row[k] = factor;
            row[k + 1..].iter_mut().zip(&top[k + 1..]).for_each(|(v, t)| *v -= factor * t);
        }
    }
    Decomposition { order, factors: rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_singular_matrix_is_refused() {
        for rows in [[[0.0, 0.0], [0.0, 0.0]], [[0.1, 0.3], [0.2, 0.6]]] {
            let rows = rows.map(|row| row.to_vec()).to_vec();
            let error = InvertibleConv1x1::factored(rows, &Device::flex()).unwrap_err();
            let text = "InvertibleConv1x1.matrix: is singular, so the layer has no inverse";
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn the_factors_multiply_to_the_rotation() {
        for size in 1..8 {
            let wanted = rotation(size, 3);
            let layer = InvertibleConv1x1Config::new(size).with_seed(3).init(&Device::flex());
            let eye = Tensor::<2>::eye(size, &Device::flex()).reshape([size, size, 1, 1]);
            let (columns, _) = layer.forward(eye, None);
            let found: Vec<f64> = columns.into_data().iter::<f64>().collect();
            for (row, column) in (0..size * size).map(|i| (i / size, i % size)) {
                // Event `column` is the image of the unit vector `column`.
                assert!((found[column * size + row] - wanted[row][column]).abs() < 1e-5);
            }
        }
    }
}
