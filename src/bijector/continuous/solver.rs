//! Runge-Kutta methods with steps chosen separately for each row.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, repeats};

/// The nodes of the Dormand-Prince stages, as fractions of a step.
const NODES: [f64; 7] = [0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0];

/// The weights of the preceding stages in each stage. The last row is the step itself.
const STAGES: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];

/// The weights of the error estimate: the step of order 5 minus the step of order 4.
const ERROR: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339_200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// The first step, as a fraction of the time span.
const FIRST_STEP: f64 = 0.05;

/// The next step aims at this fraction of the allowed error. `SHRINK` and `GROW` bound the factor by which a step
/// changes.
const SAFETY: f64 = 0.9;
const SHRINK: f64 = 0.2;
const GROW: f64 = 5.0;

/// The smallest error in the step formula; smaller errors count as this error.
const LEAST_ERROR: f64 = 1e-8;

/// The smallest tolerance, in units in the last place. Rounding alone causes errors of this size.
const LEAST_UNITS: f64 = 20.0;

/// A row has arrived when the remaining time is at most this many units in the last place.
const ARRIVED_UNITS: f64 = 4.0;

/// How a [`Cnf`](super::Cnf) solves its differential equation.
///
/// An adaptive method first runs outside any graph and records its steps. Gradients are those of the method with these
/// steps as constants: discretise, then optimise.
///
/// Paper: Dormand, Prince (1980), A family of embedded Runge-Kutta formulae, Journal of Computational
/// and Applied Mathematics 6, table 2 (RK5(4)7M); step control: Hairer, Nørsett, Wanner (1993),
/// Solving Ordinary Differential Equations I, section II.4.
///
/// ```
/// use burn_flows::bijector::Solver;
///
/// assert!(Solver::Rk4 { steps: 20 }.validate().is_ok());
/// assert!(Solver::DormandPrince { atol: 0.0, rtol: 0.0, limit: 100 }.validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum Solver {
    /// The classical method of order 4 with equal steps. The error, also of a round trip, scales as the fourth power of
    /// a step.
    Rk4 {
        /// Number of steps, at least 1. Each step evaluates the network 4 times. More steps reduce the error.
        steps: usize,
    },
    /// The Dormand-Prince method of order 5. Each row takes steps as long as its error allows.
    DormandPrince {
        /// Allowed absolute error of a step, positive. Lower it for a more accurate solution in more steps.
        atol: f64,
        /// Allowed error of a step relative to the size of an element, at least 0. Both tolerances are raised to at
        /// least 20 units in the last place.
        rtol: f64,
        /// Largest number of steps, at least 1. A row that needs more steps is NaN in value and log-determinant; other
        /// rows do not change. Raise it if rows become NaN.
        limit: usize,
    },
}

impl Default for Solver {
    fn default() -> Self {
        Self::DormandPrince { atol: 1e-6, rtol: 1e-5, limit: 1000 }
    }
}

/// A step of each row: its start and its length, `[1 or batch, 1]`. The length is 0 for a row that does not move.
pub(super) struct Step {
    at: Tensor<2>,
    length: Tensor<2>,
}

impl Solver {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Rk4 { steps } => repeats("Solver", "steps", 1, steps),
            Self::DormandPrince { atol, rtol, limit } => {
                if !(atol > 0.0 && atol.is_finite()) {
                    let reason = format!("must be positive and finite, found {atol}");
                    return Err(Error::config("Solver", "atol", reason));
                }
                if !(rtol >= 0.0 && rtol.is_finite()) {
                    let reason = format!("must be at least 0 and finite, found {rtol}");
                    return Err(Error::config("Solver", "rtol", reason));
                }
                repeats("Solver", "limit", 1, limit)
            }
        }
    }

    /// The rows at time `to`, and the steps that were taken, outside any graph. `weights`, `[1, width]`, scale the
    /// errors of the columns.
    pub(super) fn run(
        self,
        [from, to]: [f64; 2],
        y: Tensor<2>,
        weights: Tensor<2>,
        f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> (Tensor<2>, Vec<Step>) {
        match self {
            Self::Rk4 { steps } => {
                let options = (&y.device().without_autodiff(), y.dtype());
                let number = |value: f64| Tensor::<2>::full([1, 1], value, options);
                let length = (to - from) / steps as f64;
                let step = |index: usize| Step {
                    at: number(from + length * index as f64),
                    length: number(length),
                };
                let steps: Vec<Step> = (0..steps).map(step).collect();
                (self.follow(&steps, y, f), steps)
            }
            Self::DormandPrince { atol, rtol, limit } => {
                let unit = if y.dtype() == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
                let [atol, rtol] = [atol, rtol].map(|t| t.max(LEAST_UNITS * unit));
                let control = Control { atol, rtol, weights, limit, arrived: ARRIVED_UNITS * unit };
                adaptive([from, to], y, f, &control)
            }
        }
    }

    /// The state after the given steps.
    pub(super) fn follow(
        self,
        steps: &[Step],
        y: Tensor<2>,
        f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        steps.iter().fold(y, |y, Step { at, length }| match self {
            Self::Rk4 { .. } => rk4(at, length, y, &f),
            Self::DormandPrince { .. } => {
                let first = f(at.clone(), y.clone());
                let next = dormand_prince(at, length, y.clone(), first, &f).0;
                next.mask_where(length.clone().equal_elem(0.0).expand(y.dims()), y)
            }
        })
    }
}

