//! Combinations of configurations. If `validate` and `try_init` accept a combination, it can be built, runs in both
//! directions, and each value influences only the outputs that it may influence.

use burn::module::Module;
use burn::nn::activation::{
    ActivationConfig as Burn, CeluConfig, EluConfig, HardShrinkConfig, HardSigmoidConfig,
    LeakyReluConfig, PReluConfig, ShrinkConfig, SoftShrinkConfig, SoftplusConfig, SwiGluConfig,
    ThresholdedReluConfig,
};
use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::bijector::*;
use burn_flows::conditioner::*;
use burn_flows::model::*;
use burn_flows::testing::moved;
use burn_flows::univariate::*;
use burn_flows::{Noise, Result, burn};

fn device() -> Device {
    Device::flex()
}

fn rows<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Noise::seeded(5).normal::<D>(shape, &device()).tanh() * 0.9
}

fn context(rows: usize, width: usize) -> Option<Tensor<2>> {
    (width > 0).then(|| self::rows([rows, width]))
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// `x` with a changed number at one place of the flattened tensor.
fn touched<const D: usize>(x: &Tensor<D>, at: usize) -> Tensor<D> {
    let mut values = host(x.clone());
    values[at] += 0.5;
    Tensor::from_data(TensorData::new(values, x.dims()), &device())
}

/// The places of the flattened result that change with the number at one place.
fn changed<const D: usize>(
    run: impl Fn(Tensor<D>) -> Vec<f64>,
    x: &Tensor<D>,
    at: usize,
) -> Vec<usize> {
    let (before, after) = (run(x.clone()), run(touched(x, at)));
    (0..before.len()).filter(|&i| before[i] != after[i]).collect()
}

/// Every activation of burn that is valid for layers of this width.
fn activations(width: usize) -> Vec<ActivationConfig> {
    let prelu = |count| Burn::PRelu(PReluConfig::new().with_num_parameters(count));
    let burn = [
        Burn::Identity,
        Burn::Gelu,
        Burn::GeluApproximate,
        prelu(1),
        prelu(width),
        prelu(3),
        Burn::Relu,
        Burn::LeakyRelu(LeakyReluConfig::new()),
        Burn::SwiGlu(SwiGluConfig::new(width, width)),
        Burn::SwiGlu(SwiGluConfig::new(width, 2 * width)),
        Burn::SwiGlu(SwiGluConfig::new(3, 3)),
        Burn::Selu,
        Burn::Sigmoid,
        Burn::Tanh,
        Burn::HardSigmoid(HardSigmoidConfig::new()),
        Burn::HardSwish,
        Burn::Softplus(SoftplusConfig::new()),
        Burn::Softsign,
        Burn::Elu(EluConfig::new()),
        Burn::Celu(CeluConfig::new()),
        Burn::ThresholdedRelu(ThresholdedReluConfig::new()),
        Burn::HardShrink(HardShrinkConfig::new()),
        Burn::SoftShrink(SoftShrinkConfig::new()),
        Burn::Shrink(ShrinkConfig::new()),
    ];
    let own = [ActivationConfig::Relu, ActivationConfig::Silu];
    own.into_iter().chain(burn.into_iter().map(ActivationConfig::Burn)).collect()
}

/// A pixel influences the parameters of the pixels around it and no others.
fn check_pixels(net: impl Conditioner<4>, reach: usize, [height, width]: [usize; 2], what: &str) {
    let net = moved(net, 1).valid();
    let x = rows([2, 2, height, width]);
    let given = context(2, 1);
    let run = |x: Tensor<4>| host(net.forward(x, given.as_ref()));
    let count = run(x.clone()).len() / 2 / height / width;
    assert_eq!(count, 3, "{what}");
    for at in [0, width + 1, height * width - 1] {
        let (row, column) = (at / width, at % width);
        for place in changed(run, &x, at) {
            assert!(place < count * height * width, "{what}: another image");
            let (i, j) = (place / width % height, place % width);
            assert!(
                i.abs_diff(row) <= reach && j.abs_diff(column) <= reach,
                "{what}: {at} to {i}, {j}"
            );
        }
    }
}

#[test]
fn image_networks_of_every_activation_keep_pixels_apart() {
    let mut built = 0;
    let normalizations = [Normalization::None, Normalization::ActNorm, Normalization::Weight];
    // Images as wide as the layers, narrower and wider.
    for size in [[8, 8], [4, 6], [6, 9]] {
        for activation in activations(8) {
            for normalization in normalizations {
                let what = format!("{size:?}, {normalization:?}, {activation:?}");
                let conv = ConvNetConfig::new(8).with_activation(activation.clone());
                let conv = conv.with_normalization(normalization).with_dropout(0.1).with_seed(1);
                let residual = ResidualConvNetConfig::new(8).with_blocks(1).with_seed(1);
                let residual =
                    residual.with_activation(activation.clone()).with_normalization(normalization);
                assert_eq!(conv.validate().is_ok(), residual.validate().is_ok(), "{what}");
                if conv.validate().is_ok() {
                    check_pixels(conv.init(2, 3, 1, &device()), 2, size, &what);
                    check_pixels(residual.init(2, 3, 1, &device()), 3, size, &what);
                    built += 1;
                }
            }
        }
    }
    assert_eq!(built, 3 * 3 * 23);
}

#[test]
fn dense_networks_of_every_activation_keep_rows_apart() {
    let mut built = 0;
    for activation in activations(6) {
        for (residual, width, periodic) in
            [(false, 0, false), (true, 2, true), (true, 0, false), (false, 2, true)]
        {
            let what = format!("{residual}, {width}, {activation:?}");
            let periodic = periodic.then(|| Periodic { inputs: vec![1], period: 2.0 });
            let mlp = MlpConfig::new(vec![6, 6]).with_activation(activation.clone()).with_seed(1);
            let mlp = mlp.with_residual(residual).with_periodic(periodic).with_dropout(0.1);
            if mlp.validate().is_err() {
                continue;
            }
            let net = moved(mlp.init(3, 2, width, &device()), 1).valid();
            let x = rows([4, 3]);
            let run = |x: Tensor<2>| host(net.forward(x, context(4, width).as_ref()));
            let places = changed(run, &x, 4);
            assert!(places.iter().all(|place| place / 2 == 1), "{what}: {places:?}");
            built += 1;
        }
    }
    assert_eq!(built, 4 * 23);
}

#[test]
fn masked_networks_of_every_activation_keep_their_order() {
    let orders = [
        Dependencies::Forward,
        Dependencies::Reversed,
        Dependencies::Random(3),
        Dependencies::Order(vec![2, 0, 3, 1]),
        Dependencies::Parents(vec![vec![], vec![0], vec![0], vec![1, 2]]),
    ];
    let mut built = 0;
    for activation in activations(6) {
        for (index, dependencies) in orders.iter().enumerate() {
            let what = format!("{dependencies:?}, {activation:?}");
            let (residual, width) = (index % 2 == 0, if index % 3 == 0 { 2 } else { 0 });
            let periodic = (index == 1).then(|| Periodic { inputs: vec![1], period: 2.0 });
            let made = MadeConfig::new(vec![6, 6]).with_activation(activation.clone()).with_seed(1);
            let made = made.with_residual(residual).with_dependencies(dependencies.clone());
            let made =
                made.with_degrees(Degrees::Random(1)).with_periodic(periodic).with_dropout(0.1);
            let layer = MaskedAutoregressiveConfig::new(4).with_made(made).with_context(width);
            let Ok(layer) = layer.try_init(Affine::default(), &device()) else { continue };
            let layer = moved(layer, 1).valid();
            let (x, given) = (rows([3, 4]), context(3, width));
            let (z, _) = layer.forward(x.clone(), given.as_ref());
            let off =
                (layer.inverse(z, given.as_ref()) - x.clone()).abs().max().into_scalar::<f32>();
            assert!(off < 1e-3, "{what}: {off}");
            let run = |x: Tensor<2>| host(layer.forward(x, given.as_ref()).0);
            // If a feature influences another one, the other one does not influence it.
            let decided: Vec<Vec<usize>> = (0..4).map(|at| changed(run, &x, at)).collect();
            for (at, places) in decided.iter().enumerate() {
                assert!(places.contains(&at) && places.iter().all(|place| *place < 4), "{what}");
                let back = places
                    .iter()
                    .filter(|place| **place != at)
                    .any(|place| decided[*place].contains(&at));
                assert!(!back, "{what}: {decided:?}");
            }
            built += 1;
        }
    }
    assert!(built > 5 * 18, "{built}");
}

/// The scalar maps of run-time configurations, on the interval of the data if a map has one.
fn maps() -> Vec<AnyUnivariateConfig> {
    let bound = 2.0;
    let domains = [
        SplineDomain::LinearTails { bound },
        SplineDomain::Interval { low: -bound, high: bound },
        SplineDomain::Circular { bound },
    ];
    let splines = domains.into_iter().flat_map(|domain| {
        let quadratic = RationalQuadraticConfig::new().with_domain(domain);
        [
            AnyUnivariateConfig::RationalQuadratic(quadratic),
            AnyUnivariateConfig::RationalQuadratic(
                quadratic.with_knot_map(KnotMap::SoftBound { bound: 7.0 }),
            ),
            AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new().with_domain(domain)),
            AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new().with_domain(domain)),
            AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new().with_domain(domain)),
            AnyUnivariateConfig::HalfTurn { bound, spline: quadratic },
        ]
    });
    let scales = [
        ScaleMap::default(),
        ScaleMap::Exp,
        ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 },
        ScaleMap::InverseSigmoid { offset: 2.0 },
        ScaleMap::Softplus { offset: 0.5, floor: 1e-2 },
    ];
    let others = [
        AnyUnivariateConfig::Additive,
        AnyUnivariateConfig::Bernstein(BernsteinConfig::new()),
        AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()),
        AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()),
        AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()),
        AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()),
    ];
    splines.chain(scales.map(AnyUnivariateConfig::Affine)).chain(others).collect()
}

