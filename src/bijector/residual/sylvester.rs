//! Sylvester flow: a residual layer through few hidden units, with a Jacobian that is triangular in the units.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::ridge::{self, RidgeActivation};
use super::rows_bijector;
use crate::conditioner::{MlpConfig, Parts, RowParams};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, count, fits, repeats};
use crate::initial;
use crate::kernel::rows_times;

/// Largest absolute value of a diagonal element. It keeps `1 + r s` above 2e-4, a slope that f32 can resolve in both
/// directions.
const LARGEST: f64 = 1.0 - 1e-4;

/// The initial diagonal of `S`, before its bound. With zero, no input would reach the units.
const FIRST_DIAGONAL: f64 = 0.5;

/// A reflection vector with a squared length below this has no direction and reflects nothing.
const LEAST_SQUARE: f64 = 1e-12;

seeded_config! {
/// Configuration of a [`Sylvester`].
///
/// ```
/// use burn_flows::bijector::SylvesterConfig;
///
/// assert!(SylvesterConfig::new(8, 3).validate().is_ok());
/// assert!(SylvesterConfig::new(8, 9).validate().is_err()); // no 9 orthogonal directions
/// ```
pub struct SylvesterConfig {
    /// Number of values of an event.
    pub features: usize,
    /// Number of hidden units, at most the number of features. More units model richer maps at a higher cost.
    pub units: usize,
    /// Number of reflections in `Q`. More reflections reach more directions at a higher cost.
    #[config(default = 4)]
    pub reflections: usize,
    /// The activation `h`. Choose [`RidgeActivation::LeakyRelu`] for an inverse by a formula.
    #[config(default = RidgeActivation::Tanh)]
    pub activation: RidgeActivation,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// The network of the context. Its outputs are added to the parameters. It has no effect without a context.
    #[config(default = MlpConfig::new(vec![64]))]
    pub mlp: MlpConfig,
}
}

crate::store::checked! {
/// A Sylvester layer. The initial layer is the identity, with random directions. With one unit it is a planar layer.
///
/// ```text
/// forward   z = x + Q R h(p),   p = S y + b,   y = Q^T x
/// log-det   sum of ln(1 + s_i r_i h'(p_i))                  r, s the diagonals of R, S
/// inverse   x = z - Q R h(p),   p + S R h(p) = S Q^T z + b,  from the last unit to the first
/// ```
///
/// `Q` has orthonormal columns, from a product of reflections. `R` and `S` are upper triangular, and the product of
/// their diagonals is above -1. `S R` is also upper triangular, so the inverse solves one scalar equation per unit.
///
/// Paper: van den Berg, Hasenclever, Tomczak, Welling (2018), Sylvester Normalizing Flows for
/// Variational Inference, equations 8 to 13 and section 3.3 (Householder), arXiv:1803.05649. It runs
/// the formula latent to data: [`Inverse`](crate::bijector::Inverse) of this layer does.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// The diagonals of `R` and `S` are below 0.9999 in absolute value (tanh), so every slope is above 2e-4.
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, SylvesterConfig}, testing::moved};
///
/// let device = Device::flex();
/// let layer = moved(SylvesterConfig::new(3, 2).init(&device), 1);
/// let x = Tensor::<2>::from_data([[0.3, -1.0, 0.5]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Sylvester {
    params: RowParams,
    features: usize,
    units: usize,
    reflections: usize,
    #[module(skip)]
    activation: RidgeActivation,
}
}

impl Sylvester {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let (features, units) = (self.features, self.units);
        let config = SylvesterConfig::new(features, units).with_reflections(self.reflections);
        config.with_activation(self.activation).validate()?;
        let needed = self.reflections * features + units * units + 2 * units;
        crate::store::shaped("Sylvester", "params", &[needed], [self.params.count()])
    }
}

impl SylvesterConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("SylvesterConfig", "features", 1, self.features)?;
        count("SylvesterConfig", "units", 1, self.units)?;
        if self.units > self.features {
            let reason =
                format!("must be at most features ({}), found {}", self.features, self.units);
            return Err(Error::config("SylvesterConfig", "units", reason));
        }
        repeats("SylvesterConfig", "reflections", 1, self.reflections)?;
        fits("SylvesterConfig", "reflections", &[self.reflections, self.features])?;
        fits("SylvesterConfig", "units", &[self.units, self.units])?;
        self.activation.validate()?;
        let params = self.reflections * self.features + self.units * self.units + 2 * self.units;
        let outputs = if self.context > 0 { params } else { 1 };
        self.mlp.validate_between(self.context, outputs, 0)
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Sylvester
    }

    fn build(&self, device: &Device) -> Sylvester {
        let mut noise = initial::noise(device);
        let vectors = (0..self.reflections * self.features).map(|_| noise.next_normal());
        let zeros = std::iter::repeat_n(0.0, self.units * self.units);
        let diagonal = std::iter::repeat_n(FIRST_DIAGONAL, self.units);
        let bias = std::iter::repeat_n(0.0, self.units);
        let free = vectors.chain(zeros).chain(diagonal).chain(bias).collect();
        Sylvester {
            params: RowParams::new(free, &self.mlp, self.context, device),
            features: self.features,
            units: self.units,
            reflections: self.reflections,
            activation: self.activation,
        }
    }
}

