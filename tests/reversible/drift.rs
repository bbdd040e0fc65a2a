//! Layers that lose their input: the step detects them, keeps their input from then on, and is
//! correct again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn_flows::bijector::{ActNorm, BatchNormConfig, Coupling, LeakyRelu, Recovery, Tanh};
use burn_flows::conditioner::Mlp;

use super::Recovery::{Input, Inverse};
use super::*;

fn coupling() -> Coupling<Affine, Mlp> {
    let mlp = MlpConfig::new(vec![16]).with_activation(ActivationConfig::Silu);
    let config = CouplingConfig::new(4).with_mlp(mlp);
    moved(built(&Device::flex(), |device| config.init(Affine::default(), device)), 5)
}

/// `z = x / a + b` and its inverse, so that later layers see numbers of order 1. The digits of x
/// beyond the precision of `a b` are lost. These layers are not trained, because their own
/// gradients would dominate all others.
fn blurred_by(a: f64, b: f64) -> [ActNorm; 2] {
    let device = Device::flex();
    let layer = |log_scale: f64, shift: f64| {
        let log_scale = Tensor::full([4], log_scale, &device);
        ActNorm::from_weights(log_scale, Tensor::full([4], shift, &device)).no_grad()
    };
    [layer(-a.ln(), b), layer(a.ln(), -a * b)]
}

/// With these values, f32 keeps two digits.
pub(super) fn blurred() -> [ActNorm; 2] {
    blurred_by(1e4, 100.0)
}

type Stack = (Coupling<Affine, Mlp>, Vec<ActNorm>, Coupling<Affine, Mlp>);

pub(super) fn blurred_flow() -> Flow<Stack, StandardNormal<2>> {
    normal_flow((coupling(), blurred().to_vec(), coupling()))
}

fn normal_flow<B: Bijector<2>>(bijector: B) -> Flow<B, StandardNormal<2>> {
    Flow::new(bijector, StandardNormal::new([4], &Device::flex()))
}

fn recoveries(layers: &[LayerDrift]) -> Vec<(&str, Recovery)> {
    layers.iter().map(|layer| (layer.path.as_str(), layer.recovery)).collect()
}

#[test]
fn a_layer_that_drifts_too_far_keeps_its_input() {
    for (dtype, tolerance) in PRECISIONS {
        let model = cast(blurred_flow(), dtype).train();
        let x = normal([700, 4], 1).cast(dtype);
        let layers = assert_same(&model, &x, None, tolerance);
        let expected = [
            ("bijector.2", Inverse),
            ("bijector.1.1", Inverse),
            ("bijector.1.0", Input),
            ("bijector.0", Inverse),
        ];
        assert_eq!(recoveries(&layers), expected);
        assert_eq!((layers[2].name.as_str(), layers[3].name.as_str()), ("ActNorm", "Coupling"));
        assert!(layers[2].drift.unwrap() > tolerance, "{layers:?}");
        assert!(layers[3].drift.unwrap() < tolerance, "{layers:?}");
    }
}

#[test]
fn let_go_the_same_layer_spoils_the_gradients() {
    let model = blurred_flow().train();
    let x = normal([700, 4], 1);
    let mut lax = Reversible::new().with_limit(1.0).unwrap();
    let (_, wrong) = lax.nll_gradients(&model, &x);
    let (_, right) = loss_and_gradients(&model, &x, None);
    let far = apart(&right, &flat(&model, &wrong));
    assert!(far > 1e-4, "{far:e}");
    assert!(lax.layers().iter().all(|layer| layer.recovery == Inverse));
}

#[test]
fn a_drift_of_a_few_millionths_is_too_far_in_f32() {
    let model = normal_flow((coupling(), blurred_by(100.0, 0.3).to_vec(), coupling())).train();
    let layers = assert_same(&model, &normal([700, 4], 1), None, 1e-5);
    assert_eq!(recoveries(&layers)[2], ("bijector.1.0", Input));
    let drift = layers[2].drift.unwrap();
    assert!(drift > 2e-6 && drift < 1e-5, "{drift:e}");
}

/// Counts the calls of a layer.
#[derive(Module, Debug)]
struct Counted<B> {
    inner: B,
    #[module(skip)]
    forwards: Arc<AtomicUsize>,
    #[module(skip)]
    inverses: Arc<AtomicUsize>,
}

impl<B: Bijector<2>> Bijector<2> for Counted<B> {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        self.forwards.fetch_add(1, Ordering::Relaxed);
        self.inner.forward(x, context)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.inverses.fetch_add(1, Ordering::Relaxed);
        self.inner.inverse(z, context)
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}

