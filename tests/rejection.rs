//! Rejection sampling and truncated proposals, against normals whose regions and rates are known.

use std::f64::consts::PI;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Module;
use burn::tensor::{Bool, DType, Device, Tensor};
use burn_flows::distribution::DiagNormal;
use burn_flows::inference::{AcceptanceRate, HighestDensityRegion, RejectionSampler};
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::{Given, burn, cast, set_threads};

/// A normal of deviation 1, whose mean is the context or 0.
#[derive(Module, Debug)]
struct Shifted {
    none: Option<burn::nn::Linear>,
}

const SHIFTED: Shifted = Shifted { none: None };

impl Distribution<2> for Shifted {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let centred = match context {
            Some(context) => x - context.clone(),
            None => x,
        };
        (centred.square() * -0.5 - 0.5 * (2.0 * PI).ln()).squeeze_dim(1)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        let standard = noise.normal([n, 1], device);
        match context {
            Some(context) => standard + context.clone(),
            None => standard,
        }
    }
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data = burn::tensor::TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, &Device::flex())
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn positive(x: &Tensor<2>) -> Tensor<1, Bool> {
    x.clone().narrow(1, 0, 1).greater_elem(0.0).squeeze_dim(1)
}

/// The normal distribution function.
fn phi(x: f64) -> f64 {
    let steps = 20_000;
    let width = (x + 12.0) / f64::from(steps);
    let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * PI).sqrt();
    (0..steps).map(|k| density(-12.0 + (f64::from(k) + 0.5) * width) * width).sum()
}

#[track_caller]
fn assert_rate(found: AcceptanceRate, expected: f64) {
    let error = (expected * (1.0 - expected) / found.proposals as f64).sqrt();
    assert!((found.rate() - expected).abs() < 4.0 * error, "{found:?}, expected {expected}");
    let rate = found.rate();
    let error = (rate * (1.0 - rate) / found.proposals as f64).sqrt();
    assert!((found.standard_error() - error).abs() < 1e-15);
}

/// Rates, means and densities of truncated normals, for several contexts at once.
#[test]
fn draws_of_each_context_are_truncated_normals() {
    let means = [-1.0, 0.5, 2.0];
    let context = tensor(&means, [3, 1]);
    let sampler = RejectionSampler::new(Given::new(&SHIFTED, &context), positive);
    let n = 4000;
    let (x, log_prob, rates) = sampler.sample_with_log_prob_seeded::<3>(n, 1).unwrap();
    assert_eq!((x.dims(), log_prob.dims(), rates.len()), ([3, n, 1], [3, n], 3));
    let (x, log_prob) = (host(x), host(log_prob));
    for (k, mean) in means.into_iter().enumerate() {
        let rate = phi(mean);
        assert_rate(rates[k], rate);
        let own = k * n..(k + 1) * n;
        assert!(x[own.clone()].iter().all(|x| *x > 0.0));
        // The mean of a normal above 0; its variance is below 1.
        let expected = mean + (-0.5 * mean * mean).exp() / (2.0 * PI).sqrt() / rate;
        let found = x[own.clone()].iter().sum::<f64>() / n as f64;
        assert!((found - expected).abs() < 4.0 / (n as f64).sqrt(), "{found} {expected}");
        let error = 4.0 * rates[k].standard_error() / rate;
        for at in own {
            let normal = -0.5 * (x[at] - mean).powi(2) - 0.5 * (2.0 * PI).ln();
            assert!((log_prob[at] - (normal - rates[k].rate().ln())).abs() < 1e-5);
            assert!((log_prob[at] - (normal - rate.ln())).abs() < error + 1e-5);
        }
    }
    // Few draws, and still a rate from 1000 proposals.
    let (_, _, rates) = sampler.sample_with_log_prob_seeded::<3>(2, 1).unwrap();
    assert!(rates.iter().all(|rate| rate.proposals >= 1000), "{rates:?}");
    rates.into_iter().zip(means).for_each(|(found, mean)| assert_rate(found, phi(mean)));
}

