//! Properties of single layers beyond the conformance suite: initialisation, running statistics,
//! masks, values outside a domain, known numbers.

use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use burn_flows::Noise;
use burn_flows::bijector::*;

static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &*DEVICE)
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().try_to_vec_as().unwrap()
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: &[f64]) {
    let found = host(found);
    assert_eq!(found.len(), expected.len());
    let near = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-12 * e.abs().max(1.0);
    assert!(found.iter().zip(expected).all(near), "{found:?}, expected {expected:?}");
}

/// The mean and unbiased variance of every channel.
fn moments<const D: usize>(x: Tensor<D>) -> (Vec<f64>, Vec<f64>) {
    let channels = x.dims()[1];
    let columns: Tensor<2> = x.swap_dims(0, 1).reshape([channels as i64, -1]);
    let mean = columns.clone().mean_dim(1);
    let variance = columns.var(1);
    (host(mean), host(variance))
}

fn actnorm_normalises<const D: usize>(shape: [usize; D]) {
    let x = Noise::seeded(1).normal(shape, &DEVICE) * 7.0 - 3.0;
    for device in [DEVICE.clone(), DEVICE.clone().autodiff()] {
        let fresh = ActNormConfig::new(shape[1]).init(&device);
        assert!(!fresh.is_initialized());
        let (layer, z) = fresh.init_from_data(x.clone(), None);
        let (means, variances) = moments(z);
        // The floor of 1e-6 added to the standard deviation of 7 changes the variance by 3e-7.
        assert!(means.iter().all(|m| m.abs() < 1e-12), "{means:?}");
        assert!(variances.iter().all(|v| (v - 1.0).abs() < 1e-6), "{variances:?}");
        assert!(layer.is_initialized());
    }
}

#[test]
fn actnorm_normalises_the_first_batch_of_vectors() {
    actnorm_normalises([50, 3]);
}

#[test]
fn actnorm_normalises_the_first_batch_of_images() {
    actnorm_normalises([20, 2, 3, 4]);
}

#[test]
fn actnorm_stays_initialised_in_a_record() {
    let x = Noise::seeded(1).normal::<2>([20, 3], &DEVICE) * 2.0 + 1.0;
    let (layer, _) = ActNormConfig::new(3).init(&DEVICE).init_from_data(x.clone(), None);
    let loaded = ActNormConfig::new(3).init(&DEVICE).load_record(layer.clone().into_record());
    assert!(loaded.is_initialized());
    let other = x * 9.0;
    let (_, z) = loaded.init_from_data(other.clone(), None);
    assert_close(z, &host(layer.forward(other, None).0));
}

#[test]
fn actnorm_takes_constant_columns_and_single_rows() {
    for x in [tensor(&[5.0, 1.0, 5.0, 2.0], [2, 2]), tensor(&[5.0, 1.0], [1, 2])] {
        let (layer, z) = ActNormConfig::new(2).init(&DEVICE).init_from_data(x.clone(), None);
        let (_, log_det) = layer.forward(x, None);
        assert!(host(z).into_iter().chain(host(log_det)).all(f64::is_finite));
    }
}

/// Two batches of two rows with means (2, 20) and (4, 40). The unbiased variances are 2 and 200.
fn batches() -> [Tensor<2>; 2] {
    [tensor(&[1.0, 10.0, 3.0, 30.0], [2, 2]), tensor(&[3.0, 30.0, 5.0, 50.0], [2, 2])]
}

