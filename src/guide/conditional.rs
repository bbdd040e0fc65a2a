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
//! assert_eq!(given.sample_each::<2, 3>(5).dims(), [400, 5, 2]); // five draws for each context
//!
//! let back = given.decode(given.encode(x.clone()));
//! assert!((back - x).abs().max().into_scalar::<f32>() < 1e-4);
//!
//! let one = context.narrow(0, 0, 1); // one row of context serves any number of events
//! assert_eq!(flow.given(&one).sample::<2>(1000).dims(), [1000, 2]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! `sample_each` draws several events for each context, `[contexts, draws, features]`. `log_prob` and `sample` require
//! a context of one row, or of one row for each event. Another number of rows is a panic.
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
//!     Ok::<_, Error>(report.best_validation_loss.unwrap())
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
//! [`Embedded::standardized`](crate::encoder::Embedded::standardized) standardises the context of any density by the
//! mean and the deviation of all contexts:
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::encoder::Embedded;
//! use burn_flows::model::IafConfig;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let kelvin = Noise::seeded(1).normal::<2>([300, 1], &device) * 15.0 + 290.0;
//! let flow = IafConfig::new(2).with_layers(1).with_context(1).with_seed(1).init(&device);
//! let flow = Embedded::standardized(flow, &kelvin)?;
//! let x = Noise::seeded(2).normal::<2>([300, 2], &device);
//! assert_eq!(flow.given(&kelvin).log_prob(x).dims(), [300]); // the context in kelvin
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # A context that is a set, a series or an image
//!
//! An encoder is a network that turns the context into a few features, and the features are the context of the flow.
//! [`Embedded`](crate::encoder::Embedded) joins both, and `fit` trains both. The module [`encoder`](crate::encoder)
//! lists the encoders. A context is a `Tensor<2>`: give a set, a series or an image flat, one row each.
//!
//! The observation of the example below is a set of two to four measurements of one parameter. Every element has a mask
//! as its last column: 1 for a present element, 0 for an absent element. The posterior is narrower for a larger set.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::encoder::{Embedded, SetEncoderConfig};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let parameter = noise.normal::<2>([4000, 1], &device);
//! let measured = parameter.clone() + noise.normal([4000, 4], &device); // four measurements each
//! let count = (noise.uniform::<2>([4000, 1], &device) * 3.0).floor() + 2.0; // 2, 3 or 4 of them are present
//! let place = Tensor::<2>::from_data([[0.5, 1.5, 2.5, 3.5]], &device);
//! let mask = place.expand([4000, 4]).lower(count.expand([4000, 4])).float();
//! let sets = Tensor::stack::<3>(vec![measured, mask], 2).flatten(1, 2); // value, mask, value, mask, ..
//!
//! let encoder = SetEncoderConfig::new(4, 1, 4).with_mask(true).with_pooled(16).with_seed(1).init(&device);
//! let flow = MafConfig::new(1).with_layers(1).with_context(4).with_seed(2).init(&device);
//! let data = FitData::new(parameter).with_context(sets);
//! let config = FitConfig::new().with_epochs(12).with_batch_size(32).with_learning_rate(5e-3).with_seed(1);
//! let (posterior, _) = fit(Embedded::new(encoder, flow), data, &config)?;
//!
//! let deviation = |set: [f64; 8]| {
//!     let observed = Tensor::<1>::from_data(set, &device).reshape([1, 8]);
//!     posterior.given(&observed).sample_seeded::<2>(2000, 1).var(0).sqrt().into_scalar::<f64>()
//! };
//! let two = deviation([0.4, 1.0, 0.6, 1.0, 0.0, 0.0, 0.0, 0.0]); // sqrt(1 / 3) = 0.58
//! let four = deviation([0.4, 1.0, 0.6, 1.0, 0.3, 1.0, 0.7, 1.0]); // sqrt(1 / 5) = 0.45
//! assert!(four < two && (two - 0.58).abs() < 0.1 && (four - 0.45).abs() < 0.1, "{two} {four}");
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! `sample_each` may encode a context several times. [`Embedded::features`](crate::encoder::Embedded::features) encodes
//! it once, for any number of draws from the flow under the features.
//!
//! # An encoder of your own
//!
//! Any burn module becomes an encoder by the three methods of [`Encoder`](crate::encoder::Encoder).
//!
//! ```
//! use burn_flows::burn;
//! use burn_flows::burn::module::Module;
//! use burn_flows::burn::nn::{Linear, LinearConfig};
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::encoder::{Embedded, Encoder, StandardizeContext};
//! use burn_flows::prelude::*;
//!
//! #[derive(Module, Debug)]
//! struct Own { linear: Linear }
//!
//! impl Encoder for Own {
//!     fn encode(&self, context: Tensor<2>) -> Tensor<2> { self.linear.forward(context).tanh() }
//!     fn init_from_data(self, _context: Tensor<2>) -> Self { self }
//!     fn mixes_rows(&self) -> bool { false }
//! }
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let context = noise.normal::<2>([400, 3], &device) * 20.0 + 500.0;
//! let x = noise.normal::<2>([400, 2], &device);
//! // Standardised contexts, then the module.
//! let own = Own { linear: LinearConfig::new(3, 4).init(&device) };
//! let encoder = (StandardizeContext::from_data(&context)?, own);
//! let flow = RealNvpConfig::new(2).with_layers(2).with_context(4).with_seed(1).init(&device);
//! let (flow, _) = fit(Embedded::new(encoder, flow), (x, context), &FitConfig::new().with_epochs(1))?;
//! assert!(flow.encoder().1.linear.weight.val().abs().max().into_scalar::<f32>() > 0.0);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Classes
//!
//! A class is a context in one-hot form. [`Marginal`](crate::distribution::Marginal) sums the classes out and gives the
//! density without a class. `cargo run --release -p examples --example digits` trains class-conditional flows.
//!
//! # Draws inside the support of the prior
//!
//! A flow puts a part of its mass outside the bounds of a prior. [`RejectionSampler`](crate::inference::RejectionSampler)
//! keeps the draws inside, and corrects their log-densities by the acceptance rate.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::inference::RejectionSampler;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let flow = MafConfig::new(2).with_layers(1).with_context(1).with_seed(1).init(&device); // your posterior
//! let observed = Tensor::<2>::from_data([[0.3], [-1.0]], &device);
//! let bounds = |theta: &Tensor<2>| theta.clone().abs().max_dim(1).lower_elem(2.0).squeeze_dim::<1>(1);
//! let sampler = RejectionSampler::new(flow.given(&observed), bounds);
//! let (theta, log_prob, rates) = sampler.sample_with_log_prob_seeded::<3>(500, 1)?;
//! assert_eq!((theta.dims(), log_prob.dims()), ([2, 500, 2], [2, 500])); // two observations
//! assert!(rates.iter().all(|rate| rate.rate() > 0.8));
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! A rate below 1e-4 is an error that names the observation. A low rate means that the flow puts little mass
//! inside the prior. Use [`standardized_within`](crate::Flow::standardized_within), or check the observation.
//!
//! # A second round of simulations
//!
//! Most draws of a wide prior give simulations far from a single observation. Truncated proposals (TSNPE)
//! restrict the prior to the region where the current posterior has its mass.
//! [`HighestDensityRegion`](crate::inference::HighestDensityRegion) finds the region and draws the prior inside it. The
//! next `fit` uses the same loss, because the truncated prior is proportional to the prior inside the region.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::inference::HighestDensityRegion;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let flow = MafConfig::new(2).with_layers(1).with_context(1).with_seed(1).init(&device); // of the first round
//! let observed = Tensor::<2>::from_data([[0.3]], &device);
//! let region = HighestDensityRegion::with_epsilon(flow.given(&observed), 1e-3, 10_000, 1)?;
//! let prior = |n: usize, noise: &mut Noise| noise.uniform::<2>([n, 2], &device) * 20.0 - 10.0;
//! let (theta, rate) = region.sample_prior_seeded(prior, 200, 2)?; // simulate these, and fit again
//! assert_eq!(theta.dims(), [200, 2]);
//! assert!(rate.rate() < 0.2); // the prior probability of the region
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! The posterior of the second round is valid at this observation only. Simulations of the first round inside the
//! region belong to the data of the second round.
//!
//! Parameters from any other proposal need another loss: [`Atomic`](crate::train::Atomic) (SNPE-C) trains the posterior
//! under the prior. Keep the simulations of the earlier rounds among its rows: it learns nothing where no row lies.
//!
//! # A likelihood instead of a posterior
//!
//! Neural likelihood estimation (NLE) swaps the roles: the data of the simulator are the event, the parameters are the
//! context. The product over several independent observations is then a sum of log-densities, and the prior may change
//! after the training. Draws of the prior with [importance weights](crate::inference::ImportanceWeights) give posterior
//! means, and [samples](crate::inference::ImportanceWeights::resample). Where few draws of the prior have a large
//! weight, draw from a posterior flow that was trained on data from the likelihood, and weight by prior times likelihood
//! over its density. `benches/sbibm` does so.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::inference::ImportanceWeights;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let parameters = noise.normal::<2>([3000, 1], &device);
//! let data = parameters.clone() + noise.normal([3000, 1], &device) * 0.5; // the simulator
//!
//! let flow = MafConfig::new(1).with_layers(1).with_context(1).with_seed(1).init(&device);
//! let config = FitConfig::new().with_epochs(5).with_batch_size(32).with_learning_rate(1e-2).with_seed(1);
//! let (likelihood, _) = fit(flow, (data, parameters), &config)?;
//!
//! let observed = [0.8, 1.1, 1.3]; // three measurements of the same parameters
//! let prior = noise.normal::<2>([5000, 1], &device);
//! let log_likelihood = observed.map(|x| likelihood.given(&prior).log_prob(Tensor::<2>::full([5000, 1], x, &device)));
//! let weights = ImportanceWeights::new(log_likelihood.into_iter().reduce(|a, b| a + b).unwrap())?;
//! let mean = weights.mean(prior.clone())[0].mean;
//! assert!((mean - 3.2 / 3.25).abs() < 0.1); // the exact posterior mean: sum of the data / (n + 1/4)
//! let chosen: Vec<i32> = weights.resample(500, &mut noise).into_iter().map(|at| at as i32).collect();
//! let samples = prior.select(0, Tensor::from_ints(&chosen[..], &device));
//! assert_eq!(samples.dims(), [500, 1]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
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
//! let (posterior, log_draws) = given.sample_each_with_log_prob_seeded(draws, 3); // [pairs, draws, parameters]
//! let ranks = Ranks::new(truth, posterior)?;
//! let coverage = ranks.coverage(0.9)?; // near 0.9 for each parameter
//!
//! let regions = expected_coverage(log_truth, log_draws, &[0.5, 0.9])?;
//! assert!((coverage[0] - 0.9).abs() < 0.1 && (regions[1] - 0.9).abs() < 0.1);
//! # Ok::<(), burn_flows::Error>(())
//! ```
