//! What a first program needs beside burn's `Device` and `Tensor`: `use burn_flows::prelude::*`.

pub use crate::bijector::{
    ActNormConfig, Bijector, CouplingConfig, LuLinearConfig, Mask, Permutation, Standardize,
};
pub use crate::conditioner::{ActivationConfig, Conditioner, MlpConfig};
pub use crate::distribution::{Distribution, StandardNormal};
pub use crate::model::{
    AutoregressiveNsf, AutoregressiveNsfConfig, Maf, MafConfig, Masks, Nice, NiceConfig, Nsf,
    NsfConfig, RealNvp, RealNvpConfig,
};
#[cfg(feature = "train")]
pub use crate::train::{Batch, FitConfig, FitData, fit, nll};
pub use crate::univariate::{Additive, Affine, Univariate};
pub use crate::{Error, Flow, Noise, store};
