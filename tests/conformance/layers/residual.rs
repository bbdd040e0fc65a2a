//! Residual and continuous layers.

use burn_flows::bijector::*;

use crate::DEVICE;

/// A fixed point iteration that ends at the last digits.
pub const TIGHT: FixedPoint = FixedPoint { tolerance: 0.0, limit: 2000 };

pub const SERIES: LogDet = LogDet::Series { terms: 3, roulette: Some(0.5), probes: 2 };

/// A residual block whose moved weights reach its Lipschitz bound.
pub fn residual_block(features: usize, context: usize) -> Residual {
    let config = ResidualConfig::new(features).with_hidden(vec![6, 5]).with_lipschitz(0.8);
    config.with_context(context).with_fixed_point(TIGHT).init(&DEVICE)
}

pub fn block(features: usize, depth: usize, context: usize) -> BlockNeuralAutoregressive {
    let config = BlockNeuralAutoregressiveConfig::new(features).with_block(3).with_depth(depth);
    config.with_context(context).init(&DEVICE)
}

/// A solver whose steps give a determinant with an error of 1e-10.
pub const EXACT: Solver = Solver::DormandPrince { atol: 1e-11, rtol: 1e-11, limit: 9999 };

pub const PROBES: Divergence = Divergence::Hutchinson { probes: 2 };

/// A small continuous layer. It changes slowly in time, so that the solver takes few steps.
pub fn continuous(features: usize, activation: SmoothActivation) -> CnfConfig {
    let config = CnfConfig::new(features).with_hidden(vec![4]).with_frequencies(1);
    config.with_activation(activation).with_solver(EXACT)
}

/// A layer of every kind of residual map, built through the enum.
pub fn every_residual() -> AnyBijector {
    let configs = vec![
        AnyBijectorConfig::Planar(PlanarConfig::new(3)),
        AnyBijectorConfig::Radial(RadialConfig::new(3)),
        AnyBijectorConfig::Residual(
            ResidualConfig::new(3).with_hidden(vec![4]).with_fixed_point(TIGHT),
        ),
        AnyBijectorConfig::BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig::new(3)),
        AnyBijectorConfig::Sylvester(SylvesterConfig::new(3, 2)),
    ];
    AnyBijectorConfig::Stack(configs).init(&DEVICE)
}
