//! A linear layer whose spectral norm is at most a bound.
//!
//! y = x W c / max(c, s) + b        s = v W u, the largest singular value of W
//!
//! A power iteration computes `s`. It is costly, so it runs when the weight changes and not at every call. The layer
//! keeps the singular vectors `u` and `v` as parameters. burn has no hook for a changed weight: an optimizer, a loader,
//! an average and a cast all go through `Module::map`. `map` therefore compares the parameters before and after:
//!
//! * the weight did not change, or was cast: the vectors stay
//! * the weight changed and the vectors did not (an optimizer's step): the power iteration runs
//! * all three changed and the vectors have length 1 (a loaded record): the vectors are those of the file
//! * all three changed and the vectors have another length (an average of weights): the power iteration runs
//!
//! Papers: Miyato, Kataoka, Koyama, Yoshida (2018), Spectral Normalization for Generative Adversarial
//! Networks, section 2.1, arXiv:1802.05957; Behrmann et al. (2019), Invertible Residual Networks,
//! equation 7, arXiv:1811.00995.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::by_parts::module_by_parts;
use crate::initial;
use crate::math::{from_f64, wide};
use crate::param::replaced;

/// Number of squarings of `W W^T` after a change of the weight. They equal 2 to this power steps of the power
/// iteration. This separates singular values that differ by one percent to the last digit of an f32.
const SQUARINGS: usize = 10;

/// Largest deviation from 1 of the squared length of a vector that was saved, averaged or cast. In a coarse precision,
/// `ROUNDINGS` times its epsilon.
const UNIT: f64 = 1e-4;
const ROUNDINGS: f64 = 4.0;

/// A burn [`Linear`], and the singular vectors of its weight for the largest singular value.
///
/// The vectors are part of the record and are not trained. A call of [`weight`](Self::weight) changes nothing, so
/// training and evaluation use the same weight.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SpectralLinear {
    parts: Parts,
}

crate::store::checked! {
/// The fields of the layer. They are a separate struct so that [`SpectralLinear`] can extend the derived `map`.
#[derive(Module, Debug, Serialize)]
#[serde(rename = "SpectralLinear")]
struct Parts {
    #[serde(with = "crate::store::part")]
    linear: Linear,
    /// The singular vector on the side of the inputs, of length 1.
    #[serde(with = "crate::store::part")]
    right: Param<Tensor<1>>,
    /// The singular vector on the side of the outputs, of length 1.
    #[serde(with = "crate::store::part")]
    left: Param<Tensor<1>>,
    bound: f64,
}
}

impl Parts {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> crate::error::Result<()> {
        let [inputs, outputs] = self.linear.weight.dims();
        crate::store::shaped("SpectralLinear", "right", &[inputs], self.right.dims())?;
        crate::store::shaped("SpectralLinear", "left", &[outputs], self.left.dims())?;
        let bound = self.bound > 0.0 && self.bound < 1.0;
        let reason = || format!("must be in (0, 1), found {}", self.bound);
        crate::store::require("SpectralLinear", "bound", bound, reason)?;
        let reason = || "must be a unit vector, and `left` must be a unit vector".to_string();
        crate::store::require("SpectralLinear", "right", self.are_units(), reason)
    }
}

impl SpectralLinear {
    /// Builds the layer with a bound.
    pub(super) fn new(linear: Linear, bound: f64) -> Self {
        let weight = linear.weight.val();
        linear.bias.as_ref().map(Param::val);
        let ([inputs, outputs], device) = (weight.dims(), weight.device());
        let mut noise = initial::noise(&device);
        let mut unit = |count: usize| {
            let values: Vec<f64> = (0..count).map(|_| noise.next_normal()).collect();
            let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
            let values = values.into_iter().map(|v| v / length).collect();
            from_f64(values, [count], &device).cast(weight.dtype())
        };
        let (right, left) = (unit(inputs), unit(outputs));
        let layer = Self::from_weights(linear, right, left, bound);
        Self { parts: layer.parts.iterated() }
    }

    /// Builds the layer from a weight and its singular vectors.
    pub(super) fn from_weights(
        linear: Linear,
        right: Tensor<1>,
        left: Tensor<1>,
        bound: f64,
    ) -> Self {
        let fixed = |vector: Tensor<1>| Param::from_tensor(vector).set_require_grad(false);
        Self { parts: Parts { linear, right: fixed(right), left: fixed(left), bound } }
    }

    /// The weight within its bound, `[in, out]`, in at least single precision.
    pub(super) fn weight(&self) -> Tensor<2> {
        let weight = wide(self.parts.linear.weight.val());
        let (right, left) = (wide(self.parts.right.val()), wide(self.parts.left.val()));
        let image = right.unsqueeze_dim::<2>(0).matmul(weight.clone());
        let largest = (image * left.unsqueeze_dim(0)).sum_dim(1);
        weight * (largest * self.parts.bound.recip()).clamp_min(1.0).recip()
    }

    /// The bias, `[out]`, if there is one, in at least single precision.
    pub(super) fn bias(&self) -> Option<Tensor<1>> {
        self.parts.linear.bias.as_ref().map(|bias| wide(bias.val()))
    }

    /// The numbers of inputs and outputs.
    pub(super) fn dims(&self) -> [usize; 2] {
        let shape = self.parts.linear.weight.lazy_shape();
        [shape[0], shape[1]]
    }
}

/// `new` scaled to length 1, or `old` if `new` has length 0.
fn unit(new: Tensor<2>, old: Tensor<2>) -> Tensor<2> {
    let length = new.clone().square().sum().sqrt();
    let usable = length.clone().greater_elem(0.0).unsqueeze_dim::<2>(0).expand(new.dims());
    let length = length.clone().mask_fill(length.equal_elem(0.0), 1.0).unsqueeze_dim::<2>(0);
    old.mask_where(usable, new * length.recip())
}

