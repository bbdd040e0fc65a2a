//! Bounds per element: formulas, edges, samples, messages.

use burn_flows::bijector::{Bound, Bounded};

use super::*;

fn layer(bounds: &[Bound]) -> Bounded {
    Bounded::new(bounds.to_vec()).unwrap()
}

const EACH: [Bound; 4] =
    [Bound::Free, Bound::Above(2.0), Bound::Below(-1.0), Bound::Between(-3.0, 5.0)];

#[test]
fn the_maps_are_the_stated_ones() {
    let e = std::f64::consts::E;
    let (z, log_det) = layer(&EACH).forward(tensor(&[7.0, 2.0 + e, -1.0 - e, 3.0], [1, 4]), None);
    let expected = [7.0, 1.0, -1.0, 3f64.ln()];
    host(z.clone()).iter().zip(expected).for_each(|(z, e)| assert!((z - e).abs() < 1e-14));
    // -1 above, -1 below, and ln 8 - ln 6 - ln 2 between.
    assert!((host(log_det)[0] + 2.0 - (8f64 / 12.0).ln()).abs() < 1e-14);
    let (x, log_det) = layer(&EACH).inverse_with_log_det(z, None);
    let expected = [7.0, 2.0 + e, -1.0 - e, 3.0];
    host(x).iter().zip(expected).for_each(|(x, e)| assert!((x - e).abs() < 1e-14, "{x} {e}"));
    assert!((host(log_det)[0] - 2.0 + (8f64 / 12.0).ln()).abs() < 1e-14);
}

/// An end counts as the nearest number inside. Beyond it, the density is zero.
#[test]
fn edges() {
    let up = |v: f64, dtype| match dtype {
        DType::F32 => f64::from((v as f32).next_up()),
        _ => v.next_up(),
    };
    for dtype in [DType::F32, DType::F64] {
        let least = dtype.finfo().unwrap().min_positive;
        for (bound, end, inside) in [
            (Bound::Above(2.0), 2.0, up(2.0, dtype)),
            (Bound::Above(0.0), 0.0, least),
            (Bound::Above(-4.0), -4.0, up(-4.0, dtype)),
            (Bound::Below(0.0), 0.0, -least),
            (Bound::Below(3.0), 3.0, -up(-3.0, dtype)),
            (Bound::Between(0.0, 1.0), 1.0, -up(-1.0, dtype)),
            (Bound::Between(1e6, 1e6 + 1.0), 1e6, up(1e6, dtype)),
        ] {
            let layer = layer(&[bound]);
            let at = |v: f64| {
                let x = of(&[v], [1, 1], dtype).autodiff().require_grad();
                let (z, log_det) = layer.forward(x.clone(), None);
                let gradients = (z.clone().sum() * 2.0 + log_det.clone().sum()).backward();
                (host(z)[0], host(log_det)[0], host(x.grad(&gradients).unwrap())[0])
            };
            let (z, log_det, gradient) = at(end);
            assert!(z.is_finite() && log_det.is_finite() && gradient == 0.0, "{bound:?} {dtype:?}");
            assert_eq!((z, log_det), (at(inside).0, at(inside).1), "{bound:?} {dtype:?}");
            assert!(at(inside).2.is_finite() && at(inside).2 != 0.0);
            let side = if matches!(bound, Bound::Below(_)) || end == 1.0 { 1.0 } else { -1.0 };
            for outside in [end + side * end.abs().max(1.0), side * 1e30, side * f64::INFINITY] {
                let (z, log_det, gradient) = at(outside);
                assert!(
                    z.is_finite() && gradient == 0.0,
                    "{outside} for {bound:?}: {z} {gradient}"
                );
                assert_eq!(log_det, f64::NEG_INFINITY, "{outside} for {bound:?}");
            }
            assert!(at(f64::NAN).0.is_nan() && at(f64::NAN).1.is_nan());
            // The other infinity of a half line is outside as well.
            let (z, log_det, _) = at(-side * f64::INFINITY);
            assert!(z.is_finite() && log_det == f64::NEG_INFINITY, "{bound:?}: {z} {log_det}");
        }
    }
}

/// Whatever the latent, the inverse is finite and strictly inside.
#[test]
fn samples_stay_inside() {
    let inf = f64::INFINITY;
    let latents = [0.0, 1e-30, 17.0, 40.0, 88.8, 104.0, 700.0, 711.0, 1e4, 1e30, 1e300, inf];
    let latents: Vec<f64> = latents.iter().flat_map(|z| [*z, -*z]).collect();
    let bounds = [
        (Bound::Above(1e6), 1e6, inf),
        (Bound::Above(0.0), 0.0, inf),
        (Bound::Below(-1.0), -inf, -1.0),
        (Bound::Between(0.0, 1.0), 0.0, 1.0),
        (Bound::Between(1e6, 1e6 + 1.0), 1e6, 1e6 + 1.0),
        (Bound::Between(-0.5, 0.0), -0.5, 0.0),
    ];
    for dtype in [DType::F32, DType::F64] {
        for (bound, low, high) in bounds {
            let z = of(&latents, [latents.len(), 1], dtype).autodiff().require_grad();
            let (x, log_det) = layer(&[bound]).inverse_with_log_det(z.clone(), None);
            assert!(host(log_det).iter().all(|v| !v.is_nan()));
            let slopes = host(z.grad(&x.clone().sum().backward()).unwrap());
            assert!(slopes.iter().all(|slope| slope.is_finite() && *slope >= 0.0), "{slopes:?}");
            for (z, x) in latents.iter().zip(host(x)) {
                assert!(low < x && x < high && x.is_finite(), "{bound:?} {dtype:?}: {z} gives {x}");
            }
        }
        let nan = layer(&[Bound::Above(0.0)]).inverse(of(&[f64::NAN], [1, 1], dtype), None);
        assert!(host(nan)[0].is_nan());
    }
}

