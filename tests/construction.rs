//! The rule of construction for every configuration of the crate: its JSON may omit every field that has a default, and
//! `validate`, `try_init` and `init` report the same error for an invalid configuration.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::Device;
use burn_flows::Result;
use burn_flows::bijector::*;
use burn_flows::conditioner::*;
use burn_flows::distribution::*;
use burn_flows::encoder::*;
use burn_flows::model::*;
use burn_flows::train::FitConfig;
use burn_flows::univariate::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn device() -> Device {
    Device::flex()
}

fn read<C: DeserializeOwned>(text: &Value) -> Result<C, serde_json::Error> {
    serde_json::from_value(text.clone())
}

/// The message of the panic, if the call panics.
fn panic_of(call: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(call)).err()?;
    Some(match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a text").to_string(),
    })
}

/// The JSON forms of a configuration. `required` holds the fields without a default, and `wrong` an
/// invalid value of a field. Returns the valid and the invalid configuration.
fn texts<C: DeserializeOwned + serde::Serialize>(required: &str, wrong: &str) -> [C; 2] {
    let required: Value = serde_json::from_str(required).unwrap();
    let config: C = read(&required).unwrap();
    // JSON with all fields reads as the same configuration.
    let whole = serde_json::to_value(&config).unwrap();
    assert_eq!(serde_json::to_value(read::<C>(&whole).unwrap()).unwrap(), whole);
    // The only key of an enum is its variant, not a field.
    let is_struct = |value: &Value| {
        value.as_object().is_some_and(|keys| keys.keys().all(|k| k.starts_with(char::is_lowercase)))
    };
    let fields = required.as_object().filter(|_| is_struct(&required));
    if let (Some(whole), Some(fields)) = (whole.as_object(), fields) {
        for (field, value) in fields {
            let kept = value.is_object() || &whole[field] == value;
            assert!(kept, "{field}: {} of {value}", whole[field]);
            let mut fewer = required.clone();
            fewer.as_object_mut().unwrap().remove(field);
            assert!(read::<C>(&fewer).is_err(), "{field} has a default");
        }
        let mut more = required.clone();
        more.as_object_mut().unwrap().insert("no_such_field".into(), Value::from(1));
        let error = read::<C>(&more).err().expect("an error for an unknown field").to_string();
        assert!(error.contains("no_such_field"), "{error}");
    }
    let mut changed = required;
    match serde_json::from_str(wrong).unwrap() {
        Value::Object(fields) if is_struct(&changed) => {
            changed.as_object_mut().unwrap().extend(fields);
        }
        other => changed = other,
    }
    [config, read(&changed).unwrap()]
}

macro_rules! construct {
    ($($name:ident: $config:ty, $required:expr, $wrong:expr, $(<$rank:literal>)? ($($argument:expr),*);)+) => {
        $(#[test]
        fn $name() {
            let [config, wrong] = texts::<$config>($required, $wrong);
            config.validate().unwrap();
            config.try_init$(::<$rank>)?($($argument),*).unwrap();
            let _ = config.init$(::<$rank>)?($($argument),*);
            let error = wrong.validate().unwrap_err().to_string();
            assert_eq!(wrong.try_init$(::<$rank>)?($($argument),*).map(drop).unwrap_err().to_string(), error);
            assert_eq!(panic_of(|| {
                let _ = wrong.init$(::<$rank>)?($($argument),*);
            }), Some(error));
        })+
    };
}

/// Configurations that do not build a module.
macro_rules! settings {
    ($($name:ident: $config:ty, $wrong:expr;)+) => {
        $(#[test]
        fn $name() {
            let [config, wrong] = texts::<$config>("{}", $wrong);
            config.validate().unwrap();
            assert!(wrong.validate().is_err());
        })+
    };
}

const FEATURES: &str = r#"{"features": 2}"#;
const NONE: &str = r#"{"features": 0}"#;
const NO_LAYERS: &str = r#"{"layers": 0}"#;

