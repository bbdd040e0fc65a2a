//! The networks of encoders: formulas, bits, gradients, precision, and the scale of the first batch.

use burn::module::ModuleMapper;
use burn::tensor::Int;
use burn_flows::cast;
use burn_flows::testing::moved;

use super::*;

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// `x W + b` from the next two parameters.
fn linear(x: &[f64], weights: &mut impl Iterator<Item = (Vec<usize>, Vec<f64>)>) -> Vec<f64> {
    let ((shape, weight), (_, bias)) = (weights.next().unwrap(), weights.next().unwrap());
    assert_eq!(shape[0], x.len());
    let outputs = shape[1];
    let sum =
        |to| x.iter().enumerate().map(|(from, x)| x * weight[from * outputs + to]).sum::<f64>();
    (0..outputs).map(|to| bias[to] + sum(to)).collect()
}

/// A dense network with one hidden layer.
fn dense(x: &[f64], weights: &mut impl Iterator<Item = (Vec<usize>, Vec<f64>)>) -> Vec<f64> {
    let hidden: Vec<f64> = linear(x, weights).into_iter().map(silu).collect();
    linear(&hidden, weights)
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }
}

/// The series encoder against loops over its formula.
#[test]
fn a_series_is_convolved() {
    for (kernel, stride) in [(3, 2), (5, 1), (1, 1), (5, 3), (3, 3)] {
        let config = SeriesEncoderConfig::new(2, 7, 3).with_convolutions(vec![4, 5]);
        let config = config.with_kernel(kernel).with_stride(stride).with_hidden(vec![6]);
        let encoder = moved(cast(config.with_seed(3).init(&device()), DType::F64), 1).valid();
        let context = contexts(1, 14).cast(DType::F64);
        let found = host(encoder.encode(context.clone()));
        let mut weights = weights(&encoder).into_iter();
        let flat = host(context);
        let mut h: Vec<Vec<f64>> = flat.chunks(7).map(<[f64]>::to_vec).collect();
        for _ in 0..2 {
            // Rows of the weight are (offset in the window, channel).
            let ((shape, weight), (_, bias)) = (weights.next().unwrap(), weights.next().unwrap());
            let (channels, outputs) = (h.len(), shape[1]);
            assert_eq!(shape[0], kernel * channels);
            let steps = h[0].len() as isize;
            let value = |o: usize, t: isize| {
                let mut sum = bias[o];
                for j in 0..kernel {
                    let at = stride as isize * t + j as isize - (kernel as isize - 1) / 2;
                    for (i, channel) in h.iter().enumerate() {
                        let inside = (0..steps).contains(&at);
                        let x = if inside { channel[at as usize] } else { 0.0 };
                        sum += weight[(j * channels + i) * outputs + o] * x;
                    }
                }
                silu(sum)
            };
            let length = (steps as usize).div_ceil(stride) as isize;
            h = (0..outputs).map(|o| (0..length).map(|t| value(o, t)).collect()).collect();
        }
        // The dense network sees all channels of the first step, then those of the second.
        let steps = h[0].len();
        let flat: Vec<f64> = (0..steps).flat_map(|t| h.iter().map(move |c| c[t])).collect();
        assert_near(&found, &dense(&flat, &mut weights));
    }
}

/// The image encoder against loops over its formula, with odd and even sides.
#[test]
fn an_image_is_convolved_and_pooled() {
    for [height, width] in [[5, 3], [4, 4], [1, 2], [6, 1]] {
        let config = ImageEncoderConfig::new([2, height, width], 3).with_convolutions(vec![4, 5]);
        let config = config.with_hidden(vec![6]).with_seed(3);
        let encoder = moved(cast(config.init(&device()), DType::F64), 1).valid();
        let context = contexts(1, 2 * height * width).cast(DType::F64);
        let found = host(encoder.encode(context.clone()));
        let mut weights = weights(&encoder).into_iter();
        let (mut h, mut channels) = (host(context), 2);
        let [mut height, mut width] = [height, width];
        for _ in 0..2 {
            let ((shape, weight), (_, bias)) = (weights.next().unwrap(), weights.next().unwrap());
            assert_eq!(shape, [shape[0], channels, 3, 3]);
            let value = |o: usize, y: usize, x: usize| {
                let mut sum = bias[o];
                for i in 0..channels {
                    for (dy, dx) in (0..9).map(|k| (k / 3, k % 3)) {
                        let (y, x) = (y + dy, x + dx);
                        if (1..=height).contains(&y) && (1..=width).contains(&x) {
                            let pixel = h[(i * height + y - 1) * width + x - 1];
                            sum += weight[(o * channels + i) * 9 + dy * 3 + dx] * pixel;
                        }
                    }
                }
                silu(sum)
            };
            let mut pooled = vec![];
            for o in 0..shape[0] {
                for (y, x) in (0..height.div_ceil(2) * width.div_ceil(2))
                    .map(|k| (k / width.div_ceil(2) * 2, k % width.div_ceil(2) * 2))
                {
                    let cells = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)];
                    let cells = cells.into_iter().filter(|(y, x)| *y < height && *x < width);
                    let values: Vec<f64> = cells.map(|(y, x)| value(o, y, x)).collect();
                    pooled.push(values.iter().sum::<f64>() / values.len() as f64);
                }
            }
            (h, channels) = (pooled, shape[0]);
            [height, width] = [height.div_ceil(2), width.div_ceil(2)];
        }
        assert_near(&found, &dense(&h, &mut weights));
    }
}

