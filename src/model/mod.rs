//! Flows from papers, each with a type alias, a configuration and a page of documentation.
//!
//! | model | paper | structure |
//! | --- | --- | --- |
//! | [`Nice`] | Dinh et al. 2015, arXiv:1410.8516 | additive couplings, one diagonal scaling |
//! | [`RealNvp`] | Dinh et al. 2017, arXiv:1605.08803 | affine couplings |
//! | [`Nsf`] | Durkan et al. 2019, arXiv:1906.04032 | rational-quadratic spline couplings |
//! | [`AutoregressiveNsf`] | Durkan et al. 2019, arXiv:1906.04032 | rational-quadratic splines in masked layers |
//! | [`CircularNsf`] | Rezende et al. 2020, arXiv:2002.02428 | circular splines in masked layers, on a uniform base |
//! | [`NeuralAutoregressiveFlow`] | Huang et al. 2018, arXiv:1804.00779 | monotone networks in masked layers |
//! | [`UnconstrainedAutoregressiveFlow`] | Wehenkel, Louppe 2019, arXiv:1908.05164 | integrated positive networks in masked layers |
//! | [`BernsteinFlow`] | Sick et al. 2020, arXiv:2004.00464 | Bernstein polynomials in masked layers |
//! | [`SumOfSquaresFlow`] | Jaini et al. 2019, arXiv:1905.02325 | sum-of-squares polynomials in masked layers |
//! | [`GaussianizationFlow`] | Meng et al. 2020, arXiv:2003.01941 | elementwise Gaussianizations, and rotations |
//! | [`Maf`], [`MafMog`] | Papamakarios et al. 2017, arXiv:1705.07057 | masked autoregressive layers, one-pass density |
//! | [`Iaf`] | Kingma et al. 2016, arXiv:1606.04934 | inverse autoregressive layers, one-pass sampling |
//! | [`PlanarFlow`] | Rezende, Mohamed 2015, arXiv:1505.05770 | planar layers, each along one direction |
//! | [`ResidualFlow`] | Chen et al. 2019, arXiv:1906.02735 | residual blocks with contractive networks |
//! | [`RealNvpImage`] | Dinh et al. 2017, arXiv:1605.08803 | checkerboard and channel couplings, multi-scale |
//! | [`Glow`] | Kingma, Dhariwal 2018, arXiv:1807.03039 | ActNorm, 1x1 convolution, coupling, multi-scale |
//!
//! # Which to take
//!
//! * Start with [`RealNvp`]. On few rows, give its `mlp` dropout, set its `masks` to [`Random`](Masks::Random), and set
//!   the `average` of the weights in `fit`. Together, the three settings help more than more layers.
//! * Call [`Flow::standardized`](crate::Flow::standardized) for data that are not standardised. If columns have bounds,
//!   call [`Flow::standardized_within`](crate::Flow::standardized_within).
//! * For the density of a table, also try [`Nsf`], [`AutoregressiveNsf`] and [`Maf`]. Set `linear` where columns are
//!   nearly linear combinations of other columns.
//! * For training without data, take [`Iaf`], whose draws and their density are one pass.
//! * If the map must preserve volume, take the couplings of [`Nice`]. For angles, take [`CircularNsf`].
//! * To build another stack, use a tuple or a `Vec` of layers, or a struct declared by [`layers!`](crate::layers).

mod autoregressive;
mod autoregressive_nsf;
mod bernstein_flow;
mod circular_nsf;
mod gaussianization_flow;
mod glow;
mod iaf;
mod image;
mod maf;
mod neural_autoregressive_flow;
mod nice;
mod nsf;
mod planar_flow;
mod real_nvp;
mod real_nvp_image;
mod residual_flow;
mod sum_of_squares_flow;
mod unconstrained_autoregressive_flow;

