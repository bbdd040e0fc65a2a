//! A row has the same bits alone, in a batch with any other rows, and on any number of threads.

use burn::tensor::DType;
use burn_flows::cast;
use burn_flows::conditioner::MadeConfig;
use burn_flows::univariate::*;

use super::*;

const FEATURES: usize = 5;

fn maps() -> Vec<AnyUnivariateConfig> {
    vec![
        AnyUnivariateConfig::Affine(ScaleMap::default()),
        AnyUnivariateConfig::RationalQuadratic(RationalQuadraticConfig::new()),
        AnyUnivariateConfig::Bernstein(BernsteinConfig::new()),
        AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()),
        AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()),
        AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()),
        AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()),
    ]
}

/// Layers with a search, and layers whose rows pass through matrix products.
fn layers() -> Vec<AnyBijectorConfig> {
    use AnyBijectorConfig::*;
    let mut layers = vec![];
    for univariate in maps() {
        let coupling = CouplingConfig::new(FEATURES).with_mlp(MlpConfig::new(vec![16]));
        layers.push(Coupling { univariate, coupling });
    }
    for inverse in [
        InverseMethod::Incremental,
        InverseMethod::FixedPoint { tolerance: 1e-2 },
        InverseMethod::FixedPoint { tolerance: 1e-6 },
    ] {
        let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
        let autoregressive = MaskedAutoregressiveConfig::new(FEATURES)
            .with_made(MadeConfig::new(vec![16, 16]))
            .with_inverse(inverse);
        layers.push(MaskedAutoregressive { univariate, autoregressive });
    }
    let cnf = CnfConfig::new(FEATURES).with_hidden(vec![16]);
    let residual = ResidualConfig::new(FEATURES).with_hidden(vec![16]);
    let block = BlockNeuralAutoregressiveConfig::new(FEATURES);
    layers.extend([
        Cnf(cnf.clone()),
        Cnf(cnf.with_solver(Solver::Rk4 { steps: 5 })),
        Residual(residual.clone()),
        Residual(residual.with_evaluation(LogDet::Series { terms: 5, roulette: None, probes: 2 })),
        BlockNeuralAutoregressive(block),
        Planar(PlanarConfig::new(FEATURES)),
        Radial(RadialConfig::new(FEATURES)),
        Sylvester(SylvesterConfig::new(FEATURES, 4)),
        LuLinear(LuLinearConfig::new(FEATURES)),
        QrLinear(QrLinearConfig::new(FEATURES, FEATURES)),
        Rotation(RotationConfig::new(FEATURES)),
        DenseLinear(DenseLinearConfig::new(FEATURES)),
    ]);
    layers
}

/// A masked layer with a given map.
fn masked<U: Univariate>(map: U) -> MaskedAutoregressive<U> {
    let made = MadeConfig::new(vec![16, 16]);
    built(&Device::flex(), |device| {
        MaskedAutoregressiveConfig::new(FEATURES).with_made(made).init(map, device)
    })
}

/// The bits of every row. All NaN count as equal.
fn bits(found: [Tensor<2>; 2], log_dets: [Tensor<1>; 2]) -> Vec<Vec<u64>> {
    let of = |number: f64| if number.is_nan() { f64::NAN } else { number }.to_bits();
    let rows = |data: TensorData, width: usize| -> Vec<Vec<u64>> {
        let all: Vec<u64> = data.iter::<f64>().map(of).collect();
        all.chunks(width).map(<[u64]>::to_vec).collect()
    };
    let parts = found.map(|x| rows(x.into_data(), FEATURES));
    let parts = parts.into_iter().chain(log_dets.map(|x| rows(x.into_data(), 1)));
    parts.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| [a, b].concat()).collect()).unwrap()
}

fn outcome(layer: &impl Bijector<2>, x: &Tensor<2>) -> Vec<Vec<u64>> {
    let (z, log_det) = layer.forward(x.clone(), None);
    let (back, other) = layer.inverse_with_log_det(x.clone(), None);
    bits([z, back], [log_det, other])
}

/// Compares rows of small batches with the same rows in a large batch. In the large batch every
/// seventh row is ten thousand times as large, and one row is NaN.
fn assert_independent(layer: &impl Bijector<2>, what: &str) {
    let size = |row: usize| match row % 7 {
        3 => 1e4,
        5 if row == 19 => f64::NAN,
        _ => 1.0,
    };
    let sizes = TensorData::new((0..130).map(size).collect(), [130, 1]);
    let sizes = Tensor::<2>::from_data(sizes, &Device::flex());
    for dtype in [DType::F32, DType::F64] {
        let layer = cast(moved(layer.clone(), 3).valid(), dtype);
        let x = (normal([130, FEATURES], 1) * sizes.clone()).cast(dtype);
        let whole = outcome(&layer, &x);
        for count in [1, 2, 16, 65] {
            for start in [0, 4, 130 - count] {
                let part = outcome(&layer, &x.clone().narrow(0, start, count));
                let same = part[..] == whole[start..start + count];
                assert!(same, "{count} rows from {start} on, {dtype:?}, {what}");
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    for config in layers() {
        let layer = built(&Device::flex(), |device| config.init(device));
        assert_independent(&layer, &format!("{config:?}"));
    }
    // Maps with their own networks.
    for elements in [0, FEATURES] {
        let config = NeuralConfig::new().with_hidden(vec![8, 8]).with_elements(elements);
        let map = built(&Device::flex(), |device| config.init(device));
        assert_independent(&masked(map), "Neural");
    }
    let config = UnconstrainedMonotonicConfig::new().with_hidden(vec![8]).with_nodes(8);
    let map = built(&Device::flex(), |device| config.init(device));
    assert_independent(&masked(map), "UnconstrainedMonotonic");
}

#[test]
fn nor_does_an_image_on_the_images_beside_it() {
    let (flow, x) = (images(0.0), normal::<4>([40, 1, 8, 8], 1));
    let whole = flow.log_prob(x.clone()).into_data();
    let whole: Vec<f32> = whole.iter().collect();
    for count in [1, 2, 7] {
        let part = flow.log_prob(x.clone().narrow(0, 40 - count, count)).into_data();
        assert!(part.iter::<f32>().eq(whole[40 - count..].iter().copied()), "{count} images");
    }
}

#[test]
fn nor_on_the_number_of_threads() {
    let x = normal::<2>([300, FEATURES], 1);
    for config in layers() {
        let layer = built(&Device::flex(), |device| config.init(device));
        let flow =
            Flow::new(moved(layer, 3), StandardNormal::<2>::new([FEATURES], &Device::flex()))
                .valid();
        assert_same(|| {
            let (z, log_prob) = (flow.encode(x.clone()), flow.log_prob(x.clone()));
            vec![flow.decode(x.clone()).into_data(), z.into_data(), log_prob.into_data()]
        });
    }
}
