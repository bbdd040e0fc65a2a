//! The posterior estimator: likelihoods from an ensemble of flows, and importance resampling.
//!
//! ```text
//! q(theta | x)   = p(theta) q(x | theta) / Z(x),   q(x | theta) = mean of the members q_k(x | theta)
//! proposal       r(theta | x), trained on theta ~ p, x ~ q(x | theta)
//! samples        theta_i ~ r; of ten, one is kept, with weights w_i = p(theta_i) q(x | theta_i) / r(theta_i | x)
//! Z(x)           mean of the w_i
//! ```
//!
//! A member models the data or the residuals of a linear regression of the data on the parameters. The validation NLL of
//! the first members of both kinds decides the kind of all. Every member holds out another tenth of the pairs, which
//! stops its training.

use std::path::Path;

use burn_flows::bijector::{Inverse, MaskedAutoregressive, MaskedAutoregressiveConfig};
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::{ActivationConfig, Dependencies, MadeConfig};
use burn_flows::distribution::{Distribution, Mixture, StandardNormal};
use burn_flows::encoder::{Embedded, MlpEncoder, MlpEncoderConfig};
use burn_flows::inference::ImportanceWeights;
use burn_flows::model::{AutoregressiveNsf, AutoregressiveNsfConfig, Orders};
use burn_flows::train::{FitConfig, FitData, fit};
use burn_flows::univariate::{AnyUnivariate, AnyUnivariateConfig, RationalQuadraticConfig};
use burn_flows::{Flow, Noise, Result, store};
use serde::{Deserialize, Serialize};

use crate::tasks::Task;
use crate::units::{Units, rows, tensor};

/// Rows that the flows evaluate at once.
const BATCH: usize = 1024;

/// Draws of the proposal for each sample.
const OVERSAMPLING: usize = 10;

/// Settings of the estimator. The default is that of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The fewest and the most members of the ensemble. Between these limits it has `rows` divided by the pairs.
    pub members: [usize; 2],
    /// Pairs that all members see together in one epoch.
    pub rows: usize,
    /// Optimizer steps of a member.
    pub steps: usize,
    /// The peak learning rate.
    pub rate: f64,
    /// The peak learning rate after a regression. With a small rate the flows stay close to the identity.
    pub regression_rate: f64,
    /// Epochs without a lower validation NLL after which the training of a member stops.
    pub patience: usize,
    /// Widths of the hidden layers of the masked networks of a member.
    pub hidden: Vec<usize>,
    /// Simulated pairs from which the proposal is trained, each seen once.
    pub proposal_pairs: usize,
    /// Widths of the hidden layers of all networks of the proposal.
    pub proposal_hidden: Vec<usize>,
    /// Decay of the average of the weights.
    pub average: f64,
    /// The largest norm of a gradient.
    pub clip: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: [5, 12],
            rows: 50_000,
            steps: 3_000,
            rate: 1e-2,
            regression_rate: 3e-4,
            patience: 15,
            hidden: vec![64; 3],
            proposal_pairs: 500_000,
            proposal_hidden: vec![64; 3],
            average: 0.995,
            clip: 0.3,
        }
    }
}

impl Settings {
    fn members(&self, pairs: usize) -> usize {
        let [fewest, most] = self.members;
        (self.rows / pairs).clamp(fewest, most)
    }

    fn fit(&self, batch: usize, rate: f64, seed: u64) -> FitConfig {
        FitConfig::new()
            .with_batch_size(batch)
            .with_learning_rate(rate)
            .with_average(Some(self.average))
            .with_gradient_clip(Some(self.clip))
            .with_progress(false)
            .with_seed(seed)
    }
}

type Layer = MaskedAutoregressive<AnyUnivariate>;
type Member = Flow<(Inverse<Layer>, Vec<Layer>), StandardNormal<2>>;

#[derive(Module, Debug, Serialize, Deserialize)]
struct Flows {
    likelihood: Mixture<Member>,
    proposal: Embedded<MlpEncoder, AutoregressiveNsf>,
}

