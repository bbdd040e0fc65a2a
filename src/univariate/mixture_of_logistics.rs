//! Mixture of logistics: a mixture of sigmoids, through the logit, then scale and shift.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::curve::{
    self, Curve, Curved, FAR, between, check_spread, offsets, tamed, tamed_log_scale,
};
use super::logistic::{log_weights, logit_of_mixture};
use super::{ScaleMap, Univariate, param};
use crate::config::{config, construct};
use crate::error::{Result, count};
use crate::solve::Bracket;

config! {
/// Configuration of a [`MixtureOfLogistics`].
///
/// ```
/// use burn_flows::univariate::{MixtureOfLogisticsConfig, Univariate};
///
/// let map = MixtureOfLogisticsConfig::new().with_components(4).init();
/// assert_eq!(map.params_per_element(), 2 + 3 * 4);
/// let error = MixtureOfLogisticsConfig::new().with_spread(-1.0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "MixtureOfLogisticsConfig.spread: must be in [0, 10], found -1");
/// ```
#[derive(Copy, PartialEq)]
pub struct MixtureOfLogisticsConfig {
    /// Number of kernels of an element. Raise it for densities with more modes; each kernel adds 3
    /// parameters.
    #[config(default = 8)]
    pub components: usize,
    /// Kernel means start evenly spaced between `-spread` and `spread`. With 0 all kernels start alike,
    /// and stay alike if their parameters start at zero.
    #[config(default = 1.0)]
    pub spread: f64,
}
}

crate::store::checked! {
/// A mixture of logistics, made by [`MixtureOfLogisticsConfig::init`].
///
/// ```text
/// forward   z = logit( sum_k w_k sigmoid(u_k) ) exp(a) + t,   u_k = (x - m_k) exp(-s_k)
/// log-det   sum of a + ln( sum_k exp(-s_k) (p_k sigmoid(-u_k) + q_k sigmoid(u_k)) )
///           p_k, q_k the shares of kernel k in the mixture and in one minus the mixture
/// inverse   by search between the least and the largest m_k + exp(s_k) (z - t) exp(-a)
/// ```
///
/// Paper: Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 4.2, arXiv:1902.00275.
///
/// Parameters in this order: shift `t`, raw log-scale of the affine map (softly bounded as in
/// [`Affine`](super::Affine)), `components` logits of `w`, means `m`, log-scales `s`. At raw zeros the
/// map is close to the identity: with a spread of 1 it is 8% flatter at the origin, with a spread of 0
/// it is the identity.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Both tails are computed in logarithms. `s` is clamped to `[-15, 15]`, logits and `m` to
/// `[-1e6, 1e6]`. For `|x|` above a million the map is a straight line. Results are finite for every finite
/// value and parameter, also in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{MixtureOfLogisticsConfig, Univariate};
///
/// let device = Device::flex();
/// let map = MixtureOfLogisticsConfig::new().with_components(2).with_spread(0.0).init();
/// // No shift, no scale, a third and two thirds, at -20 and 20: the middle is a plateau.
/// let raw = [[0.0], [0.0], [0.0], [2f64.ln()], [-20.0], [20.0], [0.0], [0.0]];
/// let params = Tensor::<3>::from_data([raw], &device);
/// let x = Tensor::<2>::from_data([[1.0]], &device);
/// let (z, log_det) = map.forward(x, params.clone());
/// assert!((z.into_scalar::<f32>() - 0.5f32.ln()).abs() < 1e-4); // logit(1 / 3)
/// assert!(log_det.into_scalar::<f32>() < -15.0);
/// let z = Tensor::<2>::from_data([[3.0]], &device);
/// let x = map.inverse(z, params);
/// assert!(x.into_scalar::<f32>() > 20.0);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct MixtureOfLogistics {
    #[module(skip)]
    config: MixtureOfLogisticsConfig,
}
}

impl MixtureOfLogistics {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl MixtureOfLogisticsConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "MixtureOfLogisticsConfig";
        count(NAME, "components", 1, self.components)?;
        check_spread(NAME, self.spread)
    }

    construct! {
        /// Builds the map.
        unseeded() -> MixtureOfLogistics
    }

    fn build(&self) -> MixtureOfLogistics {
        MixtureOfLogistics { config: *self }
    }
}

/// The kernels `[batch, K, n]` and the affine map `[batch, n]` of a batch.
pub(super) struct Mixture {
    shift: Tensor<2>,
    log_scale: Tensor<2>,
    log_weight: Tensor<3>,
    mean: Tensor<3>,
    log_width: Tensor<3>,
}

impl Curve for Mixture {
    fn limit(&self) -> f64 {
        FAR
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [batch, n] = x.dims();
        let log_dv = self.log_width.clone().neg();
        let v = (x.reshape([batch, 1, n]) - self.mean.clone()) * log_dv.clone().exp();
        let (logit, log_slope) = logit_of_mixture(self.log_weight.clone(), v, log_dv, 1);
        let logit = logit.reshape([batch, n]);
        let z = logit * self.log_scale.clone().exp() + self.shift.clone();
        (z, log_slope.reshape([batch, n]) + self.log_scale.clone())
    }

    fn bracket(&self, z: &Tensor<2>) -> Bracket {
        let [batch, n] = z.dims();
        let logit = (z.clone() - self.shift.clone()) * self.log_scale.clone().neg().exp();
        let logit = logit.reshape([batch, 1, n]);
        between(logit * self.log_width.clone().exp() + self.mean.clone())
    }
}

impl Curved for MixtureOfLogistics {
    type Curve = Mixture;

    fn curve(&self, params: Tensor<3>) -> Mixture {
        let MixtureOfLogisticsConfig { components, spread } = self.config;
        let part = |index| params.clone().narrow(1, 2 + index * components, components);
        let mean = tamed(part(1));
        let affine = tamed(params.clone().narrow(1, 0, 2));
        Mixture {
            shift: param(&affine, 0),
            log_scale: ScaleMap::default().log_scale(param(&affine, 1)),
            log_weight: log_weights(tamed(part(0)), 1),
            mean: mean.clone() + offsets(components, spread, &mean),
            log_width: tamed_log_scale(part(2)),
        }
    }
}

impl Univariate for MixtureOfLogistics {
    fn params_per_element(&self) -> usize {
        2 + 3 * self.config.components
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }
}
