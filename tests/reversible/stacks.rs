//! Reversible steps of every composition, and of custom layers.

use burn_flows::bijector::{self, *};
use burn_flows::conditioner::ConvNetConfig;
use burn_flows::univariate::*;

use super::Recovery::{Graph, Input, Inverse};
use super::*;

fn device() -> Device {
    Device::flex()
}

/// A smooth activation. A ReLU near its kink could have either gradient after rounding.
fn mlp() -> MlpConfig {
    MlpConfig::new(vec![16]).with_activation(ActivationConfig::Silu)
}

fn coupling(features: usize) -> Coupling<Affine, burn_flows::conditioner::Mlp> {
    CouplingConfig::new(features).with_mlp(mlp()).init(Affine::default(), &device())
}

fn flow<B: Bijector<2>>(bijector: B) -> Flow<B, StandardNormal<2>> {
    Flow::new(bijector, StandardNormal::new([4], &device()))
}

fn lu() -> LuLinear {
    LuLinearConfig::new(4).init(&device())
}

#[test]
fn tuples_options_and_vectors_in_each_other() {
    let step = |on: bool| (on.then(lu), coupling(4), ActNormConfig::new(4).init(&device()));
    let stack =
        || (Permutation::reverse(4, &device()).unwrap(), vec![step(true), step(false)], vec![lu()]);
    assert_trains(|_| flow(stack()), &normal([300, 4], 1), None, &[Inverse]);
    // A stack of no layers.
    let empty = || (Vec::<LuLinear>::new(), None::<LuLinear>, lu());
    assert_trains(|_| flow(empty()), &normal([10, 4], 1), None, &[Inverse]);
}

#[test]
fn the_other_way_round() {
    let stack = || vec![(lu(), coupling(4)), (lu(), coupling(4))];
    let once = || bijector::Inverse::new(stack());
    assert_trains(|_| flow(once()), &normal([300, 4], 1), None, &[Inverse]);
    let twice = || bijector::Inverse::new((stack(), once()));
    assert_trains(|_| flow((twice(), lu())), &normal([300, 4], 1), None, &[Inverse]);
}

#[test]
fn a_layer_that_stands_in_two_places_gets_the_sum() {
    // Clones share their parameters until a mapping replaces them.
    let device = device().autodiff();
    let config = CouplingConfig::new(4).with_mlp(mlp());
    let twice = moved(built(&device, |device| config.init(Affine::default(), device)), 5);
    let norm = BatchNormConfig::new(4).init(&device);
    let stack = (twice.clone(), lu(), twice.clone(), norm.clone(), twice.clone(), norm);
    let layers = assert_same(&flow(stack), &normal([100, 4], 1), None, 1e-5);
    // `train()` and the blocks of many rows make each occurrence of a shared parameter a separate
    // leaf.
    let plain = flow((twice.clone(), lu(), twice));
    assert_same(&plain.valid().train(), &normal([100, 4], 1), None, 1e-5);
    assert_same(&plain, &normal([5000, 4], 1), None, 1e-5);
    let found: Vec<_> = layers.iter().map(|layer| layer.recovery).collect();
    assert_eq!(found, [Graph, Inverse, Graph, Inverse, Inverse, Inverse]);
}

#[test]
fn a_part_of_the_features() {
    let inner = || vec![coupling(2), coupling(2), coupling(2)];
    let mask = Mask::Kept(vec![0, 2]);
    let part = || Partial::new(&mask, &[4], inner(), &device()).unwrap();
    assert_trains(|_| flow((lu(), part(), lu())), &normal([300, 4], 1), None, &[Inverse]);
}

#[test]
fn a_part_of_the_pixels() {
    let event = [1, 4, 4];
    let config = ConvNetConfig::new(4).with_activation(ActivationConfig::Silu);
    let stack = |device: &Device| {
        let inner = (coupling(8), bijector::Inverse::new(coupling(8)));
        let part = Partial::new(&Mask::Checkerboard, &event, inner, device).unwrap();
        let network = |from, to| config.init(from, to, 0, device);
        let whole = Coupling::new(&Mask::Checkerboard, &event, Affine::default(), network, device);
        (whole.unwrap(), part, Squeeze::default(), HaarSqueeze::default())
    };
    let base = StandardNormal::<4>::new([16, 1, 1], &device());
    let make = |device: &Device| Flow::new(stack(device), base);
    assert_trains(make, &normal([50, 1, 4, 4], 1), None, &[Inverse]);
}

