//! Contexts whose number of rows or precision differs from that of the events. The error messages
//! state the shapes of the caller's batch, regardless of the blocks in which it is evaluated.

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    Conditioner, ConvNetConfig, MadeConfig, MlpConfig, ResidualConvNetConfig,
};
use burn_flows::distribution::{
    CategoricalMadeConfig, ChannelPrior, ChannelPriorConfig, ConditionalNormalConfig, Distribution,
    LevelBase, Mixture, Product, StandardNormal, TwoMoons,
};
use burn_flows::model::{
    Glow, GlowConfig, MafConfig, NiceConfig, RealNvp, RealNvpConfig, RealNvpImageConfig,
};
use burn_flows::train::{
    FitConfig, FitData, NoiseModel, Reversible, UniformNoise, VariationalDequantize, fit, nll,
    nll_gradients,
};
use burn_flows::univariate::Affine;
use burn_flows::{Finish, Flow, MultiScale, Noise, cast};

use crate::{device, zeros};

/// The shape of ten events of three features. Contexts have width 2.
const X: [usize; 2] = [10, 3];

fn contexts(rows: usize) -> Tensor<2> {
    zeros([rows, 2])
}

fn flow() -> RealNvp {
    RealNvpConfig::new(3).with_context(2).with_layers(2).init(&device())
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![4])
}

fn normal() -> burn_flows::distribution::ConditionalNormal<2> {
    ConditionalNormalConfig::new(vec![3], 2, mlp()).init(&device())
}

fn multi_scale() -> MultiScale<ActNorm, ChannelPrior> {
    let levels = vec![ActNormConfig::new(4).init(&device()), ActNormConfig::new(2).init(&device())];
    let prior = || ChannelPriorConfig::new(2).with_context(2).init(&device());
    MultiScale::new(levels, vec![prior(), prior()], Finish::Last, vec![[2, 4, 4]; 2]).unwrap()
}

fn integers() -> VariationalDequantize<RealNvp, UniformNoise> {
    VariationalDequantize::new(flow(), UniformNoise {}, 4).unwrap()
}

const IMAGES: [usize; 4] = [10, 4, 4, 4];

fn noise() -> Noise {
    Noise::seeded(1)
}

fn f64s<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    zeros(shape).cast(DType::F64)
}

