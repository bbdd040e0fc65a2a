//! The inverse of autoregressive layers: one incremental pass gives the same result as one full
//! pass per feature.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use burn_flows::bijector::*;
use burn_flows::conditioner::{ActivationConfig, Conditioner, Degrees, Dependencies, MadeConfig};
use burn_flows::testing::moved;
use burn_flows::univariate::{Additive, Affine, NeuralConfig, PerElement};
use burn_flows::{Noise, cast};

/// Repeats full passes until no value changes.
const PASSES: InverseMethod = InverseMethod::FixedPoint { tolerance: 0.0 };

type Layer = MaskedAutoregressive<Affine>;

fn layer(features: usize, made: MadeConfig, context: usize) -> Layer {
    let config = MaskedAutoregressiveConfig::new(features).with_made(made).with_context(context);
    moved(config.init(Affine::default(), &Device::flex()), 5)
}

fn graph(features: usize) -> Dependencies {
    // A binary tree: every feature depends on the feature above it and on the root.
    let parents = |feature: usize| match feature {
        0 => vec![],
        _ => vec![0, (feature - 1) / 2],
    };
    Dependencies::Parents((0..features).map(parents).collect())
}

/// Networks of every kind, with the number of features and the context width of each.
fn layers() -> Vec<(&'static str, usize, usize, Layer)> {
    let wide = || MadeConfig::new(vec![128, 128]);
    let residual = || MadeConfig::new(vec![48, 48, 48]).with_residual(true);
    let random = Dependencies::Random(4);
    let rows = [
        ("plain", 64, 0, wide()),
        ("context", 33, 3, wide().with_activation(ActivationConfig::Silu)),
        ("reversed", 20, 0, wide().with_dependencies(Dependencies::Reversed)),
        (
            "random",
            41,
            2,
            wide().with_dependencies(random.clone()).with_degrees(Degrees::Random(2)),
        ),
        ("residual", 40, 0, residual()),
        ("residual context", 31, 2, residual().with_dependencies(random)),
        ("graph", 30, 0, wide().with_dependencies(graph(30))),
        ("residual graph", 30, 2, residual().with_dependencies(graph(30))),
        ("one layer", 9, 0, MadeConfig::new(vec![8])),
        ("one feature", 1, 2, wide()),
    ];
    rows.map(|(name, d, c, made)| (name, d, c, layer(d, made, c))).into()
}

fn normal(shape: [usize; 2], seed: u64, dtype: DType) -> Tensor<2> {
    Noise::seeded(seed).normal::<2>(shape, &Device::flex()).cast(dtype)
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().try_to_vec_as().unwrap()
}

/// The largest difference, relative to the largest value or to 1 if that is smaller.
fn distance<const D: usize>(found: Tensor<D>, expected: Tensor<D>) -> f64 {
    let (found, expected) = (host(found), host(expected));
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0f64, |most, v| most.max(v.abs()));
    let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    far.fold(0.0, |most: f64, far| if far.is_nan() { f64::NAN } else { most.max(far) }) / size
}

#[test]
fn one_pass_gives_the_numbers_of_many() {
    for (name, features, context, layer) in layers() {
        for (dtype, allowed) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let layer = cast(layer.valid(), dtype);
            let z = normal([50, features], 1, dtype);
            let context = (context > 0).then(|| normal([50, context], 2, dtype));
            let context = context.as_ref();
            let once = layer.inverse(z.clone(), context);
            let (with_log_det, log_det) = layer.inverse_with_log_det(z.clone(), context);
            {
                let plain = layer.clone().with_inverse(PASSES).unwrap();
                let (x, expected) = plain.inverse_with_log_det(z.clone(), context);
                for (what, error) in [
                    ("x", distance(once.clone(), x.clone())),
                    ("x beside the log-det", distance(with_log_det.clone(), x)),
                    ("log-det", distance(log_det.clone(), expected)),
                ] {
                    assert!(error <= allowed, "{name} {dtype:?}, {what}: {error:e}");
                }
            }
        }
    }
}

/// The gradients of a loss of the inverse, with respect to z and to every parameter.
fn gradients(layer: &Layer, z: &Tensor<2>, context: Option<&Tensor<2>>) -> Vec<f64> {
    struct Collect<'a>(&'a burn::tensor::Gradients, Vec<f64>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
            self.1.extend(host(gradient));
        }
    }
    let z = z.clone().autodiff().require_grad();
    let (x, log_det) = layer.inverse_with_log_det(z.clone(), context);
    let loss = (x.clone() * x).sum() * 0.5 + log_det.sum();
    let all = loss.backward();
    let mut collect = Collect(&all, host(z.grad(&all).unwrap()));
    layer.visit(&mut collect);
    collect.1
}