/// A trained estimator of `p(theta | x)`.
pub struct Estimator {
    task: Task,
    units: Units,
    flows: Flows,
}

/// Samples of the posterior for one observation.
pub struct Posterior {
    /// Parameters.
    pub samples: Vec<Vec<f64>>,
    /// `ln Z(x)`.
    pub log_evidence: f64,
    /// The number of independent draws that the weighted draws of the proposal are worth.
    pub effective_draws: f64,
}

/// A member of the ensemble, with its validation NLL.
///
/// ```text
/// e' = (e - m(t)) / s(t),  z = spline(affine(e')),  both masked and conditioned on t
/// ```
fn member(
    settings: &Settings,
    units: &Units,
    theta: &[Vec<f64>],
    x: &[Vec<f64>],
    seed: u64,
) -> Result<(Member, f64)> {
    let device = Device::flex();
    let parameters: Vec<_> = theta.iter().map(|theta| units.parameters(theta)).collect();
    let events: Vec<_> =
        x.iter().zip(&parameters).map(|(x, t)| units.residual(units.data(x), t)).collect();
    let (pairs, features) = (events.len(), events[0].len());
    let layer = |dependencies, map: AnyUnivariateConfig, at: u64| {
        let made = MadeConfig::new(settings.hidden.clone())
            .with_activation(ActivationConfig::Silu)
            .with_dependencies(dependencies);
        MaskedAutoregressiveConfig::new(features)
            .with_made(made)
            .with_context(parameters[0].len())
            .with_seed(3 * seed + at)
            .try_init(map.init(), &device)
    };
    let affine = AnyUnivariateConfig::Affine(Default::default());
    let spline = AnyUnivariateConfig::RationalQuadratic(RationalQuadraticConfig::new());
    // Without parents: location and scale depend on the parameters only.
    let location = layer(Dependencies::Parents(vec![vec![]; features]), affine, 0)?;
    let masked = vec![
        layer(Dependencies::Random(2 * seed), affine, 1)?,
        layer(Dependencies::Random(2 * seed + 1), spline, 2)?,
    ];
    let base = StandardNormal::new([features], &device);
    let flow = Flow::new((Inverse::new(location), masked), base);
    let rate = if units.regresses() { settings.regression_rate } else { settings.rate };
    // The number of steps is about the same for any number of pairs.
    let batch = (pairs / 50).max(32);
    let config = settings
        .fit(batch, rate, seed)
        .with_epochs((settings.steps * batch).div_ceil(pairs))
        .with_patience(Some(settings.patience));
    let data = FitData::new(tensor(&events)).with_context(tensor(&parameters));
    let (flow, report) = fit(flow, data, &config)?;
    let nll = report.best_validation_loss.expect("a tenth is held out");
    Ok((flow.valid(), nll - units.log_slope()))
}

/// Trains the proposal on parameters from the prior and data from the members.
fn proposal(
    settings: &Settings,
    units: &Units,
    task: Task,
    likelihood: &Mixture<Member>,
) -> Result<Embedded<MlpEncoder, AutoregressiveNsf>> {
    const FEATURES: usize = 16;
    let device = Device::flex();
    let mut noise = Noise::seeded(0);
    let theta: Vec<_> = (0..settings.proposal_pairs).map(|_| task.prior(&mut noise)).collect();
    let mut data = vec![];
    for theta in theta.chunks(4 * BATCH) {
        let t: Vec<_> = theta.iter().map(|theta| units.parameters(theta)).collect();
        let drawn = likelihood.sample(t.len(), Some(&tensor(&t)), &mut noise, &device);
        data.extend(rows(drawn).into_iter().zip(&t).map(|(e, t)| units.restored(e, t)));
    }
    let events: Vec<_> = theta.iter().map(|theta| units.event(theta)).collect();
    let hidden = || settings.proposal_hidden.clone();
    let network = MlpEncoderConfig::new(data[0].len(), FEATURES).with_hidden(hidden());
    let flow = AutoregressiveNsfConfig::new(task.parameters())
        .with_made(MadeConfig::new(hidden()).with_activation(ActivationConfig::Silu))
        .with_context(FEATURES)
        .with_orders(Orders::Random(0))
        .try_init(&device)?;
    let config = settings.fit(256, settings.rate, 0).with_epochs(1).with_validation_fraction(0.0);
    let data = FitData::new(tensor(&events)).with_context(tensor(&data));
    Ok(fit(Embedded::new(network.try_init(&device)?, flow), data, &config)?.0.valid())
}

