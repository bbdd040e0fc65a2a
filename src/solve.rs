//! The root of an increasing function, element by element: the inverse of maps without a formula.
//!
//! search     bracket [l, h] with f(l) <= z <= f(h);  x <- x - (f(x) - z) / f'(x) where that stays in
//!            the bracket and halves the last step, else x <- (l + h) / 2
//! gradient   x = x* + (z - f(x*; a)) / f'(x*), with x* and f' constants, so that
//!            dx/dz = 1 / f' and dx/da = -(df/da) / f': the implicit function theorem
//!
//! The search runs outside any graph and stores no activations. Its gradient is exact, however many steps it took. An
//! element that has converged does not change any more, so no row depends on the other rows.
//!
//! Press, Teukolsky, Vetterling, Flannery (2007), Numerical Recipes, section 9.4.

use burn::tensor::{Bool, DType, Tensor};

/// The largest number of steps of the search. Bisection alone needs 64 + 53 steps to halve the widest bracket down to
/// the last digit; a well-behaved function takes 4 to 10 steps.
const STEPS: usize = 120;

/// The largest number of times that a bracket is doubled.
const DOUBLINGS: usize = 60;

/// Steps between two checks for convergence. Each check waits for the device.
const LOOK_EVERY: usize = 3;

/// The length of a step that counts as converged, in ulps of `max(1, |x|)`.
const LAST_UNITS: f64 = 4.0;

/// The least slope that the search divides by. A step with a smaller slope leaves every bracket, and the reciprocal of
/// the slope overflows f32.
const LEAST_SLOPE: f64 = 1e-30;

/// The slope, in ulps of 1, below which a function is flat: a step of a million does not change its value. The root of
/// a flat function is not determined, and its gradient is set to zero. The reciprocal of such a slope would overflow
/// f32 in later products.
const FLAT_UNITS: f64 = 1e-6;

/// The interval in which a root is searched.
pub(crate) enum Bracket {
    /// `f(low) <= z <= f(high)` by construction. If this does not hold, the root is the nearer end.
    Known {
        /// The lower end.
        low: Tensor<2>,
        /// The upper end.
        high: Tensor<2>,
    },
    /// Within `radius` of `center`, or within 2, 4, 8 .. times the radius. If `f` does not reach `z` there, the root is
    /// the outermost end, with a gradient of zero.
    Around {
        /// The first guess.
        center: Tensor<2>,
        /// Half the first width, positive.
        radius: Tensor<2>,
    },
}

impl Bracket {
    /// The bracket for a map near the identity: around `z`, with a radius of `max(1, |z|)`.
    pub fn near(z: &Tensor<2>) -> Self {
        let center = z.clone().without_autodiff();
        let radius = center.clone().abs().clamp_min(1.0);
        Self::Around { center, radius }
    }
}

/// A function that increases, as its value and slope.
type Increasing<'a> = &'a dyn Fn(Tensor<2>) -> (Tensor<2>, Tensor<2>);

/// The result of [`solve`], outside any graph.
pub(crate) struct Root {
    x: Tensor<2>,
    slope: Tensor<2>,
    outside: Option<Tensor<2, Bool>>,
}

/// Solves `f(x) = z` for every element. `f` increases, and returns its value and slope.
///
/// `f` must not be in a graph. The result lies in the bracket. It is NaN if the search ran out of steps, and `z` if `z`
/// is not finite.
pub(crate) fn solve(
    z: &Tensor<2>,
    bracket: Bracket,
    f: impl Fn(Tensor<2>) -> (Tensor<2>, Tensor<2>),
) -> Root {
    search(z, bracket, &f)
}

