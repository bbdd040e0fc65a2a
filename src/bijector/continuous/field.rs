//! The network of the velocity of a point, and the rate of the log-determinant.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::bijector::linearised::{Linearised, trace};
use crate::draws;
use crate::error::{Result, repeats};
use crate::kernel::rows_times;
use crate::math::{sigmoid, softplus};
use crate::noise::Noise;

/// The seed of the probes in evaluation.
const EVALUATION_SEED: u64 = 0;

/// An activation with a known derivative, for [`Cnf`](super::Cnf).
///
/// ```
/// use burn_flows::bijector::{CnfConfig, SmoothActivation};
///
/// assert!(CnfConfig::new(2).with_activation(SmoothActivation::Softplus).validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SmoothActivation {
    /// `h` above zero, `exp(h) - 1` below. The slope has a kink at zero, so an adaptive solver takes shorter steps
    /// there.
    Elu,
    /// `h sigmoid(h)`.
    Silu,
    /// `ln(1 + exp(h))`.
    Softplus,
    /// `tanh(h)`.
    #[default]
    Tanh,
}

impl SmoothActivation {
    /// The value, and the slope if `slope`.
    fn apply(self, h: Tensor<2>, slope: bool) -> (Tensor<2>, Option<Tensor<2>>) {
        match self {
            Self::Elu => {
                let below = h.clone().clamp_max(0.0).exp();
                (h.clamp_min(0.0) + (below.clone() - 1.0), slope.then_some(below))
            }
            Self::Silu => {
                let gate = sigmoid(h.clone());
                let rise = || gate.clone() * (h.clone() * (gate.clone().neg() + 1.0) + 1.0);
                let slope = slope.then(rise);
                (h * gate, slope)
            }
            Self::Softplus => {
                let slope = slope.then(|| sigmoid(h.clone()));
                (softplus(h), slope)
            }
            Self::Tanh => {
                let bent = h.tanh();
                let slope = slope.then(|| bent.clone().square().neg() + 1.0);
                (bent, slope)
            }
        }
    }
}

/// How a [`Cnf`](super::Cnf) computes the trace of the Jacobian.
///
/// ```
/// use burn_flows::bijector::Divergence;
///
/// assert!(Divergence::Hutchinson { probes: 1 }.validate().is_ok());
/// assert!(Divergence::Hutchinson { probes: 0 }.validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum Divergence {
    /// The trace itself, from as many derivatives as there are features.
    #[default]
    Exact,
    /// Hutchinson's estimator: a mean of `e J e` over random signs `e`. Its expectation is the trace. The signs are
    /// drawn once per call and kept for all steps. In training each row has its own signs, which follow the seed of the
    /// training. In evaluation all rows share fixed signs, so that equal rows get equal numbers.
    Hutchinson {
        /// Number of probes per row, at least 1. More probes reduce the variance of the trace at a higher cost.
        probes: usize,
    },
}

impl Divergence {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Exact => Ok(()),
            Self::Hutchinson { probes } => repeats("Divergence", "probes", 1, probes),
        }
    }

    /// The probes of one call on a batch `[batch, n]`, as `[probes, batch or 1, n]`; `None` for [`Self::Exact`].
    pub(super) fn draw(self, x: &Tensor<2>, training: bool) -> Option<Tensor<3>> {
        let Self::Hutchinson { probes } = self else { return None };
        let [rows, features] = x.dims();
        let rows = if training { rows } else { 1 };
        let signs = |noise: &mut Noise| -> Vec<f64> {
            let sign = |bits: u64| if bits & 1 == 0 { 1.0 } else { -1.0 };
            (0..probes * rows * features).map(|_| sign(noise.next_u64())).collect()
        };
        let signs = match training {
            true => draws::with(signs),
            false => signs(&mut Noise::seeded(EVALUATION_SEED)),
        };
        let options = (&x.device().without_autodiff(), x.dtype());
        Some(Tensor::from_data(TensorData::new(signs, [probes, rows, features]), options))
    }
}

