//! Single layers.

use burn::tensor::Device;

use super::univariate::{CONSTANT, expect_all};
use super::{Options, Univariate};
use crate::bijector::{Coupling, Elementwise, Mask, MaskedAutoregressive};
use crate::conditioner::{Mlp, Style};
use crate::error::{Error, Result};
use crate::interop::StateDict;
use crate::interop::dense::{NO_ACTIVATION, Plain};
use crate::interop::masked::{Block, Masked, MaskedNet};
use crate::interop::scope::{Scope, whole};
use crate::math::from_f64;
use crate::univariate::{AnyUnivariate, Univariate as _};

/// Loads a `MaskedAutoregressiveTransform` with this scalar map. The masks determine the dependencies, which may come
/// from an order, from `passes`, or from an `adjacency`.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if features depend on each other.
///
/// # Example
///
/// ```
/// use burn_flows::{Error, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("order", HostTensor::ints([2, 1], [2]));
/// let device = burn::tensor::Device::flex();
/// let error = zuko::autoregressive(&dict, "", &zuko::Univariate::Affine, &zuko::Options::new(), &device).unwrap_err();
/// assert!(matches!(error, Error::Tensor { name, .. } if name == "order")); // nothing comes first
/// ```
pub fn autoregressive(
    dict: &StateDict,
    prefix: &str,
    univariate: &Univariate,
    options: &Options,
    device: &Device,
) -> Result<MaskedAutoregressive<AnyUnivariate>> {
    whole(dict, prefix, |scope| Ok(autoregressive_in(scope, univariate, None, options, device)?.0))
}

/// Loads a `GeneralCouplingTransform` with this scalar map.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn_flows::{Error, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("mask", HostTensor::bools([true, true], [2]));
/// let device = burn::tensor::Device::flex();
/// let error = zuko::coupling(&dict, "", &zuko::Univariate::Affine, &zuko::Options::new(), &device).unwrap_err();
/// assert!(matches!(error, Error::Tensor { name, .. } if name == "mask")); // moves nothing
/// ```
pub fn coupling(
    dict: &StateDict,
    prefix: &str,
    univariate: &Univariate,
    options: &Options,
    device: &Device,
) -> Result<Coupling<AnyUnivariate, Mlp>> {
    whole(dict, prefix, |scope| Ok(coupling_in(scope, univariate, options, device)?.0))
}

/// Loads a scalar map with free parameters for each element. The tensors are named after the arguments of the
/// constructor of the map, or `phi.0`, `phi.1`, .. as in an `ElementWiseTransform`. The first axes of the tensors are
/// the axes of the event.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("shift", HostTensor::floats([1.0, 2.0], [2]));
/// dict.insert("scale", HostTensor::floats([0.0, 0.0], [2]));
/// let device = Device::flex();
/// let layer = zuko::elementwise(&dict, "", &zuko::Univariate::Affine, &zuko::Options::new(), &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 2], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 2.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn elementwise(
    dict: &StateDict,
    prefix: &str,
    univariate: &Univariate,
    options: &Options,
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    whole(dict, prefix, |scope| Ok(elementwise_in(scope, univariate, options, device)?.0))
}

/// Reads an `MLP`, whose dense layers have every second number.
fn plain(scope: &Scope<'_>, part: &str) -> Result<Plain> {
    expect_no_normalization(scope, part)?;
    Plain::read(scope, part)
}

/// Checks that the network has no normalization: `normalize=True` saves no tensor, but its layers have every third
/// number.
///
/// # Errors
///
/// Fails if the numbers are not every second one.
pub(super) fn expect_no_normalization(scope: &Scope<'_>, part: &str) -> Result<()> {
    let numbers = scope.numbered(part);
    match numbers.windows(2).find(|pair| pair[1] != pair[0] + 2) {
        Some(pair) if pair[1] == pair[0] + 3 => {
            let name = format!("{part}.{}", pair[1]);
            let reason = "follows a normalization (`normalize=True`), which is not supported";
            Err(scope.wrong(&name, reason.into()))
        }
        _ => Ok(()),
    }
}

