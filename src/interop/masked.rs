//! Masked dense layers of other libraries, and networks built from them.

use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use super::dense::Dense;
use super::scope::Scope;
use crate::bijector::MaskedAutoregressive;
use crate::conditioner::{ActivationConfig, Layers, Made, MaskedBlock, MaskedLinear, Style};
use crate::error::{Error, Result};
use crate::univariate::{AnyUnivariate, Univariate};

/// One masked dense layer on the host.
pub(super) struct Masked {
    dense: Dense,
    /// `[out, in]`, true where the mask keeps a connection.
    open: Vec<bool>,
    /// The name of the mask in the file, for error messages.
    name: String,
}

impl Masked {
    /// Builds a layer with the mask called `name`.
    ///
    /// # Errors
    ///
    /// Fails if mask and weight have different shapes.
    pub(super) fn new(
        scope: &Scope<'_>,
        name: &str,
        dense: Dense,
        open: Vec<bool>,
    ) -> Result<Self> {
        if open.len() == dense.outputs() * dense.inputs() {
            return Ok(Self { dense, open, name: scope.full(name) });
        }
        let reason = format!(
            "has {} elements, but the weight has shape [{}, {}]",
            open.len(),
            dense.outputs(),
            dense.inputs()
        );
        Err(scope.wrong(name, reason))
    }

    /// Reads `part.weight`, `part.bias` and the boolean mask `part.mask`.
    pub(super) fn read(scope: &Scope<'_>, part: &str) -> Result<Self> {
        let (dense, name) = (Dense::read(scope, part)?, format!("{part}.mask"));
        let mask = scope.tensor(&name, Some(&[dense.outputs(), dense.inputs()]))?;
        let open = mask.as_bools().map(<[bool]>::to_vec);
        let open = open.ok_or_else(|| scope.wrong(&name, "does not hold booleans".into()))?;
        Self::new(scope, &name, dense, open)
    }

    /// Reads `part.weight`, `part.bias` and a mask of floats, and checks the mask against the saved degrees. An output
    /// is connected to the inputs of lower degree, and to the inputs of equal degree unless `strictly` is set. Also
    /// returns the degrees of the outputs.
    pub(super) fn read_by_degrees(
        scope: &Scope<'_>,
        part: &str,
        inputs: &[usize],
        strictly: bool,
    ) -> Result<(Self, Vec<usize>)> {
        let dense = Dense::read(scope, part)?;
        dense.expect(dense.outputs(), inputs.len())?;
        let name = format!("{part}.mask");
        let mask = scope.floats(&name, &[dense.outputs(), dense.inputs()])?;
        let degrees_name = format!("{part}.degrees");
        let degrees = scope.indices(&degrees_name)?;
        let sees = |to: &usize, from: &usize| if strictly { to > from } else { to >= from };
        let open: Vec<bool> =
            degrees.iter().flat_map(|to| inputs.iter().map(move |from| sees(to, from))).collect();
        if open.iter().map(|open| f64::from(u8::from(*open))).eq(mask.iter().copied()) {
            return Ok((Self::new(scope, &name, dense, open)?, degrees));
        }
        Err(scope.wrong(&degrees_name, "contradicts the saved mask".into()))
    }

    /// Splits the layer as [`Dense::split`] does; the inputs after the first `features` inputs are a context.
    ///
    /// # Errors
    ///
    /// Fails if the mask cuts a connection to the context.
    pub(super) fn split(self, features: usize) -> Result<(Self, Self)> {
        self.check_context(features)?;
        let (first, second) = self.dense.split();
        // The masks connect all outputs to the context; unused connections have weights of zero.
        let identity = |layer: &Dense, features: usize| {
            let width = layer.inputs();
            let open = |at: usize| at.is_multiple_of(width + 1) || at % width >= features;
            (0..width * width).map(open).collect()
        };
        let (before, behind) = if first.inputs() < second.outputs() {
            (identity(&first, features), self.open)
        } else {
            let behind = identity(&second, second.inputs());
            (self.open, behind)
        };
        let layer = |dense, open| Self { dense, open, name: self.name.clone() };
        Ok((layer(first, before), layer(second, behind)))
    }

    /// Returns an error if the mask cuts a connection to the inputs after the first `features` inputs.
    fn check_context(&self, features: usize) -> Result<()> {
        self.dense.context_behind(features)?;
        if self.open.chunks(self.inputs()).all(|row| row[features..].iter().all(|open| *open)) {
            return Ok(());
        }
        let reason = "must not mask an input of the context".into();
        Err(Error::Tensor { name: self.name.clone(), reason })
    }

    pub(super) fn inputs(&self) -> usize {
        self.dense.inputs()
    }

    pub(super) fn outputs(&self) -> usize {
        self.dense.outputs()
    }

