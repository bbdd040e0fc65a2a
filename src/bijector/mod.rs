//! Invertible layers with a tractable log-determinant.
//!
//! **Direction**: `forward` maps data to latent, `x -> z`. nflows, zuko and Glow use this normalizing direction;
//! normflows, FlowJAX, distrax and TFP call the opposite direction forward.
//!
//! | layer | what it does |
//! | --- | --- |
//! | [`Coupling`] | one part of the event sets the parameters of a scalar map of the rest |
//! | [`MaskedAutoregressive`] | a scalar map of each feature, with parameters from the preceding features |
//! | [`Elementwise`] | a scalar map per element, with parameters learned directly or computed from the context |
//! | [`BlockNeuralAutoregressive`] | one network that is autoregressive, and monotone in each feature |
//! | [`Residual`] | adds a contractive network to the input |
//! | [`Cnf`] | follows a velocity field for one unit of time |
//! | [`Planar`], [`Radial`], [`Sylvester`] | a step along a direction, to or from a point, through a few units |
//! | [`ActNorm`] | scale and shift per channel, initialised from data |
//! | [`BatchNorm`] | batch normalization as a bijector |
//! | [`LuLinear`] | a full linear map parameterised by its LU factors |
//! | [`TriangularLinear`] | a triangular linear map |
//! | [`QrLinear`], [`SvdLinear`], [`DenseLinear`] | a full linear map: QR factors, SVD factors, plain matrix |
//! | [`Householder`] | an orthogonal map as a product of reflections |
//! | [`Rotation`] | a rotation parameterised by its matrix logarithm |
//! | [`InvertibleConv1x1`] | a learned matrix over the channels of every pixel |
//! | [`LinearMap`] | any [`InvertibleMatrix`] as a layer |
//! | [`Permutation`] | reorders the features or channels |
//! | [`Squeeze`] | moves blocks of pixels into channels |
//! | [`HaarSqueeze`] | moves blocks of pixels into channels of averages and details |
//! | [`Standardize`] | fixed zero mean and unit variance |
//! | [`Bounded`] | half lines and intervals to the real line, chosen for each element |
//! | [`Logit`], [`Exp`], [`Softplus`], [`Tanh`], [`LeakyTanh`], [`Softclip`], [`LeakyRelu`] | fixed elementwise maps |
//! | [`Inverse`] | any layer with its directions exchanged |
//! | [`Partial`] | any layer, applied to a part of the event |
//! | [`Unconditional`] | any layer, without the context of the flow |
//! | `Vec<B>`, tuples up to 8 | layers applied in sequence |
//! | [`AnyBijector`] | any layer of vectors, chosen at run time |

mod actnorm;
mod any;
mod autoregressive;
mod batch_norm;
mod block_autoregressive;
mod compose;
mod continuous;
mod coupling;
mod elementwise;
mod haar_squeeze;
mod inverse;
mod linear;
mod linearised;
mod mask;
mod partial;
mod residual;
mod squeeze;
#[cfg(all(test, feature = "flex"))]
mod traced;
mod unconditional;

pub use actnorm::{ActNorm, ActNormConfig};
pub use any::{AnyBijector, AnyBijectorConfig};
pub use autoregressive::{InverseMethod, MaskedAutoregressive, MaskedAutoregressiveConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig};
#[cfg(feature = "interop")]
pub(crate) use block_autoregressive::BlockLinear;
pub use block_autoregressive::{BlockNeuralAutoregressive, BlockNeuralAutoregressiveConfig};
pub use continuous::{Cnf, CnfConfig, Divergence, SmoothActivation, Solver};
pub use coupling::{Coupling, CouplingConfig};
pub use elementwise::{
    Bound, Bounded, Elementwise, Exp, LeakyRelu, LeakyTanh, Logit, Sigmoid, Softclip, Softplus,
    Standardize, Tanh,
};
pub use haar_squeeze::HaarSqueeze;
pub use inverse::Inverse;
pub use linear::{
    ChannelMatrix, Conv1x1Matrix, DenseLinear, DenseLinearConfig, DenseMatrix, Householder,
    HouseholderConfig, InvertibleConv1x1, InvertibleConv1x1Config, InvertibleMatrix, LinearMap,
    LuFactors, LuLinear, LuLinearConfig, Permutation, QrFactors, QrLinear, QrLinearConfig,
    Reflections, Rotation, RotationConfig, RotationMatrix, SvdFactors, SvdLinear, SvdLinearConfig,
    TriangularLinear, TriangularLinearConfig, TriangularMatrix,
};
pub use mask::{Mask, Split};
pub use partial::Partial;
pub use residual::{
    FixedPoint, LogDet, Planar, PlanarConfig, PlanarConstraint, Radial, RadialConfig, Residual,
    ResidualConfig, RidgeActivation, Sylvester, SylvesterConfig,
};
pub use squeeze::{Squeeze, SqueezeOrder};
pub use unconditional::Unconditional;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::display::short_name;
use crate::rows::callers_dims;
pub use crate::walk::{Carried, Place, Recovery, Walk};

