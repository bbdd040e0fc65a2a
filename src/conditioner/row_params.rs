//! Parameters of whole rows: free numbers plus the output of a network of the context.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Conditioner, Mlp, MlpConfig, check_context};
use crate::math::{from_f64, wide};

crate::store::checked! {
/// `P` free numbers, plus the output of a network of the context.
///
/// A network whose last layer is zero adds nothing at the start. So a conditional layer starts equal to
/// an unconditional one.
#[derive(Module, Debug, Serialize)]
pub(crate) struct RowParams {
    #[serde(with = "crate::store::part")]
    free: Param<Tensor<1>>,
    network: Option<Mlp>,
    context: usize,
}
}

impl RowParams {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> crate::error::Result<()> {
        let fits = self.network.is_some() == (self.context > 0);
        crate::store::require("RowParams", "context", fits, || {
            format!("must be 0 without a network, above 0 with a network, found {}", self.context)
        })?;
        let ends = [self.context, self.count()];
        let fits = self.network.as_ref().is_none_or(|network| network.ends() == ends);
        crate::store::require("RowParams", "network", fits, || {
            format!("must map {} context values to {} outputs", ends[0], ends[1])
        })
    }
}

impl RowParams {
    /// Builds the parameters from these numbers, with a network for a context of this width (0: none).
    pub(crate) fn new(free: Vec<f64>, mlp: &MlpConfig, context: usize, device: &Device) -> Self {
        let count = free.len();
        let network = (context > 0).then(|| mlp.of_context(context, count, device));
        Self { free: Param::from_tensor(from_f64(free, [count], device)), network, context }
    }

    /// The same numbers for all rows, without a network.
    pub(crate) fn free(values: Tensor<1>) -> Self {
        Self { free: Param::from_tensor(values), network: None, context: 0 }
    }

    /// The output of a network of a context of this width, plus `count` free numbers that start at
    /// zero.
    #[cfg(feature = "interop")]
    pub(crate) fn of_network(network: Mlp, context: usize, count: usize, device: &Device) -> Self {
        let free = Param::from_tensor(Tensor::zeros([count], device));
        Self { free, network: Some(network), context }
    }

    /// The parameters as rows, `[1, P]`, or `[batch, P]` with a context, in at least single precision.
    pub(crate) fn rows(&self, layer: &str, context: Option<&Tensor<2>>) -> Tensor<2> {
        check_context(layer, self.context, context);
        let free = self.free.val().unsqueeze_dim(0);
        match (&self.network, context) {
            (Some(network), Some(context)) => wide(free + network.forward(context.clone(), None)),
            _ => wide(free),
        }
    }

    /// Standardises the context of the network by the scale of a first batch.
    pub(crate) fn init_from_data(self, context: Option<&Tensor<2>>) -> Self {
        let network = match (self.network, context) {
            (Some(network), Some(context)) => Some(network.init_from_data(context.clone(), None)),
            (network, _) => network,
        };
        Self { network, ..self }
    }

    pub(crate) fn has_context(&self) -> bool {
        self.context > 0
    }

    pub(crate) fn count(&self) -> usize {
        self.free.lazy_shape()[0]
    }
}

/// Splits rows of parameters into consecutive parts.
pub(crate) struct Parts {
    rows: Tensor<2>,
    taken: usize,
}

impl Parts {
    pub(crate) fn of(rows: Tensor<2>) -> Self {
        Self { rows, taken: 0 }
    }

    /// The next `count` numbers of every row.
    pub(crate) fn next(&mut self, count: usize) -> Tensor<2> {
        let part = self.rows.clone().narrow(1, self.taken, count);
        self.taken += count;
        part
    }
}