impl Estimator {
    /// Trains an estimator on pairs of parameters and data.
    pub fn train(
        settings: &Settings,
        task: Task,
        theta: &[Vec<f64>],
        x: &[Vec<f64>],
    ) -> Result<Self> {
        let first = |regression| {
            let units = Units::new(regression, task.bound(), theta, x);
            let (flow, nll) = member(settings, &units, theta, x, 0)?;
            Ok((nll, units, flow))
        };
        let (plain, regression) = (first(false)?, first(true)?);
        let (_, units, flow) = if regression.0 < plain.0 { regression } else { plain };
        let mut members = vec![flow];
        for seed in 1..settings.members(theta.len()) {
            members.push(member(settings, &units, theta, x, seed as u64)?.0);
        }
        let likelihood = Mixture::new(members, &Device::flex())?;
        let proposal = proposal(settings, &units, task, &likelihood)?;
        Ok(Self { task, units, flows: Flows { likelihood, proposal } })
    }

    /// Writes the estimator, and its units beside it.
    pub fn save(&self, path: &Path) -> Result<()> {
        store::save_with_config(&self.flows, &self.units, path)
    }

    /// Reads an estimator that [`save`](Self::save) wrote.
    pub fn open(task: Task, path: &Path) -> Result<Self> {
        let units = store::load_config(path.with_extension("json"))?;
        Ok(Self { task, units, flows: store::open(path, &Device::flex())? })
    }

    /// `ln p(theta) + ln q(x | theta)` of parameters for one observation. The prior is known up to a constant.
    pub fn log_joint(&self, theta: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
        let data = self.units.data(x);
        let parameters: Vec<_> = theta.iter().map(|theta| self.units.parameters(theta)).collect();
        let events: Vec<_> =
            parameters.iter().map(|t| self.units.residual(data.clone(), t)).collect();
        let context = tensor(&parameters);
        let likelihood = &self.flows.likelihood;
        let densities = likelihood.log_prob_batched(tensor(&events), Some(&context), BATCH);
        let slope = self.units.log_slope();
        let prior = theta.iter().map(|theta| self.task.log_prior(theta) + slope);
        densities
            .into_data()
            .iter::<f64>()
            .zip(prior)
            .map(|(density, prior)| density + prior)
            .collect()
    }

    /// Draws samples of the posterior for one observation.
    pub fn posterior(&self, n: usize, x: &[f64], seed: u64) -> Result<Posterior> {
        let device = Device::flex();
        let mut noise = Noise::seeded(seed);
        let context = tensor(&[self.units.data(x)]);
        let proposal = &self.flows.proposal;
        let draws = n * OVERSAMPLING;
        let (events, densities) =
            proposal.sample_with_log_prob(draws, Some(&context), &mut noise, &device);
        let (theta, slopes): (Vec<_>, Vec<_>) =
            rows(events).iter().map(|event| self.units.parameters_of(event)).unzip();
        let densities: Vec<f64> = densities.into_data().iter::<f64>().collect();
        let own = densities.iter().zip(slopes).map(|(density, slope)| density + slope);
        let log_weights: Vec<f64> =
            self.log_joint(&theta, x).iter().zip(own).map(|(joint, own)| joint - own).collect();
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = log_weights.iter().map(|w| (w - largest).exp()).sum::<f64>() / draws as f64;
        let weights = ImportanceWeights::new(Tensor::from_data(&log_weights[..], &device))?;
        let kept = weights.resample(n, &mut noise);
        Ok(Posterior {
            samples: kept.into_iter().map(|at| theta[at].clone()).collect(),
            log_evidence: largest + mean.ln(),
            effective_draws: weights.effective_draws(),
        })
    }
}
