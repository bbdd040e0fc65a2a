//! Independent groups of columns.

use std::f64::consts::PI;

use burn_flows::bijector::{ActNorm, ActNormConfig, Coupling};
use burn_flows::conditioner::Mlp;
use burn_flows::distribution::*;
use burn_flows::univariate::{RationalQuadratic, RationalQuadraticConfig, SplineDomain};

use super::*;

fn circle() -> Uniform<2> {
    let high = tensor(&[PI], [1, 1]);
    Uniform::new(high.clone().neg(), high).unwrap()
}

fn line(n: usize) -> StandardNormal<2> {
    StandardNormal::new([n], &device())
}

type Spline = Coupling<RationalQuadratic, Mlp>;

/// Splines of an angle (column 0) given a length, and of the length given the angle, with moved weights.
fn on_a_cylinder<P: Distribution<2>>(base: P) -> Flow<Vec<Spline>, P> {
    let layer = |kept: usize, domain| {
        let spline = RationalQuadraticConfig::new().with_bins(5).with_domain(domain).init();
        let config = CouplingConfig::new(2).with_mask(Mask::Kept(vec![kept])).with_mlp(mlp());
        config.with_seed(kept as u64).init(spline, &device())
    };
    let angle = || layer(1, SplineDomain::Circular { bound: PI });
    let length = || layer(0, SplineDomain::LinearTails { bound: 4.0 });
    moved(Flow::new(vec![angle(), length(), angle()], base), 5)
}

fn cylinder_base() -> Product<Uniform<2>, StandardNormal<2>> {
    Product::new(&Mask::Kept(vec![0]), 2, circle(), line(1), &device()).unwrap()
}

/// The integral over the circle and the line.
fn integral(density: &impl Distribution<2>) -> f64 {
    let ((angles, width), (lengths, step)) = (midpoints(-PI, PI, 600), midpoints(-9.0, 9.0, 600));
    let points: Vec<f64> =
        angles.iter().flat_map(|a| lengths.iter().flat_map(move |l| [*a, *l])).collect();
    let x = tensor(&points, [360_000, 2]);
    sum_exp(&host(density.log_prob_batched(x, None, 8192))) * width * step
}

#[test]
fn a_flow_on_a_cylinder_is_a_density_there() {
    let flow = on_a_cylinder(cylinder_base());
    let found = integral(&flow);
    assert!((found - 1.0).abs() < 1e-4, "{found}");
    let x = flow.sample_seeded::<2>(50_000, 1);
    assert!(x.clone().narrow(1, 0, 1).abs().max().into_scalar::<f64>() <= PI);
    assert!(host(flow.log_prob(x)).iter().all(|l| l.is_finite()));
    // A normal base has 0.17 % of its mass outside the circle.
    let normal = on_a_cylinder(line(2));
    assert!(integral(&normal) < 0.9995);
    let x = normal.sample_seeded::<2>(50_000, 1);
    assert!(x.narrow(1, 0, 1).abs().max().into_scalar::<f64>() > PI);
}

/// Three groups with columns out of order: the log-density is the sum of the parts at their own columns.
#[test]
fn groups_take_their_own_columns() {
    let at = |mean: &[f64]| {
        let mean = tensor(mean, [1, mean.len()]);
        DiagNormal::fixed(mean.clone(), mean.ones_like() * 0.5).unwrap()
    };
    // Columns 1 and 3, then columns 0 and 2 split into column 2 and column 0.
    let inner = Product::new(&Mask::Kept(vec![1]), 2, at(&[20.0]), at(&[0.0]), &device()).unwrap();
    let all =
        Product::new(&Mask::Kept(vec![3, 1]), 4, at(&[10.0, 30.0]), inner, &device()).unwrap();
    let x = tensor(&[0.5, 10.0, 19.0, 30.5], [1, 4]);
    let whole = at(&[0.0, 10.0, 20.0, 30.0]);
    let (found, expected) = (log_probs(&all, &x, None)[0], log_probs(&whole, &x, None)[0]);
    assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    let mean = host(draws(&all, 4000, None).mean_dim(0));
    for (mean, expected) in mean.iter().zip([0.0, 10.0, 20.0, 30.0]) {
        assert!((mean - expected).abs() < 0.05, "{mean:?}");
    }
    assert_eq!(draws(&all, 0, None).dims(), [0, 4]);
    assert_eq!(all.log_prob(Tensor::zeros([0, 4], &device()), None).dims(), [0]);
}

