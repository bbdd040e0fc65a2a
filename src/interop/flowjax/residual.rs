//! Planar flows and block neural autoregressive flows.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Device;

use super::{Chain, Options, flow};
use crate::bijector::{
    AnyBijector, BlockLinear, BlockNeuralAutoregressive, Planar, PlanarConstraint, RidgeActivation,
};
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::interop::StateDict;
use crate::interop::dense::{Dense, Plain};
use crate::interop::scope::Scope;
use crate::math::from_f64;

/// The slope that FlowJAX adds to tanh in a `BlockAutoregressiveNetwork`.
const LEAK: f64 = 0.01;

/// The parameters of the planar layers, `[layers, 2 features + 1]`.
const PLANAR: &str = "params";
/// The networks that compute the parameters of the planar layers from a context.
const CONDITIONER: &str = "conditioner.layers";
/// The networks of block autoregressive layers, inside a numerical inverse.
const BLOCKS: &str = "bijection";

/// Loads a `planar_flow` with a `Normal` or `StandardNormal` base, with or without a condition.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if the `negative_slope` is not in (0, 1]: with a larger
/// value, a layer may have no inverse.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, flowjax};
///
/// // One layer of two features: w, u and b.
/// let mut dict = StateDict::new();
/// let name = "bijection.bijection.bijection.bijections[0].params";
/// dict.insert(name, HostTensor::floats([1.0, 0.0, 0.0, 3.0, 0.0], [1, 5]));
/// let device = Device::flex();
/// let options = flowjax::Options::new().with_negative_slope(Some(0.1));
/// let flow = flowjax::planar_flow(&dict, &options, &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[1.0, 0.0]], &device));
/// // The second feature, flipped to the front.
/// assert!((z.max().into_scalar::<f32>() - 3.0).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn planar_flow(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let activation = match options.negative_slope {
        Some(slope) => RidgeActivation::LeakyRelu { slope },
        None => RidgeActivation::Tanh,
    };
    activation.validate()?;
    let constraint = PlanarConstraint::LogSoftplus;
    let conditioner = format!("{CONDITIONER}[0].weight");
    let conditional = dict.names().any(|name| name.ends_with(&conditioner));
    let probe = if conditional { conditioner } else { PLANAR.to_string() };
    flow(dict, &Chain::of(probe), device, |chain, index, layers, features| {
        let count = 2 * features + 1;
        if !conditional {
            let all = chain.floats(PLANAR, &[layers, count])?;
            let part = |from: usize, length: usize| {
                let at = index * count + from;
                from_f64(all[at..at + length].to_vec(), [length], device)
            };
            let (weight, direction) = (part(0, features), part(features, features));
            let bias = part(2 * features, 1);
            let layer = Planar::from_weights(weight, direction, bias, activation, constraint);
            return Ok(AnyBijector::Planar(layer?));
        }
        let depth = (0..).take_while(|k| chain.has(&format!("{CONDITIONER}[{k}].weight"))).count();
        let dense =
            |k| Dense::read_stacked(chain, &format!("{CONDITIONER}[{k}]"), "weight", index, layers);
        let rest = (1..depth).map(dense).collect::<Result<_>>()?;
        let network = Plain::new(dense(0)?, rest)?;
        network.output.expect(count, network.output.inputs())?;
        let context = network.input.inputs();
        let mlp = network.mlp(&options.activation, 0, device);
        let layer = Planar::of_network(mlp, [context, features], activation, constraint, device);
        Ok(AnyBijector::Planar(layer))
    })
}

/// Loads a `block_neural_autoregressive_flow` with its default activation and a `Normal` or `StandardNormal` base, with
/// or without a condition.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, flowjax};
///
/// // Of two features, without a hidden layer: a triangular matrix with rows of length ln 2.
/// let mut dict = StateDict::new();
/// let layer = "bijection.bijection.bijection.bijections[0].bijection.layers[0][0]";
/// dict.insert(format!("{layer}.weight.weight.args[0]"), HostTensor::floats([1.0, 9.0, 0.0, 1.0], [1, 2, 2]));
/// dict.insert(format!("{layer}.weight.scale.args[0]"), HostTensor::floats([0.0, 0.0], [1, 2, 1]));
/// dict.insert(format!("{layer}.bias"), HostTensor::floats([0.0, 0.0], [1, 2]));
/// let device = Device::flex();
/// let flow = flowjax::block_neural_autoregressive_flow(&dict, &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[1.0, 0.0]], &device));
/// assert!((z.max().into_scalar::<f32>() - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn block_neural_autoregressive_flow(
    dict: &StateDict,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let bias = |k: usize| format!("{BLOCKS}.layers[{k}][0].bias");
    flow(dict, &Chain::of(bias(0)), device, |chain, index, layers, features| {
        let depth = (0..).take_while(|&k| chain.has(&bias(k))).count();
        let mut width = features;
        let mut stack = vec![];
        for k in 0..depth {
            let part = format!("{BLOCKS}.layers[{k}][0]");
            let dense = Dense::read_stacked(chain, &part, "weight.weight.args[0]", index, layers)?;
            let outputs = dense.outputs();
            dense.expect(outputs, width)?;
            if outputs % features != 0 || outputs == 0 {
                let reason = format!("must have a multiple of {features} units, found {outputs}");
                return Err(chain.wrong(&bias(k), reason));
            }
            let scale = format!("{part}.weight.scale.args[0]");
            let scale = chain.floats(&scale, &[layers, outputs, 1])?;
            let scale = scale[index * outputs..(index + 1) * outputs].to_vec();
            let linear = dense.linear(device);
            let of_bias = linear.bias.as_ref().map(Param::val).expect("a dense layer has one");
            let scale = from_f64(scale, [outputs], device);
            stack.push(BlockLinear::from_weights(linear.weight.val(), scale, of_bias));
            width = outputs;
        }
        if width != features {
            let reason = format!("must have {features} units in the last layer, found {width}");
            return Err(chain.wrong(&bias(depth - 1), reason));
        }
        // Without a hidden layer, FlowJAX ignores the condition.
        let context = context_layer(chain, index, layers, depth > 1, device)?;
        let layer = BlockNeuralAutoregressive::from_layers(stack, context, features, LEAK);
        Ok(AnyBijector::BlockNeuralAutoregressive(layer))
    })
}

/// The layer that adds the condition to the first layer, or `None` without a condition. If the condition is not `used`,
/// the weights are fixed zeros.
fn context_layer(
    chain: &Scope<'_>,
    index: usize,
    layers: usize,
    used: bool,
    device: &Device,
) -> Result<Option<Linear>> {
    let name = format!("{BLOCKS}.cond_linear.weight");
    if !chain.has(&name) {
        return Ok(None);
    }
    let (_, [_, outputs, inputs]) = chain.floats_of_rank::<3>(&name)?;
    let units = chain.tensor(&format!("{BLOCKS}.layers[0][0].bias"), None)?.shape()[1];
    let all = chain.floats(&name, &[layers, units, inputs])?;
    let size = outputs * inputs;
    let weight = &all[index * size..(index + 1) * size];
    let column = |i| weight[i..].iter().step_by(inputs);
    let weight: Vec<f64> = (0..inputs).flat_map(column).copied().collect();
    let weight = if used { weight } else { vec![0.0; weight.len()] };
    let weight = Param::from_tensor(from_f64(weight, [inputs, outputs], device));
    let layer = Linear { weight, bias: None };
    Ok(Some(if used { layer } else { layer.no_grad() }))
}