/// The network with the weights and the context of one call. Layers are `[in, out]`; the first layer is split into
/// parts.
pub(super) struct Field {
    pub(super) of_time: Tensor<2>,
    pub(super) of_x: Tensor<2>,
    /// The term that the context adds to the first layer.
    pub(super) term: Option<Tensor<2>>,
    pub(super) first_bias: Option<Tensor<1>>,
    pub(super) rest: Vec<(Tensor<2>, Option<Tensor<1>>)>,
    /// Angular frequencies, `[1, k]`.
    pub(super) frequencies: Tensor<2>,
    pub(super) activation: SmoothActivation,
}

impl Field {
    /// The velocity at `x` and time `t`, `[1 or batch, 1]`, and its derivative if `derivative`.
    fn run(&self, t: Tensor<2>, x: Tensor<2>, derivative: bool) -> Linearised {
        let angle = t * self.frequencies.clone();
        let features = Tensor::cat(vec![angle.clone().cos(), angle.sin()], 1);
        let mut h = Linearised::at(x, derivative)
            .linear(&self.of_x, self.first_bias.as_ref())
            .plus(rows_times(features, self.of_time.clone()));
        if let Some(term) = &self.term {
            h = h.plus(term.clone());
        }
        for (weight, bias) in &self.rest {
            h = h.then(|h, slope| self.activation.apply(h, slope)).linear(weight, bias.as_ref());
        }
        h
    }

    /// The velocity.
    pub(super) fn velocity(&self, t: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        self.run(t, x, false).value()
    }

    /// The velocity, followed by the rate of the log-determinant. The state and the result are `[batch, n + 1]`.
    pub(super) fn augmented(
        &self,
        t: Tensor<2>,
        state: Tensor<2>,
        probes: Option<&Tensor<3>>,
    ) -> Tensor<2> {
        let [rows, width] = state.dims();
        let network = self.run(t, state.narrow(1, 0, width - 1), true);
        let rate = match probes {
            None => trace(network.jacobian()).reshape([rows, 1]),
            Some(probes) => {
                let along = network.push(probes.clone()) * probes.clone();
                let count = probes.dims()[0] as f64;
                along.sum_dim(2).sum_dim(0).reshape([-1, 1]).expand([rows, 1]) * count.recip()
            }
        };
        Tensor::cat(vec![network.value(), rate], 1)
    }

    pub(super) fn without_autodiff(&self) -> Self {
        let plain = |bias: &Option<Tensor<1>>| bias.clone().map(Tensor::without_autodiff);
        let layer = |(weight, bias): &(Tensor<2>, Option<Tensor<1>>)| {
            (weight.clone().without_autodiff(), plain(bias))
        };
        Self {
            of_time: self.of_time.clone().without_autodiff(),
            of_x: self.of_x.clone().without_autodiff(),
            term: self.term.clone().map(Tensor::without_autodiff),
            first_bias: plain(&self.first_bias),
            rest: self.rest.iter().map(layer).collect(),
            frequencies: self.frequencies.clone().without_autodiff(),
            activation: self.activation,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    #[test]
    fn slopes_are_those_of_the_values() {
        let values = [-30.0, -2.0, -0.3, 0.4, 1.7, 30.0];
        let device = Device::flex();
        for function in [
            SmoothActivation::Elu,
            SmoothActivation::Silu,
            SmoothActivation::Softplus,
            SmoothActivation::Tanh,
        ] {
            let x = Tensor::<2>::from_data([values], (&device, DType::F64));
            let leaf = x.clone().autodiff().require_grad();
            let gradients = function.apply(leaf.clone(), false).0.sum().backward();
            let expected = leaf.grad(&gradients).unwrap().into_data();
            let (_, slope) = function.apply(x, true);
            let tolerance = burn::tensor::Tolerance::absolute(1e-12);
            slope.unwrap().into_data().assert_approx_eq::<f64>(&expected, tolerance);
        }
    }
}