/// [`solve`], built once for all functions.
fn search(z: &Tensor<2>, bracket: Bracket, f: Increasing<'_>) -> Root {
    let z = z.clone().without_autodiff();
    let (mut low, mut high, mut x, outside) = match bracket {
        Bracket::Known { low, high } => {
            let (low, high) = (low.without_autodiff(), high.without_autodiff());
            let middle = (low.clone() + high.clone()) * 0.5;
            (low, high, middle, None)
        }
        Bracket::Around { center, radius } => {
            let (center, radius) = (center.without_autodiff(), radius.without_autodiff());
            let (low, high, outside) = expand(&z, &center, radius, f);
            let x = center.max_pair(low.clone()).min_pair(high.clone());
            (low, high, x, Some(outside))
        }
    };
    let tolerance = LAST_UNITS * unit(&z);
    let mut step = high.clone() - low.clone();
    let mut slope = z.zeros_like();
    let mut done = z.clone().is_nan();
    for count in 1..=STEPS {
        let (value, at) = f(x.clone());
        slope = at.clamp_min(LEAST_SLOPE);
        let error = value - z.clone();
        let above = error.clone().greater_elem(0.0);
        low = x.clone().mask_where(above.clone(), low);
        high = high.mask_where(above, x.clone());

        let newton = x.clone() - error / slope.clone();
        let good = newton.clone().greater_equal(low.clone());
        let good = good.bool_and(newton.clone().lower_equal(high.clone()));
        let length = (newton.clone() - x.clone()).abs();
        let good = good.bool_and(length.lower_equal(step * 0.5));
        let middle = (low.clone() + high.clone()) * 0.5;
        let next = middle.mask_where(good, newton).mask_where(done.clone(), x.clone());

        step = (next.clone() - x).abs();
        let least = next.clone().abs().clamp_min(1.0) * tolerance;
        done = done.bool_or(step.clone().lower_equal(least));
        x = next;
        if count % LOOK_EVERY == 0 && done.clone().all().into_scalar::<bool>() {
            break;
        }
    }
    // A `z` that is not finite has no root, and must not get a finite one. A search that did not converge must not
    // return a finite root either.
    let strange = z.clone().is_finite().bool_not();
    let x = x.mask_fill(done.bool_not(), f64::NAN);
    Root { x: x.mask_where(strange, z), slope, outside }
}

