//! FlowJAX 19, whose `transform` is latent to data. The loaded flows are inverted, so that forward is data to latent as
//! in the rest of this crate.
//!
//! FlowJAX has no state dictionary, and Equinox files (`.eqx`) hold arrays without names. Save the leaves of the flow
//! under their tree paths, as `jax.tree_util.keystr` formats them:
//!
//! ```python
//! leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(flow, eqx.is_array))
//! tensors = {jax.tree_util.keystr(path).lstrip("."): np.asarray(leaf) for path, leaf in leaves}
//! safetensors.numpy.save_file(tensors, "flow.safetensors")
//! ```
//!
//! Equal layers are stacked along a leading axis:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].conditioner.layers[k].weight` | `[layers, out, in]` |
//! | `{chain}.bijections[0].conditioner.layers[k].bias` | `[layers, out]` |
//! | `{chain}.bijections[1].permutation[0]`, `.inverse_permutation[0]` | `[layers, features]` |
//! | `base_dist.bijection.loc`, `base_dist.bijection.scale.args[0]` | `[features]` |
//!
//! For masked autoregressive flows, each weight has a mask:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].masked_autoregressive_mlp.layers[k].weight.args[0]`, `.args[1]` | `[layers, out, in]` |
//! | `{chain}.bijections[0].masked_autoregressive_mlp.layers[k].bias` | `[layers, out]` |
//!
//! For triangular spline flows:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].inner.bijection.x_pos.arr`, `.y_pos.arr` | `[layers, features, knots + 1]` |
//! | `{chain}.bijections[0].inner.bijection.derivatives.args[0]` | `[layers, features, knots + 2]` |
//! | `{chain}.bijections[1].loc` | `[layers, features]` |
//! | `{chain}.bijections[1].triangular.weight.args[0]` | `[layers, features, features]` |
//! | `{chain}.bijections[1].triangular.scale.args[0]` | `[layers, features, 1]` |
//! | `{chain}.bijections[2].module.weight`, with a condition | `[layers, features, condition]` |
//!
//! For planar flows: `{chain}.bijections[0].params` `[layers, 2 features + 1]`, or with a condition
//! `{chain}.bijections[0].conditioner.layers[k]`. For block neural autoregressive flows:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `{chain}.bijections[0].bijection.layers[k][0].weight.weight.args[0]` | `[layers, out, in]` |
//! | `{chain}.bijections[0].bijection.layers[k][0].weight.scale.args[0]` | `[layers, out, 1]` |
//! | `{chain}.bijections[0].bijection.layers[k][0].bias` | `[layers, out]` |
//! | `{chain}.bijections[0].bijection.cond_linear.weight` | `[layers, out, context]` |
//!
//! The permutations of a triangular spline flow are at `bijections[2]`, and with a condition at `bijections[3]`.
//! `{chain}` is `bijection.bijection.bijection` for a flow made with `invert=True`, the default, and
//! `bijection.bijection` for `invert=False`. With two features, FlowJAX flips the features after each layer and saves
//! no permutation. With one feature, no permutation follows a layer. The names then lack `bijections[0].`, except in
//! triangular spline flows.
//!
//! Not supported, with an error that names a tensor:
//!
//! - `use_bias=False` and `use_final_bias=False` of planar flows
//! - `coupling_flow` of one feature without a condition
//! - a `negative_slope` above 1
//!
//! Not supported and not detected, because FlowJAX saves no tensor for them, so that the results would be wrong:
//!
//! - transformers other than `Affine` and `RationalQuadraticSpline`
//! - `loc` of an `Affine` other than 0
//! - `activation` of block neural autoregressive flows other than the default of FlowJAX
//! - `final_activation` of planar flows
//! - bases other than `Normal` and `StandardNormal`

mod residual;
mod triangular;

pub use residual::{block_neural_autoregressive_flow, planar_flow};
pub use triangular::triangular_spline_flow;

use burn::tensor::Device;

use super::dense::{Dense, NO_ACTIVATION, Plain, interleaved};
use super::masked::{Masked, MaskedNet};
use super::scope::{Scope, whole};
use super::{StateDict, standard_base};
use crate::bijector::{AnyBijector, Coupling, Elementwise, Inverse, Mask, Permutation};
use crate::conditioner::{ActivationConfig, Style};
use crate::config::config;
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::math::from_f64;
use crate::univariate::{
    Affine, AnyUnivariate, KnotMap, RationalQuadratic, RationalQuadraticConfig, ScaleMap,
    SplineDomain,
};

/// `ln(exp(0.99) - 1)`: with this offset and the smallest scale of 0.01, a raw parameter of zero means scale 1.
const DEFAULT_OFFSET: f64 = 0.525_458_719_292_502_1;

/// The default transformer of the FlowJAX flows, `Affine` with a scale of at least 0.01.
pub const DEFAULT_SCALE: ScaleMap = ScaleMap::Softplus { offset: DEFAULT_OFFSET, floor: 1e-2 };

