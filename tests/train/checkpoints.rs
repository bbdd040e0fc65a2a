//! Interrupted runs resume bit for bit, or are rejected.

use burn::grad_clipping::GradientClippingConfig;
use burn::module::ParamGroup;
use burn::optim::{AdamWConfig, LionConfig, RmsPropConfig, Sgd, SgdConfig};
use burn::tensor::DType;
use burn_flows::bijector::{BatchNormConfig, Logit};
use burn_flows::train::{Dequantize, FitData, Schedule, Stop, Training, fit};

use super::*;

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let base = small().with_mlp(MlpConfig::new(vec![16, 16]).with_dropout(0.2));
    let flow = base.init(&Device::flex());
    let config = quick().with_epochs(8).with_average(Some(0.9)).with_weight_decay(0.01);
    let (whole, report) = fit(Bomb::new(flow.clone(), 1000), banana(300, 1), &config).unwrap();

    // 270 rows in batches of 64 are 5 steps and a validation per epoch. This run panics in the
    // sixth epoch.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    crashes(|| fit(Bomb::new(flow, 5 * 6 + 3), banana(300, 1), &config));

    let fresh = Bomb::new(base.init(&Device::flex()), 1000);
    let (resumed, again) = fit(fresh, banana(300, 1), &config).unwrap();
    assert_eq!(again.resumed_from, Some(5));
    assert_eq!(again.epochs, report.epochs);
    let x = banana(100, 3);
    assert_eq!(numbers(&whole, x.clone()), numbers(&resumed, x));

    // Resuming a finished run returns its result.
    let (finished, last) = fit(resumed.clone(), banana(300, 1), &config).unwrap();
    assert_eq!((last.resumed_from, last.epochs.len()), (Some(8), 8));
    assert_eq!(numbers(&finished, banana(9, 4)), numbers(&resumed, banana(9, 4)));
}

#[test]
fn a_checkpoint_of_other_data_or_configuration_is_refused() {
    let device = Device::flex();
    let context = |seed| Noise::seeded(seed).normal::<2>([100, 1], &device);
    let flow = small().with_context(1).init(&device);
    let data = |x, train, held, validation| {
        FitData::new(banana(100, x))
            .with_context(context(train))
            .with_validation((banana(100, held), context(validation)))
    };
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow.clone(), data(1, 2, 3, 4), &config).unwrap();
    let wide = || burn_flows::cast(flow.clone(), DType::F64);
    let dequantize = data(1, 2, 3, 4).with_dequantization(Dequantize::new(2).unwrap());
    let refused = |flow: RealNvp, data, config: FitConfig, field: &str| {
        let error = fit(flow, data, &config).unwrap_err();
        if field == "levels of the dequantization" {
            return assert!(matches!(error, Error::Data { .. }), "{error}");
        }
        assert!(matches!(error, Error::Format { .. }), "{error:?}");
        let text = format!(
            "belongs to a run with another configuration or other data, which differ in: \
             {field}; choose another folder or delete the file"
        );
        assert!(error.to_string().ends_with(&text), "{field}: {error}");
    };
    let same = || data(1, 2, 3, 4);
    refused(flow.clone(), data(9, 2, 3, 4), config.clone(), "training data");
    refused(flow.clone(), data(1, 9, 3, 4), config.clone(), "context of the training data");
    refused(flow.clone(), data(1, 2, 9, 4), config.clone(), "validation data");
    refused(flow.clone(), data(1, 2, 3, 9), config.clone(), "context of the validation data");
    refused(flow.clone(), dequantize, config.clone(), "levels of the dequantization");
    for (changed, field) in [
        (config.clone().with_batch_size(32), "FitConfig.batch_size"),
        (config.clone().with_learning_rate(2e-3), "FitConfig.learning_rate"),
        (config.clone().with_schedule(Schedule::Constant), "FitConfig.schedule"),
        (config.clone().with_warmup_steps(2), "FitConfig.warmup_steps"),
        (config.clone().with_weight_decay(0.1), "FitConfig.weight_decay"),
        (config.clone().with_gradient_clip(None), "FitConfig.gradient_clip"),
        (config.clone().with_average(Some(0.9)), "FitConfig.average"),
        (config.clone().with_seed(5), "FitConfig.seed"),
        (config.clone().with_reversible(true), "FitConfig.reversible"),
        (config.clone().with_seed(5).with_reversible(true), "FitConfig.reversible, FitConfig.seed"),
    ] {
        refused(flow.clone(), same(), changed, field);
    }
    let other = small().with_context(1).with_layers(3).init(&device);
    refused(other, same(), config.clone(), "tensors of the model");
    let x = |seed| banana(100, seed).cast(DType::F64);
    let wide_data = FitData::new(x(1))
        .with_context(context(2).cast(DType::F64))
        .with_validation((x(3), context(4).cast(DType::F64)));
    let fields = "context of the training data, context of the validation data, tensors of the model, \
                  training data, validation data";
    refused(wide(), wide_data, config.clone(), fields);
    // Settings that change no number of the training may differ.
    let config = config
        .with_evaluation_batch(7)
        .with_max_skipped(3)
        .with_progress(true)
        .with_checkpoint_every(2)
        .with_patience(Some(4))
        .with_validation_fraction(0.5);
    assert_eq!(fit(flow, same(), &config).unwrap().1.resumed_from, Some(1));
}

