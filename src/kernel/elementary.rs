//! `exp` and `ln` without branches, so that the compiler vectorises a loop over lanes.
//!
//! exp(x) = 2^n exp(r),   n = round(x / ln 2),  |r| <= ln 2 / 2,  exp(r) by its Taylor series
//! ln(x)  = e ln 2 + 2 atanh(t),   x = 2^e m,  m in [sqrt(1/2), sqrt(2)),  t = (m - 1) / (m + 1)
//!
//! Both series end where the next term is below half an ulp.

use pulp::{Arch, Simd, WithSimd};

use super::matrix::Real;

/// Runs `work` compiled for the widest vector instructions of this machine. Functions that `work` calls must be
/// inlined; otherwise they remain compiled for the baseline instructions.
pub(super) fn vectorized(work: impl FnOnce()) {
    struct Work<F>(F);

    impl<F: FnOnce()> WithSimd for Work<F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            (self.0)();
        }
    }

    Arch::new().dispatch(Work(work));
}

/// Numbers with fast `exp` and `ln`.
pub(super) trait Elementary: Real {
    /// `exp(x)`, where `x` is clamped to the range whose result is a normal number. NaN stays NaN.
    fn fast_exp(self) -> Self;
    /// `ln(x)` of a positive normal number; NaN where `x` is not finite.
    fn fast_ln(self) -> Self;
    /// The number of this type that is nearest to `value`.
    fn nearest(value: f64) -> Self;
    /// The number as f64.
    fn widened(self) -> f64;
}