config! {
/// The settings that FlowJAX does not save, with the defaults of FlowJAX. Set each field to the value used for
/// training.
///
/// ```
/// use burn_flows::interop::flowjax;
///
/// assert_eq!(flowjax::Options::new().scale_map, flowjax::DEFAULT_SCALE);
/// ```
pub struct Options {
    /// The scale of an affine transformer. For the transformer `Affine(scale=s)`, set `Softplus { offset: ln(exp(s) -
    /// 1), floor: 0 }`.
    #[config(default = DEFAULT_SCALE)]
    pub scale_map: ScaleMap,
    /// `interval` of a `RationalQuadraticSpline` transformer. FlowJAX has no default for it, so splines require it.
    pub interval: Option<[f64; 2]>,
    /// `min_width` of splines, in units of the data.
    #[config(default = 1e-3)]
    pub min_width: f64,
    /// `min_derivative` of splines.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// `nn_activation`, and `activation` of planar flows. `jax.nn.gelu` is `GeluApproximate` in burn.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// `negative_slope` of planar layers; `None` for tanh.
    pub negative_slope: Option<f64>,
}
}

impl Options {
    /// The transformer with `params` parameters, which are in the order of this crate.
    ///
    /// # Errors
    ///
    /// Fails if no transformer has that many parameters; the message names the tensor `name` below `scope`.
    fn transformer(&self, params: usize, scope: &Scope<'_>, name: &str) -> Result<AnyUnivariate> {
        if params == 2 {
            self.scale_map.validate()?;
            return Ok(AnyUnivariate::Affine(Affine::new(self.scale_map)?));
        }
        // The spline also has bins and slopes at both ends, because FlowJAX cuts it off there instead of extending it
        // smoothly.
        let bins = params / 3;
        let wrong =
            |why| scope.wrong(name, format!("gives {params} parameters per feature, {why}"));
        if params != 3 * bins + 1 {
            return Err(wrong("expected 2 (affine map) or 3 * bins + 1 (spline)"));
        }
        let interval = self
            .interval
            .ok_or_else(|| wrong("as a spline does; set `interval` of the options"))?;
        // FlowJAX adds the raw parameters to the parameters of the identity.
        let spline = self.spline(bins, interval, None)?;
        Ok(AnyUnivariate::RationalQuadratic(spline))
    }

    /// The spline with `bins` bins.
    fn spline(
        &self,
        bins: usize,
        [low, high]: [f64; 2],
        slope_offset: Option<f64>,
    ) -> Result<RationalQuadratic> {
        let share = self.min_width / (high - low);
        let config = RationalQuadraticConfig::new()
            .with_bins(bins)
            .with_domain(SplineDomain::Interval { low, high })
            .with_min_width(share)
            .with_min_height(share)
            .with_min_slope(self.min_slope)
            .with_knot_map(KnotMap::Softmax { logit_scale: 1.0, slope_offset });
        config.validate()?;
        Ok(config.init())
    }
}

/// Loads a `coupling_flow` with a `Normal` or `StandardNormal` base. The transformer is affine or a rational-quadratic
/// spline; the number of parameters determines which.
///
/// A `Normal` base stays trainable. FlowJAX parameterises its scale by a softplus and this crate by the exponential, so
/// the scale is the only weight that is recomputed.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
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
    let chain = Chain::of(COUPLING.weight(0));
    flow(dict, &chain, device, |chain, index, layers, features| {
        let dense = |k| Dense::read_stacked(chain, &COUPLING.layer(k), "weight", index, layers);
        let rest = (1..COUPLING.depth(chain)).map(dense).collect::<Result<_>>()?;
        let network = Plain::new(dense(0)?, rest)?;
        let kept = features / 2;
        let moved = features - kept;
        let context = network.input.context_behind(kept)?;
        let per_feature = network.output.outputs() / moved;
        let last = COUPLING.weight(COUPLING.depth(chain).max(1) - 1);
        let univariate = options.transformer(per_feature, chain, &last)?;
        network.output.expect(per_feature * moved, network.output.inputs())?;
        let rows = interleaved(per_feature, moved);
        if kept == 0 {
            // The only feature depends on the condition alone.
            let mlp = network.pick_outputs(&rows).mlp(&options.activation, 0, device);
            let free = from_f64(vec![0.0; per_feature], [per_feature, 1], device);
            let layer = Elementwise::from_weights(univariate, free).with_network(mlp, context);
            return Ok(AnyBijector::Elementwise(layer));
        }
        let mlp = network.pick_outputs(&rows).mlp(&options.activation, context, device);
        let mask = Mask::Kept((0..kept).collect());
        let coupling = Coupling::new(&mask, &[features], univariate, |_, _| mlp, device)?;
        Ok(AnyBijector::Coupling(coupling))
    })
}

