//! Densities in closed form: uniform, normal, Student's t.

use super::*;

#[test]
fn uniform_is_its_box() {
    let uniform = Uniform::new(tensor(&[-1.0, 2.0], [1, 2]), tensor(&[1.0, 2.5], [1, 2])).unwrap();
    let x = tensor(&[-1.0, 2.0, 1.0, 2.5, 0.0, 1.9, 1.1, 2.2, f64::INFINITY, 2.2], [5, 2]);
    let outside = f64::NEG_INFINITY;
    assert_eq!(log_probs(&uniform, x), [0.0, 0.0, outside, outside, outside]);
    assert_eq!(uniform.entropy(), 0.0);
    assert!(log_probs(&uniform, tensor(&[f64::NAN, 2.2], [1, 2]))[0].is_nan());
    assert_none_learn(&uniform, 2);
    assert_seeded(&uniform, None);

    let draws = host(uniform.sample(DRAWS, None, &mut Noise::seeded(4), &device()));
    for (column, (low, width)) in [(-1.0, 2.0), (2.0, 0.5)].into_iter().enumerate() {
        let mut tenths = [0.0; 10];
        for row in draws.chunks(2) {
            tenths[((row[column] - low) / width * 10.0) as usize] += 1.0;
        }
        let each = DRAWS as f64 / 10.0;
        let statistic: f64 = tenths.iter().map(|c: &f64| (c - each).powi(2) / each).sum();
        assert!(statistic < 9.0 + 4.0 * 18f64.sqrt(), "chi-squared {statistic} of 9");
    }
}

#[test]
fn uniform_draws_that_are_rounded_stay_inside() {
    // In f16, one of 4,000 unit draws rounds to 1, and the width of this interval rounds up.
    let end = |v: f64| tensor(&[v], [1, 1]).cast(FloatDType::F16);
    let uniform = Uniform::new(end(-1.0), end(5.4e-4)).unwrap();
    let x = uniform.sample(4 * DRAWS, None, &mut Noise::seeded(1), &device());
    let log_prob = uniform.log_prob(x, None).cast(FloatDType::F64);
    assert!(host(log_prob).iter().all(|l| l.is_finite()));
}

#[test]
fn uniform_refuses_empty_boxes() {
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (-f64::MAX, f64::MAX)] {
        let error = Uniform::new(tensor(&[low], [1, 1]), tensor(&[high], [1, 1])).unwrap_err();
        assert!(matches!(error, Error::Config { config: "Uniform", field: "high", .. }), "{error}");
    }
    let error = Uniform::new(tensor(&[0.0, 2.0], [1, 2]), tensor(&[1.0, 1.0], [1, 2])).unwrap_err();
    let expected =
        "Uniform.high: must be above low by a finite amount, found low 2 and high 1 at element 1";
    assert_eq!(error.to_string(), expected);
}

#[test]
#[should_panic(expected = "Uniform: expected high of shape [1, 2], found [1, 3]")]
fn uniform_panics_on_ends_of_two_shapes() {
    let _ = Uniform::new(tensor(&[0.0; 2], [1, 2]), tensor(&[1.0; 3], [1, 3]));
}

#[test]
#[should_panic(expected = "Uniform: expected an event of shape [2] after the batch axis")]
fn uniform_panics_on_another_width() {
    let uniform = Uniform::new(tensor(&[0.0; 2], [1, 2]), tensor(&[1.0; 2], [1, 2])).unwrap();
    uniform.log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

#[test]
fn diag_normal_has_known_values() {
    let (mean, scale) = (tensor(&[1.0, -2.0], [1, 2]), tensor(&[0.5, 4.0], [1, 2]));
    let normal = DiagNormal::fixed(mean, scale).unwrap();
    // The values are -(1 + 4 + 2 ln 2 pi) / 2 - ln 2, and -(2 ln 2 pi) / 2 - ln 2 at the mean.
    let at_mean = -(2.0 * std::f64::consts::PI).ln() - 2f64.ln();
    assert_values(&normal, &[([0.5, 6.0], at_mean - 2.5), ([1.0, -2.0], at_mean)]);
    assert_none_learn(&normal, 2);
    assert_seeded(&normal, None);
}

#[test]
fn diag_normal_refuses_impossible_numbers() {
    let fixed = |mean: f64, scale: f64| {
        let (mean, scale) = (tensor(&[0.0, mean], [1, 2]), tensor(&[1.0, scale], [1, 2]));
        DiagNormal::fixed(mean, scale).map(drop)
    };
    for (bad, text) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let error = fixed(0.0, bad).unwrap_err();
        assert!(matches!(error, Error::Config { config: "DiagNormal", field: "scale", .. }));
        let expected = format!("DiagNormal.scale: must be positive and finite, found {text}");
        assert_eq!(error.to_string(), expected);
    }
    let error = fixed(f64::NEG_INFINITY, 1.0).unwrap_err().to_string();
    assert_eq!(error, "DiagNormal.mean: must be finite, found -inf");
    let none = || tensor::<2>(&[], [1, 0]);
    let error = DiagNormal::fixed(none(), none()).unwrap_err().to_string();
    assert_eq!(error, "DiagNormalConfig.event: must be at least 1, found 0");
}

