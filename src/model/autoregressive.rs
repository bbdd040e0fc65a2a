//! The parts that all stacks of masked autoregressive layers share.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::of_layer;
use crate::bijector::{
    InverseMethod, LuLinear, LuLinearConfig, MaskedAutoregressive, MaskedAutoregressiveConfig,
};
use crate::conditioner::{Degrees, Dependencies, MadeConfig};
use crate::distribution::StandardNormal;
use crate::error::{Error, Result, repeats};
use crate::flow::Flow;
use crate::univariate::Univariate;

/// The order of the features in each layer of an autoregressive stack.
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
    /// The given order and the reversed order, in turn.
    Alternating,
    /// A random order for each layer, drawn from this seed. Take it when neither the given order nor its reverse suits
    /// the data.
    Random(u64),
}

impl Orders {
    /// The dependencies of layer `index`.
    fn dependencies(self, index: usize) -> Dependencies {
        match self {
            Self::Alternating if index.is_multiple_of(2) => Dependencies::Forward,
            Self::Alternating => Dependencies::Reversed,
            Self::Random(seed) => Dependencies::Random(seed.wrapping_add(index as u64)),
        }
    }
}

crate::layers! {
    /// One step of a stack of masked layers.
    pub struct AutoregressiveStep<U> {
        /// The linear map in front of the masked layer; `None` in the first step.
        pub linear: Option<LuLinear>,
        /// The masked layer.
        pub autoregressive: MaskedAutoregressive<U>,
    }
}

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

/// Declares a configuration with the fields of a [`Stack`] and the fields of one model.
macro_rules! stack_config {
    ($(#[doc = $doc:literal])* pub struct $name:ident, $layers:literal layers { $($own:tt)* }) => {
        $crate::config::seeded_config! {
            $(#[doc = $doc])*
            pub struct $name {
                /// Number of features of an event.
                pub features: usize,
                /// Number of masked layers. More layers fit more complex densities and cost proportionally more time.
                #[config(default = $layers)]
                pub layers: usize,
                /// How the order of the features changes from layer to layer.
                #[config(default = Orders::Alternating)]
                pub orders: Orders,
                /// The masked network of each layer. Its `dependencies` must stay at `Forward`, because `orders` sets
                /// them.
                #[config(default = MadeConfig::new(vec![128, 128]))]
                pub made: MadeConfig,
                /// Number of context features; 0 for an unconditional model.
                #[config(default = 0)]
                pub context: usize,
                $($own)*
                /// Whether a learned linear map, initialised as the identity, stands between the layers. Set it where
                /// columns are nearly linear combinations of other columns.
                #[config(default = false)]
                pub linear: bool,
                /// How the masked layers are inverted.
                #[config(default = InverseMethod::Incremental)]
                pub inverse: InverseMethod,
            }
        }

        impl $name {
            fn stack(&self) -> $crate::model::autoregressive::Stack<'_> {
                $crate::model::autoregressive::Stack {
                    config: stringify!($name),
                    features: self.features,
                    layers: self.layers,
                    orders: self.orders,
                    made: &self.made,
                    context: self.context,
                    linear: self.linear,
                    inverse: self.inverse,
                }
            }
        }
    };
}
pub(super) use stack_config;

/// Implements the constructors of a flow whose scalar maps own a `network`. All features use one network if `shared` is
/// set; otherwise each feature has a network.
macro_rules! networks {
    ($(#[doc = $doc:literal])* $name:ident => $flow:ty) => {
        impl $name {
            /// Returns an error that names the first invalid field.
            pub fn validate(&self) -> $crate::Result<()> {
                self.network.validate()?;
                self.stack().validate(self.network.signal)?;
                if self.network.elements != 0 {
                    let reason =
                        "`elements` must be 0, because `shared` sets the number of networks";
                    return Err($crate::Error::config(stringify!($name), "network", reason.to_string()));
                }
                let elements = if self.shared { 0 } else { self.features };
                self.network.clone().with_elements(elements).validate()
            }

            $crate::config::construct! {
                $(#[doc = $doc])*
                seeded(device: &Device) -> $flow
            }

            fn build(&self, device: &Device) -> $flow {
                let elements = if self.shared { 0 } else { self.features };
                let network = self.network.clone().with_elements(elements);
                self.stack().flow(|index| $crate::model::of_layer!(network, index).init(device), device)
            }
        }
    };
}
pub(super) use networks;

/// A stack of masked layers on a standard normal base.
pub(super) type MaskedFlow<U> = Flow<Vec<AutoregressiveStep<U>>, StandardNormal<2>>;

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

    /// Validates the stack for a scalar map with `per_feature` parameters.
    pub fn validate(&self, per_feature: usize) -> Result<()> {
        repeats(self.config, "layers", 1, self.layers)?;
        if self.made.dependencies != Dependencies::Forward {
            let reason = "`dependencies` must be Forward, because `orders` sets the dependencies";
            return Err(Error::config(self.config, "made", reason.to_string()));
        }
        self.layer(0).validate()?;
        self.made.validate_outputs(self.features, per_feature)
    }

    /// Builds the layers, each with a scalar map from `univariate`.
    pub fn init<U: Univariate>(
        &self,
        univariate: impl Fn(usize) -> U,
        device: &Device,
    ) -> Vec<AutoregressiveStep<U>> {
        let linear = |index| {
            let between = self.linear && index > 0;
            between.then(|| LuLinearConfig::new(self.features).init(device))
        };
        let step = |index| AutoregressiveStep {
            linear: linear(index),
            autoregressive: self.layer(index).init(univariate(index), device),
        };
        (0..self.layers).map(step).collect()
    }

    /// Builds the flow on top of the layers of [`init`](Self::init).
    pub fn flow<U: Univariate>(
        &self,
        univariate: impl Fn(usize) -> U,
        device: &Device,
    ) -> MaskedFlow<U> {
        Flow::new(self.init(univariate, device), StandardNormal::new([self.features], device))
    }
}
