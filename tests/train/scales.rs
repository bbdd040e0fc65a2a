//! Data and gradients of any scale: training continues, or an error names the column.

use burn::tensor::{DType, TensorData};
use burn_flows::bijector::{ActNormConfig, Elementwise};
use burn_flows::cast;
use burn_flows::distribution::ConditionalNormalConfig;
use burn_flows::train::{FitData, Warning, WarningKind, fit, nll};

use super::*;

/// A density whose gradients are multiplied by `factor`.
#[derive(Module, Debug)]
struct Steep<F> {
    inner: F,
    factor: f64,
}

impl<F: Distribution<2>> Distribution<2> for Steep<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.inner.log_prob(x, context) * self.factor
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        self.inner.sample(n, context, noise, device)
    }
}

#[test]
fn gradients_of_any_size_are_clipped_not_skipped() {
    let flow = built(&Device::flex(), |device| small().init(device));
    for (factor, dtype) in [
        (1e-20, DType::F32),
        (1e19, DType::F32),
        (1e30, DType::F32),
        (1e34, DType::F32),
        (1e30, DType::BF16),
        (1e200, DType::F64),
    ] {
        for (clip, reversible) in [(Some(10.0), false), (Some(10.0), true), (None, false)] {
            let model = Steep { inner: cast(flow.clone(), dtype), factor };
            let x = banana(256, 1).cast(dtype);
            let before = nll(&model.inner, x.clone(), 256);
            let config = quick().with_learning_rate(1e-2).with_gradient_clip(clip);
            let (model, report) =
                fit(model, x.clone(), &config.with_reversible(reversible)).unwrap();
            let after = nll(&model.inner, x, 256);
            let case = format!("{factor:e} {dtype:?} {clip:?} {reversible}: {before} {after}");
            assert_eq!(report.skipped_steps, 0, "{case}");
            // Adam's epsilon of 1e-8 suppresses gradients of 1e-20, as intended.
            assert!(factor < 1.0 || after < before - 0.3, "{case}");
        }
    }
}

fn columns(scales: [f64; 2], shifts: [f64; 2]) -> Tensor<2> {
    let device = Device::flex();
    banana(300, 1) * Tensor::<2>::from_data([scales], &device)
        + Tensor::<2>::from_data([shifts], &device)
}

/// A column in which one of `every` rows is 1 and the others are 0.
fn flag(rows: usize, every: usize) -> Tensor<2> {
    let values: Vec<f32> = (0..rows).map(|row| f32::from(row % every == every / 2)).collect();
    Tensor::from_data(TensorData::new(values, [rows, 1]), &Device::flex())
}

#[test]
fn data_of_any_scale_train_or_name_the_column() {
    let device = Device::flex();
    let with_flag = Tensor::cat(vec![banana(1000, 1).narrow(1, 0, 1), flag(1000, 1000)], 1);
    let cases = [
        (FitData::new(columns([1e8, 1.0], [0.0; 2])), "training data: column 0 "),
        (FitData::new(columns([1.0, 1e-9], [0.0; 2])), "training data: column 1 "),
        (FitData::new(columns([1e8, 1e-9], [0.0; 2])), "training data: column "),
        (FitData::new(columns([1e6, 1.0], [3e6, 0.0])), "training data: column 0 "),
        (FitData::new(columns([1e20, 1.0], [0.0; 2])), "training data: column 0 "),
        (FitData::new(with_flag), "training data: column 1 "),
        (
            FitData::new(banana(1000, 1)).with_context(flag(1000, 1000)),
            "context of the training data: column 0 ",
        ),
        (
            FitData::new(banana(300, 1))
                .with_context(columns([1e15, 1.0], [1e18, 0.0]).narrow(1, 0, 1)),
            "context of the training data: column 0 ",
        ),
        (
            FitData::new(banana(300, 1))
                .with_context(columns([1e-9, 1.0], [0.0; 2]).narrow(1, 0, 1)),
            "context of the training data: column 0 ",
        ),
    ];
    for (data, start) in cases {
        let context = usize::from(start.starts_with("context"));
        let (layers, base) =
            built(&device, |device| small().with_context(context).init(device)).into_parts();
        let normed: Vec<_> =
            layers.into_iter().map(|layer| (ActNormConfig::new(2).init(&device), layer)).collect();
        let plain = built(&device, |device| small().with_context(context).init(device));
        let results = [
            fit(plain, data.clone(), &quick()).map(|(_, report)| report),
            fit(Flow::new(normed, base), data, &quick()).map(|(_, report)| report),
        ];
        for result in results {
            match result {
                Ok(report) => {
                    let (first, best) =
                        (report.epochs[0].validation_loss, report.best_validation_loss);
                    assert!(report.skipped_steps == 0 && best < first, "{start}: {report:?}");
                }
                Err(error) => {
                    assert!(error.to_string().starts_with(start), "{start}: {error}");
                }
            }
        }
    }
}

