//! An affine map with a softly bounded log-scale, in one pass over memory.
//!
//! forward   z = x exp(s) + t,   log-det  sum of s        s = a / (1 + |a| / bound)
//! inverse   x = (z - t) exp(-s)
//!
//! An autoregressive layer solves for a few numbers at a time, and a small batch has few rows: there
//! an operation costs more than its arithmetic, and this is one instead of a dozen.

use burn::tensor::Tensor;

/// The largest bound of the kernel: `exp` of it is far from the end of f32.
#[cfg(feature = "flex")]
const LARGEST_BOUND: f64 = 80.0;

/// Values `[batch, n]` and the log-det for shifts and raw log-scales `[batch, 2, n]`, by the kernel
/// where there is one.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn affine_forward(
    x: &Tensor<2>,
    params: &Tensor<3>,
    bound: f64,
) -> Option<(Tensor<2>, Tensor<1>)> {
    #[cfg(feature = "flex")]
    if crate::parallel::is_flex(&x.device()) && fits(x, params, bound) {
        return Some(super::unpacked(fast::forward(x.clone(), params.clone(), bound)));
    }
    None
}

/// Values of the inverse; nothing where there is a graph.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn affine_inverse(z: &Tensor<2>, params: &Tensor<3>, bound: f64) -> Option<Tensor<2>> {
    #[cfg(feature = "flex")]
    if [z.device(), params.device()].iter().all(crate::parallel::is_plain) && fits(z, params, bound)
    {
        return Some(fast::inverse(z.clone(), params.clone(), bound));
    }
    None
}

/// Whether the kernel is written for these.
#[cfg(feature = "flex")]
fn fits(x: &Tensor<2>, params: &Tensor<3>, bound: f64) -> bool {
    let [batch, n] = x.dims();
    super::knows(x.dtype())
        && x.dtype() == params.dtype()
        && params.dims() == [batch, 2, n]
        && batch * n > 0
        && bound <= LARGEST_BOUND
}

#[cfg(feature = "flex")]
mod fast {
    //! The kernel and its backward pass.

    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::flex::FlexTensor;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::{DType, Tensor};

    use crate::kernel::elementary::{Elementary, vectorized};
    use crate::kernel::matrix::{Scratch, contiguous, tensor};

    /// Values and log-det side by side, `[batch, n + 1]`.
    pub(super) fn forward(x: Tensor<2>, params: Tensor<3>, bound: f64) -> Tensor<2> {
        let (x, params) = (x.into_dispatch(), params.into_dispatch());
        Tensor::from_dispatch(Dispatch::affine_forward(x, params, bound))
    }

    pub(super) fn inverse(z: Tensor<2>, params: Tensor<3>, bound: f64) -> Tensor<2> {
        let (z, params) = (z.into_dispatch(), params.into_dispatch());
        Tensor::from_dispatch(Dispatch::affine_inverse(z, params, bound))
    }

    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait AffineForward: Backend {
        fn affine_forward(
            x: FloatTensor<Self>,
            params: FloatTensor<Self>,
            bound: f64,
        ) -> FloatTensor<Self>;
    }

    #[backend_extension(Flex)]
    pub(crate) trait AffineInverse: Backend {
        fn affine_inverse(
            z: FloatTensor<Self>,
            params: FloatTensor<Self>,
            bound: f64,
        ) -> FloatTensor<Self>;
    }

    /// The gradients of [`AffineForward`] by values and parameters, from that of its output.
    pub(crate) trait AffineBackward: Backend {
        fn affine_backward(
            x: FloatTensor<Self>,
            params: FloatTensor<Self>,
            bound: f64,
            gradient: FloatTensor<Self>,
        ) -> [FloatTensor<Self>; 2];
    }

    impl AffineForward for Flex {
        fn affine_forward(x: FlexTensor, params: FlexTensor, bound: f64) -> FlexTensor {
            match x.dtype() {
                DType::F64 => apply::<f64, false>(x, params, bound),
                _ => apply::<f32, false>(x, params, bound),
            }
        }
    }

    impl AffineInverse for Flex {
        fn affine_inverse(z: FlexTensor, params: FlexTensor, bound: f64) -> FlexTensor {
            match z.dtype() {
                DType::F64 => apply::<f64, true>(z, params, bound),
                _ => apply::<f32, true>(z, params, bound),
            }
        }
    }

    impl AffineBackward for Flex {
        fn affine_backward(
            x: FlexTensor,
            params: FlexTensor,
            bound: f64,
            gradient: FlexTensor,
        ) -> [FlexTensor; 2] {
            match x.dtype() {
                DType::F64 => gradients::<f64>(x, params, bound, gradient),
                _ => gradients::<f32>(x, params, bound, gradient),
            }
        }
    }