/// Accepted draws are the proposals of one call that the support holds, in their order.
#[test]
fn accepted_draws_are_the_proposals_inside() {
    let config = RealNvpConfig::new(3).with_layers(2).with_mlp(MlpConfig::new(vec![8]));
    let flow = moved(config.with_context(2).init(&Device::flex()), 1).valid();
    let context = tensor(&[0.3, -0.4], [1, 2]);
    let given = flow.given(&context);
    let sampler = RejectionSampler::new(given, positive);
    let results = [1, 2, 5].map(|threads| {
        set_threads(threads);
        sampler.sample_with_log_prob_seeded::<3>(9000, 7).unwrap()
    });
    set_threads(0);
    let (x, log_prob, rates) = results[0].clone();
    for (again, log_again, rates_again) in &results[1..] {
        assert_eq!(again.to_data(), x.to_data());
        assert_eq!(log_again.to_data(), log_prob.to_data());
        assert_eq!(*rates_again, rates);
    }
    let proposals: Tensor<2> = given.sample_seeded(rates[0].proposals, 7);
    let inside = positive(&proposals).into_data();
    let inside: Vec<usize> = inside
        .iter::<bool>()
        .enumerate()
        .filter(|(_, inside)| *inside)
        .map(|(row, _)| row)
        .collect();
    assert_eq!(inside.len(), rates[0].accepted);
    let rows = host(proposals);
    let expected: Vec<f64> =
        inside[..9000].iter().flat_map(|row| rows[3 * row..3 * row + 3].to_vec()).collect();
    assert_eq!(host(x.clone()), expected);
    // Without densities: the same draws, with another number of proposals.
    let (again, _) = sampler.sample_seeded::<3>(9000, 7).unwrap();
    assert_eq!(again.to_data(), x.to_data());
    let log_q = given.log_prob(x.reshape([9000, 3])).reshape([1, 9000]) - rates[0].rate().ln();
    assert!((log_q - log_prob).abs().max().into_scalar::<f32>() < 1e-3);
    let unseeded = || sampler.sample::<3>(5).unwrap().0.into_data();
    assert_ne!(unseeded(), unseeded());
    let unseeded = || sampler.sample_with_log_prob::<3>(5).unwrap().0.into_data();
    assert_ne!(unseeded(), unseeded());
}

#[test]
fn no_draws_no_contexts_and_f64() {
    let config = RealNvpConfig::new(3).with_layers(2).with_context(2);
    let flow = cast(moved(config.init(&Device::flex()), 1).valid(), DType::F64);
    let context = tensor(&[0.3, -0.4, 0.1, 0.2], [2, 2]).cast(DType::F64);
    let sampler = RejectionSampler::new(flow.given(&context), positive);
    let (x, log_prob, rates) = sampler.sample_with_log_prob_seeded::<3>(0, 1).unwrap();
    assert_eq!((x.dims(), log_prob.dims()), ([2, 0, 3], [2, 0]));
    assert!(rates.iter().all(|rate| rate.proposals >= 1000 && rate.rate() > 0.0));
    let (x, log_prob, _) = sampler.sample_with_log_prob_seeded::<3>(4, 1).unwrap();
    assert_eq!((x.dtype(), log_prob.dtype()), (DType::F64, DType::F64));
    let none = context.slice(0..0);
    let sampler = RejectionSampler::new(flow.given(&none), positive);
    let (x, log_prob, rates) = sampler.sample_with_log_prob_seeded::<3>(4, 1).unwrap();
    assert_eq!((x.dims(), log_prob.dims(), rates.len()), ([0, 4, 3], [0, 4], 0));
    assert_eq!(sampler.sample_seeded::<3>(4, 1).unwrap().0.dims(), [0, 4, 3]);
}

#[test]
fn a_rate_that_is_too_low_is_an_error() {
    let context = tensor(&[1.0, -100.0], [2, 1]);
    let sampler = RejectionSampler::new(Given::new(&SHIFTED, &context), positive);
    let error = sampler.sample_seeded::<3>(10, 1).unwrap_err().to_string();
    let (start, rest) = error.split_once(" of ").unwrap();
    assert_eq!(start, "rejection sampling: context 1: 0");
    let (proposals, rest) = rest.split_once(" proposals ").unwrap();
    assert!((100_000..200_000).contains(&proposals.parse::<usize>().unwrap()), "{proposals}");
    assert_eq!(
        rest,
        "are in the support, a rate of 0.0e0, below the least rate 1.0e-4; widen the support, train \
         the density inside the support, or lower the least rate"
    );
    // The rate of context 0 is 0.84.
    let context = tensor(&[1.0], [1, 1]);
    let sampler = || RejectionSampler::new(Given::new(&SHIFTED, &context), positive);
    assert!(sampler().with_least_rate(0.8).unwrap().sample_seeded::<3>(5000, 1).is_ok());
    let error = sampler().with_least_rate(0.9).unwrap().sample_seeded::<3>(5000, 1).unwrap_err();
    assert!(error.to_string().contains("below the least rate 9.0e-1"), "{error}");
    for rate in [0.0, 1.0, f64::NAN, -1.0] {
        let error = sampler().with_least_rate(rate).unwrap_err().to_string();
        let expected = format!("RejectionSampler.least_rate: must be in (0, 1), found {rate}");
        assert_eq!(error, expected);
    }
}

