//! Random draws of a model in training: new in every step, equal in every validation.

use std::collections::BTreeSet;

use burn_flows::train::{NoiseModel, UniformNoise, VariationalDequantize, fit, nll_gradients};

use super::*;

/// Uniform noise that records the first number of every noise source.
#[derive(Module, Debug)]
struct Tape {
    #[module(skip)]
    seen: Arc<Mutex<Vec<u64>>>,
}

impl NoiseModel<2> for Tape {
    fn draw_for(
        &self,
        x: &Tensor<2>,
        _context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> (Tensor<2>, Tensor<1>) {
        self.seen.lock().unwrap().push(noise.clone().next_u64());
        UniformNoise {}.draw_for(x, None, noise)
    }
}

fn integers(rows: usize) -> Tensor<2> {
    let values: Vec<f64> = (0..rows).map(|k| (k % 4) as f64).collect();
    column(&values)
}

fn model() -> VariationalDequantize<DiagNormal<2>, Tape> {
    let tape = Tape { seen: Arc::default() };
    VariationalDequantize::new(normal([0.5, -0.5]), tape, 4).unwrap()
}

/// The recorded draws of a run, in order.
fn taped(rows: usize, config: &FitConfig) -> Vec<u64> {
    let model = model();
    fit(model.clone(), integers(rows), config).unwrap();
    let tape = model.noise().seen.lock().unwrap();
    tape.clone()
}

/// 90 of 100 rows in batches of 20 are 5 steps, and 10 rows by 6 are 2 evaluations.
fn config() -> FitConfig {
    FitConfig::new()
        .with_epochs(4)
        .with_batch_size(20)
        .with_evaluation_batch(6)
        .with_progress(false)
}

#[test]
fn every_step_draws_anew_and_every_validation_alike() {
    let tape = taped(100, &config());
    let (start, epochs) = tape.split_at(tape.len() - 4 * 7);
    let epochs: Vec<_> = epochs.chunks(7).map(|epoch| epoch.split_at(5)).collect();
    let validation = epochs[0].1;
    assert!(epochs.iter().all(|epoch| epoch.1 == validation), "{epochs:?}");
    let steps = epochs.iter().flat_map(|epoch| epoch.0);
    assert_eq!(start[..2], start[1..3]);
    let start = [start[2], start[3]];
    let all: Vec<u64> = steps.chain(validation).copied().chain(start).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    // Also the rows that `fit` tries first, always with the same draws, and the initialisation.
    assert_eq!(all.len(), 20 + 2 + 2);
}

#[test]
fn the_seed_decides_the_draws_and_the_number_of_epochs_does_not() {
    let tape = taped(100, &config());
    assert_eq!(taped(100, &config()), tape);
    assert_eq!(taped(100, &config().with_epochs(2)), tape[..tape.len() - 14]);
    let other = taped(100, &config().with_seed(1));
    assert!(other.iter().all(|draw| !tape.contains(draw)));
    assert_eq!(other.len(), tape.len());
}

#[test]
fn every_block_of_a_batch_has_draws_of_its_own() {
    let config = config().with_batch_size(700).with_validation_fraction(0.0);
    let mut tape = taped(700, &config);
    // The same draws for the rows that `fit` tries three times, one for the initialisation, then those of
    // several blocks in every step.
    let tried = tape[2];
    assert_eq!(tape.drain(..2).collect::<Vec<_>>(), [tried; 2]);
    assert!(tape.len() > 2 + 2 * 4, "{}", tape.len());
    assert_eq!(tape.iter().collect::<BTreeSet<_>>().len(), tape.len());

    let model = model().train();
    for _ in 0..3 {
        nll_gradients(&model, integers(700));
    }
    let tape = model.noise().seen.lock().unwrap().clone();
    assert!(tape.len() >= 2 * 3, "{}", tape.len());
    assert_eq!(tape.iter().collect::<BTreeSet<_>>().len(), tape.len());
}

/// In the context of a flow of noise, the integers come before the context of the model.
#[test]
fn a_flow_of_noise_sees_the_integers_and_the_context() {
    let config = RealNvpConfig::new(2).with_layers(2).with_context(4);
    let flow = burn_flows::testing::moved(config.init(&Device::flex()), 2).valid();
    let draw = |rows, seed| Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
    let (x, all) = (draw(5, 1), draw(5, 2));
    let one = all.clone().narrow(0, 0, 1);
    for context in [all, one] {
        let (u, log_q) = flow.draw_for(&x, Some(&context), &mut Noise::seeded(3));
        let rows = context.expand([5, 2]);
        let whole = Tensor::cat(vec![x.clone(), rows], 1);
        let (expected, density) = flow.given(&whole).draw_with_log_prob(5, &mut Noise::seeded(3));
        assert_eq!((u.into_data(), log_q.into_data()), (expected.into_data(), density.into_data()));
    }
}

/// Noise that is half of the given values.
#[derive(Module, Debug)]
struct Half {}

impl NoiseModel<2> for Half {
    fn draw_for(
        &self,
        x: &Tensor<2>,
        _context: Option<&Tensor<2>>,
        _noise: &mut Noise,
    ) -> (Tensor<2>, Tensor<1>) {
        let log_q = x.clone().sum_dim(1).reshape([-1]);
        (x.clone() * 0.5, log_q)
    }
}

#[test]
fn noise_is_given_the_share_of_the_levels_and_weighed_by_its_density() {
    let weights = [0.4, -0.3];
    let model = VariationalDequantize::new(normal(weights), Half {}, 4).unwrap();
    let (v, _) = model.dequantize(integers(4), None, &mut Noise::seeded(1));
    let found: Vec<f64> = v.into_data().iter::<f64>().collect();
    // The smallest value is the smallest number above 0, not 0.
    let expected = [0.0, 1.0, 2.0, 3.0].map(|x: f64| (x + x / 8.0) / 4.0);
    assert_all_near(&found, &expected);
    let bound = model.bound(integers(4), None, 1, &mut Noise::seeded(1));
    let bound: Vec<f64> = bound.into_data().iter::<f64>().collect();
    let by_hand = |k: usize| -mean_nll(weights, &found[k..=k]) - k as f64 / 4.0 - 4f64.ln();
    assert_all_near(&bound, &[0, 1, 2, 3].map(by_hand));
}

#[test]
fn a_bound_of_several_draws_is_the_logarithm_of_their_mean() {
    let model = model();
    let noise = &mut Noise::seeded(5);
    let single: Vec<Vec<f64>> = (0..3)
        .map(|_| model.bound(integers(6), None, 1, noise).into_data().iter::<f64>().collect())
        .collect();
    let together = model.bound(integers(6), None, 3, &mut Noise::seeded(5));
    let together: Vec<f64> = together.into_data().iter::<f64>().collect();
    let mean = |row: usize| average(single.iter().map(|draw| draw[row].exp())).ln();
    assert_all_near(&together, &(0..6).map(mean).collect::<Vec<_>>());
}

#[test]
fn a_sample_is_a_draw_of_the_density_rounded_down() {
    let model = model();
    let device = Device::flex();
    let v = model.density().sample(200, None, &mut Noise::seeded(8), &device);
    let expected: Vec<f64> =
        v.into_data().iter::<f64>().map(|v| (v * 4.0).floor().clamp(0.0, 3.0)).collect();
    let found = model.sample(200, None, &mut Noise::seeded(8), &device);
    assert_eq!(found.into_data().iter::<f64>().collect::<Vec<_>>(), expected);
    assert!((0..4).all(|level| expected.contains(&f64::from(level))));
}