construct! {
    actnorm: ActNormConfig, FEATURES, NONE, (&device());
    batch_norm: BatchNormConfig, FEATURES, r#"{"momentum": 0.0}"#, (&device());
    block_autoregressive: BlockNeuralAutoregressiveConfig, FEATURES, NONE, (&device());
    cnf: CnfConfig, FEATURES, r#"{"hidden": [0]}"#, (&device());
    conv1x1: InvertibleConv1x1Config, r#"{"channels": 2}"#, r#"{"channels": 0}"#, (&device());
    dense: DenseLinearConfig, FEATURES, NONE, (&device());
    householder: HouseholderConfig, r#"{"features": 2, "reflections": 1}"#, NONE, (&device());
    lu: LuLinearConfig, FEATURES, NONE, (&device());
    qr: QrLinearConfig, r#"{"features": 2, "reflections": 1}"#, NONE, (&device());
    rotation: RotationConfig, FEATURES, NONE, (&device());
    svd: SvdLinearConfig, r#"{"features": 2, "reflections": 1}"#, NONE, (&device());
    triangular: TriangularLinearConfig, FEATURES, NONE, (&device());
    planar: PlanarConfig, FEATURES, NONE, (&device());
    radial: RadialConfig, FEATURES, NONE, (&device());
    residual: ResidualConfig, FEATURES, r#"{"lipschitz": 1.5}"#, (&device());
    sylvester: SylvesterConfig, r#"{"features": 2, "units": 1}"#, NONE, (&device());
    coupling: CouplingConfig, FEATURES, NONE, (Affine::default(), &device());
    autoregressive: MaskedAutoregressiveConfig, FEATURES, NONE, (Affine::default(), &device());
    any: AnyBijectorConfig, r#"{"ActNorm": {"features": 2}}"#, r#"{"Stack": [{"Stack": [{"ActNorm": {"features": 0}}]}]}"#, (&device());

    activation: ActivationConfig, r#""Relu""#, r#"{"Burn": {"Softplus": {"beta": 0.0, "threshold": 20.0}}}"#, (&device());
    mlp: MlpConfig, r#"{"hidden": [4]}"#, r#"{"hidden": []}"#, (2, 3, 0, &device());
    made: MadeConfig, r#"{"hidden": [4]}"#, r#"{"hidden": []}"#, (2, 3, 0, &device());
    conv: ConvNetConfig, r#"{"hidden": 4}"#, r#"{"hidden": 0}"#, (2, 3, 0, &device());
    residual_conv: ResidualConvNetConfig, r#"{"hidden": 4}"#, r#"{"hidden": 0}"#, (2, 3, 0, &device());

    mlp_encoder: MlpEncoderConfig, r#"{"context": 3, "features": 2}"#, r#"{"context": 0}"#, (&device());
    set_encoder: SetEncoderConfig, r#"{"elements": 3, "width": 2, "features": 2}"#, r#"{"pooled": 0}"#, (&device());
    series_encoder: SeriesEncoderConfig, r#"{"channels": 2, "steps": 9, "features": 2}"#, r#"{"kernel": 2}"#, (&device());
    image_encoder: ImageEncoderConfig, r#"{"image": [1, 4, 4], "features": 2}"#, r#"{"image": [1, 4, 0]}"#, (&device());
    categorical_made: CategoricalMadeConfig, r#"{"categories": [3, 2]}"#, r#"{"categories": [0]}"#, (&device());
    conditional_normal: ConditionalNormalConfig, r#"{"event": [2], "context": 1, "mlp": {"hidden": [4]}}"#, r#"{"context": 0}"#, <2>(&device());
    diag_normal: DiagNormalConfig, r#"{"event": [2]}"#, r#"{"event": []}"#, <2>(&device());
    gaussian_mixture: GaussianMixtureConfig, r#"{"features": 2, "components": 3}"#, NONE, (&device());
    channel_prior: ChannelPriorConfig, r#"{"channels": 2}"#, r#"{"channels": 0}"#, (&device());
    student_t: StudentTConfig, r#"{"event": [2], "degrees_of_freedom": 3.0}"#, r#"{"degrees_of_freedom": 0.0}"#, <2>(&device());

    bernstein: BernsteinConfig, "{}", r#"{"degree": 0}"#, ();
    cubic: CubicSplineConfig, "{}", r#"{"bins": 0}"#, ();
    deep_sigmoidal: DeepSigmoidalConfig, "{}", r#"{"units": 0}"#, ();
    gaussianization: GaussianizationConfig, "{}", r#"{"components": 0}"#, ();
    linear_spline: LinearSplineConfig, "{}", r#"{"bins": 0}"#, ();
    mixture_of_logistics: MixtureOfLogisticsConfig, "{}", r#"{"components": 0}"#, ();
    neural: NeuralConfig, "{}", r#"{"signal": 0}"#, (&device());
    quadratic: QuadraticSplineConfig, "{}", r#"{"bins": 0}"#, ();
    rational_quadratic: RationalQuadraticConfig, "{}", r#"{"bins": 0}"#, ();
    sum_of_squares: SumOfSquaresConfig, "{}", r#"{"polynomials": 0}"#, ();
    unconstrained: UnconstrainedMonotonicConfig, "{}", r#"{"nodes": 0}"#, (&device());
    any_univariate: AnyUnivariateConfig, r#"{"Bernstein": {}}"#, r#"{"Bernstein": {"degree": 0}}"#, ();

    autoregressive_nsf: AutoregressiveNsfConfig, FEATURES, NO_LAYERS, (&device());
    bernstein_flow: BernsteinFlowConfig, FEATURES, NO_LAYERS, (&device());
    circular_nsf: CircularNsfConfig, FEATURES, NO_LAYERS, (&device());
    gaussianization_flow: GaussianizationFlowConfig, FEATURES, NO_LAYERS, (&device());
    glow: GlowConfig, r#"{"image": [1, 4, 4], "levels": 1}"#, r#"{"levels": 3}"#, (&device());
    iaf: IafConfig, FEATURES, NO_LAYERS, (&device());
    maf: MafConfig, FEATURES, NO_LAYERS, (&device());
    maf_mog: MafMogConfig, r#"{"maf": {"features": 2}, "components": 2}"#, r#"{"components": 0}"#, (&device());
    neural_autoregressive_flow: NeuralAutoregressiveFlowConfig, FEATURES, NO_LAYERS, (&device());
    nice: NiceConfig, FEATURES, NO_LAYERS, (&device());
    nsf: NsfConfig, FEATURES, NO_LAYERS, (&device());
    planar_flow: PlanarFlowConfig, FEATURES, NO_LAYERS, (&device());
    real_nvp: RealNvpConfig, FEATURES, NO_LAYERS, (&device());
    real_nvp_image: RealNvpImageConfig, r#"{"image": [1, 4, 4], "levels": 1}"#, r#"{"levels": 0}"#, (&device());
    residual_flow: ResidualFlowConfig, FEATURES, NO_LAYERS, (&device());
    sum_of_squares_flow: SumOfSquaresFlowConfig, FEATURES, NO_LAYERS, (&device());
    unconstrained_autoregressive_flow: UnconstrainedAutoregressiveFlowConfig, FEATURES, NO_LAYERS, (&device());
}

