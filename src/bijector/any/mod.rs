//! A bijector of vectors chosen at run time.

mod config;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    ActNorm, BatchNorm, Bijector, BlockNeuralAutoregressive, Carried, Cnf, Coupling, DenseLinear,
    Elementwise, Exp, Householder, Inverse, LeakyRelu, LeakyTanh, Logit, LuLinear,
    MaskedAutoregressive, Partial, Permutation, Place, Planar, QrLinear, Radial, Recovery,
    Residual, Rotation, Softclip, Softplus, Standardize, SvdLinear, Sylvester, Tanh,
    TriangularLinear, Walk,
};
use crate::conditioner::Mlp;
use crate::univariate::AnyUnivariate;

pub use config::AnyBijectorConfig;

/// The vector layers of this crate behind one type, for stacks known only at run time: from a
/// configuration file, or from another library's checkpoint. Where the stack is known at compile
/// time, `Vec`, tuples and generics say the same without a match per call.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{AnyBijectorConfig, Bijector};
///
/// let text = r#"{"Stack": [{"ActNorm": {"features": 3}}, {"Reverse": {"features": 3}}, "Exp"]}"#;
/// let config: AnyBijectorConfig = serde_json::from_str(text)?;
/// let flow = config.init(&Device::flex())?;
/// let (z, _) = flow.forward(Tensor::<2>::zeros([2, 3], &Device::flex()), None);
/// assert_eq!(z.dims(), [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
pub enum AnyBijector {
    /// [`ActNorm`].
    ActNorm(ActNorm),
    /// [`BatchNorm`].
    BatchNorm(BatchNorm),
    /// [`BlockNeuralAutoregressive`].
    BlockNeuralAutoregressive(BlockNeuralAutoregressive),
    /// [`Cnf`].
    Cnf(Cnf),
    /// [`Coupling`] with a dense network.
    Coupling(Coupling<AnyUnivariate, Mlp>),
    /// [`DenseLinear`].
    DenseLinear(DenseLinear),
    /// [`Elementwise`].
    Elementwise(Elementwise<AnyUnivariate>),
    /// [`Exp`].
    Exp(Exp),
    /// [`Householder`].
    Householder(Householder),
    /// [`Inverse`] of a stack.
    Inverse(Inverse<Vec<AnyBijector>>),
    /// [`LeakyRelu`].
    LeakyRelu(LeakyRelu),
    /// [`LeakyTanh`].
    LeakyTanh(LeakyTanh),
    /// [`Logit`].
    Logit(Logit),
    /// [`LuLinear`].
    LuLinear(LuLinear),
    /// [`MaskedAutoregressive`].
    MaskedAutoregressive(MaskedAutoregressive<AnyUnivariate>),
    /// [`Coupling`] with several dense networks that see the same.
    MultiCoupling(Coupling<AnyUnivariate, Vec<Mlp>>),
    /// [`Partial`] of a stack.
    Partial(Partial<Vec<AnyBijector>>),
    /// [`Permutation`].
    Permutation(Permutation),
    /// [`Planar`].
    Planar(Planar),
    /// [`QrLinear`].
    QrLinear(QrLinear),
    /// [`Radial`].
    Radial(Radial),
    /// [`Residual`].
    Residual(Residual),
    /// [`Rotation`].
    Rotation(Rotation),
    /// [`Softclip`].
    Softclip(Softclip),
    /// [`Softplus`].
    Softplus(Softplus),
    /// One after the other.
    Stack(Vec<AnyBijector>),
    /// [`Standardize`].
    Standardize(Standardize<2>),
    /// [`SvdLinear`].
    SvdLinear(SvdLinear),
    /// [`Sylvester`].
    Sylvester(Sylvester),
    /// [`Tanh`].
    Tanh(Tanh),
    /// [`TriangularLinear`].
    TriangularLinear(TriangularLinear),
}

/// The layer inside, whichever it is; with `wrap`, what puts it back, and the variant's `name`.
macro_rules! each {
    ($self:expr, $layer:ident => $body:expr) => {
        each!($self, ($layer, _wrap, _name) => $body)
    };
    ($self:expr, ($layer:ident, $wrap:ident, $name:ident) => $body:expr) => {
        each!(@ $self, ($layer, $wrap, $name) => $body; ActNorm BatchNorm BlockNeuralAutoregressive Cnf Coupling DenseLinear Elementwise Exp Householder Inverse LeakyRelu LeakyTanh Logit LuLinear MaskedAutoregressive MultiCoupling Partial Permutation Planar QrLinear Radial Residual Rotation Softclip Softplus Stack Standardize SvdLinear Sylvester Tanh TriangularLinear)
    };
    (@ $self:expr, ($layer:ident, $wrap:ident, $name:ident) => $body:expr; $($variant:ident)+) => {
        match $self {
            $(AnyBijector::$variant($layer) => {
                let ($wrap, $name) = (AnyBijector::$variant, stringify!($variant));
                $body
            })+
        }
    };
}

impl Bijector<2> for AnyBijector {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.forward(x, context))
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        each!(self, layer => layer.inverse(z, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.inverse_with_log_det(z, context))
    }

    fn log_det_jacobian(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        each!(self, layer => layer.log_det_jacobian(x, context))
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Self, Tensor<2>) {
        each!(self, (layer, wrap, _name) => {
            let (layer, z) = layer.init_from_data(x, context);
            (wrap(layer), z)
        })
    }

    fn mixes_rows(&self) -> bool {
        each!(self, layer => Bijector::<2>::mixes_rows(layer))
    }

    fn recovery(&self) -> Recovery {
        each!(self, layer => Bijector::<2>::recovery(layer))
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<2>) -> Carried<2> {
        each!(self, (layer, _wrap, name) => layer.walk(walk, &at.part(name), carried))
    }
}
