//! A linear map by an invertible matrix of any parameterisation.

use burn::module::{Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use serde::Serialize;

use crate::bijector::{Bijector, Carried, Place, Recovery, Walk, check_weights, check_width};
use crate::conditioner::check_context;
use crate::kernel::rows_times;
use crate::math::{event_len, repeat_batch};
use crate::rows::check_rows;

/// A square matrix with an inverse and a log-determinant. A [`LinearMap`] makes it a layer.
///
/// ```
/// use burn::{module::{Module, Param}, tensor::{Device, Tensor}};
/// use burn_flows::bijector::{Bijector, InvertibleMatrix, LinearMap};
///
/// /// `[[cos t, -sin t], [sin t, cos t]]`.
/// #[derive(Module, Debug)]
/// struct Rotation {
///     angle: Param<Tensor<1>>,
/// }
///
/// impl InvertibleMatrix for Rotation {
///     const LAYER: &'static str = "Rotation";
///     fn size(&self) -> usize {
///         2
///     }
///     fn matrix(&self) -> Tensor<2> {
///         let (cos, sin) = (self.angle.val().cos(), self.angle.val().sin());
///         Tensor::cat(vec![cos.clone(), sin.clone().neg(), sin, cos], 0).reshape([2, 2])
///     }
///     fn inverse_matrix(&self) -> Tensor<2> {
///         self.matrix().transpose()
///     }
///     fn log_abs_det(&self) -> Tensor<1> {
///         self.angle.val() * 0.0
///     }
/// }
///
/// let device = Device::flex();
/// let angle = Param::from_tensor(Tensor::from_data([std::f64::consts::FRAC_PI_2], &device));
/// let layer = LinearMap::new(Rotation { angle });
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[3.0, 0.0]], &device), None);
/// z.into_data().assert_approx_eq::<f32>(&Tensor::<2>::from_data([[0.0, 3.0]], &device).into_data(), Default::default());
/// ```
pub trait InvertibleMatrix: Module + ModuleDisplay + Sync {
    /// The name of the layer in error messages.
    const LAYER: &'static str;

    /// The number of rows, and of columns.
    fn size(&self) -> usize;

    /// `W`, `[size, size]`. The layer rounds `W` to the precision of its values.
    fn matrix(&self) -> Tensor<2>;

    /// `W^-1`, `[size, size]`.
    fn inverse_matrix(&self) -> Tensor<2>;

    /// `ln |det W|`, shape `[1]`.
    fn log_abs_det(&self) -> Tensor<1>;
}

crate::store::checked! {
/// A linear map `z = W x + b` over the features of a vector, or over the channels of every pixel.
///
/// ```text
/// forward   z = W x + b + V c, per pixel          c the context, where there is one
/// log-det   (height * width) * ln |det W|
/// inverse   x = W^-1 (z - b - V c)
/// ```
///
/// The matrix and its inverse are formed once per call, whatever the batch and the number of pixels.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
/// - context: `[batch, context]`, if the layer has weights for a context
///
/// # Panics
///
/// If the width of the event differs from the size of the matrix, or the width of the context differs from that of its
/// weights.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, LinearMap, LuFactors};
///
/// let device = Device::flex();
/// let layer = LinearMap::new(LuFactors::identity(2, &device))
///     .with_bias(Tensor::from_data([5.0, 7.0], &device));
/// let (z, _) = layer.forward(Tensor::<4>::zeros([1, 2, 1, 1], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [5.0, 7.0]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct LinearMap<M: InvertibleMatrix> {
    matrix: M,
    #[serde(with = "crate::store::part")]
    bias: Option<Param<Tensor<1>>>,
    #[serde(with = "crate::store::part")]
    context: Option<Param<Tensor<2>>>,
}
}

impl<M: InvertibleMatrix> LinearMap<M> {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> crate::error::Result<()> {
        let size = self.matrix.size();
        if let Some(bias) = &self.bias {
            crate::store::shaped(M::LAYER, "bias", &[size], bias.dims())?;
        }
        match self.context.as_ref().map(|weights| weights.dims()) {
            Some([width, found]) => {
                crate::store::shaped(M::LAYER, "context", &[width.max(1), size], [width, found])
            }
            None => Ok(()),
        }
    }
}

impl<M: InvertibleMatrix> LinearMap<M> {
    /// Builds the layer of a matrix, without a bias.
    pub fn new(matrix: M) -> Self {
        Self { matrix, bias: None, context: None }
    }