#[test]
fn batch_norm_uses_the_batch_while_training_and_the_running_statistics_after() {
    let config = BatchNormConfig::new(2).with_epsilon(1e-9).with_momentum(0.5);
    let layer = config.init(&DEVICE.clone().autodiff());
    let [first, second] = batches();
    let (z, log_det) = layer.forward(first.clone(), None);
    let (scale, fine) = (0.5f64.sqrt(), 1e-8);
    for (found, expected) in host(z).iter().zip([-scale, -scale, scale, scale]) {
        assert!((found - expected).abs() < fine, "{found}");
    }
    let expected = -0.5 * 2f64.ln() - 0.5 * 200f64.ln();
    assert!(host(log_det).iter().all(|found| (found - expected).abs() < fine));

    // Every batch updates the running statistics of feature 0: mean 0 -> 1 -> 2.5, variance 1 ->
    // 1.5 -> 1.75.
    layer.forward(second, None);
    let (z, log_det) = layer.valid().forward(first.clone(), None);
    let (means, variances): ([f64; 2], [f64; 2]) = ([2.5, 25.0], [1.75, 150.25]);
    let expected: Vec<f64> = host(first.clone())
        .iter()
        .enumerate()
        .map(|(at, x)| (x - means[at % 2]) / variances[at % 2].sqrt())
        .collect();
    for (found, expected) in host(z.clone()).iter().zip(expected) {
        assert!((found - expected).abs() < fine, "{found}, expected {expected}");
    }
    let expected = -0.5 * (variances[0].ln() + variances[1].ln());
    assert!(host(log_det).iter().all(|found| (found - expected).abs() < fine));
    assert_close(layer.inverse(z, None), &host(first));
}

#[test]
fn batch_norm_frozen_or_evaluated_leaves_its_statistics_alone() {
    let trained = BatchNormConfig::new(2).init(&DEVICE.clone().autodiff());
    for layer in [trained.clone().freeze(), trained.valid()] {
        for batch in batches() {
            let (z, _) = layer.forward(batch.clone(), None);
            assert!((host(z)[3] / host(batch)[3] - 1.0).abs() < 1e-4); // still mean 0, variance 1
        }
    }
}

#[test]
fn batch_norm_keeps_its_statistics_in_a_record() {
    let config = BatchNormConfig::new(2);
    let layer = config.init(&DEVICE.clone().autodiff());
    batches().into_iter().for_each(|batch| drop(layer.forward(batch, None)));
    let layer = layer.valid();
    let loaded = config.init(&DEVICE).load_record(layer.clone().into_record());
    let [x, _] = batches();
    let (expected, found) = (layer.forward(x.clone(), None).0, loaded.forward(x.clone(), None).0);
    assert_ne!(host(expected.clone()), host(config.init(&DEVICE).forward(x, None).0));
    assert_eq!(host(found), host(expected));
}

#[test]
fn signed_factors_by_hand() {
    let factors = tensor(&[9.0, 3.0, 2.0, 9.0], [2, 2]); // the diagonal is ignored
    let (diagonal, sign) = (tensor(&[2f64.ln(), 5f64.ln()], [2]), tensor(&[-1.0, 1.0], [2]));
    let matrix = LuFactors::from_weights(factors, diagonal, Some(sign));
    // The product [[1, 0], [2, 1]] [[-2, 3], [0, 5]].
    assert_close(matrix.matrix(), &[-2.0, 3.0, -4.0, 11.0]);
    assert_close(matrix.log_abs_det(), &[10f64.ln()]);
    assert_close(matrix.inverse_matrix(), &[-1.1, 0.3, -0.4, 0.2]);
}

#[test]
fn a_fresh_linear_layer_is_the_identity() {
    let x = Noise::seeded(2).normal::<2>([5, 4], &DEVICE);
    let (z, log_det) = LuLinearConfig::new(4).init(&DEVICE).forward(x.clone(), None);
    assert_close(z, &host(x));
    assert_close(log_det, &[0.0; 5]);
}

/// Two channels of 2x4 pixels: 1 to 8 row by row, and ten times these values.
fn two_channels() -> Tensor<4> {
    let pixels: Vec<f64> = (1..=8).map(f64::from).collect();
    let tens: Vec<f64> = pixels.iter().map(|p| 10.0 * p).collect();
    tensor(&[pixels, tens].concat(), [1, 2, 2, 4])
}

