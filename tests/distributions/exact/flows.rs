//! A flow equals the sum of its parts: density, latents, draws, contexts.

use burn_flows::bijector::{ActNormConfig, BatchNormConfig, Bijector};
use burn_flows::cast;
use burn_flows::model::{RealNvp, RealNvpConfig};

use super::visited::{Visited, visited};
use super::*;

fn flow(context: usize) -> RealNvp {
    let config = RealNvpConfig::new(3).with_layers(3).with_context(context);
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Silu);
    moved(config.with_mlp(mlp).init(&device()), 5).valid()
}

#[test]
fn the_density_is_that_of_the_latent_plus_the_log_determinant() {
    let (flow, x, context) = (flow(2), normal([7, 3], 1), normal([7, 2], 2));
    let (z, log_det) = flow.bijector().forward(x.clone(), Some(&context));
    assert_near(&host(flow.given(&context).encode(x.clone())), &host(z.clone()), 1e-14);
    assert_near(&host(flow.given(&context).decode(z.clone())), &host(x.clone()), 1e-10);
    let expected = host(flow.base().log_prob(z, None) + log_det);
    assert_near(&host(flow.given(&context).log_prob(x.clone())), &expected, 1e-13);
    // A single row and every chunk use the matching row of the context.
    for (row, expected) in expected.iter().enumerate() {
        let one = |t: &Tensor<2>| t.clone().narrow(0, row, 1);
        assert_near(&host(flow.given(&one(&context)).log_prob(one(&x))), &[*expected], 1e-12);
    }
    for chunk in [1, 2, 3, 7, 100] {
        let found = flow.given(&context).log_prob_batched(x.clone(), chunk);
        assert_near(&host(found), &expected, 1e-12);
    }
    // A context of one row applies to all rows.
    let one = context.narrow(0, 3, 1);
    let expected = host(flow.given(&one.clone().repeat_dim(0, 7)).log_prob(x.clone()));
    assert_near(&host(flow.given(&one).log_prob(x.clone())), &expected, 1e-13);
    for chunk in [2, 7] {
        let found = flow.given(&one).log_prob_batched(x.clone(), chunk);
        assert_near(&host(found), &expected, 1e-12);
    }
}

#[test]
fn draws_are_decoded_noise() {
    let plain = flow(0);
    let z = normal([6, 3], 9);
    let expected = host(plain.decode(z.clone()));
    assert_eq!(host(plain.sample_seeded(6, 9)), expected);
    assert_eq!(host(plain.draw(6, &mut Noise::seeded(9))), expected);
    let (x, log_prob) = plain.draw_with_log_prob(6, &mut Noise::seeded(9));
    assert_near(&host(x.clone()), &expected, 1e-14);
    assert_near(&host(log_prob), &host(plain.log_prob(x)), 1e-10);

    let flow = flow(2);
    for context in [normal([6, 2], 3), normal([1, 2], 4)] {
        let x = flow.given(&context).draw(6, &mut Noise::seeded(9));
        assert_near(&host(x.clone()), &host(flow.given(&context).decode(z.clone())), 1e-14);
        let (again, log_prob) = flow.given(&context).draw_with_log_prob(6, &mut Noise::seeded(9));
        assert_near(&host(again), &host(x.clone()), 1e-14);
        assert_near(&host(log_prob), &host(flow.given(&context).log_prob(x.clone())), 1e-10);
        assert_near(&host(flow.given(&context).encode(x)), &host(z.clone()), 1e-10);
    }
}