#[test]
#[should_panic(expected = "DiagNormal: expected a mean of shape [1, event..], found [2, 1]")]
fn diag_normal_panics_on_a_mean_per_row() {
    let _ = DiagNormal::fixed(tensor(&[0.0; 2], [2, 1]), tensor(&[1.0; 2], [2, 1]));
}

#[test]
#[should_panic(expected = "DiagNormal: expected a scale of shape [1, 2], found [1, 1]")]
fn diag_normal_panics_on_one_scale_for_all() {
    let _ = DiagNormal::fixed(tensor(&[0.0; 2], [1, 2]), tensor(&[1.0], [1, 1]));
}

#[test]
#[should_panic(expected = "StudentT: expected a scale of shape [1, 2], found [1, 1]")]
fn student_t_panics_on_one_scale_for_all() {
    let _ = StudentT::fixed(2.0, tensor(&[0.0; 2], [1, 2]), tensor(&[1.0], [1, 1]));
}

fn student_t(degrees: f64, location: f64, scale: f64) -> StudentT<2> {
    StudentT::fixed(degrees, tensor(&[location], [1, 1]), tensor(&[scale], [1, 1])).unwrap()
}

#[test]
fn student_t_has_known_values() {
    // Values by mpmath at 30 digits. Columns: degrees of freedom, location, scale, x, log-density.
    for (degrees, location, scale, x, expected) in [
        (0.5, 0.0, 1.0, 3.0, -3.518_862_160_286_34),
        (2.5, 1.0, 2.0, -4.0, -3.902_121_968_887_289),
        (5.0, -1.0, 0.5, 0.25, -2.708_263_057_143_765),
        (30.0, 0.0, 1.0, 1.5, -2.048_240_579_863_050_5),
        (1000.0, 0.0, 1.0, -2.0, -2.917_195_178_566_501_5),
        (1e6, 0.0, 1.0, 1.0, -1.418_939_033_204_589_4),
    ] {
        let found = log_probs(&student_t(degrees, location, scale), tensor(&[x], [1, 1]))[0];
        assert!((found - expected).abs() < 1e-13, "{degrees}: {found}, expected {expected}");
    }
}

#[test]
fn student_t_knows_tails_beyond_the_root_of_the_largest_number() {
    // The Cauchy density is 1 / (pi x^2) at large x, although x^2 overflows in f64.
    let t = student_t(1.0, 0.0, 1.0);
    let x = || tensor(&[1e200, -1e300, 1.0], [3, 1]);
    let pi = std::f64::consts::PI;
    let expected = [1e200, 1e300].map(|x: f64| -pi.ln() - 2.0 * x.ln());
    for (found, expected) in log_probs(&t, x()).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
    }
    // d/dx = -2 x / (1 + x^2), also where the two formulas of the logarithm meet.
    for (found, expected) in gradient_at(&t, x()).iter().zip([-2e-200, 2e-300, -1.0]) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found:e} {expected:e}");
    }

    // In f32 a draw has a density if y / sqrt(v), here 3.2 y, is finite.
    let heavy = student_t(0.1, 0.0, 1.0).sample(DRAWS, None, &mut Noise::seeded(1), &device());
    let draws: Vec<f64> =
        host(heavy).into_iter().filter(|x| x.abs() < f64::from(f32::MAX) / 3.2).collect();
    let far = draws.iter().filter(|x| x.abs() > 1e20).count();
    assert!(far > 100, "{far} draws whose square overflows in f32");
    let one = || tensor(&[1.0], [1, 1]).cast(FloatDType::F32);
    let single = StudentT::fixed(0.1, one() - 1.0, one()).unwrap();
    let x = tensor(&draws, [draws.len(), 1]).cast(FloatDType::F32);
    let found = single.log_prob(x, None).into_data().try_to_vec::<f32>().expect("stays f32");
    assert!(found.iter().all(|l| l.is_finite()));
}

#[test]
fn student_t_integrates_to_one_and_has_its_entropy() {
    // Entropies of the standard t distribution by the digamma formula, from mpmath at 30 digits.
    for (degrees, standard) in [(3.0, 1.773_477_571_863_291), (5.0, 1.627_502_672_414_396)] {
        let t = student_t(degrees, 0.7, 2.0);
        // The substitution x = tan(u) maps the real line to (-pi/2, pi/2).
        let n = 4000;
        let step = std::f64::consts::PI / f64::from(n);
        let at = |k: i32| (-std::f64::consts::FRAC_PI_2 + step * (f64::from(k) + 0.5)).tan();
        let x: Vec<f64> = (0..n).map(at).collect();
        let log_prob = log_probs(&t, tensor(&x, [n as usize, 1]));
        let weighted = |f: &dyn Fn(f64) -> f64| {
            let terms = x.iter().zip(&log_prob).map(|(x, l)| f(*l) * (1.0 + x * x) * step);
            terms.sum::<f64>()
        };
        assert!((weighted(&f64::exp) - 1.0).abs() < 1e-8);
        let entropy = standard + 2f64.ln();
        assert!((weighted(&|l| -l * l.exp()) - entropy).abs() < 1e-4);

        let draws = t.sample(DRAWS, None, &mut Noise::seeded(8), &device());
        let surprise = -log_probs(&t, draws).iter().sum::<f64>() / DRAWS as f64;
        // The standard deviation of -log_prob is below 1.2. The tolerance is four standard errors.
        assert!((surprise - entropy).abs() < 4.0 * 1.2 / (DRAWS as f64).sqrt());
    }
}

