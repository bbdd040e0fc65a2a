//! Hyperbolic tangent with linear tails.

use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::Serialize;

use super::tanh::{atanh, log_slope};
use super::{Pointwise, pointwise_bijector};
use crate::error::{Error, Result};

/// Largest value where the tails may begin: beyond, f32 cannot distinguish `tanh` from 1.
const LATEST: f64 = 8.0;

crate::store::checked! {
/// `tanh` up to a value, and a straight line of equal slope beyond. It maps most of the real line to (-1, 1), and every
/// value has an inverse.
///
/// ```text
/// forward   z = tanh(x) for |x| <= m,  sign(x) (tanh(m) + s (|x| - m)) beyond,  s = 1 - tanh(m)^2
/// log-det   sum of ln(1 - tanh(x)^2) inside, of ln s beyond
/// inverse   x = atanh(z) for |z| <= tanh(m),  sign(z) (m + (|z| - tanh(m)) / s) beyond
/// ```
///
/// Same numbers as FlowJAX 19 `LeakyTanh`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, LeakyTanh};
///
/// let layer = LeakyTanh::new(1.0)?;
/// let x = Tensor::<2>::from_data([[0.5, -3.0]], &Device::flex());
/// let (z, _) = layer.forward(x.clone(), None);
/// let (tanh, slope) = (1f32.tanh(), 1.0 - 1f32.tanh().powi(2));
/// let expected = Tensor::<2>::from_data([[0.5f32.tanh(), -tanh - 2.0 * slope]], &Device::flex());
/// z.to_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// assert!(LeakyTanh::new(0.0).is_err());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct LeakyTanh {
    turn: f64,
}
}

impl LeakyTanh {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        Self::new(self.turn).map(drop)
    }
}

impl LeakyTanh {
    /// Builds the map that is a straight line below `-turn` and above `turn`.
    ///
    /// # Errors
    ///
    /// If `turn` is not in (0, 8].
    pub fn new(turn: f64) -> Result<Self> {
        if turn > 0.0 && turn <= LATEST {
            return Ok(Self { turn });
        }
        let reason = format!("must be in (0, {LATEST}], found {turn}");
        Err(Error::config("LeakyTanh", "turn", reason))
    }

    /// `1 - tanh(m)^2`.
    fn slope(&self) -> f64 {
        self.turn.cosh().powi(-2)
    }
}

/// The mask of the values with an absolute value above `end`, and the signs of all values.
fn beyond<const D: usize>(x: &Tensor<D>, end: f64) -> (Tensor<D, Bool>, Tensor<D>) {
    let plain = x.clone().without_autodiff();
    (plain.clone().abs().greater_elem(end), plain.sign())
}

impl Pointwise for LeakyTanh {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let (beyond, sign) = beyond(&x, self.turn);
        let line = (x.clone() - sign.clone() * self.turn) * self.slope() + sign * self.turn.tanh();
        let inside = x.clamp(-self.turn, self.turn);
        (inside.clone().tanh().mask_where(beyond, line), log_slope(inside))
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let end = self.turn.tanh();
        let (beyond, sign) = beyond(&z, end);
        let line = (z.clone() - sign.clone() * end) * self.slope().recip() + sign * self.turn;
        let bent = atanh(z.clamp(-end, end));
        (bent.clone().mask_where(beyond, line), log_slope(bent).neg())
    }
}

pointwise_bijector!(LeakyTanh);
