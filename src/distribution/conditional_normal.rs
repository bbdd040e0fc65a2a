//! Normal whose mean and scale are functions of a context.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, batch_shape, check_event, check_rank, given};
use crate::conditioner::{Conditioner, Mlp, MlpConfig, check_context};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::initial;
use crate::math::{LN_2PI, event_len, known_context, sum_event, wide};
use crate::noise::Noise;
use crate::rows::check_rows;
use crate::univariate::ScaleMap;

seeded_config! {
/// Configuration of a [`ConditionalNormal`].
///
/// ```
/// use burn_flows::conditioner::MlpConfig;
/// use burn_flows::distribution::ConditionalNormalConfig;
///
/// let mlp = MlpConfig::new(vec![32]);
/// assert!(ConditionalNormalConfig::new(vec![2], 3, mlp.clone()).validate().is_ok());
/// assert!(ConditionalNormalConfig::new(vec![2], 0, mlp).validate().is_err());
/// ```
pub struct ConditionalNormalConfig {
    /// Shape of an event, without the batch axis.
    pub event: Vec<usize>,
    /// Width of the context, at least 1.
    pub context: usize,
    /// The network from the context to mean and log-scale. A larger network fits a more complex
    /// dependence on the context.
    pub mlp: MlpConfig,
}
}

crate::store::checked! {
/// Independent normals with mean and scale from a network of the context.
///
/// ```text
/// log p(x | c) = -(|(x - m) / e^s|^2 + n ln 2 pi) / 2 - sum of s
/// (m, a) = network(c),  s = a / (1 + |a| / ln 1000)
/// ```
///
/// Paper: Winkler, Worrall, Hoogeboom, Welling (2019), Learning Likelihoods with Conditional
/// Normalizing Flows, section 3.1 (the conditional base), arXiv:1912.00042.
///
/// The distribution starts as the standard normal if the network's last layer starts at zero, which is
/// the default.
///
/// # Shapes
///
/// - event as configured; context `[batch, width]`, or one row for all
///
/// # Numerics
///
/// The scale stays between 1/1000 and 1000 ([`ScaleMap::SoftBound`]).
///
/// # Panics
///
/// If there is no context, or the event or the context has another shape than configured.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::MlpConfig;
/// use burn_flows::distribution::{ConditionalNormalConfig, Distribution};
///
/// let device = Device::flex();
/// let mlp = MlpConfig::new(vec![16]).with_zero_last(false);
/// let normal = ConditionalNormalConfig::new(vec![2], 1, mlp).init::<2>(&device);
/// let x = Tensor::zeros([2, 2], &device);
/// let context = Tensor::from_data([[-1.0], [1.0]], &device);
/// let log_prob = normal.log_prob(x, Some(&context)).into_data().try_to_vec_as::<f32>().unwrap();
/// assert_ne!(log_prob[0], log_prob[1]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct ConditionalNormal<const D: usize> {
    network: Mlp,
    event: Vec<usize>,
    context: usize,
    #[module(skip)]
    scale_map: ScaleMap,
}
}

impl<const D: usize> ConditionalNormal<D> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let axes = self.event.len() + 1;
        crate::store::require("ConditionalNormal", "event", axes == D, || {
            format!("needs {} axes, found {:?}", D - 1, self.event)
        })?;
        let elements = self.event.iter().try_fold(2_usize, |all, axis| all.checked_mul(*axis));
        let [inputs, outputs] = self.network.ends();
        let fits = inputs == self.context && Some(outputs) == elements;
        crate::store::require("ConditionalNormal", "network", fits, || {
            format!("must map {} context values to 2 outputs for each element", self.context)
        })?;
        self.scale_map.validate()
    }
}

impl ConditionalNormalConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ConditionalNormalConfig", "event", 1, self.event.len())?;
        self.event.iter().try_for_each(|&n| count("ConditionalNormalConfig", "event", 1, n))?;
        count("ConditionalNormalConfig", "context", 1, self.context)?;
        fits("ConditionalNormalConfig", "event", &self.event)?;
        self.mlp.validate_between(self.context, 2 * self.event.iter().product::<usize>(), 0)
    }

    construct! {
        /// Builds the distribution.
        seeded<const D: usize>(device: &Device) -> ConditionalNormal<D>, if validate_rank::<D>()
    }

    /// [`validate`](Self::validate) for a distribution of this rank.
    fn validate_rank<const D: usize>(&self) -> Result<()> {
        self.validate()?;
        check_rank::<D>("ConditionalNormalConfig", &self.event)
    }

    fn build<const D: usize>(&self, device: &Device) -> ConditionalNormal<D> {
        let elements: usize = self.event.iter().product();
        let network = || self.mlp.of_context(self.context, 2 * elements, device);
        ConditionalNormal {
            network: initial::scope(self.seed, network),
            event: self.event.clone(),
            context: self.context,
            scale_map: ScaleMap::default(),
        }
    }
}

impl<const D: usize> ConditionalNormal<D> {
    given! {}

    /// The mean and the log-scale of each of `rows` events.
    fn mean_and_log_scale(
        &self,
        rows: usize,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<D>) {
        check_context("ConditionalNormal", self.context, context);
        let context = context.expect("checked: the width is at least 1");
        check_rows("ConditionalNormal", rows, Some(context));
        let found = context.dims()[0];
        let elements: usize = self.event.iter().product();
        let params = self.network.forward(context.clone(), None);
        let shape = |rows| batch_shape::<D>(rows, &self.event);
        let part = |k: usize| {
            let part = params.clone().narrow(1, k * elements, elements);
            part.reshape(shape(found)).expand(shape(rows))
        };
        (part(0), self.scale_map.log_scale(part(1)))
    }
}

impl<const D: usize> Distribution<D> for ConditionalNormal<D> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("ConditionalNormal", &self.event, &x, context);
        let (mean, log_scale) = self.mean_and_log_scale(x.dims()[0], context);
        let (x, mean, log_scale) = (wide(x), wide(mean), wide(log_scale));
        let constant = event_len(&x) as f64 * LN_2PI;
        let standard = (x - mean) * log_scale.clone().neg().exp();
        let log_prob = (sum_event(standard.square()) + constant) * -0.5 - sum_event(log_scale);
        known_context(log_prob, context)
    }

    fn init_from_data(self, _x: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        let Some(context) = context else { return self };
        Self { network: self.network.init_from_data(context.clone(), None), ..self }
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        let (mean, log_scale) = self.mean_and_log_scale(n, context);
        let standard =
            noise.fill(batch_shape(n, &self.event), (device, mean.dtype()), Noise::next_normal);
        standard * log_scale.exp() + mean
    }
}
