//! Two simulators of the benchmark sbibm (arXiv:2101.04653, appendix T), with their priors and likelihoods.
//!
//! two moons   x = (r cos a + 1/4 - |t0 + t1| / sqrt 2,  r sin a + (t1 - t0) / sqrt 2)
//!             r ~ N(0.1, 0.01^2),  a uniform on [-pi/2, pi/2],  t uniform on [-1, 1]^2
//! slcp        x is four points of N((t0, t1), S),  t uniform on [-3, 3]^5
//!             S has standard deviations t2^2 and t3^2 and correlation tanh t4

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn_flows::Noise;
use burn_flows::burn::tensor::{Device, Tensor};
use clap::ValueEnum;

/// A simulator.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Task {
    /// Two crescents.
    TwoMoons,
    /// A simple likelihood and a complex posterior.
    Slcp,
}

impl Task {
    /// Draws parameters, uniform on `[-bound, bound]`, and simulates data.
    pub fn pairs(self, n: usize, noise: &mut Noise, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let (width, bound) = self.prior();
        let t = (noise.uniform::<2>([n, width], device) * 2.0 - 1.0) * bound;
        let (mut normal, column) =
            (|| noise.normal::<2>([n, 1], device), |k| t.clone().narrow(1, k, 1));
        if self == Task::TwoMoons {
            let (r, angle) =
                (normal() * 0.01 + 0.1, (noise.uniform::<2>([n, 1], device) - 0.5) * PI);
            let x = r.clone() * angle.clone().cos() + 0.25
                - (column(0) + column(1)).abs() * FRAC_1_SQRT_2;
            let y = r * angle.sin() + (column(1) - column(0)) * FRAC_1_SQRT_2;
            return (t.clone(), Tensor::cat(vec![x, y], 1));
        }
        let ([s0, s1], c) = ([column(2).square(), column(3).square()], column(4).tanh());
        let rest = (c.clone().square().neg() + 1.0).sqrt();
        let points = (0..4).flat_map(|_| {
            let (a, b) = (normal(), normal());
            let y = a.clone() * c.clone() + b * rest.clone();
            [column(0) + a * s0.clone(), column(1) + y * s1.clone()]
        });
        let points = points.collect();
        (t.clone(), Tensor::cat(points, 1))
    }

    /// `ln p(x | t)` of one observation, up to a constant, for every row of parameters.
    pub fn log_likelihood(self, t: &Tensor<2>, x: &Tensor<2>) -> Tensor<1> {
        let (column, x) = (|k| t.clone().narrow(1, k, 1), |k| x.clone().narrow(1, k, 1));
        if self == Task::TwoMoons {
            let side = x(0) - 0.25 + (column(0) + column(1)).abs() * FRAC_1_SQRT_2;
            let along = x(1) - (column(1) - column(0)) * FRAC_1_SQRT_2;
            let r = (side.clone().square() + along.square()).sqrt();
            let log_p = ((r.clone() - 0.1) * 100.0).square() * -0.5 - r.log();
            return log_p.mask_fill(side.lower_elem(0.0), f64::NEG_INFINITY).reshape([-1]);
        }
        let ([s0, s1], c) = ([column(2).square(), column(3).square()], column(4).tanh());
        let rest = c.clone().square().neg() + 1.0;
        let point = |k: usize| {
            let a = (x(2 * k) - column(0)) / s0.clone();
            let b = (x(2 * k + 1) - column(1)) / s1.clone();
            let square = a.clone().square() + b.clone().square() - a * b * c.clone() * 2.0;
            square / rest.clone() * -0.5 - (s0.clone() * s1.clone() * rest.clone().sqrt()).log()
        };
        (point(0) + point(1) + point(2) + point(3)).reshape([-1])
    }

    /// The number of parameters and the bound of each.
    pub fn prior(self) -> (usize, f64) {
        if self == Task::TwoMoons { (2, 1.0) } else { (5, 3.0) }
    }
}
