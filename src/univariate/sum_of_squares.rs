//! Sum of squares: the integral of a sum of squared polynomials.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use super::curve::{self, Curve, Curved, check_spread, offsets, tamed_constant};
use super::{Univariate, param};
use crate::config::{config, construct};
use crate::error::{Error, Result, count, least, length};
use crate::quadrature::gauss_legendre;

/// The largest raw coefficient: its square times the 24th power of [`REACH`] fits f32.
const LARGEST: f64 = 1e4;

/// From this distance on the map is a straight line. The distance is in units of the bound. Beyond it,
/// high powers overflow f32.
const REACH: f64 = 10.0;

/// The largest degree. [`LARGEST`] and [`REACH`] are chosen for it.
const LARGEST_DEGREE: usize = 12;

config! {
/// Configuration of a [`SumOfSquares`].
///
/// ```
/// use burn_flows::univariate::{SumOfSquaresConfig, Univariate};
///
/// let map = SumOfSquaresConfig::new().with_degree(3).with_polynomials(2).init();
/// assert_eq!(map.params_per_element(), 2 * 4 + 1);
/// let error = SumOfSquaresConfig::new().with_degree(13).validate().unwrap_err();
/// assert_eq!(error.to_string(), "SumOfSquaresConfig.degree: must be between 1 and 12, found 13");
/// ```
#[derive(Copy, PartialEq)]
pub struct SumOfSquaresConfig {
    /// Degree `d` of the squared polynomials, 1 to 12. The map has degree `2 d + 1`. Raise it for
    /// densities with more modes; the number of parameters grows with it.
    #[config(default = 4)]
    pub degree: usize,
    /// Number of squared polynomials that are averaged. Two can represent every increasing polynomial;
    /// more make training easier and add parameters.
    #[config(default = 3)]
    pub polynomials: usize,
    /// `B`, the unit in which a polynomial measures `x`. The map is a straight line from `10 B` on.
    /// Choose it near the range of the data.
    #[config(default = 10.0)]
    pub bound: f64,
    /// `s`, the least slope. Without a least slope, the logarithm of the slope can be minus infinity.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// The `e_k` are evenly spaced between `-spread` and `spread`, so that the polynomials start
    /// different. With 0 (zuko) all polynomials start alike, and stay alike if their parameters start
    /// at zero.
    #[config(default = 0.2)]
    pub spread: f64,
}
}

crate::store::checked! {
/// A sum-of-squares polynomial, made by [`SumOfSquaresConfig::init`].
///
/// With `u = x / B`, `p_k(u) = 1 + e_k u + sum_j a_kj u^j` and `g(u) = mean_k p_k(u)^2 + s`:
///
/// ```text
/// forward   z = c + integral of g from 0 to x      by Gauss-Legendre quadrature, which is exact
/// log-det   sum of ln g(x / B)
/// inverse   by search
/// ```
///
/// Two squares can represent every increasing polynomial. More squares make training easier.
///
/// Paper: Jaini, Selby, Yu (2019), Sum-of-Squares Polynomial Flow, equations 6 and 7,
/// arXiv:1905.02325.
/// Same numbers as zuko 1.6 `SOSPolynomialTransform` and the constant behind it in its `SOSPF`, with no
/// spread.
///
/// Parameters in this order: the `degree + 1` coefficients `a_kj` of each polynomial from the constant
/// up, one polynomial after the other, then `c`. At raw zeros the slope is `1 + s` at the origin and
/// one percent larger at the bound.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Every term of the integral is positive, so nothing cancels. Beyond ten times the bound the map is a
/// straight line with a slope from 1/1000 to 1000. Coefficients are clamped to `[-1e4, 1e4]`. Results
/// are finite for every finite value and parameter, also in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{SumOfSquaresConfig, Univariate};
///
/// let device = Device::flex();
/// let config = SumOfSquaresConfig::new().with_degree(1).with_polynomials(1).with_spread(0.0);
/// let map = config.with_bound(1.0).init();
/// // p = 1 + (-1 + 3 u), so z = 3 x^3 + 0.001 x + 0.5
/// let params = Tensor::<3>::from_data([[[-1.0], [3.0], [0.5]]], &device);
/// let x = Tensor::<2>::from_data([[2.0]], &device);
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// assert!((z.clone().into_scalar::<f32>() - 24.502).abs() < 1e-4);
/// assert!((log_det.into_scalar::<f32>() - 36.001f32.ln()).abs() < 1e-5);
/// map.inverse(z, params).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct SumOfSquares {
    #[module(skip)]
    config: SumOfSquaresConfig,
}
}