/// The ulp of 1. Precisions narrower than f32 use the ulp of f32.
fn unit(z: &Tensor<2>) -> f64 {
    if z.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// Doubles every bracket until it holds its root. If it never does, both results are the outermost end.
fn expand(
    z: &Tensor<2>,
    center: &Tensor<2>,
    mut radius: Tensor<2>,
    f: Increasing<'_>,
) -> (Tensor<2>, Tensor<2>, Tensor<2, Bool>) {
    let mut low = center.clone() - radius.clone();
    let mut high = center.clone() + radius.clone();
    for count in 0.. {
        let left = f(low.clone()).0.greater(z.clone());
        let right = f(high.clone()).0.lower(z.clone());
        let short = left.clone().bool_or(right.clone());
        if count == DOUBLINGS || !short.clone().any().into_scalar::<bool>() {
            let outer_low = low.clone().mask_where(right, high.clone());
            let outer_high = high.mask_where(left, low);
            return (outer_low, outer_high, short);
        }
        radius = radius.clone().mask_where(short, radius * 2.0);
        // A low end at which `f` is above `z` becomes a high end, and the reverse.
        let below = low.clone().mask_where(right.clone(), high.clone());
        let above = high.clone().mask_where(left.clone(), low.clone());
        low = below.mask_where(left, center.clone() - radius.clone());
        high = above.mask_where(right, center.clone() + radius.clone());
    }
    unreachable!("the loop ends by its count")
}

impl Root {
    /// The root, outside any graph.
    pub fn value(self) -> Tensor<2> {
        self.x
    }

    /// The root as a function of `z` and of the tensors of `f` that are in a graph. `f` is the solved function,
    /// evaluated in the graph; its slope is not needed. The gradient is zero if `z` is out of reach or `f` is flat.
    pub fn in_graph(self, z: Tensor<2>, f: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let value = f(self.x.clone());
        self.joined(z - value)
    }

    fn joined(self, rest: Tensor<2>) -> Tensor<2> {
        let flat = self.slope.clone().lower_elem(FLAT_UNITS * unit(&self.x));
        let share = self.slope.recip().mask_fill(flat, 0.0);
        let share = match self.outside {
            Some(outside) => share.mask_fill(outside, 0.0),
            None => share,
        };
        // The value is the root itself. The remaining error of the search contributes only to the gradient.
        let change = rest.clone() - rest.without_autodiff();
        change * share + self.x
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn row(values: &[f64], dtype: DType) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [1, values.len()]);
        Tensor::from_data(data, (&Device::flex(), dtype))
    }

    fn host(x: Tensor<2>) -> Vec<f64> {
        x.into_data().iter::<f64>().collect()
    }

    /// `x + x^3`.
    fn cubic(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let square = x.clone() * x.clone();
        (x.clone() + square.clone() * x, square * 3.0 + 1.0)
    }

    /// A staircase with steps of slope 1e-3 and rises of slope 40.
    fn stairs(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let wave = (x.clone() * 40.0).sin() * (0.999 / 40.0);
        (x.clone() + wave, (x * 40.0).cos() * 0.999 + 1.0)
    }

    #[test]
    fn roots_to_the_last_digits_in_both_precisions() {
        let x = [0.0, 1e-9, -0.3, 1.0, -7.0, 123.0, -1e4, 1e6];
        for (dtype, allowed) in [(DType::F64, 4e-15), (DType::F32, 2e-6)] {
            let z = cubic(row(&x, dtype)).0;
            let found = host(solve(&z, Bracket::near(&z), cubic).value());
            for (found, x) in found.iter().zip(x) {
                let error = (found - x).abs() / x.abs().max(1.0);
                assert!(error < allowed, "{found} in {dtype:?}, expected {x}");
            }
        }
    }

    #[test]
    fn a_known_bracket_and_a_slope_that_misleads() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) * 0.01 - 1.0).collect();
        let z = stairs(row(&x, DType::F64)).0;
        let bracket = Bracket::Known { low: z.clone() - 0.1, high: z.clone() + 0.1 };
        let found = host(stairs(solve(&z, bracket, stairs).value()).0);
        let worst = found.iter().zip(host(z)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-14, "{worst:e}");
    }

    #[test]
    fn out_of_reach_ends_at_an_end_with_a_gradient_of_zero() {
        let bounded = |x: Tensor<2>| (x.clone().tanh(), x.clone().tanh().square().neg() + 1.0);
        let z = row(&[-2.0, 0.5, 1.0 + 1e-9], DType::F64).autodiff().require_grad();
        let root = solve(&z, Bracket::near(&z), bounded).in_graph(z.clone(), |x| bounded(x).0);
        let found = host(root.clone().without_autodiff());
        assert!(found[0] < -1e15 && (found[1] - 0.5f64.atanh()).abs() < 1e-15 && found[2] > 1e15);
        let gradient = host(z.grad(&root.sum().backward()).unwrap());
        assert!(gradient[0] == 0.0 && gradient[2] == 0.0, "{gradient:?}");
        assert!((gradient[1] - 1.0 / 0.75).abs() < 1e-12, "{gradient:?}");
    }

    #[test]
    fn a_function_without_slope_gives_no_nan() {
        let flat = |x: Tensor<2>| (x.zeros_like(), x.zeros_like());
        let z = row(&[-1.0, 0.0, 1.0], DType::F32).autodiff().require_grad();
        let root = solve(&z, Bracket::near(&z), flat).in_graph(z.clone(), |x| flat(x).0);
        assert!(host(root.clone().without_autodiff()).iter().all(|x| x.is_finite()));
        let gradient = host(z.grad(&root.sum().backward()).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }

    #[test]
    fn gradients_are_those_of_the_implicit_function() {
        // f(x) = x + a x^3
        let of = |x: Tensor<2>, a: Tensor<2>| x.clone() + a * x.clone() * x.clone() * x;
        let z = row(&[2.0, -0.7], DType::F64).autodiff().require_grad();
        let a = row(&[1.0, 3.0], DType::F64).autodiff().require_grad();
        let plain = a.clone().without_autodiff();
        let root = solve(&z, Bracket::near(&z), |x| {
            let slope = plain.clone() * x.clone() * x.clone() * 3.0 + 1.0;
            (of(x, plain.clone()), slope)
        });
        let x = root.in_graph(z.clone(), |x| of(x, a.clone()));
        let gradients = x.clone().sum().backward();
        let (of_z, of_a) = (host(z.grad(&gradients).unwrap()), host(a.grad(&gradients).unwrap()));
        for (at, x) in host(x.without_autodiff()).into_iter().enumerate() {
            let slope = 1.0 + 3.0 * host(plain.clone())[at] * x * x;
            assert!((of_z[at] - 1.0 / slope).abs() < 1e-14);
            assert!((of_a[at] + x.powi(3) / slope).abs() < 1e-14);
        }
    }

    #[test]
    fn an_element_does_not_depend_on_the_others() {
        let z = [-3.0, 0.1, 0.2, 5e5, 1e-3];
        let together = row(&z, DType::F32);
        let together = host(solve(&together, Bracket::near(&together), stairs).value());
        for (value, together) in z.into_iter().zip(together) {
            let alone = row(&[value], DType::F32);
            assert_eq!(host(solve(&alone, Bracket::near(&alone), stairs).value()), [together]);
        }
    }
}