/// The blocks are `1 2 / 5 6` and `3 4 / 7 8`.
#[test]
fn squeezed_channels_by_hand() {
    for (order, expected) in [
        (
            SqueezeOrder::ChannelMajor,
            [1., 3., 2., 4., 5., 7., 6., 8., 10., 30., 20., 40., 50., 70., 60., 80.],
        ),
        (
            SqueezeOrder::PixelMajor,
            [1., 3., 10., 30., 2., 4., 20., 40., 5., 7., 50., 70., 6., 8., 60., 80.],
        ),
    ] {
        let (z, log_det) = Squeeze::new(order).forward(two_channels(), None);
        assert_eq!((z.dims(), host(log_det)), ([1, 8, 1, 2], vec![0.0]));
        assert_eq!(host(z), expected, "{order:?}");
    }
}

/// The block `1 2 / 5 6` has the sum 14, left minus right -2, top minus bottom -8 and the
/// difference of its diagonals 0. Each is halved. The block `3 9 / 7 8` has 27, -7, -3, -5.
#[test]
fn haar_coefficients_by_hand() {
    let one = [7.0, 13.5, -1.0, -3.5, -4.0, -1.5, 0.0, -2.5];
    let ten = one.map(|z| 10.0 * z);
    let in_pairs: Vec<f64> =
        (0..4).flat_map(|k| [one[2 * k], one[2 * k + 1], ten[2 * k], ten[2 * k + 1]]).collect();
    let pixels = [1., 2., 3., 9., 5., 6., 7., 8.];
    let x = tensor(&[pixels, pixels.map(|p| 10.0 * p)].concat(), [1, 2, 2, 4]);
    for (order, expected) in
        [(SqueezeOrder::ChannelMajor, [one, ten].concat()), (SqueezeOrder::PixelMajor, in_pairs)]
    {
        let (z, log_det) = HaarSqueeze::new(order).forward(x.clone(), None);
        assert_eq!((z.dims(), host(log_det)), ([1, 8, 1, 2], vec![0.0]));
        assert_eq!(host(z), expected, "{order:?}");
    }
}

#[test]
fn haar_keeps_the_length_of_an_image() {
    let x = Noise::seeded(4).normal::<4>([3, 2, 6, 4], &DEVICE);
    let (z, _) = HaarSqueeze::default().forward(x.clone(), None);
    assert_close(z.square().sum(), &host(x.square().sum()));
}

/// Splits events and merges the parts again. Only the elements that the mask moves may change.
fn split_is_consistent<const D: usize>(mask: &Mask, shape: [usize; D]) {
    let split = Split::new(mask, &shape[1..], &DEVICE).unwrap();
    let x = Noise::seeded(1).normal(shape, &DEVICE) + 10.0; // no element is zero
    let (kept, moved) = split.take(x.clone());
    assert_eq!(host(split.merge(kept.clone(), moved.clone())), host(x.clone()), "{mask:?}");
    let changed = split.merge(kept.clone(), moved.clone() * -1.0);

    let event: usize = shape[1..].iter().product();
    let per_index = event / if D > 2 && !spatial(mask) { shape[1] } else { event };
    let kept_elements: Vec<bool> = {
        let list = mask.kept(&shape[1..]).unwrap();
        (0..event).map(|at| list.contains(&(at / per_index))).collect()
    };
    for (at, (after, before)) in host(changed).into_iter().zip(host(x.clone())).enumerate() {
        let expected = if kept_elements[at % event] { before } else { -before };
        assert_eq!(after, expected, "{mask:?} at {at}");
    }
    // The conditioner input does not depend on the moved elements.
    let other = split.merge(kept.clone(), moved.clone() + 1.0);
    assert_eq!(host(split.take(other).0), host(kept), "{mask:?}");
    assert_eq!(moved.dims(), [shape[0], kept_elements.iter().filter(|kept| !**kept).count()]);
}

fn spatial(mask: &Mask) -> bool {
    [Mask::Checkerboard, Mask::Checkerboard.flipped()].contains(mask)
}