    /// Adds a learned bias after the matrix.
    ///
    /// # Panics
    ///
    /// If the length of `bias` differs from the number of features.
    pub fn with_bias(self, bias: Tensor<1>) -> Self {
        check_weights(M::LAYER, "bias", [self.matrix.size()], &bias);
        Self { bias: Some(Param::from_tensor(bias)), ..self }
    }

    /// Adds a bias that is linear in the context, with weights `[context, features]`.
    ///
    /// # Panics
    ///
    /// If `weights` has no rows, or its number of columns differs from the number of features.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::bijector::{Bijector, LinearMap, LuFactors};
    ///
    /// let device = Device::flex();
    /// let weights = Tensor::from_data([[10.0, 0.0], [0.0, 100.0]], &device);
    /// let layer = LinearMap::new(LuFactors::identity(2, &device)).with_context(weights);
    /// let context = Tensor::from_data([[1.0, 2.0]], &device);
    /// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 2], &device), Some(&context));
    /// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [10.0, 200.0]);
    /// ```
    pub fn with_context(self, weights: Tensor<2>) -> Self {
        let [width, _] = weights.dims();
        check_weights(M::LAYER, "context", [width.max(1), self.matrix.size()], &weights);
        Self { context: Some(Param::from_tensor(weights)), ..self }
    }

    /// The matrix.
    pub fn matrix(&self) -> &M {
        &self.matrix
    }

    /// The sum of bias and context term, broadcastable over events.
    fn shift<const D: usize>(&self, rows: usize, context: Option<&Tensor<2>>) -> Option<Tensor<D>> {
        let size = self.matrix.size();
        let bias = self.bias.as_ref().map(|bias| bias.val().reshape([1, size]));
        let term = self.context.as_ref().and_then(|weights| {
            let weights = weights.val();
            check_context(M::LAYER, weights.dims()[0], context);
            check_rows(M::LAYER, rows, context);
            Some(rows_times(context?.clone(), weights))
        });
        let shift: Tensor<2> = match (bias, term) {
            (Some(bias), Some(term)) => bias + term,
            (bias, term) => bias.or(term)?,
        };
        let mut shape = [1; D];
        shape[..2].copy_from_slice(&shift.dims());
        Some(shift.reshape(shape))
    }

    fn check<const D: usize>(&self, x: &Tensor<D>) {
        check_width(M::LAYER, self.matrix.size(), x);
    }

    fn log_det<const D: usize>(&self, x: &Tensor<D>) -> Tensor<1> {
        let pixels = event_len(x) / self.matrix.size();
        repeat_batch(self.matrix.log_abs_det() * pixels as f64, x)
    }
}

/// Applies one matrix to the features of every row, or to the channels of every pixel.
///
/// Images become one matrix with a column per pixel. In training that is many times faster than a product per image or
/// a convolution. Vectors are multiplied as rows, which saves copies.
fn mixed<const D: usize>(matrix: Tensor<2>, x: Tensor<D>) -> Tensor<D> {
    let (shape, width) = (x.dims(), matrix.dims()[0]);
    if D == 2 {
        let rows: Tensor<2> = x.reshape([shape[0], width]);
        return rows_times(rows, matrix.transpose()).reshape(shape);
    }
    let columns = x.swap_dims(0, 1);
    let (shape, count) = (columns.dims(), shape.iter().product::<usize>() / width);
    let columns: Tensor<2> = columns.reshape([width, count]);
    matrix.matmul(columns).reshape(shape).swap_dims(0, 1)
}

impl<const D: usize, M: InvertibleMatrix> Bijector<D> for LinearMap<M> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.check(&x);
        let (log_det, rows) = (self.log_det(&x), x.dims()[0]);
        let z = mixed(self.matrix.matrix().cast(x.dtype()), x);
        let z = match self.shift(rows, context) {
            Some(shift) => z + shift,
            None => z,
        };
        (z, log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.check(&z);
        let z = match self.shift(z.dims()[0], context) {
            Some(shift) => z - shift,
            None => z,
        };
        mixed(self.matrix.inverse_matrix().cast(z.dtype()), z)
    }

    fn log_det_jacobian(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        self.check(&x);
        self.log_det(&x)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        walk.layer(self, &at.named(M::LAYER), carried)
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