/// `y = (u + 0.1 e, -u + 0.1 e)` with `u = c / 1000 - 1`, two independent normals `e`, and a context `c` that is
/// uniform on [1000, 2000]. Its entropy is `ln(2 pi e) + 2 ln 0.1` = -1.767 nats.
fn along_a_context(rows: usize, seed: u64) -> (Tensor<2>, Tensor<2>) {
    let device = Device::flex();
    let mut noise = Noise::seeded(seed);
    let u = noise.uniform::<2>([rows, 1], &device);
    let mean = Tensor::cat(vec![u.clone(), u.clone().neg()], 1);
    let x = mean + noise.normal::<2>([rows, 2], &device) * 0.1;
    (x, u * 1000.0 + 1000.0)
}

#[test]
fn a_context_of_a_thousand_is_learned_with_the_defaults() {
    let flow = built(&Device::flex(), |device| RealNvpConfig::new(2).with_context(1).init(device));
    let config = FitConfig::new().with_progress(false);
    let (x, context) = along_a_context(500, 1);
    let (flow, report) = fit(flow, FitData::new(x).with_context(context), &config).unwrap();
    let test = along_a_context(20_000, 2);
    let found = nll(&flow, (test.0, test.1.clone()), 1024);
    assert_eq!(report.skipped_steps, 0);
    assert!(found <= -1.65 && found > -1.78, "{found}");
}

/// Includes networks whose only input is the context.
#[test]
fn a_network_of_a_context_alone_learns_one_of_a_thousand() {
    let device = Device::flex();
    let mlp = MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu);
    let config = FitConfig::new().with_progress(false);
    let (x, context) = along_a_context(500, 1);
    let data = FitData::new(x).with_context(context);
    let test = along_a_context(20_000, 2);
    let normal = built(&device, |device| {
        ConditionalNormalConfig::new(vec![2], 1, mlp.clone()).init::<2>(device)
    });
    let layer = built(&device, |device| {
        Elementwise::new(Affine::default(), 2, device)
            .unwrap()
            .with_context(&mlp, 1, device)
            .unwrap()
    });
    let layer = Flow::new(layer, StandardNormal::new([2], &device));
    let (normal, _) = fit(normal, data.clone(), &config).unwrap();
    let (layer, _) = fit(layer, data, &config).unwrap();
    for (name, found) in [
        ("ConditionalNormal", nll(&normal, (test.0.clone(), test.1.clone()), 1024)),
        ("Elementwise", nll(&layer, (test.0, test.1.clone()), 1024)),
    ] {
        assert!(found <= -1.65 && found > -1.78, "{name}: {found}");
    }
}

#[test]
fn one_far_value_is_a_warning_of_its_row() {
    let far = |x: Tensor<2>, value: f32| {
        let value = Tensor::full([1, 1], value, &Device::flex());
        x.slice_assign([42..43, 1..2], value)
    };
    let kinds = |data: FitData<2>| {
        let warnings = data.warnings();
        let one = |w: &Warning| (w.kind, w.columns.clone(), w.to_string());
        warnings.iter().map(one).collect::<Vec<_>>()
    };
    assert!(kinds(FitData::new(banana(500, 1))).is_empty());
    for value in [1e3, 1e30] {
        let rows = far(banana(500, 1), value);
        let [(kind, columns, text)] = &kinds(FitData::new(rows.clone()))[..] else { panic!() };
        assert_eq!((*kind, &columns[..]), (WarningKind::Outliers, &[1][..]));
        assert!(text.starts_with("training data: column 1 holds 1.000e"), "{text}");
        assert!(text.contains(" in row 42, "), "{text}");
        // A row of weight 0 is not there.
        let zero = Tensor::<1>::zeros([1], &Device::flex());
        let weights = Tensor::<1>::ones([500], &Device::flex()).slice_assign(42..43, zero);
        assert!(kinds(FitData::new(rows.clone()).with_weights(weights).unwrap()).is_empty());
        let context = FitData::new(banana(500, 1)).with_context(rows.clone());
        let [(kind, _, text)] = &kinds(context)[..] else { panic!() };
        assert_eq!(*kind, WarningKind::Outliers);
        assert!(text.starts_with("context of the training data: column 1 holds "), "{text}");
        let validation = FitData::new(banana(500, 1)).with_validation(rows);
        let [(_, _, text)] = &kinds(validation)[..] else { panic!() };
        assert!(text.starts_with("validation data: column 1 holds "), "{text}");
    }
}
