//! Planar flow: each row moves along one direction, by a function of its distance from a plane.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::ridge::{self, LEAST_GAIN, RidgeActivation};
use super::rows_bijector;
use crate::bijector::check_weights;
use crate::conditioner::{MlpConfig, Parts, RowParams};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count};
use crate::initial;
use crate::math::softplus;

/// A weight with a squared length below this counts as zero. Without this bound `w / |w|^2` overflows. In f32 the bound
/// is far above the smallest number.
const LEAST_SQUARE: f64 = 1e-12;

/// How the function `m` keeps `w . u` above -1.
///
/// ```
/// use burn_flows::bijector::{PlanarConfig, PlanarConstraint};
///
/// let config = PlanarConfig::new(4).with_constraint(PlanarConstraint::LogSoftplus);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PlanarConstraint {
    /// `m(a) = softplus(a) - 1`, as in the paper and in normflows.
    #[default]
    Softplus,
    /// `m(a) = ln(1 + softplus(a)) - 1`, as in FlowJAX.
    LogSoftplus,
}

impl PlanarConstraint {
    /// `m(a) + 1`.
    fn gain(self, a: Tensor<2>) -> Tensor<2> {
        let positive = softplus(a);
        match self {
            Self::Softplus => positive,
            Self::LogSoftplus => positive.log1p(),
        }
    }

    /// The `a` with `m(a) = 0`, for which the layer is the identity along its direction.
    fn neutral(self) -> f64 {
        let softplus_inverse = |y: f64| y.exp_m1().ln();
        match self {
            Self::Softplus => softplus_inverse(1.0),
            Self::LogSoftplus => softplus_inverse(std::f64::consts::E - 1.0),
        }
    }
}

seeded_config! {
/// Configuration of a [`Planar`].
///
/// ```
/// use burn_flows::bijector::{PlanarConfig, RidgeActivation};
///
/// let config = PlanarConfig::new(4)
///     .with_activation(RidgeActivation::LeakyRelu { slope: 0.2 })
///     .with_context(3);
/// assert!(config.validate().is_ok());
/// let steep = PlanarConfig::new(4).with_activation(RidgeActivation::LeakyRelu { slope: 2.0 });
/// assert!(steep.validate().is_err());
/// ```
pub struct PlanarConfig {
    /// Number of values of an event.
    pub features: usize,
    /// The activation `h`. Choose [`RidgeActivation::LeakyRelu`] for an inverse by a formula.
    #[config(default = RidgeActivation::Tanh)]
    pub activation: RidgeActivation,
    /// The constraint that keeps the layer invertible. Choose [`PlanarConstraint::LogSoftplus`] for the numbers of
    /// FlowJAX.
    #[config(default = PlanarConstraint::Softplus)]
    pub constraint: PlanarConstraint,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// The network of the context. Its outputs are added to the parameters. It has no effect without a context.
    #[config(default = MlpConfig::new(vec![64]))]
    pub mlp: MlpConfig,
}
}

crate::store::checked! {
/// A planar layer. The initial layer is the identity, with a random `w`.
///
/// ```text
/// forward   z = x + u h(w . x + b)
/// log-det   ln(1 + (w . u) h'(w . x + b))
/// inverse   x = z - u h(p),   p + (w . u) h(p) = w . z + b
/// ```
///
/// `u` is the free vector `v` plus `(m(a) - a) w / |w|^2` with `a = w . v`, so that `w . u = m(a) > -1`.
///
/// Paper: Rezende, Mohamed (2015), Variational Inference with Normalizing Flows, equations 10 to 13
/// and appendix A.1, arXiv:1505.05770. It runs the formula latent to data: [`Inverse`](crate::bijector::Inverse)
/// of this layer does.
/// Same numbers as normflows 1.7 `Planar` (its [`Inverse`](crate::bijector::Inverse)), FlowJAX 19 `Planar`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// The inverse is a formula for the leaky rectifier. For tanh it solves one scalar equation per row. `1 + w . u` is at
/// least 1e-6. A `w` shorter than 1e-6 counts as zero.
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Planar, PlanarConstraint, RidgeActivation};
///
/// let device = Device::flex();
/// let (w, v) = (Tensor::from_data([1.0, 0.0], &device), Tensor::from_data([0.5, 2.0], &device));
/// let bias = Tensor::zeros([1], &device);
/// let layer = Planar::from_weights(w, v, bias, RidgeActivation::Tanh, PlanarConstraint::Softplus)?;
/// let x = Tensor::<2>::from_data([[0.3, -1.0]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Planar {
    params: RowParams,
    #[module(skip)]
    activation: RidgeActivation,
    #[module(skip)]
    constraint: PlanarConstraint,
}
}

