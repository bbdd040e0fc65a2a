//! Gauss-Legendre quadrature on the unit interval.

/// Newton steps. The start is right to a few percent and convergence is quadratic, so 6 steps are exact.
const STEPS: usize = 10;

/// Nodes and weights of the rule with `count` nodes on `(0, 1)`, exact for polynomials of degree
/// `2 count - 1`.
///
/// Abramowitz and Stegun (1964), 25.4.29: the roots of the Legendre polynomial `P_count`, found by
/// Newton's method from `cos(pi (i + 3/4) / (count + 1/2))`.
pub(crate) fn gauss_legendre(count: usize) -> (Vec<f64>, Vec<f64>) {
    let polynomial = |x: f64| {
        let (mut before, mut value) = (0.0, 1.0);
        for degree in 0..count {
            let k = degree as f64;
            (before, value) = (value, ((2.0 * k + 1.0) * x * value - k * before) / (k + 1.0));
        }
        let slope = count as f64 * (x * value - before) / (x * x - 1.0);
        (value, slope)
    };
    let node = |i: usize| {
        let start = (std::f64::consts::PI * (i as f64 + 0.75) / (count as f64 + 0.5)).cos();
        (0..STEPS).fold(start, |x, _| {
            let (value, slope) = polynomial(x);
            x - value / slope
        })
    };
    let rule = |i: usize| {
        let x = node(i);
        let (_, slope) = polynomial(x);
        (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..count).map(rule).unzip()
}

#[cfg(test)]
mod tests {
    use super::gauss_legendre;

    #[test]
    fn polynomials_of_twice_the_degree_are_exact() {
        for count in [1, 2, 3, 5, 8, 32, 64] {
            let (nodes, weights) = gauss_legendre(count);
            for degree in 0..2 * count {
                let power = |x: &f64| x.powi(degree as i32);
                let sum: f64 = nodes.iter().zip(&weights).map(|(x, w)| w * power(x)).sum();
                let error = sum - 1.0 / (degree as f64 + 1.0);
                assert!(error.abs() < 3e-15, "{count} nodes, degree {degree}: {error:e}");
            }
        }
    }

    #[test]
    fn a_smooth_function_converges() {
        let (nodes, weights) = gauss_legendre(12);
        let sum: f64 = nodes.iter().zip(&weights).map(|(x, w)| w * x.exp()).sum();
        assert!((sum - 1f64.exp_m1()).abs() < 1e-15);
    }
}
