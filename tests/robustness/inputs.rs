//! Invalid data, for every density. A row that is not finite has no density, and other rows are not
//! affected. A row far outside has almost no density. An empty batch gives an empty result.
//! `tests/conformance` tests single layers in the same way.

use std::f32::consts::PI;

use burn::tensor::{Device, Tensor};
use burn_flows::bijector::*;
use burn_flows::conditioner::*;
use burn_flows::distribution::*;
use burn_flows::encoder::*;
use burn_flows::model::*;
use burn_flows::testing::moved;
use burn_flows::{Flow, Noise, burn};

use crate::built::built;
use crate::memory::most_of;

fn device() -> Device {
    Device::flex()
}

fn host(x: Tensor<1>) -> Vec<f32> {
    x.into_data().try_to_vec_as::<f32>().unwrap()
}

/// Rows of data or of contexts.
fn rows<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    // Inside the support of every density in this file.
    Noise::seeded(3).uniform(shape, &device()) * 0.8 + 0.1
}

/// `x` with one element of its first row replaced.
fn with<const D: usize>(x: &Tensor<D>, at: usize, value: f32) -> Tensor<D> {
    let shape = x.dims();
    let flat: Tensor<2> = x.clone().reshape([shape[0], shape[1..].iter().product()]);
    flat.slice_assign([0..1, at..at + 1], Tensor::full([1, 1], value, &device())).reshape(shape)
}

/// Tests a density with a changed element in the first row. A value outside the support must have
/// density zero.
fn judge<const D: usize>(density: impl Distribution<D>, event: [usize; D], context: usize) {
    let density = moved(density, 2).valid();
    let mut shape = event;
    shape[0] = 3;
    let elements: usize = shape[1..].iter().product();
    let context = (context > 0).then(|| rows([3, context]));
    let log_prob = |x: Tensor<D>, c: Option<&Tensor<2>>| host(density.log_prob(x, c));
    let x = rows(shape);
    let usual = log_prob(x.clone(), context.as_ref());
    assert!(usual.iter().all(|v| v.is_finite()), "{usual:?}");

    for at in [0, elements - 1] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = log_prob(with(&x, at, value), context.as_ref());
            let none = found[0].is_nan() || found[0] == f32::NEG_INFINITY;
            assert!(none, "{value} as element {at} has the log-density {}", found[0]);
            assert_eq!(found[1..], usual[1..], "other rows, {value} in row 0");
        }
        for value in [1e30, -1e30, 3e38] {
            let found = log_prob(with(&x, at, value), context.as_ref());
            // Near the largest f32, sums inside a layer overflow, and the difference of infinities
            // is NaN. With more layers than here, each of which multiplies by a thousand, this
            // happens from 1e30 on.
            let lost = found[0].is_nan() && value == 3e38;
            assert!(found[0] < -20.0 || lost, "{value} as element {at}: {}", found[0]);
            assert_eq!(found[1..], usual[1..], "other rows, {value} in row 0");
        }
        for value in [1e-40, -1e-45, f32::MIN_POSITIVE] {
            let found = log_prob(with(&x, at, value), context.as_ref());
            let near = log_prob(with(&x, at, 0.0), context.as_ref());
            let same = found[0] == near[0] || (found[0] - near[0]).abs() < 1e-3 * near[0].abs();
            assert!(same, "{value} as element {at}: {}, at 0 {}", found[0], near[0]);
        }
    }
    if let Some(context) = &context {
        for value in [f32::NAN, f32::INFINITY] {
            let found = log_prob(x.clone(), Some(&with(context, 0, value)));
            assert!(found[0].is_nan(), "a context of {value}: {}", found[0]);
            assert_eq!(found[1..], usual[1..], "other rows, context {value} in row 0");
        }
    }
    let alone = context.clone().map(|c| c.slice(0..1));
    let one = log_prob(x.clone().slice(0..1), alone.as_ref());
    assert!((one[0] - usual[0]).abs() <= 1e-5 * usual[0].abs().max(1.0), "{one:?}, {usual:?}");
    if context.is_none() {
        // A context without columns counts as no context.
        assert_eq!(log_prob(x, Some(&Tensor::zeros([3, 0], &device()))), usual);
    }
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![8, 8])
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![9, 8])
}

