//! A bijector of vectors chosen at run time.

mod sizes;
mod table;

use burn::tensor::Tensor;

use super::{Bijector, Carried, Place, Recovery, Walk};
use table::each;

pub use table::{AnyBijector, AnyBijectorConfig};

impl Bijector<2> for AnyBijector {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.forward(x, context))
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        each!(self, layer => layer.inverse(z, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<1>) {
        each!(self, layer => layer.inverse_with_log_det(z, context))
    }

    fn log_det_jacobian(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        each!(self, layer => layer.log_det_jacobian(x, context))
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Self, Tensor<2>) {
        each!(self, (layer, wrap, _name) => {
            let (layer, z) = layer.init_from_data(x, context);
            (wrap(layer), z)
        })
    }

    fn mixes_rows(&self) -> bool {
        each!(self, layer => Bijector::<2>::mixes_rows(layer))
    }

    fn recovery(&self) -> Recovery {
        each!(self, layer => Bijector::<2>::recovery(layer))
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<2>) -> Carried<2> {
        each!(self, (layer, _wrap, name) => layer.walk(walk, &at.part(name), carried))
    }
}
