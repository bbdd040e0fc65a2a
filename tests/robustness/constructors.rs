//! Constructors that take numbers or tensors return an `Error` or a value that gives no NaN.

use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{
    Bijector, Bound, Bounded, LeakyRelu, LeakyTanh, Logit, Softclip, Standardize,
};
use burn_flows::distribution::*;
use burn_flows::train::{Dequantize, DequantizeColumns, ReduceBits};
use burn_flows::{Result, burn};

use crate::hostile::{COUNTS, NUMBERS};

fn one<const D: usize>(value: f64) -> Tensor<D> {
    Tensor::full([1; D], value, &Device::flex())
}

/// Ordinary data, zero, and the number of the constructor.
fn data(own: f64) -> Tensor<2> {
    Tensor::from_data([[0.0], [0.3], [1.0], [-2.0], [own]], &Device::flex())
}

/// Checks the densities of a distribution if its constructor succeeded.
fn judge(made: Result<impl Distribution<2>>, what: &str, own: f64) {
    let Ok(density) = made else { return };
    let found: Vec<f32> = density.log_prob(data(own), None).into_data().iter::<f32>().collect();
    let bad = |v: &f32| v.is_nan() || *v == f32::INFINITY;
    // The last row is the number of the constructor, which may be infinite or very large.
    let rows = if own.is_finite() && own.abs() < 1e30 { 5 } else { 4 };
    assert!(!found[..rows].iter().any(bad), "{what} of {own}: {found:?}");
}

fn judge_layer(made: Result<impl Bijector<2>>, what: &str, own: f64) {
    let Ok(layer) = made else { return };
    let (z, log_det) = layer.forward(data(0.5), None);
    let numbers = z.into_data().iter::<f32>().chain(log_det.into_data().iter::<f32>()).collect();
    let numbers: Vec<f32> = numbers;
    assert!(!numbers.iter().any(|v| v.is_nan()), "{what} of {own}: {numbers:?}");
}

#[test]
fn numbers() {
    for value in NUMBERS {
        judge(DiagNormal::fixed(one(value), one(1.0)), "mean", value);
        judge(DiagNormal::fixed(one(0.0), one(value)), "scale", value);
        judge(StudentT::fixed(3.0, one(value), one(1.0)), "location", value);
        judge(StudentT::fixed(3.0, one(0.0), one(value)), "scale of a t", value);
        judge(StudentT::fixed(value, one(0.0), one(1.0)), "degrees of freedom", value);
        judge(Uniform::new(one(-3.0), one(value)), "high", value);
        judge(Uniform::new(one(value), one(3.0)), "low", value);
        let mixture = |mean, scale, weight| {
            GaussianMixture::fixed(
                one(mean),
                one(scale),
                Tensor::full([1], weight, &Device::flex()),
            )
        };
        judge(mixture(value, 1.0, 1.0), "mean of a mixture", value);
        judge(mixture(0.0, value, 1.0), "scale of a mixture", value);
        judge(mixture(0.0, 1.0, value), "weight of a mixture", value);
        let normal = || DiagNormal::fixed(one(0.0), one(1.0)).unwrap();
        let device = Device::flex();
        let weights = Tensor::from_data([value, 1.0], &device);
        let weighted = Mixture::new(vec![normal(), normal()], &device)
            .and_then(|mixture| mixture.with_weights(weights));
        judge(weighted, "weight", value);

        judge_layer(Bounded::new(vec![Bound::Above(value)]), "lower end", value);
        judge_layer(Bounded::new(vec![Bound::Below(value)]), "upper end", value);
        judge_layer(Bounded::new(vec![Bound::Between(-3.0, value)]), "interval", value);
        judge_layer(LeakyRelu::new(value), "slope", value);
        judge_layer(LeakyTanh::new(value), "turn", value);
        judge_layer(Softclip::new(value), "bound", value);
        judge_layer(Standardize::new(one(value), one(1.0)), "mean", value);
        judge_layer(Standardize::new(one(0.0), one(value)), "deviation", value);
        // The domain is the unit interval. Outside of it, NaN would not be a density either.
        drop(Logit::new(value));
    }
}

#[test]
fn counts() {
    for count in COUNTS {
        let count = count as usize;
        drop(Dequantize::new(count));
        drop(DequantizeColumns::new(vec![(count, count)]));
        drop(CategoricalMadeConfig::new(vec![count, 2]).validate());
        drop(ReduceBits::new(count));
    }
}