/// Runs both directions of a layer near its initial weights. A row must not influence other rows.
fn runs<const D: usize>(layer: impl Bijector<D>, shape: [usize; D], width: usize, what: &str) {
    let layer = layer.valid();
    let (x, given) = (rows(shape), context(shape[0], width));
    let (z, log_det) = layer.forward(x.clone(), given.as_ref());
    assert!(host(log_det).iter().all(|v| v.is_finite()), "{what}");
    let off = (layer.inverse(z, given.as_ref()) - x.clone()).abs().max().into_scalar::<f32>();
    assert!(off < 2e-3, "{what}: {off}");
    let event = shape[1..].iter().product::<usize>();
    let run = |x: Tensor<D>| host(layer.forward(x, given.as_ref()).0);
    let places = changed(run, &x, event);
    assert!(places.iter().all(|place| place / event == 1), "{what}: {places:?}");
}

#[test]
fn every_map_runs_in_every_structure() {
    let (device, mlp) = (device(), || MlpConfig::new(vec![6]).with_seed(1));
    let methods = [InverseMethod::Incremental, InverseMethod::FixedPoint { tolerance: 1e-6 }];
    for map in maps() {
        assert!(map.validate().is_ok(), "{map:?}");
        for (width, mask) in
            [(0, Mask::Alternating), (2, Mask::Random(1)), (0, Mask::Kept(vec![3]))]
        {
            let config = CouplingConfig::new(4).with_mask(mask).with_mlp(mlp()).with_context(width);
            let layer = config.try_init(map.init(), &device).unwrap();
            runs(layer, [3, 4], width, &format!("coupling of {map:?}"));
        }
        for (inverse, width) in methods.into_iter().zip([0, 2, 0]) {
            let made =
                MadeConfig::new(vec![6]).with_dependencies(Dependencies::Random(2)).with_seed(1);
            let config = MaskedAutoregressiveConfig::new(4).with_made(made).with_inverse(inverse);
            let layer = config.with_context(width).try_init(map.init(), &device).unwrap();
            runs(layer, [3, 4], width, &format!("{inverse:?} of {map:?}"));
        }
        let free = || Elementwise::new(map.init(), 4, &device).unwrap();
        runs(free(), [3, 4], 0, &format!("elementwise {map:?}"));
        runs(
            free().with_context(&mlp(), 2, &device).unwrap(),
            [3, 4],
            2,
            &format!("elementwise {map:?}"),
        );
        let network = |from, to| ConvNetConfig::new(4).with_seed(1).init(from, to, 0, &device);
        for mask in [Mask::Halves, Mask::Checkerboard, Mask::FoldedCheckerboard] {
            let layer = Coupling::new(&mask, &[2, 4, 4], map.init(), network, &device).unwrap();
            runs(layer, [2, 2, 4, 4], 0, &format!("{mask:?} of {map:?}"));
        }
    }
}

