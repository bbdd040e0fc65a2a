//! The exact density of a table: CSV or NPY in, negative log-likelihood out, next to a Gaussian.
//!
//! `cargo run --release -p examples --example tabular` fits the wine data (UCI, 13 columns).
//! Options after `--`:
//!
//! * `--dataset diabetes` fits the diabetes data (9 columns).
//! * `--data FILE` fits your own table.
//! * `--model maf` uses a masked autoregressive flow, `--model nsf` spline couplings.
//! * `--preset miniboone --data DIR` trains on a data set of the MAF paper as the paper does
//!   (arXiv:1705.07057).
//!
//! A preset has five masked layers in alternating orders, each followed by batch normalization (ten
//! with `--layers 10`), two hidden layers, a batch size of 100, Adam with a learning rate of 1e-4,
//! and early stopping after 30 epochs without a better validation NLL.
//!
//! A preset differs from the authors' code in three points:
//!
//! * Weight decay of 1e-6 is decoupled from Adam. In the authors' code it is a term of the loss.
//! * Batch normalization uses running statistics for validation and test. The authors' code uses
//!   the statistics of all training rows.
//! * Every layer starts as the identity.
//!
//! `common/presets.rs` describes the layout of DIR. An error names the missing file.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/gaussian.rs"]
mod gaussian;
#[path = "common/presets.rs"]
mod presets;
#[path = "common/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn_flows::burn::module::Module;
use burn_flows::burn::nn::activation::ActivationConfig as BurnActivation;
use burn_flows::burn::tensor::{Device, Int, Tensor};
use burn_flows::conditioner::MadeConfig;
use burn_flows::model::{MafConfig, NsfConfig, Orders, StepNorm};
use burn_flows::prelude::*;
use burn_flows::store;
use burn_flows::train::{FitConfig, FitData, Report, Schedule, fit, nll};
use burn_flows::univariate::{AnyUnivariateConfig, ScaleMap};
use clap::{Parser, ValueEnum};

use cli::{Common, Outcome};
use gaussian::Gaussian;
use presets::Preset;
use table::Table;