pub(super) fn coupling_in(
    scope: &Scope<'_>,
    univariate: &Univariate,
    options: &Options,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, Mlp>, usize)> {
    let mask = scope.tensor("mask", None)?;
    let Some(flags) = mask.as_bools() else {
        return Err(scope.wrong("mask", "does not hold booleans".into()));
    };
    let features = flags.len();
    let (kept, moved): (Vec<usize>, Vec<usize>) = (0..features).partition(|&i| flags[i]);
    let mask = Mask::Kept(kept.clone());
    scope.named("mask", mask.kept(&[features]))?;

    let network = plain(scope, "hyper")?;
    let context = network.input.context_behind(kept.len())?;
    let per_feature = network.output.outputs() / moved.len();
    let map = univariate.with_params(scope, "hyper", per_feature, options, device)?;
    expect_all(scope, "hyper", &map)?;
    network.output.expect(per_feature * moved.len(), network.output.inputs())?;
    let rows = |place: &usize| {
        let place = *place;
        (0..moved.len()).map(move |feature| per_feature * feature + place)
    };
    let rows: Vec<usize> = map.places.iter().flat_map(rows).collect();
    let mlp = network.pick_outputs(&rows).mlp(&options.activation, context, device);
    let layer = Coupling::new(&mask, &[features], map.univariate, |_, _| mlp, device);
    Ok((scope.named("mask", layer)?, features))
}

/// A layer with an `adjacency` does not save the number of features before the context, so `features` gives it. Without
/// `features`, the layer has no context.
pub(super) fn autoregressive_in(
    scope: &Scope<'_>,
    univariate: &Univariate,
    features: Option<usize>,
    options: &Options,
    device: &Device,
) -> Result<(MaskedAutoregressive<AnyUnivariate>, usize)> {
    let net = scope.within("hyper");
    let mut numbers = scope.numbered("hyper").into_iter();
    // The masks determine the dependencies; an order is only checked.
    let ordered = (!options.adjacency).then(|| order_in(scope)).transpose()?;
    let input = Masked::read(&net, &numbers.next().unwrap_or_default().to_string())?;
    let features = ordered.or(features).unwrap_or(input.inputs());
    let (mut plain, mut blocks) = (vec![], vec![]);
    for number in numbers {
        if net.has(&format!("{number}.weight")) {
            plain.push(Masked::read(&net, &number.to_string())?);
        } else {
            let layer = |at| Masked::read(&net, &format!("{number}.{at}"));
            // A plain layer between blocks changes the width.
            let widen = plain.pop();
            blocks.push(Block { widen, first: layer(0)?, second: layer(2)?, context: None });
        }
    }
    // With `hidden_features=()`, the network has one layer and no activation.
    let linear = plain.is_empty() && blocks.is_empty();
    let (input, output) = if linear {
        let (input, output) = input.split(features)?;
        (input, Some(output))
    } else {
        (input, plain.pop())
    };
    let Some(output) = output.filter(|_| blocks.is_empty() || plain.is_empty()) else {
        return Err(scope.wrong("hyper", "is not a masked network of a supported structure".into()));
    };
    let activation = if linear { &NO_ACTIVATION } else { &options.activation };
    let per_feature = output.outputs() / features;
    let map = univariate.with_params(scope, "hyper", per_feature, options, device)?;
    expect_all(scope, "hyper", &map)?;
    let style = Style { bare_blocks: true, ..Style::default() };
    let network = MaskedNet { input, context: None, hidden: plain, blocks, output, style };
    let layer = network.layer(features, map.univariate, map.places, activation, device)?;
    Ok((layer, features))
}

/// The number of features of a saved order of steps.
fn order_in(scope: &Scope<'_>) -> Result<usize> {
    let order = scope.indices("order")?;
    let features = order.len();
    let steps = order.iter().max().map_or(0, |last| last.saturating_add(1));
    if steps > features || features == 0 || !(0..steps).all(|step| order.contains(&step)) {
        let reason = format!("must number the steps from 0 without gaps, found {order:?}");
        return Err(scope.wrong("order", reason));
    }
    Ok(features)
}