    /// Splits off the inputs after the first `features` inputs as a context layer without a bias. The mask must connect
    /// all outputs to the context.
    fn split_context(self, features: usize, device: &Device) -> Result<(Self, Option<Linear>)> {
        let inputs = self.inputs();
        if self.dense.context_behind(features)? == 0 {
            return Ok((self, None));
        }
        self.check_context(features)?;
        let columns: Vec<usize> = (features..inputs).collect();
        let context = self.dense.clone().pick_inputs(&columns).linear(device);
        let columns: Vec<usize> = (0..features).collect();
        let open = self.open.chunks(inputs).flat_map(|row| &row[..features]).copied().collect();
        let dense = self.dense.pick_inputs(&columns);
        Ok((Self { dense, open, ..self }, Some(Linear { bias: None, ..context })))
    }

    /// Selects outputs as [`Dense::pick_outputs`] does.
    fn pick_outputs(self, from: &[usize]) -> Self {
        let inputs = self.inputs();
        let row = |&i: &usize| &self.open[i * inputs..(i + 1) * inputs];
        let open = from.iter().flat_map(row).copied().collect();
        Self { dense: self.dense.pick_outputs(from), open, ..self }
    }

    fn masked_linear(self, device: &Device) -> MaskedLinear {
        let (outputs, inputs) = (self.outputs(), self.inputs());
        let mask = TensorData::new(self.open, [outputs, inputs]);
        let mask =
            Tensor::<2, burn::tensor::Bool>::from_data(mask, &device.clone().without_autodiff());
        MaskedLinear::new(self.dense.linear(device), mask.transpose())
    }
}

/// A masked residual block on the host.
pub(super) struct Block {
    pub(super) widen: Option<Masked>,
    pub(super) first: Masked,
    pub(super) second: Masked,
    pub(super) context: Option<Dense>,
}

/// A masked network on the host. The context has a separate layer, or it is the last inputs of the first layer.
pub(super) struct MaskedNet {
    pub(super) input: Masked,
    pub(super) context: Option<Dense>,
    pub(super) hidden: Vec<Masked>,
    pub(super) blocks: Vec<Block>,
    pub(super) output: Masked,
    pub(super) style: Style,
}

impl MaskedNet {
    /// Builds the masked autoregressive layer from this network and a scalar map. The last layer stores the parameters
    /// of one feature next to each other. `places` gives the position among them of each parameter of the map, in the
    /// order of the map.
    ///
    /// # Errors
    ///
    /// Fails if neighbouring layers do not match, if the number of outputs does not match the map, or if features
    /// depend on each other.
    pub(super) fn layer(
        self,
        features: usize,
        univariate: AnyUnivariate,
        places: impl IntoIterator<Item = usize>,
        activation: &ActivationConfig,
        device: &Device,
    ) -> Result<MaskedAutoregressive<AnyUnivariate>> {
        let per_feature = univariate.params_per_element();
        let rows = |place: usize| (0..features).map(move |feature| per_feature * feature + place);
        let rows: Vec<usize> = places.into_iter().flat_map(rows).collect();
        self.output.dense.expect(per_feature * features, self.output.inputs())?;
        let made = self.made(features, &rows, activation, device)?;
        Ok(MaskedAutoregressive::new(univariate, made))
    }

    /// Builds the network whose output row `rows[p * features + i]` is parameter `p` of feature `i`.
    ///
    /// # Errors
    ///
    /// Fails if neighbouring layers do not match, or if features depend on each other.
    pub(super) fn made(
        self,
        features: usize,
        rows: &[usize],
        activation: &ActivationConfig,
        device: &Device,
    ) -> Result<Made> {
        let (name, mut width) = (self.output.name.clone(), self.input.outputs());
        for layer in &self.hidden {
            layer.dense.expect(layer.outputs(), width)?;
            width = layer.outputs();
        }
        for Block { widen, first, second, context } in &self.blocks {
            if let Some(widen) = widen {
                widen.dense.expect(widen.outputs(), width)?;
                width = widen.outputs();
            }
            first.dense.expect(first.outputs(), width)?;
            second.dense.expect(width, first.outputs())?;
            let met = if self.style.gated_context { second } else { first };
            context.iter().try_for_each(|c| c.expect(met.outputs(), c.inputs()))?;
        }
        self.context.iter().try_for_each(|c| c.expect(self.input.outputs(), c.inputs()))?;
        self.output.dense.expect(self.output.outputs(), width)?;
        let (input, behind) = self.input.split_context(features, device)?;
        let block = |Block { widen, first, second, context }: Block| MaskedBlock {
            widen: widen.map(|layer| layer.masked_linear(device)),
            first: first.masked_linear(device),
            second: second.masked_linear(device),
            context: context.map(|c| c.linear(device)),
        };
        let layers = Layers {
            input: input.masked_linear(device),
            context: self.context.map(|c| c.linear(device)).or(behind),
            hidden: self.hidden.into_iter().map(|layer| layer.masked_linear(device)).collect(),
            blocks: self.blocks.into_iter().map(block).collect(),
            output: self.output.pick_outputs(rows).masked_linear(device),
        };
        Made::new(layers, features, activation, self.style, device)
            .map_err(|error| Error::Tensor { name, reason: error.to_string() })
    }
}

