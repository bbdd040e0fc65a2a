//! Monotone scalar maps whose parameters come from outside.
//!
//! A map states how many parameters one element needs. A layer (coupling, autoregressive, elementwise)
//! supplies them. So a new map works in every layer.
//!
//! | map | what it is | inverse |
//! | --- | --- | --- |
//! | [`Additive`], [`Affine`] | shift, scale and shift | formula |
//! | [`RationalQuadratic`] | rational-quadratic spline | formula |
//! | [`Bernstein`] | increasing polynomial on an interval | search |
//! | [`SumOfSquares`] | integral of squared polynomials | search |
//! | [`Gaussianization`] | mixture of normals, through the normal quantile | search |
//! | [`MixtureOfLogistics`] | mixture of logistics, through the logit | search |
//! | [`DeepSigmoidal`] | networks of sigmoids, every weight a parameter | search |
//! | [`Neural`] | network of positive weights, controlled by a signal | search |
//! | [`UnconstrainedMonotonic`] | integral of a positive network, controlled by a signal | search |
//!
//! Only [`Neural`] and [`UnconstrainedMonotonic`] own weights. A search is Newton's method inside a
//! bracket, to the last digits of the precision. Its gradient is exactly the gradient of the inverse
//! function. The search always ends. For a value that the map does not reach, it returns the nearest
//! end of the bracket with a gradient of zero, never NaN. Where a map is flat to the last digit, such
//! as between distant kernels of a mixture, the search cannot recover `x`.

mod additive;
mod affine;
mod any;
mod bernstein;
mod curve;
mod deep_sigmoidal;
mod gaussianization;
mod half_turn;
mod logistic;
mod mixture_of_logistics;
mod neural;
mod normal;
mod per_element;
mod spline;
mod stacked;
mod sum_of_squares;
mod unconstrained;

pub use additive::Additive;
pub use affine::{Affine, ScaleMap};
pub use any::{AnyUnivariate, AnyUnivariateConfig};
pub use bernstein::{Bernstein, BernsteinConfig};
pub use deep_sigmoidal::{DeepSigmoidal, DeepSigmoidalConfig};
pub use gaussianization::{Gaussianization, GaussianizationConfig};
pub use half_turn::HalfTurn;
pub use mixture_of_logistics::{MixtureOfLogistics, MixtureOfLogisticsConfig};
pub use neural::{Neural, NeuralConfig};
pub use per_element::PerElement;
pub use spline::{
    CubicSpline, CubicSplineConfig, KnotMap, LinearSpline, LinearSplineConfig, QuadraticSpline,
    QuadraticSplineConfig, RationalQuadratic, RationalQuadraticConfig, SplineDomain, TailSlope,
};
#[cfg(feature = "interop")]
pub(crate) use stacked::Stacked;
pub use sum_of_squares::{SumOfSquares, SumOfSquaresConfig};
pub use unconstrained::{UnconstrainedMonotonic, UnconstrainedMonotonicConfig};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::kernel::Map;
use crate::math::wide;

/// A strictly monotone map of scalars whose parameters are arguments.
///
/// Values are `[batch, n]`. Parameters are `[batch, P, n]`: parameter `p` of element `i` is at
/// `[.., p, i]`. This layout is a reshape of a dense network's output `[batch, P * n]` and of a convolution's
/// output `[batch, P * channels, height, width]`. So no layer moves data, and one parameter of
/// neighbouring elements is contiguous.
///
/// Raw parameters of zero give the identity or a map close to it; the documentation of each map says
/// which.
///
/// Layers convert values and parameters of f16 or bf16 to f32 before they call a map, and round its
/// result. A map does not have to compute in less than f32.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{Affine, Univariate};
///
/// let device = Device::flex();
/// let map = Affine::default();
/// let x = Tensor::<2>::from_data([[1.0, -2.0]], &device);
/// let params = Tensor::<3>::from_data([[[0.5, 0.0], [0.3, -0.1]]], &device); // shifts, log-scales
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// let back = map.inverse(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// assert_eq!(log_det.dims(), [1]);
/// ```
pub trait Univariate: Module + ModuleDisplay + Sync {
    /// `P`, the number of parameters one element needs.
    fn params_per_element(&self) -> usize;

    /// `z = f(x)` and the sum of `ln |f'(x)|` over the `n` elements of each row, shape `[batch]`.
    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>);

    /// `x = f^-1(z)`.
    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2>;

    /// `x = f^-1(z)` and the sum of `ln |(f^-1)'(z)|`. Default: [`inverse`](Self::inverse), then
    /// minus the log-det of [`forward`](Self::forward).
    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let x = self.inverse(z, params.clone());
        let (_, log_det) = self.forward(x.clone(), params);
        (x, log_det.neg())
    }

    /// Whether the inverse has a formula, at about the cost of `forward`. Default: no.
    fn has_inverse_formula(&self) -> bool {
        false
    }

    /// The number of elements the map is built for, if it stores something for each element. Default:
    /// any number.
    fn elements(&self) -> Option<usize> {
        None
    }

    /// The map restricted to these elements, if it stores something for each element. Default: `None`,
    /// because the map treats all elements alike.
    fn of_elements(&self, _elements: &[usize]) -> Option<Self> {
        None
    }

    /// The kernel of a map of this crate.
    #[doc(hidden)]
    fn kernel(&self) -> Option<Kernel> {
        None
    }
}

/// A kernel of this crate, for layers that run it inside of their own.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Kernel(pub(crate) Map);

/// A scalar map as layers call it, in at least single precision. Values and parameters of f16 and bf16
/// are converted to f32. Values are converted back; a log-det is not.
pub(crate) trait WideUnivariate: Univariate {
    /// [`Univariate::forward`].
    fn wide_forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let dtype = x.dtype();
        let (z, log_det) = self.forward(wide(x), wide(params));
        (z.cast(dtype), log_det)
    }

    /// [`Univariate::inverse`].
    fn wide_inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        let dtype = z.dtype();
        self.inverse(wide(z), wide(params)).cast(dtype)
    }

    /// [`Univariate::inverse_with_log_det`].
    fn wide_inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let dtype = z.dtype();
        let (x, log_det) = self.inverse_with_log_det(wide(z), wide(params));
        (x.cast(dtype), log_det)
    }
}

impl<U: Univariate> WideUnivariate for U {}

/// Returns an error unless the map accepts this number of elements.
pub(crate) fn check_elements(
    layer: &'static str,
    univariate: &impl Univariate,
    elements: usize,
) -> Result<()> {
    match univariate.elements() {
        Some(own) if own != elements => {
            let reason = format!("expected a map of {elements} elements, found {own} elements");
            Err(Error::config(layer, "univariate", reason))
        }
        _ => Ok(()),
    }
}

/// Takes parameter `index` of every element: `[batch, P, n] -> [batch, n]`.
pub(crate) fn param(params: &Tensor<3>, index: usize) -> Tensor<2> {
    let [batch, _, n] = params.dims();
    params.clone().narrow(1, index, 1).reshape([batch, n])
}
