//! Certificates name the layer that loses its inverse and the layer with a wrong log-determinant.

#[path = "../common/built.rs"]
mod built;
mod condition;
mod large;

use std::sync::LazyLock;

use burn_flows::bijector::{
    Bijector, DenseMatrix, Inverse, LeakyRelu, LinearMap, LuLinearConfig, Mask, Partial, Squeeze,
    Tanh,
};
use burn_flows::burn;
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{DType, Device, Tensor};
use burn_flows::conditioner::ConvNetConfig;
use burn_flows::distribution::{Distribution, Marginal, Mixture, StandardNormal};
use burn_flows::model::{GlowConfig, IafConfig, RealNvp, RealNvpConfig};
use burn_flows::testing::{certify, moved};
use burn_flows::{Flow, Noise};

use built::built;

static DEVICE: LazyLock<Device> = LazyLock::new(Device::flex);

fn data(features: usize) -> Tensor<2> {
    Noise::seeded(1).normal([50, features], &DEVICE)
}

fn images(shape: [usize; 4], seed: u64) -> Tensor<4> {
    Noise::seeded(seed).normal(shape, &DEVICE)
}

fn normal(features: usize) -> StandardNormal<2> {
    StandardNormal::new([features], &DEVICE)
}

/// Doubles its input. `says_so` decides whether its log-determinant includes the factor.
#[derive(Module, Debug)]
struct Double {
    says_so: bool,
}

impl Bijector<2> for Double {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let [rows, features] = x.dims();
        let log_det = if self.says_so { features as f64 * 2f64.ln() } else { 0.0 };
        let log_det = Tensor::full([rows], log_det, (&x.device(), x.dtype()));
        (x * 2.0, log_det)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        z * 0.5
    }
}

#[test]
fn a_sound_flow_has_a_certificate_without_a_complaint() {
    let flow = built(&DEVICE, |device| RealNvpConfig::new(4).with_layers(3).init(device));
    let flow = moved(flow, 1);
    let certificate = certify(&flow, &data(4), None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["bijector.0", "bijector.1", "bijector.2"]);
    for layer in certificate.layers() {
        assert_eq!(layer.name, "Coupling");
        assert!(layer.round_trip < 1e-5 && layer.log_scale > 0.0, "{layer:?}");
        assert!(layer.log_det.is_some_and(|error| error < 1e-7), "{layer:?}");
    }
    assert!(certificate.lost().is_none() && certificate.wrong().is_none());
    assert!(certificate.to_string().ends_with("every layer passed"), "{certificate}");
}

#[test]
fn the_layer_that_leads_nowhere_is_named() {
    let sound = || LinearMap::new(DenseMatrix::from_weights(matrix(0.5)).unwrap());
    let singular = LinearMap::new(DenseMatrix::from_weights(matrix(1.0 - 1e-6)).unwrap());
    let flow = Flow::new(vec![sound(), singular, sound()], normal(2));
    let certificate = certify(&flow, &data(2), None);
    let lost = certificate.lost().expect("a lost layer");
    assert_eq!(lost.path, "bijector.1");
    assert!(lost.round_trip > 1e-3 && lost.round_trip.is_finite());
    assert!(certificate.to_string().contains("bijector.1 (DenseLinear) has lost its inverse"));
    assert!(certificate.with_tolerance(10.0).lost().is_none());
}

fn matrix(b: f64) -> Tensor<2> {
    Tensor::from_data([[1.0, b], [b, 1.0]], &*DEVICE)
}

/// Tanh maps large numbers to 1, which has no finite inverse.
#[test]
fn what_is_not_finite_on_the_way_back_is_lost() {
    let flow = Flow::new((LeakyRelu::new(0.5).unwrap(), Tanh {}), normal(3));
    let certificate = certify(&flow, &(data(3) * 100.0), None);
    assert_eq!(certificate.lost().expect("a lost layer").path, "bijector.1");
    let nan = certify(&flow, &(data(3) * f32::NAN), None);
    assert_eq!(nan.lost().expect("a lost layer").round_trip, f64::INFINITY);
}