#[test]
fn a_predicate_of_a_wrong_length_panics() {
    let first = |x: &Tensor<2>| positive(x).slice(0..1);
    let sampler = RejectionSampler::new(Given::new(&SHIFTED, None), first);
    let call = AssertUnwindSafe(|| sampler.sample_seeded::<3>(10, 1).is_ok());
    let text = catch_unwind(call).unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, "RejectionSampler: expected a truth for each of 64 draws, found 1");
}

fn plane(deviation: f64) -> DiagNormal<2> {
    DiagNormal::fixed(tensor(&[0.0; 2], [1, 2]), tensor(&[deviation; 2], [1, 2])).unwrap()
}

/// In the plane, the region of a standard normal is the disc with `r^2 = -2 ln epsilon`.
#[test]
fn the_region_of_a_normal_is_a_disc() {
    let (posterior, prior) = (plane(1.0), plane(3.0));
    let given = Given::new(&posterior, None);
    let (epsilon, draws) = (0.05, 20_000);
    let region = HighestDensityRegion::with_epsilon(given, epsilon, draws, 1).unwrap();
    let expected = f64::ln(epsilon) - (2.0 * PI).ln();
    let error = (epsilon * (1.0 - epsilon) / draws as f64).sqrt() / epsilon;
    let found = region.threshold();
    assert!((found - expected).abs() < 4.0 * error, "{found} {expected}");
    // The share of these draws outside is epsilon, by definition.
    let own: Tensor<2> = given.sample_seeded(draws, 1);
    let outside = region.contains(own).into_data().iter::<bool>().filter(|inside| !inside).count();
    assert_eq!(outside, 1000);

    let square = -2.0 * (found + (2.0 * PI).ln());
    let at = |share: f64| share * square.sqrt();
    let theta = tensor(&[at(0.99), 0.0, 0.0, at(1.01), f64::NAN, 0.0], [3, 2]);
    let inside: Vec<bool> = region.contains(theta).into_data().iter().collect();
    assert_eq!(inside, [true, false, false]);
    assert_eq!(region.contains(tensor(&[], [0, 2])).dims(), [0]);

    // The squared radius of the prior is exponential with mean 18.
    let draw = |n: usize, noise: &mut Noise| prior.sample(n, None, noise, &Device::flex());
    let (theta, rate) = region.sample_prior_seeded(draw, 6000, 2).unwrap();
    let inside = 1.0 - (-square / 18.0).exp();
    assert_rate(rate, inside);
    assert!(region.contains(theta.clone()).all().into_scalar::<bool>());
    let squares = host(theta.square().sum_dim(1));
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    let expected = 18.0 - square * (1.0 - inside) / inside;
    assert!((mean - expected).abs() < 4.0 * 0.3 * square / (6000.0f64).sqrt(), "{mean} {expected}");
    let again = region.sample_prior_seeded(draw, 6000, 2).unwrap();
    assert_eq!((host(again.0.square().sum_dim(1)), again.1), (squares, rate));
    let unseeded = || host(region.sample_prior(draw, 5).unwrap().0);
    assert_ne!(unseeded(), unseeded());
    assert_eq!(region.sample_prior_seeded(draw, 0, 2).unwrap().0.dims(), [0, 2]);
}

#[test]
fn the_default_region_leaves_out_a_ten_thousandth() {
    let posterior = plane(1.0);
    let region = HighestDensityRegion::<_, 2>::new(Given::new(&posterior, None), 3).unwrap();
    let (found, expected) = (region.threshold(), 1e-4f64.ln() - (2.0 * PI).ln());
    // Ten draws are below the quantile: the standard error of its logarithm is sqrt(1 / 10).
    assert!((found - expected).abs() < 4.0 * 0.1f64.sqrt(), "{found} {expected}");
}

