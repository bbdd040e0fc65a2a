//! Large events: the certificate takes the Jacobian of a single row, or random directions instead
//! of it.

use burn_flows::bijector::{ActNorm, Bijector, Elementwise, Logit};
use burn_flows::burn;
use burn_flows::burn::module::{Module, ModuleDisplay};
use burn_flows::burn::tensor::Tensor;
use burn_flows::conditioner::MlpConfig;
use burn_flows::distribution::{Distribution, StandardNormal};
use burn_flows::model::{GlowConfig, RealNvp, RealNvpConfig};
use burn_flows::testing::{Certificate, LayerCertificate, certify, moved};
use burn_flows::univariate::RationalQuadraticConfig;
use burn_flows::{Flow, Noise};

use crate::{DEVICE, built, data, images, normal};

/// Returns the log-determinant of its layer times a factor.
#[derive(Module, Debug)]
struct Times<B> {
    layer: B,
    factor: f64,
}

impl<const D: usize, B: Bijector<D> + ModuleDisplay> Bijector<D> for Times<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let (z, log_det) = self.layer.forward(x, context);
        (z, log_det * self.factor)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.layer.inverse(z, context)
    }
}

/// `z = 2 x`, with a backward pass that returns half of the gradient.
#[derive(Module, Debug)]
struct Half {}

impl Bijector<2> for Half {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let [rows, features] = x.dims();
        let log_det = Tensor::full([rows], features as f64 * 2f64.ln(), (&x.device(), x.dtype()));
        let known = x.clone().without_autodiff();
        (x + known, log_det)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        z * 0.5
    }
}

/// A coupling after a scale of 1 / 3 on every feature.
fn coupling(features: usize) -> (ActNorm, Vec<impl Bijector<2> + Clone>) {
    let scale = Tensor::full([features], -3f64.ln(), &*DEVICE);
    let scale = ActNorm::from_weights(scale, Tensor::zeros([features], &*DEVICE));
    let mlp = MlpConfig::new(vec![32, 32]);
    let config = RealNvpConfig::new(features).with_layers(1).with_mlp(mlp);
    let flow: RealNvp = built(&DEVICE, |device| config.init(device));
    (scale, moved(flow, 4).into_parts().0)
}

/// The certificate of one layer on three rows, with the log-determinant multiplied by `factor`.
fn of<B: Bijector<2>>(layer: B, factor: f64, features: usize) -> Certificate {
    let rows = data(features).narrow(0, 0, 3);
    certify(&Flow::new(Times { layer, factor }, normal(features)), &rows, None)
}

#[test]
fn a_thousand_numbers_are_taken_entry_by_entry() {
    for features in [65, 400, 1024] {
        let certificate = of(coupling(features), 1.0, features);
        let layer = &certificate.layers()[0];
        assert_eq!(layer.log_det_error, 0.0);
        assert!(layer.log_det.is_some_and(|off| off < 1e-6), "{certificate}");
        assert!(layer.condition.is_some_and(|condition| condition > 2.0), "{certificate}");
        assert!(certificate.wrong().is_none() && certificate.lost().is_none());
    }
    // An error of 0.01 % is found.
    let certificate = of(coupling(400), 1.0001, 400);
    assert_eq!(certificate.wrong().map(|layer| layer.path.as_str()), Some("bijector"));
}

#[test]
fn more_are_estimated_and_one_percent_is_noticed() {
    let sound = of(coupling(1500), 1.0, 1500);
    let layer = &sound.layers()[0];
    let (off, error) = (layer.log_det.unwrap(), layer.log_det_error);
    assert!(error > 0.0 && error < 2e-3 && off < 4.0 * error, "{sound}");
    assert!(sound.wrong().is_none() && sound.lost().is_none());
    assert!(sound.to_string().contains(" +- "), "{sound}");
    for factor in [0.99, 1.01] {
        let wrong = of(coupling(1500), factor, 1500);
        let layer = wrong.wrong().expect("the wrong layer is found");
        // Relative to the log-determinant that the layer returns.
        let expected = f64::abs(1.0 / factor - 1.0);
        assert!((layer.log_det.unwrap() - expected).abs() < 4.0 * error, "{wrong}");
    }
}

/// Random signs give the exact trace of a diagonal matrix, so only the error of the quadrature
/// remains.
#[test]
fn layers_of_single_numbers_are_known_to_the_last_digits_however_large() {
    let spline = RationalQuadraticConfig::new().init();
    let spline = || moved(Elementwise::new(spline.clone(), 2000, &DEVICE).unwrap(), 6);
    let certificate = of(spline(), 1.0, 2000);
    assert!(certificate.wrong().is_none(), "{certificate}");
    assert!(certificate.layers()[0].log_det_error < 1e-5, "{certificate}");
    assert!(of(spline(), 1.001, 2000).wrong().is_some());
    let pixels = Noise::seeded(3).uniform([2, 1, 40, 40], &DEVICE);
    let flow = Flow::new(Logit::new(0.05).unwrap(), StandardNormal::<4>::new([1, 40, 40], &DEVICE));
    let certificate = certify(&flow, &pixels, None);
    assert!(certificate.wrong().is_none() && certificate.lost().is_none(), "{certificate}");
}

#[test]
fn levels_of_large_images_are_certified() {
    let x = images([2, 3, 24, 24], 5);
    let config = GlowConfig::new([3, 24, 24], 2).with_steps(1);
    let glow = built(&DEVICE, |device| config.init(device));
    let glow = moved(glow.init_from_data(x.clone(), None), 3);
    let certificate = certify(&glow, &x, None);
    assert!(certificate.wrong().is_none() && certificate.lost().is_none(), "{certificate}");
    let [first, last] = ["levels.0", "levels.1"].map(|level| {
        let is_coupling =
            |layer: &&LayerCertificate| layer.path.starts_with(level) && layer.name == "Coupling";
        certificate.layers().iter().find(is_coupling).expect("every level has a coupling")
    });
    assert!(first.log_det_error > 0.0 && last.log_det_error == 0.0, "{certificate}");
}

/// The estimate uses a backward pass. If the backward pass does not match the values, the layer is
/// reported as wrong.
#[test]
fn a_gradient_that_is_not_that_of_the_values_is_named() {
    let wrong = of(Half {}, 1.0, 1500);
    assert_eq!(wrong.wrong().expect("the wrong layer is found").log_det, Some(f64::INFINITY));
    assert!(of(Half {}, 1.0, 30).wrong().is_none(), "a small event needs no gradient");
}
