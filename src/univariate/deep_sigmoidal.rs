//! Deep sigmoidal flow: networks of sigmoids and logits whose every weight is a parameter.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::Univariate;
use super::curve::{self, Curve, Curved, FAR, check_spread, offsets, tamed};
use super::logistic::{log_weights, logit_of_mixture};
use crate::config::{config, construct};
use crate::error::{Result, count, fits, repeats};
use crate::math::{log_sum_exp, softplus};

/// The least slope of a sigmoid. Without it, the logarithm of the slope can be minus infinity.
const LEAST_SLOPE: f64 = 1e-3;

config! {
/// Configuration of a [`DeepSigmoidal`].
///
/// ```
/// use burn_flows::univariate::{DeepSigmoidalConfig, Univariate};
///
/// let flat = DeepSigmoidalConfig::new();
/// assert_eq!(flat.init().params_per_element(), 3 * 16);
/// // 1 -> 4 -> 1: slopes, shifts and W; then U, slopes, shifts and W
/// let deep = DeepSigmoidalConfig::new().with_units(4).with_layers(2);
/// assert_eq!(deep.init().params_per_element(), (4 + 4 + 16) + (16 + 4 + 4 + 4));
/// ```
#[derive(Copy, PartialEq)]
pub struct DeepSigmoidalConfig {
    /// Number of sigmoids of a layer, and of values passed between two layers. Raise it for densities
    /// with more detail.
    #[config(default = 16)]
    pub units: usize,
    /// Number of layers. With one layer the number of parameters is linear in `units`; with more layers
    /// it is quadratic.
    #[config(default = 1)]
    pub layers: usize,
    /// The shifts start evenly spaced between `-spread` and `spread`. Between layers, each output
    /// starts with a weight logit larger by `spread` for the sigmoid of its own index. With 0 all units
    /// start alike, and stay alike if their parameters start at zero.
    #[config(default = 1.0)]
    pub spread: f64,
}
}

crate::store::checked! {
/// A deep sigmoidal map, made by [`DeepSigmoidalConfig::init`].
///
/// ```text
/// layer     v = a (U h) + b,   h' = logit( W sigmoid(v) )      rows of U and W sum to 1, a > 0
/// forward   h = x, layer after layer, z = the one number of the last
/// log-det   sum of ln dz/dx, carried along layer by layer
/// inverse   by search
/// ```
///
/// Paper: Huang, Krueger, Lacoste, Courville (2018), Neural Autoregressive Flows, equations 8 (one
/// layer, DSF) and 9 (several, DDSF), arXiv:1804.00779.
///
/// Parameters layer by layer: `units` raw slopes, `units` shifts, the logits of `W` row by row, and,
/// except for the first layer, the logits of `U` row by row. At raw zeros the map is close to the
/// identity: one layer with a spread of 1 is 8% flatter at the origin. With a spread of 0 the map is
/// the identity.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Sums of sigmoids and of slopes are computed in logarithms, as the paper advises. Parameters are
/// clamped to `[-1e6, 1e6]`, and a slope is at least 1e-3. For `|x|` above a million the map is a
/// straight line with a slope from 1/1000 to 1000. Results are finite for every finite value and
/// parameter, also in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{DeepSigmoidalConfig, Univariate};
///
/// let device = Device::flex();
/// let map = DeepSigmoidalConfig::new().with_units(3).with_layers(2).with_spread(0.0).init();
/// let x = Tensor::<2>::from_data([[-1.5, 0.0, 4.0]], &device);
/// let params = Tensor::<3>::zeros([1, map.params_per_element(), 3], &device);
/// let (z, log_det) = map.forward(x.clone(), params);
/// z.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-4);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct DeepSigmoidal {
    #[module(skip)]
    config: DeepSigmoidalConfig,
}
}

