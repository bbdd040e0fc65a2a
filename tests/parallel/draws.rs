//! Many draws in chunks: the numbers are those of one call, and the same for every number of threads.

use burn::tensor::DType;
use burn_flows::distribution::{
    ConditionalNormalConfig, GaussianMixture, GaussianMixtureConfig, Mixture,
};
use burn_flows::{Flow, cast};

use super::*;

fn masked(context: usize) -> AutoregressiveNsf {
    let config = AutoregressiveNsfConfig::new(3).with_layers(2).with_context(context);
    let made = burn_flows::conditioner::MadeConfig::new(vec![16]);
    moved(built(&Device::flex(), |device| config.with_made(made).init(device)), 5).valid()
}

/// `copies` of each row.
fn repeated(context: &Tensor<2>, copies: usize) -> Tensor<2> {
    let [rows, width] = context.dims();
    context.clone().reshape([rows, 1, width]).repeat_dim(1, copies).reshape([rows * copies, width])
}

/// One chunk, chunks of several contexts, chunks of one context, and contexts of several chunks.
const SHAPES: [[usize; 2]; 6] = [[3, 100], [9, 300], [3000, 4], [3, 700], [2, 9000], [1, 20_000]];

#[test]
fn draws_of_each_context_are_those_of_one_call() {
    let flow = masked(2);
    for [contexts, n] in SHAPES {
        let context = normal([contexts, 2], 3);
        assert_same(|| {
            let given = flow.given(&context);
            let each: Tensor<3> = given.sample_each_seeded(n, 7);
            let (again, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob_seeded(n, 7);
            assert_eq!((each.dims(), log_prob.dims()), ([contexts, n, 3], [contexts, n]));
            [each, again].map(Tensor::into_data).into_iter().chain([log_prob.into_data()]).collect()
        });
        let repeated = repeated(&context, n);
        let flat = flow.given(&repeated);
        let (x, log_prob) = flat.draw_with_log_prob(contexts * n, &mut Noise::seeded(7));
        let (each, log_each): (Tensor<3>, _) =
            flow.given(&context).sample_each_with_log_prob_seeded(n, 7);
        let [x, each] = [x, each.reshape([contexts * n, 3])];
        assert_eq!(each.to_data(), x.into_data(), "{contexts} x {n}");
        let log_each = log_each.reshape([contexts * n]);
        assert_eq!(log_each.to_data(), log_prob.into_data(), "{contexts} x {n}");
        let apart = (flat.log_prob(each) - log_each).abs().max().into_scalar::<f32>();
        assert!(apart < 1e-2, "{contexts} x {n}: {apart}");
        let drawn: Tensor<2> = flat.sample_seeded(contexts * n, 7);
        let expected = flat.draw(contexts * n, &mut Noise::seeded(7));
        assert_eq!(drawn.into_data(), expected.into_data(), "{contexts} x {n}");
    }
}

#[test]
fn draws_without_a_context_are_those_of_one_call() {
    let n = 20_001;
    let mixture: GaussianMixture =
        GaussianMixtureConfig::new(3, 4).with_seed(1).init(&Device::flex());
    let flow = Flow::new(masked(0).into_parts().0, mixture);
    assert_same(|| {
        let (x, log_prob) = flow.sample_with_log_prob_seeded::<2>(n, 7);
        vec![x.into_data(), log_prob.into_data()]
    });
    let (x, log_prob) = flow.draw_with_log_prob::<2>(n, &mut Noise::seeded(7));
    let (found, log_found) = flow.sample_with_log_prob_seeded::<2>(n, 7);
    assert_eq!(found.into_data(), x.into_data());
    assert_eq!(log_found.into_data(), log_prob.into_data());
    let images = images(0.0); // 64 elements: more than one chunk
    let (found, expected) = (images.sample_seeded(600, 7), images.draw(600, &mut Noise::seeded(7)));
    assert_eq!(found.into_data(), expected.into_data());
}

/// A mixture chooses the components of a chunk first, and still gives the same numbers on any number of threads.
#[test]
fn a_mixture_does_not_depend_on_the_number_of_threads() {
    let mlp = MlpConfig::new(vec![8]);
    let normal = |seed| {
        moved(
            ConditionalNormalConfig::new(vec![3], 2, mlp.clone()).init::<2>(&Device::flex()),
            seed,
        )
    };
    let mixture = Mixture::new(vec![normal(1), normal(2)], &Device::flex()).unwrap();
    let context = super::normal([2, 2], 3);
    assert_same(|| {
        let (x, log_prob): (Tensor<3>, _) =
            mixture.given(&context).sample_each_with_log_prob_seeded(9000, 7);
        vec![x.into_data(), log_prob.into_data()]
    });
}

#[test]
fn no_contexts_and_no_draws_have_the_shape_of_an_event() {
    let (flow, context) = (masked(2), normal([3, 2], 3));
    let none = context.clone().slice(0..0);
    for (context, n, rows) in [(&none, 5, 0), (&context, 0, 3), (&none, 0, 0)] {
        let given = flow.given(context);
        let each: Tensor<3> = given.sample_each(n);
        assert_eq!(each.dims(), [rows, n, 3]);
        let (each, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob_seeded(n, 1);
        assert_eq!((each.dims(), log_prob.dims()), ([rows, n, 3], [rows, n]));
    }
    let (x, log_prob) = masked(0).sample_with_log_prob::<2>(0);
    assert_eq!((x.dims(), log_prob.dims()), ([0, 3], [0]));
    let (x, log_prob) = flow.given(&none).sample_with_log_prob::<2>(0);
    assert_eq!((x.dims(), log_prob.dims()), ([0, 3], [0]));
    assert_eq!(images(0.0).sample(0).dims(), [0, 1, 8, 8]);
}

#[test]
fn chunks_keep_f64() {
    let flow = cast(masked(2), DType::F64);
    let context = normal([2, 2], 3).cast(DType::F64);
    let (x, log_prob): (Tensor<3>, _) =
        flow.given(&context).sample_each_with_log_prob_seeded(1500, 7);
    assert_eq!((x.dtype(), log_prob.dtype()), (DType::F64, DType::F64));
    let flat = flow.given(&repeated(&context, 1500)).log_prob(x.reshape([3000, 3]));
    let apart = (flat - log_prob.reshape([3000])).abs().max().into_scalar::<f64>();
    assert!(apart < 1e-8, "{apart}");
}

/// A shape that does not fit is that of the caller's draws, not of a chunk.
#[test]
fn an_error_names_the_shape_of_the_callers_draws() {
    let (flow, contexts) = (masked(2), normal([700, 2], 3));
    let panic = catch_unwind(AssertUnwindSafe(|| flow.given(&contexts).sample::<2>(20_000)));
    let text = panic.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, "Flow: expected a context of 1 or 20000 rows, found 700");
}
