//! What every stack of masked autoregressive layers shares.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::of_layer;
use crate::bijector::{
    InverseMethod, LuLinear, LuLinearConfig, MaskedAutoregressive, MaskedAutoregressiveConfig,
};
use crate::conditioner::{Degrees, Dependencies, MadeConfig};
use crate::error::{Error, Result, repeats};
use crate::univariate::Univariate;

/// How the order of the features changes from layer to layer of an autoregressive stack.
///
/// ```
/// use burn_flows::model::{MafConfig, Orders};
///
/// let config = MafConfig::new(8).with_orders(Orders::Random(1));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Orders {
    /// As given and reversed, in turn.
    Alternating,
    /// A random order for every layer, fixed by the seed.
    Random(u64),
}

impl Orders {
    /// The order of layer `index`.
    fn dependencies(self, index: usize) -> Dependencies {
        match self {
            Self::Alternating if index.is_multiple_of(2) => Dependencies::Forward,
            Self::Alternating => Dependencies::Reversed,
            Self::Random(seed) => Dependencies::Random(seed.wrapping_add(index as u64)),
        }
    }
}

/// A masked layer, behind a linear map or not.
pub(super) type Masked<U> = (Option<LuLinear>, MaskedAutoregressive<U>);

/// A stack of masked layers in changing orders.
pub(super) struct Stack<'a> {
    pub config: &'static str,
    pub features: usize,
    pub layers: usize,
    pub orders: Orders,
    pub made: &'a MadeConfig,
    pub context: usize,
    pub linear: bool,
    pub inverse: InverseMethod,
}

/// The stack of a configuration that has its fields.
macro_rules! stack {
    ($config:ident, $name:literal) => {
        Stack {
            config: $name,
            features: $config.features,
            layers: $config.layers,
            orders: $config.orders,
            made: &$config.made,
            context: $config.context,
            linear: $config.linear,
            inverse: $config.inverse,
        }
    };
}
pub(super) use stack;

impl Stack<'_> {
    fn layer(&self, index: usize) -> MaskedAutoregressiveConfig {
        let mut made = of_layer!(self.made, index);
        made.dependencies = self.orders.dependencies(index);
        if let Degrees::Random(seed) = &mut made.degrees {
            *seed = seed.wrapping_add(index as u64);
        }
        MaskedAutoregressiveConfig::new(self.features)
            .with_made(made)
            .with_context(self.context)
            .with_inverse(self.inverse)
    }

    /// For a scalar map of so many parameters.
    pub fn validate(&self, per_feature: usize) -> Result<()> {
        repeats(self.config, "layers", 1, self.layers)?;
        if self.made.dependencies != Dependencies::Forward {
            let reason = "`orders` decides the dependencies of every layer: leave them at Forward";
            return Err(Error::config(self.config, "made", reason.to_string()));
        }
        self.layer(0).validate()?;
        self.made.validate_outputs(self.features, per_feature)
    }

    /// The layers, each with a scalar map made for it.
    pub fn init<U: Univariate>(
        &self,
        univariate: impl Fn(usize) -> U,
        device: &Device,
    ) -> Vec<Masked<U>> {
        let linear = |index| {
            let between = self.linear && index > 0;
            between.then(|| LuLinearConfig::new(self.features).init(device))
        };
        let masked = |index| self.layer(index).init(univariate(index), device);
        (0..self.layers).map(|index| (linear(index), masked(index))).collect()
    }
}
