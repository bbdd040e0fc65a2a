//! The inverse of an affine map with a softly bounded log-scale.
//!
//! x = (z - t) exp(-s),   s = a / (1 + |a| / bound)
//!
//! An autoregressive layer solves for a few numbers at a time, where an operation costs more than
//! its arithmetic: one operation here instead of a dozen.

use burn::tensor::Tensor;

/// The inverse of `z`, `[batch, n]`, by shifts and raw log-scales `[batch, 2, n]`, the same bits as
/// `reference` gives; `reference` itself for graphs, and for other backends than `flex`.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "no kernel takes the bound"))]
pub(crate) fn affine_inverse(
    z: Tensor<2>,
    params: Tensor<3>,
    bound: f64,
    reference: impl FnOnce(Tensor<2>, Tensor<3>) -> Tensor<2>,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if [z.device(), params.device()].iter().all(crate::parallel::is_plain)
        && super::knows(z.dtype())
        && z.dtype() == params.dtype()
        && params.dims() == [z.dims()[0], 2, z.dims()[1]]
    {
        return fast::affine_inverse(z, params, bound);
    }
    reference(z, params)
}

#[cfg(feature = "flex")]
mod fast {
    use burn::backend::flex::FlexTensor;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::{DType, Tensor};

    use crate::kernel::matrix::{Real, tensor};

    pub(super) fn affine_inverse(z: Tensor<2>, params: Tensor<3>, bound: f64) -> Tensor<2> {
        let (z, params) = (z.into_dispatch(), params.into_dispatch());
        Tensor::from_dispatch(Dispatch::affine_inverse(z, params, bound))
    }

    #[backend_extension(Flex)]
    pub(crate) trait AffineInverse: Backend {
        fn affine_inverse(
            z: FloatTensor<Self>,
            params: FloatTensor<Self>,
            bound: f64,
        ) -> FloatTensor<Self>;
    }

    impl AffineInverse for Flex {
        fn affine_inverse(z: FlexTensor, params: FlexTensor, bound: f64) -> FlexTensor {
            match z.dtype() {
                DType::F64 => inverse::<f64>(z, params, bound),
                _ => inverse::<f32>(z, params, bound),
            }
        }
    }

    fn inverse<T: Real>(z: FlexTensor, params: FlexTensor, bound: f64) -> FlexTensor {
        let [rows, columns]: [usize; 2] = z.layout().shape().dims();
        let [z, params] = [z, params].map(|tensor| tensor.to_contiguous());
        let reciprocal = T::from(bound.recip()).expect("a float");
        let mut x = Vec::with_capacity(rows * columns);
        let params = T::slice(&params).chunks(2 * columns.max(1));
        for (z, params) in T::slice(&z).chunks(columns.max(1)).zip(params) {
            let (shift, raw) = params.split_at(columns);
            let numbers = z.iter().zip(shift).zip(raw);
            x.extend(numbers.map(|((&z, &shift), &raw)| {
                let log_scale = raw / (raw.abs() * reciprocal + T::one());
                (z - shift) * (-log_scale).exp()
            }));
        }
        tensor(x, &[rows, columns])
    }
}
