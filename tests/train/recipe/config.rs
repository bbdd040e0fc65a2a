//! Defaults and limits of the training configurations.

use burn_flows::train::Schedule;

use super::*;

#[test]
fn the_defaults_of_fit() {
    let config = FitConfig::new();
    assert_eq!((config.epochs, config.batch_size, config.evaluation_batch), (100, 128, 1024));
    assert_eq!((config.learning_rate, config.weight_decay), (1e-3, 0.0));
    assert!(matches!(config.schedule, Schedule::Cosine));
    assert_eq!((config.warmup_steps, config.gradient_clip), (0, Some(10.0)));
    assert_eq!((config.average, config.patience, config.time_limit), (None, None, None));
    assert_eq!((config.validation_fraction, config.seed, config.max_skipped), (0.1, 0, 20));
    assert!(!config.reversible && config.progress && config.checkpoint.is_none());
    assert_eq!(config.checkpoint_every, 1);
}

#[test]
fn the_limits_of_fit() {
    let base = FitConfig::new;
    for fits in [
        base().with_learning_rate(1.0),
        base().with_learning_rate(1e-12),
        base().with_weight_decay(0.999),
        base().with_gradient_clip(Some(1e-300)),
        base().with_average(Some(0.0)),
        base().with_average(Some(0.9999)),
        base().with_validation_fraction(0.999),
        base().with_schedule(Schedule::Exponential { gamma: 1.0 }),
    ] {
        fits.validate().unwrap();
    }
    for (wrong, field) in [
        (base().with_epochs(0), "epochs"),
        (base().with_batch_size(0), "batch_size"),
        (base().with_evaluation_batch(0), "evaluation_batch"),
        (base().with_checkpoint_every(0), "checkpoint_every"),
        (base().with_learning_rate(0.0), "learning_rate"),
        (base().with_learning_rate(1.001), "learning_rate"),
        (base().with_weight_decay(1.0), "weight_decay"),
        (base().with_weight_decay(-0.1), "weight_decay"),
        (base().with_gradient_clip(Some(0.0)), "gradient_clip"),
        (base().with_gradient_clip(Some(f64::NAN)), "gradient_clip"),
        (base().with_average(Some(1.0)), "average"),
        (base().with_average(Some(-0.1)), "average"),
        (base().with_validation_fraction(1.0), "validation_fraction"),
        (base().with_validation_fraction(-0.1), "validation_fraction"),
        (base().with_schedule(Schedule::Exponential { gamma: 0.0 }), "schedule"),
        (base().with_schedule(Schedule::Exponential { gamma: 1.01 }), "schedule"),
    ] {
        let text = wrong.validate().unwrap_err().to_string();
        assert!(text.starts_with(&format!("FitConfig.{field}: ")), "{text}");
    }
}

/// In f16 the second moments of Adam underflow to zero.
#[test]
fn weights_of_f16_are_refused_and_those_of_bf16_are_not() {
    let fitted = |dtype| {
        let flow = burn_flows::cast(normal([0.5, 0.1]), dtype);
        let x = column(&normals(0.0, 20, 1)).cast(dtype);
        burn_flows::train::fit(flow, x, &quick().with_epochs(1))
    };
    assert!(fitted(DType::F16).unwrap_err().to_string().contains("f16"));
    assert!(fitted(DType::BF16).is_ok());
}