/// A map with weights for each element fits layers with this number of elements only.
#[test]
fn maps_of_so_many_elements() {
    let device = device();
    let neural = |elements| {
        let config =
            NeuralConfig::new().with_signal(2).with_hidden(vec![4]).with_elements(elements);
        config.with_seed(1).init(&device)
    };
    let unconstrained = |elements| {
        let config = UnconstrainedMonotonicConfig::new().with_signal(2).with_hidden(vec![4]);
        config.with_elements(elements).with_seed(1).init(&device)
    };
    let kinds = |count: usize| PerElement::new(vec![Affine::default()], vec![0; count]).unwrap();
    let angles = |count| HalfTurn::new(kinds(count), 2.0).unwrap();
    fn check<U: Univariate>(of: impl Fn(usize) -> U, device: &Device, any: &[usize]) {
        let made = || MadeConfig::new(vec![6]).with_seed(1);
        let mlp = || MlpConfig::new(vec![6]).with_seed(1);
        for count in [0, 2, 3, 4, 16].into_iter().filter(|count| any.contains(&0) || *count > 0) {
            let fits = |moved| count == moved || any.contains(&count);
            let coupling = CouplingConfig::new(5).with_mask(Mask::Kept(vec![1, 2])).with_mlp(mlp());
            let found = coupling.try_init(of(count), device);
            assert_eq!(found.is_ok(), fits(3), "{count}");
            found.into_iter().for_each(|layer| runs(layer, [3, 5], 0, "coupling"));
            let masked = MaskedAutoregressiveConfig::new(4).with_made(made());
            let found = masked.try_init(of(count), device);
            assert_eq!(found.is_ok(), fits(4), "{count}");
            found.into_iter().for_each(|layer| runs(layer, [3, 4], 0, "masked"));
            let network = |from, to| ConvNetConfig::new(4).with_seed(1).init(from, to, 0, device);
            for (mask, moved) in [(Mask::Halves, 16), (Mask::Checkerboard, 16)] {
                let found = Coupling::new(&mask, &[2, 4, 4], of(count), network, device);
                assert_eq!(found.is_ok(), fits(moved), "{count} {mask:?}");
                found.into_iter().for_each(|layer| runs(layer, [2, 2, 4, 4], 0, "image"));
            }
        }
    }
    check(neural, &device, &[0]);
    check(unconstrained, &device, &[0]);
    check(kinds, &device, &[]);
    check(angles, &device, &[]);
    assert!(Elementwise::new(kinds(3), 2, &device).is_err());
    assert!(PerElement::new(vec![neural(2)], vec![0; 3]).is_err());
}