#[test]
fn without_the_context_of_the_rest() {
    let config = CouplingConfig::new(4).with_mlp(mlp()).with_context(2);
    let given = || config.init(Affine::default(), &device());
    let stack = || (Unconditional::new(vec![coupling(4)]), given());
    let context = normal([300, 2], 2);
    assert_trains(|_| flow(stack()), &normal([300, 4], 1), Some(&context), &[Inverse]);
}

#[test]
fn stacks_of_a_configuration() {
    use AnyBijectorConfig::*;
    let norm = || ActNorm(ActNormConfig::new(4));
    let coupling = Coupling {
        univariate: AnyUnivariateConfig::Affine(ScaleMap::default()),
        coupling: CouplingConfig::new(4).with_mlp(mlp()),
    };
    let inverse = AnyBijectorConfig::Inverse(vec![Stack(vec![norm(), coupling]), norm()]);
    let part = Partial { features: 4, mask: Mask::Halves, inner: vec![LeakyRelu { slope: 0.3 }] };
    let config = Stack(vec![norm(), inverse, Planar(PlanarConfig::new(4)), part]);
    assert_trains(
        |device| flow(config.init(device)),
        &normal([300, 4], 1),
        None,
        &[Recovery::Inverse, Input, Recovery::Inverse],
    );
}

#[test]
fn every_map_of_a_coupling() {
    let x = normal([100, 4], 1);
    let of = |univariate: AnyUnivariateConfig| {
        let config = CouplingConfig::new(4).with_mlp(mlp());
        let layer = |mask| config.clone().with_mask(mask).init(univariate.init(), &device());
        flow(vec![layer(Mask::Alternating), layer(Mask::Alternating.flipped())])
    };
    for univariate in [
        AnyUnivariateConfig::Additive,
        AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new()),
        AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new()),
        AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new()),
        AnyUnivariateConfig::RationalQuadratic(RationalQuadraticConfig::new()),
    ] {
        println!("{univariate:?}");
        assert_trains(|_| of(univariate), &x, None, &[Inverse]);
    }
    for univariate in [
        AnyUnivariateConfig::Bernstein(BernsteinConfig::new()),
        AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()),
        AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()),
        AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()),
        AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()),
    ] {
        println!("{univariate:?}");
        assert_trains(|_| of(univariate), &x, None, &[Input]);
    }
}

#[test]
fn layers_whose_inverse_is_no_formula_keep_inputs() {
    let x = normal([60, 4], 1);
    let cnf = CnfConfig::new(4).with_hidden(vec![8]);
    assert_trains(|device| flow((lu(), cnf.init(device))), &x, None, &[Input, Inverse]);
    let block = BlockNeuralAutoregressiveConfig::new(4);
    assert_trains(|device| flow((lu(), block.init(device))), &x, None, &[Input, Inverse]);
    let (radial, sylvester) = (RadialConfig::new(4), SylvesterConfig::new(4, 2));
    let stack = |device: &Device| (radial.init(device), lu(), sylvester.init(device));
    assert_trains(|device| flow(stack(device)), &x, None, &[Input, Inverse, Input]);
}

/// `z = x^3 + s x`, without an implemented inverse.
#[derive(Module, Debug)]
struct OneWay {
    slope: Param<Tensor<1>>,
}

impl Bijector<2> for OneWay {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let slope = self.slope.val().exp().unsqueeze::<2>();
        let batch = x.dims()[0];
        let log_slope = (x.clone() * x.clone() * 3.0 + slope.clone()).log();
        let z = x.clone() * x.clone() * x.clone() + x * slope;
        (z, log_slope.sum_dim(1).reshape([batch]))
    }

    fn inverse(&self, _z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        panic!("OneWay has no inverse")
    }
}

#[test]
fn a_layer_without_an_inverse_keeps_its_input() {
    let one_way = || OneWay { slope: Param::from_tensor(Tensor::zeros([1], &device())) };
    let stack = || (coupling(4), one_way(), coupling(4), one_way());
    let expected = [Input, Inverse, Input, Inverse];
    assert_trains(|_| flow(stack()), &(normal([100, 4], 1) * 0.5), None, &expected);
}

#[test]
fn a_graph_in_front_is_left_alone() {
    let model = moved(built(&device(), |_| flow(coupling(4))), 1).train();
    let x = normal([20, 4], 1);
    let (plain, _) = Reversible::new().nll_gradients(&model, &x);
    let tracked = x.autodiff().require_grad() * 1.0;
    let (value, gradients) = Reversible::new().nll_gradients(&model, &tracked);
    assert_eq!(plain, value);
    assert!(!gradients.is_empty());
}