#[test]
fn the_gradient_through_one_pass_is_that_through_many() {
    for (name, features, context, layer) in layers() {
        let layer = cast(layer, DType::F64);
        let z = normal([4, features], 1, DType::F64);
        let context = (context > 0).then(|| normal([4, context], 2, DType::F64));
        let once = gradients(&layer, &z, context.as_ref());
        let many = gradients(&layer.with_inverse(PASSES).unwrap(), &z, context.as_ref());
        let size = many.iter().fold(1.0f64, |most, g| most.max(g.abs()));
        let far = once.iter().zip(&many).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(once.len() == many.len() && far / size < 1e-12, "{name}: {far:e} of {size:e}");
    }
}

#[test]
fn a_fixed_point_stops_at_its_tolerance() {
    let layer = layer(24, MadeConfig::new(vec![64]), 0).valid();
    let z = normal([20, 24], 3, DType::F32);
    let exact = layer.inverse(z.clone(), None);
    let miss = |tolerance| {
        let method = InverseMethod::FixedPoint { tolerance };
        distance(
            layer.clone().with_inverse(method).unwrap().inverse(z.clone(), None),
            exact.clone(),
        )
    };
    // A loose tolerance accepts the first pass. A tighter tolerance gives a smaller error.
    assert!(miss(1e9) > 0.1 && miss(1e-2) < 1e-1 && miss(1e-4) < 1e-4, "{}", miss(1e-2));
}

#[test]
fn a_record_of_other_degrees_brings_its_own_order() {
    let made = |seed| {
        MadeConfig::new(vec![32, 32])
            .with_degrees(Degrees::Random(seed))
            .with_dependencies(Dependencies::Random(seed))
    };
    let saved = layer(12, made(1), 0).valid();
    let bytes = saved.clone().into_record().into_bytes().unwrap();
    let record = burn::store::ModuleRecord::from_bytes(bytes).unwrap();
    let loaded = layer(12, made(2), 0).valid().load_record(record);
    let z = normal([9, 12], 4, DType::F32);
    assert_eq!(distance(loaded.inverse(z.clone(), None), saved.inverse(z, None)), 0.0);
    assert_eq!(loaded.conditioner().steps(), saved.conditioner().steps());
}

#[test]
fn a_graph_takes_as_many_steps_as_its_longest_path() {
    let made = MadeConfig::new(vec![32]).with_dependencies(graph(15));
    let steps = layer(15, made, 0).conditioner().steps();
    assert_eq!(steps, [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn a_context_reaches_the_feature_that_depends_on_none() {
    // SiLU instead of ReLU: with ReLU, all of the few units of that feature may be zero.
    let config = MadeConfig::new(vec![16, 16]).with_activation(ActivationConfig::Silu);
    let net = config.with_zero_last(false).init(4, 1, 2, &Device::flex());
    let x = Tensor::<2>::zeros([1, 4], &Device::flex());
    let out = |seed| host(net.forward(x.clone(), Some(&normal([1, 2], seed, DType::F32))));
    let (one, other) = (out(1), out(2));
    assert!(one.iter().zip(&other).all(|(a, b)| a != b), "{one:?} {other:?}");
}

#[test]
fn a_fresh_layer_is_the_identity_and_an_image_is_its_values() {
    let config = MaskedAutoregressiveConfig::new(12);
    let x = normal([3, 12], 1, DType::F32);
    let (z, log_det) = config.init(Affine::default(), &Device::flex()).forward(x.clone(), None);
    assert_eq!((host(z), host(log_det)), (host(x.clone()), vec![0.0; 3]));

    let layer = moved(config.init(Additive::default(), &Device::flex()), 1).valid();
    let image = x.clone().reshape([3, 3, 2, 2]);
    let flat = layer.forward(x, None).0;
    assert_eq!(host(layer.forward(image, None).0), host(flat));
}

/// A map with separate weights for each element, whose elements alternate irregularly.
#[test]
fn maps_per_element_keep_their_own_weights_in_every_step() {
    let map = |elements| {
        NeuralConfig::new()
            .with_signal(2)
            .with_hidden(vec![4])
            .with_elements(elements)
            .with_seed(elements as u64)
    };
    let maps = vec![map(2).init(&Device::flex()), map(3).init(&Device::flex())];
    let map = PerElement::new(maps, vec![1, 0, 1, 0, 1]).unwrap();
    for dependencies in [
        Dependencies::Random(1),
        Dependencies::Parents(vec![vec![], vec![], vec![0, 1], vec![0], vec![2, 3]]),
    ] {
        let made = MadeConfig::new(vec![16]).with_dependencies(dependencies).with_seed(1);
        let config = MaskedAutoregressiveConfig::new(5).with_made(made);
        let layer = cast(moved(config.init(map.clone(), &Device::flex()), 5).valid(), DType::F64);
        let x = normal([7, 5], 1, DType::F64);
        let (z, log_det) = layer.forward(x.clone(), None);
        let (back, minus) = layer.inverse_with_log_det(z, None);
        let off = |a: Tensor<2>, b: Tensor<2>| (a - b).abs().max().into_scalar::<f64>();
        assert!(off(back, x) < 1e-9);
        assert!(off(log_det.unsqueeze(), minus.neg().unsqueeze()) < 1e-9);
    }
}