#[test]
fn every_mask_splits_vectors_and_images() {
    let masks = [
        Mask::Halves,
        Mask::Alternating,
        Mask::Random(3),
        Mask::Kept(vec![2]),
        Mask::Kept(vec![1, 2]),
        Mask::Kept(vec![2, 0]),
    ];
    for mask in masks.into_iter().flat_map(|mask| [mask.clone().flipped(), mask]) {
        split_is_consistent(&mask, [2, 3]);
        split_is_consistent(&mask, [2, 5]);
        split_is_consistent(&mask, [2, 3, 2, 2]);
    }
    for mask in [Mask::Checkerboard, Mask::Checkerboard.flipped()] {
        split_is_consistent(&mask, [2, 1, 3, 3]);
        split_is_consistent(&mask, [2, 2, 2, 3]);
    }
}

#[test]
fn random_masks_keep_half_rounded_up_and_differ_by_seed() {
    let kept = |seed| Mask::Random(seed).kept(&[9]).unwrap();
    assert_eq!(kept(1).len(), 5);
    assert_eq!(kept(1), kept(1));
    assert!((2..9).any(|seed| kept(seed) != kept(1)));
}

/// An element outside an open domain has a log-det of minus infinity, a finite result and no
/// gradient. Its neighbours and the other rows are not affected. NaN stays NaN.
fn guards(layer: impl Bijector<2>, inside: f64, outside: &[f64]) {
    let apply = |first: f64| {
        let leaf = tensor(&[first, inside, inside, inside], [2, 2]).autodiff().require_grad();
        let (z, log_det) = layer.forward(leaf.clone(), None);
        let gradients = (z.clone().sum() + log_det.clone().sum()).backward();
        (host(z), host(log_det), host(leaf.grad(&gradients).unwrap()))
    };
    let (z, log_det, gradient) = apply(inside);
    for value in outside {
        let (found_z, found_log_det, found_gradient) = apply(*value);
        assert!(found_z[0].is_finite(), "{value}: {found_z:?}");
        assert_eq!(found_z[1..], z[1..], "{value}");
        assert_eq!(found_log_det, [f64::NEG_INFINITY, log_det[1]], "{value}");
        assert_eq!(found_gradient[0], 0.0, "{value}");
        assert_eq!(found_gradient[1..], gradient[1..], "{value}");
    }
    let (found_z, found_log_det, _) = apply(f64::NAN);
    assert!(found_z[0].is_nan() && found_log_det[0].is_nan());
    assert_eq!((&found_z[1..], found_log_det[1]), (&z[1..], log_det[1]));
}

#[test]
fn values_outside_a_domain_have_density_zero() {
    guards(Logit::new(0.0).unwrap(), 0.3, &[0.0, 1.0, -1e-300, 1.0 + 1e-15, -5.0, 1e300]);
    guards(Logit::new(0.05).unwrap(), 1.0, &[-0.05 / 0.9, 0.95 / 0.9, -0.06, 1.06, 7.0]);
    guards(Inverse::new(Exp {}), 2.0, &[0.0, -0.0, -1e-300, -3.0]);
    guards(Inverse::new(Softplus {}), 2.0, &[0.0, -1e-300, -3.0]);
    guards(Inverse::new(Tanh {}), 0.3, &[1.0, -1.0, 1.5, -1e300]);
}

/// In f32 `alpha` and `1 - alpha` are rounded differently. Both logarithms are still finite for
/// every value inside.
#[test]
fn logit_is_finite_around_its_ends_for_every_alpha_in_f32() {
    for alpha in (1..2000).map(|k| f64::from(k) / 4001.0) {
        let ends = [-alpha, 1.0 - alpha].map(|end| (end / (1.0 - 2.0 * alpha)) as f32);
        let around = ends.map(|end| [end.next_down(), end, end.next_up()]).concat();
        let x = TensorData::new(around, [6, 1]);
        let x = Tensor::<2>::from_data(x, (&*DEVICE, DType::F32));
        let (z, log_det) = Logit::new(alpha).unwrap().forward(x, None);
        assert!(host(z).iter().all(|z| z.is_finite()), "alpha {alpha}");
        let log_det = host(log_det);
        assert!(log_det.iter().all(|v| !v.is_nan() && *v < f64::INFINITY), "{alpha}: {log_det:?}");
    }
}