/// The set encoder against loops over its formula.
#[test]
fn a_set_is_pooled() {
    let encoder = moved(cast(set(), DType::F64), 1).valid();
    let context = double(&[0.5, 2.0, 1.0, 7.0, 7.0, 0.0, -1.0, 0.3, 1.0], [1, 9]);
    let found = host(encoder.encode(context));
    let weights = weights(&encoder);
    let element = |x: &[f64]| dense(x, &mut weights[..4].iter().cloned());
    let (first, last) = (element(&[0.5, 2.0]), element(&[-1.0, 0.3]));
    let mut pooled: Vec<f64> = first.iter().zip(last).map(|(a, b)| (a + b) / 2.0).collect();
    pooled.push(2.0 / 3.0);
    assert_near(&found, &dense(&pooled, &mut weights[4..].iter().cloned()));
}

/// A row has the same bits alone and in a batch, in both precisions, also in training.
#[test]
fn rows_do_not_depend_on_their_batch() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let (encoder, all) = (moved(encoder, 1), contexts(70, width));
        assert!(!encoder.mixes_rows());
        for dtype in [DType::F32, DType::F64] {
            for encoder in [cast(encoder.clone(), dtype), cast(encoder.clone(), dtype).valid()] {
                let all = all.clone().cast(dtype);
                let whole = host(encoder.encode(all.clone()));
                assert_eq!(encoder.encode(all.clone()).dtype(), dtype);
                for row in [0, 1, 33, 69] {
                    let alone = host(encoder.encode(all.clone().narrow(0, row, 1)));
                    assert_eq!(alone, whole[row * 3..][..3], "row {row}");
                }
                let block = host(encoder.encode(all.clone().narrow(0, 5, 37)));
                assert_eq!(block, whole[5 * 3..][..37 * 3]);
            }
        }
    }
    each_encoder!(check);
}

/// Features in f32 equal those in f64 up to rounding.
#[test]
fn single_precision_is_near_to_double() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let (encoder, all) = (moved(encoder, 1).valid(), contexts(20, width));
        let exact = cast(encoder.clone(), DType::F64).encode(all.clone().cast(DType::F64));
        let error = (encoder.encode(all).cast(DType::F64) - exact).abs().max().into_scalar::<f64>();
        assert!(error < 1e-5, "{error}");
    }
    each_encoder!(check);
}

#[test]
fn every_parameter_and_the_context_get_a_gradient() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        struct Reached<'a>(&'a burn::tensor::Gradients, usize);
        impl ModuleVisitor for Reached<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = param.val().grad(self.0).expect("a gradient").abs();
                assert!(gradient.clone().is_finite().all().into_scalar::<u8>() != 0);
                assert!(gradient.max().into_scalar::<f64>() > 1e-9);
                self.1 += 1;
            }
        }
        let all = contexts(20, width).autodiff().require_grad();
        // At the weights of a new encoder, and at moved weights.
        for encoder in [encoder.clone().train(), moved(encoder, 1)] {
            let loss = (encoder.encode(all.clone()) * normal(20, 3, 9).autodiff()).sum();
            let gradients = loss.backward();
            let mut reached = Reached(&gradients, 0);
            encoder.visit(&mut reached);
            assert!(reached.1 >= 4);
            let gradient = all.grad(&gradients).unwrap().abs().max().into_scalar::<f64>();
            assert!(gradient > 1e-9, "{gradient}");
        }
    }
    each_encoder!(check);
}

/// Gradients of pooling, windows and masks, against finite differences.
#[test]
fn gradients_are_those_of_the_features() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let encoder = moved(cast(encoder, DType::F64), 1);
        let x = contexts(2, width).cast(DType::F64).autodiff().require_grad();
        let gradients = encoder.encode(x.clone()).powi_scalar(2).sum().backward();
        let found = host(x.grad(&gradients).unwrap());
        let (plain, values) = (encoder.valid(), host(x));
        let loss =
            |values: &[f64]| host(plain.encode(double(values, [2, width])).powi_scalar(2).sum())[0];
        for at in 0..2 * width {
            let mut near = values.clone();
            let step = 1e-6;
            near[at] += step;
            let above = loss(&near);
            near[at] -= 2.0 * step;
            let slope = (above - loss(&near)) / (2.0 * step);
            assert!((found[at] - slope).abs() < 1e-6, "{at}: {} {slope}", found[at]);
        }
    }
    each_encoder!(check);
}

