//! Half a turn of a circle in front of another map.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::Univariate;
use crate::error::{Result, length};

crate::store::checked! {
/// Half a turn of a circle, followed by a map of `[-bound, bound]`.
///
/// ```text
/// forward   z = f(w(x))             w(x) = x + B for x < 0,  x - B for x >= 0,  on [-B, B)
/// log-det   that of f at w(x)
/// inverse   x = w(f^-1(z))          w undoes itself
/// ```
///
/// A map of an interval that fixes its ends cannot move the point where the ends meet. With half a turn
/// in front of every map, the meeting point of one layer is the middle of the next layer.
///
/// Paper: Rezende et al. (2020), Normalizing Flows on Tori and Spheres, section 2.1 (phase
/// translation), arXiv:2002.02428. Same numbers as zuko 1.6 `CircularRQSTransform`.
///
/// The input is an angle in any number of turns. The output is in `[-bound, bound]`. Raw parameters of
/// zero give half a turn, not the identity.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{HalfTurn, RationalQuadraticConfig, SplineDomain, Univariate};
///
/// let spline = RationalQuadraticConfig::new().with_domain(SplineDomain::LinearTails { bound: 2.0 });
/// let map = HalfTurn::new(spline.init(), 2.0)?;
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[-1.5, 0.25]], &device);
/// let params = Tensor::<3>::zeros([1, map.params_per_element(), 2], &device);
/// let (z, _) = map.forward(x.clone(), params.clone());
/// let turned = Tensor::<2>::from_data([[0.5, -1.75]], &device);
/// z.to_data().assert_approx_eq::<f32>(&turned.into_data(), Default::default());
/// let back = map.inverse(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct HalfTurn<U> {
    map: U,
    bound: f64,
}
}

impl<U> HalfTurn<U> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        check_bound(self.bound)
    }
}

/// Returns an error unless `bound` is valid as half the length of a circle.
pub(super) fn check_bound(bound: f64) -> Result<()> {
    length("HalfTurn", "bound", bound)
}

impl<U: Univariate> HalfTurn<U> {
    /// Builds half a turn followed by `map`.
    ///
    /// # Errors
    ///
    /// If the bound is not between 1e-6 and 1e6.
    pub fn new(map: U, bound: f64) -> Result<Self> {
        check_bound(bound)?;
        Ok(Self { map, bound })
    }

    fn turned(&self, x: Tensor<2>) -> Tensor<2> {
        let circle = 2.0 * self.bound;
        let turns = (x.clone().without_autodiff() * circle.recip()).floor();
        // For large values the difference has no correct digits left, so it is clamped into the
        // interval.
        (x - turns * circle - self.bound).clamp(-self.bound, self.bound)
    }
}

impl<U: Univariate> Univariate for HalfTurn<U> {
    fn params_per_element(&self) -> usize {
        self.map.params_per_element()
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        self.map.forward(self.turned(x), params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        self.turned(self.map.inverse(z, params))
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let (x, log_det) = self.map.inverse_with_log_det(z, params);
        (self.turned(x), log_det)
    }

    fn elements(&self) -> Option<usize> {
        self.map.elements()
    }

    fn of_elements(&self, elements: &[usize]) -> Option<Self> {
        let map = self.map.of_elements(elements)?;
        Some(Self { map, ..*self })
    }

    fn has_inverse_formula(&self) -> bool {
        self.map.has_inverse_formula()
    }
}
