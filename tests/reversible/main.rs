//! Training without the activations in memory gives the gradients of ordinary training for every
//! model.

#[path = "../common/built.rs"]
mod built;
mod drift;
mod models;
mod stacks;
mod training;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use burn_flows::bijector::Recovery;
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::train::{LayerDrift, Reversible, nll_gradients};
use burn_flows::{burn, cast};

use built::built;

/// The precisions, and the allowed difference of gradients relative to their norm.
const PRECISIONS: [(DType, f64); 2] = [(DType::F32, 1e-5), (DType::F64, 1e-10)];

fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    Noise::seeded(seed).normal(shape, &Device::flex())
}

/// The gradient of every parameter, or `None` if it has none.
fn flat<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<Option<Vec<f64>>> {
    struct All<'a>(&'a GradientsParams, Vec<Option<Vec<f64>>>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id);
            self.1.push(gradient.map(|gradient| gradient.into_data().iter::<f64>().collect()));
        }
    }
    let mut all = All(gradients, vec![]);
    module.visit(&mut all);
    all.1
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The largest difference of two gradients, relative to the norm of the first, for each parameter
/// and for all together. If the gradient of a parameter nearly vanishes, the difference is relative
/// to a hundredth of the norm of all. Also checks that both have gradients for the same parameters.
fn apart(expected: &[Option<Vec<f64>>], found: &[Option<Vec<f64>>]) -> f64 {
    let scale = norm(expected.iter().flatten().flatten().copied());
    assert!(scale.is_finite() && scale > 0.0, "{scale}");
    let (mut squares, mut worst) = (0.0, 0f64);
    for (at, pair) in expected.iter().zip(found).enumerate() {
        match pair {
            (Some(a), Some(b)) => {
                let off = norm(a.iter().zip(b).map(|(a, b)| a - b));
                squares += off * off;
                worst = worst.max(off / norm(a.iter().copied()).max(0.01 * scale));
            }
            (None, None) => {}
            // A parameter without influence on the loss.
            (None, Some(only)) | (Some(only), None) => {
                assert_eq!(norm(only.iter().copied()), 0.0, "parameter {at}: one gradient");
            }
        }
    }
    worst.max(squares.sqrt() / scale)
}

fn loss_and_gradients<F: Distribution<D>, const D: usize>(
    model: &F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
) -> (f64, Vec<Option<Vec<f64>>>) {
    let (value, gradients) = nll_gradients(model, (x.clone(), context.cloned()));
    (value, flat(model, &gradients))
}

/// Compares a reversible step with an ordinary step in one precision. Returns what the layers did.
fn assert_same<F: Distribution<D>, const D: usize>(
    model: &F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
    tolerance: f64,
) -> Vec<LayerDrift> {
    let (expected, ordinary) = loss_and_gradients(model, x, context);
    let mut reversible = Reversible::new();
    let (found, gradients) = reversible.nll_gradients(model, (x.clone(), context.cloned()));
    assert!((expected - found).abs() <= tolerance * expected.abs().max(1.0), "{expected} {found}");
    let far = apart(&ordinary, &flat(model, &gradients));
    println!("{far:.1e} of {tolerance:.0e}, largest drift {:.1e}", largest(reversible.layers()));
    assert!(far < tolerance, "{far:e}: {:#?}", reversible.layers());
    reversible.layers().to_vec()
}

fn largest(layers: &[LayerDrift]) -> f64 {
    layers.iter().filter_map(|layer| layer.drift).fold(0.0, f64::max)
}

/// Runs [`assert_same`] in both precisions. The weights are moved, because a start as the identity
/// hides errors.
fn in_both_precisions<F: Distribution<D>, const D: usize>(
    make: impl FnOnce(&Device) -> F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
) -> [Vec<LayerDrift>; 2] {
    let model = moved(built(&Device::flex(), make), 3);
    PRECISIONS.map(|(dtype, tolerance)| {
        let model = cast(model.clone(), dtype).train();
        let (x, context) = (x.clone().cast(dtype), context.map(|c| c.clone().cast(dtype)));
        assert_same(&model, &x, context.as_ref(), tolerance)
    })
}

/// Runs [`in_both_precisions`]. `recoveries` lists what each layer is expected to do, from the
/// latent to the data. An entry stands for all consecutive layers that do the same. In f32 more
/// layers may keep their input.
fn assert_trains<F: Distribution<D>, const D: usize>(
    make: impl FnOnce(&Device) -> F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
    recoveries: &[Recovery],
) {
    let [_, layers] = in_both_precisions(make, x, context);
    let mut found: Vec<Recovery> = layers.iter().map(|layer| layer.recovery).collect();
    found.dedup();
    assert_eq!(found, recoveries, "{layers:#?}");
}
