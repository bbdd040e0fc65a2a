//! Variational dequantization: learned noise under integers, and a bound of their log-probability.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Dequantize, NoiseModel};
use crate::bijector::{Place, Walk};
use crate::crew::apart;
use crate::distribution::{Distribution, given};
use crate::draws;
use crate::error::Result;
use crate::math::{event_len, fine, log_sum_exp, sum_event};
use crate::noise::Noise;
use crate::rows::check_rows;

/// A distribution over integers `0..levels`, made of a density `p` on `[0, 1)^n` and noise `q` that spreads the
/// integers over `[0, 1)^n`. [`fit`](super::fit) trains both together, as any distribution.
///
/// ```text
/// v = (x + u) / levels,  u drawn from q(u | x) on (0, 1)^n
/// ln P(x) = ln E_q[r] >= E_q[ln r]        r = p(v) levels^-n / q(u | x)
/// k draws     ln P(x) >= E_q[ln((r_1 + .. + r_k) / k)], rising with k
/// ```
///
/// Papers: Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 3.1, arXiv:1902.00275; k draws:
/// Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders, equation 8,
/// arXiv:1509.00519.
///
/// Pass the data as integers, without [`with_dequantization`](super::FitData::with_dequantization). `log_prob` is a
/// lower bound of the log-probability of the *integers*, in nats, from one draw of the noise; [`bound`](Self::bound)
/// takes more draws. The levels are already part of this bound, so bits per dimension are `bits_per_dim(nll, n, 1)`.
/// Uniform dequantization reports the NLL of the dequantized values instead, which is `n ln levels` lower.
///
/// `log_prob` draws its noise from the source of the current thread, which [`fit`](super::fit) seeds. Outside of `fit`,
/// two calls of `log_prob` differ, and so do two batch sizes. [`bound`](Self::bound) draws from a [`Noise`] that you
/// pass.
///
/// `sample` rounds draws of `p` down to integers. Draws outside `[0, 1)` become the nearest level.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::Logit;
/// use burn_flows::prelude::*;
/// use burn_flows::train::{FitConfig, VariationalDequantize, bits_per_dim, fit};
///
/// let device = Device::flex();
/// let x = (Noise::seeded(1).uniform::<2>([200, 2], &device) * 4.0).floor(); // your integers
/// let network = MlpConfig::new(vec![16]);
/// let p = RealNvpConfig::new(2).with_mlp(network.clone()).init(&device).into_parts();
/// // The integers are the context of the noise.
/// let q = RealNvpConfig::new(2).with_context(2).with_mlp(network).init(&device).into_parts();
/// let p = Flow::new((Logit::new(0.01)?, p.0), p.1);
/// let q = Flow::new((Logit::new(0.0)?, q.0), q.1);
/// let model = VariationalDequantize::new(p, q, 4)?;
/// let (model, _) = fit(model, x.clone(), &FitConfig::new().with_epochs(2))?;
///
/// let nll = -model.bound(x, None, 8, &mut Noise::seeded(2)).mean().into_scalar::<f64>();
/// let bits = bits_per_dim(nll, 2, 1);
/// assert!(bits > 1.9 && bits < 3.0, "{bits}"); // four equal levels: 2 bits
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct VariationalDequantize<F, Q> {
    density: F,
    noise: Q,
    #[module(skip)]
    dequantize: Dequantize,
}

crate::display::display!(VariationalDequantize<F, Q>);

impl<F, Q> VariationalDequantize<F, Q> {
    /// A distribution of integers below `levels`, from a density and a noise model.
    ///
    /// # Errors
    ///
    /// The errors of [`Dequantize::new`].
    pub fn new(density: F, noise: Q, levels: usize) -> Result<Self> {
        Ok(Self { density, noise, dequantize: Dequantize::new(levels)? })
    }

    given! {}

    /// The density of the dequantized values on `[0, 1)^n`.
    pub fn density(&self) -> &F {
        &self.density
    }

    /// The noise model.
    pub fn noise(&self) -> &Q {
        &self.noise
    }

    /// The number of different integers.
    pub fn levels(&self) -> usize {
        self.dequantize.levels()
    }

