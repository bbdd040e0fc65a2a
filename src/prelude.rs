//! The traits, [`Flow`], and the configurations of a first program: `use burn_flows::prelude::*`.

pub use crate::bijector::{
    ActNormConfig, Bijector, CouplingConfig, LuLinearConfig, Mask, Permutation, Standardize,
};
pub use crate::conditioner::{ActivationConfig, Conditioner, MlpConfig};
pub use crate::distribution::{Distribution, StandardNormal};
pub use crate::model::{Masks, NiceConfig, RealNvpConfig};
pub use crate::univariate::{Additive, Affine, Univariate};
pub use crate::{Error, Flow, Noise, Result};
