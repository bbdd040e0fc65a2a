//! FlowJAX 19, whose `transform` is latent to data: what is loaded here runs the other way, so that
//! forward is data to latent as everywhere in this crate.
//!
//! FlowJAX has no state dictionary. Names are the paths of the leaves in the flow's tree, as
//! `jax.tree_util.keystr` writes them without the leading dot, and equal layers are stacked along
//! a leading axis:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].conditioner.layers[k].weight` | `[layers, out, in]` |
//! | `{chain}.bijections[0].conditioner.layers[k].bias` | `[layers, out]` |
//! | `{chain}.bijections[1].permutation[0]`, `.inverse_permutation[0]` | `[layers, features]` |
//! | `base_dist.bijection.loc`, `base_dist.bijection.scale.args[0]` | `[features]` |
//!
//! where `{chain}` is `bijection.bijection.bijection` for a flow made with `invert=True`, the
//! default, and `bijection.bijection` for `invert=False`. With two features FlowJAX flips them
//! after every layer and saves no permutation.

use burn::config::Config;
use burn::tensor::Device;

use super::dense::{Dense, Plain, interleaved};
use super::scope::{Scope, whole};
use super::{StateDict, standard_base};
use crate::bijector::{AnyBijector, Coupling, Inverse, Mask, Permutation};
use crate::conditioner::ActivationConfig;
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::math::from_f64;
use crate::univariate::{Affine, AnyUnivariate, ScaleMap};

/// `ln(exp(0.99) - 1)`: with it and the smallest scale of 0.01, a raw zero means scale 1.
const DEFAULT_OFFSET: f64 = 0.525_458_719_292_502_1;

/// The default transformer of FlowJAX's flows, `Affine` with a scale of at least 0.01.
pub const DEFAULT_SCALE: ScaleMap = ScaleMap::Softplus { offset: DEFAULT_OFFSET, floor: 1e-2 };

/// What FlowJAX does not save, with its own defaults.
///
/// ```
/// use burn_flows::interop::flowjax;
///
/// assert_eq!(flowjax::Options::new().scale_map, flowjax::DEFAULT_SCALE);
/// ```
#[derive(Config, Debug)]
pub struct Options {
    /// The scale of the transformer.
    #[config(default = "DEFAULT_SCALE")]
    pub scale_map: ScaleMap,
    /// `nn_activation`.
    #[config(default = "ActivationConfig::Relu")]
    pub activation: ActivationConfig,
}

/// `coupling_flow` with an affine transformer and a `Normal` or `StandardNormal` base.
///
/// A `Normal` base stays learnable. FlowJAX learns its scale through a softplus, this crate through
/// the exponential, so the scale is the one weight that is recomputed.
///
/// # Errors
///
/// As the [module](super#errors) says.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, flowjax};
///
/// // One layer of two features, whose network says 0 for a raw shift and a raw scale.
/// let mut dict = StateDict::new();
/// let layers = "bijection.bijection.bijection.bijections[0].conditioner.layers";
/// dict.insert(format!("{layers}[0].weight"), HostTensor::floats([1.0], [1, 1, 1]));
/// dict.insert(format!("{layers}[0].bias"), HostTensor::floats([0.0], [1, 1]));
/// dict.insert(format!("{layers}[1].weight"), HostTensor::floats([0.0, 0.0], [1, 2, 1]));
/// dict.insert(format!("{layers}[1].bias"), HostTensor::floats([0.0, 0.0], [1, 2]));
/// let device = Device::flex();
/// let flow = flowjax::coupling_flow(&dict, &flowjax::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[3.0, 5.0]], &device));
/// let flipped = Tensor::<2>::from_data([[5.0, 3.0]], &device);
/// z.into_data().assert_approx_eq::<f32>(&flipped.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn coupling_flow(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    whole(dict, "", |scope| {
        let (stack, features, inverted) = layers_in(scope, options, device)?;
        let layer = if inverted {
            AnyBijector::Stack(stack)
        } else {
            AnyBijector::Inverse(Inverse::new(stack))
        };
        Ok(Flow::new(layer, base(scope, features, device)?))
    })
}