    /// Draws the noise `u` of the integers `x`. Returns the dequantized values `v` in (0, 1), which
    /// [`density`](Self::density) encodes, and `ln q(u | x)`.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::{Noise, distribution::StandardNormal};
    /// use burn_flows::train::{UniformNoise, VariationalDequantize};
    ///
    /// let device = Device::flex();
    /// let normal = StandardNormal::<2>::new([2], &device);
    /// let model = VariationalDequantize::new(normal, UniformNoise {}, 8)?;
    /// let x = Tensor::<2>::from_data([[0.0, 7.0]], &device);
    /// let (v, _) = model.dequantize(x.clone(), None, &mut Noise::seeded(1));
    /// assert_eq!((v * 8.0).floor().into_data(), x.into_data());
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn dequantize<const D: usize>(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>)
    where
        Q: NoiseModel<D>,
    {
        check_rows("VariationalDequantize", x.dims()[0], context);
        let (u, log_q) = self.noise.draw_for(&self.unit(&x), context, noise);
        (self.dequantize.spread(x, u), log_q)
    }

    /// A lower bound of `ln P(x | context)` in nats, shape `[batch]`, from `draws` draws of the noise. In the mean,
    /// more draws give a tighter bound. The draws run one after the other, so an evaluation on `Module::valid` needs
    /// the memory of one draw.
    ///
    /// # Panics
    ///
    /// If `draws` is 0.
    pub fn bound<const D: usize>(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
        draws: usize,
        noise: &mut Noise,
    ) -> Tensor<1>
    where
        F: Distribution<D>,
        Q: NoiseModel<D>,
    {
        assert!(draws > 0, "VariationalDequantize: expected at least 1 draw, found 0");
        check_rows("VariationalDequantize", x.dims()[0], context);
        apart(self, || {
            let batch = x.dims()[0];
            let log_volume = event_len(&x) as f64 * (self.levels() as f64).ln();
            let ratios = (0..draws).map(|_| {
                let (v, log_q) = self.dequantize(x.clone(), context, noise);
                let ratio = self.density.log_prob(v, context) - log_q - log_volume;
                ratio.reshape([batch, 1])
            });
            let ratios: Vec<Tensor<2>> = ratios.collect();
            let ratios = Tensor::cat(ratios, 1);
            let dtype = ratios.dtype();
            let sum = log_sum_exp(fine(ratios), 1).reshape([batch]);
            (sum - (draws as f64).ln()).cast(dtype)
        })
    }

    /// The integers divided by the number of levels.
    fn unit<const D: usize>(&self, x: &Tensor<D>) -> Tensor<D> {
        x.clone() / self.levels() as f64
    }
}

/// A generator seeded from the source of the current thread. A separate generator is needed because the modules that
/// run with it also draw from the source.
fn own_noise() -> Noise {
    Noise::seeded(draws::with(Noise::next_u64))
}

impl<const D: usize, F: Distribution<D>, Q: NoiseModel<D>> Distribution<D>
    for VariationalDequantize<F, Q>
{
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.bound(x, context, 1, &mut own_noise())
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_rows("VariationalDequantize", n, context);
        let levels = self.levels() as f64;
        let v = self.density.sample(n, context, noise, device);
        (v * levels).floor().clamp(0.0, levels - 1.0)
    }

    fn integer_levels(&self) -> Option<usize> {
        Some(self.levels())
    }

    fn mixes_rows(&self) -> bool {
        self.density.mixes_rows() || self.noise.mixes_rows()
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        let mut own = own_noise();
        let unit = self.unit(&x);
        let noise = self.noise.init_from_data(&unit, context, &mut own);
        let started = Self { noise, ..self };
        let (v, _) = started.valid().dequantize(x, context, &mut own);
        Self { density: started.density.init_from_data(v, context), ..started }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        if walk.comes_back() {
            let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
            return gradient;
        }
        let (v, log_q) = self.dequantize(x, at.context(), &mut own_noise());
        // 0, or NaN where the noise is not finite.
        let spoiled = |v: Tensor<D>| sum_event(v * 0.0);
        let noise = at.part("noise");
        walk.density(&self.noise, &noise, [v.clone()], |[v]| log_q.clone() + spoiled(v));
        self.density.walk(walk, &at.part("density"), v)
    }
}