fn rk4(
    at: &Tensor<2>,
    length: &Tensor<2>,
    y: Tensor<2>,
    f: &impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    let half = length.clone() * 0.5;
    let (middle, end) = (at.clone() + half.clone(), at.clone() + length.clone());
    let k1 = f(at.clone(), y.clone());
    let k2 = f(middle.clone(), y.clone() + k1.clone() * half.clone());
    let k3 = f(middle, y.clone() + k2.clone() * half);
    let k4 = f(end, y.clone() + k3.clone() * length.clone());
    y + (k1 + (k2 + k3) * 2.0 + k4) * (length.clone() * (1.0 / 6.0))
}

/// One step, and all its stages except the last.
fn dormand_prince(
    at: &Tensor<2>,
    length: &Tensor<2>,
    y: Tensor<2>,
    first: Tensor<2>,
    f: &impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
) -> (Tensor<2>, Vec<Tensor<2>>) {
    let mut stages = vec![first];
    for (index, weights) in STAGES.iter().enumerate() {
        let next = y.clone() + weighted(&stages, weights) * length.clone();
        if index + 1 == STAGES.len() {
            return (next, stages);
        }
        stages.push(f(at.clone() + length.clone() * NODES[index + 1], next));
    }
    (y, stages)
}

/// The weighted sum of stages. Stages of weight 0 are skipped.
fn weighted(stages: &[Tensor<2>], weights: &[f64]) -> Tensor<2> {
    let terms = stages.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
    let terms = terms.map(|(stage, weight)| stage.clone() * *weight);
    terms.reduce(|sum, term| sum + term).expect("a first stage of non-zero weight")
}

/// The parameters of the step size control.
struct Control {
    atol: f64,
    rtol: f64,
    weights: Tensor<2>,
    limit: usize,
    arrived: f64,
}

