//! Training without data: a target density that is known up to a constant.
//!
//! A target is a function `ln p~(x)`, as from a physical model or from a Bayesian posterior. The normalised density is
//! `p = p~ / Z`. [`fit_reverse_kl`](crate::train::fit_reverse_kl) trains a flow to `p`.
//! [`log_z`](crate::train::log_z) estimates `ln Z`.
//!
//! # Fit a flow and estimate the constant
//!
//! The target takes a batch `[rows, features]` and returns one number for each row. The target must consist of tensor
//! operations, because its gradient trains the flow.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::conditioner::MadeConfig;
//! use burn_flows::model::IafConfig;
//! use burn_flows::prelude::*;
//! use burn_flows::train::{fit_reverse_kl, log_z};
//!
//! /// A normal with correlation 0.8, times e^3: ln Z = 3 + ln 2 pi + ln(1 - 0.8^2) / 2.
//! fn target(point: Tensor<2>) -> Tensor<1> {
//!     let (x, y) = (point.clone().narrow(1, 0, 1), point.narrow(1, 1, 1));
//!     let square = x.clone().square() - x * y.clone() * 1.6 + y.square();
//!     square.squeeze_dim::<1>(1) * (-0.5 / 0.36) + 3.0
//! }
//!
//! let device = Device::flex();
//! let network = MadeConfig::new(vec![16]);
//! let flow = IafConfig::new(2).with_layers(2).with_made(network).with_seed(1).init(&device);
//! // An epoch has 100 batches of 64 draws; 10 of them validate.
//! let config = FitConfig::new().with_epochs(2).with_batch_size(64).with_learning_rate(2e-2).with_seed(1);
//! let (flow, _report) = fit_reverse_kl(flow, target, &config)?;
//!
//! let truth = 3.0 + (2.0 * std::f64::consts::PI).ln() + 0.36f64.ln() / 2.0;
//! let found = log_z(&flow, target, 2000, 1024, &mut Noise::seeded(1))?;
//! assert!((found.estimate - truth).abs() < 0.1);
//! assert!(found.effective_draws > 1000.0); // of 2000
//! assert_eq!(flow.sample::<2>(10).dims(), [10, 2]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Which model
//!
//! Each training step draws samples of the flow and evaluates the density of the samples.
//!
//! | model | a sample and its density | the density of given data |
//! | --- | --- | --- |
//! | [`Iaf`](crate::model::Iaf) | one pass | one step for each feature |
//! | [`RealNvp`](crate::model::RealNvp) | one pass | one pass |
//! | [`Nsf`](crate::model::Nsf) | one pass | one pass; the splines act on a bounded interval |
//!
//! The default estimator, [`Estimator::PathDerivative`](crate::train::Estimator), also needs a density of given data.
//! [`Estimator::Full`](crate::train::Estimator) avoids the density of given data. Choose `Full` for an `Iaf` of many
//! features:
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::model::IafConfig;
//! use burn_flows::prelude::*;
//! use burn_flows::train::{Estimator, ReverseKl, Training};
//!
//! let flow = IafConfig::new(3).with_layers(2).init(&Device::flex());
//! let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
//! let config = FitConfig::new().with_epochs(2).with_batch_size(50);
//! let draws = FitData::drawn(500)?; // draws in an epoch
//! let objective = ReverseKl::new(target).with_estimator(Estimator::Full);
//! let (_, report) = Training::new(flow, draws, &config).with_objective(objective).run()?;
//! assert!(report.epochs[1].train_loss < report.epochs[0].train_loss);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # How to read the result
//!
//! [`LogZ`](crate::train::LogZ) holds the estimate, its standard error and the effective number of draws.
//!
//! * If the effective number of draws is far below the number of draws, flow and target differ. Train for more
//!   epochs, or choose a model with more layers.
//! * The reverse divergence seeks modes. A flow can miss a mode of the target completely. The estimate of `Z`
//!   then lacks the missing mode, and the standard error does not show the error. Start from several seeds and compare.
//! * `report.epochs` holds the losses: estimates of `KL(q || p) - ln Z` in nats. The validation loss has the same noise
//!   in every epoch, so two epochs compare without the error of the draws.
//!
//! # Targets with bounds
//!
//! The flow must draw only points where the target is finite. `fit_reverse_kl` returns an error if the target is not
//! finite at a draw. A first layer maps the support of the target to the real line:
//!
//! | support | first layer |
//! | --- | --- |
//! | all real numbers | none |
//! | above 0 | `Inverse::new(Exp {})`, whose forward is the logarithm |
//! | between 0 and 1 | `Logit::new(0.0)?` |
//! | some columns of one kind | [`Partial`](crate::bijector::Partial) around the layer |
//!
//! ```
//! use burn_flows::bijector::{Exp, Inverse};
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::prelude::*;
//! use burn_flows::train::{fit_reverse_kl, log_z};
//!
//! // Two gamma densities of shape 3: p~ = x^2 exp(-x), Z = 2 for each.
//! let target = |x: Tensor<2>| (x.clone().log() * 2.0 - x).sum_dim(1).squeeze_dim::<1>(1);
//!
//! let device = Device::flex();
//! let network = MlpConfig::new(vec![16]);
//! let model = RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_seed(1).init(&device);
//! let (layers, base) = model.into_parts();
//! let flow = Flow::new((Inverse::new(Exp {}), layers), base);
//! let config = FitConfig::new().with_epochs(2).with_batch_size(64).with_learning_rate(2e-2);
//! let (flow, _) = fit_reverse_kl(flow, target, &config)?;
//!
//! let found = log_z(&flow, target, 2000, 1024, &mut Noise::seeded(1))?;
//! assert!((found.estimate - 2.0 * 2f64.ln()).abs() < 0.1);
//! assert!(flow.sample_seeded::<2>(100, 1).min().into_scalar::<f32>() > 0.0);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! In a clone of the repository, `cargo run --release -p examples --example log_z -- --model iaf` fits a curved target
//! and compares `ln Z` with the true value.
//!
//! # Expectations under the target
//!
//! The flow is close to the target, not equal to it. Importance weights correct its draws, and say whether they can:
//! [`pareto_k`](crate::inference::ImportanceWeights::pareto_k) is below 0.5 if the estimates are reliable.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::inference::ImportanceWeights;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let flow = Flow::new(ActNormConfig::new(2).init(&device), StandardNormal::<2>::new([2], &device)); // your flow
//! let target = |x: Tensor<2>| (x * 1.2).square().sum_dim(1).reshape([-1]) * -0.5; // N(0, 1 / 1.2^2)
//! let (x, log_q) = flow.sample_with_log_prob_seeded::<2>(4000, 1);
//! let weights = ImportanceWeights::new(target(x.clone()) - log_q)?;
//! assert!(weights.pareto_k().is_some_and(|k| k < 0.5));
//! let variance = weights.mean(x.square())[0];
//! assert!((variance.mean - 1.0 / 1.44).abs() < 4.0 * variance.standard_error);
//! # Ok::<(), burn_flows::Error>(())
//! ```
