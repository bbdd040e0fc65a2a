//! The negative log-likelihood.
//!
//! loss   -ln p(x | context)

use burn::tensor::Tensor;

use super::{Block, Objective};
use crate::distribution::Distribution;
use crate::error::Result;
use crate::noise::Noise;

/// The negative log-likelihood in nats, `-ln p(x | context)`: maximum likelihood. It is the objective of
/// [`fit`](crate::train::fit).
///
/// ```
/// use burn_flows::{model::RealNvp, train::{Nll, Objective}};
///
/// assert!(Objective::<RealNvp, 2>::is_nll(&Nll));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nll;

impl<F: Distribution<D>, const D: usize> Objective<F, D> for Nll {
    fn losses(&self, model: &F, block: &Block<'_, D>, _noise: &mut Noise) -> Result<Tensor<1>> {
        let (x, context) = block.data()?;
        Ok(model.log_prob(x, context.as_ref()).neg())
    }

    fn is_nll(&self) -> bool {
        true
    }
}
