//! Multi-scale flows: density, latents and priors.

use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use burn_flows::bijector::{ActNorm, ActNormConfig, Coupling, Mask};
use burn_flows::conditioner::{ConvNet, ConvNetConfig};
use burn_flows::distribution::{ChannelPrior, ChannelPriorConfig, LevelBase};
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::{Finish, MultiScale};

static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

type Level = (ActNorm, Coupling<Affine, ConvNet>);

fn level(channels: usize, context: usize) -> Level {
    let config = ConvNetConfig::new(4).with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &DEVICE);
    let event = [channels, 2, 2];
    let coupling = Coupling::new(&Mask::Halves, &event, Affine::default(), network, &DEVICE);
    (ActNormConfig::new(channels).init(&DEVICE), coupling.unwrap())
}

/// Three levels on 5x2x2 images. The first leaves 2 of 5 channels, the second 1 of 2.
fn flow(finish: Finish, context: usize) -> MultiScale<Level, ChannelPrior> {
    let levels = vec![level(5, context), level(2, context)];
    let prior = |channels, kept| {
        let config = ChannelPriorConfig::new(channels).with_kept(kept).with_context(context);
        config.init(&DEVICE)
    };
    let bases = vec![prior(3, 2), prior(2, 0)];
    let flow = MultiScale::new(levels, bases, finish, vec![[3, 2, 2], [2, 2, 2]]).unwrap();
    moved(flow, 3).valid()
}

fn images(rows: usize, seed: u64) -> Tensor<4> {
    Noise::seeded(seed).normal([rows, 5, 2, 2], &DEVICE)
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().try_to_vec_as().unwrap()
}

fn assert_close(found: &[f64], expected: &[f64], error: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= error * b.abs().max(1.0), "{a}, expected {b}");
    }
}

/// `ln |det|` by elimination with pivoting.
fn log_abs_det(mut rows: Vec<Vec<f64>>) -> f64 {
    let n = rows.len();
    let mut total = 0.0;
    for k in 0..n {
        let pivot = (k..n).max_by(|a, b| rows[*a][k].abs().total_cmp(&rows[*b][k].abs())).unwrap();
        rows.swap(k, pivot);
        total += rows[k][k].abs().ln();
        let top = rows[k].clone();
        for row in &mut rows[k + 1..] {
            let factor = row[k] / top[k];
            row.iter_mut().zip(&top).skip(k).for_each(|(v, t)| *v -= factor * t);
        }
    }
    total
}

/// The log-density is that of the base plus the log-determinant of the autodiff Jacobian of the
/// flattened latents.
#[test]
fn the_density_is_that_of_the_jacobian() {
    for finish in [Finish::First, Finish::Last] {
        let flow = flow(finish, 0);
        let x = images(1, 7);
        let jacobian: Vec<Vec<f64>> = (0..20)
            .map(|k| {
                let x = x.clone().autodiff().require_grad();
                let z = flow.encode_flat(x.clone()).narrow(1, k, 1);
                host(x.grad(&z.sum().backward()).unwrap())
            })
            .collect();
        let parts = flow.encode(x.clone());
        let (levels, bases) = (flow.parts(), flow.bases());
        assert_eq!(levels, [[3, 2, 2], [2, 2, 2]]);
        // The kept channels beside the first part are the input of the second level, which its
        // inverse returns.
        let kept = Bijector::<4>::inverse(&flow.levels()[1], parts[1].clone(), None);
        let log_base = bases[0].log_prob(parts[0].clone(), Some(&kept), None)
            + bases[1].log_prob(parts[1].clone(), None, None);
        let expected = host(log_base)[0] + log_abs_det(jacobian);
        assert_close(&host(flow.log_prob(x)), &[expected], 1e-10);
    }
}

#[test]
fn latents_come_back_as_lists_and_as_vectors() {
    let flow = flow(Finish::Last, 0);
    let x = images(4, 1);
    assert_close(&host(flow.decode(flow.encode(x.clone()))), &host(x.clone()), 1e-9);
    assert_close(&host(flow.decode_flat(flow.encode_flat(x.clone()))), &host(x), 1e-9);
}

#[test]
fn a_context_changes_density_and_samples() {
    let flow = flow(Finish::Last, 2);
    let x = images(3, 2);
    let one = |value: f64| Tensor::<2>::from_data([[value, 1.0]], &*DEVICE);
    let a = host(flow.given(&one(0.0)).log_prob(x.clone()));
    let b = host(flow.given(&one(1.0)).log_prob(x.clone()));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() > 1e-6));
    let rows = one(0.0).expand([3, 2]);
    assert_close(&host(flow.given(&rows).log_prob(x.clone())), &a, 1e-14);
    let parts = flow.given(&one(1.0)).encode(x.clone());
    assert_close(&host(flow.given(&one(1.0)).decode(parts)), &host(x), 1e-9);
    assert_eq!(flow.given(&one(0.5)).sample(2).dims(), [2, 5, 2, 2]);
}