/// Fit the density of a table and compare it with a Gaussian
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// A data set that comes with the crate: wine or diabetes
    #[arg(long, default_value = "wine")]
    dataset: String,
    /// Your own CSV or NPY file, split 80/10/10 by the seed; with --preset, the folder of its files
    #[arg(long)]
    data: Option<PathBuf>,
    /// The flow to fit
    #[arg(long)]
    model: Option<Model>,
    /// A data set of the MAF paper, with the settings of the paper; needs --data
    #[arg(long, requires = "data")]
    preset: Option<Preset>,
    /// Batch size
    #[arg(long)]
    batch_size: Option<usize>,
    /// Layers of the flow
    #[arg(long)]
    layers: Option<usize>,
    /// Units of each of the two hidden layers of every network
    #[arg(long)]
    hidden: Option<usize>,
    /// Dropout probability of hidden units; use more for fewer rows
    #[arg(long)]
    dropout: Option<f64>,
    /// Normalization after every layer of a MAF
    #[arg(long)]
    norm: Option<Norm>,
    /// Add learned linear maps between the layers of a MAF or NSF
    #[arg(long)]
    linear: bool,
    /// Number of runs with consecutive seeds, for a mean and a standard deviation
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Model {
    RealNvp,
    Maf,
    Nsf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Norm {
    None,
    Act,
    Batch,
}

impl From<Norm> for StepNorm {
    fn from(norm: Norm) -> Self {
        match norm {
            Norm::None => Self::None,
            Norm::Act => Self::ActNorm,
            Norm::Batch => Self::BatchNorm,
        }
    }
}

/// The model and the training configuration.
struct Settings {
    model: Model,
    layers: usize,
    hidden: usize,
    activation: ActivationConfig,
    dropout: f64,
    orders: Option<Orders>,
    scale_map: ScaleMap,
    norm: StepNorm,
    linear: bool,
    fit: FitConfig,
}

impl Settings {
    /// The options of the command line, completed by the preset or by defaults for small tables.
    fn new(args: &Args) -> Self {
        let small = args.preset.is_none();
        let model = args.model.unwrap_or(if small { Model::RealNvp } else { Model::Maf });
        let epochs = args.common.epochs;
        let fit = match small {
            true => FitConfig::new()
                .with_epochs(epochs.unwrap_or(150))
                .with_batch_size(args.batch_size.unwrap_or(32))
                .with_average(Some(0.99)),
            // Early stopping ends the training.
            false => FitConfig::new()
                .with_epochs(epochs.unwrap_or(1000))
                .with_batch_size(args.batch_size.unwrap_or(100))
                .with_learning_rate(1e-4)
                .with_schedule(Schedule::Constant)
                .with_weight_decay(1e-6)
                .with_gradient_clip(None)
                .with_patience(Some(30)),
        };
        let network = args.preset.map(Preset::network);
        let activation = match &network {
            None => ActivationConfig::Silu,
            Some(network) if network.tanh => ActivationConfig::Burn(BurnActivation::Tanh),
            Some(_) => ActivationConfig::Relu,
        };
        let layers = if small { 8 } else { 5 };
        let norm = if small { StepNorm::ActNorm } else { StepNorm::BatchNorm };
        Self {
            model,
            layers: args.layers.unwrap_or(layers),
            hidden: args.hidden.unwrap_or(network.map_or(64, |network| network.hidden)),
            activation,
            dropout: args.dropout.unwrap_or(if small { 0.4 } else { 0.0 }),
            orders: (!small).then_some(Orders::Alternating),
            scale_map: if small { ScaleMap::default() } else { ScaleMap::Exp },
            norm: args.norm.map_or(norm, StepNorm::from),
            linear: args.linear,
            fit,
        }
    }

    fn mlp(&self) -> MlpConfig {
        MlpConfig::new(vec![self.hidden; 2])
            .with_activation(self.activation.clone())
            .with_dropout(self.dropout)
    }

    fn nsf(&self, features: usize, seed: u64) -> NsfConfig {
        NsfConfig::new(features)
            .with_layers(self.layers)
            .with_masks(Masks::Random(seed))
            .with_mlp(self.mlp())
            .with_linear(self.linear)
    }

    fn real_nvp(&self, features: usize, seed: u64) -> RealNvpConfig {
        RealNvpConfig::new(features)
            .with_layers(self.layers)
            .with_masks(Masks::Random(seed))
            .with_mlp(self.mlp())
            .with_scale_map(self.scale_map)
    }

    fn maf(&self, features: usize, seed: u64) -> MafConfig {
        let made = MadeConfig::new(vec![self.hidden; 2])
            .with_activation(self.activation.clone())
            .with_dropout(self.dropout);
        MafConfig::new(features)
            .with_layers(self.layers)
            .with_orders(self.orders.unwrap_or(Orders::Random(seed)))
            .with_made(made)
            .with_univariate(AnyUnivariateConfig::Affine(self.scale_map))
            .with_norm(self.norm)
            .with_linear(self.linear)
    }
}

/// Training, validation and test rows, not standardised by this example.
struct Split {
    train: Tensor<2>,
    validation: Tensor<2>,
    test: Tensor<2>,
    /// The rows whose means and deviations standardise the columns.
    units: Tensor<2>,
    /// Whether the rows of the files are already standardised. Densities are then reported in their units.
    standardised: bool,
}

impl Split {
    fn read(args: &Args, device: &Device) -> Outcome<Self> {
        if let (Some(preset), Some(folder)) = (args.preset, &args.data) {
            return Self::of_the_paper(preset, folder, device);
        }
        if let Some(path) = &args.data {
            return Self::random(Table::read(path)?, args.common.seed, device);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let part = |part: &str| {
            let file = folder.join(format!("{}_{part}_raw.csv", args.dataset));
            Ok::<_, Error>(Table::read(&file)?.tensor(device))
        };
        Ok(Self::new(part("train")?, part("val")?, part("test")?))
    }

    fn new(train: Tensor<2>, validation: Tensor<2>, test: Tensor<2>) -> Self {
        Self { units: train.clone(), train, validation, test, standardised: false }
    }

    fn of_the_paper(preset: Preset, folder: &Path, device: &Device) -> Outcome<Self> {
        let parts = preset.read(folder)?;
        let train = parts.train.tensor(device);
        let validation = parts.validation.tensor(device);
        let units = Tensor::cat(vec![train.clone(), validation.clone()], 0);
        let (test, standardised) = (parts.test.tensor(device), parts.standardised);
        Ok(Self { train, validation, test, units, standardised })
    }

    fn random(table: Table, seed: u64, device: &Device) -> Outcome<Self> {
        let rows = table.rows();
        let held = rows / 10;
        if held == 0 {
            return Err(format!("a split 80/10/10 needs at least 10 rows, found {rows}").into());
        }
        let order: Vec<i64> =
            Noise::seeded(seed).permutation(rows).into_iter().map(|row| row as i64).collect();
        let all = table.tensor(device);
        let take = |range: std::ops::Range<usize>| {
            all.clone().select(0, Tensor::<1, Int>::from_data(&order[range], device))
        };
        Ok(Self::new(take(2 * held..rows), take(held..2 * held), take(0..held)))
    }
}

/// The result of one run.
struct Fitted {
    report: Report,
    parameters: usize,
    test: f64,
    round_trip: f64,
}

/// Trains the layers after the standardisation. The flow reads and writes the units of the table.
fn train<B: Bijector<2> + serde::Serialize>(
    layers: Flow<B, StandardNormal<2>>,
    split: &Split,
    config: &FitConfig,
    weights: &Path,
) -> Outcome<Fitted> {
    let flow = layers.standardized(&split.units)?;
    let data = FitData::new(split.train.clone()).with_validation(split.validation.clone());
    let (flow, report) = fit(flow, data, config)?;
    store::save(&flow, weights)?;
    let standard = |x: Tensor<2>| flow.bijector().0.forward(x, None).0;
    let test = nll(&flow, split.test.clone(), 1024);
    let back = standard(flow.decode(flow.encode(split.test.clone())));
    let round_trip = (back - standard(split.test.clone())).abs().max().into_scalar::<f64>();
    Ok(Fitted { report, parameters: flow.num_params(), test, round_trip })
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let split = Split::read(&args, &device)?;
    let [rows, width] = split.train.dims();
    println!("{rows} training rows of {width} columns");
    let settings = Settings::new(&args);
    let standardize = match split.standardised {
        true => Standardize::identity(&[width], &device),
        false => Standardize::from_data(split.units.clone())?,
    };
    let standard = |x: &Tensor<2>| standardize.forward(x.clone(), None);
    // The difference between nats in the units of the table and nats in standardised units. It is
    // the same for all rows.
    let units = standard(&split.test.clone().narrow(0, 0, 1)).1.into_scalar::<f64>();
    let gaussian = Gaussian::fit(standard(&split.train).0).nll(standard(&split.test).0);

    let mut scores = vec![];
    let (mut seconds, mut round_trip) = (0.0, 0.0);
    for seed in args.common.seed..args.common.seed + args.runs.max(1) {
        device.seed(seed);
        let config = settings.fit.clone().with_seed(seed);
        let weights = cli::output(&args.common.out, "tabular.safetensors")?;
        let fitted = match settings.model {
            Model::RealNvp => {
                let model = settings.real_nvp(width, seed);
                model.validate()?;
                train(model.init(&device), &split, &config, &weights)?
            }
            Model::Nsf => {
                let model = settings.nsf(width, seed);
                model.validate()?;
                train(model.init(&device), &split, &config, &weights)?
            }
            Model::Maf => {
                let model = settings.maf(width, seed);
                model.validate()?;
                train(model.init(&device), &split, &config, &weights)?
            }
        };
        let (report, test) = (fitted.report, fitted.test + units);
        println!(
            "seed {seed}: {} parameters, {:.1} s, best epoch {}, \
             validation NLL {:.3}, test NLL {test:.3} nats",
            fitted.parameters,
            report.seconds,
            report.best_epoch,
            report.best_validation_loss.unwrap_or(f64::NAN) + units,
        );
        scores.push(test);
        seconds = report.seconds;
        round_trip = f64::max(round_trip, fitted.round_trip);
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
    let spread = (squares / scores.len() as f64).sqrt();
    println!("\n                              test NLL (nats, standardised columns)");
    println!("  Gaussian, full covariance   {gaussian:10.3}");
    println!("  this flow                   {mean:10.3} +- {spread:.3}");
    println!("  this flow, in the units of the table: {:.3} nats", mean - units);
    cli::finish(&serde_json::json!({
        "test_nll": mean,
        "test_nll_spread": spread,
        "gaussian_nll": gaussian,
        "train_seconds": seconds,
        "round_trip_max": round_trip,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