panics! {
    flow_log_prob: flow().given(&contexts(20)).log_prob(zeros(X)) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_batched: flow().given(&contexts(20)).log_prob_batched(zeros(X), 4) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_batched_fewer: flow().given(&contexts(7)).log_prob_batched(zeros(X), 4) => "Flow: expected a context of 1 or 10 rows, found 7";
    flow_nll: nll(&flow(), (zeros(X), contexts(20)), 4) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_encode: flow().given(&contexts(20)).encode(zeros(X)) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_decode: flow().given(&contexts(9)).decode(zeros(X)) => "Flow: expected a context of 1 or 10 rows, found 9";
    flow_sample: flow().given(&contexts(20)).sample::<2>(10) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_draw: flow().given(&contexts(0)).draw::<2>(10, &mut noise()) => "Flow: expected a context of 1 or 10 rows, found 0";
    flow_draw_with: flow().given(&contexts(20)).draw_with_log_prob::<2>(10, &mut noise()) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_init: Distribution::init_from_data(flow(), zeros(X), Some(&contexts(20))) => "Flow: expected a context of 1 or 10 rows, found 20";
    flow_noise: flow().draw_for(&zeros(X), Some(&contexts(20)), &mut noise()) => "VariationalDequantize: expected a context of 1 or 10 rows, found 20";
    gradients: nll_gradients(&flow().train(), (zeros([600, 3]), contexts(700))) => "Flow: expected a context of 1 or 600 rows, found 700";
    gradients_reversible: Reversible::new().nll_gradients(&flow().train(), (zeros([600, 3]), contexts(700))) => "Flow: expected a context of 1 or 600 rows, found 700";
    certificate: burn_flows::testing::certify(&flow(), &zeros(X), &contexts(20)) => "Flow: expected a context of 1 or 10 rows, found 20";
    scales_log_prob: multi_scale().given(&contexts(20)).log_prob(zeros(IMAGES)) => "MultiScale: expected a context of 1 or 10 rows, found 20";
    scales_batched: multi_scale().given(&contexts(20)).log_prob_batched(zeros(IMAGES), 4) => "MultiScale: expected a context of 1 or 10 rows, found 20";
    scales_encode: multi_scale().given(&contexts(20)).encode(zeros(IMAGES)) => "MultiScale: expected a context of 1 or 10 rows, found 20";
    scales_decode: multi_scale().given(&contexts(20)).decode(vec![zeros([10, 2, 4, 4]); 2]) => "MultiScale: expected a context of 1 or 10 rows, found 20";
    scales_sample: multi_scale().given(&contexts(20)).sample(10) => "MultiScale: expected a context of 1 or 10 rows, found 20";
    scales_parts: multi_scale().decode(vec![zeros([10, 2, 4, 4]), zeros([9, 2, 4, 4])]) => "MultiScale: expected latent part 1 of shape [10, 2, 4, 4], found [9, 2, 4, 4]";
    prior: multi_scale().bases()[0].log_prob(zeros([10, 2, 4, 4]), None, Some(&contexts(20))) => "ChannelPrior: expected a context of 1 or 10 rows, found 20";
    mixture: Mixture::new(vec![flow(), flow()], &device()).unwrap().log_prob(zeros(X), Some(&contexts(20))) => "Mixture: expected a context of 1 or 10 rows, found 20";
    mixture_batched: Mixture::new(vec![flow(), flow()], &device()).unwrap().log_prob_batched(zeros(X), Some(&contexts(20)), 4) => "Mixture: expected a context of 1 or 10 rows, found 20";
    mixture_sample: Mixture::new(vec![flow(), flow()], &device()).unwrap().sample(10, Some(&contexts(20)), &mut noise(), &device()) => "Mixture: expected a context of 1 or 10 rows, found 20";
    mixture_init: Mixture::new(vec![flow(), flow()], &device()).unwrap().init_from_data(zeros(X), Some(&contexts(20))) => "Mixture: expected a context of 1 or 10 rows, found 20";
    conditional_normal: normal().log_prob(zeros(X), Some(&contexts(20))) => "ConditionalNormal: expected a context of 1 or 10 rows, found 20";
    conditional_normal_batched: normal().log_prob_batched(zeros(X), Some(&contexts(20)), 4) => "ConditionalNormal: expected a context of 1 or 10 rows, found 20";
    conditional_normal_sample: normal().sample(10, Some(&contexts(20)), &mut noise(), &device()) => "ConditionalNormal: expected a context of 1 or 10 rows, found 20";
    standard_normal: StandardNormal::<2>::new([3], &device()).log_prob(zeros(X), Some(&contexts(20))) => "StandardNormal: expected a context of 1 or 10 rows, found 20";
    toy_sample: TwoMoons {}.sample(10, Some(&contexts(20)), &mut noise(), &device()) => "TwoMoons: expected a context of 1 or 10 rows, found 20";
    dequantize: integers().dequantize(zeros(X), Some(&contexts(20)), &mut noise()) => "VariationalDequantize: expected a context of 1 or 10 rows, found 20";
    bound: integers().bound(zeros(X), Some(&contexts(20)), 3, &mut noise()) => "VariationalDequantize: expected a context of 1 or 10 rows, found 20";
    bound_batched: integers().log_prob_batched(zeros(X), Some(&contexts(20)), 4) => "VariationalDequantize: expected a context of 1 or 10 rows, found 20";
    dequantize_sample: integers().sample(10, Some(&contexts(20)), &mut noise(), &device()) => "VariationalDequantize: expected a context of 1 or 10 rows, found 20";

    coupling_rows: flow().bijector()[0].forward(zeros(X), Some(&contexts(20))) => "Coupling: expected a context of 1 or 10 rows, found 20";
    coupling_inverse_rows: flow().bijector()[0].inverse(zeros(X), Some(&contexts(20))) => "Coupling: expected a context of 1 or 10 rows, found 20";
    autoregressive_rows: autoregressive().forward(zeros(X), Some(&contexts(20))) => "MaskedAutoregressive: expected a context of 1 or 10 rows, found 20";
    autoregressive_inverse_rows: autoregressive().inverse(zeros(X), Some(&contexts(20))) => "MaskedAutoregressive: expected a context of 1 or 10 rows, found 20";
    elementwise_rows: Elementwise::new(Affine::default(), 3, &device()).unwrap().with_context(&mlp(), 2, &device()).unwrap().forward(zeros(X), Some(&contexts(20))) => "Elementwise: expected a context of 1 or 10 rows, found 20";
    block_rows: BlockNeuralAutoregressiveConfig::new(3).with_context(2).init(&device()).forward(zeros(X), Some(&contexts(20))) => "BlockNeuralAutoregressive: expected a context of 1 or 10 rows, found 20";
    block_inverse_rows: BlockNeuralAutoregressiveConfig::new(3).with_context(2).init(&device()).inverse(zeros(X), Some(&contexts(20))) => "BlockNeuralAutoregressive: expected a context of 1 or 10 rows, found 20";
    residual_rows: ResidualConfig::new(3).with_context(2).init(&device()).forward(zeros(X), Some(&contexts(20))) => "Residual: expected a context of 1 or 10 rows, found 20";
    cnf_rows: CnfConfig::new(3).with_context(2).init(&device()).inverse(zeros(X), Some(&contexts(20))) => "Cnf: expected a context of 1 or 10 rows, found 20";
    planar_rows: PlanarConfig::new(3).with_context(2).init(&device()).forward(zeros(X), Some(&contexts(20))) => "Planar: expected a context of 1 or 10 rows, found 20";
    radial_rows: RadialConfig::new(3).with_context(2).init(&device()).inverse(zeros(X), Some(&contexts(20))) => "Radial: expected a context of 1 or 10 rows, found 20";
    sylvester_rows: SylvesterConfig::new(3, 2).with_context(2).init(&device()).forward(zeros(X), Some(&contexts(20))) => "Sylvester: expected a context of 1 or 10 rows, found 20";
    linear_rows: LuLinearConfig::new(3).init(&device()).with_context(zeros([2, 3])).forward(zeros(X), Some(&contexts(20))) => "LuLinear: expected a context of 1 or 10 rows, found 20";
    mlp_rows: mlp().init(3, 1, 2, &device()).forward(zeros(X), Some(&contexts(20))) => "Mlp: expected a context of 1 or 10 rows, found 20";
    made_rows: MadeConfig::new(vec![4]).init(3, 1, 2, &device()).forward(zeros(X), Some(&contexts(20))) => "Made: expected a context of 1 or 10 rows, found 20";
    conv_rows: ConvNetConfig::new(4).init(4, 1, 2, &device()).forward(zeros(IMAGES), Some(&contexts(20))) => "ConvNet: expected a context of 1 or 10 rows, found 20";
    residual_conv_rows: ResidualConvNetConfig::new(4).init(4, 1, 2, &device()).forward(zeros(IMAGES), Some(&contexts(20))) => "ResidualConvNet: expected a context of 1 or 10 rows, found 20";

    precision_of_events: flow().given(&contexts(10)).log_prob(f64s(X)) => "Flow: expected events of F32, found F64; cast the input or the flow";
    precision_of_context: flow().given(&f64s([10, 2])).log_prob(zeros(X)) => "Flow: expected a context of F32, found F64; cast the input or the flow";
    precision_of_flow: cast(flow(), DType::F64).given(&contexts(1)).log_prob(f64s(X)) => "Flow: expected a context of F64, found F32; cast the input or the flow";
    precision_batched: flow().given(&f64s([1, 2])).log_prob_batched(zeros(X), 4) => "Flow: expected a context of F32, found F64; cast the input or the flow";
    precision_sample: flow().given(&f64s([10, 2])).sample::<2>(10) => "Flow: expected a context of F32, found F64; cast the input or the flow";
    precision_encode: flow().given(&f64s([10, 2])).encode(zeros(X)) => "Flow: expected a context of F32, found F64; cast the input or the flow";
    precision_decode: flow().given(&contexts(10)).decode(f64s(X)) => "Flow: expected events of F32, found F64; cast the input or the flow";
    precision_gradients: nll_gradients(&flow().train(), (zeros(X), f64s([10, 2]))) => "Flow: expected a context of F32, found F64; cast the input or the flow";
    precision_scales: multi_scale().given(&f64s([10, 2])).log_prob(zeros(IMAGES)) => "MultiScale: expected a context of F32, found F64; cast the input or the flow";
    precision_scales_events: multi_scale().log_prob(f64s(IMAGES)) => "MultiScale: expected events of F32, found F64; cast the input or the flow";
    precision_scales_sample: multi_scale().given(&f64s([1, 2])).sample(10) => "MultiScale: expected a context of F32, found F64; cast the input or the flow";

    whole_flow: NiceConfig::new(3).init(&device()).log_prob(zeros([1200, 4])) => "Coupling: expected shape [batch, 3], found [1200, 4]";
    whole_empty: NiceConfig::new(3).init(&device()).log_prob(zeros([0, 4])) => "Coupling: expected shape [batch, 3], found [0, 4]";
    whole_batched: NiceConfig::new(3).init(&device()).log_prob_batched(zeros([1200, 4]), 500) => "Coupling: expected shape [batch, 3], found [1200, 4]";
    whole_gradients: nll_gradients(&NiceConfig::new(3).init(&device()).train(), zeros([1200, 4])) => "Coupling: expected shape [batch, 3], found [1200, 4]";
    whole_base: Flow::new(Exp {}, StandardNormal::<2>::new([3], &device())).log_prob(zeros([1200, 4])) => "StandardNormal: expected an event of shape [3] after the batch axis, found shape [1200, 4]";
    whole_bounded: Flow::new(Bounded::new(vec![Bound::Above(0.0); 3]).unwrap(), StandardNormal::<2>::new([3], &device())).encode(zeros([1200, 4])) => "Bounded: expected an event of 3 elements, found shape [1200, 4]";
    whole_categories: CategoricalMadeConfig::new(vec![3, 2]).init(&device()).log_prob(zeros([1200, 4]), None) => "CategoricalMade: expected an event of shape [2] after the batch axis, found shape [1200, 4]";
    whole_product: Flow::new(Vec::<Standardize<2>>::new(), Product::new(&Mask::Halves, 2, StandardNormal::<2>::new([1], &device()), StandardNormal::<2>::new([1], &device()), &device()).unwrap()).log_prob(zeros([1200, 4])) => "Product: expected shape [batch, 2], found [1200, 4]";
    whole_standardize: Flow::new(Standardize::identity(&[3], &device()), StandardNormal::<2>::new([3], &device())).encode(zeros([1200, 4])) => "Standardize: expected shape [1200, 3], found [1200, 4]";
    whole_autoregressive: maf().given(&contexts(1)).log_prob(zeros([1200, 4])) => "MaskedAutoregressive: expected shape [batch, 3], found [1200, 4]";
    glow_channels_last: glow().log_prob(zeros([4, 8, 8, 3])) => "Glow: expected images [batch, 3, 8, 8] (channels, height, width), found shape [4, 8, 8, 3]; move the channels to axis 1";
    glow_encode: glow().encode(zeros([4, 3, 8, 6])) => "Glow: expected images [batch, 3, 8, 8] (channels, height, width), found shape [4, 3, 8, 6]";
    glow_batched: glow().log_prob_batched(zeros([100, 8, 8, 3]), 30) => "Glow: expected images [batch, 3, 8, 8] (channels, height, width), found shape [100, 8, 8, 3]; move the channels to axis 1";
    real_nvp_channels_last: RealNvpImageConfig::new([1, 4, 6], 1).init(&device()).log_prob(zeros([2, 4, 6, 1])) => "RealNvpImage: expected images [batch, 1, 4, 6] (channels, height, width), found shape [2, 4, 6, 1]; move the channels to axis 1";
    whole_image: images().log_prob(zeros([4, 1, 27, 27])) => "Squeeze: expected an even height and width, found shape [4, 1, 27, 27]";
    whole_checkerboard: checkerboard().log_prob(zeros([4, 1, 28, 27])) => "Coupling: expected shape [batch, 1, 28, 28], found [4, 1, 28, 27]";
}

