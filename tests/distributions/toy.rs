//! Toy target distributions.

use super::*;

/// One test per target: normalisation, stated entropy, samples, seeds, widths.
macro_rules! toys {
    ($($test:ident: $toy:ident, box $half:expr, $n:expr, within $tolerance:expr;)*) => {$(
        #[test]
        fn $test() {
            let toy = $toy::default();
            let (mass, entropy) = quadrature(&toy, $half, $n);
            assert!((mass - 1.0).abs() < $tolerance, "the density integrates to {mass}");
            assert!((entropy - $toy::ENTROPY).abs() < $tolerance, "{entropy}");
            assert_sampler_follows(&toy, $toy::ENTROPY, $half);
            assert_seeded(&toy, None);
            let panic = std::panic::catch_unwind(|| toy.log_prob(tensor(&[0.0; 3], [1, 3]), None));
            let text = *panic.unwrap_err().downcast::<String>().unwrap();
            let name = stringify!($toy);
            let expected = format!("{name}: expected an event of shape [2] after the batch axis");
            assert!(text.contains(&expected), "{text}");
        }
    )*};
}

toys! {
    two_moons: TwoMoons, box 3.0, 192, within 1e-9;
    eight_gaussians: EightGaussians, box 4.0, 128, within 1e-9;
    checkerboard: Checkerboard, box 4.0, 64, within 1e-12;
    rings: Rings, box 4.0, 288, within 1e-7;
    pinwheel: Pinwheel, box 5.5, 288, within 1e-7;
}

// The values in the four tables below come from the formulas in the docs with mpmath at 30 digits.
// Its adaptive quadrature gives the integral over the angle of the moons and the mass of the rings.

#[test]
fn two_moons_has_the_values_of_the_integral() {
    assert_values(
        &TwoMoons::default(),
        &[
            ([0.0, 1.0], -0.452_973_904_098_979_3),
            ([0.5, 0.25], -9.191_644_195_953_056),
            ([1.0, 0.0], -1.146_110_817_140_582_5),
            ([-1.2, -0.3], -9.076_040_951_694_31),
            ([2.5, 2.0], -129.087_736_053_218_72),
        ],
    );
}

#[test]
fn eight_gaussians_has_known_values() {
    assert_values(
        &EightGaussians::default(),
        &[
            ([2.0, 0.0], -0.698_442_783_220_599_7),
            ([0.0, 0.0], -48.619_001_241_541_14),
            ([1.5, 1.2], -1.364_027_321_735_131),
        ],
    );
}

#[test]
fn rings_has_known_values() {
    assert_values(
        &Rings::default(),
        &[
            ([0.0, 0.0], -29.677_842_795_288_083),
            ([0.0, -1.5], -2.245_989_975_846_400_4),
            ([1.9, 0.0], -8.569_414_532_588_66),
            ([-3.5, 0.0], -15.439_137_156_407_973),
        ],
    );
}

#[test]
fn pinwheel_has_known_values() {
    assert_values(
        &Pinwheel::default(),
        &[
            ([2.0, 0.0], -13.187_561_796_813_19),
            ([0.0, 0.0], -5.273_169_085_764_81),
            ([1.2, -1.7], -12.893_703_158_102_906),
        ],
    );
}

#[test]
fn checkerboard_knows_its_squares_and_their_edges() {
    let dark = [[0.0, 0.0], [3.9, -2.0], [-4.0, -4.0], [-0.1, 2.1], [1.999_999, 1.0]];
    let light = [[2.0, 0.0], [-0.1, 0.1], [4.0, 3.0], [0.5, -4.1], [1e30, 0.0]];
    let at = |points: [[f64; 2]; 5]| {
        log_probs(&Checkerboard::default(), tensor(points.as_flattened(), [5, 2]))
    };
    assert!(at(dark).iter().all(|l| (l + 32f64.ln()).abs() < 1e-14));
    assert_eq!(at(light), [f64::NEG_INFINITY; 5]);
    // Two steps from a dark square. Only the upper edge of the support excludes these points.
    let above = [[4.0, 0.0], [4.0, -4.0], [0.0, 4.0], [-4.0, 4.0], [4.0, 4.0]];
    assert_eq!(at(above), [f64::NEG_INFINITY; 5]);
}

#[test]
fn gradients_are_finite_at_the_origin_and_outside_the_support() {
    let points = || tensor(&[0.0, 0.0, 1.5, 0.3, 4.7, -2.0], [3, 2]);
    let low = tensor(&[0.0, 0.0], [1, 2]);
    let uniform = Uniform::new(low.clone(), low + 2.0).unwrap();
    assert_eq!(gradient_at(&uniform, points()), [0.0; 6]);
    assert_eq!(gradient_at(&Checkerboard::default(), points()), [0.0; 6]);
    for gradient in [
        gradient_at(&TwoMoons::default(), points()),
        gradient_at(&EightGaussians::default(), points()),
        gradient_at(&Rings::default(), points()),
        gradient_at(&Pinwheel::default(), points()),
    ] {
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        assert!(gradient[4..].iter().any(|g| g.abs() > 1.0), "gradient too small: {gradient:?}");
    }
}

#[test]
fn points_so_far_that_their_square_overflows_have_density_zero_and_a_finite_gradient() {
    fn check(toy: &impl Distribution<2>) {
        let x = || tensor(&[1e200, 0.0, -1e200, 1e200], [2, 2]);
        assert_eq!(log_probs(toy, x()), [f64::NEG_INFINITY; 2]);
        let gradient = gradient_at(toy, x());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Checkerboard::default());
    check(&Rings::default());
    check(&Pinwheel::default());
    check(&two_normals());
    let infinite = || tensor(&[f64::INFINITY, 0.0, 1.0, f64::NEG_INFINITY], [2, 2]);
    let nowhere = [f64::NEG_INFINITY; 2];
    assert_eq!(log_probs(&Rings::default(), infinite()), nowhere);
    assert_eq!(log_probs(&TwoMoons::default(), infinite()), nowhere);
    assert_eq!(log_probs(&EightGaussians::default(), infinite()), nowhere);
    assert_eq!(log_probs(&Checkerboard::default(), infinite()), nowhere);
    assert_eq!(log_probs(&Pinwheel::default(), infinite()), nowhere);
}

#[test]
fn gradients_agree_with_differences() {
    fn check(distribution: &impl Distribution<2>) {
        let points = [0.3, 0.7, -1.1, 0.4, 1.6, -0.9];
        let gradient = gradient_at(distribution, tensor(&points, [3, 2]));
        for (i, expected) in gradient.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = points;
                moved[i] += step;
                log_probs(distribution, tensor(&moved, [3, 2])).iter().sum::<f64>()
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-5 * slope.abs().max(1.0), "{slope} {expected}");
        }
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Rings::default());
    check(&Pinwheel::default());
    check(&moved(StudentTConfig::new(vec![2], 2.5).init::<2>(&device()), 1));
    check(&moved(GaussianMixtureConfig::new(2, 3).init(&device()), 1));
}

#[test]
fn everything_works_in_f32_beside_f64() {
    fn check(toy: &impl Distribution<2>) {
        let x = toy.sample(2000, None, &mut Noise::seeded(3), &device());
        let double = log_probs(toy, x.clone());
        let x = x.cast(FloatDType::F32);
        let single = toy.log_prob(x, None).into_data().try_to_vec::<f32>().expect("stays f32");
        for (a, b) in single.iter().zip(&double) {
            // A rounding error of 1e-7 in x, times a slope of up to 100.
            assert!((f64::from(*a) - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Checkerboard::default());
    check(&Rings::default());
    check(&Pinwheel::default());
}
