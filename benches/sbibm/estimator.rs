//! The posterior estimator: an ensemble of autoregressive neural spline flows.
//!
//! ```text
//! u = Phi^-1((theta + b) / 2b), or theta          a uniform prior on [-b, b] becomes a standard normal; standardised
//! e = u, or L^-1 (u - A (1, x))                   optional: removes a linear regression on x; x is standardised
//! q(theta | x) = mean of q_k(e | x), times |de/dtheta|
//! ```
//!
//! A member `q_k` is of one of three kinds: with the data as its context, with features of the data from a network, or
//! with the data and the regression. Every member holds out another tenth of the pairs. Its validation NLL stops its
//! training, and the first members of the three kinds decide the kind of all members.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};
use std::path::Path;

use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::conditioner::{ActivationConfig, MadeConfig};
use burn_flows::distribution::{Distribution, Mixture};
use burn_flows::encoder::{Embedded, Encoder, MlpEncoder, MlpEncoderConfig, StandardizeContext};
use burn_flows::model::{AutoregressiveNsf, AutoregressiveNsfConfig, Orders};
use burn_flows::train::{FitConfig, FitData, fit};
use burn_flows::univariate::RationalQuadraticConfig;
use burn_flows::{Noise, Result, store};
use serde::{Deserialize, Serialize};

use crate::regression::Regression;

/// Settings of the estimator. The default is that of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The fewest and the most flows in the ensemble. Between these limits it has `rows` divided by the pairs.
    pub members: [usize; 2],
    /// Pairs that all members see together in one epoch.
    pub rows: usize,
    /// The peak learning rate.
    pub rate: f64,
    /// The peak learning rate after a regression. With a small rate the flows stay close to the identity.
    pub regression_rate: f64,
    /// Optimizer steps of a member.
    pub steps: usize,
    /// Epochs without a lower validation NLL after which the training of a member stops.
    pub patience: usize,
    /// Decay of the average of the weights.
    pub average: f64,
    /// The largest norm of a gradient.
    pub clip: f64,
    /// Masked spline layers of a flow.
    pub layers: usize,
    /// Widths of the hidden layers of the masked networks.
    pub hidden: Vec<usize>,
    /// The same behind a network of features.
    pub hidden_of_features: Vec<usize>,
    /// Widths of the hidden layers of the network of features.
    pub network: Vec<usize>,
    /// Number of features.
    pub features: usize,
    /// Bins of a spline.
    pub bins: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: [3, 16],
            rows: 30_000,
            rate: 1e-2,
            regression_rate: 3e-4,
            steps: 5_000,
            patience: 15,
            average: 0.995,
            clip: 0.3,
            layers: 3,
            hidden: vec![64; 4],
            hidden_of_features: vec![64; 2],
            network: vec![64; 4],
            features: 16,
            bins: 8,
        }
    }
}

impl Settings {
    fn members(&self, pairs: usize) -> usize {
        let [fewest, most] = self.members;
        (self.rows / pairs).clamp(fewest, most)
    }

    /// The number of steps is about the same for any number of pairs.
    fn fit(&self, pairs: usize, rate: f64, seed: u64) -> FitConfig {
        let batch = (pairs / 50).max(32);
        FitConfig::new()
            .with_epochs((self.steps * batch).div_ceil(pairs))
            .with_batch_size(batch)
            .with_learning_rate(rate)
            .with_average(Some(self.average))
            .with_gradient_clip(Some(self.clip))
            .with_patience(Some(self.patience))
            .with_progress(false)
            .with_seed(seed)
    }
}

/// A trained estimator of `p(theta | x)`.
pub struct Estimator {
    flow: Mixture<Member>,
    maps: Maps,
}

type Member = Embedded<Context, AutoregressiveNsf>;

/// What a flow is conditioned on.
#[derive(Module, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "an ensemble has few of them")]
enum Context {
    Data(StandardizeContext),
    Features(MlpEncoder),
}

impl Encoder for Context {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Data(encoder) => encoder.encode(x),
            Self::Features(encoder) => encoder.encode(x),
        }
    }

    fn init_from_data(self, x: Tensor<2>) -> Self {
        match self {
            Self::Data(encoder) => Self::Data(encoder.init_from_data(x)),
            Self::Features(encoder) => Self::Features(encoder.init_from_data(x)),
        }
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}