impl Parts {
    /// Updates the singular vectors to the current weight, starting from the previous vectors.
    fn iterated(self) -> Self {
        let weight = wide(self.linear.weight.val().without_autodiff());
        let [inputs, outputs] = weight.dims();
        let row =
            |vector: &Param<Tensor<1>>| wide(vector.val().without_autodiff()).unsqueeze_dim(0);
        let (right, left): (Tensor<2>, Tensor<2>) = (row(&self.right), row(&self.left));
        let turned = weight.clone().transpose();
        // Squares the smaller of the two products.
        let (start, side) = match inputs <= outputs {
            true => (right.clone(), weight.clone().matmul(turned.clone())),
            false => (left.clone(), turned.clone().matmul(weight.clone())),
        };
        let powers = (0..SQUARINGS).fold(side, |power, _| {
            let largest = power.clone().abs().max();
            let zero = largest.clone().equal_elem(0.0);
            let power = power * largest.mask_fill(zero, 1.0).recip().unsqueeze_dim(0);
            power.clone().matmul(power)
        });
        let found = unit(start.clone().matmul(powers), start);
        let (right, left) = match inputs <= outputs {
            true => (found.clone(), unit(found.matmul(weight), left)),
            false => (unit(found.clone().matmul(turned), right), found),
        };
        Self {
            right: replaced(self.right, right.reshape([inputs])),
            left: replaced(self.left, left.reshape([outputs])),
            ..self
        }
    }

    /// Whether the singular vectors have length 1.
    fn are_units(&self) -> bool {
        [&self.right, &self.left].iter().all(|vector| {
            let vector = vector.val().without_autodiff();
            let epsilon = vector.dtype().finfo().map_or(0.0, |info| info.epsilon);
            let square = wide(vector).square().sum().into_scalar::<f64>();
            (square - 1.0).abs() < UNIT.max(ROUNDINGS * epsilon)
        })
    }
}

/// Whether two tensors hold equal numbers in the same precision, on any devices.
fn same<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> bool {
    let a = a.without_autodiff();
    let b = b.without_autodiff().to_device(&a.device());
    a.dtype() == b.dtype() && a.dims() == b.dims() && a.equal(b).all().into_scalar::<bool>()
}

impl SpectralLinear {
    /// The implementation of [`Module::map`].
    fn mapped<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (weight, dtype) = {
            let weight = self.parts.linear.weight.val();
            (weight.clone(), weight.dtype())
        };
        let (right, left) = (self.parts.right.val(), self.parts.left.val());
        let parts = self.parts.map(mapper);
        let new = parts.linear.weight.val();
        let moved = new.dtype() == dtype && !same(weight, new);
        let followed = || !same(right, parts.right.val()) || !same(left, parts.left.val());
        if moved && !(followed() && parts.are_units()) {
            return Self { parts: parts.iterated() };
        }
        Self { parts }
    }
}

module_by_parts!(SpectralLinear);

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    /// Multiplies the trained parameters by a factor.
    struct Stretch(f64);

    impl ModuleMapper for Stretch {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.is_require_grad() {
                return param;
            }
            param.map(|old| crate::param::as_before(&old, old.clone().without_autodiff() * self.0))
        }
    }

    /// The largest singular value, by many steps of the power iteration.
    fn norm(weight: Tensor<2>) -> f64 {
        let weight = weight.without_autodiff();
        let mut x = weight.clone().slice(0..1);
        for _ in 0..3000 {
            x = x.matmul(weight.clone().transpose().matmul(weight.clone()));
            let length = x.clone().square().sum().sqrt().into_scalar::<f64>();
            x = x / length;
        }
        x.matmul(weight.transpose()).square().sum().sqrt().into_scalar::<f64>()
    }

    #[test]
    fn no_weight_stretches_by_more_than_its_bound() {
        for (inputs, outputs) in [(3, 7), (7, 3), (1, 5), (6, 6)] {
            let linear = LinearConfig::new(inputs, outputs).init(&Device::flex().autodiff());
            let mut layer = SpectralLinear::new(linear, 0.7);
            for factor in [1.0, 9.0, 1e-3, 1e4] {
                layer = layer.map(&mut Stretch(factor));
                let found = norm(layer.weight());
                let free = norm(layer.parts.linear.weight.val());
                assert!((found - free.min(0.7)).abs() < 1e-4, "{found} of {free}");
            }
        }
    }

    #[test]
    fn a_weight_of_zeros_gets_vectors_as_soon_as_it_moves() {
        struct Ones;
        impl ModuleMapper for Ones {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                if param.is_require_grad() { param.map(|old| old.ones_like()) } else { param }
            }
        }
        let zeros = burn::nn::Initializer::Zeros;
        let linear =
            LinearConfig::new(2, 3).with_initializer(zeros).init(&Device::flex().autodiff());
        let layer = SpectralLinear::new(linear, 0.5);
        assert_eq!(layer.weight().abs().max().into_scalar::<f32>(), 0.0);
        let moved = layer.map(&mut Ones);
        assert!((norm(moved.weight()) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn what_loads_all_three_keeps_what_it_says() {
        let device = Device::flex().autodiff();
        let make = || SpectralLinear::new(LinearConfig::new(3, 4).init(&device), 0.5);
        let (from, to) = (make().map(&mut Stretch(3.0)), make());
        let bytes = from.clone().into_record().into_bytes().unwrap();
        let record = burn::store::ModuleRecord::from_bytes(bytes).unwrap();
        let loaded = to.try_load_record(record).unwrap();
        assert_eq!(loaded.weight().into_data(), from.weight().into_data());
    }
}