/// A bijection between data `x` and latent `z`, both `[batch, event..]` of rank `D`.
///
/// `forward` maps data to latent; [`inverse`](Self::inverse) maps latent to data. A custom layer implements this trait
/// on a burn module. `burn_flows::testing::check` then checks the layer's inverse and log-determinant.
///
/// A context has one row per event, or a single row for all events.
///
/// Values keep their precision. A log-determinant has the precision of the values; beside values of f16 or bf16 it is
/// f32: see [`cast`](crate::cast).
///
/// A layer that derives serde's `Serialize` and `Deserialize` can be saved and opened. [`store`](crate::store)
/// describes how the fields of such a layer are serialized.
///
/// A bare layer requires at least one row; a [`Flow`](crate::Flow) accepts an empty batch.
///
/// # Panics
///
/// Every method panics if a tensor's shape, or the context, does not fit the layer; the message
/// names the layer, the expected and the found shape of the caller's batch. Layers also panic in a precision whose
/// logarithm the backend computes incorrectly (f64 on wgpu).
///
/// # Example
///
/// ```
/// use burn::{module::Module, tensor::{Device, Tensor}};
/// use burn_flows::bijector::Bijector;
///
/// /// `z = 2 x`.
/// #[derive(Module, Debug, serde::Serialize, serde::Deserialize)]
/// struct Double {}
///
/// impl<const D: usize> Bijector<D> for Double {
///     fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
///         let [batch, event] = [x.dims()[0], x.dims()[1..].iter().product()];
///         let log_det = Tensor::full([batch], event as f64 * 2f64.ln(), (&x.device(), x.dtype()));
///         (x * 2.0, log_det)
///     }
///     fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
///         z / 2.0
///     }
/// }
///
/// let x = Tensor::<2>::ones([3, 4], &Device::flex());
/// let (z, log_det) = vec![Double {}, Double {}].forward(x, None);
/// assert_eq!(z.max().into_scalar::<f32>(), 4.0);
/// assert!((log_det.max().into_scalar::<f32>() - 8.0 * 2f32.ln()).abs() < 1e-5);
/// ```
pub trait Bijector<const D: usize>: Module + ModuleDisplay + Sync {
    /// Data to latent: `z = f(x)` and `ln |det df/dx|`, shape `[batch]`.
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>);

    /// Latent to data: `x = f^-1(z)`. It computes no log-determinant, which makes sampling cheaper.
    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D>;

    /// Latent to data with `ln |det df^-1/dz|`. Default: [`inverse`](Self::inverse), then minus
    /// the forward log-determinant.
    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let x = self.inverse(z, context);
        let log_det = self.log_det_jacobian(x.clone(), context);
        (x, log_det.neg())
    }

    /// The forward log-determinant alone. Default: the second element of the pair from [`forward`](Self::forward).
    fn log_det_jacobian(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.forward(x, context).1
    }

    /// Data-dependent initialisation from a first batch. Returns the layer and the latents of the batch. A layer that
    /// is already initialised, or has nothing to initialise, stays unchanged.
    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let (z, _) = self.valid().forward(x, context);
        (self, z)
    }

    /// Whether, in training, the latent of a row depends on the other rows, as in batch normalization.
    fn mixes_rows(&self) -> bool {
        false
    }

    /// How training that keeps no activations in memory recovers the layer's input.
    ///
    /// Default: [`Recovery::Input`], or [`Recovery::Graph`] for a layer that mixes rows.
    ///
    /// - [`Recovery::Input`] keeps the input. It is right for every layer that gives the same numbers when `forward`
    ///   runs twice, including layers with the random draws of this crate's networks.
    /// - [`Recovery::Inverse`] keeps nothing. It is for a layer whose inverse is a formula.
    /// - [`Recovery::Graph`] keeps the whole graph. It is for a layer that draws noise of its own, or changes as it
    ///   runs.
    ///
    /// A layer that acts differently in training and in evaluation holds a `burn::module::Flag`, as burn's own
    /// modules do.
    fn recovery(&self) -> Recovery {
        if self.mixes_rows() { Recovery::Graph } else { Recovery::Input }
    }

    /// Takes a [`Walk`] through the layer. A composition passes the call on to its parts, in the order that `at` gives.
    /// Default: the layer is a single layer without parts.
    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        walk.layer(self, at, carried)
    }
}

/// The bare name of a type: `Coupling` for `burn_flows::bijector::coupling::Coupling<..>`.
pub(crate) fn layer_name<T: ?Sized>() -> &'static str {
    short_name(std::any::type_name::<T>())
}

/// Checks the shape of weights that a caller gives.
///
/// # Panics
///
/// If the shape is not `expected`. The message names the layer, the weights and both shapes.
#[track_caller]
pub(crate) fn check_weights<const D: usize>(
    layer: &str,
    what: &str,
    expected: [usize; D],
    weights: &Tensor<D>,
) {
    let found = weights.dims();
    assert!(found == expected, "{layer}: expected {what} of shape {expected:?}, found {found:?}");
}

/// Checks axis 1 of an event.
///
/// # Panics
///
/// If the width is not `expected`. The message names the layer and both shapes.
#[track_caller]
pub(crate) fn check_width<const D: usize>(layer: &str, expected: usize, x: &Tensor<D>) {
    let dims = callers_dims(x);
    let rest = if D > 2 { ", .." } else { "" };
    assert!(
        dims[1] == expected,
        "{layer}: expected shape [batch, {expected}{rest}], found {dims:?}"
    );
}
