//! Priors and simulators of six tasks of sbibm.
//!
//! Paper: Lueckmann, Boelts, Greenberg, Goncalves, Macke (2021), Benchmarking Simulation-Based Inference, appendix T,
//! arXiv:2101.04653. The constants are those of the package sbibm 1.1.0.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn_flows::Noise;

/// Variance of the prior and of the simulator of the Gaussian linear tasks.
const VARIANCE: f64 = 0.1;

/// Number of filter weights of the Bernoulli GLM; one more parameter is the offset.
const FILTER: usize = 9;

/// A task of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    TwoMoons,
    Slcp,
    GaussianMixture,
    GaussianLinear,
    GaussianLinearUniform,
    BernoulliGlm,
}

impl Task {
    /// The task of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "two_moons" => Self::TwoMoons,
            "slcp" => Self::Slcp,
            "gaussian_mixture" => Self::GaussianMixture,
            "gaussian_linear" => Self::GaussianLinear,
            "gaussian_linear_uniform" => Self::GaussianLinearUniform,
            "bernoulli_glm" => Self::BernoulliGlm,
            _ => return None,
        })
    }

    /// The number of parameters.
    pub fn parameters(self) -> usize {
        match self {
            Self::TwoMoons | Self::GaussianMixture => 2,
            Self::Slcp => 5,
            Self::GaussianLinear | Self::GaussianLinearUniform | Self::BernoulliGlm => 10,
        }
    }

    /// The bound `b` of a prior that is uniform on `[-b, b]` in every parameter; `None` for a Gaussian prior.
    pub fn bound(self) -> Option<f64> {
        match self {
            Self::TwoMoons | Self::GaussianLinearUniform => Some(1.0),
            Self::Slcp => Some(3.0),
            Self::GaussianMixture => Some(10.0),
            Self::GaussianLinear | Self::BernoulliGlm => None,
        }
    }

    /// Draws parameters from the prior.
    pub fn prior(self, noise: &mut Noise) -> Vec<f64> {
        match self.bound() {
            Some(bound) => {
                let one = |_| bound * (2.0 * noise.next_uniform() - 1.0);
                (0..self.parameters()).map(one).collect()
            }
            None if self == Self::BernoulliGlm => glm_prior(noise),
            None => around(&vec![0.0; self.parameters()], VARIANCE.sqrt(), noise),
        }
    }

    /// The logarithm of the prior's density inside its bounds, up to a constant.
    pub fn log_prior(self, theta: &[f64]) -> f64 {
        match self {
            Self::GaussianLinear => -0.5 * theta.iter().map(|t| t * t / VARIANCE).sum::<f64>(),
            Self::BernoulliGlm => glm_log_prior(theta),
            _ => 0.0,
        }
    }

    /// Draws data for these parameters. `design` is the design matrix of the Bernoulli GLM, one row for each time step.
    pub fn simulate(self, theta: &[f64], design: &[Vec<f64>], noise: &mut Noise) -> Vec<f64> {
        match self {
            Self::TwoMoons => two_moons(theta, noise),
            Self::Slcp => slcp(theta, noise),
            Self::GaussianMixture => {
                let scale = if noise.next_uniform() < 0.5 { 1.0 } else { 0.1 };
                around(theta, scale, noise)
            }
            Self::GaussianLinear | Self::GaussianLinearUniform => {
                around(theta, VARIANCE.sqrt(), noise)
            }
            Self::BernoulliGlm => bernoulli_glm(theta, design, noise),
        }
    }
}

/// `N(mean, scale^2)` in every dimension.
fn around(mean: &[f64], scale: f64, noise: &mut Noise) -> Vec<f64> {
    mean.iter().map(|mean| mean + scale * noise.next_normal()).collect()
}

/// A crescent of radius `N(0.1, 0.01^2)`, moved by the rotated parameters. The sign of one of them is lost.
///
/// ```text
/// x = (r cos a + 1/4 - |t_0 + t_1| / sqrt 2,  r sin a + (t_1 - t_0) / sqrt 2),   a ~ U(-pi/2, pi/2)
/// ```
fn two_moons(theta: &[f64], noise: &mut Noise) -> Vec<f64> {
    let angle = PI * (noise.next_uniform() - 0.5);
    let radius = 0.1 + 0.01 * noise.next_normal();
    vec![
        radius * angle.cos() + 0.25 - (theta[0] + theta[1]).abs() * FRAC_1_SQRT_2,
        radius * angle.sin() + (theta[1] - theta[0]) * FRAC_1_SQRT_2,
    ]
}

/// Four points of a Gaussian in the plane. Its mean is `(t_0, t_1)`, its standard deviations are `t_2^2` and `t_3^2`,
/// its correlation is `tanh t_4`.
fn slcp(theta: &[f64], noise: &mut Noise) -> Vec<f64> {
    // What sbibm adds to both variances.
    const EPSILON: f64 = 1e-6;
    let (first, second) = (theta[2].powi(2), theta[3].powi(2));
    let scale = (first * first + EPSILON).sqrt();
    let slope = theta[4].tanh() * first * second / scale;
    let rest = (second * second + EPSILON - slope * slope).sqrt();
    let point = |_| {
        let (a, b) = (noise.next_normal(), noise.next_normal());
        [theta[0] + scale * a, theta[1] + slope * a + rest * b]
    };
    (0..4).flat_map(point).collect()
}

/// The offset is `N(0, 2)`. The filter `f` is smooth: its second differences, plus a ridge, are standard normal.
///
/// ```text
/// f_i - 2 f_(i-1) + f_(i-2) + sqrt(i / 9) f_i ~ N(0, 1),   f_(-1) = f_(-2) = 0
/// ```
fn glm_prior(noise: &mut Noise) -> Vec<f64> {
    let mut theta = vec![2f64.sqrt() * noise.next_normal()];
    let [mut last, mut before] = [0.0; 2];
    for i in 0..FILTER {
        let next = (noise.next_normal() + 2.0 * last - before) / (1.0 + ridge(i));
        (before, last) = (last, next);
        theta.push(next);
    }
    theta
}

/// The ridge of filter weight `i`.
fn ridge(i: usize) -> f64 {
    (i as f64 / FILTER as f64).sqrt()
}

/// The log-density of [`glm_prior`], up to a constant.
fn glm_log_prior(theta: &[f64]) -> f64 {
    let [mut last, mut before] = [0.0; 2];
    let mut squares = theta[0].powi(2) / 2.0;
    for (i, &next) in theta[1..].iter().enumerate() {
        squares += ((1.0 + ridge(i)) * next - 2.0 * last + before).powi(2);
        (before, last) = (last, next);
    }
    -0.5 * squares
}

/// The sufficient statistics `D^T y` of spikes `y_t ~ Bernoulli(sigmoid((D theta)_t))`.
fn bernoulli_glm(theta: &[f64], design: &[Vec<f64>], noise: &mut Noise) -> Vec<f64> {
    let mut sums = vec![0.0; FILTER + 1];
    for row in design {
        let psi: f64 = row.iter().zip(theta).map(|(d, t)| d * t).sum();
        if noise.next_uniform() < 1.0 / (1.0 + (-psi).exp()) {
            sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
        }
    }
    sums
}