/// The kinds of a member.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Data,
    Features,
    Regression,
}

/// The maps of parameters and data to the units of the flow.
#[derive(Clone, Serialize, Deserialize)]
struct Maps {
    /// The bound of a uniform prior.
    bound: Option<f64>,
    theta: Standard,
    x: Standard,
    regression: Option<Regression>,
}

/// Mean and standard deviation of every column.
#[derive(Clone, Serialize, Deserialize)]
struct Standard(Vec<[f64; 2]>);

impl Standard {
    fn of(rows: &[Vec<f64>]) -> Self {
        let count = rows.len() as f64;
        let column = |at: usize| {
            let mean = rows.iter().map(|row| row[at]).sum::<f64>() / count;
            let variance = rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / count;
            [mean, variance.sqrt()]
        };
        Self((0..rows[0].len()).map(column).collect())
    }

    fn apply(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.0).map(|(value, [mean, std])| (value - mean) / std).collect()
    }

    fn undo(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.0).map(|(value, [mean, std])| value * std + mean).collect()
    }

    fn log_slope(&self) -> f64 {
        self.0.iter().map(|[_, std]| -std.ln()).sum()
    }
}

/// The distribution function of the standard normal.
fn share(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// The inverse of [`share`], by bisection.
fn quantile(p: f64) -> f64 {
    let [mut low, mut high] = [-9.0, 9.0];
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if share(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

impl Maps {
    fn new(regression: bool, bound: Option<f64>, theta: &[Vec<f64>], x: &[Vec<f64>]) -> Self {
        let mut maps =
            Self { bound, theta: Standard(vec![]), x: Standard::of(x), regression: None };
        let free: Vec<_> = theta.iter().map(|theta| maps.free(theta)).collect();
        maps.theta = Standard::of(&free);
        if regression {
            let u: Vec<_> = free.iter().map(|free| maps.theta.apply(free)).collect();
            let x: Vec<_> = x.iter().map(|x| maps.x.apply(x)).collect();
            maps.regression = Some(Regression::fit(&u, &x));
        }
        maps
    }

    /// Parameters without bounds.
    fn free(&self, theta: &[f64]) -> Vec<f64> {
        let Some(bound) = self.bound else { return theta.to_vec() };
        theta.iter().map(|theta| quantile(0.5 * (theta / bound + 1.0))).collect()
    }

    /// The event of the flow, and the log-slope of the map to it.
    fn event(&self, theta: &[f64], x: &[f64]) -> (Vec<f64>, f64) {
        let free = self.free(theta);
        let mut log_slope = self.theta.log_slope();
        if let Some(bound) = self.bound {
            let one = |z: &f64| 0.5 * (z * z + TAU.ln()) - (2.0 * bound).ln();
            log_slope += free.iter().map(one).sum::<f64>();
        }
        let u = self.theta.apply(&free);
        match &self.regression {
            None => (u, log_slope),
            Some(regression) => {
                (regression.remove(&u, &self.x.apply(x)), log_slope + regression.log_slope())
            }
        }
    }

    /// The parameters of an event.
    fn parameters(&self, event: &[f64], x: &[f64]) -> Vec<f64> {
        let u = match &self.regression {
            None => event.to_vec(),
            Some(regression) => regression.restore(event, &self.x.apply(x)),
        };
        let free = self.theta.undo(&u);
        let Some(bound) = self.bound else { return free };
        free.iter().map(|z| bound * (2.0 * share(*z) - 1.0)).collect()
    }

    /// Events, contexts and log-slopes of pairs.
    fn tensors(&self, theta: &[Vec<f64>], x: &[Vec<f64>]) -> (Tensor<2>, Tensor<2>, Vec<f64>) {
        let pairs = theta.iter().zip(x);
        let (events, slopes): (Vec<_>, Vec<_>) = pairs.map(|(t, x)| self.event(t, x)).unzip();
        let contexts: Vec<_> = x.iter().map(|x| self.x.apply(x)).collect();
        (tensor(&events), tensor(&contexts), slopes)
    }
}

fn tensor(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), &Device::flex())
}

/// A member with its validation NLL, in units of the parameters.
fn member(
    settings: &Settings,
    kind: Kind,
    maps: &Maps,
    (theta, x): (&[Vec<f64>], &[Vec<f64>]),
    seed: u64,
) -> Result<(Member, f64)> {
    let device = Device::flex();
    let (events, contexts, slopes) = maps.tensors(theta, x);
    let width = contexts.dims()[1];
    let (context, features, hidden) = if kind == Kind::Features {
        let network = MlpEncoderConfig::new(width, settings.features);
        let network = network.with_hidden(settings.network.clone()).with_seed(seed);
        let context = Context::Features(network.try_init(&device)?);
        (context, settings.features, &settings.hidden_of_features)
    } else {
        let context = Context::Data(StandardizeContext::from_data(&contexts)?);
        (context, width, &settings.hidden)
    };
    let made = MadeConfig::new(hidden.clone()).with_activation(ActivationConfig::Silu);
    let flow = AutoregressiveNsfConfig::new(events.dims()[1])
        .with_layers(settings.layers)
        .with_made(made)
        .with_context(features)
        .with_spline(RationalQuadraticConfig::new().with_bins(settings.bins))
        .with_orders(Orders::Random(seed))
        .with_seed(seed)
        .try_init(&device)?;
    let rate = if kind == Kind::Regression { settings.regression_rate } else { settings.rate };
    let data = FitData::new(events).with_context(contexts);
    let config = settings.fit(theta.len(), rate, seed);
    let (flow, report) = fit(Embedded::new(context, flow), data, &config)?;
    let nll = report.best_validation_loss.expect("a tenth is held out");
    // The mean over all pairs stands for that over the tenth: it has less noise, and cancels between equal kinds.
    let slope = slopes.iter().sum::<f64>() / slopes.len() as f64;
    Ok((flow.valid(), nll - slope))
}

impl Estimator {
    /// Trains an estimator on pairs of parameters and data.
    pub fn train(
        settings: &Settings,
        bound: Option<f64>,
        theta: &[Vec<f64>],
        x: &[Vec<f64>],
    ) -> Result<Self> {
        let first = |kind| {
            let maps = Maps::new(kind == Kind::Regression, bound, theta, x);
            let (flow, nll) = member(settings, kind, &maps, (theta, x), 0)?;
            Ok((nll, kind, maps, flow))
        };
        let mut best = first(Kind::Data)?;
        for kind in [Kind::Features, Kind::Regression] {
            let other = first(kind)?;
            if other.0 < best.0 {
                best = other;
            }
        }
        let (_, kind, maps, flow) = best;
        let mut members = vec![flow];
        for seed in 1..settings.members(theta.len()) {
            members.push(member(settings, kind, &maps, (theta, x), seed as u64)?.0);
        }
        Ok(Self { flow: Mixture::new(members, &Device::flex())?, maps })
    }

    /// Writes the estimator, and its maps beside it.
    pub fn save(&self, path: &Path) -> Result<()> {
        store::save_with_config(&self.flow, &self.maps, path)
    }

    /// Reads an estimator that [`save`](Self::save) wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let maps = store::load_config(path.with_extension("json"))?;
        Ok(Self { flow: store::open(path, &Device::flex())?, maps })
    }

    /// `ln q(theta | x)` of every pair.
    pub fn log_prob(&self, theta: &[Vec<f64>], x: &[Vec<f64>]) -> Vec<f64> {
        let (events, contexts, slopes) = self.maps.tensors(theta, x);
        let densities = self.flow.log_prob_batched(events, Some(&contexts), 1024).into_data();
        densities.iter::<f64>().zip(slopes).map(|(density, slope)| density + slope).collect()
    }

    /// Draws parameters for one observation.
    pub fn sample(&self, n: usize, x: &[f64], seed: u64) -> Vec<Vec<f64>> {
        let context = tensor(&[self.maps.x.apply(x)]);
        let mut noise = Noise::seeded(seed);
        let events = self.flow.sample(n, Some(&context), &mut noise, &Device::flex());
        let width = events.dims()[1];
        let events: Vec<f64> = events.into_data().iter::<f64>().collect();
        events.chunks(width).map(|event| self.maps.parameters(event, x)).collect()
    }
}
