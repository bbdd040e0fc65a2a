//! The noise of dequantization: a density of the added noise, given the integers.
//!
//! u drawn from q(u | x) on (0, 1)^n
//!
//! Paper: Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 3.1, arXiv:1902.00275.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::Bijector;
use crate::distribution::Distribution;
use crate::flow::Flow;
use crate::math::{event_len, zeros_batch};
use crate::noise::Noise;
use crate::rows::spread;

/// A density `q(u | x)` of the noise that dequantizes integers.
///
/// A [`Flow`] from `(0, 1)^n` is a noise model. Its bijector begins with a [`Logit`](crate::bijector::Logit) of `alpha`
/// 0, and its context is `x`, flattened to a row. For vectors use a Real NVP with a context. For images use couplings
/// whose network turns the context back into an image. Other models implement this trait.
///
/// ```
/// use burn::{module::Module, tensor::{Device, Tensor}};
/// use burn_flows::{Noise, train::{NoiseModel, UniformNoise, VariationalDequantize}};
/// use burn_flows::distribution::{Distribution, Uniform};
///
/// /// Uniform in the middle half of every level.
/// #[derive(Module, Debug)]
/// struct Middle {}
///
/// impl NoiseModel<2> for Middle {
///     fn draw_for(
///         &self,
///         x: &Tensor<2>,
///         _context: Option<&Tensor<2>>,
///         noise: &mut Noise,
///     ) -> (Tensor<2>, Tensor<1>) {
///         let [rows, width] = x.dims();
///         let u = noise.uniform([rows, width], &x.device()) * 0.5 + 0.25;
///         (u, Tensor::full([rows], width as f64 * 2f64.ln(), &x.device()))
///     }
/// }
///
/// let zeros = Tensor::<2>::zeros([1, 3], &Device::flex());
/// let unit = Uniform::new(zeros.clone(), zeros.clone() + 1.0)?;
/// let model = VariationalDequantize::new(unit, Middle {}, 4)?;
/// let log_prob = model.log_prob(zeros, None).into_scalar::<f32>();
/// // Half of every level is never drawn: a bit below the truth in each of three dimensions.
/// assert!((log_prob - 3.0 * (0.25f32.ln() - 2f32.ln())).abs() < 1e-5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub trait NoiseModel<const D: usize>: Module + ModuleDisplay + Sync {
    /// Draws noise `u` in `(0, 1)`, of the shape of `x`, and computes `ln q(u | x)` in nats, shape `[batch]`. `x` holds
    /// the integers divided by the number of levels. Gradients pass through both results.
    fn draw_for(
        &self,
        x: &Tensor<D>,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>);

    /// Whether the noise of a row depends on the other rows while training, as with a
    /// [`BatchNorm`](crate::bijector::BatchNorm). Default: no.
    fn mixes_rows(&self) -> bool {
        false
    }

    /// Initialises data-dependent layers from a first batch. Default: nothing to initialise.
    fn init_from_data(
        self,
        _x: &Tensor<D>,
        _context: Option<&Tensor<2>>,
        _noise: &mut Noise,
    ) -> Self {
        self
    }
}

/// Uniform noise, independent of the integers, as in [`Dequantize`](super::Dequantize).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, train::{NoiseModel, UniformNoise}};
///
/// let x = Tensor::<2>::zeros([4, 3], &Device::flex());
/// let (u, log_q) = UniformNoise {}.draw_for(&x, None, &mut Noise::seeded(1));
/// assert_eq!((u.dims(), log_q.abs().max().into_scalar::<f32>()), ([4, 3], 0.0));
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct UniformNoise {}

crate::display::display!(UniformNoise);

impl<const D: usize> NoiseModel<D> for UniformNoise {
    fn draw_for(
        &self,
        x: &Tensor<D>,
        _context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>) {
        (noise.unit(x.dims(), (&x.device(), x.dtype())), zeros_batch(x))
    }
}

/// The context of the flow is `x`, flattened to a row, followed by the given context. Data-dependent layers are
/// initialised from uniform noise, so `q` starts near uniform noise.
impl<const D: usize, B: Bijector<D>, P: Distribution<D>> NoiseModel<D> for Flow<B, P> {
    fn draw_for(
        &self,
        x: &Tensor<D>,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>) {
        self.given(&row_context(x, context)).draw_with_log_prob(x.dims()[0], noise)
    }

    fn mixes_rows(&self) -> bool {
        Distribution::mixes_rows(self)
    }

    fn init_from_data(self, x: &Tensor<D>, context: Option<&Tensor<2>>, noise: &mut Noise) -> Self {
        let (u, _) = UniformNoise {}.draw_for(x, None, noise);
        Distribution::init_from_data(self, u, Some(&row_context(x, context)))
    }
}

/// The elements of `x` followed by the context, `[batch, n + width]`.
fn row_context<const D: usize>(x: &Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<2> {
    let batch = x.dims()[0];
    let flat = x.clone().reshape([batch, event_len(x)]);
    match spread("VariationalDequantize", batch, context) {
        Some(context) => Tensor::cat(vec![flat, context], 1),
        None => flat,
    }
}