/// The parameters of the map: one set per row, or one set for all rows. Axis 0 has length 1 or batch.
struct Frame {
    /// One vector per reflection, `[.., features]`.
    vectors: Vec<Tensor<2>>,
    /// `R`, upper triangular, `[.., units, units]`.
    outward: Tensor<3>,
    /// `S`, upper triangular, `[.., units, units]`.
    inward: Tensor<3>,
    /// The products of the diagonals of `R` and `S`, plus 1, `[.., units]`.
    gain: Tensor<2>,
    bias: Tensor<2>,
}

/// `H x` for each row, where `H` reflects along `vector`.
fn reflected(x: Tensor<2>, vector: &Tensor<2>) -> Tensor<2> {
    let square = vector.clone().square().sum_dim(1);
    let none = square.clone().lower_elem(LEAST_SQUARE);
    let scaled = vector.clone() * (square.mask_fill(none.clone(), 1.0).recip() * 2.0);
    let scaled = scaled.mask_fill(none.expand(vector.dims()), 0.0);
    let along = (x.clone() * vector.clone()).sum_dim(1);
    x - scaled * along
}

/// `M y` for each row: one matrix for all rows, or one matrix per row.
fn times(y: Tensor<2>, matrix: &Tensor<3>) -> Tensor<2> {
    let ([batch, units], [matrices, _, _]) = (y.dims(), matrix.dims());
    if matrices == 1 {
        return rows_times(y, matrix.clone().squeeze_dim::<2>(0).transpose());
    }
    y.reshape([batch, 1, units]).matmul(matrix.clone().transpose()).reshape([batch, units])
}

impl Frame {
    /// The first `units` elements of `Q^T x`.
    fn inside(&self, x: Tensor<2>, units: usize) -> Tensor<2> {
        self.vectors.iter().fold(x, reflected).narrow(1, 0, units)
    }

    /// `Q y`.
    fn outside(&self, y: Tensor<2>, features: usize) -> Tensor<2> {
        let [batch, units] = y.dims();
        let rest = Tensor::zeros([batch, features - units], (&y.device(), y.dtype()));
        let y = if units < features { Tensor::cat(vec![y, rest], 1) } else { y };
        self.vectors.iter().rev().fold(y, reflected)
    }
}

impl Sylvester {
    fn width(&self) -> usize {
        self.features
    }

    fn frame(&self, context: Option<&Tensor<2>>) -> Frame {
        let (features, units) = (self.features, self.units);
        let mut parts = Parts::of(self.params.rows("Sylvester", context));
        let vectors = (0..self.reflections).map(|_| parts.next(features)).collect();
        // Entries above the diagonal belong to `R`; entries below the diagonal belong to `S`, transposed.
        let packed = parts.next(units * units);
        let rows = packed.dims()[0];
        let packed = packed.reshape([rows, units, units]);
        let (second, bias) = (parts.next(units), parts.next(units));
        let eye = Tensor::<2>::eye(units, &packed.device().without_autodiff()).cast(packed.dtype());
        let eye = eye.unsqueeze_dim::<3>(0);
        let first = (packed.clone() * eye.clone()).sum_dim(2).reshape([rows, units]);
        let bounded = |raw: Tensor<2>| raw.tanh() * LARGEST;
        let (first, second) = (bounded(first), bounded(second));
        let with = |upper: Tensor<3>, diagonal: &Tensor<2>| {
            upper.triu(1) + eye.clone() * diagonal.clone().unsqueeze_dim::<3>(2)
        };
        Frame {
            vectors,
            outward: with(packed.clone(), &first),
            inward: with(packed.transpose(), &second),
            gain: first * second + 1.0,
            bias,
        }
    }

    fn apply(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let frame = self.frame(context);
        let batch = x.dims()[0];
        let inside = frame.inside(x.clone(), self.units);
        let p = times(inside, &frame.inward) + frame.bias.clone();
        let (height, slope) = self.activation.apply(p);
        let log_det = ridge::slope(slope, frame.gain.clone()).log().sum_dim(1).reshape([batch]);
        (x + frame.outside(times(height, &frame.outward), self.features), log_det)
    }

    fn unapply(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let frame = self.frame(context);
        let (batch, units) = (z.dims()[0], self.units);
        let inside = frame.inside(z.clone(), units);
        let q = times(inside, &frame.inward) + frame.bias.clone();
        let product = frame.inward.clone().matmul(frame.outward.clone());
        let matrices = product.dims()[0];
        let mut heights: Vec<Tensor<2>> = vec![];
        let mut slopes: Vec<Tensor<2>> = vec![];
        for unit in (0..units).rev() {
            let mut image = q.clone().narrow(1, unit, 1);
            for (height, other) in heights.iter().zip((unit + 1..units).rev()) {
                let factor = product.clone().slice([0..matrices, unit..unit + 1, other..other + 1]);
                image = image - height.clone() * factor.reshape([matrices, 1]);
            }
            let gain = frame.gain.clone().narrow(1, unit, 1);
            let (height, slope) = self.activation.apply(self.activation.solve(image, gain.clone()));
            heights.push(height);
            slopes.push(ridge::slope(slope, gain).log());
        }
        heights.reverse();
        let height = Tensor::cat(heights, 1);
        let log_det = Tensor::cat(slopes, 1).sum_dim(1).neg().reshape([batch]);
        (z - frame.outside(times(height, &frame.outward), self.features), log_det)
    }
}

rows_bijector!(Sylvester, "Sylvester");