fn adaptive(
    [from, to]: [f64; 2],
    mut y: Tensor<2>,
    f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    control: &Control,
) -> (Tensor<2>, Vec<Step>) {
    let ([rows, _], way) = (y.dims(), (to - from).abs());
    let sign = (to - from).signum();
    let options = (&y.device(), y.dtype());
    let mut gone = Tensor::<2>::zeros([rows, 1], options);
    let mut length = Tensor::<2>::full([rows, 1], way * FIRST_STEP, options);
    let place = |gone: &Tensor<2>| gone.clone() * sign + from;
    let mut first = f(place(&gone), y.clone());
    let mut steps = vec![];
    for count in 1.. {
        let left = gone.clone().neg() + way;
        // A row with NaN counts as arrived.
        let done = left.clone().greater_elem(control.arrived * way).bool_not();
        if done.clone().all().into_scalar::<bool>() {
            break;
        }
        if count > control.limit {
            let lost = done.bool_not();
            y = y.clone().mask_fill(lost.clone().expand(y.dims()), f64::NAN);
            let length = gone.zeros_like().mask_fill(lost, f64::NAN);
            steps.push(Step { at: place(&gone), length });
            break;
        }
        let tried = length.min_pair(left).mask_fill(done.clone(), 0.0);
        let (at, signed) = (place(&gone), tried.clone() * sign);
        let (next, mut stages) = dormand_prince(&at, &signed, y.clone(), first.clone(), &f);
        let end = f(at.clone() + signed.clone(), next.clone());
        stages.push(end.clone());
        let error = weighted(&stages, &ERROR) * signed.clone();
        let size = next.clone().abs().max_pair(y.clone().abs()) * control.rtol + control.atol;
        let error = (error * control.weights.clone() * size.recip()).square().mean_dim(1).sqrt();
        // A step with NaN is accepted, because a shorter step would also be NaN.
        let refused = error.clone().greater_elem(1.0);

        let rests = refused.clone().bool_or(done).expand(y.dims());
        y = next.mask_where(rests.clone(), y);
        first = end.mask_where(rests, first);
        gone = gone + tried.clone().mask_fill(refused.clone(), 0.0);
        steps.push(Step { at, length: signed.mask_fill(refused, 0.0) });
        let factor = error.clamp_min(LEAST_ERROR).powf_scalar(-0.2) * SAFETY;
        length = tried * factor.clamp(SHRINK, GROW);
    }
    (y, steps)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn host(x: Tensor<2>) -> Vec<f64> {
        x.into_data().try_to_vec_as().unwrap()
    }

    /// `y' = y cos(9 t)`, so that `y(1) = y(0) exp(sin(9) / 9)`.
    fn field(t: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
        y * (t * 9.0).cos()
    }

    fn run(solver: Solver, way: [f64; 2], y: Tensor<2>) -> (Tensor<2>, Vec<Step>) {
        solver.run(way, y, tensor(&[1.0], [1, 1]), field)
    }

    fn error(solver: Solver, way: [f64; 2], start: &[f64]) -> f64 {
        let y = tensor(start, [start.len(), 1]);
        let (end, steps) = run(solver, way, y.clone());
        let found = host(solver.follow(&steps, y, field));
        assert_eq!(host(end), found, "the steps lead where the search ended");
        let growth = (way[1] - way[0]) * 9f64.sin() / 9.0;
        let expected = start.iter().map(|y| y * growth.exp());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn the_stages_and_weights_add_up() {
        for (row, node) in STAGES.iter().zip(&NODES[1..]) {
            assert!((row.iter().sum::<f64>() - node).abs() < 1e-14);
        }
        assert!(ERROR.iter().sum::<f64>().abs() < 1e-16);
    }

    #[test]
    fn errors_fall_as_the_orders_say() {
        let rk4 = |steps| error(Solver::Rk4 { steps }, [0.0, 1.0], &[1.0, -2.0]);
        let ratio = rk4(20) / rk4(40);
        assert!((12.0..24.0).contains(&ratio), "{ratio}");
        let adaptive = |tolerance| {
            let solver = Solver::DormandPrince { atol: tolerance, rtol: tolerance, limit: 9999 };
            [[0.0, 1.0], [1.0, 0.0]].map(|way| error(solver, way, &[1.0, -2.0]))
        };
        for tolerance in [1e-4, 1e-8, 1e-12] {
            for error in adaptive(tolerance) {
                assert!(error < 10.0 * tolerance, "{error:e} of {tolerance:e}");
            }
        }
        assert!(adaptive(1e-4)[0] > 1e-9, "a loose tolerance takes long steps");
    }

    #[test]
    fn a_row_that_has_not_arrived_by_the_limit_is_nan_and_no_other() {
        let run = |limit, start: &[f64]| {
            let solver = Solver::DormandPrince { atol: 1e-6, rtol: 0.0, limit };
            let y = tensor(start, [start.len(), 1]);
            let (end, steps) = run(solver, [0.0, 1.0], y.clone());
            let (end, followed) = (host(end), host(solver.follow(&steps, y, field)));
            assert_eq!(
                end.iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
                followed.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
            );
            (end, steps.len())
        };
        // Large values need more steps for equal absolute error.
        let (alone, enough) = run(999, &[1e-3]);
        let (far, more) = run(999, &[1e6]);
        assert!(far[0].is_finite() && more > enough + 1, "{enough} and {more} steps");
        let (found, steps) = run(enough, &[1e-3, 1e6, f64::NAN]);
        assert_eq!((found[0], steps), (alone[0], enough + 1));
        assert!(found[1].is_nan() && found[2].is_nan(), "{found:?}");
        assert!(run(1, &[1.0]).0[0].is_nan());
    }

    #[test]
    fn rows_choose_their_own_steps() {
        let solver = Solver::DormandPrince { atol: 1e-9, rtol: 0.0, limit: 999 };
        let run = |start: &[f64]| {
            let y = tensor(start, [start.len(), 1]);
            host(run(solver, [0.0, 1.0], y).0)
        };
        let together = run(&[1e-3, 5.0, 1e4]);
        for (at, start) in [1e-3, 5.0, 1e4].into_iter().enumerate() {
            assert_eq!(run(&[start])[0], together[at]);
        }
    }
}
