//! The exact density of a table: CSV or NPY in, negative log-likelihood out, next to a Gaussian.
//!
//! `cargo run --release --example tabular` fits the wine data (UCI, 13 columns);
//! `-- --dataset diabetes` the diabetes data (9 columns); `-- --data FILE` a table of your own.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/gaussian.rs"]
mod gaussian;
#[path = "common/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn_flows::bijector::Coupling;
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Int, Tensor};
use burn_flows::conditioner::Mlp;
use burn_flows::prelude::*;
use burn_flows::store;
use burn_flows::train::{FitConfig, FitData, fit, nll};
use clap::Parser;

use cli::{Common, Outcome};
use gaussian::Gaussian;
use table::Table;

/// Fit the density of a table and compare it with a Gaussian.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// A table that comes with the crate: wine or diabetes
    #[arg(long, default_value = "wine")]
    dataset: String,
    /// A CSV or NPY file of your own, split 80/10/10 by the seed
    #[arg(long)]
    data: Option<PathBuf>,
    /// Rows of an optimizer step
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Couplings of the flow
    #[arg(long, default_value_t = 8)]
    layers: usize,
    /// Units of the two hidden layers of every coupling
    #[arg(long, default_value_t = 64)]
    hidden: usize,
    /// Probability that a hidden unit is dropped; the fewer rows, the more
    #[arg(long, default_value_t = 0.4)]
    dropout: f64,
    /// Runs with consecutive seeds, for a mean and a spread
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

const EPOCHS: usize = 150;

/// Training, validation and test rows as published.
struct Split {
    train: Tensor<2>,
    validation: Tensor<2>,
    test: Tensor<2>,
}

impl Split {
    fn read(args: &Args, device: &Device) -> Outcome<Self> {
        if let Some(path) = &args.data {
            return Self::random(Table::read(path)?, args.common.seed, device);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
        let part = |part: &str| {
            let file = folder.join(format!("{}_{part}_raw.csv", args.dataset));
            Ok::<_, Error>(Table::read(&file)?.tensor(device))
        };
        Ok(Self { train: part("train")?, validation: part("val")?, test: part("test")? })
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
        Ok(Self {
            test: take(0..held),
            validation: take(held..2 * held),
            train: take(2 * held..rows),
        })
    }
}

/// Standardisation, then couplings: the flow reads and writes the units of the table.
type Tabular = Flow<(Standardize<2>, Vec<Coupling<Affine, Mlp>>), StandardNormal<2>>;

fn flow(args: &Args, split: &Split, seed: u64, device: &Device) -> Result<Tabular> {
    let standardize = Standardize::from_data(split.train.clone())?;
    let mlp = MlpConfig::new(vec![args.hidden; 2])
        .with_activation(ActivationConfig::Silu)
        .with_dropout(args.dropout);
    let config = RealNvpConfig::new(split.train.dims()[1])
        .with_layers(args.layers)
        .with_masks(Masks::Random(seed))
        .with_mlp(mlp);
    config.validate()?;
    let (couplings, base) = config.init(device).into_parts();
    Ok(Flow::new((standardize, couplings), base))
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let split = Split::read(&args, &device)?;
    let [rows, width] = split.train.dims();
    println!("{rows} training rows of {width} columns");
    let standardize = Standardize::from_data(split.train.clone())?;
    let standard = |x: &Tensor<2>| standardize.forward(x.clone(), None);
    // Nats of the table in its own units, moved to standardised units: a change of a constant.
    let units = standard(&split.test).1.mean().into_scalar::<f64>();
    let gaussian = Gaussian::fit(standard(&split.train).0).nll(standard(&split.test).0);

    let mut scores = vec![];
    let (mut seconds, mut round_trip) = (0.0, 0f64);
    for seed in args.common.seed..args.common.seed + args.runs.max(1) {
        device.seed(seed);
        let config = FitConfig::new()
            .with_epochs(args.common.epochs.unwrap_or(EPOCHS))
            .with_batch_size(args.batch_size)
            .with_average(Some(0.99))
            .with_seed(seed);
        let data =
            FitData::new(split.train.clone()).with_validation(split.validation.clone(), None);
        let (flow, report) = fit(flow(&args, &split, seed, &device)?, data, &config)?;
        let test = nll(&flow, split.test.clone(), None, 1024) + units;
        println!(
            "seed {seed}: {} parameters, {:.1} s, best epoch {}, validation {:.3}, test {test:.3}",
            flow.num_params(),
            report.seconds,
            report.best_epoch,
            report.best_validation_nll.unwrap_or(f64::NAN) + units,
        );
        scores.push(test);
        store::save(&flow, cli::output(&args.common.out, "tabular.safetensors")?)?;
        seconds = report.seconds;
        let back = standard(&flow.decode(flow.encode(split.test.clone()))).0;
        let off = (back - standard(&split.test).0).abs().max().into_scalar::<f64>();
        round_trip = round_trip.max(off);
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
    let spread = (squares / scores.len() as f64).sqrt();
    println!("\n                              test NLL (nats, standardised columns)");
    println!("  Gaussian, full covariance   {gaussian:10.3}");
    println!("  this flow                   {mean:10.3} +- {spread:.3}");
    println!("  (in the table's own units: {:.3})", mean - units);
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
