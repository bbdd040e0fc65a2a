//! Densities with a marginalised context.

use burn_flows::Flow;
use burn_flows::bijector::ActNormConfig;
use burn_flows::distribution::Marginal;

use super::*;

/// A normal of two features whose parameters depend on a context of width 3.
fn conditional() -> ConditionalNormal<2> {
    let config = ConditionalNormalConfig::new(vec![2], 3, MlpConfig::new(vec![8]));
    moved(config.init(&device()), 5)
}

fn marginal() -> Marginal<ConditionalNormal<2>> {
    let contexts = Tensor::from_data([[1.0, 0.0, 2.0], [0.0, -3.0, 0.5]], &device());
    Marginal::new(conditional(), contexts, Tensor::from_data([1.0, 3.0], &device())).unwrap()
}

#[test]
fn marginal_is_the_weighted_sum_over_its_contexts() {
    let x = Noise::seeded(1).normal::<2>([6, 2], &device());
    let (flow, all) = (conditional(), marginal());
    let given = |row: [f64; 3]| {
        let context = Tensor::<2>::from_data([row], &device()).repeat_dim(0, 6);
        host(flow.log_prob(x.clone(), Some(&context)))
    };
    let (first, second) = (given([1.0, 0.0, 2.0]), given([0.0, -3.0, 0.5]));
    let found = log_probs(&all, x.clone());
    for ((found, first), second) in found.iter().zip(&first).zip(&second) {
        let wanted = (0.25 * first.exp() + 0.75 * second.exp()).ln();
        assert!((found - wanted).abs() < 1e-12, "{found}, expected {wanted}");
        assert!((first - second).abs() > 1e-3);
    }
}

#[test]
fn marginal_integrates_to_one_and_its_draws_follow() {
    let (mass, entropy) = quadrature(&marginal(), 24.0, 480);
    assert!((mass - 1.0).abs() < 1e-6, "{mass}");
    assert_sampler_follows(&marginal(), entropy, 24.0);
    assert_seeded(&marginal(), None);
}

#[test]
fn marginal_of_classes_is_that_of_one_hot_rows() {
    let x = Noise::seeded(2).normal::<2>([4, 2], &device());
    let classes = Marginal::of_classes(conditional(), 3, &device()).unwrap();
    let contexts = classes.contexts();
    let wanted = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    assert_eq!(contexts.clone().into_data().iter::<f64>().collect::<Vec<_>>(), wanted.concat());
    let rows = Marginal::new(conditional(), contexts, Tensor::ones([3], &device())).unwrap();
    assert_eq!(log_probs(&classes, x.clone()), log_probs(&rows, x));
}

#[test]
fn marginal_trains_its_conditional_density_alone() {
    let x = Noise::seeded(3).normal::<2>([20, 2], &device());
    let learned = marginal().train();
    let all = gradients(&learned, &learned.log_prob(x, None).sum().backward());
    // Weight and bias of two network layers, then the contexts and the weights of the marginal.
    assert_eq!(all.len(), 6);
    let learns = |gradient: Option<f64>| gradient.is_some_and(|size| size > 1e-12);
    assert!(all[..4].iter().all(|&(trained, gradient)| trained && learns(gradient)));
    assert_eq!(all[4..], [(false, None), (false, None)]);
}

#[test]
fn marginal_refuses_impossible_parts() {
    let error = Marginal::of_classes(conditional(), 0, &device()).unwrap_err().to_string();
    assert_eq!(error, "Marginal.classes: must be at least 1, found 0");
    let contexts = || Tensor::<2>::ones([2, 3], &device());
    let none = Tensor::<2>::ones([0, 3], &device());
    let error = Marginal::new(conditional(), none, Tensor::ones([0], &device())).unwrap_err();
    assert_eq!(error.to_string(), "Marginal.contexts: must be at least 1, found 0");
    let weights = Tensor::from_data([1.0, -1.0], &device());
    let error = Marginal::new(conditional(), contexts(), weights).unwrap_err();
    assert_eq!(error.to_string(), "Marginal.weights: must be positive and finite, found -1");
}

#[test]
#[should_panic(expected = "Marginal: expected weights of shape [2], found [3]")]
fn marginal_panics_on_another_number_of_weights() {
    let contexts = Tensor::<2>::ones([2, 3], &device());
    let _ = Marginal::new(conditional(), contexts, Tensor::ones([3], &device()));
}

#[test]
fn marginal_starts_the_layers_of_its_conditional_density_from_data() {
    let contexts = Tensor::from_data([[1.0, 0.0, 2.0], [0.0, -3.0, 0.5]], &device());
    let flow = Flow::new(ActNormConfig::new(2).init(&device()), conditional());
    let weights = Tensor::from_data([1.0, 3.0], &device());
    let fresh = Marginal::new(flow, contexts, weights).unwrap();
    assert!(!fresh.conditional().bijector().is_initialized());

    let x = Noise::seeded(4).normal::<2>([200, 2], &device()) * 3.0 + 50.0;
    let nll = |of: &Marginal<_>| -log_probs(of, x.clone()).iter().sum::<f64>() / 200.0;
    let started = fresh.clone().init_from_data(x.clone(), None);
    assert!(started.conditional().bijector().is_initialized());
    let (before, after) = (nll(&fresh), nll(&started));
    assert!(after < before - 10.0, "{after} nats after the start, {before} before it");
    // A second initialisation with the same batch gives the same result.
    let again = fresh.clone().init_from_data(x.clone(), None);
    assert_eq!(log_probs(&again, x.clone()), log_probs(&started, x.clone()));
}