#[test]
fn both_groups_receive_the_context_and_learn() {
    let given = |n, seed| {
        let config = ConditionalNormalConfig::new(vec![n], 2, mlp()).with_seed(seed);
        moved(config.init::<2>(&device()), seed)
    };
    let both = Product::new(&Mask::Halves, 3, given(1, 1), given(2, 2), &device()).unwrap();
    let mut noise = Noise::seeded(3);
    let (x, c): (Tensor<2>, Tensor<2>) =
        (noise.normal([40, 3], &device()), noise.normal([40, 2], &device()));
    let first = log_probs(both.first(), &x.clone().narrow(1, 0, 1), Some(&c));
    let second = log_probs(both.second(), &x.clone().narrow(1, 1, 2), Some(&c));
    for ((found, first), second) in log_probs(&both, &x, Some(&c)).iter().zip(first).zip(second) {
        assert!((found - first - second).abs() < 1e-12);
    }
    assert_eq!(assert_all_learn(&both, &x, Some(&c)), 8);
    let drawn = draws(&both, 40, Some(&c));
    assert_ne!(host(drawn), host(draws(&both, 40, Some(&(c.clone() + 1.0)))));
    let opened = reopened(&both);
    assert_eq!(log_probs(&opened, &x, Some(&c)), log_probs(&both, &x, Some(&c)));
}

type Started = Flow<ActNorm, StandardNormal<2>>;

fn started(n: usize) -> Started {
    Flow::new(ActNormConfig::new(n).init(&device()), line(n))
}

/// Every group is initialised from its own columns, and a failing layer is found in its group.
#[test]
fn parts_are_initialised_and_searched() {
    let product = Product::new(&Mask::Kept(vec![1]), 3, started(1), started(2), &device()).unwrap();
    let means = tensor(&[5.0, -40.0, 300.0], [1, 3]);
    let x = Noise::seeded(1).normal::<2>([500, 3], &device()) + means;
    let product = product.init_from_data(x.clone(), None);
    let z = product.first().encode(x.clone().narrow(1, 1, 1));
    assert!(z.mean().into_scalar::<f64>().abs() < 1e-10);
    let others = Tensor::cat(vec![x.clone().narrow(1, 0, 1), x.clone().narrow(1, 2, 1)], 1);
    let z = product.second().encode(others);
    assert!(host(z.mean_dim(0)).iter().all(|mean| mean.abs() < 1e-10));

    assert_eq!(product.first_non_finite(x.clone(), None), None);
    let broken = x.slice_assign([0..1, 2..3], tensor(&[f64::INFINITY], [1, 1]));
    let found = product.first_non_finite(broken, None).unwrap();
    assert!(found.starts_with("second.bijector (ActNorm)"), "{found}");
    let certificate = burn_flows::testing::certify(&product, &draws(&product, 50, None), None);
    let paths: Vec<_> = certificate.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["first.bijector", "second.bijector"]);
    assert!(certificate.wrong().is_none(), "{certificate}");
}

#[test]
fn wrong_groups_are_refused() {
    let new = |kept: &[usize]| {
        text(Product::new(&Mask::Kept(kept.to_vec()), 3, line(1), line(2), &device()))
    };
    assert_eq!(new(&[1, 1]), "Product.mask: must list each kept index once, found [1, 1]");
    assert_eq!(new(&[3]), "Product.mask: must keep indices below 3, found 3");
    assert_eq!(new(&[]), "Product.mask: must keep at least 1 index of event [3], found 0");
    assert_eq!(new(&[0, 1, 2]), "Product.mask: must move at least 1 index of event [3], found 0");
}

#[test]
#[should_panic(expected = "Product: expected shape [batch, 3], found [5, 4]")]
fn another_width_is_a_panic() {
    let product = Product::new(&Mask::Kept(vec![0]), 3, line(1), line(2), &device()).unwrap();
    let _ = product.log_prob(Tensor::zeros([5, 4], &device()), None);
}

/// Parts without parameters draw in the precision of the parts with parameters.
#[test]
fn draws_have_one_precision() {
    let base = burn_flows::cast(cylinder_base(), DType::F32);
    assert_eq!(draws(&base, 3, None).dtype(), DType::F32);
}
