//! The kernel over the rows of tensors, and its place in burn.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Tensor};

use super::Spline;
use super::lanes::{LANES, Lanes, Params, Work};
use crate::kernel::elementary::{Elementary, vectorized};
use crate::kernel::matrix::{Scratch, contiguous, tensor};

/// Values and log-det of the spline side by side, `[batch, n + 1]`.
pub(super) fn forward(spline: Spline, x: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let (x, params) = (x.into_dispatch(), params.into_dispatch());
    Tensor::from_dispatch(Dispatch::spline_forward(x, params, spline))
}

/// Those of its inverse.
pub(super) fn inverse(spline: Spline, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let (z, params) = (z.into_dispatch(), params.into_dispatch());
    Tensor::from_dispatch(Dispatch::spline_inverse(z, params, spline))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait SplineForward: Backend {
    fn spline_forward(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spline: Spline,
    ) -> FloatTensor<Self>;
}

#[backend_extension(Flex)]
pub(crate) trait SplineInverse: Backend {
    fn spline_inverse(
        z: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spline: Spline,
    ) -> FloatTensor<Self>;
}

/// The gradients of [`SplineForward`] by values and parameters, from that of its output.
pub(crate) trait SplineBackward: Backend {
    fn spline_backward(
        spline: Spline,
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

impl SplineForward for Flex {
    fn spline_forward(x: FlexTensor, params: FlexTensor, spline: Spline) -> FlexTensor {
        match x.dtype() {
            DType::F64 => apply::<f64, false>(spline, x, params),
            _ => apply::<f32, false>(spline, x, params),
        }
    }
}

impl SplineInverse for Flex {
    fn spline_inverse(z: FlexTensor, params: FlexTensor, spline: Spline) -> FlexTensor {
        match z.dtype() {
            DType::F64 => apply::<f64, true>(spline, z, params),
            _ => apply::<f32, true>(spline, z, params),
        }
    }
}

impl SplineBackward for Flex {
    fn spline_backward(
        spline: Spline,
        x: FlexTensor,
        params: FlexTensor,
        gradient: FlexTensor,
    ) -> [FlexTensor; 2] {
        match x.dtype() {
            DType::F64 => gradients::<f64>(spline, x, params, gradient),
            _ => gradients::<f32>(spline, x, params, gradient),
        }
    }
}

/// The elements of a tensor `[batch, n]` that go through the kernel at once.
#[derive(Clone, Copy)]
enum Block {
    /// Neighbours in one row.
    Row { row: usize, column: usize },
    /// So many in a row from this one on, of short rows.
    Rows { first: usize, count: usize },
}

/// Sizes `[batch, P, n]`.
#[derive(Clone, Copy)]
struct Extent {
    batch: usize,
    params: usize,
    n: usize,
}

impl Extent {
    fn blocks(self) -> impl Iterator<Item = Block> {
        let Self { batch, n, .. } = self;
        let long = n >= LANES;
        let (rows, count) = if long { (batch, n) } else { (1, batch * n) };
        let starts =
            (0..rows).flat_map(move |row| (0..count).step_by(LANES).map(move |i| (row, i)));
        starts.map(move |(row, start)| match long {
            // The last block of a row overlaps the one before it, and computes the same once more.
            true => Block::Row { row, column: start.min(n - LANES) },
            false => Block::Rows { first: start, count: LANES.min(count - start) },
        })
    }

    /// The elements of a block in `values`, whose rows lie `stride` apart.
    #[inline(always)]
    fn load<T: Elementary>(self, block: Block, values: &[T], stride: usize) -> Lanes<T> {
        match block {
            Block::Row { row, column } => {
                values[row * stride + column..][..LANES].try_into().expect("so many lanes")
            }
            Block::Rows { first, count } => {
                let mut lanes = [T::zero(); LANES];
                for (lane, element) in lanes.iter_mut().zip(first..first + count) {
                    *lane = values[element / self.n * stride + element % self.n];
                }
                lanes
            }
        }
    }

    #[inline(always)]
    fn store<T: Elementary>(self, block: Block, lanes: Lanes<T>, out: &mut [T], stride: usize) {
        match block {
            Block::Row { row, column } => {
                out[row * stride + column..][..LANES].copy_from_slice(&lanes);
            }
            Block::Rows { first, count } => {
                for (lane, element) in lanes.into_iter().zip(first..first + count) {
                    out[element / self.n * stride + element % self.n] = lane;
                }
            }
        }
    }

    /// The range of the parameters of a block in one row.
    fn range(self, row: usize, column: usize) -> std::ops::Range<usize> {
        let start = row * self.params * self.n + column;
        start..start + (self.params - 1) * self.n + LANES
    }

    /// The parameters of a block, where they are, or gathered in `gathered`.
    #[inline(always)]
    fn params<'a, T: Elementary>(
        self,
        block: Block,
        params: &'a [T],
        gathered: &'a mut [T],
    ) -> Params<'a, T> {
        let Self { n, .. } = self;
        match block {
            Block::Row { row, column } => {
                Params { values: &params[self.range(row, column)], stride: n }
            }
            Block::Rows { first, count } => {
                for (lane, element) in (first..first + count).enumerate() {
                    let start = element / n * self.params * n + element % n;
                    for p in 0..self.params {
                        gathered[p * LANES + lane] = params[start + p * n];
                    }
                }
                Params { values: gathered, stride: LANES }
            }
        }
    }
}

fn extent(params: &FlexTensor) -> Extent {
    let [batch, params, n] = params.layout().shape().dims();
    Extent { batch, params, n }
}

/// The map of all elements, or its inverse, and the sums of its log-slopes over rows.
fn apply<T: Elementary, const INVERSE: bool>(
    spline: Spline,
    x: FlexTensor,
    params: FlexTensor,
) -> FlexTensor {
    let extent = extent(&params);
    let Extent { batch, n, .. } = extent;
    let [x, params] = contiguous([x, params]);
    let (x, params) = (T::slice(&x), T::slice(&params));
    let mut out = vec![T::zero(); batch * (n + 1)];
    let mut log_slopes = Scratch::<T>::new(batch * n);
    let mut gathered = Scratch::<T>::new(extent.params * LANES);
    let mut work = Work::new(spline);
    vectorized(
        #[inline(always)]
        || {
            for block in extent.blocks() {
                let values = extent.load(block, x, n);
                let params = extent.params(block, params, &mut gathered);
                let [values, slopes] = match INVERSE {
                    true => work.inverse(&values, params),
                    false => work.forward(&values, params),
                };
                extent.store(block, values, &mut out, n + 1);
                extent.store(block, slopes, &mut log_slopes, n);
            }
        },
    );
    for (row, slopes) in out.chunks_mut(n + 1).zip(log_slopes.chunks(n)) {
        row[n] = slopes.iter().fold(T::zero(), |sum, &slope| sum + slope);
    }
    tensor(out, &[batch, n + 1])
}

fn gradients<T: Elementary>(
    spline: Spline,
    x: FlexTensor,
    params: FlexTensor,
    gradient: FlexTensor,
) -> [FlexTensor; 2] {
    let extent = extent(&params);
    let Extent { batch, n, .. } = extent;
    let [x, params, gradient] = contiguous([x, params, gradient]);
    let [x, params, gradient] = [&x, &params, &gradient].map(|tensor| T::slice(tensor));
    let mut by_x = vec![T::zero(); batch * n];
    let mut by_params = vec![T::zero(); params.len()];
    let mut gathered = Scratch::<T>::new(extent.params * LANES);
    let mut spread = Scratch::<T>::new(extent.params * LANES);
    let mut work = Work::new(spline);
    vectorized(
        #[inline(always)]
        || {
            for block in extent.blocks() {
                let values = extent.load(block, x, n);
                let by_value = extent.load(block, gradient, n + 1);
                let mut by_slope = [T::zero(); LANES];
                match block {
                    Block::Row { row, .. } => by_slope.fill(gradient[row * (n + 1) + n]),
                    Block::Rows { first, count } => {
                        for (lane, element) in by_slope.iter_mut().zip(first..first + count) {
                            *lane = gradient[element / n * (n + 1) + n];
                        }
                    }
                }
                let params = extent.params(block, params, &mut gathered);
                let by = [&by_value, &by_slope];
                let by_values = match block {
                    Block::Row { row, column } => work.backward(
                        &values,
                        params,
                        by,
                        &mut by_params[extent.range(row, column)],
                    ),
                    Block::Rows { first, count } => {
                        let by_values = work.backward(&values, params, by, &mut spread);
                        for (lane, element) in (first..first + count).enumerate() {
                            let start = element / n * extent.params * n + element % n;
                            for p in 0..extent.params {
                                by_params[start + p * n] = spread[p * LANES + lane];
                            }
                        }
                        by_values
                    }
                };
                extent.store(block, by_values, &mut by_x, n);
            }
        },
    );
    [tensor(by_x, &[batch, n]), tensor(by_params, &[batch, extent.params, n])]
}

impl<B: SplineForward + SplineBackward, C: CheckpointStrategy> SplineForward for Autodiff<B, C> {
    fn spline_forward(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spline: Spline,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Step;

        impl<B: SplineBackward> Backward<B, 2> for Step {
            type State = (FloatTensor<B>, FloatTensor<B>, Spline);

            fn backward(
                self,
                ops: Ops<Self::State, 2>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let (x, params, spline) = ops.state;
                let gradient = gradients.consume::<B>(&ops.node);
                let by = B::spline_backward(spline, x, params, gradient);
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
                let state = (x.clone(), params.clone(), spline);
                prepared.finish(state, B::spline_forward(x, params, spline))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::spline_forward(x, params, spline)),
        }
    }
}