fn autoregressive() -> MaskedAutoregressive<Affine> {
    let config = MaskedAutoregressiveConfig::new(3).with_context(2);
    config.init(Affine::default(), &device())
}

fn maf() -> burn_flows::model::Maf {
    MafConfig::new(3).with_context(2).with_layers(2).init(&device())
}

fn glow() -> Glow {
    GlowConfig::new([3, 8, 8], 1).with_steps(1).init(&device())
}

fn images() -> Flow<Squeeze, StandardNormal<4>> {
    Flow::new(Squeeze::default(), StandardNormal::new([4, 14, 14], &device()))
}

fn checkerboard() -> Flow<Coupling<Affine, burn_flows::conditioner::ConvNet>, StandardNormal<4>> {
    let network = |from, to| ConvNetConfig::new(4).init(from, to, 0, &device());
    let mask = Mask::Checkerboard;
    let layer = Coupling::new(&mask, &[1, 28, 28], Affine::default(), network, &device()).unwrap();
    Flow::new(layer, StandardNormal::new([1, 28, 28], &device()))
}

/// A context of one row gives the same numbers as that row repeated for every event.
macro_rules! one_row_for_all {
    ($($name:ident: $layer:expr, $x:expr;)+) => {
        $(#[test]
        fn $name() {
            let (layer, x, one) = ($layer, $x, contexts(1) + 0.5);
            let all = one.clone().expand([x.dims()[0], 2]);
            let [found, expected] = [&one, &all].map(|context| layer.forward(x.clone(), Some(context)));
            assert_eq!(found.0.into_data(), expected.0.into_data());
            assert_eq!(found.1.into_data(), expected.1.into_data());
        })+
    };
}

