//! A flow trained on real handwritten digits by exact maximum likelihood.
//!
//! Trains a neural spline flow on 1,438 digits of 8x8 pixels, and reports the test negative log-likelihood
//! and bits per dimension next to a full-covariance Gaussian, the density of every class, the
//! likeliest and unlikeliest test digits, and a picture of new digits.
//!
//! `cargo run --release --example digits`

#[path = "common/cli.rs"]
mod cli;
#[path = "common/gaussian.rs"]
mod gaussian;
#[path = "common/grid.rs"]
mod grid;
#[path = "common/table.rs"]
mod table;

use std::path::Path;
use std::process::ExitCode;

use burn_flows::bijector::{Elementwise, Logit};
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::model::{Masks, NsfConfig, NsfStep};
use burn_flows::prelude::*;
use burn_flows::store;
use burn_flows::train::{Dequantize, FitConfig, FitData, Report, bits_per_dim, fit, nll};
use burn_flows::univariate::{RationalQuadratic, RationalQuadraticConfig};
use clap::Parser;

use cli::{Common, Outcome};
use gaussian::Gaussian;
use table::Table;

/// Train a flow on real handwritten digits and report its density.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Couplings of the flow
    #[arg(long, default_value_t = 8)]
    layers: usize,
    /// Probability that a hidden element is dropped
    #[arg(long, default_value_t = 0.4)]
    dropout: f64,
    /// Runs with consecutive seeds, for a mean and a spread
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

/// Pixels of an image, and the number of their grey levels.
const PIXELS: usize = 64;
const LEVELS: usize = 17;
const EPOCHS: usize = 200;
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

/// A spline of every pixel, then the couplings.
type Splines = (Option<Elementwise<RationalQuadratic>>, Vec<NsfStep>);

/// Pixels in [0, 1] to the line, to unit variance, then the splines.
type Digits = Flow<(Logit, Standardize<2>, Splines), StandardNormal<2>>;

/// The digits: integers for training; for validation and test their fixed dequantization.
struct Data {
    train: Tensor<2>,
    validation: Tensor<2>,
    test: Tensor<2>,
    test_labels: Vec<usize>,
}

fn read(name: &str) -> Result<Table> {
    Table::read(&Path::new(DATA).join(name))
}

impl Data {
    fn read(device: &Device) -> Result<Self> {
        let dequantized = |part: &str| {
            let integers = read(&format!("digits_{part}_int.csv"))?.tensor(device);
            let noise = read(&format!("digits_{part}_u.npy"))?.tensor(device);
            Ok::<_, Error>((integers + noise) / LEVELS as f64)
        };
        let labels = read("digits_test_label.csv")?;
        Ok(Self {
            train: read("digits_train_int.csv")?.tensor(device),
            validation: dequantized("val")?,
            test: dequantized("test")?,
            test_labels: labels.values.iter().map(|&label| label as usize).collect(),
        })
    }
}

fn flow(args: &Args, data: &Data, seed: u64, device: &Device) -> Result<Digits> {
    let logit = Logit::new(0.05)?;
    let pixels = Dequantize::new(LEVELS)?.apply(data.train.clone(), &mut Noise::seeded(seed));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0)?;
    // Few images: dropout and random masks help more than depth. Every pixel has hard edges of its
    // own, black and white, which a spline of many bins learns before the couplings mix anything.
    let mlp = MlpConfig::new(vec![128, 128])
        .with_activation(ActivationConfig::Silu)
        .with_residual(true)
        .with_dropout(args.dropout);
    let config = NsfConfig::new(PIXELS)
        .with_layers(args.layers)
        .with_masks(Masks::Random(seed))
        .with_mlp(mlp)
        .with_elementwise(Some(RationalQuadraticConfig::new().with_bins(48)));
    config.validate()?;
    let (splines, base) = config.init(device).into_parts();
    Ok(Flow::new((logit, standardize, splines), base))
}

fn train(args: &Args, data: &Data, seed: u64, device: &Device) -> Result<(Digits, Report)> {
    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(EPOCHS))
        .with_learning_rate(2e-3)
        .with_batch_size(64)
        .with_average(Some(0.995))
        .with_seed(seed);
    let train = FitData::new(data.train.clone())
        .with_dequantization(Dequantize::new(LEVELS)?)
        .with_validation(data.validation.clone(), None);
    fit(flow(args, data, seed, device)?, train, &config)
}

