//! The outputs and gradients of a layer in a graph, for tests that compare a kernel with separate operations.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

/// The outputs of `forward`, then the gradients of a functional of them with respect to `x`, the context and the
/// parameters of the model, where they are tracked.
pub(super) fn traced(
    model: &impl Module,
    (x, context): (&Tensor<2>, Option<&Tensor<2>>),
    forward: impl Fn(Tensor<2>, Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>),
) -> Vec<TensorData> {
    struct All<'a>(&'a Gradients, Vec<TensorData>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.extend(param.val().grad(self.0).map(Tensor::into_data));
        }
    }
    let (z, log_det) = forward(x.clone(), context);
    let mut found = vec![z.to_data(), log_det.to_data()];
    let loss = (z.powi_scalar(2).sum_dim(1).squeeze_dim::<1>(1) * 0.3 + log_det.tanh()).sum();
    let gradients = loss.backward();
    let inputs = std::iter::once(x).chain(context);
    found.extend(inputs.filter_map(|x| Some(x.grad(&gradients)?.into_data())));
    let mut all = All(&gradients, found);
    model.visit(&mut all);
    assert!(all.1.len() > 5, "there are no gradients");
    all.1
}

/// Compares the results of [`traced`], relative to the largest number of each tensor.
pub(super) fn assert_near(found: &[TensorData], wanted: &[TensorData], bound: f64) {
    assert_eq!(found.len(), wanted.len());
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.shape(), wanted.shape());
        let largest = wanted.iter::<f64>().fold(1.0, |most, value| value.abs().max(most));
        for (found, wanted) in found.iter::<f64>().zip(wanted.iter::<f64>()) {
            let error = (found - wanted).abs() / largest;
            assert!(error < bound, "tensor {at}: {found} {wanted}");
        }
    }
}
