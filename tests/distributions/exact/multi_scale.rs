//! Multi-scale flows: the channels of each level, the temperature, and the context of each level.

use burn_flows::bijector::{ActNorm, ActNormConfig, Bijector, Coupling, Mask};
use burn_flows::conditioner::{ConvNet, ConvNetConfig};
use burn_flows::distribution::{ChannelPrior, ChannelPriorConfig, LevelBase};
use burn_flows::univariate::Affine;
use burn_flows::{Finish, MultiScale};

use super::visited::{Visited, visited};
use super::*;

type Level = (ActNorm, Coupling<Affine, ConvNet>);

fn level(channels: usize, context: usize) -> Level {
    let config = ConvNetConfig::new(4).with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &device());
    let event = [channels, 2, 2];
    let coupling = Coupling::new(&Mask::Halves, &event, Affine::default(), network, &device());
    (ActNormConfig::new(channels).init(&device()), coupling.unwrap())
}

/// Two levels on 5x2x2 images: after the first level, 2 of 5 channels remain.
fn flow(finish: Finish, context: usize) -> MultiScale<Level, ChannelPrior> {
    let prior = |channels, kept| {
        let config = ChannelPriorConfig::new(channels).with_kept(kept).with_context(context);
        config.init(&device())
    };
    let levels = vec![level(5, context), level(2, context)];
    let bases = vec![prior(3, 2), prior(2, 0)];
    let flow = MultiScale::new(levels, bases, finish, vec![[3, 2, 2], [2, 2, 2]]).unwrap();
    moved(flow, 3).valid()
}

/// Computes a draw level by level from standard normal numbers times the temperature.
fn by_hand(
    flow: &MultiScale<Level, ChannelPrior>,
    n: usize,
    context: Option<&Tensor<2>>,
    temperature: f64,
) -> Tensor<4> {
    let mut noise = Noise::seeded(9);
    // The noise of one image after the other, each with the outer level first.
    let both = noise.normal::<4>([n, 5, 2, 2], &device()) * temperature;
    let (outer, inner) = (both.clone().narrow(1, 0, 3), both.narrow(1, 3, 2));
    let inner = flow.bases()[1].draw(inner, None, context);
    let kept = Bijector::<4>::inverse(&flow.levels()[1], inner, context);
    let outer = flow.bases()[0].draw(outer, Some(&kept), context);
    let whole = Tensor::cat(vec![kept, outer], 1); // the first level finishes the last channels
    Bijector::<4>::inverse(&flow.levels()[0], whole, context)
}

