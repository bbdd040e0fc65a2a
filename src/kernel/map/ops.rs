//! Registers the maps in burn as backend operations with a backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Tensor};

use super::{Extent, Map, Pass, affine, spline};
use crate::kernel::elementary::Elementary;
use crate::kernel::matrix::{contiguous, tensor};
use crate::kernel::recorded::recorded;

/// Values and log-determinant side by side, `[batch, n + 1]`.
pub(super) fn forward(map: Map, x: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let (x, params) = (x.into_dispatch(), params.into_dispatch());
    Tensor::from_dispatch(Dispatch::map_forward(x, params, map))
}

/// The values of the inverse, with its log-determinant if `pass` requests it.
pub(super) fn inverse(map: Map, pass: Pass, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let (z, params) = (z.into_dispatch(), params.into_dispatch());
    Tensor::from_dispatch(Dispatch::map_inverse(z, params, map, pass))
}

#[backend_extension(Flex, Autodiff)]
trait MapForward: Backend {
    fn map_forward(x: FloatTensor<Self>, params: FloatTensor<Self>, map: Map) -> FloatTensor<Self>;
}

#[backend_extension(Flex)]
trait MapInverse: Backend {
    fn map_inverse(
        z: FloatTensor<Self>,
        params: FloatTensor<Self>,
        map: Map,
        pass: Pass,
    ) -> FloatTensor<Self>;
}

/// The gradients of [`MapForward`] with respect to values and parameters, from the gradient of its output.
trait MapBackward: Backend {
    fn map_backward(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        map: Map,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

impl MapForward for Flex {
    fn map_forward(x: FlexTensor, params: FlexTensor, map: Map) -> FlexTensor {
        Self::map_inverse(x, params, map, Pass::Forward)
    }
}

impl MapInverse for Flex {
    fn map_inverse(z: FlexTensor, params: FlexTensor, map: Map, pass: Pass) -> FlexTensor {
        match z.dtype() {
            DType::F64 => apply::<f64>(map, pass, z, params),
            _ => apply::<f32>(map, pass, z, params),
        }
    }
}

impl MapBackward for Flex {
    fn map_backward(
        x: FlexTensor,
        params: FlexTensor,
        map: Map,
        gradient: FlexTensor,
    ) -> [FlexTensor; 2] {
        match x.dtype() {
            DType::F64 => gradients::<f64>(map, x, params, gradient),
            _ => gradients::<f32>(map, x, params, gradient),
        }
    }
}

fn extent(params: &FlexTensor) -> Extent {
    let [batch, params, n] = params.layout().shape().dims();
    Extent { batch, params, n }
}

fn apply<T: Elementary>(map: Map, pass: Pass, x: FlexTensor, params: FlexTensor) -> FlexTensor {
    let extent = extent(&params);
    let columns = pass.columns(extent.n);
    let [x, params] = contiguous([x, params]);
    let inputs = [T::slice(&x), T::slice(&params)];
    let mut out = vec![T::zero(); extent.batch * columns];
    run(map, pass, extent, inputs, &mut out);
    tensor(out, &[extent.batch, columns])
}

/// Writes the result of a pass to `out`.
pub(super) fn run<T: Elementary>(
    map: Map,
    pass: Pass,
    extent: Extent,
    inputs: [&[T]; 2],
    out: &mut [T],
) {
    match map {
        Map::Affine { bound } => affine::apply(bound, pass, extent, inputs, out),
        Map::Spline(spline) => spline::apply(spline, pass, extent, inputs, out),
    }
}

fn gradients<T: Elementary>(
    map: Map,
    x: FlexTensor,
    params: FlexTensor,
    gradient: FlexTensor,
) -> [FlexTensor; 2] {
    let extent = extent(&params);
    let Extent { batch, params: count, n } = extent;
    let [x, params, gradient] = contiguous([x, params, gradient]);
    let inputs = [&x, &params, &gradient].map(|tensor| T::slice(tensor));
    let mut by_x = vec![T::zero(); batch * n];
    let mut by_params = vec![T::zero(); batch * count * n];
    gradients_in(map, extent, inputs, [&mut by_x, &mut by_params]);
    [tensor(by_x, &[batch, n]), tensor(by_params, &[batch, count, n])]
}

/// Writes the gradients with respect to values and parameters.
pub(super) fn gradients_in<T: Elementary>(
    map: Map,
    extent: Extent,
    inputs: [&[T]; 3],
    out: [&mut [T]; 2],
) {
    match map {
        Map::Affine { bound } => affine::gradients(bound, extent, inputs, out),
        Map::Spline(spline) => spline::gradients(spline, extent, inputs, out),
    }
}

impl<B: MapForward + MapBackward, C: CheckpointStrategy> MapForward for Autodiff<B, C> {
    fn map_forward(x: FloatTensor<Self>, params: FloatTensor<Self>, map: Map) -> FloatTensor<Self> {
        recorded::<B, C, _, _>(
            [x, params],
            |[x, params], tracked| {
                let kept = tracked.then(|| (x.clone(), params.clone(), map));
                (B::map_forward(x, params, map), kept)
            },
            |(x, params, map), gradient, _| B::map_backward(x, params, map, gradient).map(Some),
        )
    }
}