/// The first batch sets the scale: contexts in other units give the features of standard contexts.
#[test]
fn a_first_batch_sets_the_scale_once() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let standard = contexts(200, width);
        // A mask keeps its column.
        let masked = width == 9;
        let large = standard.clone() * 4096.0 + 65536.0;
        let large = match masked {
            true => {
                let mask = standard.clone().reshape([600, 3]).narrow(1, 2, 1);
                let values = large.reshape([600, 3]).narrow(1, 0, 2);
                Tensor::cat(vec![values, mask], 1).reshape([200, 9])
            }
            false => large,
        };
        let features = |encoder: &E, c: &Tensor<2>| encoder.encode(c.clone());
        let started = encoder.clone().init_from_data(large.clone());
        let expected = features(&encoder.clone().init_from_data(standard.clone()), &standard);
        let found = features(&started, &large);
        let difference = (found.clone() - expected).abs().max().into_scalar::<f64>();
        assert!(difference < 0.02, "{difference}");
        let raw = features(&encoder, &large).abs().max().into_scalar::<f64>();
        assert!(raw > 100.0, "{raw}");
        // A second batch changes nothing.
        let again = started.clone().init_from_data(standard);
        assert_eq!(features(&again, &large).into_data(), found.into_data());
        // Nor does training state matter.
        let trained = encoder.train().init_from_data(large.clone()).valid();
        assert_eq!(features(&trained, &large).into_data(), features(&started, &large).into_data());
    }
    check(crate::mlp(), 6);
    check(crate::set(), 9);
    check(crate::series(), 14);
    check(crate::image(), 30);
}

/// A constant column, channel or element is harmless.
#[test]
fn constant_contexts_have_finite_features() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let same = Tensor::<2>::ones([5, width], &device()) * 3e4;
        let started = encoder.init_from_data(same.clone());
        let features = host(started.encode(same));
        assert!(features.iter().all(|v| v.abs() < 10.0), "{features:?}");
    }
    each_encoder!(check);
}

/// Channels have scales of their own, from all steps and pixels.
#[test]
fn channels_are_standardised_separately() {
    let c = |scale: [f64; 2], count: usize| {
        let rows = normal(50, 2 * count, 3).reshape([50, 2, count]);
        let scale = Tensor::<1>::from_data(scale, &device()).reshape([1, 2, 1]);
        (rows * scale).reshape([50, 2 * count])
    };
    fn same<E: Encoder>(encoder: E, [unequal, equal]: [Tensor<2>; 2]) {
        let features = |c: Tensor<2>| encoder.clone().init_from_data(c.clone()).encode(c);
        let difference = (features(unequal) - features(equal)).abs().max().into_scalar::<f64>();
        assert!(difference < 1e-5, "{difference}");
    }
    same(series(), [c([1024.0, 0.125], 7), c([1.0, 1.0], 7)]);
    same(image(), [c([1024.0, 0.125], 15), c([1.0, 1.0], 15)]);
}

/// A dropout acts in training only.
#[test]
fn dropout_acts_in_training_only() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let trained = encoder.train();
        let c = contexts(20, width);
        let draw = |e: &E| e.encode(c.clone().autodiff()).into_data();
        assert_ne!(draw(&trained), draw(&trained));
        let plain = trained.valid();
        assert_eq!(plain.encode(c.clone()).into_data(), plain.encode(c.clone()).into_data());
    }
    check(MlpEncoderConfig::new(6, 3).with_dropout(0.5).init(&device()), 6);
    check(SetEncoderConfig::new(3, 2, 3).with_dropout(0.5).init(&device()), 6);
    check(SeriesEncoderConfig::new(2, 7, 3).with_dropout(0.5).init(&device()), 14);
    check(ImageEncoderConfig::new([2, 3, 3], 3).with_dropout(0.5).init(&device()), 18);
}

/// Integers of the scale are neither trained nor cast.
#[test]
fn the_scale_stays_in_a_cast() {
    struct Count(usize);
    impl ModuleMapper for Count {
        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            self.0 += 1;
            param
        }
    }
    let large = contexts(50, 6) * 1000.0 + 1e6;
    let started = mlp().init_from_data(large.clone());
    let mut count = Count(0);
    let twice = cast(cast(started.clone(), DType::F64), DType::F32).map(&mut count);
    assert_eq!(count.0, 2);
    assert_eq!(twice.encode(large.clone()).into_data(), started.encode(large).into_data());
}
