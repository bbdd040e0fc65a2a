use std::fmt::Debug;

use burn_flows::bijector::{
    ActNormConfig, AnyBijectorConfig, BatchNormConfig, BlockNeuralAutoregressiveConfig, CnfConfig,
    Conv1x1Matrix, CouplingConfig, DenseLinearConfig, Divergence, FixedPoint, HouseholderConfig,
    InverseMethod, InvertibleConv1x1Config, LogDet, LuLinearConfig, Mask,
    MaskedAutoregressiveConfig, PlanarConfig, PlanarConstraint, QrLinearConfig, RadialConfig,
    ResidualConfig, RidgeActivation, Solver, SvdLinearConfig, SylvesterConfig, Tanh,
    TriangularLinearConfig,
};
use burn_flows::conditioner::{
    ActivationConfig, ConvNetConfig, Degrees, Dependencies, MadeConfig, MlpConfig, Periodic,
};
use burn_flows::distribution::DiagNormalConfig;
use burn_flows::encoder::{
    ImageEncoderConfig, MlpEncoderConfig, SeriesEncoderConfig, SetEncoderConfig,
};
use burn_flows::model::{
    AutoregressiveNsfConfig, ChannelMixing, CircularNsfConfig, GlowConfig, IafConfig, MafConfig,
    MafMogConfig, Masks, NiceConfig, Orders, PlanarFlowConfig, RealNvpConfig, ResidualFlowConfig,
    StepNorm,
};
use burn_flows::univariate::{
    AnyUnivariateConfig, CubicSplineConfig, LinearSplineConfig, QuadraticSplineConfig,
    RationalQuadraticConfig, ScaleMap, SplineDomain, TailSlope,
};
use burn_flows::{Error, Noise, store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{device, folder, moved, names_in, reseal, rows};

/// Any module, because these tests use its configuration only.
fn layer() -> Tanh {
    Tanh {}
}

fn comes_back<C: Serialize + DeserializeOwned + Debug>(config: C) {
    let folder = folder();
    store::save_with_config(&layer(), &config, folder.path().join("it.bpk")).unwrap();
    let back: C = store::load_config(folder.path().join("it.json")).unwrap();
    assert_eq!(format!("{back:?}"), format!("{config:?}"));
}

#[test]
fn every_configuration_comes_back() {
    let mlp = MlpConfig::new(vec![7, 7])
        .with_activation(ActivationConfig::Silu)
        .with_dropout(0.3)
        .with_residual(true)
        .with_periodic(Some(Periodic { inputs: vec![0], period: 360.0 }))
        .with_zero_last(false);
    let scale_map = ScaleMap::Sigmoid { offset: 2.5, floor: 1e-3 };
    let coupling = CouplingConfig::new(3).with_mask(Mask::Random(u64::MAX)).with_mlp(mlp.clone());
    comes_back(ActNormConfig::new(3));
    comes_back(BatchNormConfig::new(3).with_epsilon(2e-7).with_momentum(0.7));
    comes_back(LuLinearConfig::new(5));
    comes_back(DenseLinearConfig::new(5).with_seed(u64::MAX));
    comes_back(HouseholderConfig::new(5, 3).with_seed(1));
    comes_back(QrLinearConfig::new(5, 2).with_seed(2));
    comes_back(SvdLinearConfig::new(5, 4).with_seed(3));
    comes_back(TriangularLinearConfig::new(5));
    comes_back(InvertibleConv1x1Config::new(5).with_parameterisation(Conv1x1Matrix::Householder));
    comes_back(ConvNetConfig::new(9));
    comes_back(MlpEncoderConfig::new(3, 2).with_residual(true).with_seed(1));
    comes_back(SetEncoderConfig::new(3, 2, 2).with_mask(true).with_pooled(5).with_dropout(0.2));
    comes_back(SeriesEncoderConfig::new(2, 9, 2).with_kernel(7).with_stride(4));
    comes_back(ImageEncoderConfig::new([1, 4, 6], 2).with_convolutions(vec![7]));
    comes_back(DiagNormalConfig::new(vec![2, 3]));
    let leaky = RidgeActivation::LeakyRelu { slope: 0.3 };
    let log_softplus = PlanarConstraint::LogSoftplus;
    comes_back(PlanarConfig::new(3).with_activation(leaky).with_constraint(log_softplus));
    comes_back(PlanarFlowConfig::new(3).with_mlp(mlp.clone()).with_context(2));
    comes_back(RadialConfig::new(3).with_mlp(mlp.clone()).with_context(2));
    comes_back(SylvesterConfig::new(3, 2).with_reflections(5));
    let series = LogDet::Series { terms: 3, roulette: Some(0.3), probes: 2 };
    let fixed_point = FixedPoint { tolerance: 1e-7, limit: 77 };
    comes_back(ResidualConfig::new(3).with_training(series).with_fixed_point(fixed_point));
    comes_back(ResidualFlowConfig::new(3).with_evaluation(series).with_lipschitz(0.7));
    comes_back(BlockNeuralAutoregressiveConfig::new(3).with_depth(2).with_leak(0.2));
    let solver = Solver::DormandPrince { atol: 1e-7, rtol: 1e-6, limit: 77 };
    let probes = Divergence::Hutchinson { probes: 3 };
    comes_back(CnfConfig::new(3).with_solver(solver).with_training(probes));
    comes_back(NiceConfig::new(6).with_masks(Masks::Halves).with_mlp(mlp.clone()).with_context(1));
    comes_back(
        RealNvpConfig::new(6)
            .with_layers(3)
            .with_masks(Masks::Random(u64::MAX))
            .with_mlp(mlp.clone())
            .with_scale_map(scale_map),
    );
    let mixing = ChannelMixing::Convolution(Conv1x1Matrix::Svd);
    comes_back(GlowConfig::new([1, 8, 8], 2).with_mixing(mixing));
    comes_back(scale_map);
    comes_back(AnyUnivariateConfig::Affine(scale_map));
    let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
    comes_back(AnyBijectorConfig::Stack(vec![
        AnyBijectorConfig::Coupling { univariate, coupling: coupling.clone() },
        AnyBijectorConfig::Inverse(vec![AnyBijectorConfig::Logit { alpha: 1e-6 }]),
        AnyBijectorConfig::Shuffle { features: 3, seed: 1 << 60 },
        AnyBijectorConfig::Tanh,
    ]));
    comes_back(coupling);
    comes_back(mlp);
    let parents = Dependencies::Parents(vec![vec![], vec![0, 2], vec![0]]);
    for dependencies in [
        Dependencies::Forward,
        Dependencies::Reversed,
        Dependencies::Random(u64::MAX),
        Dependencies::Order(vec![2, 0, 1]),
        parents,
        Dependencies::Adjacency(vec![vec![false, true], vec![false, false]]),
    ] {
        comes_back(MadeConfig::new(vec![9]).with_dependencies(dependencies));
    }
    let made = MadeConfig::new(vec![9, 9]).with_residual(true).with_degrees(Degrees::Random(3));
    let inverse = InverseMethod::FixedPoint { tolerance: 1e-7 };
    for norm in [StepNorm::None, StepNorm::ActNorm, StepNorm::BatchNorm] {
        let maf = MafConfig::new(4)
            .with_layers(3)
            .with_orders(Orders::Random(u64::MAX))
            .with_made(made.clone())
            .with_norm(norm)
            .with_linear(true)
            .with_inverse(inverse);
        comes_back(MafMogConfig::new(maf.clone(), 7).with_seed(u64::MAX));
        comes_back(maf);
    }
    let unit = SplineDomain::Interval { low: -0.5, high: 1.5 };
    let spline = RationalQuadraticConfig::new().with_bins(3).with_domain(unit);
    comes_back(AnyUnivariateConfig::RationalQuadratic(spline));
    let linear = LinearSplineConfig::new().with_bins(9).with_min_height(0.0);
    comes_back(AnyUnivariateConfig::LinearSpline(linear));
    let quadratic = QuadraticSplineConfig::new().with_tail_slope(TailSlope::Nflows);
    comes_back(AnyUnivariateConfig::QuadraticSpline(quadratic.with_min_slope(1e-4)));
    let cubic = CubicSplineConfig::new().with_domain(SplineDomain::Circular { bound: 2.0 });
    comes_back(AnyUnivariateConfig::CubicSpline(cubic.with_end_offset(Some(-0.1))));
    let partial = vec![AnyBijectorConfig::Exp];
    comes_back(AnyBijectorConfig::Partial { features: 4, mask: Mask::Halves, inner: partial });
    let nsf =
        AutoregressiveNsfConfig::new(5).with_made(made.clone()).with_elementwise(Some(spline));
    comes_back(nsf.with_orders(Orders::Random(2)).with_linear(true).with_inverse(inverse));
    comes_back(CircularNsfConfig::new(5).with_layers(2).with_made(made.clone()).with_context(3));
    let orders = Orders::Alternating;
    comes_back(IafConfig::new(4).with_made(made.clone()).with_orders(orders).with_context(2));
    comes_back(MaskedAutoregressiveConfig::new(4).with_made(made).with_inverse(inverse));
}

#[test]
fn a_flow_from_its_files_alone() {
    let folder = folder();
    let config = RealNvpConfig::new(4).with_layers(2).with_masks(Masks::Random(3));
    let flow = moved(config.init(&device()), 1);
    store::save_with_config(&flow, &config, folder.path().join("flow.safetensors")).unwrap();
    let config: RealNvpConfig = store::load_config(folder.path().join("flow.json")).unwrap();
    let loaded =
        store::load(config.init(&device()), folder.path().join("flow.safetensors")).unwrap();
    assert_eq!(loaded.log_prob(rows(5, 4)).into_data(), flow.log_prob(rows(5, 4)).into_data());
}

#[test]
fn a_configuration_of_another_type() {
    let folder = folder();
    let config = RealNvpConfig::new(4);
    store::save_with_config(&layer(), &config, folder.path().join("it.bpk")).unwrap();
    let path = folder.path().join("it.json");
    let error = store::load_config::<NiceConfig>(&path).unwrap_err();
    let expected = format!("{}: holds a RealNvpConfig, not a NiceConfig", path.display());
    assert_eq!(error.to_string(), expected);
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n"), "a text file ends its line");
}

fn damaged(change: impl FnOnce(String) -> String) -> String {
    let folder = folder();
    store::save_with_config(&layer(), &NiceConfig::new(4), folder.path().join("it.bpk")).unwrap();
    let path = folder.path().join("it.json");
    let text = change(std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, text).unwrap();
    let error = store::load_config::<NiceConfig>(&path).unwrap_err();
    assert!(matches!(error, Error::Format { .. }));
    error.to_string()
}

fn resealed(text: String) -> String {
    let mut file = text.into_bytes();
    reseal(&mut file);
    String::from_utf8(file).unwrap()
}

#[test]
fn a_configuration_that_was_changed() {
    let error = damaged(|text| text.replace("\"layers\": 4", "\"layers\": 5"));
    assert!(error.ends_with("checksum mismatch: the file was changed or truncated"), "{error}");
    let error = damaged(|_| r#"{"features": 4}"#.to_string());
    assert!(
        error.contains("no checksum: the file was not written by `burn_flows::store`"),
        "{error}"
    );
    // A checksum at the very end of a file is valid.
    let error = damaged(|_| resealed(format!("burn-flows-sha256:{}", "0".repeat(64))));
    assert!(error.contains("expected value at line 1"), "{error}");
    let error = damaged(|text| resealed(text.replace("\"version\": 1", "\"version\": 7")));
    assert!(error.contains("format version 7, written by burn-flows"), "{error}");
    let error = damaged(|text| resealed(text.replace("\"layers\": 4", "\"floors\": 4")));
    assert!(
        error.contains("unknown field `floors`, expected one of `features`, `layers`"),
        "{error}"
    );
    let error = damaged(|text| resealed(text.replace("\"type\"", "\"kind\"")));
    assert!(error.contains("missing field `type`"), "{error}");
}

#[test]
fn the_path_of_a_configuration() {
    let folder = folder();
    let path = folder.path().join("it.bpk");
    let error = store::load_config::<NiceConfig>(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{}: the extension of a configuration must be `.json`", path.display())
    );
    let error = store::load_config::<NiceConfig>(folder.path().join("it")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    let error = store::load_config::<NiceConfig>(folder.path().join("it.json")).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path.ends_with("it.json")));
}

/// A configuration that JSON cannot represent is rejected before anything is written.
#[test]
fn a_configuration_that_json_cannot_hold() {
    #[derive(Serialize, Deserialize)]
    struct Bound {
        bound: f64,
    }
    #[derive(Serialize, Deserialize)]
    struct Forgetful {
        #[serde(skip_deserializing)]
        bound: f64,
    }
    let folder = folder();
    let path = folder.path().join("it.bpk");
    let error = store::save_with_config(&layer(), &Bound { bound: f64::INFINITY }, &path);
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("it.json: invalid type: null, expected f64"), "{error}");
    let error = store::save_with_config(&layer(), &Forgetful { bound: 1.0 }, &path);
    let error = error.unwrap_err().to_string();
    assert!(
        error.ends_with(
            "Forgetful changes when written to JSON and read back; check its serde attributes"
        ),
        "{error}"
    );
    assert!(names_in(folder.path()).is_empty());
}

/// Every float of a configuration is read back bit for bit.
#[test]
fn floats_come_back_bit_for_bit() {
    let folder = folder();
    let mut noise = Noise::seeded(1);
    for _ in 0..300 {
        let slope = noise.next_normal().exp();
        let config = AnyBijectorConfig::LeakyRelu { slope };
        store::save_with_config(&layer(), &config, folder.path().join("it.bpk")).unwrap();
        match store::load_config(folder.path().join("it.json")).unwrap() {
            AnyBijectorConfig::LeakyRelu { slope: back } => {
                assert_eq!(back.to_bits(), slope.to_bits());
            }
            other => panic!("{other:?}"),
        }
    }
}