#[test]
#[should_panic(expected = "ChannelPrior: expected a context of width 2, found none")]
fn a_missing_context_is_named() {
    let prior = ChannelPriorConfig::new(1).with_context(2).init(&DEVICE);
    prior.log_prob(Tensor::zeros([1, 1, 2, 2], &*DEVICE), None, None);
}

#[test]
#[should_panic(expected = "MultiScale: expected 2 latent parts, found 1")]
fn a_missing_part_is_named() {
    flow(Finish::Last, 0).decode(vec![images(1, 1)]);
}

#[test]
#[should_panic(expected = "MultiScale: expected 20 latent elements, found 19")]
fn a_short_vector_is_named() {
    flow(Finish::Last, 0).decode_flat(Tensor::zeros([1, 19], &*DEVICE));
}

#[test]
fn impossible_lists_are_refused() {
    let error =
        MultiScale::new(vec![level(5, 0)], Vec::<ChannelPrior>::new(), Finish::Last, vec![]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "MultiScale.levels: needs at least 1 level, with 1 base and 1 part per level; found 1 levels, 0 bases and 0 parts"
    );
}

/// The sample moments of the prior agree with its density: a normal with its mean and scale.
#[test]
fn the_prior_draws_what_it_scores() {
    let prior = moved(ChannelPriorConfig::new(2).with_kept(1).init(&DEVICE), 5).valid();
    let kept = Noise::seeded(1).normal::<4>([1, 1, 2, 2], &DEVICE);
    let n = 20_000;
    let many = kept.expand([n, 1, 2, 2]);
    let noise = Noise::seeded(2).normal::<4>([n, 2, 2, 2], &DEVICE);
    let z = prior.draw(noise, Some(&many), None);
    let score = host(prior.log_prob(z.clone(), Some(&many), None).mean())[0];
    // Minus the entropy of eight independent normals with the standard deviations of the sample.
    let std = z.var(0).sqrt().log().sum();
    let entropy = host(std)[0] + 4.0 * (1.0 + (2.0 * std::f64::consts::PI).ln());
    assert!((score + entropy).abs() < 0.05, "{score}, expected {}", -entropy);
}

#[test]
fn temperature_zero_is_the_mode_and_density_stays() {
    let flow = flow(Finish::Last, 0);
    let cold = flow.clone().with_temperature(0.0).unwrap();
    let samples = host(cold.sample_seeded(2, 1));
    assert_close(&samples[..20], &samples[20..], 1e-12);
    let x = images(2, 3);
    assert_eq!(host(cold.log_prob(x.clone())), host(flow.log_prob(x)));
    assert_eq!(host(flow.sample_seeded(3, 9)), host(flow.sample_seeded(3, 9)));
}

#[test]
fn a_first_batch_reaches_every_level() {
    let levels = vec![ActNormConfig::new(4).init(&DEVICE), ActNormConfig::new(2).init(&DEVICE)];
    let prior = || ChannelPriorConfig::new(2).init(&DEVICE);
    let parts = vec![[2, 2, 2], [2, 2, 2]];
    let flow = MultiScale::new(levels, vec![prior(), prior()], Finish::Last, parts).unwrap();
    let x = Noise::seeded(1).normal::<4>([50, 4, 2, 2], &DEVICE) * 9.0 + 4.0;
    let flow = flow.init_from_data(x.clone(), None);
    for part in flow.encode(x) {
        let values: Tensor<1> = part.flatten(0, 3);
        assert!(host(values.clone().mean())[0].abs() < 1e-9);
        assert!((host(values.var(0))[0] - 1.0).abs() < 0.01);
    }
}

#[test]
fn a_broken_level_is_named() {
    let zeros = || Tensor::zeros([2], &*DEVICE);
    let nan = Tensor::from_data(TensorData::from([f64::NAN, 0.0]), &*DEVICE);
    let levels = vec![ActNormConfig::new(4).init(&DEVICE), ActNorm::from_weights(nan, zeros())];
    let bases = vec![StandardNormal::<4>::new([2, 2, 2], &DEVICE); 2];
    let flow = MultiScale::new(levels, bases, Finish::Last, vec![[2, 2, 2], [2, 2, 2]]).unwrap();
    let flow = Flow::new(ActNormConfig::new(4).init(&DEVICE), flow);
    let x = Noise::seeded(1).normal::<4>([3, 4, 2, 2], &DEVICE);
    assert_eq!(flow.first_non_finite(x, None).unwrap(), "base.levels.1 (ActNorm)");
}
