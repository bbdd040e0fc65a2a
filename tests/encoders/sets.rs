//! Sets: order, masks and sizes.

use burn_flows::testing::moved;

use super::*;

/// Rows of three elements, each of two values and a mask.
fn row(elements: [[f64; 3]; 3]) -> Tensor<2> {
    Tensor::<1>::from_data(elements.concat().as_slice(), &device()).reshape([1, 9])
}

const A: [f64; 3] = [0.5, -2.0, 1.0];
const B: [f64; 3] = [1.5, 0.25, 1.0];
const C: [f64; 3] = [-0.75, 3.0, 1.0];
const NONE: [f64; 3] = [0.0, 0.0, 0.0];

fn encoder() -> SetEncoder {
    moved(set(), 3).valid()
}

fn distance(a: Tensor<2>, b: Tensor<2>) -> f64 {
    let encoder = encoder();
    (encoder.encode(a) - encoder.encode(b)).abs().max().into_scalar::<f64>()
}

#[test]
fn the_order_has_no_effect_but_the_elements_do() {
    for order in [[B, C, A], [C, B, A], [A, C, B]] {
        assert!(distance(row([A, B, C]), row(order)) < 1e-6);
    }
    assert!(distance(row([A, NONE, C]), row([C, A, NONE])) < 1e-6);
    assert!(distance(row([A, B, C]), row([A, B, B])) > 1e-2);
    // The values of an element belong together.
    let swapped = [[A[0], B[1], 1.0], [B[0], A[1], 1.0], C];
    assert!(distance(row([A, B, C]), row(swapped)) > 1e-4);
}

#[test]
fn an_absent_element_changes_no_bit() {
    let encoder = encoder();
    let expected = host(encoder.encode(row([A, NONE, C])));
    for value in [1.0, -7.5, 1e30, -3e38, 1e-40] {
        let found = host(encoder.encode(row([A, [value, -value, 0.0], C])));
        assert_eq!(found, expected, "{value}");
    }
    assert!(distance(row([A, NONE, C]), row([A, B, C])) > 1e-2);
}

/// Two copies of a set have the mean of one copy, and another share.
#[test]
fn the_size_of_a_set_is_known() {
    assert!(distance(row([A, NONE, NONE]), row([A, A, NONE])) > 1e-3);
    // Without a mask, the mean alone is known.
    let plain = SetEncoderConfig::new(2, 1, 3).with_seed(1).init(&device());
    assert_eq!(plain.encode(Tensor::ones([1, 2], &device())).dims(), [1, 3]);
}

#[test]
fn an_empty_set_is_finite_and_has_finite_gradients() {
    let encoder = moved(set(), 3);
    let empty = row([NONE, [1e30, 2.0, 0.0], NONE]).autodiff().require_grad();
    let features = encoder.encode(Tensor::cat(vec![empty.clone(), row([A, B, C]).autodiff()], 0));
    assert!(host(features.clone()).iter().all(|v| v.is_finite()));
    let gradients = features.sum().backward();
    assert!(host(empty.grad(&gradients).unwrap()).iter().all(|v| *v == 0.0));
    struct Finite<'a>(&'a burn::tensor::Gradients);
    impl ModuleVisitor for Finite<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            assert!(host(param.val().grad(self.0).unwrap()).iter().all(|v| v.is_finite()));
        }
    }
    encoder.visit(&mut Finite(&gradients));
}

/// The scale comes from present elements: values of absent elements do not move it.
#[test]
fn statistics_come_from_present_elements() {
    let present = normal(300, 3, 5).reshape([100, 9]);
    let mask = Tensor::<1>::from_data([1.0, 1.0, 0.0], &device()).reshape([1, 3, 1]);
    let batch = |absent: f64| {
        let values = present.clone().reshape([100, 3, 3]).narrow(2, 0, 2);
        let mask = mask.clone().expand([100, 3, 1]);
        let filled = values.clone() * mask.clone() + (mask.clone() * -1.0 + 1.0) * absent;
        Tensor::cat(vec![filled, mask], 2).reshape([100, 9])
    };
    let features = |absent| {
        let batch = batch(absent);
        host(set().init_from_data(batch.clone()).encode(batch))
    };
    assert_eq!(features(0.0), features(1e6));
    // A first batch without any present element leaves the scale for the next batch.
    let none = Tensor::<2>::zeros([4, 9], &device());
    let late = set().init_from_data(none).init_from_data(batch(0.0));
    assert_eq!(host(late.encode(batch(0.0))), features(0.0));
}