fn full<const D: usize>(shape: [usize; D], value: f32) -> Tensor<D> {
    Tensor::full(shape, value, &device())
}

/// Runs [`judge`] on a flow, which must also accept an empty batch.
fn judge_flow<const D: usize>(flow: impl Distribution<D>, event: [usize; D], context: usize) {
    let none = Tensor::zeros(event, &device());
    let no_context = (context > 0).then(|| Tensor::zeros([0, context], &device()));
    assert!(host(flow.log_prob(none, no_context.as_ref())).is_empty());
    let draws = flow.sample(0, no_context.as_ref(), &mut Noise::seeded(1), &device());
    assert_eq!(draws.dims(), event);
    judge(flow, event, context);
}

macro_rules! densities {
    ($judge:ident: $($name:ident: $density:expr, $event:expr, $context:expr;)+) => {
        $(#[test]
        fn $name() {
            $judge(built(&device(), |_| $density), $event, $context);
        })+
    };
}

densities! {
    judge:
    standard_normal: StandardNormal::<2>::new([3], &device()), [0, 3], 0;
    diag_normal: DiagNormalConfig::new(vec![2, 2, 2]).init::<4>(&device()), [0, 2, 2, 2], 0;
    conditional_normal: ConditionalNormalConfig::new(vec![3], 2, mlp()).init::<2>(&device()), [0, 3], 2;
    gaussian_mixture: GaussianMixtureConfig::new(3, 4).init(&device()), [0, 3], 0;
    student_t: StudentTConfig::new(vec![3], 9.0).init::<2>(&device()), [0, 3], 0;
    uniform: Uniform::new(full([1, 3], -0.01), full([1, 3], 1.0)).unwrap(), [0, 3], 0;
    mixture: Mixture::new(vec![NiceConfig::new(3).with_mlp(mlp()).init(&device()), NiceConfig::new(3).with_mlp(mlp()).init(&device())], &device()).unwrap(), [0, 3], 0;
    marginal: Marginal::new(RealNvpConfig::new(3).with_layers(4).with_mlp(mlp()).with_context(2).init(&device()), rows([4, 2]), full([4], 1.0)).unwrap(), [0, 3], 0;
    product: Product::new(&Mask::Kept(vec![1]), 3, Uniform::new(full([1, 1], -0.01), full([1, 1], 1.0)).unwrap(), ConditionalNormalConfig::new(vec![2], 2, mlp()).init::<2>(&device()), &device()).unwrap(), [0, 3], 2;
    chained: Chained::new(&Mask::Kept(vec![1]), 3, MafConfig::new(1).with_layers(2).with_made(made()).with_context(2).init(&device()), RealNvpConfig::new(2).with_layers(2).with_mlp(mlp()).with_context(3).init(&device()), &device()).unwrap(), [0, 3], 2;
    two_moons: TwoMoons {}, [0, 2], 0;
    eight_gaussians: EightGaussians {}, [0, 2], 0;
    rings: Rings {}, [0, 2], 0;
    pinwheel: Pinwheel {}, [0, 2], 0;
}

