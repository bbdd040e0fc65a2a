//! One step on one block of rows: to the latent without a graph, then back.

use std::any::Any;
use std::collections::BTreeSet;

use burn::module::{Flag, Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};

use super::LayerDrift;
use super::fingerprint::Fingerprint;
use crate::bijector::{Bijector, Carried, Place, Recovery, Walk};
use crate::distribution::Distribution;
use crate::draws;
use crate::noise::Noise;
use crate::train::gradients::{Shares, add};

/// The state of a step.
pub(super) struct Step<'a> {
    /// Paths of the layers that store their input.
    kept: &'a BTreeSet<&'a str>,
    /// The weight of the log-probability of a row in the loss.
    shares: &'a Shares,
    log_prob: Option<Tensor<1>>,
    gradients: GradientsParams,
    /// One [`Trail`] per layer, stored on the way to the latent for the way back.
    trails: Vec<Box<dyn Any>>,
    layers: Vec<LayerDrift>,
    /// The drifts of the layers that recovered their input, in the same order.
    drifts: Vec<Tensor<1>>,
}

/// The data that a layer stores for the way back.
struct Trail<const D: usize> {
    kept: Kept<D>,
    /// The source of the layer's draws before its forward pass.
    noise: Noise,
}

#[allow(clippy::large_enum_variant, reason = "there is one for a layer")]
enum Kept<const D: usize> {
    Fingerprint(Fingerprint),
    Input(Tensor<D>),
    Graph(Graph<D>),
}

impl<'a> Step<'a> {
    pub(super) fn new(kept: &'a BTreeSet<&'a str>, shares: &'a Shares) -> Self {
        Self {
            kept,
            shares,
            log_prob: None,
            gradients: GradientsParams::new(),
            trails: vec![],
            layers: vec![],
            drifts: vec![],
        }
    }

    /// Returns the loss, the gradients, and the layers from the latent back.
    pub(super) fn run<F: Distribution<D>, const D: usize>(
        mut self,
        model: &F,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (f64, GradientsParams, Vec<LayerDrift>) {
        model.walk(&mut self, &Place::start(context), x);
        let log_prob = self.log_prob.expect("a density has a log-probability");
        let value = -self.shares.total(&log_prob.into_data());
        if !self.drifts.is_empty() {
            let drifts = Tensor::cat(self.drifts, 0).into_data();
            let measured = self.layers.iter_mut().filter(|l| l.recovery == Recovery::Inverse);
            measured.zip(drifts.iter::<f64>()).for_each(|(l, drift)| l.drift = Some(drift));
        }
        (value, self.gradients, self.layers)
    }

    fn count(&mut self, log_prob: Tensor<1>) {
        let log_prob = log_prob.without_autodiff();
        self.log_prob = Some(match self.log_prob.take() {
            Some(total) => total + log_prob,
            None => log_prob,
        });
    }

    fn recovery<const D: usize, B: Bijector<D>>(&self, layer: &B, at: &Place<'_>) -> Recovery {
        match layer.recovery() {
            Recovery::Graph => Recovery::Graph,
            _ if self.kept.contains(at.path()) => Recovery::Input,
            // The inverse of an inverted layer is the forward pass of the layer.
            _ if at.is_inverted() => Recovery::Inverse,
            recovery => recovery,
        }
    }

    fn ahead<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        x: Tensor<D>,
    ) -> Tensor<D> {
        let noise = draws::with(|noise| noise.clone());
        let recovery = self.recovery(layer, at);
        if recovery == Recovery::Graph {
            let graph = Graph::of(layer, at, x);
            self.count(graph.log_det.clone());
            let z = graph.output.clone().without_autodiff();
            self.trails.push(Box::new(Trail { kept: Kept::Graph(graph), noise }));
            return z;
        }
        let kept = match recovery {
            Recovery::Inverse => Kept::Fingerprint(Fingerprint::of(&x)),
            _ => Kept::Input(x.clone()),
        };
        let twin = Twin::of(layer);
        let (z, log_det) = run(&twin.layer, at, twin.input(x));
        self.count(log_det);
        self.trails.push(Box::new(Trail { kept, noise }));
        z.without_autodiff()
    }

