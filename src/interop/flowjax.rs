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
//! and for masked autoregressive flows, with a mask beside every weight,
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].masked_autoregressive_mlp.layers[k].weight.args[0]`, `.args[1]` | `[layers, out, in]` |
//! | `{chain}.bijections[0].masked_autoregressive_mlp.layers[k].bias` | `[layers, out]` |
//!
//! and for planar flows `{chain}.bijections[0].params` `[layers, 2 features + 1]`, or the
//! `.conditioner.layers[k]` as above, for block neural autoregressive flows
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].bijection.layers[k][0].weight.weight.args[0]` | `[layers, out, in]` |
//! | `{chain}.bijections[0].bijection.layers[k][0].weight.scale.args[0]` | `[layers, out, 1]` |
//! | `{chain}.bijections[0].bijection.layers[k][0].bias` | `[layers, out]` |
//! | `{chain}.bijections[0].bijection.cond_linear.weight` | `[layers, out, context]` |
//!
//! where `{chain}` is `bijection.bijection.bijection` for a flow made with `invert=True`, the
//! default, and `bijection.bijection` for `invert=False`. With two features FlowJAX flips them
//! after every layer and saves no permutation.

mod residual;

pub use residual::{block_neural_autoregressive_flow, planar_flow};

use burn::config::Config;
use burn::tensor::Device;

use super::dense::{Dense, Plain, interleaved};
use super::masked::{Masked, MaskedNet};
use super::scope::{Scope, whole};
use super::{StateDict, standard_base};
use crate::bijector::{AnyBijector, Coupling, Inverse, Mask, Permutation};
use crate::conditioner::{ActivationConfig, Style};
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
    /// `negative_slope` of planar layers; `None` is tanh.
    pub negative_slope: Option<f64>,
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
    flow(dict, &COUPLING.weight(0), device, |chain, index, layers, features| {
        let dense = |k| Dense::read_stacked(chain, &COUPLING.layer(k), "weight", index, layers);
        let rest = (1..COUPLING.depth(chain)).map(dense).collect::<Result<_>>()?;
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
        Ok(AnyBijector::Coupling(coupling))
    })
}

/// `masked_autoregressive_flow` with an affine transformer and a `Normal` or `StandardNormal` base.
///
/// The base is as in [`coupling_flow`].
///
/// # Errors
///
/// As the [module](super#errors) says, or if features depend on each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, flowjax};
///
/// // One layer of two features: the second one is shifted by the first.
/// let mut dict = StateDict::new();
/// let layers = "bijection.bijection.bijection.bijections[0].masked_autoregressive_mlp.layers";
/// let mut layer = |k: usize, mask: &[bool], weight: &[f64], shape: [usize; 3]| {
///     dict.insert(format!("{layers}[{k}].weight.args[0]"), HostTensor::bools(mask, shape));
///     dict.insert(format!("{layers}[{k}].weight.args[1]"), HostTensor::floats(weight, shape));
///     let bias = HostTensor::floats(vec![0.0; shape[1]], [1, shape[1]]);
///     dict.insert(format!("{layers}[{k}].bias"), bias);
/// };
/// layer(0, &[true, false], &[1.0, 9.0], [1, 1, 2]);
/// layer(1, &[false, false, true, true], &[9.0, 9.0, 1.0, 0.0], [1, 4, 1]);
/// let device = Device::flex();
/// let flow = flowjax::masked_autoregressive_flow(&dict, &flowjax::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[3.0, 5.0]], &device));
/// let flipped = Tensor::<2>::from_data([[8.0, 3.0]], &device);
/// z.into_data().assert_approx_eq::<f32>(&flipped.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn masked_autoregressive_flow(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    flow(dict, &AUTOREGRESSIVE.weight(0), device, |chain, index, layers, features| {
        let layer = |k| {
            let part = AUTOREGRESSIVE.layer(k);
            let dense = Dense::read_stacked(chain, &part, AUTOREGRESSIVE.weight, index, layers)?;
            let (name, size) = (format!("{part}.weight.args[0]"), dense.outputs() * dense.inputs());
            let shape = [layers, dense.outputs(), dense.inputs()];
            let mask = chain.tensor(&name, Some(&shape))?.as_bools();
            let mask = mask.ok_or_else(|| chain.wrong(&name, "does not hold booleans".into()))?;
            let open = mask[index * size..(index + 1) * size].to_vec();
            Masked::new(chain, &name, dense, open)
        };
        let input = layer(0)?;
        let mut hidden = (1..AUTOREGRESSIVE.depth(chain)).map(layer).collect::<Result<Vec<_>>>()?;
        let Some(output) = hidden.pop() else {
            let reason = "is the only layer; a network needs at least 2".into();
            return Err(chain.wrong(&AUTOREGRESSIVE.layer(0), reason));
        };
        let style = Style { activated_context: false, bare_blocks: false };
        let network = MaskedNet { input, context: None, hidden, blocks: vec![], output, style };
        let layer =
            network.affine(features, [0, 1], options.scale_map, &options.activation, device)?;
        Ok(AnyBijector::MaskedAutoregressive(layer))
    })
}