#[test]
fn student_t_draws_follow_its_distribution_function() {
    // The distribution functions are 1/2 + atan(y) / pi with one degree of freedom, and 1/2 + y /
    // (2 sqrt(2 + y^2)) with two.
    let cauchy = |y: f64| 0.5 + y.atan() / std::f64::consts::PI;
    let two = |y: f64| 0.5 + y / (2.0 * (2.0 + y * y).sqrt());
    for (degrees, function) in [(1.0, &cauchy as &dyn Fn(f64) -> f64), (2.0, &two)] {
        let t = student_t(degrees, 1.0, 3.0);
        let draws = host(t.sample(DRAWS, None, &mut Noise::seeded(5), &device()));
        for y in [-20.0, -3.0, -1.0, -0.2, 0.0, 0.5, 2.0, 10.0] {
            let below = draws.iter().filter(|x| **x <= 1.0 + 3.0 * y).count() as f64 / DRAWS as f64;
            let expected = function(y);
            let error = (expected * (1.0 - expected) / DRAWS as f64).sqrt();
            assert!((below - expected).abs() < 4.0 * error, "at {y}: {below}, expected {expected}");
        }
    }
}

#[test]
fn student_t_of_any_rank_sums_over_its_event_and_learns() {
    let config = StudentTConfig::new(vec![2, 1, 3], 4.0);
    let t = moved(config.init::<4>(&device().autodiff()), 2);
    let x = Noise::seeded(1).normal::<4>([5, 2, 1, 3], &device());
    assert_all_learn(&t, t.log_prob(x.clone(), None).mean(), 2);
    let draws = t.sample(5, None, &mut Noise::seeded(2), &device());
    assert_all_learn(&t, draws.square().sum(), 2);
    assert_seeded(&t.valid(), None);

    let single = StudentTConfig::new(vec![1], 4.0).init::<2>(&device());
    let standard = StudentTConfig::new(vec![2, 1, 3], 4.0).init::<4>(&device());
    let parts = log_probs(&single, x.clone().reshape([30, 1]));
    for (row, sum) in log_probs(&standard, x).iter().zip(parts.chunks(6)) {
        assert!((row - sum.iter().sum::<f64>()).abs() < 1e-12);
    }
    let frozen = config.with_learned(false).init::<4>(&device().autodiff());
    assert_none_learn(&frozen, 2);
}

#[test]
fn student_t_refuses_impossible_configurations() {
    let text = |config: StudentTConfig| config.validate().unwrap_err().to_string();
    let empty = text(StudentTConfig::new(vec![], 1.0));
    assert_eq!(empty, "StudentTConfig.event: must be at least 1, found 0");
    for degrees in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let found = text(StudentTConfig::new(vec![1], degrees));
        let expected = "StudentTConfig.degrees_of_freedom: must be positive and finite, found";
        assert!(found.starts_with(expected), "{found}");
        let one = || tensor(&[1.0], [1, 1]);
        assert!(StudentT::fixed(degrees, one(), one()).is_err());
    }
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let part = |v| tensor(&[v], [1, 1]);
        let error = StudentT::fixed(2.0, part(0.0), part(scale)).unwrap_err().to_string();
        let expected = "StudentT.scale: must be positive and finite, found";
        assert!(error.starts_with(expected), "{error}");
        if !scale.is_finite() {
            let error = StudentT::fixed(2.0, part(scale), part(1.0)).unwrap_err().to_string();
            assert!(error.starts_with("StudentT.location: must be finite, found"), "{error}");
        }
    }
}

#[test]
#[should_panic(expected = "StudentT: expected a location of shape [1, event..], found [2, 1]")]
fn student_t_panics_on_a_location_per_row() {
    let _ = StudentT::fixed(2.0, tensor(&[0.0; 2], [2, 1]), tensor(&[1.0; 2], [2, 1]));
}

#[test]
#[should_panic(expected = "StudentT: expected an event of shape [2] after the batch axis")]
fn student_t_panics_on_another_width() {
    let t = StudentTConfig::new(vec![2], 3.0).init::<2>(&device());
    t.log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

#[test]
#[should_panic(expected = "StudentTConfig.event: must have 1 axes for batches of rank 2")]
fn student_t_panics_on_another_rank() {
    StudentTConfig::new(vec![2, 2], 3.0).init::<2>(&device());
}
