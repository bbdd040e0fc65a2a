//! A flow whose batch is not split into blocks.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{Place, Walk};
use burn_flows::burn;
use burn_flows::model::RealNvp;
use burn_flows::prelude::*;

/// A flow that claims to mix rows, so that its batch is evaluated as one block.
#[derive(Module, Debug)]
pub struct Whole {
    pub flow: RealNvp,
}

impl Distribution<2> for Whole {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        Distribution::log_prob(&self.flow, x, context)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        Distribution::sample(&self.flow, n, context, noise, device)
    }

    fn mixes_rows(&self) -> bool {
        true
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<2>) -> Tensor<2> {
        self.flow.walk(walk, &at.part("flow"), x)
    }
}
