//! Condition numbers of linear layers, and layers that are not bijections.

use burn_flows::Flow;
use burn_flows::bijector::{
    ActNormConfig, Bijector, ChannelMatrix, DenseMatrix, LinearMap, LuFactors, LuLinearConfig,
    Permutation, Rotation, RotationConfig, TriangularLinearConfig,
};
use burn_flows::burn;
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::Tensor;
use burn_flows::distribution::StandardNormal;
use burn_flows::testing::{LayerCertificate, certify, moved};

use crate::{DEVICE, data, images, matrix, normal};

fn only<B: Bijector<2>>(layer: B, features: usize) -> LayerCertificate {
    certify(&Flow::new(layer, normal(features)), &data(features), None).layers()[0].clone()
}

/// The eigenvalues of `[[1, b], [b, 1]]` are `1 + b` and `1 - b`, so the condition number is known.
#[test]
fn matrices_have_the_condition_of_their_singular_values() {
    for b in [0.0, 0.5, 0.99, 1.0 - 1e-6] {
        let layer = only(LinearMap::new(DenseMatrix::from_weights(matrix(b)).unwrap()), 2);
        // The value of `b` after rounding to f32, as in the weights.
        let b = f64::from(b as f32);
        let expected = (1.0 + b) / (1.0 - b);
        let found = layer.condition.unwrap();
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} for {expected}");
        assert_eq!(layer.round_trip > 1e-3, expected > 1e5, "{layer:?}");
    }
}

#[test]
fn what_keeps_lengths_has_condition_one() {
    let rotation: Rotation = moved(RotationConfig::new(30).init(&DEVICE), 1);
    for layer in [only(rotation, 30), only(Permutation::random(70, 1, &DEVICE).unwrap(), 70)] {
        assert!((layer.condition.unwrap() - 1.0).abs() < 1e-6, "{layer:?}");
    }
}

#[test]
fn a_scale_per_feature_has_the_condition_of_its_ends() {
    let log_scale: Vec<f32> = (0..50).map(|i| i as f32 * 0.1).collect();
    let log_scale = Tensor::<1>::from_data(log_scale.as_slice(), &*DEVICE);
    let layer = burn_flows::bijector::ActNorm::from_weights(log_scale.clone(), log_scale * 0.0);
    let condition = only(layer, 50).condition.unwrap();
    assert!((condition / 4.9f64.exp() - 1.0).abs() < 1e-2, "{condition}");
}

/// For a large event, the certificate sees the singular values of the channels, each repeated for
/// every pixel.
#[test]
fn channels_of_large_images_have_the_condition_of_their_matrix() {
    let matrix = ChannelMatrix::Plain(DenseMatrix::from_weights(matrix(0.8)).unwrap());
    let flow = Flow::new(LinearMap::new(matrix), StandardNormal::<4>::new([2, 30, 30], &DEVICE));
    let certificate = certify(&flow, &images([2, 2, 30, 30], 1), None);
    let layer = &certificate.layers()[0];
    assert!((layer.condition.unwrap() - 9.0).abs() < 1e-4, "{certificate}");
    assert!(certificate.wrong().is_none() && certificate.lost().is_none(), "{certificate}");
    assert!(certificate.to_string().contains("> 9.0e0"), "{certificate}");
}

/// Drops the last feature, although it claims to rotate the event.
#[derive(Module, Debug)]
struct Forgets {}

impl Bijector<2> for Forgets {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let [rows, features] = x.dims();
        let log_det = Tensor::zeros([rows], (&x.device(), x.dtype()));
        let kept = x.narrow(1, 0, features - 1);
        let first = kept.clone().narrow(1, 0, 1);
        (Tensor::cat(vec![kept, first], 1), log_det)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        z
    }
}

#[test]
fn what_is_no_bijection_has_neither_inverse_nor_condition() {
    for features in [3, 100] {
        let linear = LuLinearConfig::new(features).init(&DEVICE);
        let flow = Flow::new((linear, Forgets {}), normal(features));
        let certificate = certify(&flow, &data(features), None);
        let lost = certificate.lost().expect("a layer without an inverse");
        assert_eq!((lost.path.as_str(), lost.name.as_str()), ("bijector.1", "Forgets"));
        assert_eq!(lost.condition, Some(f64::INFINITY), "{certificate}");
        assert_eq!(certificate.wrong().map(|layer| layer.name.as_str()), Some("Forgets"));
        assert!(certificate.to_string().ends_with("Forgets) has lost its inverse"));
    }
}

/// Every parameterisation of a linear layer, compared with the round trip of its data.
#[test]
fn linear_layers_of_every_kind_have_a_condition() {
    let layers = [
        only(moved(LuLinearConfig::new(6).init(&DEVICE), 1), 6),
        only(moved(TriangularLinearConfig::new(6).init(&DEVICE), 1), 6),
        only(LinearMap::new(LuFactors::identity(6, &DEVICE)), 6),
        only(moved(ActNormConfig::new(6).init(&DEVICE), 2), 6),
    ];
    for layer in layers {
        let condition = layer.condition.unwrap();
        assert!((1.0..1e4).contains(&condition), "{layer:?}");
        assert!(layer.round_trip < 1e-6 * condition, "{layer:?}");
    }
}
