//! Residual layers with weights of any size, in f32. No result is NaN or infinite, except rows
//! whose search did not converge.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use burn_flows::bijector::*;
use burn_flows::prelude::*;
use burn_flows::{burn, cast};

/// Sets trained parameters to noise of this size.
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

/// Whether all gradients are finite.
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

/// Rows of different sizes, and a row at the centre.
fn rows(features: usize) -> Tensor<2> {
    let device = Device::flex();
    let mut noise = Noise::seeded(3);
    let sizes = [0.0, 1e-30, 1e-3, 1.0, 30.0, 1e4];
    let row = |size: f64| noise.normal::<2>([4, features], &device) * size;
    Tensor::cat(sizes.into_iter().map(row).collect(), 0)
}

fn stays_finite(config: AnyBijectorConfig) {
    let layer = config.init(&Device::flex().autodiff());
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
        // Biases as large as the weights reduce the precision by their size.
        assert!(off < 2e-5 * size.max(1.0), "error {off}, weights of {size}");
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
        let (z, log_det) = config.init(&device).forward(x.clone(), None);
        let off = (z - x).abs().max().into_scalar::<f64>();
        let volume = log_det.abs().max().into_scalar::<f64>();
        assert!(off < 1e-6 && volume < 1e-6, "{config:?}: errors {off}, {volume}");
    }
}

/// Whether each row of a result is NaN. A row must be NaN in all elements and in its
/// log-determinant, or in none.
fn lost(x: &Tensor<2>, log_det: &Tensor<1>) -> Vec<bool> {
    let width = x.dims()[1];
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    let log_dets = log_det.to_data();
    let rows = values.chunks(width).zip(log_dets.iter::<f64>());
    let lost = rows.map(|(row, log_det)| {
        assert!(row.iter().all(|v| v.is_nan() == log_det.is_nan()), "{row:?} with {log_det}");
        log_det.is_nan()
    });
    lost.collect()
}

/// The rows of a batch converge after different numbers of steps. As the limit increases, at first
/// no row has converged and in the end all have. A converged row keeps its value.
fn converges_row_by_row<B: Bijector<2>>(layer: impl Fn(usize) -> B, dtype: DType, invert: bool) {
    let sizes = [1e-3, 0.1, 1.0, 3.0, 10.0];
    let row = |size: f64| Noise::seeded(4).normal::<2>([1, 3], &Device::flex()) * size;
    let x = Tensor::cat(sizes.into_iter().map(row).collect(), 0).cast(dtype);
    let run = |limit: usize| {
        let layer = cast(layer(limit), dtype);
        match invert {
            true => layer.inverse_with_log_det(x.clone(), None),
            false => layer.forward(x.clone(), None),
        }
    };
    let (end, _) = run(2000);
    let end: Vec<f64> = end.into_data().iter::<f64>().collect();
    assert!(end.iter().all(|v| v.is_finite()), "{end:?}");
    let mut counts = vec![];
    for limit in [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 100, 300] {
        let (found, log_det) = run(limit);
        let lost = lost(&found, &log_det);
        counts.push(lost.iter().filter(|lost| **lost).count());
        let found: Vec<f64> = found.into_data().iter::<f64>().collect();
        for (row, (found, end)) in found.chunks(3).zip(end.chunks(3)).enumerate() {
            let near = found.iter().zip(end).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
            assert!(lost[row] || near, "{found:?}, in the end {end:?}, limit {limit}");
        }
    }
    assert_eq!((counts[0], counts[counts.len() - 1]), (5, 0), "{counts:?}");
    assert!(counts.iter().any(|count| (1..5).contains(count)), "{counts:?}");
}

#[test]
fn rows_that_have_not_converged_are_nan_and_no_others() {
    for dtype in [DType::F32, DType::F64] {
        let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-10 };
        let residual = |limit| {
            let fixed_point = FixedPoint { tolerance, limit };
            let config = ResidualConfig::new(3).with_hidden(vec![8]).with_lipschitz(0.8);
            let layer = config.with_fixed_point(fixed_point).init(&Device::flex());
            layer.train().map(&mut Sized(Noise::seeded(1), 1.0)).valid()
        };
        converges_row_by_row(residual, dtype, true);
        for invert in [true, false] {
            let cnf = |limit| {
                let solver = Solver::DormandPrince { atol: 1e-5, rtol: 1e-5, limit };
                let config = CnfConfig::new(3).with_hidden(vec![8]).with_solver(solver);
                config.init(&Device::flex()).train().map(&mut Sized(Noise::seeded(1), 1.0)).valid()
            };
            converges_row_by_row(cnf, dtype, invert);
        }
    }
}

/// A row has converged if its steps are rounding errors only.
#[test]
fn a_row_that_only_rounding_moves_has_converged() {
    for size in [1.0, 1e3] {
        let fixed_point = FixedPoint { tolerance: 0.0, limit: 400 };
        let config = ResidualConfig::new(3).with_hidden(vec![64, 64]).with_lipschitz(0.9);
        let layer = config.with_fixed_point(fixed_point).init(&Device::flex());
        let layer = layer.train().map(&mut Sized(Noise::seeded(1), size)).valid();
        let x = Noise::seeded(2).normal::<2>([200, 3], &Device::flex());
        assert!(all_finite(layer.inverse(x, None)), "weights of {size}");
    }
}

#[test]
fn a_flow_names_the_layer_whose_search_did_not_end() {
    let solver = Solver::DormandPrince { atol: 1e-6, rtol: 1e-6, limit: 1 };
    let cnf = CnfConfig::new(3).with_hidden(vec![8]).with_solver(solver).init(&Device::flex());
    let cnf = cnf.train().map(&mut Sized(Noise::seeded(1), 1.0)).valid();
    let flow = Flow::new(
        (ActNormConfig::new(3).init(&Device::flex()), cnf),
        StandardNormal::<2>::new([3], &Device::flex()),
    );
    let x = Noise::seeded(2).normal::<2>([4, 3], &Device::flex());
    assert!(flow.log_prob(x.clone()).into_data().iter::<f64>().all(f64::is_nan));
    let layer = flow.first_non_finite(x, None).unwrap();
    assert_eq!(layer, "bijector.1 (Cnf)");
}