/// A map with more parameters than a network can output is rejected where both are known.
#[test]
fn maps_of_too_many_parameters() {
    let spline = |bins| {
        RationalQuadraticConfig::new().with_bins(bins).with_min_width(1e-6).with_min_height(1e-6)
    };
    let wide = spline(1 << 19);
    assert!(wide.validate().is_ok());
    let coupling = CouplingConfig::new(32).with_mlp(MlpConfig::new(vec![128]));
    assert!(coupling.validate().is_ok());
    let error = coupling.try_init(wide.init(), &device()).unwrap_err().to_string();
    assert!(error.starts_with("MlpConfig.hidden: needs a tensor of shape [128, "), "{error}");
    let panic = std::panic::catch_unwind(|| coupling.init(wide.init(), &device())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>(), Some(&error));
    let masked = MaskedAutoregressiveConfig::new(32);
    assert!(masked.validate().is_ok());
    let error = masked.try_init(wide.init(), &device()).unwrap_err().to_string();
    assert!(error.starts_with("MadeConfig.outputs: needs a tensor of shape [128, 32, "), "{error}");
    for result in [
        NsfConfig::new(4096).with_elementwise(Some(wide)).validate(),
        AutoregressiveNsfConfig::new(4096)
            .with_made(MadeConfig::new(vec![4096]))
            .with_elementwise(Some(wide))
            .validate(),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("Config.elementwise: needs a tensor of shape ["), "{error}");
    }
}

fn any(text: &str) -> Result<AnyBijector> {
    serde_json::from_str::<AnyBijectorConfig>(text).unwrap().try_init(&device())
}

