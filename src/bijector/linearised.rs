//! The values of a dense network on a batch, together with its derivative as a linear map.
//!
//! h = W h + b        dh = W dh
//! h = a(h)           dh = a'(h) dh
//!
//! burn differentiates only once, backward. Training a log-determinant needs the derivative of a derivative. The first
//! derivative is therefore carried forward here, by operations that burn can differentiate.

use burn::tensor::{Bool, Tensor};

use crate::kernel::rows_times;

/// The values of a network on a batch, and the map from small changes of its input to changes of its output.
pub(super) struct Linearised {
    value: Tensor<2>,
    /// The linear maps that a change passes through, in sequence; `None` if no derivative was requested.
    steps: Option<Vec<Step>>,
    inputs: usize,
}

enum Step {
    /// A matrix `[in, out]`, common to all rows.
    Linear(Tensor<2>),
    /// The slopes of all elements, `[1, batch, width]`.
    Slope(Tensor<3>),
}

impl Linearised {
    /// The identity at `x`, with its derivative if `derivative`.
    pub(super) fn at(x: Tensor<2>, derivative: bool) -> Self {
        let inputs = x.dims()[1];
        Self { value: x, steps: derivative.then(Vec::new), inputs }
    }

    /// Appends a linear layer with weights `[in, out]`.
    pub(super) fn linear(mut self, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Self {
        self.value = rows_times(self.value, weight.clone());
        if let Some(bias) = bias {
            self.value = self.value + bias.clone().unsqueeze_dim(0);
        }
        if let Some(steps) = &mut self.steps {
            steps.push(Step::Linear(weight.clone()));
        }
        self
    }

    /// Adds a term that does not depend on the input.
    pub(super) fn plus(mut self, term: Tensor<2>) -> Self {
        self.value = self.value + term;
        self
    }

    /// Appends an elementwise function. `function` returns its value, and its slope if its second argument is true.
    pub(super) fn then(
        mut self,
        function: impl FnOnce(Tensor<2>, bool) -> (Tensor<2>, Option<Tensor<2>>),
    ) -> Self {
        let (value, slope) = function(self.value, self.steps.is_some());
        self.value = value;
        if let (Some(steps), Some(slope)) = (&mut self.steps, slope) {
            steps.push(Step::Slope(slope.unsqueeze_dim(0)));
        }
        self
    }

    /// The outputs, `[batch, out]`.
    pub(super) fn value(&self) -> Tensor<2> {
        self.value.clone()
    }

    /// Maps small changes of the input, `[directions, batch or 1, in]`, to changes of the outputs,
    /// `[directions, batch, out]`.
    ///
    /// # Panics
    ///
    /// If no derivative was requested.
    pub(super) fn push(&self, directions: Tensor<3>) -> Tensor<3> {
        let steps = self.steps.as_ref().expect("a network run for its derivative");
        steps.iter().fold(directions, |change, step| match step {
            Step::Linear(weight) => {
                let ([count, rows, width], out) = (change.dims(), weight.dims()[1]);
                let change = rows_times(change.reshape([count * rows, width]), weight.clone());
                change.reshape([count, rows, out])
            }
            Step::Slope(slope) => change * slope.clone(),
        })
    }

    /// The Jacobian of each row, `[batch, in, out]`.
    pub(super) fn jacobian(&self) -> Tensor<3> {
        let (rows, value) = (self.value.dims()[0], &self.value);
        let eye = Tensor::<2>::eye(self.inputs, &value.device().without_autodiff());
        let change = self.push(eye.cast(value.dtype()).unsqueeze_dim(1)).swap_dims(0, 1);
        let [_, inputs, outputs] = change.dims();
        change.expand([rows, inputs, outputs])
    }
}

/// The traces, `[batch]`, of square matrices `[batch, n, n]`.
pub(super) fn trace(matrices: Tensor<3>) -> Tensor<1> {
    let [batch, n, _] = matrices.dims();
    let device = matrices.device().without_autodiff();
    let off = Tensor::<2, Bool>::diag_mask([n, n], 0, &device).unsqueeze_dim::<3>(0);
    let off = off.expand([batch, n, n]);
    matrices.mask_fill(off, 0.0).reshape([batch, n * n]).sum_dim(1).reshape([batch])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn network(x: Tensor<2>, derivative: bool) -> Linearised {
        let first = tensor(&[0.5, -1.0, 2.0, 0.3, 0.7, -0.2], [2, 3]);
        let second = tensor(&[1.0, 0.5, -0.4, 0.2, 0.9, -1.5], [3, 2]);
        let bias = tensor(&[0.1, -0.3, 0.2], [3]);
        let square = |h: Tensor<2>, _: bool| (h.clone().square(), Some(h * 2.0));
        Linearised::at(x, derivative).linear(&first, Some(&bias)).then(square).linear(&second, None)
    }

    #[test]
    fn the_jacobian_is_that_of_small_steps() {
        let x = [0.3, -0.8, 1.2, 0.4];
        let jacobian = network(tensor(&x, [2, 2]), true).jacobian();
        let found: Vec<f64> = jacobian.clone().into_data().try_to_vec_as().unwrap();
        let at = |x: &[f64]| -> Vec<f64> {
            network(tensor(x, [2, 2]), false).value().into_data().try_to_vec_as().unwrap()
        };
        for row in 0..2 {
            for input in 0..2 {
                let [mut high, mut low] = [x, x];
                high[2 * row + input] += 1e-5;
                low[2 * row + input] -= 1e-5;
                for output in 0..2 {
                    let difference = at(&high)[2 * row + output] - at(&low)[2 * row + output];
                    let error = found[4 * row + 2 * input + output] - difference / 2e-5;
                    assert!(error.abs() < 1e-9, "{error:e}");
                }
            }
        }
        let traces: Vec<f64> = trace(jacobian).into_data().try_to_vec_as().unwrap();
        assert_eq!(traces, [found[0] + found[3], found[4] + found[7]]);
    }
}
