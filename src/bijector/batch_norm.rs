//! Batch normalization as a bijector.

use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::{DType, Device, Tensor};
use serde::Serialize;

use super::{Bijector, check_weights, check_width};
use crate::config::{config, construct};
use crate::error::{Error, Result, count};
use crate::math::{fine, repeat_batch, softplus, softplus_inverse, wide, wide_dtype};
use crate::moments::mean_over_rows;

config! {
/// Configuration of a [`BatchNorm`].
///
/// ```
/// use burn_flows::bijector::BatchNormConfig;
///
/// assert!(BatchNormConfig::new(3).validate().is_ok());
/// assert!(BatchNormConfig::new(3).with_momentum(1.5).validate().is_err());
/// ```
pub struct BatchNormConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Added to the variance; also the smallest weight. It prevents a division by zero for a constant feature. Raise it
    /// if nearly constant features give huge latents. The default is that of nflows.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// Weight of a new batch in the running statistics. A smaller momentum averages over more batches: lower it for
    /// small batches.
    #[config(default = 0.1)]
    pub momentum: f64,
}
}

crate::store::checked! {
/// Batch normalization: by the statistics of the batch in training, by running statistics in evaluation.
///
/// ```text
/// forward   z = (x - m) / sqrt(v + eps) * w + b      m, v of the batch in training, running after
/// log-det   sum of ln w - ln(v + eps) / 2
/// inverse   x = (z - b) / w * sqrt(v + eps) + m       always with the running m, v
/// ```
///
/// Paper: Dinh, Sohl-Dickstein, Bengio (2017), Real NVP, section 3.7, arXiv:1605.08803.
/// Same numbers as nflows 0.14 `BatchNorm`.
///
/// In training, the latent of a row depends on the other rows ([`Bijector::mixes_rows`]). The log-determinant is that
/// of the map with the batch statistics held fixed, as in the paper. The layer is in training if its parameters are on
/// an autodiff device and it is not frozen.
///
/// burn shares the running statistics between clones. The functions of this crate that take a flow by value (`cast`,
/// `to_device`, `store::load`, `fit`) return a flow with separate running statistics. In a custom training loop, take a
/// snapshot with `flow.valid()`, and a clone to train with `flow.clone().train()`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`. A training batch needs at least two rows.
///
/// # Numerics
///
/// The statistics of a batch, and the gradients through them, are f64 sums on `flex` and centred f32 sums elsewhere,
/// whatever the number of rows. If the mean or the variance of a feature in a batch is not finite, the feature keeps
/// its running statistics. The running mean is rounded to the precision of the layer. Where a mean exceeds 1e4 standard
/// deviations in f32, put a [`Standardize`](super::Standardize) in front.
///
/// # Panics
///
/// If the width of the event differs from the width of the layer, or a training batch has one row.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{BatchNormConfig, Bijector};
///
/// let device = Device::flex();
/// let layer = BatchNormConfig::new(2).init(&device.clone().autodiff());
/// let x = Tensor::<2>::from_data([[1.0, 10.0], [3.0, 30.0]], &device);
/// let (z, _) = layer.forward(x, None);
/// assert!(z.mean().into_scalar::<f32>().abs() < 1e-5);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct BatchNorm {
    #[serde(with = "crate::store::part")]
    weight: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    bias: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    running_mean: RunningState<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    running_var: RunningState<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    training: Param<Flag>,
    epsilon: f64,
    momentum: f64,
}
}

impl BatchNorm {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let shape = self.weight.dims();
        crate::store::shaped("BatchNorm", "bias", &shape, self.bias.dims())?;
        crate::store::shaped(
            "BatchNorm",
            "running_mean",
            &shape,
            self.running_mean.value().dims(),
        )?;
        crate::store::shaped("BatchNorm", "running_var", &shape, self.running_var.value().dims())?;
        BatchNormConfig { features: shape[0], epsilon: self.epsilon, momentum: self.momentum }
            .validate()
    }
}

impl BatchNormConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("BatchNormConfig", "features", 1, self.features)?;
        let wrong = |field, range, value: f64| {
            let reason = format!("must be in {range}, found {value}");
            Err(Error::config("BatchNormConfig", field, reason))
        };
        // With epsilon 1, the initial weight of 1 would require softplus of minus infinity.
        if !(self.epsilon > 0.0 && self.epsilon < 1.0) {
            return wrong("epsilon", "(0, 1)", self.epsilon);
        }
        if !(self.momentum > 0.0 && self.momentum <= 1.0) {
            return wrong("momentum", "(0, 1]", self.momentum);
        }
        Ok(())
    }

    construct! {
        /// Builds the layer, with weight 1, bias 0 and the running statistics of a standard normal.
        unseeded(device: &Device) -> BatchNorm
    }

    fn build(&self, device: &Device) -> BatchNorm {
        let ones = || Tensor::ones([self.features], device);
        let zeros = || Tensor::zeros([self.features], device);
        let raw_one = softplus_inverse(ones().without_autodiff() - self.epsilon);
        let raw_one = if device.is_autodiff() { raw_one.autodiff() } else { raw_one };
        self.with_weights(raw_one, zeros(), zeros(), ones())
    }

    /// Builds the layer with the given running statistics and raw weights (the values before softplus).
    ///
    /// # Panics
    ///
    /// If the length of a tensor differs from `features`.
    pub fn with_weights(
        &self,
        weight: Tensor<1>,
        bias: Tensor<1>,
        running_mean: Tensor<1>,
        running_var: Tensor<1>,
    ) -> BatchNorm {
        for (what, values) in [
            ("weight", &weight),
            ("bias", &bias),
            ("running mean", &running_mean),
            ("running variance", &running_var),
        ] {
            check_weights("BatchNorm", what, [self.features], values);
        }
        BatchNorm {
            weight: Param::from_tensor(weight),
            bias: Param::from_tensor(bias),
            running_mean: RunningState::new(running_mean.without_autodiff()),
            running_var: RunningState::new(running_var.without_autodiff()),
            training: Param::from_bool(true),
            epsilon: self.epsilon,
            momentum: self.momentum,
        }
    }
}