/// The error of a stack names the layers with different features or contexts.
#[test]
fn stacks_at_run_time_agree() {
    let layers = |features: usize, context: usize| {
        let mlp = r#"{"hidden": [4], "activation": "Relu", "dropout": 0.0, "residual": false, "zero_last": true}"#;
        let made = r#"{"hidden": [4], "activation": "Relu", "dropout": 0.0, "residual": false, "dependencies": "Forward", "degrees": "Sequential", "zero_last": true}"#;
        let n = format!("\"features\": {features}");
        let c = format!("{n}, \"context\": {context}, \"mlp\": {mlp}");
        let mut plain: Vec<String> = [
            "ActNorm",
            "DenseLinear",
            "LuLinear",
            "Reverse",
            "Rotation",
            "Standardize",
            "TriangularLinear",
        ]
        .map(|layer| format!("{{\"{layer}\": {{{n}}}}}"))
        .into();
        plain.extend(
            ["Householder", "QrLinear", "SvdLinear"]
                .map(|layer| format!("{{\"{layer}\": {{{n}, \"reflections\": 2}}}}")),
        );
        plain.push(format!("{{\"BatchNorm\": {{{n}, \"epsilon\": 1e-5, \"momentum\": 0.1}}}}"));
        plain.push(format!("{{\"Bounded\": {{\"bounds\": {:?}}}}}", vec!["Free"; features]));
        plain.push(format!("{{\"Shuffle\": {{{n}, \"seed\": 1}}}}"));
        plain.push(format!(
            "{{\"Permutation\": {{\"order\": {:?}}}}}",
            (0..features).collect::<Vec<_>>()
        ));
        plain.push(format!("{{\"Elementwise\": {{\"univariate\": \"Additive\", {n}}}}}"));
        plain.push(format!("{{\"Inverse\": [{{\"Rotation\": {{{n}}}}}, \"Tanh\"]}}"));
        plain.push(format!("{{\"Partial\": {{{n}, \"mask\": \"Alternating\", \"inner\": [{{\"Rotation\": {{\"features\": {}}}}}]}}}}", features / 2));
        let given = vec![
            format!(
                "{{\"Coupling\": {{\"univariate\": \"Additive\", \"coupling\": {{\"mask\": \"Halves\", {c}}}}}}}"
            ),
            format!(
                "{{\"MaskedAutoregressive\": {{\"univariate\": \"Additive\", \"autoregressive\": {{{n}, \"context\": {context}, \"made\": {made}, \"inverse\": \"Incremental\"}}}}}}"
            ),
            format!(
                "{{\"Planar\": {{\"activation\": \"Tanh\", \"constraint\": \"Softplus\", {c}}}}}"
            ),
            format!("{{\"Radial\": {{{c}}}}}"),
            format!(
                "{{\"Sylvester\": {{\"units\": 1, \"reflections\": 2, \"activation\": \"Tanh\", {c}}}}}"
            ),
            format!(
                "{{\"BlockNeuralAutoregressive\": {{{n}, \"block\": 2, \"depth\": 1, \"leak\": 0.1, \"context\": {context}}}}}"
            ),
        ];
        (plain, given)
    };
    let stack = |a: &str, b: &str| {
        any(&format!("{{\"Stack\": [{a}, \"Exp\", {{\"Inverse\": [\"Exp\"]}}, {b}]}}"))
    };
    let (plain, none) = layers(4, 0);
    let ((other, _), (_, two), (_, three)) = (layers(3, 0), layers(4, 2), layers(4, 3));
    for layer in plain.iter().chain(&none) {
        for (index, second) in plain.iter().enumerate() {
            let built =
                stack(layer, second).unwrap_or_else(|error| panic!("{layer}, {second}: {error}"));
            let z = built.valid().forward(rows([3, 4]), None).0;
            assert_eq!(z.dims(), [3, 4]);
            let error = stack(layer, &other[index]).unwrap_err().to_string();
            assert_eq!(
                error,
                "AnyBijectorConfig.Stack: layer 3 takes 3 features, but layer 0 takes 4 features"
            );
        }
    }
    for first in &two {
        for (index, second) in two.iter().enumerate() {
            let built = stack(first, second).unwrap().valid();
            assert_eq!(built.forward(rows([3, 4]), context(3, 2).as_ref()).0.dims(), [3, 4]);
            let error = stack(first, &three[index]).unwrap_err().to_string();
            assert_eq!(
                error,
                "AnyBijectorConfig.Stack: layer 3 takes 3 context values, but layer 0 takes 2 context values"
            );
            let error = stack(first, &none[index]).unwrap_err().to_string();
            assert_eq!(
                error,
                "AnyBijectorConfig.Stack: layer 3 takes 0 context values, but layer 0 takes 2 context values"
            );
        }
        assert!(stack(first, &plain[0]).is_ok());
    }
    let partial = r#"{"Partial": {"features": 4, "mask": "Halves", "inner": [{"Rotation": {"features": 3}}]}}"#;
    let error = any(partial).unwrap_err().to_string();
    assert_eq!(error, "Partial.inner: must take the 2 moved features of the mask, found 3");
}