/// Every drawing method has a seeded form, and a form with several draws per context.
#[test]
fn draws_under_a_context_follow_a_seed() {
    let (plain, flow, context) = (flow(0), flow(2), normal([3, 2], 4));
    let given = flow.given(&context);
    let x: Tensor<2> = given.sample_seeded(3, 9);
    assert_near(&host(x.clone()), &host(given.draw(3, &mut Noise::seeded(9))), 1e-14);
    let (again, log_prob) = given.sample_with_log_prob_seeded(3, 9);
    assert_near(&host(again), &host(x.clone()), 1e-14);
    assert_near(&host(log_prob), &host(given.log_prob(x)), 1e-10);
    assert_eq!(given.sample_with_log_prob::<2>(3).0.dims(), [3, 3]);

    // Two draws per context: rows 0 and 1 have the first context.
    let rows: Vec<_> = [0, 0, 1, 1, 2, 2].map(|row| context.clone().narrow(0, row, 1)).into();
    let repeated = Tensor::cat(rows, 0);
    let expected: Tensor<2> = flow.given(&repeated).sample_seeded(6, 9);
    let each: Tensor<3> = given.sample_each_seeded(2, 9);
    assert_near(&host(each.clone()), &host(expected.clone()), 1e-14);
    let (again, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob_seeded(2, 9);
    assert_near(&host(again), &host(each), 1e-14);
    assert_eq!(log_prob.dims(), [3, 2]);
    assert_near(&host(log_prob), &host(flow.given(&repeated).log_prob(expected)), 1e-10);
    let unseeded: Tensor<3> = given.sample_each(2);
    assert_eq!(unseeded.dims(), [3, 2, 3]);
    let (unseeded, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob(2);
    assert_eq!((unseeded.dims(), log_prob.dims()), ([3, 2, 3], [3, 2]));
    // Without a context, `sample_each` draws like `sample`.
    let draws: Tensor<3> = plain.given(None).sample_each_seeded(4, 9);
    assert_eq!(draws.dims(), [1, 4, 3]);
    assert_near(&host(draws), &host(plain.sample_seeded::<2>(4, 9)), 1e-14);
}

/// Unseeded draws differ between calls, and their latents are standard normal.
#[test]
fn draws_from_entropy_follow_the_flow() {
    let n = 4000;
    let check = |z: Tensor<2>| {
        let z = host(z);
        let count = z.len() as f64;
        let first = z.iter().sum::<f64>() / count;
        let second = z.iter().map(|z| z * z).sum::<f64>() / count;
        // Five standard errors are exceeded once in a million runs.
        assert!(first.abs() < 5.0 / count.sqrt(), "{first}");
        assert!((second - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{second}");
    };
    let plain = flow(0);
    let (one, two) = (plain.sample(n), plain.sample(n));
    assert_ne!(host(one.clone()), host(two));
    check(plain.encode(one));
    let (x, log_prob) = plain.sample_with_log_prob(n);
    assert_near(&host(log_prob), &host(plain.log_prob(x.clone())), 1e-9);
    check(plain.encode(x));
    let flow = flow(2);
    for context in [normal([n, 2], 3), normal([1, 2], 4)] {
        let x = flow.given(&context).sample(n);
        assert_ne!(host(x.clone()), host(flow.given(&context).sample(n)));
        check(flow.given(&context).encode(x));
    }
}

#[test]
fn draws_have_the_precision_of_the_weights_and_no_graph() {
    let single = cast(flow(0), DType::F32).train();
    let drawn: Tensor<2> = single.sample_seeded(4, 1);
    assert_eq!((drawn.dtype(), drawn.is_autodiff()), (DType::F32, false));
    let (x, log_prob) = single.sample_with_log_prob::<2>(4);
    assert!(!x.is_autodiff() && !log_prob.is_autodiff());
    assert!(!single.log_prob_batched(x.clone(), 2).is_autodiff());
    assert!(single.log_prob(x).is_autodiff());
    assert!(single.draw::<2>(4, &mut Noise::seeded(1)).is_autodiff());
}

#[test]
fn a_base_starts_from_latents_and_layers_from_data() {
    let x = normal([60, 2], 1) * 50.0 + 1000.0;
    let layer = ActNormConfig::new(2).init(&device());
    let base = GaussianMixtureConfig::new(2, 3).init(&device());
    let flow = Flow::new(layer, base).init_from_data(x.clone(), None);
    assert!(flow.base().is_initialized());
    let z = host(flow.encode(x));
    for column in [0, 1] {
        let values: Vec<f64> = z.iter().skip(column).step_by(2).copied().collect();
        let mean = values.iter().sum::<f64>() / 60.0;
        let variance = values.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 59.0;
        assert_near(&[mean, variance], &[0.0, 1.0], 1e-6);
    }
    assert!(parameters(flow.base())[0].iter().all(|mean| mean.abs() < 5.0));
}

#[test]
fn a_flow_mixes_rows_where_a_layer_does() {
    let standard = || StandardNormal::<2>::new([2], &device());
    let mixes = Flow::new(BatchNormConfig::new(2).init(&device()), standard());
    assert!(Distribution::<2>::mixes_rows(&mixes));
    let plain = Flow::new(ActNormConfig::new(2).init(&device()), standard());
    assert!(!Distribution::<2>::mixes_rows(&plain));
    assert!(Distribution::<2>::mixes_rows(&Flow::new(plain.into_parts().0, mixes)));
}

#[test]
fn one_row_of_context_serves_walks_starts_and_training() {
    let (flow, x, one) = (flow(2), normal([7, 3], 1), normal([1, 2], 2));
    let all = one.clone().repeat_dim(0, 7);
    assert_eq!(flow.first_non_finite(x.clone(), Some(&one)), None);
    let Visited { paths, log_det } = visited(&flow, x.clone(), Some(&one));
    assert_eq!(paths, ["bijector.0", "bijector.1", "bijector.2"]);
    let (_, expected) = flow.bijector().forward(x.clone(), Some(&all));
    assert_near(&log_det, &host(expected), 1e-12);
    let started = flow.clone().init_from_data(x.clone(), Some(&one));
    let expected = host(flow.given(&all).log_prob(x.clone()));
    assert_near(&host(started.given(&one).log_prob(x.clone())), &expected, 1e-12);
    let mean = -expected.iter().sum::<f64>() / 7.0;
    let (value, _) =
        burn_flows::train::Reversible::new().nll_gradients(&flow.train(), (x.clone(), one.clone()));
    assert_near(&[value], &[mean], 1e-12);
}

/// The first non-finite layer is named, also if only its log-determinant is not finite.
#[test]
fn the_first_layer_that_is_not_finite_is_named() {
    let zeros = || Tensor::<1>::zeros([2], &device());
    let layer = |log_scale: f64, shift: f64| {
        burn_flows::bijector::ActNorm::from_weights(
            tensor(&[log_scale, 0.0], [2]),
            tensor(&[shift, 0.0], [2]),
        )
    };
    let found = |layers: Vec<burn_flows::bijector::ActNorm>, x: f64| {
        let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device()));
        flow.first_non_finite(tensor(&[x, 0.5], [1, 2]), None)
    };
    let good = || burn_flows::bijector::ActNorm::from_weights(zeros(), zeros());
    assert_eq!(found(vec![good(), good()], 0.5), None);
    let shifted = found(vec![good(), layer(0.0, f64::INFINITY), layer(0.0, f64::NAN)], 0.5);
    assert_eq!(shifted.as_deref(), Some("bijector.1 (ActNorm)"));
    // Zero times a scale of zero is zero, but the logarithm of the scale is not finite.
    let flat = found(vec![good(), layer(f64::NEG_INFINITY, 0.0), good()], 0.0);
    assert_eq!(flat.as_deref(), Some("bijector.1 (ActNorm)"));
    // All layers are finite, but the density is not.
    let base = "base (StandardNormal), at latents of magnitude up to 1.000e300";
    assert_eq!(found(vec![good(), good()], 1e300).as_deref(), Some(base));
}
