//! Every field of every configuration is changed alone. A model built from the result must not load
//! the file.

use burn::module::Module;
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, ConvNetConfig, Degrees, Dependencies, MadeConfig, MlpConfig, Periodic,
};
use burn_flows::distribution::{
    CategoricalMadeConfig, ConditionalNormalConfig, DiagNormalConfig, GaussianMixtureConfig,
    StudentTConfig,
};
use burn_flows::model::*;
use burn_flows::store;
use burn_flows::univariate::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{device, folder};

/// Fields that decide only the initial weights, or which of them are trained.
const STARTS: [&str; 3] = ["seed", "zero_last", "learned"];

/// Other values that a field could have.
fn others(value: &Value) -> Vec<Value> {
    let names = [
        "None",
        "ActNorm",
        "BatchNorm",
        "Weight",
        "Relu",
        "Silu",
        "Exp",
        "Halves",
        "Alternating",
        "Forward",
        "Reversed",
        "Same",
        "Sequential",
        "Incremental",
        "Exact",
        "Tanh",
        "Elu",
        "Softplus",
        "Permutation",
        "Plain",
        "Lu",
        "Householder",
        "Qr",
        "Svd",
        "First",
        "Last",
        "Convolution",
        "LogSoftplus",
        "Softplus",
        "Zuko",
        "Nflows",
        "Identity",
        "Tails",
        "Unit",
    ];
    let mut others: Vec<Value> = names.iter().map(|name| Value::from(*name)).collect();
    others.extend([
        json!({ "Burn": "Tanh" }),
        json!({ "Burn": { "LeakyRelu": { "negative_slope": 0.3 } } }),
    ]);
    match value {
        Value::Number(number) if number.is_u64() => {
            let number = number.as_u64().unwrap();
            others.extend(
                [number.wrapping_add(1), number.saturating_sub(1), number * 2 % 97]
                    .map(Value::from),
            );
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            others.extend([number * 0.5, number * 1.25 + 1e-3].map(Value::from));
        }
        Value::Bool(value) => others.push(Value::Bool(!value)),
        Value::Null => {
            others.extend([json!(0.25), json!(2), json!({ "inputs": [0], "period": 3.0 })])
        }
        _ => {}
    }
    others.retain(|other| other != value);
    others
}

/// Every configuration that differs in one leaf, with the name of the field.
fn changes(value: &Value, name: &str) -> Vec<(String, Value)> {
    let parts: Vec<(String, Value)> = match value {
        Value::Object(fields) => fields.clone().into_iter().collect(),
        Value::Array(values) => values.iter().cloned().map(|v| (String::new(), v)).collect(),
        leaf => return others(leaf).into_iter().map(|other| (name.to_string(), other)).collect(),
    };
    let mut all: Vec<(String, Value)> =
        others(value).into_iter().map(|other| (name.to_string(), other)).collect();
    for (at, (key, own)) in parts.iter().enumerate() {
        let name = if key.is_empty() { name } else { key };
        all.extend(changes(own, name).into_iter().map(|(name, changed)| {
            let mut whole = value.clone();
            match &mut whole {
                Value::Object(fields) => fields[key] = changed,
                Value::Array(values) => values[at] = changed,
                _ => unreachable!("a leaf"),
            }
            (name, whole)
        }));
    }
    all
}

/// Loads the file of one model into the models of all changed configurations. Returns their number.
fn every_change<C, M>(config: C, init: impl Fn(&C) -> Option<M>) -> usize
where
    C: Serialize + DeserializeOwned,
    M: Module + Serialize,
{
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    store::save(&init(&config).expect("a configuration"), &path).unwrap();
    assert!(store::load(init(&config), &path).is_ok());
    let value = serde_json::to_value(&config).unwrap();
    let mut count = 0;
    for (name, changed) in changes(&value, "") {
        let Ok(other) = serde_json::from_value::<C>(changed.clone()) else { continue };
        // serde may ignore an unknown field, so the configuration may be unchanged.
        if serde_json::to_value(&other).unwrap() == value || STARTS.contains(&&*name) {
            continue;
        }
        if let Some(model) = init(&other) {
            assert!(store::load(model, &path).is_err(), "{name}: {changed}\nlike {value}");
            count += 1;
        }
    }
    count
}