#[test]
fn models_of_images_run_at_every_size() {
    let mixings = [
        ChannelMixing::Reverse,
        ChannelMixing::Shuffle,
        ChannelMixing::Convolution(Conv1x1Matrix::Plain),
        ChannelMixing::Convolution(Conv1x1Matrix::Householder),
    ];
    let mut built = 0;
    for image in [[1, 2, 2], [1, 4, 6], [3, 4, 4], [2, 8, 4], [1, 5, 4]] {
        for levels in 1..4 {
            let [channels, height, width] = image;
            let x = rows([2, channels, height, width]);
            let given = context(2, 2).unwrap();
            for (index, mixing) in mixings.into_iter().enumerate() {
                let spline = AnyUnivariateConfig::RationalQuadratic(RationalQuadraticConfig::new());
                let map = if index % 2 == 0 { spline } else { AnyUnivariateConfig::Additive };
                let activation = ActivationConfig::Burn(Burn::SwiGlu(SwiGluConfig::new(4, 4)));
                let network = ConvNetConfig::new(4)
                    .with_activation(activation)
                    .with_normalization(Normalization::Weight);
                let config = GlowConfig::new(image, levels)
                    .with_steps(1)
                    .with_mixing(mixing)
                    .with_context(2);
                let config =
                    config.with_network(network).with_univariate(map).with_prior_on_kept(index > 1);
                if config.with_seed(1).validate().is_err() {
                    assert!(
                        height >> levels << levels != height || width >> levels << levels != width
                    );
                    continue;
                }
                let flow = GlowConfig::new(image, levels)
                    .with_steps(1)
                    .with_mixing(mixing)
                    .with_context(2)
                    .with_seed(1)
                    .init(&device());
                assert!(host(flow.given(&given).log_prob(x.clone())).iter().all(|v| v.is_finite()));
                built += 1;
            }
            let network = ResidualConvNetConfig::new(4).with_blocks(1);
            let config = RealNvpImageConfig::new(image, levels)
                .with_network(network)
                .with_context(2)
                .with_seed(1);
            if config.validate().is_ok() {
                let flow = config.init(&device());
                assert!(host(flow.given(&given).log_prob(x.clone())).iter().all(|v| v.is_finite()));
                built += 1;
            }
        }
    }
    assert_eq!(built, (1 + 1 + 2 + 2) * 5);
}

#[test]
fn models_of_vectors_run_at_every_width() {
    let device = device();
    let mlp =
        || MlpConfig::new(vec![6]).with_periodic(Some(Periodic { inputs: vec![0], period: 4.0 }));
    for features in 1..6 {
        let (x, given) = (rows([3, features]), context(3, 2));
        let finite = |log_prob: Tensor<1>, what: &str| {
            assert!(host(log_prob).iter().all(|v| v.is_finite()), "{what} of {features}");
        };
        for masks in [Masks::Alternating, Masks::Halves, Masks::Random(1)] {
            let config = NsfConfig::new(features)
                .with_layers(3)
                .with_masks(masks)
                .with_mlp(mlp())
                .with_context(2);
            let config =
                config.with_linear(true).with_elementwise(Some(RationalQuadraticConfig::new()));
            assert_eq!(config.validate().is_ok(), features > 1, "{masks:?}");
            if features > 1 {
                let flow = config.init(&device);
                finite(flow.given(given.as_ref().unwrap()).log_prob(x.clone()), "NsfConfig");
                assert_eq!(
                    flow.given(given.as_ref().unwrap()).sample::<2>(3).dims(),
                    [3, features]
                );
            }
        }
        for orders in [Orders::Alternating, Orders::Random(1)] {
            let made = MadeConfig::new(vec![6])
                .with_periodic(Some(Periodic { inputs: vec![0], period: 4.0 }));
            let naf = NeuralAutoregressiveFlowConfig::new(features)
                .with_layers(2)
                .with_orders(orders)
                .with_made(made.clone());
            for shared in [false, true] {
                let flow = naf.clone().with_shared(shared).init(&device);
                finite(flow.log_prob(x.clone()), "NeuralAutoregressiveFlowConfig");
                assert_eq!(flow.sample_seeded::<2>(3, 1).dims(), [3, features]);
            }
            let maf = MafConfig::new(features)
                .with_layers(2)
                .with_orders(orders)
                .with_made(made)
                .with_linear(true);
            let flow = maf.with_context(2).init(&device);
            finite(flow.given(given.as_ref().unwrap()).log_prob(x.clone()), "MafConfig");
            assert_eq!(flow.given(given.as_ref().unwrap()).sample::<2>(3).dims(), [3, features]);
        }
    }
}
