//! A bijector that ignores the context.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bijector, Carried, Place, Walk};

/// Hides the context from a bijector that was built without a context. Use it when another part of the flow takes a
/// context, such as the base of class-conditional Glow.
///
/// ```text
/// forward   z = f(x), whatever the context
/// log-det   that of f at x
/// inverse   x = f^-1(z)
/// ```
///
/// # Shapes
///
/// - the shapes of the inner bijector; any context
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Flow, bijector::{CouplingConfig, Unconditional}, conditioner::MlpConfig};
/// use burn_flows::{distribution::ConditionalNormalConfig, univariate::Affine};
///
/// let device = Device::flex();
/// let coupling = CouplingConfig::new(2).init(Affine::default(), &device);
/// let base = ConditionalNormalConfig::new(vec![2], 3, MlpConfig::new(vec![8])).init::<2>(&device);
/// let flow = Flow::new(Unconditional::new(coupling), base);
/// let x = Tensor::<2>::zeros([5, 2], &device);
/// assert_eq!(flow.given(&Tensor::ones([5, 3], &device)).log_prob(x).dims(), [5]);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Unconditional<B> {
    inner: B,
}

crate::display::display!(Unconditional<B>);

impl<B> Unconditional<B> {
    /// Hides the context from `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }

    /// Returns the inner bijector.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<const D: usize, B: Bijector<D>> Bijector<D> for Unconditional<B> {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.inner.forward(x, None)
    }

    fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
        self.inner.inverse(z, None)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        _context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.inner.inverse_with_log_det(z, None)
    }

    fn log_det_jacobian(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        self.inner.log_det_jacobian(x, None)
    }

    fn init_from_data(self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let (inner, z) = self.inner.init_from_data(x, None);
        (Self { inner }, z)
    }

    fn mixes_rows(&self) -> bool {
        self.inner.mixes_rows()
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        self.inner.walk(walk, &at.part("inner").with_context(None), carried)
    }
}
