//! Distributions and whole models on every backend: log-densities and seeded draws, after the
//! weights were loaded from a file.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use burn_flows::bijector::Mask;
use burn_flows::conditioner::{ConvNetConfig, ResidualConvNetConfig};
use burn_flows::distribution::{
    CategoricalMadeConfig, Chained, Checkerboard, ConditionalNormal, ConditionalNormalConfig,
    DiagNormal, DiagNormalConfig, Distribution, EightGaussians, GaussianMixtureConfig, Marginal,
    Mixture, Pinwheel, Product, Rings, StandardNormal, StudentT, StudentTConfig, TwoMoons, Uniform,
};
use burn_flows::model::{
    AutoregressiveNsfConfig, BernsteinFlowConfig, CircularNsfConfig, GaussianizationFlowConfig,
    GlowConfig, IafConfig, MafConfig, MafMogConfig, NeuralAutoregressiveFlowConfig, NiceConfig,
    NsfConfig, PlanarFlowConfig, RealNvpConfig, RealNvpImageConfig, ResidualFlowConfig,
    SumOfSquaresFlowConfig, UnconstrainedAutoregressiveFlowConfig,
};
use burn_flows::store::{load, save};
use burn_flows::testing::moved;
use burn_flows::{Noise, burn, cast};

use crate::layers::{made, mlp};
use crate::places::{PLACES, Place};
use crate::{DEVICE, built};

/// The number of rows to draw.
const ROWS: usize = 4;

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The names of the two results of [`numbers`].
const WHAT: [&str; 2] = ["draws", "log-densities"];

/// Draws and log-densities of a distribution. The data and the context are given in f64.
fn numbers<const D: usize, P: Distribution<D>>(
    distribution: &P,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
    device: &Device,
    dtype: DType,
) -> [Vec<f64>; 2] {
    let context = context.map(|c| Tensor::from_data(c.clone().into_data(), (device, dtype)));
    let draws = distribution.sample(ROWS, context.as_ref(), &mut Noise::seeded(5), device);
    let x = Tensor::from_data(x.clone().into_data(), (device, dtype));
    [host(draws), host(distribution.log_prob(x, context.as_ref()))]
}

/// Compares a distribution with this context width on every backend.
fn agrees<const D: usize, P: Distribution<D> + serde::Serialize>(
    make: impl Fn(&Device) -> P,
    context: usize,
) {
    let home = moved(built(&DEVICE, &make), 1).valid();
    let context: Option<Tensor<2>> =
        (context > 0).then(|| Noise::seeded(2).normal([ROWS, context], &DEVICE));
    let x = home.sample(ROWS, context.as_ref(), &mut Noise::seeded(3), &DEVICE);
    for place in PLACES.iter() {
        for (dtype, allowed) in place.precisions() {
            let rounded = cast(home.clone(), dtype);
            let exact = cast(rounded.clone(), DType::F64);
            let x = x.clone().cast(dtype).cast(DType::F64);
            let context = context.as_ref().map(|c| c.clone().cast(dtype).cast(DType::F64));
            let expected = numbers(&exact, &x, context.as_ref(), &DEVICE, DType::F64);
            for name in ["model.safetensors", "model.bpk"] {
                let make = |device: &Device| cast(built(device, &make).valid(), dtype);
                let (there, back) = travelled(&rounded, make, place, name);
                let of = |model: &P| numbers(model, &x, context.as_ref(), &DEVICE, dtype);
                assert_eq!(of(&rounded), of(&back), "{}, {dtype:?}: {name} and back", place.name);
                let found = numbers(&there, &x, context.as_ref(), &place.device, dtype);
                for (what, (found, expected)) in WHAT.iter().zip(found.iter().zip(&expected)) {
                    assert_eq!(found.len(), expected.len());
                    let near = |f: f64, e: f64| (f - e).abs() / e.abs().max(1.0) <= allowed;
                    let far = found.iter().zip(expected).find(|&(f, e)| !near(*f, *e));
                    assert!(far.is_none(), "{}, {dtype:?}: {what} {far:?}", place.name);
                }
            }
        }
    }
}

