//! Parameters that belong to whole rows: free ones, and what a network makes of a context.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Conditioner, Mlp, MlpConfig, check_context};
use crate::math::{from_f64, wide};

crate::store::checked! {
/// `P` numbers, to which a network adds a function of the context.
///
/// A network that ends in zeros changes nothing at the start, so a conditional layer starts where
/// an unconditional one does.
#[derive(Module, Debug, Serialize)]
pub(crate) struct RowParams {
    #[serde(with = "crate::store::part")]
    free: Param<Tensor<1>>,
    network: Option<Mlp>,
    context: usize,
}
}

impl RowParams {
    /// Whether a layer that was read from a file can be one.
    fn sound(&self) -> crate::error::Result<()> {
        let fits = self.network.is_some() == (self.context > 0);
        crate::store::require("RowParams", "context", fits, || {
            "needs a network, and it a context".to_string()
        })?;
        let ends = [self.context, self.count()];
        let fits = self.network.as_ref().is_none_or(|network| network.ends() == ends);
        crate::store::require("RowParams", "network", fits, || format!("must lead along {ends:?}"))
    }
}

impl RowParams {
    /// These numbers, and a network for a context of this width (0: none).
    pub(crate) fn new(free: Vec<f64>, mlp: &MlpConfig, context: usize, device: &Device) -> Self {
        let count = free.len();
        let network = (context > 0).then(|| mlp.of_context(context, count, device));
        Self { free: Param::from_tensor(from_f64(free, [count], device)), network, context }
    }

    /// These numbers for every row.
    pub(crate) fn free(values: Tensor<1>) -> Self {
        Self { free: Param::from_tensor(values), network: None, context: 0 }
    }

    /// What a network makes of a context of this width, and `count` numbers, zero at first, that
    /// are added to it.
    #[cfg(feature = "interop")]
    pub(crate) fn of_network(network: Mlp, context: usize, count: usize, device: &Device) -> Self {
        let free = Param::from_tensor(Tensor::zeros([count], device));
        Self { free, network: Some(network), context }
    }

    /// `[1, P]`, or `[batch, P]` with a context, in at least single precision.
    pub(crate) fn rows(&self, layer: &str, context: Option<&Tensor<2>>) -> Tensor<2> {
        check_context(layer, self.context, context);
        let free = self.free.val().unsqueeze_dim(0);
        match (&self.network, context) {
            (Some(network), Some(context)) => wide(free + network.forward(context.clone(), None)),
            _ => wide(free),
        }
    }

    /// The same at the scale of a first batch's context.
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

/// Takes one named part after another out of rows of parameters.
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