#[test]
fn a_wrong_log_determinant_is_named() {
    let flow = Flow::new((Double { says_so: true }, Double { says_so: false }), normal(3));
    let certificate = certify(&flow, &data(3), None);
    assert!(certificate.lost().is_none());
    let wrong = certificate.wrong().expect("a wrong layer");
    assert_eq!((wrong.path.as_str(), wrong.name.as_str()), ("bijector.1", "Double"));
    assert!((wrong.log_det.unwrap() - 3.0 * 2f64.ln()).abs() < 1e-6);
    assert!(certificate.to_string().contains("Double) has a wrong log-determinant"));
}

#[test]
fn levels_components_and_contexts_are_walked_through() {
    let network = ConvNetConfig::new(8);
    let config = GlowConfig::new([1, 4, 4], 2).with_steps(1).with_network(network);
    let glow = built(&DEVICE, |device| config.init(device));
    let x = images([20, 1, 4, 4], 2);
    let glow = moved(glow.init_from_data(x.clone(), None), 3);
    let certificate =
        certify(&Flow::new(Squeeze::default(), StandardNormal::new([4, 2, 2], &DEVICE)), &x, None);
    assert_eq!(certificate.layers()[0].path, "bijector");
    let certificate = certify(&glow, &x, None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert!(
        paths.first().unwrap().starts_with("levels.0")
            && paths.last().unwrap().starts_with("levels.1")
    );
    assert!(certificate.lost().is_none() && certificate.wrong().is_none(), "{certificate}");

    let given = |seed| -> RealNvp {
        let config = RealNvpConfig::new(2).with_layers(2).with_context(3);
        moved(built(&DEVICE, |device| config.init(device)), seed)
    };
    let context = Tensor::<2>::ones([1, 3], &*DEVICE);
    let certificate = certify(&given(1), &data(2), &context);
    assert_eq!(certificate.layers().len(), 2);
    let classes = |seed| Marginal::of_classes(given(seed), 3, &DEVICE).unwrap();
    let mixture = Mixture::new(vec![classes(1), classes(2)], &DEVICE).unwrap();
    let certificate = certify(&mixture, &data(2), None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    let second = "components.1.conditional.bijector.1";
    assert_eq!((paths.len(), paths[3]), (4, second));
}

#[test]
fn f64_data_are_held_to_more() {
    let flow = Flow::new(vec![LuLinearConfig::new(3).init(&DEVICE)], normal(3));
    let flow = burn_flows::cast(moved(flow, 5), DType::F64);
    let certificate = certify(&flow, &data(3).cast(DType::F64), None);
    assert!(certificate.layers()[0].round_trip < 1e-12);
    assert!(certificate.lost().is_none() && certificate.wrong().is_none(), "{certificate}");
}

/// The certificate looks into layers that contain layers, also into inverted and partial ones.
#[test]
fn inverted_and_partial_layers_are_looked_into() {
    let iaf = built(&DEVICE, |device| IafConfig::new(2).with_layers(2).init(device));
    let certificate = certify(&moved(iaf, 3), &data(2), None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["bijector.inner.1.autoregressive", "bijector.inner.0.autoregressive"]);
    assert!(certificate.lost().is_none() && certificate.wrong().is_none(), "{certificate}");

    let wrong = || Inverse::new(vec![Double { says_so: true }, Double { says_so: false }]);
    let part = Partial::new(&Mask::Kept(vec![0]), &[2], wrong(), &DEVICE).unwrap();
    let certificate = certify(&Flow::new(part, normal(2)), &data(2), None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["bijector.inner.inner.1", "bijector.inner.inner.0"]);
    assert_eq!(certificate.wrong().unwrap().path, "bijector.inner.inner.1");
}