impl Planar {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let count = self.params.count();
        let reason = || format!("must hold 2 * features + 1 values, found {count}");
        crate::store::require("Planar", "params", count > 2 && !count.is_multiple_of(2), reason)?;
        self.activation.validate()
    }
}

impl PlanarConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("PlanarConfig", "features", 1, self.features)?;
        self.activation.validate()?;
        self.mlp.validate_between(self.context, 2 * self.features + 1, 0)
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Planar
    }

    fn build(&self, device: &Device) -> Planar {
        let mut noise = initial::noise(device);
        let wide = (self.features as f64).sqrt().recip();
        let weight: Vec<f64> = (0..self.features).map(|_| noise.next_normal() * wide).collect();
        // Along `w`, with a length that makes `u` zero.
        let square: f64 = weight.iter().map(|w| w * w).sum();
        let along = self.constraint.neutral() / square.max(LEAST_SQUARE);
        let direction = weight.iter().map(|w| w * along);
        let free = weight.iter().copied().chain(direction).chain([0.0]).collect();
        Planar {
            params: RowParams::new(free, &self.mlp, self.context, device),
            activation: self.activation,
            constraint: self.constraint,
        }
    }
}

/// The parameters of the map: one set per row, or one set for all rows, `[1 or batch, ..]`.
struct Plane {
    weight: Tensor<2>,
    direction: Tensor<2>,
    bias: Tensor<2>,
    gain: Tensor<2>,
}

impl Planar {
    /// Builds the layer from `w` and the free vector `v`, `[features]` each, and `b`, `[1]`.
    ///
    /// # Errors
    ///
    /// If [`RidgeActivation::validate`] fails.
    ///
    /// # Panics
    ///
    /// If the shapes are not consistent.
    pub fn from_weights(
        weight: Tensor<1>,
        direction: Tensor<1>,
        bias: Tensor<1>,
        activation: RidgeActivation,
        constraint: PlanarConstraint,
    ) -> Result<Self> {
        activation.validate()?;
        check_weights("Planar", "direction", weight.dims(), &direction);
        check_weights("Planar", "bias", [1], &bias);
        let params = RowParams::free(Tensor::cat(vec![weight, direction, bias], 0));
        Ok(Self { params, activation, constraint })
    }

    /// Builds a layer whose parameters are the outputs of a network of the context, in the order of
    /// [`from_weights`](Self::from_weights).
    #[cfg(feature = "interop")]
    pub(crate) fn of_network(
        network: crate::conditioner::Mlp,
        [context, features]: [usize; 2],
        activation: RidgeActivation,
        constraint: PlanarConstraint,
        device: &Device,
    ) -> Self {
        let params = RowParams::of_network(network, context, 2 * features + 1, device);
        Self { params, activation, constraint }
    }

    fn width(&self) -> usize {
        (self.params.count() - 1) / 2
    }

    fn plane(&self, context: Option<&Tensor<2>>) -> Plane {
        let features = self.width();
        let mut parts = Parts::of(self.params.rows("Planar", context));
        let (weight, free, bias) = (parts.next(features), parts.next(features), parts.next(1));
        let square = weight.clone().square().sum_dim(1);
        let none = square.clone().lower_elem(LEAST_SQUARE);
        let weight = weight.mask_fill(none.clone().expand(free.dims()), 0.0);
        let square = square.mask_fill(none.clone(), 1.0);
        let inner = (weight.clone() * free.clone()).sum_dim(1);
        let gain = self.constraint.gain(inner.clone()).clamp_min(LEAST_GAIN).mask_fill(none, 1.0);
        let along = (gain.clone() - 1.0 - inner) / square;
        let direction = free + weight.clone() * along;
        Plane { weight, direction, bias, gain }
    }

    fn apply(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let Plane { weight, direction, bias, gain } = self.plane(context);
        let batch = x.dims()[0];
        let distance = (x.clone() * weight).sum_dim(1) + bias;
        let (height, slope) = self.activation.apply(distance);
        let log_det = ridge::slope(slope, gain).log().reshape([batch]);
        (x + direction * height, log_det)
    }

    fn unapply(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let Plane { weight, direction, bias, gain } = self.plane(context);
        let batch = z.dims()[0];
        let image = (z.clone() * weight).sum_dim(1) + bias;
        let distance = self.activation.solve(image, gain.clone());
        let (height, slope) = self.activation.apply(distance);
        let log_det = ridge::slope(slope, gain).log().neg().reshape([batch]);
        (z - direction * height, log_det)
    }
}

rows_bijector!(Planar, "Planar");