    fn back<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        Carried { value: z, gradient }: Carried<D>,
    ) -> Carried<D> {
        let trail = self.trails.pop().and_then(|trail| trail.downcast::<Trail<D>>().ok());
        let Trail { kept, noise } = *trail.expect("a walk comes back by the way it went");
        let (x, recovery) = match kept {
            Kept::Graph(graph) => {
                self.note::<D, B>(at, Recovery::Graph);
                return self.differentiate(layer, graph, gradient);
            }
            Kept::Input(x) => (x, Recovery::Input),
            Kept::Fingerprint(fingerprint) => {
                draws::seed(noise.clone());
                let twin = Twin::of(layer);
                let x = run_back(&twin.layer, at, twin.input(z)).without_autodiff();
                self.drifts.push(fingerprint.drift(&x));
                (x, Recovery::Inverse)
            }
        };
        self.note::<D, B>(at, recovery);
        draws::seed(noise);
        self.differentiate(layer, Graph::of(layer, at, x), gradient)
    }

    fn note<const D: usize, B: Bijector<D>>(&mut self, at: &Place<'_>, recovery: Recovery) {
        let (path, name) = (at.path().to_string(), at.name_of::<B>().to_string());
        self.layers.push(LayerDrift { path, name, recovery, drift: None });
    }

    /// The gradient of the loss with respect to a layer's input, from the gradient with respect to its output.
    fn differentiate<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        graph: Graph<D>,
        gradient: Option<Tensor<D>>,
    ) -> Carried<D> {
        let gradient = gradient.expect("a walk back carries a gradient");
        let loss = (graph.output * gradient).sum() - self.shares.sum(graph.log_det);
        let mut gradients = loss.backward();
        self.collect(layer, &mut gradients);
        let gradient = taken(&graph.input, &mut gradients);
        Carried { value: graph.input.without_autodiff(), gradient: Some(gradient) }
    }

    fn collect<M: Module>(&mut self, module: &M, gradients: &mut Gradients) {
        add(module, &mut self.gradients, GradientsParams::from_module(gradients, module));
    }
}

impl Walk for Step<'_> {
    fn layer<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        carried: Carried<D>,
    ) -> Carried<D> {
        match at.is_back() {
            false => Carried::new(self.ahead(layer, at, carried.value)),
            true => self.back(layer, at, carried),
        }
    }

    fn density<const D: usize, const N: usize, M: Module>(
        &mut self,
        module: &M,
        _at: &Place<'_>,
        inputs: [Tensor<D>; N],
        log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) -> [Tensor<D>; N] {
        let inputs = inputs.map(|x| x.autodiff().require_grad());
        let log_prob = log_prob(inputs.clone());
        self.count(log_prob.clone());
        let mut gradients = self.shares.sum(log_prob.neg()).backward();
        self.collect(module, &mut gradients);
        inputs.map(|x| taken(&x, &mut gradients))
    }
}

/// The graph of one layer.
struct Graph<const D: usize> {
    input: Tensor<D>,
    output: Tensor<D>,
    log_det: Tensor<1>,
}

impl<const D: usize> Graph<D> {
    fn of<B: Bijector<D>>(layer: &B, at: &Place<'_>, x: Tensor<D>) -> Self {
        let input = x.autodiff().require_grad();
        let (output, log_det) = run(layer, at, input.clone());
        Self { input, output, log_det }
    }
}

/// A copy of a layer that computes as in training and leaves no graph.
struct Twin<B> {
    layer: B,
    in_training: bool,
}

impl<B: Module> Twin<B> {
    fn of(layer: &B) -> Self {
        // Modules that behave differently in training test whether they are on an autodiff device.
        let in_training = acts_differently_in_training(layer);
        let layer = if in_training { layer.clone().no_grad() } else { layer.valid() };
        Self { layer, in_training }
    }

    fn input<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.in_training { x.autodiff() } else { x }
    }
}

/// Whether the module has an enabled training flag, as dropout has.
fn acts_differently_in_training(module: &impl Module) -> bool {
    struct Flags(bool);
    impl ModuleVisitor for Flags {
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            self.0 |= flag.is_enabled();
        }
    }
    let mut flags = Flags(false);
    module.visit(&mut flags);
    flags.0
}

/// Runs a layer on the way to the latent.
fn run<const D: usize, B: Bijector<D>>(
    layer: &B,
    at: &Place<'_>,
    x: Tensor<D>,
) -> (Tensor<D>, Tensor<1>) {
    match at.is_inverted() {
        false => layer.forward(x, at.context()),
        true => layer.inverse_with_log_det(x, at.context()),
    }
}

/// Runs a layer on the way back.
fn run_back<const D: usize, B: Bijector<D>>(layer: &B, at: &Place<'_>, z: Tensor<D>) -> Tensor<D> {
    match at.is_inverted() {
        false => layer.inverse(z, at.context()),
        true => layer.forward(z, at.context()).0,
    }
}

/// The gradient with respect to `x`, zero if nothing depends on `x`.
fn taken<const D: usize>(x: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    x.grad_remove(gradients).unwrap_or_else(|| x.zeros_like().without_autodiff())
}