pub(super) fn elementwise_in(
    scope: &Scope<'_>,
    univariate: &Univariate,
    options: &Options,
    device: &Device,
) -> Result<(Elementwise<AnyUnivariate>, usize)> {
    let numbered = scope.has_part("phi");
    let mut event: Option<Vec<usize>> = None;
    let mut arguments = vec![];
    for (index, (name, axes)) in univariate.arguments().iter().enumerate() {
        let optional = *name == CONSTANT;
        let name = if numbered { format!("phi.{index}") } else { (*name).into() };
        if optional && !scope.has(&name) {
            continue;
        }
        let tensor = scope.tensor(&name, None)?;
        let Some(leading) = tensor.shape().len().checked_sub(*axes) else {
            let reason = format!("must have at least {axes} axes, found {}", tensor.shape().len());
            return Err(scope.wrong(&name, reason));
        };
        let (found, own) = tensor.shape().split_at(leading);
        let event = event.get_or_insert_with(|| found.to_vec());
        let expected = [event.as_slice(), own].concat();
        arguments.push((scope.floats(&name, &expected)?, own.iter().product::<usize>(), name));
    }
    let elements: usize = event.unwrap_or_default().iter().product();
    let total = arguments.iter().map(|(_, size, _)| size).sum();
    let (_, _, first) = &arguments[0];
    if elements * total == 0 {
        return Err(scope.wrong(first, "is empty".into()));
    }
    let map = univariate.with_params(scope, first, total, options, device)?;
    for ((_, size, name), expected) in arguments.iter().zip(&map.sizes) {
        if size != expected {
            let reason = format!("holds {size} numbers per element, expected {expected}");
            return Err(scope.wrong(name, reason));
        }
    }
    let element = |i: usize| {
        arguments.iter().flat_map(move |(values, size, _)| &values[i * size..(i + 1) * size])
    };
    let packed: Vec<f64> = (0..elements).flat_map(element).copied().collect();
    let param = |place: &usize| packed[*place..].iter().step_by(total).copied();
    let mut params: Vec<f64> = map.places.iter().flat_map(param).collect();
    let needed = map.univariate.params_per_element();
    // A missing constant is zero.
    params.resize(needed * elements, 0.0);
    let params = from_f64(params, [needed, elements], device);
    Ok((Elementwise::from_weights(map.univariate, params), elements))
}

/// An elementwise layer with a network `hyper.0`, .. from the context to its parameters; `features` is the number of
/// elements.
pub(super) fn elementwise_context_in(
    scope: &Scope<'_>,
    univariate: &Univariate,
    features: usize,
    options: &Options,
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    let network = plain(scope, "hyper")?;
    let context = network.input.inputs();
    let per_feature = network.output.outputs() / features.max(1);
    let map = univariate.with_params(scope, "hyper", per_feature, options, device)?;
    expect_all(scope, "hyper", &map)?;
    network.output.expect(per_feature * features, network.output.inputs())?;
    let rows = |place: &usize| {
        let place = *place;
        (0..features).map(move |feature| per_feature * feature + place)
    };
    let rows: Vec<usize> = map.places.iter().flat_map(rows).collect();
    let mlp = network.pick_outputs(&rows).mlp(&options.activation, 0, device);
    let free = from_f64(vec![0.0; per_feature * features], [per_feature, features], device);
    Ok(Elementwise::from_weights(map.univariate, free).with_network(mlp, context))
}

impl Univariate {
    /// The map with `params` parameters.
    ///
    /// # Errors
    ///
    /// Fails if the map cannot have that many parameters; the message names the tensor or part `name` that holds them.
    fn with_params(
        &self,
        scope: &Scope<'_>,
        name: &str,
        params: usize,
        options: &Options,
        device: &Device,
    ) -> Result<super::univariate::Spread> {
        self.spread(scope, params, options, device)?.ok_or_else(|| {
            let reason =
                format!("gives {params} parameters per element, which does not fit {self:?}");
            Error::Tensor { name: scope.full(name), reason }
        })
    }
}