/// The layers in the direction in which FlowJAX runs them, the features, and whether the flow
/// inverts them.
fn layers_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(Vec<AnyBijector>, usize, bool)> {
    let direct = scope.within("bijection.bijection");
    let inner = scope.within("bijection.bijection.bijection");
    let inverted = !direct.has(&dense_name(0, "weight"));
    let chain = if inverted { inner } else { direct };

    let (_, [layers, _, _]) = chain.floats_of_rank(&dense_name(0, "weight"))?;
    let permutations = permutations(&chain, layers)?;
    let depth = (0..).take_while(|&k| chain.has(&dense_name(k, "weight"))).count();
    let features = permutations.as_ref().map_or(2, |orders| orders[0].len());
    let mut stack = Vec::with_capacity(2 * layers);
    for index in 0..layers {
        let dense = |k| {
            Dense::read_stacked(
                &chain,
                &format!("bijections[0].conditioner.layers[{k}]"),
                index,
                layers,
            )
        };
        let rest = (1..depth).map(dense).collect::<Result<_>>()?;
        let network = Plain::new(dense(0)?, rest)?;
        let kept = features / 2;
        let moved = features - kept;
        let context = network.input.context_behind(kept)?;
        network.output.expect(2 * moved, network.output.inputs())?;
        let mlp =
            network.pick_outputs(&interleaved(2, moved)).mlp(&options.activation, context, device);
        let univariate = AnyUnivariate::Affine(Affine::new(options.scale_map));
        let mask = Mask::Kept((0..kept).collect());
        let coupling = Coupling::new(&mask, &[features], univariate, |_, _| mlp, device)?;
        stack.push(AnyBijector::Coupling(coupling));
        let order = match &permutations {
            Some(orders) => chain.named(PERMUTATION, Permutation::given(&orders[index], device))?,
            None => Permutation::reverse(features, device),
        };
        stack.push(AnyBijector::Permutation(order));
    }
    Ok((stack, features, inverted))
}

/// The stacked permutations behind the couplings.
const PERMUTATION: &str = "bijections[1].permutation[0]";
/// What undoes them.
const INVERSE_PERMUTATION: &str = "bijections[1].inverse_permutation[0]";

fn dense_name(layer: usize, leaf: &str) -> String {
    format!("bijections[0].conditioner.layers[{layer}].{leaf}")
}

/// The order of every layer, where there are more than two features.
fn permutations(chain: &Scope<'_>, layers: usize) -> Result<Option<Vec<Vec<usize>>>> {
    if !chain.has(PERMUTATION) {
        return Ok(None);
    }
    let read = |name| {
        let tensor = chain.tensor(name, None)?;
        match tensor.shape() {
            &[found, features] if found == layers && features > 0 => {
                let all = chain.as_indices(name, tensor.as_ints())?;
                Ok(all.chunks(features).map(<[usize]>::to_vec).collect::<Vec<_>>())
            }
            found => {
                Err(chain.wrong(name, format!("needs shape [{layers}, features], found {found:?}")))
            }
        }
    };
    let (orders, backs) = (read(PERMUTATION)?, read(INVERSE_PERMUTATION)?);
    for (order, back) in orders.iter().zip(&backs) {
        chain.expect_inverse(INVERSE_PERMUTATION, order, back)?;
    }
    Ok(Some(orders))
}

fn base(scope: &Scope<'_>, features: usize, device: &Device) -> Result<DiagNormal<2>> {
    if !scope.has_part("base_dist") {
        return standard_base(features, device);
    }
    let loc = scope.floats("base_dist.bijection.loc", &[features])?.to_vec();
    let raw_scale = scope.floats("base_dist.bijection.scale.args[0]", &[features])?;
    let log_softplus = |x: &f64| (x.max(0.0) + (-x.abs()).exp().ln_1p()).ln();
    let log_scale = raw_scale.iter().map(log_softplus).collect();
    let row = |values| from_f64(values, [1, features], device);
    Ok(DiagNormal::from_weights(row(loc), row(log_scale)))
}