impl DeepSigmoidal {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl DeepSigmoidalConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "DeepSigmoidalConfig";
        count(NAME, "units", 1, self.units)?;
        repeats(NAME, "layers", 1, self.layers)?;
        fits(NAME, "units", &[self.layers, self.units, self.units])?;
        check_spread(NAME, self.spread)
    }

    construct! {
        /// Builds the map.
        unseeded() -> DeepSigmoidal
    }

    fn build(&self) -> DeepSigmoidal {
        DeepSigmoidal { config: *self }
    }

    /// Number of outputs of layer `index`.
    fn outputs(&self, index: usize) -> usize {
        if index + 1 < self.layers { self.units } else { 1 }
    }

    /// Number of parameters of layer `index`.
    fn params(&self, index: usize) -> usize {
        let mixing = if index > 0 { self.units * self.units } else { 0 };
        self.units * (2 + self.outputs(index)) + mixing
    }
}

/// A layer with the parameters of a batch.
struct Layer {
    /// Slopes, `[batch, units, n]`.
    slope: Tensor<3>,
    shift: Tensor<3>,
    /// Logarithms of `W`, `[batch, outputs, units, n]`.
    weight: Tensor<4>,
    /// Logarithms of `U`, `[batch, units, units, n]`; `None` for the first layer, which has one input.
    mixing: Option<Tensor<4>>,
}

impl Layer {
    /// Maps `h` and `ln dh/dx`, both `[batch, inputs, n]`, to `h` and `ln dh/dx` of the next layer.
    fn apply(&self, h: Tensor<3>, log_dh: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [batch, outputs, units, n] = self.weight.dims();
        let (mixed, log_mixed) = match &self.mixing {
            None => (h, log_dh),
            Some(log_mixing) => {
                let along = |h: Tensor<3>| h.reshape([batch, 1, units, n]);
                let mixed = (log_mixing.clone().exp() * along(h)).sum_dim(2);
                let slopes = log_sum_exp(log_mixing.clone() + along(log_dh), 2);
                (mixed.reshape([batch, units, n]), slopes.reshape([batch, units, n]))
            }
        };
        let v = mixed * self.slope.clone() + self.shift.clone();
        let log_dv = log_mixed + self.slope.clone().log();
        let shape = [batch, 1, units, n];
        let (h, log_dh) =
            logit_of_mixture(self.weight.clone(), v.reshape(shape), log_dv.reshape(shape), 2);
        (h.reshape([batch, outputs, n]), log_dh.reshape([batch, outputs, n]))
    }
}

/// The layers with the parameters of a batch.
pub(super) struct Layers(Vec<Layer>);

impl Curve for Layers {
    fn limit(&self) -> f64 {
        FAR
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [batch, n] = x.dims();
        let x = x.reshape([batch, 1, n]);
        let straight = x.zeros_like().detach();
        let (z, log_slope) =
            self.0.iter().fold((x, straight), |(h, log_dh), layer| layer.apply(h, log_dh));
        (z.reshape([batch, n]), log_slope.reshape([batch, n]))
    }
}

impl Curved for DeepSigmoidal {
    type Curve = Layers;

    fn curve(&self, params: Tensor<3>) -> Layers {
        let config = &self.config;
        let units = config.units;
        let ([batch, _, n], mut from) = (params.dims(), 0);
        let params = tamed(params);
        let mut take = |count| {
            from += count;
            params.clone().narrow(1, from - count, count)
        };
        let layers = (0..config.layers).map(|index| {
            // A raw slope of zero gives a slope of 1.
            let neutral = (1.0 - LEAST_SLOPE).exp_m1().ln();
            let slope = softplus(take(units) + neutral) + LEAST_SLOPE;
            let shift = take(units);
            let shift = shift.clone() + offsets(units, config.spread, &shift);
            let outputs = config.outputs(index);
            let weight = take(outputs * units).reshape([batch, outputs, units, n]);
            let weight = if outputs > 1 {
                let own = Tensor::<2>::eye(units, &weight.device().without_autodiff());
                let own = own.cast(weight.dtype()) * config.spread;
                weight + own.reshape([1, units, units, 1])
            } else {
                weight
            };
            let mixing = (index > 0).then(|| {
                let logits = take(units * units).reshape([batch, units, units, n]);
                log_weights(logits, 2)
            });
            Layer { slope, shift, weight: log_weights(weight, 2), mixing }
        });
        Layers(layers.collect())
    }
}

impl Univariate for DeepSigmoidal {
    fn params_per_element(&self) -> usize {
        (0..self.config.layers).map(|index| self.config.params(index)).sum()
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }
}