/// Where the networks of equal layers stand below the chain, and what their weights are called.
#[derive(Clone, Copy)]
struct Networks {
    part: &'static str,
    weight: &'static str,
}

const COUPLING: Networks = Networks { part: "bijections[0].conditioner.layers", weight: "weight" };
const AUTOREGRESSIVE: Networks =
    Networks { part: "bijections[0].masked_autoregressive_mlp.layers", weight: "weight.args[1]" };

impl Networks {
    fn layer(self, index: usize) -> String {
        format!("{}[{index}]", self.part)
    }

    fn weight(self, index: usize) -> String {
        format!("{}.{}", self.layer(index), self.weight)
    }

    fn depth(self, chain: &Scope<'_>) -> usize {
        (0..).take_while(|&k| chain.has(&self.weight(k))).count()
    }
}

/// A flow of equal layers, each with a permutation behind it, in the direction in which FlowJAX runs
/// them. A tensor `first` of them has the layers along its first axis; `read` makes layer `index` of so
/// many, of so many features.
fn flow(
    dict: &StateDict,
    first: &str,
    device: &Device,
    read: impl Fn(&Scope<'_>, usize, usize, usize) -> Result<AnyBijector>,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    whole(dict, "", |scope| {
        let direct = scope.within("bijection.bijection");
        let inner = scope.within("bijection.bijection.bijection");
        let inverted = !direct.has(first);
        let chain = if inverted { inner } else { direct };

        let layers = match chain.tensor(first, None)?.shape() {
            &[layers, ..] if layers > 0 => layers,
            found => {
                return Err(chain.wrong(first, format!("needs a layer, found shape {found:?}")));
            }
        };
        let permutations = permutations(&chain, layers)?;
        let features = permutations.as_ref().map_or(2, |orders| orders[0].len());
        let mut stack = Vec::with_capacity(2 * layers);
        for index in 0..layers {
            stack.push(read(&chain, index, layers, features)?);
            let order = match &permutations {
                Some(orders) => {
                    chain.named(PERMUTATION, Permutation::given(&orders[index], device))?
                }
                None => Permutation::reverse(features, device),
            };
            stack.push(AnyBijector::Permutation(order));
        }
        let layer = if inverted {
            AnyBijector::Stack(stack)
        } else {
            AnyBijector::Inverse(Inverse::new(stack))
        };
        Ok(Flow::new(layer, base(scope, features, device)?))
    })
}

/// The stacked permutations behind the layers.
const PERMUTATION: &str = "bijections[1].permutation[0]";
/// What undoes them.
const INVERSE_PERMUTATION: &str = "bijections[1].inverse_permutation[0]";

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
