//! One bijector after the other: `Vec` for equal ones, tuples up to 8 for different ones, `Option`
//! for one that may be missing.
//!
//! forward   z = f_n(.. f_1(x))
//! log-det   sum of the layers' log-dets, each at its own input
//! inverse   x = f_1^-1(.. f_n^-1(z))

use burn::tensor::Tensor;

use super::{Bijector, Carried, Place, Walk};
use crate::math::zeros_batch;

impl<const D: usize, B: Bijector<D>> Bijector<D> for Vec<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let zeros = zeros_batch(&x);
        self.iter().fold((x, zeros), |(x, total), layer| {
            let (z, log_det) = layer.forward(x, context);
            (z, total + log_det)
        })
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.iter().rev().fold(z, |z, layer| layer.inverse(z, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let zeros = zeros_batch(&z);
        self.iter().rev().fold((z, zeros), |(z, total), layer| {
            let (x, log_det) = layer.inverse_with_log_det(z, context);
            (x, total + log_det)
        })
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let mut layers = Vec::with_capacity(self.len());
        let z = self.into_iter().fold(x, |x, layer| {
            let (layer, z) = layer.init_from_data(x, context);
            layers.push(layer);
            z
        });
        (layers, z)
    }

    fn mixes_rows(&self) -> bool {
        self.iter().any(Bijector::mixes_rows)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        let mut visit =
            |carried, (index, layer): (usize, &B)| layer.walk(walk, &at.part(index), carried);
        let layers = self.iter().enumerate();
        match at.is_last_first() {
            false => layers.fold(carried, &mut visit),
            true => layers.rev().fold(carried, visit),
        }
    }
}

/// `None` is the identity: a place in a stack that some stacks leave empty.
impl<const D: usize, B: Bijector<D>> Bijector<D> for Option<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(layer) => layer.forward(x, context),
            None => {
                let log_det = zeros_batch(&x);
                (x, log_det)
            }
        }
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        match self {
            Some(layer) => layer.inverse(z, context),
            None => z,
        }
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(layer) => layer.inverse_with_log_det(z, context),
            None => self.forward(z, context),
        }
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        match self {
            Some(layer) => {
                let (layer, z) = layer.init_from_data(x, context);
                (Some(layer), z)
            }
            None => (None, x),
        }
    }

    fn mixes_rows(&self) -> bool {
        self.as_ref().is_some_and(Bijector::mixes_rows)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        match self {
            Some(layer) => layer.walk(walk, at, carried),
            None => carried,
        }
    }
}

macro_rules! tuple {
    ($($layer:ident $index:tt),+; $($reversed:tt),+) => {
        impl<const D: usize, $($layer: Bijector<D>),+> Bijector<D> for ($($layer,)+) {
            fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
                let total = zeros_batch(&x);
                $(let (x, log_det) = self.$index.forward(x, context);
                let total = total + log_det;)+
                (x, total)
            }

            fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
                $(let z = self.$reversed.inverse(z, context);)+
                z
            }

            fn inverse_with_log_det(
                &self,
                z: Tensor<D>,
                context: Option<&Tensor<2>>,
            ) -> (Tensor<D>, Tensor<1>) {
                let total = zeros_batch(&z);
                $(let (z, log_det) = self.$reversed.inverse_with_log_det(z, context);
                let total = total + log_det;)+
                (z, total)
            }

            fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
                let mut z = x;
                let layers = ($({
                    let (layer, next) = self.$index.init_from_data(z, context);
                    z = next;
                    layer
                },)+);
                (layers, z)
            }

            fn mixes_rows(&self) -> bool {
                $(self.$index.mixes_rows())||+
            }

            fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
                if at.is_last_first() {
                    $(let carried = self.$reversed.walk(walk, &at.part($reversed), carried);)+
                    return carried;
                }
                $(let carried = self.$index.walk(walk, &at.part($index), carried);)+
                carried
            }
        }
    };
}

tuple!(A 0, B 1; 1, 0);
tuple!(A 0, B 1, C 2; 2, 1, 0);
tuple!(A 0, B 1, C 2, E 3; 3, 2, 1, 0);
tuple!(A 0, B 1, C 2, E 3, F 4; 4, 3, 2, 1, 0);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5; 5, 4, 3, 2, 1, 0);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6; 6, 5, 4, 3, 2, 1, 0);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7; 7, 6, 5, 4, 3, 2, 1, 0);
