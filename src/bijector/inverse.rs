//! A bijector with its directions exchanged.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bijector, Carried, Place, Walk};

/// Exchanges the two directions of a bijector. [`Bijector::init_from_data`] does not initialise a data-dependent layer
/// inside, because the initialisation is defined for the layer's own forward direction.
///
/// ```text
/// forward   z = g^-1(x)
/// log-det   that of g^-1 at x
/// inverse   x = g(z)
/// ```
///
/// # Shapes
///
/// - the shapes of the inner bijector, with data and latent exchanged
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Exp, Inverse};
///
/// // Positive data to the line: forward is the logarithm.
/// let log = Inverse::new(Exp {});
/// let x = Tensor::<2>::from_data([[1.0, 10.0]], &Device::flex());
/// let (z, log_det) = log.forward(x, None);
/// assert!((z.max().into_scalar::<f32>() - 10f32.ln()).abs() < 1e-6);
/// assert!((log_det.into_scalar::<f32>() + 10f32.ln()).abs() < 1e-6);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Inverse<B> {
    inner: B,
}

crate::display::display!(Inverse<B>);

impl<B> Inverse<B> {
    /// Exchanges the directions of `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }

    /// Returns the inner bijector.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<const D: usize, B: Bijector<D>> Bijector<D> for Inverse<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.inner.inverse_with_log_det(x, context)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.inner.forward(z, context).0
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.inner.forward(z, context)
    }

    fn mixes_rows(&self) -> bool {
        self.inner.mixes_rows()
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        self.inner.walk(walk, &at.part("inner").inverted(), carried)
    }
}