/// A standard normal whose density is 0 for a negative first element, although it draws there.
#[derive(Module, Debug)]
struct Cut {
    normal: DiagNormal<2>,
}

impl Distribution<2> for Cut {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let outside = positive(&x).bool_not();
        self.normal.log_prob(x, context).mask_fill(outside, f64::NEG_INFINITY)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        self.normal.sample(n, context, noise, device)
    }
}

#[test]
fn what_has_no_region_is_an_error() {
    let cut = Cut { normal: plane(1.0) };
    let made = HighestDensityRegion::<_, 2>::with_epsilon(Given::new(&cut, None), 0.1, 100, 1);
    assert_eq!(
        made.map(|_| ()).unwrap_err().to_string(),
        "HighestDensityRegion: ln q at the quantile must be finite, found -inf"
    );
    let normal = plane(1.0);
    let given = Given::new(&normal, None);
    let error = |epsilon, draws| {
        let made = HighestDensityRegion::<_, 2>::with_epsilon(given, epsilon, draws, 1);
        made.map(|_| ()).unwrap_err().to_string()
    };
    for epsilon in [0.0, 1.0, f64::NAN] {
        let expected = format!("HighestDensityRegion.epsilon: must be in (0, 1), found {epsilon}");
        assert_eq!(error(epsilon, 100), expected);
    }
    assert_eq!(
        error(0.01, 99),
        "HighestDensityRegion.draws: must be at least 100 = 1 / epsilon, found 99"
    );
    let two = tensor(&[0.0, 1.0], [2, 1]);
    let made = HighestDensityRegion::<_, 2>::new(Given::new(&SHIFTED, &two), 1);
    assert_eq!(
        made.map(|_| ()).unwrap_err().to_string(),
        "HighestDensityRegion.posterior: needs a context of 1 row, found 2"
    );
    let spoiled = tensor(&[f64::NAN], [1, 1]);
    let made = HighestDensityRegion::<_, 2>::new(Given::new(&SHIFTED, &spoiled), 1);
    assert_eq!(
        made.map(|_| ()).unwrap_err().to_string(),
        "posterior: draw 0 has a log-density of NaN; find the layer with `first_non_finite`"
    );
    // A prior far from the region.
    let region = HighestDensityRegion::<_, 2>::new(given, 1).unwrap();
    let far = |n: usize, noise: &mut Noise| noise.normal::<2>([n, 2], &Device::flex()) + 100.0;
    let error = region.sample_prior_seeded(far, 5, 1).unwrap_err().to_string();
    assert!(error.starts_with("rejection sampling: context 0: 0 of "), "{error}");
    let region = region.with_least_rate(0.01).unwrap();
    let error = region.sample_prior_seeded(far, 5, 1).unwrap_err().to_string();
    assert!(error.contains("below the least rate 1.0e-2"), "{error}");
    let error = region.with_least_rate(2.0).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "HighestDensityRegion.least_rate: must be in (0, 1), found 2");
}

#[test]
fn a_prior_of_a_wrong_number_of_rows_panics() {
    let normal = plane(1.0);
    let region = HighestDensityRegion::new(Given::new(&normal, None), 1).unwrap();
    let one = |_: usize, noise: &mut Noise| noise.normal::<2>([1, 2], &Device::flex());
    let call = AssertUnwindSafe(|| region.sample_prior_seeded(one, 5, 1).is_ok());
    let text = catch_unwind(call).unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, "HighestDensityRegion: expected 64 draws of the prior, found 1");
}

const DEVIATION: f64 = 0.3;

/// `x = (theta_1, theta_2 + 2 sin(2 theta_1))` and noise.
fn simulator(theta: &Tensor<2>, noise: &mut Noise) -> Tensor<2> {
    let (first, second) = (theta.clone().narrow(1, 0, 1), theta.clone().narrow(1, 1, 1));
    let mean = Tensor::cat(vec![first.clone(), second + (first * 2.0).sin() * 2.0], 1);
    mean + noise.normal::<2>(theta.dims(), &Device::flex()) * DEVIATION
}

