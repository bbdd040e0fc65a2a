//! Scalar maps with given parameters, each as one operation with a backward pass.
//!
//! A map built from tensor operations reads and writes memory once for each operation. A kernel reads values and
//! parameters once and writes the result once.

#[cfg(feature = "flex")]
mod affine;
#[cfg(feature = "flex")]
mod ops;
mod spline;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::elementary::Elementary;

pub(crate) use spline::{Ends, Knots, LARGEST_RAW, LEAST_DISCRIMINANT, SLACK, Spline};

/// A scalar map that has a kernel.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) enum Map {
    /// `x exp(s) + t` with `s = a / (1 + |a| / bound)`; parameters `t`, `a`.
    Affine {
        bound: f64,
    },
    Spline(Spline),
}

/// The pass that a kernel computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pass {
    Forward,
    Inverse,
    InverseWithLogDet,
}

#[cfg(feature = "flex")]
impl Pass {
    fn is_inverse(self) -> bool {
        !matches!(self, Self::Forward)
    }

    /// The number of columns of the result: the values, and a last column for the log-determinant.
    pub(super) fn columns(self, n: usize) -> usize {
        n + usize::from(!matches!(self, Self::Inverse))
    }
}

/// The sizes `[batch, P, n]`.
#[derive(Clone, Copy)]
#[cfg(feature = "flex")]
struct Extent {
    batch: usize,
    params: usize,
    n: usize,
}

/// The functions return `None` if the kernel does not support the tensors. The caller then uses the map built from
/// tensor operations.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
impl Map {
    /// The values `[batch, n]` and the log-determinant `[batch]` for parameters `[batch, P, n]`.
    pub(crate) fn forward(
        self,
        x: &Tensor<2>,
        params: &Tensor<3>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        #[cfg(feature = "flex")]
        if crate::parallel::is_flex(&x.device()) && self.fits(x, params) {
            return Some(unpacked(ops::forward(self, x.clone(), params.clone())));
        }
        None
    }

    /// The values of the inverse. The kernel does not support autodiff tensors.
    pub(crate) fn inverse(self, z: &Tensor<2>, params: &Tensor<3>) -> Option<Tensor<2>> {
        #[cfg(feature = "flex")]
        if self.fits_inverse(z, params) {
            return Some(ops::inverse(self, Pass::Inverse, z.clone(), params.clone()));
        }
        None
    }

    /// The values of the inverse and its log-determinant. The kernel does not support autodiff tensors.
    pub(crate) fn inverse_with_log_det(
        self,
        z: &Tensor<2>,
        params: &Tensor<3>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        #[cfg(feature = "flex")]
        if self.fits_inverse(z, params) {
            let pass = Pass::InverseWithLogDet;
            return Some(unpacked(ops::inverse(self, pass, z.clone(), params.clone())));
        }
        None
    }
}

#[cfg(feature = "flex")]
impl Map {
    /// Whether the kernel supports the settings of this map.
    pub(super) fn is_known(self) -> bool {
        !matches!(self, Self::Affine { bound } if bound > affine::LARGEST_BOUND)
    }

    /// The number of parameters of an element.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Affine { .. } => 2,
            Self::Spline(spline) => spline.params(),
        }
    }

    /// Writes the result of a pass for rows of `n` values to `out`: `Pass::columns` numbers for each row. The parameters
    /// are `[rows, P, n]`.
    pub(super) fn apply<T: Elementary>(
        self,
        pass: Pass,
        n: usize,
        inputs: [&[T]; 2],
        out: &mut [T],
    ) {
        let extent = Extent { batch: inputs[0].len() / n, params: self.count(), n };
        ops::run(self, pass, extent, inputs, out);
    }

    /// Writes the gradients with respect to values and parameters, from the gradient of a forward pass with its
    /// log-determinant, `[rows, n + 1]`.
    pub(super) fn gradients<T: Elementary>(self, n: usize, inputs: [&[T]; 3], out: [&mut [T]; 2]) {
        let extent = Extent { batch: inputs[0].len() / n, params: self.count(), n };
        ops::gradients_in(self, extent, inputs, out);
    }

    /// Writes the inverse of each element of `z` to `x`. The parameters are `[P, n]`.
    pub(super) fn solve<T: Elementary>(self, z: &[T], params: &[T], x: &mut [T]) {
        let extent = Extent { batch: 1, params: self.count(), n: z.len() };
        ops::run(self, Pass::Inverse, extent, [z, params], x);
    }

    /// Whether the kernel supports these tensors.
    fn fits(self, x: &Tensor<2>, params: &Tensor<3>) -> bool {
        let [batch, n] = x.dims();
        self.is_known()
            && super::knows(x.dtype())
            && x.dtype() == params.dtype()
            && params.dims() == [batch, self.count(), n]
            && batch * n > 0
    }

    fn fits_inverse(self, z: &Tensor<2>, params: &Tensor<3>) -> bool {
        [z.device(), params.device()].iter().all(crate::parallel::is_plain) && self.fits(z, params)
    }
}

/// Splits `[batch, n + 1]` into values and log-determinant.
#[cfg(feature = "flex")]
fn unpacked(packed: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let [batch, columns] = packed.dims();
    let log_det = super::span(packed.clone(), columns - 1..columns).reshape([batch]);
    (super::span(packed, 0..columns - 1), log_det)
}