#[test]
fn a_checkpoint_of_a_split_or_of_integers_is_refused_with_another() {
    let device = Device::flex();
    let integers = |levels: f64| (Noise::seeded(1).uniform::<2>([80, 2], &device) * levels).floor();
    let logit = |alpha| {
        let (layers, base) = small().init(&device).into_parts();
        Flow::new((Logit::new(alpha).unwrap(), layers), base)
    };
    let run = |alpha, levels, fraction| {
        let folder = tempfile::tempdir().unwrap();
        let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
        let data = |levels| {
            FitData::new(integers(4.0)).with_dequantization(Dequantize::new(levels).unwrap())
        };
        fit(logit(0.05), data(4), &config).unwrap();
        let config = config.with_validation_fraction(fraction);
        fit(logit(alpha), data(levels), &config).unwrap_err().to_string()
    };
    assert!(run(0.05, 5, 0.1).contains("differ in: levels of the dequantization;"));
    assert!(run(0.05, 4, 0.2).contains("differ in: FitConfig.validation_fraction;"));
    // A setting that no tensor depends on.
    let settings = run(0.2, 4, 0.1);
    let text = "belongs to a model with other settings: `alpha: 0.05` in the file, `alpha: 0.2` in this model, at \
                bijector: (L0, L1), 0: Logit; choose another folder or delete the file";
    assert!(settings.contains(text), "{settings}");
}

/// A dropout probability has an effect in training mode only.
#[test]
fn another_dropout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = |dropout| {
        let mlp = MlpConfig::new(vec![16]).with_dropout(dropout);
        RealNvpConfig::new(2).with_layers(2).with_mlp(mlp).with_seed(1).init(&Device::flex())
    };
    let config = quick().with_epochs(2).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow(0.1), banana(100, 1), &config).unwrap();
    let error = fit(flow(0.9), banana(100, 1), &config).unwrap_err().to_string();
    assert!(error.contains("`prob: 0.1` in the file, `prob: 0.9` in this model"), "{error}");
}

/// Neither the tensors nor a validation depend on the activation of the previous run.
#[test]
fn another_activation_without_validation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = |activation| {
        let mlp = MlpConfig::new(vec![16]).with_activation(activation);
        RealNvpConfig::new(2).with_layers(2).with_mlp(mlp).with_seed(1).init(&Device::flex())
    };
    let config = quick()
        .with_epochs(2)
        .with_validation_fraction(0.0)
        .with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow(ActivationConfig::Relu), banana(100, 1), &config).unwrap();
    let error = fit(flow(ActivationConfig::Silu), banana(100, 1), &config).unwrap_err().to_string();
    assert!(error.contains("`activation: Burn {` in the file, `activation: Silu"), "{error}");
    assert!(fit(flow(ActivationConfig::Relu), banana(100, 1), &config).is_ok());
}