    /// `1 + |a| / bound`.
    #[inline(always)]
    fn divisor<T: Elementary>(raw: T, per_bound: T) -> T {
        raw.abs() * per_bound + T::one()
    }

    /// Forward with the sums of the log-scales in a last column, or the inverse without.
    fn apply<T: Elementary, const INVERSE: bool>(
        x: FlexTensor,
        params: FlexTensor,
        bound: f64,
    ) -> FlexTensor {
        let [batch, n]: [usize; 2] = x.layout().shape().dims();
        let [x, params] = contiguous([x, params]);
        let (x, params) = (T::slice(&x), T::slice(&params));
        let columns = if INVERSE { n } else { n + 1 };
        let per_bound = T::from(bound.recip()).expect("a float holds it");
        let mut out = vec![T::zero(); batch * columns];
        let mut log_scales = Scratch::<T>::new(n);
        vectorized(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(n).zip(params.chunks_exact(2 * n));
                for ((x, params), out) in rows.zip(out.chunks_exact_mut(columns)) {
                    let (shift, raw) = params.split_at(n);
                    for (log_scale, &raw) in log_scales.iter_mut().zip(raw) {
                        *log_scale = raw / divisor(raw, per_bound);
                    }
                    let numbers = x.iter().zip(shift).zip(log_scales.iter());
                    for (out, ((&x, &shift), &log_scale)) in out.iter_mut().zip(numbers) {
                        *out = match INVERSE {
                            true => (x - shift) * (-log_scale).fast_exp(),
                            false => x * log_scale.fast_exp() + shift,
                        };
                    }
                    if !INVERSE {
                        out[n] = log_scales.iter().fold(T::zero(), |sum, &s| sum + s);
                    }
                }
            },
        );
        tensor(out, &[batch, columns])
    }

    fn gradients<T: Elementary>(
        x: FlexTensor,
        params: FlexTensor,
        bound: f64,
        gradient: FlexTensor,
    ) -> [FlexTensor; 2] {
        let [batch, n]: [usize; 2] = x.layout().shape().dims();
        let [x, params, gradient] = contiguous([x, params, gradient]);
        let [x, params, gradient] = [&x, &params, &gradient].map(|tensor| T::slice(tensor));
        let per_bound = T::from(bound.recip()).expect("a float holds it");
        let mut by_x = vec![T::zero(); batch * n];
        let mut by_params = vec![T::zero(); batch * 2 * n];
        vectorized(
            #[inline(always)]
            || {
                for row in 0..batch {
                    let x = &x[row * n..][..n];
                    let raw = &params[(2 * row + 1) * n..][..n];
                    let (by_z, by_log_det) = gradient[row * (n + 1)..][..n + 1].split_at(n);
                    let by_log_det = by_log_det[0];
                    let by_x = &mut by_x[row * n..][..n];
                    let (by_shift, by_raw) = by_params[2 * row * n..][..2 * n].split_at_mut(n);
                    by_shift.copy_from_slice(by_z);
                    for i in 0..n {
                        let divisor = divisor(raw[i], per_bound);
                        let moved = by_z[i] * (raw[i] / divisor).fast_exp();
                        by_x[i] = moved;
                        by_raw[i] = (moved * x[i] + by_log_det) / (divisor * divisor);
                    }
                }
            },
        );
        [tensor(by_x, &[batch, n]), tensor(by_params, &[batch, 2, n])]
    }

    impl<B: AffineForward + AffineBackward, C: CheckpointStrategy> AffineForward for Autodiff<B, C> {
        fn affine_forward(
            x: FloatTensor<Self>,
            params: FloatTensor<Self>,
            bound: f64,
        ) -> FloatTensor<Self> {
            #[derive(Debug)]
            struct Step;

            impl<B: AffineBackward> Backward<B, 2> for Step {
                type State = (FloatTensor<B>, FloatTensor<B>, f64);

                fn backward(
                    self,
                    ops: Ops<Self::State, 2>,
                    gradients: &mut Gradients,
                    _: &mut Checkpointer,
                ) {
                    let (x, params, bound) = ops.state;
                    let gradient = gradients.consume::<B>(&ops.node);
                    let by = B::affine_backward(x, params, bound, gradient);
                    for (node, gradient) in ops.parents.into_iter().zip(by) {
                        if let Some(node) = node {
                            gradients.register::<B>(node.id, gradient);
                        }
                    }
                }
            }

            let ((x, x_node), (params, params_node)) = (x.into_parts(), params.into_parts());
            match Step.prepare::<C>([x_node, params_node]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => {
                    let state = (x.clone(), params.clone(), bound);
                    prepared.finish(state, B::affine_forward(x, params, bound))
                }
                OpsKind::UnTracked(prepared) => {
                    prepared.finish(B::affine_forward(x, params, bound))
                }
            }
        }
    }
}
