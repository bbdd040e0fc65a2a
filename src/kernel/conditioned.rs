//! A scalar map whose parameters come from a network of dense layers, in one operation.
//!
//! z_b = f(x_b; h(x_a, c)),  the rest of z is x            h dense layers, f a scalar map with a kernel
//!
//! A small batch spends more time between operations than in their arithmetic. The numbers are those of the separate
//! operations, bit for bit, because the same functions compute them.

use burn::tensor::{Bool, Tensor};

use super::{Curve, Map, Pass};

/// A dense layer, `f(x W + b)`.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct DenseLayer {
    pub(crate) weight: Tensor<2>,
    pub(crate) bias: Option<Tensor<1>>,
    /// Where it is false, the weight holds a zero.
    pub(crate) mask: Option<Tensor<2, Bool>>,
    pub(crate) curve: Curve,
}

/// Dense layers in a row.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct DenseNetwork {
    pub(crate) layers: Vec<DenseLayer>,
    /// What the first layer sees after its other inputs, `[1 or rows, width]`.
    pub(crate) context: Option<Tensor<2>>,
}

/// `z`, and the log-determinant if `pass` computes it, for rows whose network sees the columns `kept` and whose map
/// applies to the columns `moved`. Both lists are ascending. `None` if the kernel does not support the network or the
/// tensors.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn conditioned<const D: usize>(
    network: DenseNetwork,
    map: Map,
    pass: Pass,
    [kept, moved]: [&[usize]; 2],
    x: &Tensor<D>,
) -> Option<(Tensor<D>, Option<Tensor<1>>)> {
    #[cfg(feature = "flex")]
    if flex::knows(&network, map, [kept, moved], x) {
        return flex::conditioned(network, map, pass, [kept, moved], x);
    }
    None
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::{Bool, DType, Tensor};

    use super::DenseNetwork;
    use crate::kernel::dense::forward_in;
    use crate::kernel::elementary::Elementary;
    use crate::kernel::matrix::{Scratch, tensor};
    use crate::kernel::{Curve, Map, Pass};

    pub(super) fn knows<const D: usize>(
        network: &DenseNetwork,
        map: Map,
        [kept, moved]: [&[usize]; 2],
        x: &Tensor<D>,
    ) -> bool {
        let rows = x.dims()[0];
        let plain = |device, dtype| crate::parallel::is_plain(&device) && dtype == x.dtype();
        let context = network.context.as_ref();
        let extra = context.map_or(0, |context| context.dims()[1]);
        let sees = |context: &Tensor<2>| {
            let [count, width] = context.dims();
            plain(context.device(), context.dtype()) && [1, rows].contains(&count) && width > 0
        };
        let mut width = kept.len() + extra;
        for layer in &network.layers {
            let [from, to] = layer.weight.dims();
            let has = |bias: &Tensor<1>| bias.dims() == [to] && plain(bias.device(), bias.dtype());
            let fits = plain(layer.weight.device(), layer.weight.dtype()) && from == width;
            if !fits || to == 0 || !layer.bias.as_ref().is_some_and(has) {
                return false;
            }
            width = to;
        }
        D == 2
            && crate::kernel::knows(x.dtype())
            && plain(x.device(), x.dtype())
            && context.is_none_or(sees)
            && map.is_known()
            && rows * kept.len() * moved.len() > 0
            && width == map.count() * moved.len()
    }

    /// A layer on the host.
    struct Layer {
        weight: FlexTensor,
        bias: FlexTensor,
        mask: Option<FlexTensor>,
        curve: Curve,
    }

    fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
        let x = x.try_into_primitive::<Flex>().expect("on `flex`");
        if x.is_contiguous() { x } else { x.to_contiguous() }
    }

    fn bytes(mask: Tensor<2, Bool>) -> FlexTensor {
        let mask = mask.without_autodiff().try_into_primitive::<Flex>();
        mask.expect("a mask on `flex`").to_contiguous()
    }

    pub(super) fn conditioned<const D: usize>(
        network: DenseNetwork,
        map: Map,
        pass: Pass,
        columns: [&[usize]; 2],
        x: &Tensor<D>,
    ) -> Option<(Tensor<D>, Option<Tensor<1>>)> {
        let layers = network.layers.into_iter().map(|layer| {
            Some(Layer {
                weight: primitive(layer.weight),
                bias: primitive(layer.bias?),
                mask: layer.mask.map(bytes),
                curve: layer.curve,
            })
        });
        let layers = layers.collect::<Option<Vec<_>>>()?;
        let context = network.context.map(primitive);
        let sizes = [x.dims()[0], x.dims()[1]];
        let x = primitive(x.clone());
        let (z, log_det) = match x.dtype() {
            DType::F64 => run::<f64>(&layers, context.as_ref(), map, pass, columns, sizes, &x),
            _ => run::<f32>(&layers, context.as_ref(), map, pass, columns, sizes, &x),
        };
        Some((Tensor::from_primitive::<Flex>(z), log_det.map(Tensor::from_primitive::<Flex>)))
    }

    /// The columns of every row of `x`, at the start of the rows of `out`.
    fn gather<T: Elementary>(x: &[T], columns: &[usize], out: &mut [T], [from, to]: [usize; 2]) {
        for (row, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
            out.iter_mut().zip(columns).for_each(|(out, &column)| *out = row[column]);
        }
    }

    /// The opposite of [`gather`].
    fn scatter<T: Elementary>(x: &[T], columns: &[usize], out: &mut [T], [from, to]: [usize; 2]) {
        for (row, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
            columns.iter().zip(row).for_each(|(&column, &value)| out[column] = value);
        }
    }

    fn run<T: Elementary>(
        layers: &[Layer],
        context: Option<&FlexTensor>,
        map: Map,
        pass: Pass,
        [kept, moved]: [&[usize]; 2],
        [rows, width]: [usize; 2],
        x: &FlexTensor,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let x = T::slice(x);
        let inputs = layers[0].weight.layout().shape()[0];
        let mut h = (inputs != width || kept.len() != width).then(|| {
            let mut h = Scratch::<T>::new(rows * inputs);
            gather(x, kept, &mut h, [width, inputs]);
            h
        });
        if let (Some(context), Some(h)) = (context, &mut h) {
            let given = T::slice(context).chunks_exact(inputs - kept.len());
            // A single row of context applies to all rows.
            for (out, context) in h.chunks_exact_mut(inputs).zip(given.cycle()) {
                out[kept.len()..].copy_from_slice(context);
            }
        }
        for Layer { weight, bias, mask, curve } in layers {
            let mut next = Scratch::<T>::new(rows * weight.layout().shape()[1]);
            let input = h.as_deref().unwrap_or(x);
            forward_in([weight, bias], mask.as_ref(), *curve, input, &mut next);
            h = Some(next);
        }
        let params = h.as_deref().unwrap_or_default();
        let n = moved.len();
        let columns = pass.columns(n);
        let mut out = Scratch::<T>::new(rows * columns);
        let z = if n == width {
            map.apply(pass, n, [x, params], &mut out);
            out.chunks_exact(columns).flat_map(|out| &out[..n]).copied().collect()
        } else {
            let mut values = Scratch::<T>::new(rows * n);
            gather(x, moved, &mut values, [width, n]);
            map.apply(pass, n, [&values, params], &mut out);
            let mut z = x.to_vec();
            scatter(&out, moved, &mut z, [columns, width]);
            z
        };
        let log_det = (columns > n)
            .then(|| tensor(out.chunks_exact(columns).map(|out| out[n]).collect(), &[rows]));
        (tensor(z, &[rows, width]), log_det)
    }
}
