//! Log-densities element by element, at moved parameters.

use burn_flows::distribution::{ChannelPriorConfig, LevelBase};

use super::*;

#[test]
fn a_uniform_density_is_one_over_the_volume() {
    let uniform = Uniform::new(tensor(&[-1.0, 2.0], [1, 2]), tensor(&[1.0, 5.0], [1, 2])).unwrap();
    let x = tensor(&[-1.0, 2.0, 1.0, 5.0, 0.3, 4.9], [3, 2]);
    assert_near(&log_probs(&uniform, x), &[-6f64.ln(); 3], 1e-14);
    assert_near(&[uniform.entropy()], &[6f64.ln()], 1e-14);
    let outside = tensor(&[-1.1, 3.0, 1.1, 3.0, 0.0, 1.9, 0.0, 5.1], [4, 2]);
    assert_eq!(log_probs(&uniform, outside), [f64::NEG_INFINITY; 4]);
    let unit = host(Noise::seeded(3).uniform::<2>([50, 2], &device()));
    let drawn = host(uniform.sample(50, None, &mut Noise::seeded(3), &device()));
    for (u, x) in unit.chunks(2).zip(drawn.chunks(2)) {
        assert_near(x, &[2.0 * u[0] - 1.0, 3.0 * u[1] + 2.0], 1e-14);
    }
}

#[test]
fn normals_and_student_t_sum_over_their_elements() {
    // The logarithms of the densities at 0: 1 / sqrt(2 pi), 1 / pi, 1 / sqrt 8, 2 / (pi sqrt 3).
    let pi = std::f64::consts::PI;
    let peaks = [1.0 / pi, 1.0 / 8f64.sqrt(), 2.0 / (pi * 3f64.sqrt())];
    let x = normal([4, 2, 3], 1) * 2.0;
    // Computes the log-density of every row from a function of the standardised element and the
    // log-scale.
    let by_hand = |parameters: Vec<Vec<f64>>, element: &dyn Fn(f64, f64) -> f64| {
        let rows = host(x.clone());
        let row = |row: &[f64]| {
            let elements = row.iter().zip(&parameters[0]).zip(&parameters[1]);
            elements.map(|((x, m), s)| element((x - m) * (-s).exp(), *s)).sum::<f64>()
        };
        rows.chunks(6).map(row).collect::<Vec<f64>>()
    };
    let diagonal = moved(DiagNormalConfig::new(vec![2, 3]).init::<3>(&device()), 2);
    let expected = by_hand(parameters(&diagonal), &|y, s| -0.5 * (y * y + LN_2PI) - s);
    assert_near(&log_probs(&diagonal, x.clone()), &expected, 1e-12);
    for (v, peak) in [1.0, 2.0, 3.0].into_iter().zip(peaks) {
        let student = moved(StudentTConfig::new(vec![2, 3], v).init::<3>(&device()), 3);
        let element = |y: f64, s: f64| peak.ln() - s - (v + 1.0) / 2.0 * (1.0 + y * y / v).ln();
        let expected = by_hand(parameters(&student), &element);
        assert_near(&log_probs(&student, x.clone()), &expected, 1e-12);
    }
    let standard = StandardNormal::<3>::new([2, 3], &device());
    let zeros = vec![vec![0.0; 6]; 2];
    let expected = by_hand(zeros, &|y, _| -0.5 * (y * y + LN_2PI));
    assert_near(&log_probs(&standard, x.clone()), &expected, 1e-12);
}