/// The parts of the `MADE` of nflows and normflows: the initial layer, the context layer if there is one, the contents
/// of `blocks`, and the final layer. The degrees of the final layer are the degrees of the features.
pub(super) struct MadeParts {
    pub(super) input: Masked,
    pub(super) context: Option<Dense>,
    pub(super) hidden: Vec<Masked>,
    pub(super) blocks: Vec<Block>,
    pub(super) output: Masked,
}

impl MadeParts {
    /// Reads the parts below `scope`.
    pub(super) fn read(scope: &Scope<'_>) -> Result<Self> {
        let (_, [_, features]) = scope.floats_of_rank::<2>("initial_layer.weight")?;
        let order = Self::order(scope, features)?;
        let context = scope.has_part("context_layer").then(|| Dense::read(scope, "context_layer"));
        let context = context.transpose()?;
        let layer = |part: &str, from: &[usize]| Masked::read_by_degrees(scope, part, from, false);
        let (input, mut degrees) = layer("initial_layer", &order)?;
        let (mut hidden, mut blocks) = (vec![], vec![]);
        for index in 0..scope.numbered("blocks").len() {
            let part = format!("blocks.{index}");
            if scope.has_part(&format!("{part}.linear")) {
                let (layer, next) = layer(&format!("{part}.linear"), &degrees)?;
                hidden.push(layer);
                degrees = next;
            } else {
                let (first, inner) = layer(&format!("{part}.linear_layers.0"), &degrees)?;
                let (second, next) = layer(&format!("{part}.linear_layers.1"), &inner)?;
                if next.iter().zip(&degrees).any(|(next, before)| next < before) {
                    let name = format!("{part}.linear_layers.1.degrees");
                    let reason = "must not be lower than the degrees before the block";
                    return Err(scope.wrong(&name, reason.into()));
                }
                let context = match &context {
                    Some(context) => {
                        let layer = Dense::read(scope, &format!("{part}.context_layer"))?;
                        layer.expect(layer.outputs(), context.inputs())?;
                        Some(layer)
                    }
                    None => None,
                };
                blocks.push(Block { widen: None, first, second, context });
                degrees = next;
            }
        }
        let (output, _) = Masked::read_by_degrees(scope, "final_layer", &degrees, true)?;
        Ok(Self { input, context, hidden, blocks, output })
    }

    /// The degree of each feature, counted from 1. It is read from the final layer, which stores the parameters of one
    /// feature next to each other.
    fn order(scope: &Scope<'_>, features: usize) -> Result<Vec<usize>> {
        let name = "final_layer.degrees";
        let degrees = scope.indices(name)?;
        let per_feature = (degrees.len() / features).max(1);
        let order: Vec<usize> = degrees.iter().step_by(per_feature).copied().collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(1..=features)
            && degrees.iter().copied().eq(order.iter().flat_map(|d| vec![*d; per_feature]))
        {
            return Ok(order);
        }
        Err(scope.wrong(name, format!("must number {features} features, each {per_feature} times")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bijector::Bijector;
    use crate::interop::{HostTensor, StateDict, zuko};

    /// A layer of two features with one hidden unit; `input` and `output` are its masks.
    fn layer(input: [bool; 2], output: [bool; 4]) -> Result<MaskedAutoregressive<AnyUnivariate>> {
        let mut dict = StateDict::new();
        dict.insert("order", HostTensor::ints([0, 1], [2]));
        dict.insert("hyper.0.weight", HostTensor::floats([1.0, 2.0], [1, 2]));
        dict.insert("hyper.0.bias", HostTensor::floats([0.5], [1]));
        dict.insert("hyper.0.mask", HostTensor::bools(input, [1, 2]));
        dict.insert("hyper.2.weight", HostTensor::floats([1.0, 0.0, 10.0, 0.0], [4, 1]));
        dict.insert("hyper.2.bias", HostTensor::floats([0.25, 0.0, 0.25, 0.0], [4]));
        dict.insert("hyper.2.mask", HostTensor::bools(output, [4, 1]));
        let options = zuko::Options::new();
        zuko::autoregressive(&dict, "", &zuko::Univariate::Affine, &options, &Device::flex())
    }

    #[test]
    fn a_network_whose_units_decide_nothing_is_inverted() -> Result<()> {
        let layer = layer([false, true], [false; 4])?;
        let x = Tensor::<2>::from_data([[1.0, 2.0]], &Device::flex());
        let (z, _) = layer.forward(x.clone(), None);
        assert_eq!(z.to_data().try_to_vec_as::<f32>().unwrap(), [1.25, 2.25]);
        assert_eq!(layer.inverse(z, None).into_data(), x.into_data());
        Ok(())
    }

    #[test]
    fn masks_that_close_a_circle_are_an_error() {
        assert!(layer([true, false], [false, false, true, true]).is_ok());
        let error = layer([true, true], [false, false, true, true]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `hyper.2.mask`: MadeConfig.dependencies: must have no cycle of features, found \
             1 <- 1"
        );
    }
}
