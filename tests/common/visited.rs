//! The layers that a walk to the latents visits, and the sum of their log-determinants.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_flows::bijector::{Bijector, Carried, Place, Walk};
use burn_flows::burn;
use burn_flows::distribution::Distribution;

pub struct Visited {
    pub paths: Vec<String>,
    pub log_det: Vec<f64>,
}

pub fn visited<const D: usize>(
    density: &impl Distribution<D>,
    x: Tensor<D>,
    context: Option<&Tensor<2>>,
) -> Visited {
    let mut visited = Visited { paths: vec![], log_det: vec![0.0; x.dims()[0]] };
    density.walk(&mut visited, &Place::start(context), x);
    visited
}

impl Walk for Visited {
    fn layer<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        carried: Carried<D>,
    ) -> Carried<D> {
        let (z, log_det) = match at.is_inverted() {
            false => layer.forward(carried.value, at.context()),
            true => layer.inverse_with_log_det(carried.value, at.context()),
        };
        self.paths.push(at.path().to_string());
        let parts = log_det.into_data();
        self.log_det.iter_mut().zip(parts.iter::<f64>()).for_each(|(sum, part)| *sum += part);
        Carried::new(z)
    }

    fn density<const D: usize, const N: usize, M: Module>(
        &mut self,
        _module: &M,
        _at: &Place<'_>,
        inputs: [Tensor<D>; N],
        _log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) -> [Tensor<D>; N] {
        inputs.map(|x| x.zeros_like())
    }

    fn comes_back(&self) -> bool {
        false
    }
}