#[test]
fn draws_of_normals_are_their_noise() {
    let two = [normal([5, 3], 1), normal([5, 3], 2)];
    let seed = |k: usize| Noise::seeded(k as u64 + 1);
    let standard = StandardNormal::<2>::new([3], &device());
    let drawn = standard.sample(5, None, &mut seed(0), &device());
    assert_eq!(host(drawn), host(two[0].clone()));

    let diagonal = moved(DiagNormalConfig::new(vec![3]).init::<2>(&device()), 4);
    assert_scales_its_noise(
        two.clone(),
        |k| diagonal.sample(5, None, &mut seed(k), &device()),
        |x| diagonal.log_prob(x, None),
    );
    // Without noise, a draw equals the mean, which is the first parameter.
    let [mean, log_scale] = parameters(&diagonal).try_into().unwrap();
    let drawn = host(diagonal.sample(1, None, &mut seed(0), &device()));
    let unit = host(two[0].clone().narrow(0, 0, 1));
    let expected: Vec<f64> = (0..3).map(|k| mean[k] + log_scale[k].exp() * unit[k]).collect();
    assert_near(&drawn, &expected, 1e-14);

    let mlp = MlpConfig::new(vec![8]);
    let config = ConditionalNormalConfig::new(vec![3], 2, mlp);
    let conditional = moved(config.init::<2>(&device()), 5);
    for context in [normal([5, 2], 7), normal([1, 2], 8)] {
        assert_scales_its_noise(
            two.clone(),
            |k| conditional.sample(5, Some(&context), &mut seed(k), &device()),
            |x| conditional.log_prob(x, Some(&context)),
        );
    }
    // Every row has its own context.
    let (x, context) = (normal([5, 3], 3), normal([5, 2], 7));
    let all = host(conditional.log_prob(x.clone(), Some(&context)));
    for row in 0..5 {
        let one = context.clone().narrow(0, row, 1);
        let alone = conditional.log_prob(x.clone().narrow(0, row, 1), Some(&one));
        assert_near(&host(alone), &all[row..=row], 1e-12);
    }
}

#[test]
fn a_prior_of_channels_scales_its_noise_by_context_and_by_what_stays() {
    let config = ChannelPriorConfig::new(2).with_kept(3).with_context(2);
    let prior = moved(config.init(&device()), 3);
    let two = [normal([4, 2, 3, 3], 1), normal([4, 2, 3, 3], 2)];
    let kept = normal([4, 3, 3, 3], 4);
    for context in [normal([4, 2], 5), normal([1, 2], 6)] {
        assert_scales_its_noise(
            two.clone(),
            |k| prior.draw(two[k].clone(), Some(&kept), Some(&context)),
            |x| prior.log_prob(x, Some(&kept), Some(&context)),
        );
    }
    // The mean is the sum of the contributions of the context and of the kept channels.
    let mean = |context: [f64; 2], kept: Tensor<4>| {
        let zeros = Tensor::zeros([1, 2, 3, 3], &device());
        prior.draw(zeros, Some(&kept), Some(&tensor(&context, [1, 2])))
    };
    let (first, none) = (kept.clone().narrow(0, 0, 1), kept.clone().narrow(0, 0, 1) * 0.0);
    let by_context = mean([1.0, -2.0], none.clone()) - mean([0.0, 0.0], none.clone());
    let by_kept = mean([0.0, 0.0], first.clone()) - mean([0.0, 0.0], none.clone());
    let both = mean([1.0, -2.0], first) - mean([0.0, 0.0], none);
    assert_near(&host(both), &host(by_context.clone() + by_kept.clone()), 1e-12);
    for part in [by_context, by_kept] {
        assert!(host(part).iter().any(|v| v.abs() > 0.1));
    }
}

#[test]
fn a_scale_ends_where_its_inverse_leaves_f32() {
    let least = f64::from(f32::MIN_POSITIVE);
    let fixed = |scale: f64| DiagNormal::fixed(tensor(&[0.0], [1, 1]), tensor(&[scale], [1, 1]));
    assert!(fixed(least).is_ok());
    let error = fixed(0.9 * least).unwrap_err().to_string();
    assert!(error.starts_with("DiagNormal.scale: must be at least 1.2e-38, found"), "{error}");
    for (degrees, fits) in [(1e-6, true), (0.9e-6, false), (1e12, true), (1.1e12, false)] {
        assert_eq!(StudentTConfig::new(vec![1], degrees).validate().is_ok(), fits, "{degrees}");
    }
}

#[test]
fn chunks_of_no_rows_and_of_more_than_there_are() {
    let normal = moved(DiagNormalConfig::new(vec![3]).init::<2>(&device()), 4);
    let x = super::normal([5, 3], 1);
    assert_eq!(normal.log_prob_batched(Tensor::zeros([0, 3], &device()), None, 4).dims(), [0]);
    for chunk in [1, 2, 5, 6] {
        let found = normal.log_prob_batched(x.clone(), None, chunk);
        assert_eq!(host(found), log_probs(&normal, x.clone()));
    }
}
