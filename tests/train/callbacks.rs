//! Callbacks, metrics, the time limit, objectives of one's own, and the report as a file.

use std::ops::ControlFlow;

use burn_flows::train::{Block, Objective, ReverseKl, Schedule, Step, Stop, Training};
use burn_flows::train::{FitData, Report, nll};

use super::*;

fn steady() -> FitConfig {
    quick().with_schedule(Schedule::Constant)
}

/// 180 of 200 rows in batches of 64 are 3 steps.
const STEPS: usize = 3;

#[test]
fn a_callback_sees_the_validated_model_and_ends_the_training() {
    let validation = banana(60, 2);
    let data = || FitData::new(banana(200, 1)).with_validation(validation.clone());
    let start = small().with_seed(1).init(&Device::flex());
    let config = steady().with_average(Some(0.9));
    let mut seen = vec![];
    let (flow, report) = Training::new(start.clone(), data(), &config)
        .on_epoch(|epoch, flow| {
            assert!(!flow.devices()[0].is_autodiff());
            let found = nll(flow, validation.clone(), 1024);
            assert!((found - epoch.validation_loss.unwrap()).abs() < 1e-6, "{found} {epoch:?}");
            seen.push(epoch.clone());
            if epoch.epoch == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .run()
        .unwrap();
    assert_eq!((report.stop, report.epochs.len(), report.steps), (Stop::Callback, 4, 16));
    assert_eq!(seen, report.epochs);
    // A constant rate gives the weights of a training of four epochs.
    let (short, _) = fit(start, data(), &config.with_epochs(4)).unwrap();
    assert_eq!(numbers(&flow, banana(9, 3)), numbers(&short, banana(9, 3)));
}

#[test]
fn a_step_is_reported_and_can_end_the_training_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let start = || small().with_seed(1).init(&Device::flex());
    let config = steady().with_epochs(3);
    let mut steps: Vec<Step> = vec![];
    let mut record = |step: &Step, flow: &RealNvp| {
        assert!(flow.devices()[0].is_autodiff());
        steps.push(step.clone());
        ControlFlow::Continue(())
    };
    let (whole, report) =
        Training::new(start(), banana(200, 1), &config).on_step(&mut record).run().unwrap();
    assert_eq!(steps.len(), 3 * STEPS);
    assert!(steps.iter().zip(1..).all(|(step, number)| step.step == number));
    assert!(steps.iter().all(|step| step.gradient_norm > 0.0 && step.learning_rate == 1e-3));
    let rows = [64.0, 64.0, 52.0];
    for (epoch, steps) in report.epochs.iter().zip(steps.chunks(STEPS)) {
        let sum: f64 = steps.iter().zip(rows).map(|(step, n)| step.loss.unwrap() * n).sum();
        assert!((epoch.train_loss.unwrap() - sum / 180.0).abs() < 1e-9);
    }

    // In the second step of the second epoch.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let (_, stopped) = Training::new(start(), banana(200, 1), &config)
        .on_step(|step, _| match step.step == STEPS + 2 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
        .run()
        .unwrap();
    assert_eq!((stopped.stop, stopped.steps, stopped.epochs.len()), (Stop::Callback, STEPS + 2, 2));
    assert_eq!(stopped.epochs[0], report.epochs[0]);
    assert_ne!(stopped.epochs[1].train_loss, report.epochs[1].train_loss);
    assert!(stopped.epochs[1].validation_loss.is_some());
    // A resumed run repeats the unfinished epoch.
    let (resumed, again) = fit(start(), banana(200, 1), &config).unwrap();
    assert_eq!((again.resumed_from, again.stop), (Some(1), Stop::Finished));
    assert_eq!(again.epochs, report.epochs);
    assert_eq!(numbers(&resumed, banana(9, 3)), numbers(&whole, banana(9, 3)));
}

#[test]
fn a_time_limit_ends_the_training_after_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let start = || small().with_seed(1).init(&Device::flex());
    let config = steady().with_checkpoint(Some(folder.path().to_path_buf()));
    let limited = config.clone().with_time_limit(Some(1e-9));
    let (flow, report) = fit(start(), banana(200, 1), &limited).unwrap();
    assert_eq!((report.stop, report.steps, report.epochs.len()), (Stop::TimeLimit, 1, 1));
    assert_ne!(numbers(&flow, banana(9, 3)), numbers(&start(), banana(9, 3)));
    let (_, report) = fit(start(), banana(200, 1), &config.with_time_limit(Some(1e9))).unwrap();
    assert_eq!((report.stop, report.resumed_from), (Stop::Finished, None));
    for wrong in [0.0, -1.0, f64::NAN] {
        let error = quick().with_time_limit(Some(wrong)).validate().unwrap_err().to_string();
        assert_eq!(error, format!("FitConfig.time_limit: must be positive, found {wrong}"));
    }
}

#[test]
fn metrics_are_in_the_report_and_its_files() {
    let x = banana(200, 1);
    let config = quick().with_epochs(2);
    let mut calls = 0.0;
    let (_, report) = Training::new(small().init(&Device::flex()), x.clone(), &config)
        .with_metric("calls", |_| {
            calls += 1.0;
            calls
        })
        .with_metric("NLL, \"all\"", |flow| nll(flow, x.clone(), 64))
        .run()
        .unwrap();
    let metric = |epoch: usize, name: &str| report.epochs[epoch].metrics[name];
    assert_eq!([metric(0, "calls"), metric(1, "calls")], [1.0, 2.0]);
    let csv = report.to_csv();
    let mut lines = csv.lines();
    let header = "epoch,train_loss,validation_loss,learning_rate,\"NLL, \"\"all\"\"\",calls";
    assert_eq!(lines.next(), Some(header));
    for (line, epoch) in lines.clone().zip(&report.epochs) {
        let fields: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
        let [train, held] = [epoch.train_loss, epoch.validation_loss].map(Option::unwrap);
        let own = [epoch.metrics["NLL, \"all\""], epoch.metrics["calls"]];
        let expected = [epoch.epoch as f64, train, held, epoch.learning_rate, own[0], own[1]];
        assert_eq!(fields, expected);
    }
    assert_eq!(lines.count(), 2);
    let read: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(read, report);
}

/// The NLL of shifted rows.
struct Shifted(f64);

impl Objective<RealNvp, 2> for Shifted {
    fn losses(
        &self,
        flow: &RealNvp,
        block: &Block<'_, 2>,
        noise: &mut Noise,
    ) -> Result<Tensor<1>, Error> {
        let (x, _) = block.data()?;
        let shift = noise.normal::<2>(x.dims(), &x.device()) * self.0;
        Ok(flow.log_prob(x + shift).neg())
    }

    fn describe(&self, _example: &Tensor<2>) -> String {
        format!("Shifted by {}", self.0)
    }
}

#[test]
fn an_objective_of_ones_own_has_seeded_noise_blocks_checkpoints_and_validation() {
    let start = || small().with_seed(1).init(&Device::flex());
    let config = quick().with_epochs(2).with_batch_size(600);
    let run = |config: &FitConfig, by| {
        let training = Training::new(start(), banana(1400, 1), config);
        training.with_objective(Shifted(by)).run()
    };
    let (flow, report) = run(&config, 0.3).unwrap();
    let found = |flow: &RealNvp| numbers(flow, banana(9, 3));
    assert_eq!(found(&flow), found(&run(&config, 0.3).unwrap().0));
    assert_ne!(found(&flow), found(&run(&config.clone().with_seed(9), 0.3).unwrap().0));
    // A shift of 0 is `fit`.
    let (plain, by_fit) = fit(start(), banana(1400, 1), &config).unwrap();
    let (unshifted, own) = run(&config, 0.0).unwrap();
    assert_eq!((found(&plain), &by_fit.epochs), (found(&unshifted), &own.epochs));
    assert!(report.best_validation_loss > by_fit.best_validation_loss);
    // The number of threads has no effect.
    burn_flows::set_threads(1);
    let (alone, _) = run(&config, 0.3).unwrap();
    burn_flows::set_threads(0);
    assert_eq!(found(&flow), found(&alone));

    let folder = tempfile::tempdir().unwrap();
    let kept = config.clone().with_checkpoint(Some(folder.path().to_path_buf()));
    run(&kept, 0.3).unwrap();
    let error = run(&kept, 0.4).unwrap_err().to_string();
    assert!(error.contains("which differ in: objective; "), "{error}");
    let error = fit(start(), banana(1400, 1), &kept).unwrap_err().to_string();
    assert!(error.contains("which differ in: objective; "), "{error}");
    // A batch of validation rows may matter to another loss, so its size is compared too.
    let error = run(&kept.with_evaluation_batch(77), 0.3).unwrap_err().to_string();
    assert!(error.contains("which differ in: FitConfig.evaluation_batch; "), "{error}");

    let error = run(&config.with_reversible(true), 0.3).unwrap_err().to_string();
    let expected =
        "FitConfig.reversible: needs the objective Nll, found another one; set it to false";
    assert_eq!(error, expected);
}

#[test]
fn an_objective_of_another_number_of_losses_is_an_error_before_training() {
    struct Mean;
    impl Objective<RealNvp, 2> for Mean {
        fn losses(
            &self,
            flow: &RealNvp,
            block: &Block<'_, 2>,
            _noise: &mut Noise,
        ) -> Result<Tensor<1>, Error> {
            Ok(flow.log_prob(block.data()?.0).neg().mean())
        }
    }
    let (config, flow) = (quick(), small().init(&Device::flex()));
    let training = Training::new(flow.clone(), banana(50, 1), &config).with_objective(Mean);
    let error = training.run().unwrap_err().to_string();
    assert!(error.contains("Mean: expected 2 losses, one for each row, found 1"), "{error}");
    // An objective of data without data.
    let drawn = FitData::drawn(100).unwrap();
    let error = fit(flow, drawn, &config).unwrap_err().to_string();
    let expected =
        "training data: the objective needs rows of data, found none; pass rows instead of `drawn`";
    assert_eq!(error, expected);
    assert!(FitData::<2>::drawn(0).is_err());
}

#[test]
fn training_without_data_resumes_bit_for_bit_and_stops_early() {
    let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
    let start = || small().with_seed(1).init(&Device::flex());
    let run = |config: &FitConfig| {
        let draws = FitData::drawn(700).unwrap();
        Training::new(start(), draws, config).with_objective(ReverseKl::new(target)).run().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = steady().with_epochs(4).with_batch_size(300).with_average(Some(0.5));
    let (whole, report) = run(&config);
    // 630 draws are two batches of 300, one of 30; 70 draws validate.
    assert_eq!((report.steps, report.epochs.len()), (12, 4));
    assert!(report.epochs.iter().all(|epoch| epoch.validation_loss.is_some()));
    let kept = config.clone().with_checkpoint(Some(folder.path().to_path_buf()));
    run(&kept.clone().with_epochs(2));
    let (resumed, again) = run(&kept);
    assert_eq!((again.resumed_from, &again.epochs), (Some(2), &report.epochs));
    assert_eq!(numbers(&resumed, banana(9, 3)), numbers(&whole, banana(9, 3)));
    let (_, early) = run(&config.with_learning_rate(0.3).with_epochs(40).with_patience(Some(2)));
    assert_eq!(early.stop, Stop::EarlyStopping);
}

/// A metric may be NaN, and JSON has no NaN.
#[test]
fn numbers_that_are_not_finite_survive_a_checkpoint_and_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_epochs(2).with_checkpoint(Some(folder.path().to_path_buf()));
    let run = |config: &FitConfig| {
        let flow = small().with_seed(1).init(&Device::flex());
        let training = Training::new(flow, banana(200, 1), config);
        let training = training.with_metric("nan", |_| f64::NAN);
        training.with_metric("inf", |_| f64::NEG_INFINITY).run().unwrap().1
    };
    run(&config);
    let report = run(&config.with_epochs(3));
    assert_eq!(report.resumed_from, Some(2));
    for epoch in &report.epochs {
        assert!(epoch.metrics["nan"].is_nan() && epoch.metrics["inf"] == f64::NEG_INFINITY);
    }
    let read: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert!(read.epochs[0].metrics["nan"].is_nan());
    assert!(report.to_csv().contains(",-inf,NaN\n"), "{}", report.to_csv());
}

#[test]
fn the_checkpoint_of_another_target_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    let run = |config: &FitConfig, centre: f64| {
        let target = move |x: Tensor<2>| (x - centre).square().sum_dim(1).reshape([-1]) * -0.5;
        let flow = small().with_seed(1).init(&Device::flex());
        let draws = FitData::drawn(200).unwrap();
        Training::new(flow, draws, config).with_objective(ReverseKl::new(target)).run()
    };
    run(&config, 1.0).unwrap();
    run(&config, 1.0).unwrap();
    let error = run(&config, 2.0).unwrap_err().to_string();
    assert!(error.contains("which differ in: objective; "), "{error}");
}