#[test]
fn a_step_is_redone_once_and_the_layer_keeps_its_input_from_then_on() {
    let [inner, sharpened] = blurred();
    let counted = Counted { inner, forwards: Arc::default(), inverses: Arc::default() };
    let model = normal_flow((coupling(), counted.clone(), sharpened)).train();
    let x = normal([100, 4], 1);
    let mut reversible = Reversible::new();
    let mut step = || {
        reversible.nll_gradients(&model, &x);
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&counted.forwards), take(&counted.inverses))
    };
    // A step runs the layer forward in the forward pass and again in the backward pass. The first
    // step runs twice, the second time without the inverse.
    assert_eq!(step(), (4, 1));
    assert_eq!(step(), (2, 0));
    assert_eq!(step(), (2, 0));
}

#[test]
fn one_saturated_row_is_enough() {
    // tanh(40) rounds to 1, and the inverse of 1 is infinite.
    let device = Device::flex();
    let model = normal_flow((coupling(), Tanh {}, coupling())).train();
    let x = normal([300, 4], 1) * 0.3;
    let row = Tensor::<2>::from_data([[40.0, 0.1, 40.0, 0.2]], &device);
    let outlier = x.clone().slice_assign([123..124, 0..4], row);
    let layers = assert_same(&model, &x, None, 1e-5);
    assert!(layers.iter().all(|layer| layer.recovery == Inverse), "{layers:?}");
    let layers = assert_same(&model, &outlier, None, 1e-5);
    assert_eq!(recoveries(&layers)[1], ("bijector.1", Input));
}

#[test]
fn with_no_drift_allowed_the_gradients_are_the_same_to_rounding() {
    let model = normal_flow(vec![coupling(), coupling(), coupling()]).train();
    let x = normal([100, 4], 1);
    let mut strict = Reversible::new().with_limit(0.0).unwrap();
    let (_, found) = strict.nll_gradients(&model, &x);
    let (_, expected) = loss_and_gradients(&model, &x, None);
    assert!(apart(&expected, &flat(&model, &found)) < 1e-6);
    assert!(strict.layers().iter().any(|layer| layer.recovery == Input));
}

#[test]
fn a_step_that_is_done_again_moves_running_statistics_once() {
    let device = Device::flex();
    let model = || {
        let [norm, after] =
            [0.1, 0.5].map(|share| BatchNormConfig::new(4).with_momentum(share).init(&device));
        let act =
            ActNorm::from_weights(Tensor::full([4], 0.3, &device), Tensor::zeros([4], &device));
        normal_flow((norm, LeakyRelu::new(0.3).unwrap(), after, act)).train()
    };
    let x = normal([100, 4], 1) * 3.0 + 1.0;
    let (ordinary, strict) = (model(), model());
    let mut reversible = Reversible::new().with_limit(0.0).unwrap();
    for _ in 0..3 {
        loss_and_gradients(&ordinary, &x, None);
        reversible.nll_gradients(&strict, &x);
    }
    assert!(reversible.layers().iter().any(|layer| layer.recovery == Input));
    let [found, expected] = [strict, ordinary].map(|model| model.valid().log_prob(x.clone()));
    assert!((found - expected).abs().max().into_scalar::<f64>() < 1e-5);
}

#[test]
fn a_loss_that_is_not_finite_leaves_every_layer_as_it_is() {
    let model = normal_flow((coupling(), coupling())).train();
    let x = normal([100, 4], 1);
    let mut reversible = Reversible::new();
    let (value, _) = reversible.nll_gradients(&model, &(x.clone() * f32::NAN));
    assert!(!value.is_finite());
    assert!(reversible.layers().is_empty());
    let (value, _) = reversible.nll_gradients(&model, &x);
    assert!(value.is_finite());
    assert!(reversible.layers().iter().all(|layer| layer.recovery == Inverse));
}

#[test]
fn nothing_of_two_layers_is_left_for_the_next_backward_pass() {
    // A reversible step inside a step of ordinary training: the graphs are separate.
    let model = normal_flow((coupling(), coupling())).train();
    let x = normal([50, 4], 1);
    let (_, before) = loss_and_gradients(&model, &x, None);
    let pending = model.log_prob(x.clone()).mean().neg();
    let (_, between) = Reversible::new().nll_gradients(&model, &x);
    let after = GradientsParams::from_grads(pending.backward(), &model);
    assert!(apart(&before, &flat(&model, &between)) < 1e-5);
    assert!(apart(&before, &flat(&model, &after)) < 1e-6);
}