#[test]
fn more_epochs_go_on_to_the_bits_of_a_longer_run() {
    let base = small().with_mlp(MlpConfig::new(vec![16]).with_dropout(0.1));
    let flow = base.init(&Device::flex());
    let config = quick().with_schedule(Schedule::Constant).with_average(Some(0.9));
    let (whole, report) =
        fit(flow.clone(), banana(200, 1), &config.clone().with_epochs(5)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config.with_checkpoint(Some(folder.path().to_path_buf())).with_checkpoint_every(9);
    for epochs in [2, 3, 5] {
        let fresh = base.init(&Device::flex());
        let start = if epochs == 2 { flow.clone() } else { fresh };
        let (longer, again) =
            fit(start, banana(200, 1), &config.clone().with_epochs(epochs)).unwrap();
        assert_eq!(again.epochs, report.epochs[..epochs]);
        if epochs == 5 {
            assert_eq!((again.resumed_from, again.best_epoch), (Some(3), report.best_epoch));
            assert_eq!(numbers(&longer, banana(9, 3)), numbers(&whole, banana(9, 3)));
        }
    }
    let error = fit(flow, banana(200, 1), &config.with_epochs(4)).unwrap_err().to_string();
    let text = "holds a run of 5 epochs, more than FitConfig.epochs (4); set epochs to 5 or more, choose \
                another folder or delete the file";
    assert!(error.ends_with(text), "{error}");
}

#[test]
fn more_epochs_follow_the_cosine_of_the_new_total() {
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_checkpoint(Some(folder.path().to_path_buf()));
    // 115 rows are 2 steps per epoch, so the last steps of the epochs are 1, 3, 5 and 7.
    for (epochs, last) in [(2, 3.0 / 4.0), (4, 7.0 / 8.0)] {
        let config = config.clone().with_epochs(epochs);
        let (_, report) = fit(small().init(&Device::flex()), banana(128, 1), &config).unwrap();
        let expected = 5e-4 * (1.0 + (std::f64::consts::PI * last).cos());
        let found = report.epochs[epochs - 1].learning_rate;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

#[test]
fn more_patience_goes_on_after_an_early_stop() {
    let flow = built(&Device::flex(), |device| small().init(device));
    let data = || FitData::new(banana(60, 7)).with_validation(banana(60, 8));
    let config =
        quick().with_epochs(400).with_learning_rate(2e-2).with_schedule(Schedule::Constant);
    let patience = |config: &FitConfig, patience| config.clone().with_patience(Some(patience));
    let (whole, report) = fit(flow.clone(), data(), &patience(&config, 6)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let (_, short) = fit(flow.clone(), data(), &patience(&config, 2)).unwrap();
    assert_eq!(short.stop, Stop::EarlyStopping);
    let (longer, again) = fit(flow.clone(), data(), &patience(&config, 6)).unwrap();
    assert_eq!((again.stop, &again.epochs), (Stop::EarlyStopping, &report.epochs));
    assert!(again.epochs.len() > short.epochs.len());
    assert_eq!(numbers(&longer, banana(9, 3)), numbers(&whole, banana(9, 3)));
    // With less patience, the resumed run ends immediately.
    let (_, last) = fit(flow, data(), &patience(&config, 1)).unwrap();
    assert_eq!((last.stop, last.epochs.len()), (Stop::EarlyStopping, report.epochs.len()));
}

#[test]
fn a_checkpoint_of_another_optimizer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_checkpoint(Some(folder.path().to_path_buf())).with_epochs(1);
    let adam = || AdamWConfig::new().with_weight_decay(0.0);
    let run = |flow, optimizer| {
        Training::new(flow, banana(100, 1), &config).with_optimizer(optimizer).run()
    };
    run(flow.clone(), adam().init()).unwrap();

    let bias = ParamGroup::from_regex("bias$").unwrap();
    let sgd: Sgd = SgdConfig::new().build();
    for other in [
        RmsPropConfig::new().init(),
        SgdConfig::new().init(),
        LionConfig::new().init(),
        adam().with_beta_1(0.8).init(),
        adam().with_beta_2(0.99).init(),
        adam().with_epsilon(1e-8).init(),
        adam().with_weight_decay(1e-4).init(),
        adam().with_grad_clipping(Some(GradientClippingConfig::Value(0.1))).init(),
        adam().init().with_group(bias, sgd, None),
    ] {
        let error = run(flow.clone(), other).unwrap_err();
        assert!(matches!(error, Error::Format { .. }));
        let text = "checkpoint.safetensors: belongs to a run with another optimizer, other optimizer \
                    settings or other frozen parameters; choose another folder or delete the file";
        assert!(error.to_string().ends_with(text), "{error}");
    }
    let (layers, base) = flow.clone().into_parts();
    let error = run(Flow::new(layers.freeze(), base), adam().init()).unwrap_err();
    assert!(error.to_string().contains("other frozen parameters"), "{error}");

    // Other initial weights are allowed, because a restarted program has them.
    let fresh = small().init(&Device::flex());
    let (_, report) = run(fresh, adam().init()).unwrap();
    assert_eq!(report.resumed_from, Some(1));
}

/// The trial of the optimizer does not change the model, including its running statistics.
#[test]
fn a_checkpoint_changes_nothing_about_training() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let layers = (BatchNormConfig::new(2).init(&device), small().init(&device).into_parts().0);
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    let x = banana(100, 1);
    let before = numbers(&flow, x.clone());
    let config = quick().with_epochs(2);
    let (plain, report) = fit(flow.valid(), x.clone(), &config).unwrap();
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let (kept, again) = fit(flow.clone(), x.clone(), &config).unwrap();
    assert_eq!(again.epochs, report.epochs);
    assert_eq!(numbers(&kept, x.clone()), numbers(&plain, x.clone()));
    assert_eq!(numbers(&flow, x), before);
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow.clone(), banana(100, 1), &config).unwrap();
    let file = folder.path().join("checkpoint.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for bad in [&flipped[..], &whole[..whole.len() / 2], &[]] {
        std::fs::write(&file, bad).unwrap();
        let error = fit(flow.clone(), banana(100, 1), &config).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in the way");
    std::fs::write(&file, "a file, no folder").unwrap();
    let config = quick().with_epochs(1).with_checkpoint(Some(file));
    let error = fit(small().init(&Device::flex()), banana(100, 1), &config).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