one_row_for_all! {
    one_row_coupling: flow().bijector()[0].clone(), zeros(X) + 0.3;
    one_row_autoregressive: autoregressive(), zeros(X) + 0.3;
    one_row_residual: ResidualConfig::new(3).with_context(2).init(&device()), zeros(X) + 0.3;
    one_row_cnf: CnfConfig::new(3).with_context(2).init(&device()), zeros(X) + 0.3;
    one_row_block: BlockNeuralAutoregressiveConfig::new(3).with_context(2).init(&device()), zeros(X) + 0.3;
    one_row_linear: LuLinearConfig::new(3).init(&device()).with_context(zeros([2, 3]) + 0.1), zeros(X) + 0.3;
}

fn trained(data: FitData<2>) -> burn_flows::Result<()> {
    fit(flow(), data, &FitConfig::new().with_epochs(1)).map(|_| ())
}

fn data<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    noise().normal(shape, &device())
}

errors! {
    fit_events_of_another_precision: trained(FitData::new(data(X).cast(DType::F64)).with_context(contexts(10))) => "training data: holds F64, but the model computes in F32; cast the data or the model";
    fit_context_of_another_precision: trained(FitData::new(data(X)).with_context(f64s([10, 2]))) => "context of the training data: holds F64, but the model computes in F32; cast the data or the model";
    fit_validation_of_another_precision: trained(FitData::new(data(X)).with_context(contexts(10)).with_validation((data(X), f64s([10, 2])))) => "validation data: has rows of shape [3] in F32 with a context of width 2 in F64, but the training data has rows of shape [3] in F32 with a context of width 2 in F32";
    constant_pixel: FitData::new(data([5, 2, 3, 4]).slice_fill([0..5, 1..2, 2..3, 3..4], 0.5)).check() => "training data: the pixel of channel 1, row 2, column 3 is constant (0.5), its density is infinite; dequantize the images (with_dequantization), or crop them";
    constant_column: FitData::new(data([5, 3]).slice_fill([0..5, 1..2], 0.5)).check() => "training data: column 1 is constant (0.5), its density is infinite; remove the column";
    fit_rows: trained(FitData::new(data(X)).with_context(contexts(20))) => "training data: has 10 rows, but 20 rows of context";
    fit_validation_rows: trained(FitData::new(data(X)).with_context(contexts(10)).with_validation((data(X), contexts(20)))) => "validation data: has 10 rows, but 20 rows of context";
}
