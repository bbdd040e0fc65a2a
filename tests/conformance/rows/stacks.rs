//! Rows of layers that consist of layers.

use burn_flows::bijector::*;
use burn_flows::conditioner::Mlp;
use burn_flows::testing::Suite;
use burn_flows::univariate::Affine;

use crate::layers::*;
use crate::{DEVICE, built};

const LOGIT: f64 = 0.05;

burn_flows::layers! {
    /// Layers with names, one of them of a generic type.
    pub struct Named<B> {
        norm: ActNorm,
        inner: B,
        last: Option<LuLinear>,
    }
}

burn_flows::layers! {
    /// A struct with a single layer.
    struct Single {
        only: Coupling<Affine, Mlp>,
    }
}

burn_flows::layers! {
    /// The type parameters may have any names.
    struct Pair<W, Z> {
        /// The first layer.
        pub first: W,
        second: Z,
    }
}

fn step_of<B>(inner: B) -> Named<B> {
    Named { norm: actnorm(4), inner, last: Some(LuLinearConfig::new(4).init(&DEVICE)) }
}

rows! {
    named: step_of(Single { only: affine(coupling(4, Mask::Halves).with_context(1)) }), Suite::new([4, 4]).with_context(1);
    named_pair: Pair { first: actnorm(3), second: vec![lu(3), lu(3)] }, [4, 3];
    named_inverse: Inverse::new(step_of(vec![batch_norm(4)])), [4, 4];
    partial: Partial::new(&Mask::Kept(vec![1, 3]), &[4], actnorm(2), &DEVICE).unwrap(), [4, 4];
    partial_context: Partial::new(&Mask::Halves, &[5], affine(coupling(3, Mask::Halves).with_context(2)), &DEVICE).unwrap(), Suite::new([3, 5]).with_context(2);
    partial_image: Partial::new(&Mask::Checkerboard, &[1, 2, 3], lu(3), &DEVICE).unwrap(), [3, 1, 2, 3];
    unconditional: Unconditional::new(affine(coupling(4, Mask::Halves))), [3, 4];
    option_some: Some(ActNormConfig::new(2).init(&DEVICE)), [3, 2, 2, 2];
    option_stack: (None::<ActNorm>, Some(LuLinearConfig::new(3).init(&DEVICE))), [3, 3];
    vec_empty: Vec::<ActNorm>::new(), [3, 4];
    vec_couplings: vec![affine(coupling(4, Mask::Halves)), affine(coupling(4, Mask::Halves.flipped()))], Suite::new([3, 4]).with_domain(-9.0, 9.0).with_range(-9.0, 9.0);
    vec_of_vecs: vec![vec![actnorm(3), actnorm(3)], vec![actnorm(3)]], [4, 3];
    tuple_2: (actnorm(4), affine(coupling(4, Mask::Halves).with_context(1))), Suite::new([4, 4]).with_context(1);
    tuple_3: (actnorm(3), lu(3), LeakyRelu::new(0.3).unwrap()), [4, 3];
    tuple_image: (actnorm(2), Permutation::reverse(2, &DEVICE).unwrap(), image(Affine::default(), Mask::Halves, [2, 2, 2], 0)), [3, 2, 2, 2];
    tuple_4: (lu(3), actnorm(3), Permutation::reverse(3, &DEVICE).unwrap(), lu(3)), [4, 3];
    tuple_5: (lu(3), actnorm(3), lu(3), actnorm(3), Permutation::random(3, 1, &DEVICE).unwrap()), [4, 3];
    tuple_6: (Logit::new(LOGIT).unwrap(), actnorm(3), lu(3), actnorm(3), lu(3), actnorm(3)), Suite::new([4, 3]).with_domain(0.0, 1.0).with_range(-2.0, 2.0);
    tuple_7: (actnorm(3), lu(3), actnorm(3), lu(3), actnorm(3), lu(3), Elementwise::new(Affine::default(), 3, &DEVICE).unwrap()), [4, 3];
    tuple_8: (lu(3), actnorm(3), lu(3), LeakyRelu::new(0.5).unwrap(), lu(3), actnorm(3), lu(3), Inverse::new(lu(3))), [4, 3];
    tuple_with_batch_norm: (batch_norm(3), lu(3)), [4, 3];
    inverse_coupling: Inverse::new(affine(coupling(4, Mask::Halves).with_context(2))), Suite::new([3, 4]).with_context(2);
    inverse_actnorm: Inverse::new(actnorm(3)), [4, 3];
    inverse_inverse: Inverse::new(Inverse::new(lu(3))), [4, 3];
    inverse_stack: Inverse::new((lu(3), vec![actnorm(3)])), [4, 3];
    inverse_batch_norm: Inverse::new(batch_norm(3)), [4, 3];
    any_stack: any(r#"{"Stack": [{"ActNorm": {"features": 3}}, {"Reverse": {"features": 3}}, {"LuLinear": {"features": 3}}, {"LeakyRelu": {"slope": 0.5}}, {"Shuffle": {"features": 3, "seed": 2}}]}"#), [4, 3];
    any_nested: any(r#"{"Stack": [{"Inverse": [{"ActNorm": {"features": 3}}, {"LuLinear": {"features": 3}}]}, {"Stack": [{"Permutation": {"order": [1, 2, 0]}}, {"Elementwise": {"univariate": "Additive", "features": 3}}]}]}"#), [4, 3];
    any_bounded: any(r#"{"Stack": [{"Logit": {"alpha": 0.05}}, "Tanh", {"Inverse": ["Tanh"]}, "Softplus", {"Inverse": ["Softplus"]}, "Exp", {"Inverse": ["Exp"]}]}"#), Suite::new([4, 3]).with_domain(0.0, 1.0).with_range(-3.0, 3.0);
    any_linear: any(r#"{"Stack": [{"DenseLinear": {"features": 3, "seed": 1}}, {"Householder": {"features": 3, "reflections": 2, "seed": 1}}, {"QrLinear": {"features": 3, "reflections": 1, "seed": 2}}, {"SvdLinear": {"features": 3, "reflections": 2, "seed": 3}}]}"#), [3, 3];
    any_triangular: any(r#"{"Stack": [{"TriangularLinear": {"features": 3}}, {"LeakyTanh": {"turn": 2.0}}]}"#), Suite::new([4, 3]).with_domain(-3.0, 3.0).with_range(-1.0, 1.0);
    any_coupling_context: any_coupling(2), Suite::new([3, 3]).with_context(2);
    any_partial: any(r#"{"Partial": {"features": 4, "mask": "Halves", "inner": [{"ActNorm": {"features": 2}}, {"LuLinear": {"features": 2}}]}}"#), [4, 4];
    any_batch_norm: any(r#"{"BatchNorm": {"features": 3, "epsilon": 1e-5, "momentum": 0.1}}"#), [4, 3];
    any_bounds_of_each: any(r#"{"Stack": [{"Bounded": {"bounds": ["Free", {"Above": -3.0}, {"Between": [-3.0, 3.0]}]}}, {"ActNorm": {"features": 3}}]}"#), Suite::new([3, 3]).with_domain(-3.0, 3.0).with_range(-8.0, 8.0);
    any_standardize: AnyBijector::Stack(vec![AnyBijector::Standardize(standardize([7, 3])), any_coupling(0)]), [3, 3];
}
