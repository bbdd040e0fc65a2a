//! Residual layers with weights of any size, in f32: nothing becomes NaN or infinite.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use burn_flows::bijector::*;
use burn_flows::{Noise, burn};

/// Sets what is trained to noise of this size.
struct Sized(Noise, f64);

impl ModuleMapper for Sized {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            if !old.is_require_grad() {
                return old;
            }
            let noise = self.0.normal(old.dims(), &old.device()) * self.1;
            noise.autodiff().require_grad()
        })
    }
}

/// Whether every gradient is finite.
struct Finite<'a>(&'a Gradients, bool);

impl ModuleVisitor for Finite<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.0) {
            self.1 &= all_finite(gradient);
        }
    }
}

fn all_finite<const D: usize>(x: Tensor<D>) -> bool {
    x.into_data().iter::<f64>().all(f64::is_finite)
}

/// Rows of every size, the centre among them.
fn rows(features: usize) -> Tensor<2> {
    let device = Device::flex();
    let mut noise = Noise::seeded(3);
    let sizes = [0.0, 1e-30, 1e-3, 1.0, 30.0, 1e4];
    let row = |size: f64| noise.normal::<2>([4, features], &device) * size;
    Tensor::cat(sizes.into_iter().map(row).collect(), 0)
}

fn stays_finite(config: AnyBijectorConfig) {
    let layer = config.init(&Device::flex().autodiff()).unwrap();
    for seed in 0..20 {
        for size in [0.0, 1e-20, 1e-6, 0.1, 1.0, 10.0, 1e3] {
            let layer = layer.clone().map(&mut Sized(Noise::seeded(seed), size));
            let x = rows(3).autodiff().require_grad();
            for forward in [true, false] {
                let (y, log_det) = match forward {
                    true => layer.forward(x.clone(), None),
                    false => layer.inverse_with_log_det(x.clone(), None),
                };
                let what = format!("{config:?}, weights of {size}, seed {seed}, forward {forward}");
                assert!(all_finite(y.clone()) && all_finite(log_det.clone()), "{what}");
                let gradients = (y.sum() + log_det.sum()).backward();
                assert!(all_finite(x.grad(&gradients).unwrap()), "gradient of x, {what}");
                let mut finite = Finite(&gradients, true);
                layer.visit(&mut finite);
                assert!(finite.1, "gradient of a weight, {what}");
            }
        }
    }
}

#[test]
fn planar_stays_finite() {
    stays_finite(AnyBijectorConfig::Planar(PlanarConfig::new(3)));
    let leaky = PlanarConfig::new(3).with_activation(RidgeActivation::LeakyRelu { slope: 0.1 });
    stays_finite(AnyBijectorConfig::Planar(leaky));
}

#[test]
fn radial_stays_finite() {
    stays_finite(AnyBijectorConfig::Radial(RadialConfig::new(3)));
}

#[test]
fn sylvester_stays_finite() {
    stays_finite(AnyBijectorConfig::Sylvester(SylvesterConfig::new(3, 2)));
}

#[test]
fn residual_stays_finite_and_invertible() {
    let config = ResidualConfig::new(3).with_hidden(vec![5, 4]).with_lipschitz(0.9);
    stays_finite(AnyBijectorConfig::Residual(config.clone()));
    for size in [0.1, 1.0, 10.0, 1e3] {
        let layer = config.init(&Device::flex().autodiff());
        let layer = layer.map(&mut Sized(Noise::seeded(1), size)).valid();
        let x = Noise::seeded(2).normal::<2>([50, 3], &Device::flex());
        let back = layer.inverse(layer.forward(x.clone(), None).0, None);
        let off = (back - x.clone()).abs().max().into_scalar::<f64>();
        // Biases as large as the weights leave that many digits.
        assert!(off < 2e-5 * size.max(1.0), "{off} by weights of {size}");
    }
}

#[test]
fn block_autoregressive_stays_finite() {
    let config = BlockNeuralAutoregressiveConfig::new(3).with_block(4).with_depth(2);
    stays_finite(AnyBijectorConfig::BlockNeuralAutoregressive(config));
}

#[test]
fn layers_start_as_the_identity() {
    let device = Device::flex();
    let log_softplus = PlanarConfig::new(3).with_constraint(PlanarConstraint::LogSoftplus);
    for config in [
        AnyBijectorConfig::Planar(PlanarConfig::new(3).with_seed(4)),
        AnyBijectorConfig::Planar(log_softplus),
        AnyBijectorConfig::Radial(RadialConfig::new(3)),
        AnyBijectorConfig::Sylvester(SylvesterConfig::new(3, 2)),
        AnyBijectorConfig::Residual(ResidualConfig::new(3)),
        AnyBijectorConfig::Cnf(CnfConfig::new(3)),
    ] {
        let x = Noise::seeded(2).normal::<2>([20, 3], &device);
        let (z, log_det) = config.init(&device).unwrap().forward(x.clone(), None);
        let off = (z - x).abs().max().into_scalar::<f64>();
        let volume = log_det.abs().max().into_scalar::<f64>();
        assert!(off < 1e-6 && volume < 1e-6, "{config:?}: {off} and {volume}");
    }
}