densities! {
    judge_flow:
    bounded_base: Flow::new(ActNormConfig::new(3).init(&device()), Uniform::new(full([1, 3], -9.0), full([1, 3], 9.0)).unwrap()), [0, 3], 0;

    nice: NiceConfig::new(3).with_mlp(mlp()).init(&device()), [0, 3], 0;
    real_nvp: RealNvpConfig::new(3).with_layers(4).with_mlp(mlp()).with_context(2).init(&device()), [0, 3], 2;
    nsf: NsfConfig::new(3).with_mlp(mlp()).with_context(2).init(&device()), [0, 3], 2;
    nsf_linear: NsfConfig::new(3).with_mlp(mlp()).with_linear(true).init(&device()), [0, 3], 0;
    autoregressive_nsf: AutoregressiveNsfConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    maf: MafConfig::new(3).with_layers(2).with_made(made()).with_context(2).init(&device()), [0, 3], 2;
    maf_deep: MafConfig::new(3).with_layers(5).with_made(made()).with_norm(StepNorm::BatchNorm).init(&device()), [0, 3], 0;
    maf_mog: MafMogConfig::new(MafConfig::new(3).with_layers(2).with_made(made()), 2).init(&device()), [0, 3], 0;
    iaf: IafConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    naf: NeuralAutoregressiveFlowConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    unaf: UnconstrainedAutoregressiveFlowConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    bpf: BernsteinFlowConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    sospf: SumOfSquaresFlowConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    gf: GaussianizationFlowConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(&device()), [0, 3], 2;
    circular_nsf: CircularNsfConfig::new(3).with_layers(2).with_made(made()).init(&device()), [0, 3], 0;
    planar_flow: PlanarFlowConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(&device()), [0, 3], 2;
    residual_flow: ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![8]).init(&device()), [0, 3], 0;
    glow: GlowConfig::new([1, 4, 4], 2).with_steps(2).with_network(ConvNetConfig::new(4)).with_context(2).init(&device()), [0, 1, 4, 4], 2;
    real_nvp_image: RealNvpImageConfig::new([1, 4, 4], 1).with_network(ResidualConvNetConfig::new(4).with_blocks(1)).init(&device()), [0, 1, 4, 4], 0;
    embedded_set: Embedded::new(SetEncoderConfig::new(2, 2, 2).with_mask(true).with_pooled(4).init(&device()), RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(&device())), [0, 3], 6;
    embedded_series: Embedded::new(SeriesEncoderConfig::new(1, 6, 2).init(&device()), RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(&device())), [0, 3], 6;
    embedded_image: Embedded::new(ImageEncoderConfig::new([1, 2, 3], 2).init(&device()), RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(&device())), [0, 3], 6;
    continuous: Flow::new(CnfConfig::new(2).with_hidden(vec![4]).init(&device()), StandardNormal::<2>::new([2], &device())), [0, 2], 0;
}

/// Outside its squares or its circle a density is zero, also for values that are not finite.
#[test]
fn densities_with_ends() {
    let log_prob = |x: [f32; 2]| {
        let x = Tensor::<2>::from_data([x, [0.5, 0.5]], &device());
        host(Checkerboard {}.log_prob(x, None))
    };
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 3e38] {
        let found = log_prob([value, 0.5]);
        assert!(found[0].is_nan() || found[0] == f32::NEG_INFINITY, "{value}: {}", found[0]);
        assert_eq!(found[1], log_prob([0.0, 0.0])[1]);
    }
    let flow = CircularNsfConfig::new(2).with_layers(1).with_made(made()).init(&device());
    let x = Tensor::<2>::from_data([[PI + 0.1, 0.0], [f32::NAN, 0.0]], &device());
    assert!(host(flow.log_prob(x)).iter().all(|v| v.is_nan() || *v == f32::NEG_INFINITY));
}

/// A million rows in chunks: every row has the same value as the row alone. In addition to data and
/// result, only the memory of a chunk is used.
#[test]
fn a_million_rows_in_chunks() {
    const ROWS: usize = 1_000_000;
    const CHUNK: usize = 10_000;
    let mlp = MlpConfig::new(vec![8]);
    let flow = moved(RealNvpConfig::new(2).with_layers(2).with_mlp(mlp).init(&device()), 1);
    let x = rows([ROWS, 2]);
    let (found, most) = most_of(|| flow.log_prob_batched(x.clone(), CHUNK));
    assert_eq!(found.dims(), [ROWS]);
    // 4 bytes per row for the result, twice while its parts are joined.
    assert!(most < 16 * ROWS as u64 + (16 << 20), "{most}");
    for at in [0, CHUNK - 1, CHUNK, ROWS - 1] {
        let alone = flow.log_prob(x.clone().slice(at..at + 1));
        assert_eq!(host(found.clone().slice(at..at + 1)), host(alone), "row {at}");
    }
    assert!(host(found).iter().all(|v| v.is_finite()));
}