/// Every f32 number inside [1e6, 1e6 + 1] comes back.
#[test]
fn large_magnitudes_keep_their_digits() {
    let numbers: Vec<f64> = (1..16).map(|k| 1e6 + k as f64 / 16.0).collect();
    let x = of(&numbers, [15, 1], DType::F32);
    let layer = layer(&[Bound::Between(1e6, 1e6 + 1.0)]);
    let (z, log_det) = layer.forward(x.clone(), None);
    let middle = host(z.clone())[7];
    assert!(middle.abs() < 1e-7, "{middle}");
    for ((z, log_det), k) in host(z.clone()).into_iter().zip(host(log_det)).zip(1..16) {
        let share = k as f64 / 16.0;
        assert!((z - (share / (1.0 - share)).ln()).abs() < 1e-6, "{share}: {z}");
        assert!((log_det + (share * (1.0 - share)).ln()).abs() < 1e-6, "{share}: {log_det}");
    }
    assert_eq!(host(layer.inverse(z, None)), numbers);
}

#[test]
fn constructors_and_checks_name_the_place() {
    let new = |bounds: &[Bound]| text(Bounded::new(bounds.to_vec()));
    assert_eq!(new(&[]), "Bounded.bounds: must be at least 1, found 0");
    let finite = "needs finite ends up to 3.4e38, found";
    assert_eq!(
        new(&[Bound::Free, Bound::Above(f64::NAN)]),
        format!("Bounded.bounds: element 1 {finite} Above(NaN)")
    );
    assert_eq!(
        new(&[Bound::Below(f64::INFINITY)]),
        format!("Bounded.bounds: element 0 {finite} Below(inf)")
    );
    assert_eq!(
        new(&[Bound::Above(1e300)]),
        format!("Bounded.bounds: element 0 {finite} Above(1e300)")
    );
    assert_eq!(
        new(&[Bound::Between(2.0, 1.0)]),
        "Bounded.bounds: element 0 needs low < high, found Between(2.0, 1.0)"
    );
    assert_eq!(
        new(&[Bound::Between(-3e38, 3e38)]),
        "Bounded.bounds: element 0 needs a width up to 3.4e38, found Between(-3e38, 3e38)"
    );

    let layer = layer(&EACH);
    let inside = [0.0, 3.0, -2.0, 1.0];
    let with = |at: usize, value: f64| {
        let mut rows = inside.repeat(3);
        rows[at] = value;
        layer.check(&tensor(&rows, [3, 4]))
    };
    for (at, value) in [(0, 1e300), (5, 2.0), (6, -1.0), (3, 5.0), (11, -3.0)] {
        assert!(with(at, value).is_ok(), "{at} {value}");
    }
    let found = |at, value| text(with(at, value));
    assert_eq!(found(5, 1.5), "Bounded: row 1, column 1 holds 1.5, expected Above(2.0)");
    assert_eq!(found(11, 6.0), "Bounded: row 2, column 3 holds 6, expected Between(-3.0, 5.0)");
    assert_eq!(found(0, f64::NAN), "Bounded: row 0, column 0 holds NaN, expected Free");
    assert_eq!(found(5, f64::INFINITY), "Bounded: row 1, column 1 holds inf, expected Above(2.0)");
    assert_eq!(
        text(layer.check(&tensor(&[0.0; 6], [2, 3]))),
        "Bounded: expected an event of 4 elements, found shape [2, 3]"
    );
}

/// An interval without a number of the batch's precision.
#[test]
fn an_interval_that_a_precision_cannot_hold_is_refused() {
    let layer = layer(&[Bound::Between(1e9, 1e9 + 1.0)]);
    let x = |dtype| of(&[1e9 + 0.5], [1, 1], dtype);
    assert!(layer.check(&x(DType::F64)).is_ok());
    let reason = "Bounded.bounds: element 0 needs finite ends and a number between them in F32, found \
                  Between(1000000000.0, 1000000001.0)";
    assert_eq!(text(layer.check(&x(DType::F32))), reason);
    let panic = std::panic::catch_unwind(|| layer.forward(x(DType::F32), None)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), reason);
}

#[test]
fn an_empty_batch_and_an_image() {
    let none = Tensor::<2>::zeros([0, 4], &device());
    assert_eq!(layer(&EACH).forward(none.clone(), None).0.dims(), [0, 4]);
    assert_eq!(layer(&EACH).inverse_with_log_det(none, None).1.dims(), [0]);
    let images = Tensor::<4>::ones([2, 1, 2, 2], &device());
    let layer = layer(&[Bound::Above(0.0), Bound::Above(0.5), Bound::Free, Bound::Free]);
    assert_eq!(host(layer.forward(images, None).0)[..4], [0.0, 0.5f64.ln(), 1.0, 1.0]);
}