/// Test NLL of a Gaussian on the standardised logits, as a density of pixels in [0, 1].
fn gaussian_nll(data: &Data, digits: &Digits) -> Result<f64> {
    let (logit, standardize, _) = digits.bijector();
    let front = (logit.clone(), standardize.clone());
    let pixels = Dequantize::new(LEVELS)?.apply(data.train.clone(), &mut Noise::seeded(0));
    let gaussian = Gaussian::fit(front.forward(pixels, None).0);
    let (y, log_det) = front.forward(data.test.clone(), None);
    Ok(gaussian.nll(y) - log_det.mean().into_scalar::<f64>())
}

/// Every test digit: its index, label and log-density, the likeliest first.
fn ranked(data: &Data, digits: &Digits) -> Vec<(usize, usize, f64)> {
    let log_prob = digits.log_prob_batched(data.test.clone(), None, 512).into_data();
    let mut rows: Vec<_> = log_prob
        .iter::<f64>()
        .zip(&data.test_labels)
        .enumerate()
        .map(|(index, (log_prob, &label))| (index, label, log_prob))
        .collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    rows
}

fn print_report(ranked: &[(usize, usize, f64)]) {
    println!("\ndensity of the test digits, mean nats per image");
    for digit in 0..10 {
        let of_class: Vec<f64> = ranked.iter().filter(|r| r.1 == digit).map(|r| r.2).collect();
        let mean = of_class.iter().sum::<f64>() / of_class.len() as f64;
        println!("  digit {digit}: {:7.2}  ({} images)", mean, of_class.len());
    }
    for (title, rows) in [("likeliest", &ranked[..5]), ("unlikeliest", &ranked[ranked.len() - 5..])]
    {
        let list: Vec<_> = rows.iter().map(|r| format!("#{} a {} {:.1}", r.0, r.1, r.2)).collect();
        println!("  {title}: {}", list.join(", "));
    }
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let data = Data::read(&device)?;
    let mut scores = vec![];
    let mut last = None;
    for seed in args.common.seed..args.common.seed + args.runs.max(1) {
        device.seed(seed);
        let (digits, report) = train(&args, &data, seed, &device)?;
        let test = nll(&digits, data.test.clone(), None, 512);
        println!(
            "seed {seed}: {} parameters, {:.0} s, best epoch {} of {}, validation {:.2}, test {test:.2} nats",
            digits.num_params(),
            report.seconds,
            report.best_epoch,
            report.epochs.len(),
            report.best_validation_nll.unwrap_or(f64::NAN),
        );
        scores.push(test);
        last = Some((digits, report));
    }
    let (digits, report) = last.expect("at least one run");
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
    let spread = (squares / scores.len() as f64).sqrt();
    let gaussian = gaussian_nll(&data, &digits)?;
    let bits = |nll| bits_per_dim(nll, PIXELS, LEVELS);
    println!("\n                       test NLL (nats/image)   bits/dim");
    println!("  Gaussian, full covariance   {gaussian:10.2}   {:12.4}", bits(gaussian));
    println!("  this flow                   {mean:10.2}   {:12.4}", bits(mean));
    if scores.len() > 1 {
        println!("  spread over {} seeds         {spread:10.2}", scores.len());
    }

    let ranked = ranked(&data, &digits);
    print_report(&ranked);
    let latents = digits.encode(data.test.clone());
    let round_trip = (digits.decode(latents) - data.test.clone()).abs().max().into_scalar::<f64>();
    let picture = cli::output(&args.common.out, "digits.png")?;
    let images = digits.sample_seeded(100, args.common.seed).reshape([100, 1, 8, 8]);
    grid::draw(images, 10, &picture)?;
    let weights = cli::output(&args.common.out, "digits.safetensors")?;
    store::save(&digits, &weights)?;
    println!("\n100 new digits: {}, weights: {}", picture.display(), weights.display());
    println!("largest round-trip error: {round_trip:.1e}");
    cli::finish(&serde_json::json!({
        "test_nll": mean,
        "test_nll_spread": spread,
        "gaussian_nll": gaussian,
        "bits_per_dim": bits(mean),
        "train_seconds": report.seconds,
        "round_trip_max": round_trip,
        "parameters": digits.num_params(),
        "best_epoch": report.best_epoch,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
