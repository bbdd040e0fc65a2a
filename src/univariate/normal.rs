//! Tails and quantiles of the standard normal, accurate to the last digits in both tails. The results
//! are outside any autodiff graph.

use burn::tensor::Tensor;

use crate::math::LN_2PI;

/// `sqrt(2 pi)`.
const ROOT_2PI: f64 = 2.506_628_274_631_000_5;

/// Coefficients of a polynomial in `s = (t - 4) / (t + 4)` for `t >= 0`. It approximates
/// `(1 + t sqrt(pi / 2)) e^(t^2 / 2) Phi(-t)`, which falls slightly below 1/2 and rises again to 1/2. Chebyshev
/// interpolation at 80 points with 50 digits; error below 2e-16. Shepherd and Laframboise (1981),
/// Mathematics of Computation 36, 249, use this substitution.
const POWERS: [f64; 24] = [
    0.567_715_407_129_090_3,
    -0.078_035_683_426_330_24,
    -0.013_961_083_648_828_643,
    0.054_009_740_629_609,
    -0.048_172_496_065_473_08,
    0.024_630_732_379_580_116,
    -0.006_398_124_452_974_592_6,
    -0.000_519_796_032_316_119_1,
    0.000_918_340_746_983_134_5,
    -0.000_106_811_181_083_853_74,
    -0.000_117_364_468_026_275_58,
    2.546_024_710_596_610_8e-5,
    1.816_829_328_702_292_2e-5,
    -4.092_991_913_908_144e-6,
    -3.441_233_281_000_83e-6,
    4.575_561_063_287_811e-7,
    7.144_465_877_971_345e-7,
    1.183_599_645_022_344_4e-8,
    -1.407_994_479_341_752_4e-7,
    -2.549_552_606_946_667_7e-8,
    2.197_715_575_419_952e-8,
    7.373_399_180_853_07e-9,
    -1.925_072_462_634_741e-9,
    -8.946_268_548_901_361e-10,
];

/// Newton steps of [`quantile`]. They converge monotonically from the right and quadratically, to the
/// last digit after 5 steps.
const STEPS: usize = 6;

/// `ln(e^(t^2 / 2) Phi(-t))` for `t >= 0`.
fn log_scaled_tail<const D: usize>(t: Tensor<D>) -> Tensor<D> {
    let s = (t.clone() - 4.0) / (t.clone() + 4.0);
    let [powers @ .., last] = POWERS;
    let start = s.clone() * last;
    let (first, rest) = powers.split_first().expect("23 of them");
    let sum = rest.iter().rev().fold(start, |sum, power| (sum + *power) * s.clone()) + *first;
    sum.log() - (t * (0.5 * ROOT_2PI)).log1p()
}

/// The logarithm of a tail probability, and the log-hazard: the logarithm of density over tail.
pub(super) struct Tail<const D: usize> {
    pub log: Tensor<D>,
    pub log_hazard: Tensor<D>,
}

/// The tails above and below `y`.
pub(super) fn tails<const D: usize>(y: Tensor<D>) -> [Tail<D>; 2] {
    let distance = y.clone().abs();
    let scaled = log_scaled_tail(distance.clone());
    let square = distance.square() * -0.5;
    let small = scaled.clone() + square.clone();
    let large = small.clone().exp().neg().log1p();
    let short = scaled.neg() - 0.5 * LN_2PI;
    let long = square - large.clone() - 0.5 * LN_2PI;
    let below = y.lower_elem(0.0);
    let either = |far: &Tensor<D>, near: &Tensor<D>| {
        let [far, near] = [far.clone(), near.clone()];
        [far.clone().mask_where(below.clone(), near.clone()), near.mask_where(below.clone(), far)]
    };
    let ([upper, lower], [above, beneath]) = (either(&small, &large), either(&short, &long));
    [Tail { log: upper, log_hazard: above }, Tail { log: lower, log_hazard: beneath }]
}

/// Returns the `t >= 0` with `ln Phi(-t) = log_tail`, or 0 for a tail of at least 1/2.
pub(super) fn quantile<const D: usize>(log_tail: Tensor<D>) -> Tensor<D> {
    let half = (log_tail.clone() + std::f64::consts::LN_2).clamp_max(0.0);
    // Phi(-t) <= exp(-t^2 / 2) / 2
    let start = (half * -2.0).sqrt();
    (0..STEPS).fold(start, |t, _| {
        let scaled = log_scaled_tail(t.clone());
        let error = t.clone().square() * -0.5 + scaled.clone() - log_tail.clone();
        (t + error * scaled.exp() * ROOT_2PI).clamp_min(0.0)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    /// `x` and `ln Phi(x)`, computed with 40 digits.
    const LOG_CDF: [(f64, f64); 9] = [
        (-40.0, -804.608_442_013_753_8),
        (-10.0, -53.231_285_150_512_47),
        (-5.0, -15.064_998_393_988_726),
        (-1.0, -1.841_021_645_009_263_5),
        (-0.1, -0.776_154_592_730_273_3),
        (0.0, -std::f64::consts::LN_2),
        (0.3, -0.481_410_161_588_481_2),
        (2.0, -0.023_012_909_328_963_488),
        (7.0, -1.279_812_543_886_654e-12),
    ];

    fn row(values: &[f64], dtype: DType) -> Tensor<1> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len()]),
            (&Device::flex(), dtype),
        )
    }

    fn host(x: Tensor<1>) -> Vec<f64> {
        x.into_data().iter::<f64>().collect()
    }

    #[test]
    fn tails_and_hazards_to_the_last_digits() {
        for (dtype, allowed) in [(DType::F64, 1e-15), (DType::F32, 3e-7)] {
            let x = LOG_CDF.map(|(x, _)| x);
            let [_, below] = tails(row(&x, dtype));
            let [above, _] = tails(row(&x.map(|x| -x), dtype));
            for Tail { log, log_hazard } in [below, above] {
                let (log, hazard) = (host(log), host(log_hazard));
                for (at, (x, expected)) in LOG_CDF.into_iter().enumerate() {
                    let error = (log[at] - expected).abs() / expected.abs().max(1e-6);
                    assert!(error < allowed, "ln Phi({x}) = {:e}, {error:e} off", log[at]);
                    let expected = -0.5 * (x * x + LN_2PI) - expected;
                    let error = (hazard[at] - expected).abs() / expected.abs().max(1.0);
                    let allowed = allowed * (1.0 + x * x); // cancellation in what is expected
                    assert!(error < allowed, "hazard at {x}: {error:e} off");
                }
            }
        }
    }

    #[test]
    fn quantiles_undo_tails() {
        let t = [0.0, 1e-12, 1e-3, 0.3, 1.0, 3.0, 8.0, 40.0, 1e3, 1e6];
        for (dtype, allowed) in [(DType::F64, 1e-15), (DType::F32, 4e-7)] {
            let [Tail { log, .. }, _] = tails(row(&t, dtype));
            let found = host(quantile(log));
            for (t, found) in t.into_iter().zip(found) {
                assert!((t - found).abs() <= allowed * t.max(1.0), "{found} of {t} in {dtype:?}");
            }
        }
    }
}