pub use autoregressive::{AutoregressiveStep, Orders};
pub use autoregressive_nsf::{AutoregressiveNsf, AutoregressiveNsfConfig};
pub use bernstein_flow::{BernsteinFlow, BernsteinFlowConfig};
pub use circular_nsf::{CircularNsf, CircularNsfConfig};
pub use gaussianization_flow::{
    GaussianizationFlow, GaussianizationFlowConfig, GaussianizationFlowStep,
};
pub use glow::{ChannelMixing, Glow, GlowConfig, GlowLevel, GlowStep, Mix};
pub use iaf::{Iaf, IafConfig};
pub use maf::{Maf, MafConfig, MafMog, MafMogConfig, MafStep, StepNorm};
pub use neural_autoregressive_flow::{NeuralAutoregressiveFlow, NeuralAutoregressiveFlowConfig};
pub use nice::{Nice, NiceConfig, NiceLayers};
pub use nsf::{Nsf, NsfConfig, NsfLayers, NsfStep};
pub use planar_flow::{PlanarFlow, PlanarFlowConfig};
pub use real_nvp::{RealNvp, RealNvpConfig};
pub use real_nvp_image::{RealNvpImage, RealNvpImageConfig, RealNvpImageLevel, RealNvpImageStep};
pub use residual_flow::{ResidualFlow, ResidualFlowConfig, ResidualFlowStep};
pub use sum_of_squares_flow::{SumOfSquaresFlow, SumOfSquaresFlowConfig};
pub use unconstrained_autoregressive_flow::{
    UnconstrainedAutoregressiveFlow, UnconstrainedAutoregressiveFlowConfig,
};

use crate::bijector::{Coupling, CouplingConfig, Mask};
use crate::conditioner::{Mlp, MlpConfig};
use crate::error::{Error, Result, repeats};
use crate::univariate::Univariate;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// How the masks of a stack of couplings change from layer to layer.
///
/// ```
/// use burn_flows::model::{Masks, RealNvpConfig};
///
/// let config = RealNvpConfig::new(8).with_masks(Masks::Random(1));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Masks {
    /// Features with even index and features with odd index, in turn.
    Alternating,
    /// The first half and the second half of the features, in turn.
    Halves,
    /// A random half of the features, the other half, then a new random half; drawn from this seed.
    Random(u64),
}

impl Masks {
    /// The mask of layer `index`.
    fn mask(self, index: usize) -> Mask {
        let mask = match self {
            Self::Alternating => Mask::Alternating,
            Self::Halves => Mask::Halves,
            Self::Random(seed) => Mask::Random(seed.wrapping_add(index as u64 / 2)),
        };
        if index.is_multiple_of(2) { mask } else { mask.flipped() }
    }
}

/// The parts that all stacks of dense couplings share.
struct Couplings<'a> {
    config: &'static str,
    features: usize,
    layers: usize,
    masks: Masks,
    mlp: &'a MlpConfig,
    context: usize,
}

/// The configuration of the network of layer `index`. If the configuration has a seed, each layer gets a different seed
/// and therefore different weights.
macro_rules! of_layer {
    ($network:expr, $index:expr) => {{
        let mut network = $network.clone();
        network.seed = $crate::initial::of_layer(network.seed, $index);
        network
    }};
}
use of_layer;

impl Couplings<'_> {
    /// Validates the stack for a scalar map with `per_element` parameters.
    fn validate(&self, per_element: usize) -> Result<()> {
        repeats(self.config, "layers", 1, self.layers)?;
        if self.features < 2 {
            let reason =
                format!("a coupling needs at least 2 features to split, found {}", self.features);
            return Err(Error::config(self.config, "features", reason));
        }
        (0..self.layers.min(2)).try_for_each(|index| self.layer(index).validate_for(per_element))
    }

    fn layer(&self, index: usize) -> CouplingConfig {
        CouplingConfig::new(self.features)
            .with_mask(self.masks.mask(index))
            .with_mlp(of_layer!(self.mlp, index))
            .with_context(self.context)
    }

    fn init<U: Univariate>(&self, univariate: U, device: &Device) -> Vec<Coupling<U, Mlp>> {
        (0..self.layers).map(|index| self.layer(index).init(univariate.clone(), device)).collect()
    }
}
