//! Periodic inputs of a network: angles.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, length};
use crate::math::from_f64;
use crate::param::index_tensor;

/// The inputs of a network that are angles, for an [`MlpConfig`](super::MlpConfig) or a
/// [`MadeConfig`](super::MadeConfig). The output of the network is then periodic in these inputs.
///
/// ```text
/// h_i = a_i sin(2 pi x_i / period) + b_i cos(2 pi x_i / period)     for angles, a and b learned
/// h_i = x_i                                                         for the rest
/// ```
///
/// Same numbers as normflows 1.7 `PeriodicFeaturesElementwise`.
///
/// The network sees an angle as one number, a learned sine curve of one period that starts as
/// `sin + cos`. In the network of a coupling, `inputs` count the kept elements only.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, MlpConfig, Periodic};
///
/// let angle = Periodic { inputs: vec![1], period: 360.0 };
/// let config = MlpConfig::new(vec![8]).with_zero_last(false).with_periodic(Some(angle));
/// let net = config.init(2, 3, 0, &Device::flex());
/// let out = net.forward(Tensor::<2>::from_data([[0.5, -180.0], [0.5, 180.0]], &Device::flex()), None);
/// let (first, second) = (out.clone().narrow(0, 0, 1), out.narrow(0, 1, 1));
/// first.into_data().assert_approx_eq::<f32>(&second.into_data(), Default::default());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Periodic {
    /// The indices of the inputs that are angles.
    pub inputs: Vec<usize>,
    /// The length of a whole turn in the unit of the data, for example 360 for degrees.
    pub period: f64,
}

impl Periodic {
    /// Returns an error that names the first invalid field, for a network with this number of inputs.
    ///
    /// ```
    /// use burn_flows::conditioner::Periodic;
    ///
    /// let error = Periodic { inputs: vec![0, 2], period: 1.0 }.validate(2).unwrap_err();
    /// assert_eq!(error.to_string(), "Periodic.inputs: must be distinct indices below 2, found [0, 2]");
    /// ```
    pub fn validate(&self, inputs: usize) -> Result<()> {
        let mut sorted = self.inputs.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < self.inputs.len() || sorted.last().is_some_and(|last| *last >= inputs) {
            let reason =
                format!("must be distinct indices below {inputs}, found {:?}", self.inputs);
            return Err(Error::config("Periodic", "inputs", reason));
        }
        length("Periodic", "period", self.period)
    }

    pub(super) fn init(&self, device: &Device) -> Option<PeriodicFeatures> {
        let count = self.inputs.len();
        let frequency = vec![std::f64::consts::TAU / self.period; count];
        let weights = Tensor::ones([2, count.max(1)], device);
        (count > 0).then(|| PeriodicFeatures::new(self.inputs.clone(), frequency, weights, device))
    }
}

crate::store::checked! {
/// The learned sine curves of the angles.
#[derive(Module, Debug, Serialize)]
pub(crate) struct PeriodicFeatures {
    /// `[2, angles]`: the factors of the sine and of the cosine.
    #[serde(with = "crate::store::part")]
    weights: Param<Tensor<2>>,
    /// `[1, angles]`, never trained.
    #[serde(with = "crate::store::fixed")]
    frequency: Param<Tensor<2>>,
    inputs: Vec<usize>,
}
}

impl PeriodicFeatures {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let (count, mut inputs) = (self.inputs.len(), self.inputs.clone());
        inputs.sort_unstable();
        inputs.dedup();
        let reason = || format!("must hold at least 1 index, each once, found {:?}", self.inputs);
        crate::store::require("Periodic", "inputs", count > 0 && inputs.len() == count, reason)?;
        crate::store::shaped("Periodic", "weights", &[2, count], self.weights.dims())?;
        crate::store::shaped("Periodic", "frequency", &[1, count], self.frequency.dims())
    }
}

impl PeriodicFeatures {
    /// Builds the curves for these inputs and angular frequencies; at least one input.
    pub(crate) fn new(
        inputs: Vec<usize>,
        frequency: Vec<f64>,
        weights: Tensor<2>,
        device: &Device,
    ) -> Self {
        let count = inputs.len();
        let frequency = from_f64(frequency, [1, count], &device.clone().without_autodiff());
        let frequency = Param::from_tensor(frequency).set_require_grad(false);
        Self { weights: Param::from_tensor(weights), frequency, inputs }
    }

    /// The curves with renumbered inputs: the new input `i` is the old input `order[i]`.
    #[cfg(feature = "interop")]
    pub(crate) fn reordered(self, order: &[usize]) -> Self {
        let place = |input: &usize| order.iter().position(|from| from == input);
        let inputs = self.inputs.iter().filter_map(place).collect();
        Self { inputs, ..self }
    }

    /// The features of all inputs, `[batch, inputs]`.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let all: Vec<usize> = (0..x.dims()[1]).collect();
        self.of(x, &all)
    }

    /// The features of some inputs: column `i` is input `inputs[i]`.
    pub(super) fn of(&self, x: Tensor<2>, inputs: &[usize]) -> Tensor<2> {
        let curve = |input: &usize| self.inputs.iter().position(|own| own == input);
        let (mut angles, mut curves, mut rest) = (vec![], vec![], vec![]);
        for (column, input) in inputs.iter().enumerate() {
            match curve(input) {
                Some(curve) => {
                    angles.push(column);
                    curves.push(curve);
                }
                None => rest.push(column),
            }
        }
        if angles.is_empty() {
            return x;
        }
        let device = x.device();
        let of_curves = |values: Tensor<2>| values.select(1, index_tensor(&curves, &device));
        let angle = x.clone().select(1, index_tensor(&angles, &device));
        let angle = angle * of_curves(self.frequency.val());
        let weights = of_curves(self.weights.val());
        let (sine, cosine) = (weights.clone().narrow(0, 0, 1), weights.narrow(0, 1, 1));
        let seen = angle.clone().sin() * sine + angle.cos() * cosine;
        let order: Vec<usize> = angles.into_iter().chain(rest.clone()).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &column)| back[column] = place);
        let all = match rest.is_empty() {
            true => seen,
            false => Tensor::cat(vec![seen, x.select(1, index_tensor(&rest, &device))], 1),
        };
        all.select(1, index_tensor(&back, &device))
    }
}