/// A configuration for every kind of run-time layer.
pub fn every_layer() -> Vec<AnyBijectorConfig> {
    use AnyBijectorConfig as Any;
    let mlp = MlpConfig::new(vec![4]).with_activation(ActivationConfig::Silu).with_dropout(0.25);
    let residual = MlpConfig::new(vec![4, 4]).with_residual(true);
    let periodic = Periodic { inputs: vec![0], period: 3.0 };
    let coupling = CouplingConfig::new(4).with_mlp(mlp.clone()).with_context(1);
    let wide = CouplingConfig::new(7).with_mask(Mask::Random(1)).with_mlp(residual);
    let turned = CouplingConfig::new(4).with_mask(Mask::Kept(vec![0, 3]));
    let turned = turned.with_mlp(MlpConfig::new(vec![3]).with_periodic(Some(periodic.clone())));
    let made = MadeConfig::new(vec![5, 5]).with_residual(true).with_dropout(0.25);
    let made = MaskedAutoregressiveConfig::new(3).with_made(made).with_context(1);
    let random = MadeConfig::new(vec![12, 11]).with_degrees(Degrees::Random(1));
    let random = random.with_dependencies(Dependencies::Random(1)).with_periodic(Some(periodic));
    let random = MaskedAutoregressiveConfig::new(6).with_made(random);
    let random = random.with_inverse(InverseMethod::FixedPoint { tolerance: 1e-5 });
    let series = LogDet::Series { terms: 3, roulette: Some(0.5), probes: 2 };
    let activation = RidgeActivation::LeakyRelu { slope: 0.5 };
    let spline = RationalQuadraticConfig::new().with_bins(3);
    let maps = [
        AnyUnivariateConfig::Additive,
        AnyUnivariateConfig::Affine(ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 }),
        AnyUnivariateConfig::Bernstein(BernsteinConfig::new()),
        AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()),
        AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()),
        AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()),
        AnyUnivariateConfig::HalfTurn {
            bound: 2.0,
            spline: spline.with_domain(SplineDomain::Circular { bound: 2.0 }),
        },
        AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new().with_bins(3)),
        AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new().with_bins(3)),
        AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new().with_bins(3)),
        AnyUnivariateConfig::RationalQuadratic(spline),
        AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()),
    ];
    let affine = AnyUnivariateConfig::Affine(ScaleMap::default());
    let mut all: Vec<_> =
        maps.map(|univariate| Any::Elementwise { univariate, features: 2 }).into();
    all.extend([
        Any::ActNorm(ActNormConfig::new(2)),
        Any::BatchNorm(BatchNormConfig::new(2)),
        Any::BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig::new(2).with_block(2)),
        Any::Cnf(CnfConfig::new(2).with_hidden(vec![3]).with_frequencies(1)),
        Any::Cnf(
            CnfConfig::new(2)
                .with_hidden(vec![3])
                .with_solver(Solver::Rk4 { steps: 3 })
                .with_training(Divergence::Hutchinson { probes: 2 }),
        ),
        Any::Bounded { bounds: vec![Bound::Free, Bound::Above(0.5), Bound::Between(-1.0, 2.0)] },
        Any::Coupling { univariate: affine, coupling },
        Any::Coupling { univariate: AnyUnivariateConfig::Additive, coupling: wide },
        Any::Coupling { univariate: AnyUnivariateConfig::Additive, coupling: turned },
        Any::DenseLinear(DenseLinearConfig::new(2)),
        Any::ElementwiseContext { univariate: affine, features: 2, context: 1, mlp: mlp.clone() },
        Any::Exp,
        Any::Householder(HouseholderConfig::new(3, 2)),
        Any::Inverse(vec![Any::Tanh, Any::Softplus]),
        Any::LeakyRelu { slope: 0.25 },
        Any::LeakyTanh { turn: 1.5 },
        Any::Logit { alpha: 0.05 },
        Any::LuLinear(LuLinearConfig::new(2)),
        Any::MaskedAutoregressive { univariate: affine, autoregressive: made },
        Any::MaskedAutoregressive {
            univariate: AnyUnivariateConfig::Additive,
            autoregressive: random,
        },
        Any::Partial { features: 3, mask: Mask::Kept(vec![1]), inner: vec![Any::Exp] },
        Any::Permutation { order: vec![2, 0, 1] },
        Any::Planar(
            PlanarConfig::new(2).with_activation(activation).with_context(1).with_mlp(mlp.clone()),
        ),
        Any::QrLinear(QrLinearConfig::new(3, 2)),
        Any::Radial(RadialConfig::new(2).with_context(1).with_mlp(mlp.clone())),
        Any::Residual(ResidualConfig::new(2).with_hidden(vec![3]).with_training(series)),
        Any::Reverse { features: 3 },
        Any::Shuffle { features: 9, seed: 1 },
        Any::Rotation(RotationConfig::new(3)),
        Any::Softclip { bound: 2.0 },
        Any::Softplus,
        Any::Stack(vec![Any::Exp, Any::Stack(vec![Any::Tanh])]),
        Any::Standardize { features: 2 },
        Any::SvdLinear(SvdLinearConfig::new(3, 2)),
        Any::Sylvester(SylvesterConfig::new(3, 2).with_context(1).with_mlp(mlp.clone())),
        Any::Tanh,
        Any::TriangularLinear(TriangularLinearConfig::new(2)),
    ]);
    all
}

#[test]
fn every_field_of_every_layer() {
    let counts = every_layer().into_iter().map(|config| {
        every_change(config, |config| {
            // A changed value that needs too much memory does not belong to this test.
            config.try_init(&device()).ok()
        })
    });
    let total: usize = counts.sum();
    assert!(total > 400, "{total}");
}