#[test]
fn a_temperature_multiplies_the_noise_of_every_level() {
    let flow = flow(Finish::Last, 0);
    for temperature in [0.0, 0.3, 0.7, 1.0, 1.5] {
        let warm = flow.clone().with_temperature(temperature).unwrap();
        let expected = host(by_hand(&flow, 4, None, temperature));
        assert_near(&host(warm.sample_seeded(4, 9)), &expected, 1e-12);
        assert_near(&host(warm.draw(4, &mut Noise::seeded(9))), &expected, 1e-12);
        // Densities are those of temperature 1.
        let x = normal([3, 5, 2, 2], 2);
        assert_eq!(host(warm.log_prob(x.clone())), host(flow.log_prob(x)));
    }
    assert_ne!(host(flow.sample(3)), host(flow.sample(3)));
    // The default temperature is 1.
    assert_near(&host(flow.sample_seeded(4, 9)), &host(by_hand(&flow, 4, None, 1.0)), 1e-12);
    for wrong in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(flow.clone().with_temperature(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_row_is_scored_and_drawn_under_its_own_context() {
    let flow = flow(Finish::Last, 2);
    let (x, context) = (normal([4, 5, 2, 2], 1), normal([4, 2], 2));
    let all = host(flow.given(&context).log_prob(x.clone()));
    for (row, expected) in all.iter().enumerate() {
        let one = context.clone().narrow(0, row, 1);
        let alone = flow.given(&one).log_prob(x.clone().narrow(0, row, 1));
        assert_near(&host(alone), &[*expected], 1e-12);
    }
    let drawn = flow.given(&context).draw(4, &mut Noise::seeded(9));
    assert_near(&host(flow.given(&context).sample_seeded(4, 9)), &host(drawn.clone()), 1e-12);
    let each: Tensor<5> = flow.given(&context.clone().narrow(0, 1, 2)).sample_each_seeded(2, 9);
    let rows: Vec<_> = [1, 1, 2, 2].map(|row| context.clone().narrow(0, row, 1)).into();
    let expected = flow.given(&Tensor::cat(rows, 0)).sample_seeded(4, 9);
    assert_near(&host(each), &host(expected), 1e-12);
    let batched = flow.given(&context).log_prob_batched(x.clone(), 3);
    assert_near(&host(batched), &all, 1e-12);
    assert_near(&host(drawn), &host(by_hand(&flow, 4, Some(&context), 1.0)), 1e-12);
    // Unseeded draws at temperature 0 are the mode under their context.
    let cold = flow.clone().with_temperature(0.0).unwrap();
    let expected = host(by_hand(&flow, 4, Some(&context), 0.0));
    assert_near(&host(cold.given(&context).sample(4)), &expected, 1e-12);
    assert_ne!(expected[..20], expected[20..40]);
    let parts = flow.given(&context).encode(x.clone());
    assert_near(&host(flow.given(&context).decode(parts)), &host(x), 1e-10);
}

/// Layers that change nothing, so that the latents show which channels a level finishes.
fn still(finish: Finish) -> MultiScale<ActNorm, StandardNormal<4>> {
    let layer = |n: usize| {
        ActNorm::from_weights(Tensor::zeros([n], &device()), Tensor::zeros([n], &device()))
    };
    let normal = |n| StandardNormal::<4>::new([n, 2, 2], &device());
    let bases = vec![normal(3), normal(1), normal(1)];
    let parts = vec![[3, 2, 2], [1, 2, 2], [1, 2, 2]];
    MultiScale::new(vec![layer(5), layer(2), layer(1)], bases, finish, parts).unwrap()
}

#[test]
fn the_larger_half_of_the_channels_is_finished() {
    let x = normal([2, 5, 2, 2], 1);
    for (finish, places) in
        [(Finish::First, [(0, 3), (3, 1), (4, 1)]), (Finish::Last, [(2, 3), (1, 1), (0, 1)])]
    {
        let flow = still(finish);
        for (part, (start, count)) in flow.encode(x.clone()).into_iter().zip(places) {
            assert_eq!(host(part), host(x.clone().narrow(1, start, count)));
        }
        let flat = flow.encode_flat(x.clone());
        assert_near(&host(flow.decode_flat(flat)), &host(x.clone()), 1e-15);
        let standard = StandardNormal::<4>::new([5, 2, 2], &device());
        assert_near(&host(flow.log_prob(x.clone())), &log_probs(&standard, x.clone()), 1e-13);
    }
}

#[test]
fn an_inner_level_starts_from_the_channels_that_go_on() {
    let channel = |mean: f64, std: f64, seed| normal([200, 1, 2, 2], seed) * std + mean;
    let parts = [channel(1.0, 2.0, 1), channel(-3.0, 0.5, 2), channel(8.0, 9.0, 3)];
    for (finish, inner) in [(Finish::First, 2), (Finish::Last, 0)] {
        let zeros = || Tensor::zeros([3], &device());
        let levels =
            vec![ActNorm::from_weights(zeros(), zeros()), ActNormConfig::new(1).init(&device())];
        let prior = |n| ChannelPriorConfig::new(n).init(&device());
        let bases = vec![prior(2), prior(1)];
        let flow = MultiScale::new(levels, bases, finish, vec![[2, 2, 2], [1, 2, 2]]).unwrap();
        let x = Tensor::cat(parts.to_vec(), 1);
        let flow = flow.init_from_data(x.clone(), None);
        let latents = flow.encode(x);
        let values = host(latents[1].clone());
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert_near(&[mean, variance], &[0.0, 1.0], 1e-5);
        let original = host(parts[inner].clone());
        assert!((values[1] - values[0]).signum() == (original[1] - original[0]).signum());
    }
}

/// A layer that changes nothing. `mixes` decides whether it claims to mix rows.
#[derive(Module, Debug)]
struct Still {
    mixes: bool,
}

impl Bijector<4> for Still {
    fn forward(&self, x: Tensor<4>, _context: Option<&Tensor<2>>) -> (Tensor<4>, Tensor<1>) {
        let log_det = Tensor::zeros([x.dims()[0]], &device());
        (x, log_det)
    }

    fn inverse(&self, z: Tensor<4>, _context: Option<&Tensor<2>>) -> Tensor<4> {
        z
    }

    fn mixes_rows(&self) -> bool {
        self.mixes
    }
}

fn prior(channels: usize) -> ChannelPrior {
    ChannelPriorConfig::new(channels).init(&device())
}

#[test]
fn a_flow_mixes_rows_where_one_of_its_levels_does() {
    for mixes in [[false, false], [true, false], [false, true]] {
        let levels = mixes.map(|mixes| Still { mixes }).to_vec();
        let parts = vec![[2, 2, 2], [2, 2, 2]];
        let flow = MultiScale::new(levels, vec![prior(2), prior(2)], Finish::Last, parts);
        assert_eq!(Distribution::<4>::mixes_rows(&flow.unwrap()), mixes.contains(&true));
    }
}

#[test]
fn a_broken_base_is_named() {
    struct Spoil;
    impl ModuleMapper for Spoil {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|t| t * f64::NAN)
        }
    }
    let found = |bases| {
        let levels = vec![Still { mixes: false }, Still { mixes: false }];
        let parts = vec![[2, 2, 2], [2, 2, 2]];
        let flow = MultiScale::new(levels, bases, Finish::Last, parts).unwrap();
        flow.first_non_finite(normal([3, 4, 2, 2], 1), None)
    };
    assert_eq!(found(vec![prior(2), prior(2)]), None);
    let inner = found(vec![prior(2), prior(2).map(&mut Spoil)]);
    assert!(inner.unwrap().starts_with("bases.1 (ChannelPrior), at latents of magnitude up to "));
    let outer = found(vec![prior(2).map(&mut Spoil), prior(2)]);
    assert!(outer.unwrap().starts_with("bases.0 (ChannelPrior), at latents of magnitude up to "));
}

/// A context of one row works in encoding, decoding, initialisation, the search for non-finite
/// layers, and in gradients layer by layer.
#[test]
fn one_row_of_context_serves_every_level() {
    let (flow, x, one) = (flow(Finish::Last, 2), normal([4, 5, 2, 2], 1), normal([1, 2], 2));
    let all = one.clone().repeat_dim(0, 4);
    assert_eq!(flow.first_non_finite(x.clone(), Some(&one)), None);
    let Visited { paths, log_det: total } = visited(&flow, x.clone(), Some(&one));
    assert_eq!(paths, ["levels.0.0", "levels.0.1", "levels.1.0", "levels.1.1"]);
    let (parts, log_det) = flow.given(&all).encode_with_log_det(x.clone());
    assert_near(&total, &host(log_det), 1e-12);
    assert_near(&host(flow.given(&one).decode(parts)), &host(x.clone()), 1e-10);
    let started = flow.clone().init_from_data(x.clone(), Some(&one));
    assert_eq!(started.levels().len(), 2);

    // Gradients by a whole graph and gradients layer by layer are equal.
    let flow = flow.train();
    let (value, whole) = burn_flows::train::nll_gradients(&flow, (x.clone(), all.clone()));
    let (found, parts) =
        burn_flows::train::Reversible::new().nll_gradients(&flow, (x.clone(), one.clone()));
    assert_near(&[found], &[value], 1e-12);
    struct Both<'a>([&'a burn_flows::burn::optim::GradientsParams; 2], usize);
    impl ModuleVisitor for Both<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(whole) = self.0[0].get::<D>(param.id) else { return };
            let part = self.0[1].get::<D>(param.id).expect("a gradient");
            assert_near(&host(part), &host(whole), 1e-8);
            self.1 += 1;
        }
    }
    let mut both = Both([&whole, &parts], 0);
    flow.visit(&mut both);
    assert!(both.1 > 20, "{} parameters", both.1);
}

#[test]
fn as_many_bases_and_parts_as_levels_are_needed() {
    let make = |levels: usize, bases: usize, parts: usize| {
        let levels = (0..levels).map(|_| Still { mixes: false }).collect();
        let bases = (0..bases).map(|_| prior(2)).collect();
        MultiScale::new(levels, bases, Finish::Last, vec![[2, 2, 2]; parts]).is_ok()
    };
    assert!(make(2, 2, 2) && make(1, 1, 1));
    for [levels, bases, parts] in [[2, 1, 2], [2, 2, 1], [1, 2, 2], [0, 0, 0], [2, 2, 3]] {
        assert!(!make(levels, bases, parts), "{levels}, {bases}, {parts}");
    }
}