/// Loads a `masked_autoregressive_flow` with an affine or a rational-quadratic spline transformer.
///
/// Transformer and base are chosen as in [`coupling_flow`].
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if features depend on each other.
///
/// # Example
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
    let chain = Chain::of(AUTOREGRESSIVE.weight(0));
    flow(dict, &chain, device, |chain, index, layers, features| {
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
        // With `nn_depth=0`, the network has one layer and no activation.
        let linear = hidden.is_empty();
        let (input, output) = match hidden.pop() {
            Some(output) => (input, output),
            None => input.split(features)?,
        };
        let activation = if linear { &NO_ACTIVATION } else { &options.activation };
        let style = Style::default();
        let network = MaskedNet { input, context: None, hidden, blocks: vec![], output, style };
        let per_feature = network.output.outputs() / features;
        let last = AUTOREGRESSIVE.weight(AUTOREGRESSIVE.depth(chain).max(1) - 1);
        let map = options.transformer(per_feature, chain, &last)?;
        let layer = network.layer(features, map, 0..per_feature, activation, device)?;
        Ok(AnyBijector::MaskedAutoregressive(layer))
    })
}

/// The path of the networks below a layer, and the names of their weights.
#[derive(Clone, Copy)]
struct Networks {
    part: &'static str,
    weight: &'static str,
}

const COUPLING: Networks = Networks { part: "conditioner.layers", weight: "weight" };
const AUTOREGRESSIVE: Networks =
    Networks { part: "masked_autoregressive_mlp.layers", weight: "weight.args[1]" };

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

/// Equal layers, stacked along a leading axis.
struct Chain {
    /// The path of a layer: the first bijection of a chain that ends in a permutation. With one feature, the layer
    /// stands alone. The path is empty for a layer that is itself a chain.
    layer: &'static str,
    /// The name of a tensor that all layers have.
    probe: String,
    /// The index of the permutation among the bijections of a layer.
    permutation: usize,
    /// The number of features, if the shape of the probe tensor determines it.
    features: fn(&[usize]) -> Option<usize>,
}

impl Chain {
    /// Describes layers that are not chains themselves.
    fn of(probe: String) -> Self {
        Self { layer: "bijections[0]", probe, permutation: 1, features: |_| None }
    }
}

/// A flow of equal layers, each followed by a permutation, in the direction in which FlowJAX runs them. `read` builds a
/// layer from its index, the number of layers and the number of features.
fn flow(
    dict: &StateDict,
    Chain { layer, probe, permutation, features }: &Chain,
    device: &Device,
    read: impl Fn(&Scope<'_>, usize, usize, usize) -> Result<AnyBijector>,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    whole(dict, "", |scope| {
        let direct = scope.within("bijection.bijection");
        let inner = scope.within("bijection.bijection.bijection");
        let has = |flow: &Scope<'_>| flow.has(probe) || flow.within(layer).has(probe);
        let inverted = !has(&direct);
        let flow = if inverted { inner } else { direct };
        let single = flow.has(probe) && !layer.is_empty();
        let chain = flow.within(if single { "" } else { layer });
        let shape = chain.tensor(probe, None)?.shape();
        let layers = match shape {
            &[layers, ..] if layers > 0 => layers,
            found => {
                let reason = format!("must hold at least 1 layer, found shape {found:?}");
                return Err(chain.wrong(probe, reason));
            }
        };
        let permutation = flow.within(&format!("bijections[{permutation}]"));
        let permutations = permutations(&permutation, layers)?;
        // One feature has no order, and two features are flipped.
        let features = match &permutations {
            Some(orders) => orders[0].len(),
            None if single => 1,
            None => features(shape).filter(|features| *features < 2).unwrap_or(2),
        };
        let mut stack = Vec::with_capacity(2 * layers);
        for index in 0..layers {
            stack.push(read(&chain, index, layers, features)?);
            let order = match &permutations {
                Some(orders) => {
                    permutation.named(ORDER, Permutation::given(&orders[index], device))?
                }
                None => Permutation::reverse(features, device)?,
            };
            if features > 1 {
                stack.push(AnyBijector::Permutation(order));
            }
        }
        let layer = if inverted {
            AnyBijector::Stack(stack)
        } else {
            AnyBijector::Inverse(Inverse::new(stack))
        };
        Ok(Flow::new(layer, base(scope, features, device)?))
    })
}

/// The stacked permutations after the layers.
const ORDER: &str = "permutation[0]";
/// The inverses of the stacked permutations.
const INVERSE_ORDER: &str = "inverse_permutation[0]";

/// The permutation after each layer, or `None` for fewer than three features.
fn permutations(scope: &Scope<'_>, layers: usize) -> Result<Option<Vec<Vec<usize>>>> {
    if !scope.has(ORDER) {
        return Ok(None);
    }
    let read = |name| {
        let tensor = scope.tensor(name, None)?;
        match tensor.shape() {
            &[found, features] if found == layers && features > 0 => {
                let all = scope.as_indices(name, tensor.as_ints())?;
                Ok(all.chunks(features).map(<[usize]>::to_vec).collect::<Vec<_>>())
            }
            found => {
                Err(scope.wrong(name, format!("needs shape [{layers}, features], found {found:?}")))
            }
        }
    };
    let (orders, backs) = (read(ORDER)?, read(INVERSE_ORDER)?);
    for (order, back) in orders.iter().zip(&backs) {
        scope.expect_inverse(INVERSE_ORDER, order, back)?;
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