settings! {
    fit: FitConfig, r#"{"batch_size": 0}"#;
}

/// A misspelt field of an enum variant is an error.
#[test]
fn a_choice_refuses_fields_that_it_does_not_have() {
    fn refused<C: DeserializeOwned>(text: &str) {
        let error = serde_json::from_str::<C>(text).err().expect(text).to_string();
        assert!(error.contains("unknown field `slip`"), "{text}: {error}");
    }
    refused::<AnyBijectorConfig>(
        r#"{"Elementwise": {"univariate": "Additive", "features": 2, "slip": 3}}"#,
    );
    refused::<AnyBijectorConfig>(r#"{"Bounded": {"bounds": ["Free"], "slip": 1}}"#);
    refused::<AnyBijectorConfig>(r#"{"LeakyRelu": {"slope": 0.1, "slip": 1}}"#);
    refused::<AnyUnivariateConfig>(r#"{"HalfTurn": {"bound": 1.0, "spline": {}, "slip": 1}}"#);
    refused::<ScaleMap>(r#"{"SoftBound": {"bound": 1.0, "slip": 1}}"#);
    refused::<InverseMethod>(r#"{"FixedPoint": {"tolerance": 1e-6, "slip": 1}}"#);
    refused::<Solver>(r#"{"Rk4": {"steps": 3, "slip": 1}}"#);
    refused::<SplineDomain>(r#"{"Circular": {"bound": 3.0, "slip": 1}}"#);
    refused::<LogDet>(r#"{"Series": {"terms": 2, "roulette": null, "probes": 1, "slip": 1}}"#);
    refused::<RidgeActivation>(r#"{"LeakyRelu": {"slope": 0.1, "slip": 1}}"#);
    refused::<Divergence>(r#"{"Hutchinson": {"probes": 1, "slip": 1}}"#);
    refused::<Periodic>(r#"{"inputs": [0], "period": 1.0, "slip": 1}"#);
}

/// A model rejects parts whose tensors are too large before it allocates them.
#[test]
fn a_model_refuses_parts_that_no_memory_holds() {
    let refused = |result: Result<()>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    };
    refused(
        NsfConfig::new(50_000).with_linear(true).validate(),
        "NsfConfig.features: needs a tensor",
    );
    refused(MafMogConfig::new(MafConfig::new(129), 1 << 24).validate(), "MafMogConfig.");
    let wide = 1 << 24;
    refused(GlowConfig::new([3, 32, 32], 3).with_context(wide).validate(), "");
    refused(RealNvpImageConfig::new([3, 32, 32], 3).with_context(wide).validate(), "");
    let kept = GlowConfig::new([5_600, 4, 4], 2).with_network(ConvNetConfig::new(1));
    refused(kept.validate(), "ChannelPriorConfig.kept: needs a tensor of shape");
    let device = device();
    let normal =
        || ConditionalNormalConfig::new(vec![2], 1, MlpConfig::new(vec![4])).init::<2>(&device);
    let mixture = || Mixture::new(vec![normal(), normal()], &device).unwrap();
    let angles =
        MlpConfig::new(vec![4]).with_periodic(Some(Periodic { inputs: vec![5], period: 1.0 }));
    assert!(mixture().with_context(1, &angles, &device).is_err());
    assert!(mixture().with_context(1 << 25, &MlpConfig::new(vec![4]), &device).is_err());
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(fs::read_to_string(path).unwrap()),
        }
    }
}

/// Every configuration has a row, so that the rule is tested for it.
#[test]
fn every_configuration_has_a_row() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let rows = fs::read_to_string(root.join("tests/construction.rs")).unwrap();
    let mut all = vec![];
    sources(&root.join("src"), &mut all);
    let mut count = 0;
    for kind in ["pub struct ", "pub enum "] {
        for item in all.iter().flat_map(|source| source.split(kind).skip(1)) {
            let name = item.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            if !name.ends_with("Config") {
                continue;
            }
            assert!(
                rows.contains(&format!(": {name}, ")),
                "{name} has no row in tests/construction.rs"
            );
            count += 1;
        }
    }
    assert!(count > 55, "{count} configurations");
}