/// Every variant of the run-time layers has a configuration in the list.
#[test]
fn every_run_time_layer_is_in_the_list() {
    let source = include_str!("../../src/bijector/any/table.rs");
    let (_, table) = source.split_once("\ntable! {").unwrap();
    let (table, _) = table.split_once("\n}").unwrap();
    // Variants of the configuration are in every section except `composed`.
    let sections = table.split("\n    }").filter(|text| !text.contains("\n    composed {"));
    let lines = sections.flat_map(str::lines).filter_map(|line| line.strip_prefix("        "));
    let names = lines.filter(|line| line.starts_with(char::is_uppercase));
    let names: Vec<_> =
        names.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap()).collect();
    assert!(names.len() > 30, "{names:?}");
    let list = serde_json::to_string(&every_layer()).unwrap();
    for name in names {
        assert!(list.contains(&format!("\"{name}\"")), "{name}");
    }
}

macro_rules! models {
    ($($name:ident: $config:expr;)+) => {
        $(#[test]
        fn $name() {
            let count = every_change($config, |config| {
                config.validate().ok()?;
                Some(config.init(&device()))
            });
            assert!(count > 3, "{count}");
        })+
    };
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![3])
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![4])
}

models! {
    real_nvp: RealNvpConfig::new(4).with_layers(2).with_mlp(mlp());
    nice: NiceConfig::new(4).with_layers(2).with_mlp(mlp());
    maf: MafConfig::new(3).with_layers(2).with_made(made());
    maf_on_a_mixture: MafMogConfig::new(MafConfig::new(3).with_layers(2).with_made(made()), 2);
    iaf: IafConfig::new(3).with_layers(2).with_made(made());
    planar_flow: PlanarFlowConfig::new(3).with_context(1).with_mlp(mlp());
    residual_flow: ResidualFlowConfig::new(2).with_layers(2);
    glow: GlowConfig::new([1, 4, 4], 2).with_steps(1);
    real_nvp_image: RealNvpImageConfig::new([1, 4, 4], 1);
    nsf: NsfConfig::new(4).with_layers(2).with_mlp(mlp());
    autoregressive_nsf: AutoregressiveNsfConfig::new(3).with_layers(2).with_made(made());
    circular_nsf: CircularNsfConfig::new(3).with_layers(2).with_made(made());
    naf: NeuralAutoregressiveFlowConfig::new(2).with_layers(2).with_made(made());
    unaf: UnconstrainedAutoregressiveFlowConfig::new(2).with_layers(2).with_made(made());
    sum_of_squares_flow: SumOfSquaresFlowConfig::new(2).with_layers(2).with_made(made());
    bernstein_flow: BernsteinFlowConfig::new(2).with_layers(2).with_made(made());
    gaussianization_flow: GaussianizationFlowConfig::new(2).with_layers(2).with_context(1).with_mlp(mlp());
    mixture: GaussianMixtureConfig::new(2, 3);
}

#[test]
fn distributions_of_any_rank() {
    let count = every_change(DiagNormalConfig::new(vec![2]), |config| {
        config.validate().ok().filter(|()| config.event.len() == 1)?;
        Some(config.init::<2>(&device()))
    });
    assert!(count > 1);
    let count = every_change(StudentTConfig::new(vec![2], 2.5), |config| {
        config.validate().ok().filter(|()| config.event.len() == 1)?;
        Some(config.init::<2>(&device()))
    });
    assert!(count > 2);
    let count = every_change(ConditionalNormalConfig::new(vec![2], 3, mlp()), |config| {
        config.validate().ok().filter(|()| config.event.len() == 1)?;
        Some(config.init::<2>(&device()))
    });
    assert!(count > 3);
}

#[test]
fn categories() {
    let made = MadeConfig::new(vec![4, 4]);
    let config = CategoricalMadeConfig::new(vec![3, 2]).with_made(made).with_context(1);
    let count = every_change(config, |config| config.try_init(&device()).ok());
    assert!(count > 5, "{count}");
}

#[test]
fn networks() {
    let config = ConvNetConfig::new(3).with_dropout(0.25);
    let count = every_change(config, |config| {
        config.validate().ok()?;
        Some(config.init(1, 2, 1, &device()))
    });
    assert!(count > 3);
    let config = NeuralConfig::new().with_signal(3).with_hidden(vec![3]).with_elements(2);
    let count = every_change(config, |config| {
        config.validate().ok()?;
        Some(config.init(&device()))
    });
    assert!(count > 2);
    let config = UnconstrainedMonotonicConfig::new().with_signal(3).with_hidden(vec![3]);
    let config = config.with_elements(2);
    let count = every_change(config, |config| {
        config.validate().ok()?;
        Some(config.init(&device()))
    });
    assert!(count > 4);
}
