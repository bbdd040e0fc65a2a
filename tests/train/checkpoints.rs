//! Interrupted runs: what goes on, bit for bit, and what is refused.

use burn::grad_clipping::GradientClippingConfig;
use burn::module::ParamGroup;
use burn::optim::{AdamWConfig, LionConfig, RmsPropConfig, Sgd, SgdConfig};
use burn_flows::bijector::BatchNormConfig;
use burn_flows::train::{FitData, fit, fit_with};

use super::*;

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let base = small().with_mlp(MlpConfig::new(vec![16, 16]).with_dropout(0.2));
    let flow = base.init(&Device::flex());
    let config = quick().with_epochs(8).with_average(Some(0.9)).with_weight_decay(0.01);
    let (whole, report) = fit(Bomb::new(flow.clone(), 1000), banana(300, 1), &config).unwrap();

    // 270 rows in batches of 64 are 5 steps and a validation an epoch; this dies in the sixth.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    crashes(|| fit(Bomb::new(flow, 5 * 6 + 3), banana(300, 1), &config));

    let fresh = Bomb::new(base.init(&Device::flex()), 1000);
    let (resumed, again) = fit(fresh, banana(300, 1), &config).unwrap();
    assert_eq!(again.resumed_from, Some(5));
    assert_eq!(again.epochs, report.epochs);
    let x = banana(100, 3);
    assert_eq!(numbers(&whole, x.clone()), numbers(&resumed, x));

    // A finished run resumes to its own end.
    let (finished, last) = fit(resumed.clone(), banana(300, 1), &config).unwrap();
    assert_eq!((last.resumed_from, last.epochs.len()), (Some(8), 8));
    assert_eq!(numbers(&finished, banana(9, 4)), numbers(&resumed, banana(9, 4)));
}

#[test]
fn a_checkpoint_of_other_data_or_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow.clone(), banana(100, 1), &config).unwrap();
    let other_data = fit(flow.clone(), banana(100, 2), &config).unwrap_err();
    let other_config = fit(flow, banana(100, 1), &config.with_seed(5)).unwrap_err();
    for error in [other_data, other_config] {
        assert!(matches!(error, Error::Format { .. }));
        assert!(
            error.to_string().contains("belongs to another configuration or other data"),
            "{error}"
        );
    }
}

#[test]
fn a_checkpoint_of_another_optimizer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_checkpoint(Some(folder.path().to_path_buf())).with_epochs(1);
    let adam = || AdamWConfig::new().with_weight_decay(0.0);
    let run = |flow, optimizer| fit_with(flow, banana(100, 1), &config, optimizer);
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
        let text = "checkpoint.safetensors: belongs to another optimizer, other settings of it or \
                    other frozen parameters; choose another folder or delete it";
        assert!(error.to_string().ends_with(text), "{error}");
    }
    let (layers, base) = flow.clone().into_parts();
    let error = run(Flow::new(layers.freeze(), base), adam().init()).unwrap_err();
    assert!(error.to_string().contains("other frozen parameters"), "{error}");

    // Other weights, as a program that starts again has, are the same run.
    let fresh = small().init(&Device::flex());
    let (_, report) = run(fresh, adam().init()).unwrap();
    assert_eq!(report.resumed_from, Some(1));
}

/// The trial of the optimizer leaves the model alone, running statistics among it.
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

/// Epochs without a single good step are reported as such, and a run resumes over them.
#[test]
fn epochs_that_were_skipped_whole_survive_a_checkpoint() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let mark = Tensor::<2>::from_floats([[1000.0, 0.0]], &device);
    let data = FitData::new(Tensor::cat(vec![banana(59, 1), mark], 0))
        .with_validation(banana(20, 2), None);
    let config = quick().with_epochs(3).with_checkpoint(Some(folder.path().to_path_buf()));
    let hiccup = || Hiccup { inner: small().init(&device) };
    let (_, report) = fit(hiccup(), data.clone(), &config).unwrap();
    assert!(report.epochs.iter().all(|epoch| epoch.train_nll.is_none()));
    assert_eq!((report.steps, report.skipped_steps), (3, 3));
    let (_, again) = fit(hiccup(), data, &config).unwrap();
    assert_eq!((again.resumed_from, again.epochs), (Some(3), report.epochs));
}
