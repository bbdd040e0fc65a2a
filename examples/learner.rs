//! A flow trained by burn-train's learner, with its terminal interface, metrics and checkpoints.
//!
//! Trains a Real NVP on the digits of the `digits` example with burn's `SupervisedTraining`. `fit`
//! does not need burn-train. This example is for projects that already use burn-train.
//!
//! `cargo run --release -p examples --features learner --example learner`. For several devices add
//! `--devices 2 --strategy multi`. The page `burn_flows::train::scaling` describes each strategy and the backends that
//! support it.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/strategy.rs"]
mod strategy;
#[path = "common/table.rs"]
mod table;

use std::path::Path;
use std::process::ExitCode;

use burn_flows::bijector::Logit;
use burn_flows::burn::module::Module;
use burn_flows::burn::optim::AdamWConfig;
use burn_flows::burn::train::metric::LossMetric;
use burn_flows::burn::train::{Learner, SupervisedTraining, TrainingStrategy};
use burn_flows::prelude::*;
use burn_flows::train::{Dequantize, FitData, NllMetric, Trainee, bits_per_dim, nll};
use clap::Parser;

use cli::{Common, Outcome};
use strategy::Strategy;
use table::Table;

/// Train a flow with burn-train's learner
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Number of devices; a CPU device can be used several times
    #[arg(long, default_value_t = 1)]
    devices: usize,
    /// How the devices share the work
    #[arg(long, value_enum, default_value_t = Strategy::Single)]
    strategy: Strategy,
}

const PIXELS: usize = 64;
const LEVELS: usize = 17;

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let execution = args.strategy.on(&args.common.backend, args.devices)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let digits = |name: &str| {
        Ok::<_, Error>(Table::read(&folder.join(format!("digits_{name}_int.csv")))?.tensor(&device))
    };
    let dequantize = Dequantize::new(LEVELS)?;
    let train = FitData::new(digits("train")?).with_dequantization(dequantize);
    let validation = FitData::new(digits("val")?).with_dequantization(dequantize);
    train.check()?;

    let logit = Logit::new(0.05)?;
    let pixels = dequantize.apply(digits("train")?, &mut Noise::seeded(args.common.seed));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0)?;
    let mlp =
        MlpConfig::new(vec![128, 128]).with_activation(ActivationConfig::Silu).with_dropout(0.4);
    let config =
        RealNvpConfig::new(PIXELS).with_masks(Masks::Random(args.common.seed)).with_mlp(mlp);
    let (couplings, base) = config.init(&device).into_parts();
    let flow = Flow::new((logit, standardize, couplings), base);

    let training = SupervisedTraining::new(
        cli::output(&args.common.out, "learner")?,
        train.batches(128, args.common.seed, &device),
        validation.batches(512, args.common.seed, &device),
    )
    .metrics((LossMetric::new(), NllMetric::nats(), NllMetric::bits_per_dim(LEVELS)))
    .with_training_strategy(TrainingStrategy::Default(execution))
    .with_default_checkpointers()
    .num_epochs(args.common.epochs.unwrap_or(20))
    .summary();
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.0).init();
    let result = training.launch(Learner::new(Trainee::new(flow.train()), optimizer, 1e-3));
    if let Some(error) = result.error {
        return Err(error.into());
    }

    let flow = result.model.into_inner();
    let test = dequantize.apply(digits("test")?, &mut Noise::seeded(args.common.seed));
    let test_nll = nll(&flow, test, 512);
    cli::finish(&serde_json::json!({
        "test_nll": test_nll,
        "bits_per_dim": bits_per_dim(test_nll, PIXELS, LEVELS),
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
