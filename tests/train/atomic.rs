//! The atomic loss of SNPE-C: its numbers, and the posterior that it leads to.

use burn::tensor::TensorData;
use burn_flows::distribution::ConditionalNormalConfig;
use burn_flows::train::{Atomic, FitData, Stop, Training};

use super::*;

fn host(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// With as many atoms as rows the loss has no randomness: it is compared with the formula, row by row, for a posterior
/// of moved weights.
#[test]
fn with_all_rows_as_atoms_the_loss_is_the_formula() {
    let device = Device::flex();
    let config = MafConfig::new(2).with_layers(2).with_context(3);
    let flow = burn_flows::testing::moved(config.init(&device), 4).valid();
    let (t, x) = (banana(40, 1), Noise::seeded(2).normal::<2>([40, 3], &device));
    let prior = |t: Tensor<2>| t.square().sum_dim(1).reshape([-1]) * -0.1;

    let formula = |flow: &burn_flows::model::Maf| {
        let of_row = |row| {
            let observed = x.clone().narrow(0, row, 1);
            let ratios = host(flow.given(&observed).log_prob(t.clone()) - prior(t.clone()));
            let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = ratios.iter().map(|ratio| (ratio - most).exp()).sum();
            most + total.ln() - ratios[row]
        };
        (0..40).map(of_row).sum::<f64>() / 40.0
    };
    let run = |atoms| {
        let config = quick().with_epochs(1).with_batch_size(40).with_evaluation_batch(40);
        // The weights do not move, except by the data-dependent start.
        let config = config.with_learning_rate(1e-12);
        let data = FitData::new(t.clone()).with_context(x.clone());
        let data = data.with_validation((t.clone(), x.clone()));
        let objective = Atomic::new(atoms, prior).unwrap();
        let training = Training::new(flow.clone(), data, &config);
        let (flow, report) = training.with_objective(objective).run().unwrap();
        assert_eq!(report.stop, Stop::Finished);
        let losses = [report.epochs[0].train_loss, report.epochs[0].validation_loss];
        (losses.map(Option::unwrap), formula(&flow))
    };
    for atoms in [40, 1000] {
        let (losses, expected) = run(atoms);
        assert!(losses.iter().all(|loss| (loss - expected).abs() < 1e-4), "{losses:?} {expected}");
    }
    // Fewer atoms make the choice easier.
    let (losses, expected) = run(3);
    assert!(losses[0] < expected);
}

/// Parameters from a proposal `N(-1, 1/4)`, prior `N(0, 1)`, observations with variance 1/4. The loss leads to the
/// posterior under the prior, the NLL to that under the proposal.
#[test]
fn the_posterior_is_that_of_the_prior_whatever_the_proposal() {
    let device = Device::flex();
    let mut noise = Noise::seeded(1);
    let t = noise.normal::<2>([6000, 1], &device) * 0.5 - 1.0;
    let x = t.clone() + noise.normal([6000, 1], &device) * 0.5;
    let network = MlpConfig::new(vec![24]).with_activation(ActivationConfig::Silu);
    let start = ConditionalNormalConfig::new(vec![1], 1, network).with_seed(2).init::<2>(&device);
    let config = FitConfig::new()
        .with_epochs(12)
        .with_batch_size(100)
        .with_learning_rate(1e-2)
        .with_average(Some(0.98))
        .with_progress(false);
    let log_prior = |t: Tensor<2>| t.square().reshape([-1]) * -0.5;
    let objective = Atomic::new(20, log_prior).unwrap();
    let (atomic, _) = Training::new(start.clone(), (t.clone(), x.clone()), &config)
        .with_objective(objective)
        .run()
        .unwrap();
    let (plain, _) = fit(start, (t, x), &config).unwrap();
    let moments = |flow: &burn_flows::distribution::ConditionalNormal<2>, x: f64| {
        let context = Tensor::<2>::from_data(TensorData::new(vec![x], [1, 1]), &device);
        let draws = flow.sample(20_000, Some(&context), &mut Noise::seeded(3), &device);
        let (variance, mean) = draws.var_mean(0);
        [mean.into_scalar::<f64>(), variance.into_scalar::<f64>()]
    };
    // At `x = -1`: under the prior N(-0.8, 0.2), under the proposal N(-1, 0.125).
    let [mean, variance] = moments(&atomic, -1.0);
    assert!((mean + 0.8).abs() < 0.06 && (variance - 0.2).abs() < 0.04, "{mean} {variance}");
    let [mean, variance] = moments(&plain, -1.0);
    assert!((mean + 1.0).abs() < 0.04 && (variance - 0.125).abs() < 0.02, "{mean} {variance}");
}

#[test]
fn what_the_loss_cannot_take_is_an_error() {
    let device = Device::flex();
    let flow = || MafConfig::new(2).with_layers(1).with_context(1).init(&device);
    let prior = |t: Tensor<2>| t.square().sum_dim(1).reshape([-1]) * -0.5;
    let context = || Noise::seeded(2).normal::<2>([50, 1], &device);
    assert_eq!(
        Atomic::new(1, prior).unwrap_err().to_string(),
        "Atomic.atoms: must be at least 2, found 1"
    );
    let config = quick();
    let run = |data: FitData<2>, config: &FitConfig| {
        let training = Training::new(flow(), data, config);
        training.with_objective(Atomic::new(5, prior).unwrap()).run().unwrap_err().to_string()
    };
    let error = run(banana(50, 1).into(), &config);
    assert_eq!(error, "training data of Atomic: needs observations as the context of the rows");
    let data = || FitData::new(banana(50, 1)).with_context(context());
    let error = run(data(), &config.clone().with_batch_size(1));
    assert_eq!(
        error,
        "training data of Atomic: needs at least 2 rows in a batch; raise the batch size"
    );
    let outside = |t: Tensor<2>| {
        let far = t.clone().narrow(1, 0, 1).greater_elem(1.0).reshape([-1]);
        prior(t).mask_fill(far, f64::NEG_INFINITY)
    };
    let training = Training::new(flow(), data(), &config);
    let error =
        training.with_objective(Atomic::new(5, outside).unwrap()).run().unwrap_err().to_string();
    assert!(error.starts_with("prior of Atomic: ln p of row "), "{error}");
    assert!(error.ends_with(
        " of the batch must be finite, found -inf; remove parameters outside of the prior"
    ));
}

/// 21 validation rows in batches of 20: the last batch does not hold a single row.
#[test]
fn validation_rows_are_divided_evenly() {
    let device = Device::flex();
    let flow = MafConfig::new(2).with_layers(1).with_context(1).init(&device);
    let prior = |t: Tensor<2>| t.square().sum_dim(1).reshape([-1]) * -0.5;
    let context = |rows| Noise::seeded(2).normal::<2>([rows, 1], &device);
    let data = FitData::new((banana(60, 1), context(60)));
    let data = data.with_validation((banana(21, 2), context(21)));
    let config = quick().with_epochs(1).with_evaluation_batch(20);
    let objective = Atomic::new(5, prior).unwrap();
    let (_, report) = Training::new(flow, data, &config).with_objective(objective).run().unwrap();
    assert!(report.best_validation_loss.unwrap().is_finite());
}