impl BatchNorm {
    fn weight(&self) -> Tensor<1> {
        softplus(wide(self.weight.val())) + self.epsilon
    }

    fn running(&self) -> (Tensor<1>, Tensor<1>) {
        let plain = |state: &RunningState<Tensor<1>>| state.value_sync().without_autodiff();
        (plain(&self.running_mean), plain(&self.running_var))
    }

    fn statistics(&self, x: &Tensor<2>) -> (Tensor<1>, Tensor<1>) {
        let (mean, var) = self.running();
        if !(self.training.is_enabled() && self.bias.val().is_autodiff()) {
            return (mean, var);
        }
        let [batch, features] = x.dims();
        assert!(
            batch > 1,
            "BatchNorm: expected at least 2 rows in a training batch, found {batch}; evaluate a \
             single row with valid()"
        );
        let mean_row = mean_over_rows(x.clone());
        let squares = (fine(x.clone()) - mean_row.clone()).square().sum_dim(0);
        let batch_mean = mean_row.reshape([features]);
        let batch_var = (squares * (batch as f64 - 1.0).recip()).reshape([features]);
        let stored = |new: &Tensor<1>| new.clone().without_autodiff().cast(mean.dtype());
        let [new_mean, new_var] = [&batch_mean, &batch_var].map(stored);
        let finite = new_mean.clone().is_finite().bool_and(new_var.clone().is_finite());
        let mix = |state: &RunningState<Tensor<1>>, old: Tensor<1>, new: Tensor<1>| {
            let mixed = old.clone() * (1.0 - self.momentum) + new * self.momentum;
            state.update(old.mask_where(finite.clone(), mixed));
            // burn applies an update only when the value is read; without this call every second update would be lost.
            state.value_sync();
        };
        mix(&self.running_mean, mean, new_mean);
        mix(&self.running_var, var, new_var);
        (batch_mean, batch_var)
    }

    fn check(&self, x: &Tensor<2>) {
        check_width("BatchNorm", self.bias.lazy_shape()[0], x);
    }
}

impl Bijector<2> for BatchNorm {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        self.check(&x);
        let (mean, var) = self.statistics(&x);
        let var = wide(var) + self.epsilon;
        // In training, weight and bias take the precision of the statistics, so that gradients are summed in it too.
        let [weight, bias] = [self.weight(), self.bias.val()].map(|t| t.cast(var.dtype()));
        let log_slope = weight.clone().log() - var.clone().log() * 0.5;
        let log_det = repeat_batch(log_slope.sum(), &x).cast(wide_dtype(x.dtype()));
        let scale = weight / var.sqrt();
        let dtype = x.dtype();
        let x = if scale.dtype() == DType::F64 { x.cast(DType::F64) } else { wide(x) };
        let centred = x - mean.cast(scale.dtype()).unsqueeze();
        ((centred * scale.unsqueeze() + bias.unsqueeze()).cast(dtype), log_det)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        self.check(&z);
        let (mean, var) = self.running();
        let scale = ((wide(var) + self.epsilon).sqrt() / self.weight()).cast(z.dtype());
        (z - self.bias.val().unsqueeze()) * scale.unsqueeze() + mean.unsqueeze()
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<1>) {
        let (_, var) = self.running();
        let log_slope = (wide(var) + self.epsilon).log() / 2.0 - self.weight().log();
        let log_det = repeat_batch(log_slope.sum(), &z);
        (self.inverse(z, context), log_det)
    }

    fn mixes_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_training_step_moves_the_running_statistics() {
        let device = Device::flex();
        let layer = BatchNormConfig::new(1).with_momentum(0.5).init(&device.clone().autodiff());
        for batch in [[[0.0], [2.0]], [[6.0], [10.0]], [[1.0], [3.0]]] {
            layer.forward(Tensor::<2>::from_data(batch, &device), None);
        }
        // 0 -> 0.5 -> 4.25 -> 3.125, and 1 -> 1.5 -> 4.75 -> 3.375 with unbiased variances 2, 8, 2.
        assert_eq!(layer.running().0.into_scalar::<f32>(), 3.125);
        assert_eq!(layer.running().1.into_scalar::<f32>(), 3.375);
    }

    #[test]
    fn a_feature_without_finite_statistics_keeps_the_old_ones() {
        let device = Device::flex();
        // The mean of the second feature is finite, its variance is not.
        for bad in [1e25, f64::INFINITY, f64::NAN] {
            let layer = BatchNormConfig::new(2).with_momentum(0.5).init(&device.clone().autodiff());
            layer.forward(Tensor::<2>::from_data([[0.0, bad], [2.0, 1.0]], &device), None);
            let (mean, var) = layer.running();
            assert_eq!(mean.into_data().try_to_vec_as::<f32>().unwrap(), [0.5, 0.0], "{bad}");
            assert_eq!(var.into_data().try_to_vec_as::<f32>().unwrap(), [1.5, 1.0], "{bad}");
        }
    }
}