/// Saves the weights of `model`, loads them into a model on another backend, and from there into a
/// third model by a second file.
fn travelled<M: Module + serde::Serialize>(
    model: &M,
    make: impl Fn(&Device) -> M,
    place: &Place,
    name: &str,
) -> (M, M) {
    let there = make(&place.device);
    // A module without weights has no file.
    if Module::num_params(model) == 0 {
        return (there, model.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    save(model, &path).unwrap();
    let there = load(there, &path).unwrap();
    save(&there, &path).unwrap();
    (there, load(make(&DEVICE), &path).unwrap())
}

macro_rules! distributions {
    ($($name:ident: $make:expr, $context:literal;)+) => {
        $(#[test]
        fn $name() {
            agrees($make, $context);
        })+
    };
}

distributions! {
    standard_normal: |device| StandardNormal::<2>::new([3], device), 0;
    diag_normal: |device| -> DiagNormal<2> { DiagNormalConfig::new(vec![3]).init(device) }, 0;
    conditional_normal: |device| -> ConditionalNormal<2> { ConditionalNormalConfig::new(vec![3], 2, mlp()).init(device) }, 2;
    gaussian_mixture: |device| GaussianMixtureConfig::new(3, 2).init(device), 0;
    student_t: |device| -> StudentT<2> { StudentTConfig::new(vec![3], 4.0).init(device) }, 0;
    uniform: |device| Uniform::new(Tensor::<2>::zeros([1, 3], device), Tensor::ones([1, 3], device) * 2.0).unwrap(), 0;
    mixture: |device| Mixture::new((0..2).map(|_| RealNvpConfig::new(3).with_layers(1).with_mlp(mlp()).init(device)).collect(), device).unwrap(), 0;
    marginal: |device| Marginal::of_classes(RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init(device), 2, device).unwrap(), 0;
    categorical_made: |device| CategoricalMadeConfig::new(vec![3, 2]).with_made(made()).with_context(2).init(device), 2;
    product: |device| Product::new(&Mask::Kept(vec![1]), 3, CategoricalMadeConfig::new(vec![3]).init(device), RealNvpConfig::new(2).with_layers(2).with_mlp(mlp()).init(device), device).unwrap(), 0;
    chained: |device| Chained::new(&Mask::Kept(vec![1]), 3, CategoricalMadeConfig::new(vec![3]).init(device), RealNvpConfig::new(2).with_layers(2).with_mlp(mlp()).with_context(3).init(device), device).unwrap().with_one_hot(vec![Some(3)]).unwrap(), 0;
    checkerboard: |_| Checkerboard {}, 0;
    eight_gaussians: |_| EightGaussians {}, 0;
    pinwheel: |_| Pinwheel {}, 0;
    rings: |_| Rings {}, 0;
    two_moons: |_| TwoMoons {}, 0;

    nice: |device| NiceConfig::new(3).with_mlp(mlp()).init(device), 0;
    real_nvp: |device| RealNvpConfig::new(3).with_mlp(mlp()).with_layers(2).with_context(2).init(device), 2;
    real_nvp_image: |device| RealNvpImageConfig::new([1, 4, 4], 2).with_network(ResidualConvNetConfig::new(3).with_blocks(1)).init(device), 0;
    glow: |device| GlowConfig::new([1, 4, 4], 2).with_steps(1).with_network(ConvNetConfig::new(4)).with_context(2).init(device), 2;
    maf: |device| MafConfig::new(3).with_layers(2).with_made(made()).init(device), 0;
    maf_mog: |device| MafMogConfig::new(MafConfig::new(3).with_layers(1).with_made(made()), 2).init(device), 0;
    iaf: |device| IafConfig::new(3).with_layers(2).with_made(made()).init(device), 0;
    nsf: |device| NsfConfig::new(3).with_layers(2).with_mlp(mlp()).init(device), 0;
    nsf_autoregressive: |device| AutoregressiveNsfConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    nsf_circular: |device| CircularNsfConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    naf: |device| NeuralAutoregressiveFlowConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    unaf: |device| UnconstrainedAutoregressiveFlowConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    bpf: |device| BernsteinFlowConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    sospf: |device| SumOfSquaresFlowConfig::new(3).with_layers(1).with_made(made()).init(device), 0;
    gf: |device| GaussianizationFlowConfig::new(3).with_layers(1).init(device), 0;
    planar_flow: |device| PlanarFlowConfig::new(3).with_layers(2).init(device), 0;
    residual_flow: |device| ResidualFlowConfig::new(3).with_layers(1).with_hidden(vec![6]).init(device), 0;
}

/// A flow draws on the device of its weights, and its error names this rule if another device is
/// requested.
#[test]
fn a_flow_draws_on_the_device_of_its_weights() {
    let flow = RealNvpConfig::new(3).with_layers(1).with_mlp(mlp()).init(&DEVICE);
    let draw = |device: &Device| {
        let call = || Distribution::sample(&flow, 2, None, &mut Noise::seeded(1), device);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
    };
    assert!(draw(&DEVICE).is_ok());
    for place in PLACES.iter().filter(|place| place.device != *DEVICE) {
        let text = *draw(&place.device).unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("expected the device of the weights"), "{text}");
    }
}

/// Seeded noise has the same bits on every backend.
#[test]
fn noise_is_the_same_everywhere() {
    let draw = |device: &Device| {
        let mut noise = Noise::seeded(9);
        let normal = noise.normal::<2>([50, 3], device).cast(DType::F32);
        let uniform = noise.uniform::<1>([40], device).cast(DType::F32);
        (normal.into_data(), uniform.into_data())
    };
    let expected = draw(&DEVICE);
    for place in PLACES.iter() {
        assert_eq!(draw(&place.device), expected, "{}", place.name);
    }
}