fn trained(theta: Tensor<2>, x: Tensor<2>) -> Maf {
    let made = burn_flows::conditioner::MadeConfig::new(vec![32]);
    let flow = MafConfig::new(2).with_layers(2).with_made(made).with_context(2).with_seed(1);
    let config = FitConfig::new().with_epochs(60).with_batch_size(50).with_learning_rate(5e-3);
    let data = FitData::new(theta).with_context(x);
    fit(flow.init(&Device::flex()), data, &config.with_seed(1)).unwrap().0.valid()
}

/// With the same number of simulations, two rounds fit the posterior at the observation better than one round.
#[test]
fn two_rounds_sharpen_the_posterior() {
    let device = Device::flex();
    let prior = |n: usize, noise: &mut Noise| noise.uniform::<2>([n, 2], &device) * 20.0 - 10.0;
    let observed = tensor(&[1.0, 0.5], [1, 2]);
    let mut noise = Noise::seeded(1);
    let theta = prior(800, &mut noise);
    let x = simulator(&theta, &mut noise);
    let half = |t: &Tensor<2>| t.clone().narrow(0, 0, 400);
    let (one, first) = (trained(theta.clone(), x.clone()), trained(half(&theta), half(&x)));

    let region =
        HighestDensityRegion::with_epsilon(first.given(&observed), 1e-3, 10_000, 2).unwrap();
    let (inside, rate) = region.sample_prior_seeded(prior, 400, 3).unwrap();
    assert!(rate.rate() < 0.5, "{rate:?}");
    let simulated = simulator(&inside, &mut noise);
    // Earlier simulations inside the region have the distribution of the new ones.
    let kept = region.contains(half(&theta)).into_data();
    let kept: Vec<i64> =
        kept.iter::<bool>().zip(0..).filter(|(inside, _)| *inside).map(|(_, row)| row).collect();
    let kept = Tensor::from_data(kept.as_slice(), &device);
    let both =
        |old: &Tensor<2>, new| Tensor::cat(vec![old.clone().select(0, kept.clone()), new], 0);
    let two = trained(both(&theta, inside), both(&x, simulated));

    // Draws of the posterior: the prior is flat where it has mass.
    let z = noise.normal::<2>([4000, 2], &device) * DEVIATION;
    let log_p = (z.clone() / DEVIATION).square().sum_dim(1).squeeze_dim::<1>(1) * -0.5
        - (2.0 * PI * DEVIATION * DEVIATION).ln();
    let first = z.clone().narrow(1, 0, 1) + 1.0;
    let second = z.narrow(1, 1, 1) + 0.5 - (first.clone() * 2.0).sin() * 2.0;
    let truth = Tensor::cat(vec![first, second], 1);
    assert!(region.contains(truth.clone()).float().mean().into_scalar::<f32>() > 0.99);
    let divergence = |flow: &Maf| {
        let log_q = flow.given(&observed).log_prob(truth.clone());
        (log_p.clone() - log_q).mean().into_scalar::<f32>()
    };
    let (one, two) = (divergence(&one), divergence(&two));
    println!("divergence of one round {one:.3}, of two rounds {two:.3} nats; rate {}", rate.rate());
    assert!(two < 1.0 && two < 0.5 * one, "{one} {two}");
}

#[test]
fn what_is_not_finite_is_named_and_never_accepted() {
    let context = tensor(&[0.0, f64::NAN], [2, 1]);
    let sampler = RejectionSampler::new(Given::new(&SHIFTED, &context), positive);
    let error = sampler.sample_seeded::<3>(10, 1).unwrap_err().to_string();
    assert_eq!(error, "context of the proposal: row 1, column 0 holds NaN");
    // A third of the draws overflow f32.
    let wide = plane(3e38);
    let everywhere = |x: &Tensor<2>| Tensor::<2>::ones([x.dims()[0], 1], &x.device()).bool();
    let everywhere = |x: &Tensor<2>| everywhere(x).squeeze_dim::<1>(1);
    let sampler = RejectionSampler::new(Given::new(&wide, None), everywhere);
    let (x, rates) = sampler.sample_seeded::<3>(1000, 1).unwrap();
    assert!(host(x).iter().all(|value| value.is_finite()));
    assert!((0.3..0.8).contains(&rates[0].rate()), "{}", rates[0].rate());
}