macro_rules! elementary {
    ($number:ident, $bits:ident, exp: $($k:literal)* in $low:literal..$high:literal,
     ln: $($odd:literal)*, ln_2: $ln_2_high:literal + $ln_2_low:literal) => {
        impl Elementary for $number {
            #[inline(always)]
            fn nearest(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn widened(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn fast_exp(self) -> Self {
                let x = if self < $low { $low } else { self };
                let x = if x > $high { $high } else { x };
                let shifted = x * std::$number::consts::LOG2_E + $number::ROUNDS;
                let n = shifted - $number::ROUNDS;
                let r = (x - n * $ln_2_high) - n * $ln_2_low;
                let mut series = 1.0;
                $(series = series * r * (1.0 / $k) + 1.0;)*
                let exponent = shifted.to_bits().wrapping_add($number::BIAS);
                series * $number::from_bits(exponent << $number::FRACTION)
            }

            #[inline(always)]
            fn fast_ln(self) -> Self {
                let least = std::$number::consts::FRAC_1_SQRT_2.to_bits();
                let bias = $number::BIAS << $number::FRACTION;
                let whole = self.to_bits().wrapping_sub(least).wrapping_add(bias);
                let e = (whole >> $number::FRACTION).wrapping_sub($number::BIAS);
                let e =
                    $number::from_bits($number::ROUNDS.to_bits().wrapping_add(e)) - $number::ROUNDS;
                let fraction = whole & ((1 << $number::FRACTION) - 1);
                let m = $number::from_bits(fraction.wrapping_add(least));
                let t = (m - 1.0) / (m + 1.0);
                let square = t * t;
                let mut series = 0.0;
                $(series = (series + 1.0 / $odd) * square;)*
                let poison = self - self;
                (e * $ln_2_low + (2.0 * t * series + poison)) + 2.0 * t + e * $ln_2_high
            }
        }
    };
}

/// The bit layout of a floating-point number.
trait Layout {
    type Bits;
    /// Number of bits of the fraction.
    const FRACTION: u32;
    /// The bias of the exponent.
    const BIAS: Self::Bits;
    /// Adding this number to a smaller number rounds it to an integer, which is then in the last bits.
    const ROUNDS: Self;
}

impl Layout for f32 {
    type Bits = u32;
    const FRACTION: u32 = 23;
    const BIAS: u32 = 127;
    const ROUNDS: f32 = 12_582_912.0;
}

impl Layout for f64 {
    type Bits = u64;
    const FRACTION: u32 = 52;
    const BIAS: u64 = 1023;
    const ROUNDS: f64 = 6_755_399_441_055_744.0;
}

// ln 2 in two parts: the first part has enough trailing zeros that its product with an exponent is exact.
elementary!(f32, u32, exp: 7.0 6.0 5.0 4.0 3.0 2.0 1.0 in -87.0..88.0,
    ln: 11.0 9.0 7.0 5.0 3.0, ln_2: 0.693_359_4 + -2.121_944_4e-4);
elementary!(f64, u64,
    exp: 13.0 12.0 11.0 10.0 9.0 8.0 7.0 6.0 5.0 4.0 3.0 2.0 1.0 in -708.0..709.0,
    ln: 21.0 19.0 17.0 15.0 13.0 11.0 9.0 7.0 5.0 3.0,
    ln_2: 6.931_471_803_691_238e-1 + 1.908_214_929_270_587_7e-10);

/// `ln(1 + x)` for `x` in `[0, 1]`, accurate to the last digits for small `x`, too. The factor `x / ((1 + x) - 1)`
/// corrects the rounding of `1 + x`.
#[inline(always)]
pub(super) fn fast_ln_1p<T: Elementary>(x: T) -> T {
    let sum = x + T::one();
    let rest = sum - T::one();
    let safe = if rest == T::zero() { T::one() } else { rest };
    let log = sum.fast_ln() * (x / safe);
    if rest == T::zero() { x } else { log }
}

#[cfg(test)]
mod tests {
    use num_traits::{Float, NumCast};

    use super::*;

    /// The largest error in ulps over a range of arguments.
    fn worst<T: Elementary + Into<f64>>(
        from: f64,
        to: f64,
        found: impl Fn(T) -> T,
        wanted: impl Fn(f64) -> f64,
    ) -> f64 {
        let steps = 200_001;
        let at = |k: usize| from + (to - from) * k as f64 / (steps - 1) as f64;
        let error = |k| {
            let x = <T as NumCast>::from(at(k)).expect("a float holds it");
            let wanted: f64 = wanted(x.into());
            let unit = Float::abs(wanted) * T::epsilon().into();
            Float::abs(found(x).into() - wanted) / Float::max(unit, f64::MIN_POSITIVE)
        };
        (0..steps).map(error).fold(0.0, Float::max)
    }

    #[test]
    fn they_are_right_to_the_last_places() {
        assert!(worst::<f32>(-87.0, 88.0, f32::fast_exp, f64::exp) < 2.0);
        assert!(worst::<f64>(-708.0, 709.0, f64::fast_exp, f64::exp) < 2.0);
        for (from, to) in [(1e-30, 1e-20), (1e-6, 0.9), (0.9, 1.1), (1.1, 9.0), (9.0, 1e30)] {
            assert!(worst::<f32>(from, to, f32::fast_ln, f64::ln) < 3.0, "{from} to {to}");
            assert!(worst::<f64>(from, to, f64::fast_ln, f64::ln) < 3.0, "{from} to {to}");
        }
        for (from, to) in [(1e-30, 1e-20), (1e-9, 1e-5), (1e-5, 1.0)] {
            assert!(worst::<f32>(from, to, fast_ln_1p, f64::ln_1p) < 4.0, "{from} to {to}");
            assert!(worst::<f64>(from, to, fast_ln_1p, f64::ln_1p) < 4.0, "{from} to {to}");
        }
    }

    #[test]
    fn ends_are_finite_and_nan_stays() {
        assert!(f32::fast_exp(-1e30) > 0.0 && f32::fast_exp(1e30).is_finite());
        assert!(f64::fast_exp(f64::NEG_INFINITY) > 0.0 && f64::fast_exp(1e300).is_finite());
        assert!(f32::fast_exp(f32::NAN).is_nan() && f64::fast_exp(f64::NAN).is_nan());
        assert!(f32::fast_ln(f32::NAN).is_nan() && f64::fast_ln(f64::INFINITY).is_nan());
        assert_eq!((f32::fast_ln(1.0), f64::fast_ln(1.0)), (0.0, 0.0));
        assert_eq!((f32::fast_exp(0.0), f64::fast_exp(0.0)), (1.0, 1.0));
    }
}
