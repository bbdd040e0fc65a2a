//! Conditional densities and posteriors: `p(x | context)`.
//!
//! A conditional flow has two inputs. The event `x` has a density. The context is a `Tensor<2>` of shape
//! `[rows, width]` that is known and has no density. The configuration of a model sets the width by `with_context`.
//!
//! # Train and evaluate
//!
//! [`Flow::given`](crate::Flow::given) borrows the flow and the context. The result,
//! [`Given`](crate::Given), has the methods of a flow.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let context = noise.normal::<2>([400, 1], &device);
//! let x = Tensor::cat(vec![context.clone(), context.clone().neg()], 1) + noise.normal([400, 2], &device) * 0.3;
//!
//! let network = MlpConfig::new(vec![16]);
//! let flow =
//!     RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_context(1).with_seed(1).init(&device);
//! let data = FitData::new(x.clone()).with_context(context.clone());
//! let (flow, _) = fit(flow, data, &FitConfig::new().with_epochs(2).with_seed(1))?;
//!
//! let given = flow.given(&context);
//! assert_eq!(given.log_prob(x.clone()).dims(), [400]); // ln p(x_i | context_i), in nats
//! assert_eq!(given.sample_seeded::<2>(400, 1).dims(), [400, 2]); // one draw for each context
//! assert_eq!(given.sample_each::<2>(3).dims(), [1200, 2]); // three draws for each context
//!
//! let back = given.decode(given.encode(x.clone()));
//! assert!((back - x).abs().max().into_scalar::<f32>() < 1e-4);
//!
//! let one = context.narrow(0, 0, 1); // one row of context serves any number of events
//! assert_eq!(flow.given(&one).sample::<2>(1000).dims(), [1000, 2]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! `sample_each` returns the draws of the first context first. `reshape([contexts, draws, features])` separates the
//! contexts. The context has one row, or one row for each event. Another number of rows is a panic.
//!
//! # The posterior of a simulator
//!
//! Simulation-based inference needs a prior and a simulator. A likelihood is not needed. Draw parameters from the
//! prior, simulate an observation for each draw, and fit a flow to the pairs. The parameters are the event of the flow.
//! The observation is the context.
//!
//! The posterior of the example below is known: a normal with mean `0.8 * observation` and deviation `0.447`.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::conditioner::MadeConfig;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let parameters = noise.normal::<2>([3000, 2], &device); // the prior
//! let observations = parameters.clone() + noise.normal([3000, 2], &device) * 0.5; // the simulator
//!
//! let network = MadeConfig::new(vec![16]);
//! let flow =
//!     MafConfig::new(2).with_layers(2).with_made(network).with_context(2).with_seed(1).init(&device);
//! let config = FitConfig::new().with_epochs(3).with_batch_size(32).with_learning_rate(1e-2).with_seed(1);
//! let (flow, _) = fit(flow, FitData::new(parameters).with_context(observations), &config)?;
//!
//! let observed = Tensor::<2>::from_data([[1.0, -0.5]], &device); // the measured observation
//! let posterior = flow.given(&observed).sample_seeded::<2>(2000, 1);
//! let (variance, mean) = posterior.var_mean(0);
//! let expected = Tensor::<2>::from_data([[0.8, -0.4]], &device);
//! assert!((mean - expected).abs().max().into_scalar::<f32>() < 0.15);
//! assert!((variance.sqrt() - 0.447).abs().max().into_scalar::<f32>() < 0.1);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! * The prior of the posterior is the distribution of the training parameters.
//! * An observation far from all simulated observations has an unreliable posterior.
//! * A coupling (`RealNvp`, `Nsf`) needs at least two parameters. `Maf` and `AutoregressiveNsf` also accept one
//!   parameter.
//! * A posterior with bounds, as of a uniform prior, needs a first layer that maps the intervals to the real line:
//!   `flow.standardized_within(bounds, &parameters)?`. See
//!   [`Flow::standardized_within`](crate::Flow::standardized_within).
//! * The likelihood of a simulator with a choice and a number, such as a reaction time, is a
//!   [`Chained`](crate::distribution::Chained) with a context.
//! * The last section of this chapter tests the posterior on new pairs.
//!
//! # The scale of the context
//!
//! The networks of this crate shift and scale the columns of the context. `fit` computes the shift and the scale from
//! the first batch. A saved flow contains the shift and the scale. After training, pass the context in the units of the
//! training context.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let standard = noise.normal::<2>([300, 1], &device);
//! let x = standard.clone() + noise.normal([300, 2], &device) * 0.1;
//! let train = |context| {
//!     let network = MlpConfig::new(vec![16]);
//!     let flow =
//!         RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_context(1).with_seed(1).init(&device);
//!     let data = FitData::new(x.clone()).with_context(context);
//!     let config = FitConfig::new().with_epochs(3).with_batch_size(32).with_learning_rate(1e-2);
//!     let (_, report) = fit(flow, data, &config)?;
//!     Ok::<_, Error>(report.best_validation_nll.unwrap())
//! };
//! let kelvin = standard.clone() * 15.0 + 290.0;
//! let (in_kelvin, in_standard_units) = (train(kelvin)?, train(standard)?);
//! assert!((in_kelvin - in_standard_units).abs() < 0.2); // nats
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! [`FitData::with_context`](crate::train::FitData::with_context) lists the layers that do not scale the context:
//! [`Iaf`](crate::model::Iaf) and residual and continuous flows, among others. Standardise the context for these
//! layers. A training loop of your own calls [`Distribution::init_from_data`](crate::distribution::Distribution)
//! before the first step.
//!
//! # Classes
//!
//! A class is a context in one-hot form. [`Marginal`](crate::distribution::Marginal) sums the classes out and gives the
//! density without a class. `cargo run --release -p examples --example digits` trains class-conditional flows.
//!
//! # Is the posterior calibrated?
//!
//! Draw new pairs from the prior and the simulator, and draws from the posterior of every observation. The true
//! parameters must not differ from the draws: [`Ranks`](crate::inference::Ranks) tests each parameter,
//! [`expected_coverage`](crate::inference::expected_coverage) and [`tarp`](crate::inference::tarp) test the whole
//! posterior. All of them work with any number of draws per pair; about 1,000 pairs show a coverage to 0.02.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::inference::{Ranks, expected_coverage};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let flow = MafConfig::new(2).with_layers(1).with_context(1).with_seed(1).init(&device); // your posterior
//! let (pairs, draws) = (200, 50);
//! let mut noise = Noise::seeded(2);
//! let truth = noise.normal::<2>([pairs, 2], &device); // from the prior
//! let observed = noise.normal::<2>([pairs, 1], &device); // from the simulator
//!
//! let given = flow.given(&observed);
//! let log_truth = given.log_prob(truth.clone());
//! let posterior = given.sample_each_seeded::<2>(draws, 3); // [pairs * draws, parameters]
//! let ranks = Ranks::new(truth, posterior.clone().reshape([pairs, draws, 2]))?;
//! let coverage = ranks.coverage(0.9)?; // near 0.9 for each parameter
//!
//! let each = observed.clone().unsqueeze_dim::<3>(1).repeat_dim(1, draws).reshape([-1, 1]);
//! let log_draws = flow.given(&each).log_prob(posterior).reshape([pairs, draws]);
//! let regions = expected_coverage(log_truth, log_draws, &[0.5, 0.9])?;
//! assert!((coverage[0] - 0.9).abs() < 0.1 && (regions[1] - 0.9).abs() < 0.1);
//! # Ok::<(), burn_flows::Error>(())
//! ```
