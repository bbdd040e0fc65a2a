//! Scalar maps with given parameters, each one operation with a backward pass.
//!
//! A map made of tensor operations reads and writes memory once for each of them; a kernel reads values
//! and parameters once and writes the result.

#[cfg(feature = "flex")]
mod affine;
#[cfg(feature = "flex")]
mod ops;
mod spline;

use burn::tensor::Tensor;

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

/// What a kernel computes.
#[derive(Debug, Clone, Copy)]
#[cfg(feature = "flex")]
enum Pass {
    Forward,
    Inverse,
    InverseWithLogDet,
}

#[cfg(feature = "flex")]
impl Pass {
    fn is_inverse(self) -> bool {
        !matches!(self, Self::Forward)
    }

    /// Columns of the result: values, and a last one for the log-det.
    fn columns(self, n: usize) -> usize {
        n + usize::from(!matches!(self, Self::Inverse))
    }
}

/// Sizes `[batch, P, n]`.
#[derive(Clone, Copy)]
#[cfg(feature = "flex")]
struct Extent {
    batch: usize,
    params: usize,
    n: usize,
}

/// Where there is no kernel, `None`: the caller has the map made of tensor operations.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
impl Map {
    /// Values `[batch, n]` and the log-det `[batch]` for parameters `[batch, P, n]`.
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

    /// Values of the inverse. There is no kernel for a graph.
    pub(crate) fn inverse(self, z: &Tensor<2>, params: &Tensor<3>) -> Option<Tensor<2>> {
        #[cfg(feature = "flex")]
        if self.fits_inverse(z, params) {
            return Some(ops::inverse(self, Pass::Inverse, z.clone(), params.clone()));
        }
        None
    }

    /// Values of the inverse and its log-det. There is no kernel for a graph.
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
    /// Whether the kernel is written for these.
    fn fits(self, x: &Tensor<2>, params: &Tensor<3>) -> bool {
        let [batch, n] = x.dims();
        let (count, known) = match self {
            Self::Affine { bound } => (2, bound <= affine::LARGEST_BOUND),
            Self::Spline(spline) => (spline.params(), true),
        };
        known
            && super::knows(x.dtype())
            && x.dtype() == params.dtype()
            && params.dims() == [batch, count, n]
            && batch * n > 0
    }

    fn fits_inverse(self, z: &Tensor<2>, params: &Tensor<3>) -> bool {
        [z.device(), params.device()].iter().all(crate::parallel::is_plain) && self.fits(z, params)
    }
}

/// Values and log-det of `[batch, n + 1]`.
#[cfg(feature = "flex")]
fn unpacked(packed: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let [batch, columns] = packed.dims();
    let log_det = super::span(packed.clone(), columns - 1..columns).reshape([batch]);
    (super::span(packed, 0..columns - 1), log_det)
}