impl SumOfSquares {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl SumOfSquaresConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "SumOfSquaresConfig";
        count(NAME, "polynomials", 1, self.polynomials)?;
        check_spread(NAME, self.spread)?;
        length(NAME, "bound", self.bound)?;
        let (degree, slope) = (self.degree, self.min_slope);
        let (field, reason) = if !(1..=LARGEST_DEGREE).contains(&degree) {
            ("degree", format!("must be between 1 and {LARGEST_DEGREE}, found {degree}"))
        } else if !(slope > 0.0 && slope < 1.0) {
            ("min_slope", format!("must be in (0, 1), found {slope}"))
        } else {
            return least(NAME, "min_slope", slope);
        };
        Err(Error::config(NAME, field, reason))
    }

    construct! {
        /// Builds the map.
        unseeded() -> SumOfSquares
    }

    fn build(&self) -> SumOfSquares {
        SumOfSquares { config: *self }
    }
}

/// The polynomials of a batch.
pub(super) struct Squares {
    /// Coefficients from the highest power to the constant, each `[batch, polynomials, n]`.
    powers: Vec<Tensor<3>>,
    constant: Tensor<2>,
    config: SumOfSquaresConfig,
}

impl Curve for Squares {
    fn limit(&self) -> f64 {
        REACH * self.config.bound
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let SumOfSquaresConfig { degree, polynomials, bound, min_slope, .. } = self.config;
        let [batch, n] = x.dims();
        let (mut nodes, weights) = gauss_legendre(degree + 1);
        nodes.push(1.0); // the end itself, for the slope
        let (count, rule) = (nodes.len(), weights.len());
        let options = (&x.device().without_autodiff(), x.dtype());
        let nodes = Tensor::<4>::from_data(TensorData::new(nodes, [1, 1, count, 1]), options);
        let weights = Tensor::<3>::from_data(TensorData::new(weights, [1, rule, 1]), options);

        // Not `/ bound`: burn 0.22 rounds the gradient of a division by a number to f32.
        let u = x.clone().reshape([batch, 1, 1, n]) * bound.recip() * nodes;
        let power = |raw: &Tensor<3>| raw.clone().reshape([batch, polynomials, 1, n]);
        let (first, rest) = self.powers.split_first().expect("at least two");
        let p = rest.iter().fold(power(first), |sum, raw| sum * u.clone() + power(raw));
        let share = (polynomials as f64).recip();
        let g = p.square().sum_dim(1).reshape([batch, count, n]) * share + min_slope;

        let area = (g.clone().narrow(1, 0, rule) * weights).sum_dim(1).reshape([batch, n]);
        let slope = g.narrow(1, rule, 1).reshape([batch, n]);
        (area * x + self.constant.clone(), slope.log())
    }
}

impl Curved for SumOfSquares {
    type Curve = Squares;

    fn curve(&self, params: Tensor<3>) -> Squares {
        let SumOfSquaresConfig { degree, polynomials, spread, .. } = self.config;
        let ([batch, _, n], count) = (params.dims(), degree + 1);
        let raw = params.clone().narrow(1, 0, polynomials * count).clamp(-LARGEST, LARGEST);
        let raw = raw.reshape([batch, polynomials, count, n]);
        let power = |j: usize| {
            let raw = raw.clone().narrow(2, j, 1).reshape([batch, polynomials, n]);
            match j {
                0 => raw + 1.0,
                1 => raw.clone() + offsets(polynomials, spread, &raw),
                _ => raw,
            }
        };
        Squares {
            powers: (0..count).rev().map(power).collect(),
            constant: tamed_constant(param(&params, polynomials * count)),
            config: self.config,
        }
    }
}

impl Univariate for SumOfSquares {
    fn params_per_element(&self) -> usize {
        self.config.polynomials * (self.config.degree + 1) + 1
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }
}
