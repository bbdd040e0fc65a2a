//! A step of Adam with decoupled weight decay in one pass over memory.
//!
//! m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
//! w = (1 - rate decay) w - rate (m / c1) / (sqrt(v / c2) + epsilon)       c = 1 - b^t

#[cfg(feature = "flex")]
use burn::backend::{Flex, flex::FlexTensor};
#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::elementary::{Elementary, vectorized};

/// The numbers of a step of Adam.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct AdamStep {
    pub(crate) rate: f64,
    pub(crate) decay: f64,
    pub(crate) betas: [f64; 2],
    /// `1 - b^t` for both betas.
    pub(crate) corrections: [f64; 2],
    pub(crate) epsilon: f64,
}

impl AdamStep {
    /// Returns the new weights and moments, or the unchanged tensors if the kernel does not support them.
    #[expect(clippy::result_large_err, reason = "both variants hold the same tensors")]
    pub(crate) fn take<const D: usize>(
        self,
        weight: Tensor<D>,
        gradient: &Tensor<D>,
        moments: [Tensor<D>; 2],
    ) -> Result<(Tensor<D>, [Tensor<D>; 2]), (Tensor<D>, [Tensor<D>; 2])> {
        #[cfg(feature = "flex")]
        if knows([&weight, gradient, &moments[0], &moments[1]]) {
            let flex = |tensor: Tensor<D>| tensor.try_into_primitive::<Flex>().expect("on `flex`");
            let (gradient, [m, v]) = (flex(gradient.clone()), moments.map(flex));
            let new = match gradient.dtype() {
                DType::F64 => self.run::<f64>([flex(weight), m, v], gradient),
                _ => self.run::<f32>([flex(weight), m, v], gradient),
            };
            let [weight, m, v] = new.map(Tensor::from_primitive::<Flex>);
            return Ok((weight, [m, v]));
        }
        let _ = gradient;
        Err((weight, moments))
    }
}

/// Whether the kernel supports these tensors.
#[cfg(feature = "flex")]
fn knows<const D: usize>(tensors: [&Tensor<D>; 4]) -> bool {
    let [weight, ..] = tensors;
    super::knows(weight.dtype())
        && tensors.iter().all(|tensor| {
            crate::parallel::is_plain(&tensor.device())
                && tensor.dtype() == weight.dtype()
                && tensor.dims() == weight.dims()
        })
}

#[cfg(feature = "flex")]
impl AdamStep {
    /// Weight and moments after the step, written in place if no other tensor shares their memory.
    fn run<T: Elementary>(self, tensors: [FlexTensor; 3], gradient: FlexTensor) -> [FlexTensor; 3] {
        let of = |number: f64| T::from(number).expect("a float holds it");
        let [b1, b2] = self.betas.map(of);
        let [r1, r2] = self.betas.map(|beta| of(1.0 - beta));
        let [c1, c2] = self.corrections.map(|correction| of(correction.recip()));
        let (keep, rate) = (of(1.0 - self.rate * self.decay), of(self.rate));
        let epsilon = of(self.epsilon);
        let mut tensors = tensors.map(|tensor| tensor.to_contiguous());
        let gradient = gradient.to_contiguous();
        let numbers = T::slice(&gradient);
        let [w, m, v] = tensors.each_mut().map(T::slice_mut);
        vectorized(
            #[inline(always)]
            || {
                for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(numbers) {
                    *m = b1 * *m + r1 * g;
                    *v = b2 * *v + r2 * (g * g);
                    *w = keep * *w - rate * (*m * c1) / ((*v * c2).sqrt() + epsilon);
                }
            },
        );
        tensors
    }
}
