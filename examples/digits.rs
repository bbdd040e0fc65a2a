//! Flows trained on real handwritten digits by exact maximum likelihood.
//!
//! Trains four class-conditional neural spline flows on 1,438 digits of 8x8 pixels. Their mixture,
//! with the class marginalised, is a density of images without labels. Reports the test negative
//! log-likelihood and bits per dimension next to those of a full-covariance Gaussian, the density
//! per class, the most and least likely test digits, and a picture of sampled digits.
//!
//! `cargo run --release -p examples --example digits`

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

use burn_flows::Result;
use burn_flows::bijector::Logit;
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::distribution::{Marginal, Mixture};
use burn_flows::model::{Masks, NsfConfig, NsfLayers, NsfStep};
use burn_flows::prelude::*;
use burn_flows::store;
use burn_flows::train::{Dequantize, FitConfig, FitData, bits_per_dim, fit, nll};
use burn_flows::univariate::RationalQuadraticConfig;
use clap::Parser;

use cli::{Common, Outcome};
use gaussian::Gaussian;
use table::Table;

/// Train a flow on real handwritten digits and report its density.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Number of flows in the mixture
    #[arg(long, default_value_t = 4)]
    members: u64,
    /// Coupling layers per flow
    #[arg(long, default_value_t = 8)]
    layers: usize,
    /// Dropout probability of hidden elements
    #[arg(long, default_value_t = 0.4)]
    dropout: f64,
    /// Train without class labels
    #[arg(long)]
    unconditional: bool,
    /// Number of runs with consecutive seeds, for a mean and a standard deviation
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

/// The number of pixels of an image, and the number of their grey levels.
const PIXELS: usize = 64;
const LEVELS: usize = 17;
const EPOCHS: usize = 100;
const CLASSES: usize = 10;
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Maps pixels in [0, 1] to the real line, standardises them, then applies the splines.
type Member = Flow<(Logit, Standardize<2>, NsfLayers<NsfStep>), StandardNormal<2>>;

/// A mixture of flows with different masks and noise, with the class marginalised.
type Digits = Mixture<Marginal<Member>>;

/// Images and their one-hot classes. `classes` has no columns if labels are not used.
struct Part {
    x: Tensor<2>,
    labels: Vec<usize>,
    classes: Tensor<2>,
}

/// The digits: integers for training, fixed dequantized values for validation and test.
struct Data {
    train: Part,
    validation: Part,
    test: Part,
}

fn read(name: &str) -> Result<Table> {
    Table::read(&Path::new(DATA).join(name))
}

impl Part {
    fn read(name: &str, dequantized: bool, unconditional: bool, device: &Device) -> Result<Self> {
        let mut x = read(&format!("digits_{name}_int.csv"))?.tensor(device);
        if dequantized {
            let noise = read(&format!("digits_{name}_u.npy"))?.tensor(device);
            x = (x + noise) / LEVELS as f64;
        }
        let labels = read(&format!("digits_{name}_label.csv"))?;
        let labels: Vec<usize> = labels.values.iter().map(|&label| label as usize).collect();
        let width = if unconditional { 0 } else { CLASSES };
        let one_hot = labels.iter().flat_map(|&label| (0..width).map(move |class| class == label));
        let flags: Vec<f32> = one_hot.map(|is| f32::from(u8::from(is))).collect();
        let classes = Tensor::from_data(TensorData::new(flags, [labels.len(), width]), device);
        Ok(Self { x, labels, classes })
    }
}

impl Data {
    fn read(unconditional: bool, device: &Device) -> Result<Self> {
        let part = |name, dequantized| Part::read(name, dequantized, unconditional, device);
        Ok(Self {
            train: part("train", false)?,
            validation: part("val", true)?,
            test: part("test", true)?,
        })
    }
}

fn member(args: &Args, data: &Data, seed: u64, device: &Device) -> Result<Member> {
    let logit = Logit::new(0.05)?;
    let pixels = Dequantize::new(LEVELS)?.apply(data.train.x.clone(), &mut Noise::seeded(seed));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0)?;
    // With few images, dropout and random masks help more than depth. Every pixel has sharp peaks
    // at black and white. An elementwise spline of many bins learns these before the couplings.
    let mlp = MlpConfig::new(vec![128, 128])
        .with_activation(ActivationConfig::Silu)
        .with_residual(true)
        .with_dropout(args.dropout);
    let config = NsfConfig::new(PIXELS)
        .with_layers(args.layers)
        .with_masks(Masks::Random(seed))
        .with_mlp(mlp)
        .with_context(data.train.classes.dims()[1])
        .with_elementwise(Some(RationalQuadraticConfig::new().with_bins(48)));
    let (splines, base) = config.try_init(device)?.into_parts();
    Ok(Flow::new((logit, standardize, splines), base))
}

/// The result of one run.
struct Trained {
    digits: Digits,
    seconds: f64,
}

/// Trains the members one after the other and returns their mixture.
fn train(args: &Args, data: &Data, run: u64, device: &Device) -> Result<Trained> {
    let (mut members, mut seconds) = (vec![], 0.0);
    let unconditional = args.unconditional;
    for seed in run * args.members..(run + 1) * args.members {
        device.seed(seed);
        let config = FitConfig::new()
            .with_epochs(args.common.epochs.unwrap_or(EPOCHS))
            .with_learning_rate(2e-3)
            .with_batch_size(64)
            .with_average(Some(0.995))
            .with_seed(seed);
        let rows = FitData::new(data.train.x.clone())
            .with_context(data.train.classes.clone())
            .with_dequantization(Dequantize::new(LEVELS)?)
            .with_validation((data.validation.x.clone(), data.validation.classes.clone()));
        let (member, report) = fit(member(args, data, seed, device)?, rows, &config)?;
        let member = match unconditional {
            true => Marginal::new(member, Tensor::zeros([1, 0], device), Tensor::ones([1], device)),
            false => Marginal::of_classes(member, CLASSES, device),
        }?;
        let of = |part: &Part| nll(&member, part.x.clone(), 512);
        println!(
            "  seed {seed}: {} parameters, {:.0} s, best epoch {} of {}, \
             validation NLL {:.2}, test NLL {:.2} nats",
            member.num_params(),
            report.seconds,
            report.best_epoch,
            report.epochs.len(),
            of(&data.validation),
            of(&data.test),
        );
        seconds += report.seconds;
        members.push(member);
    }
    Ok(Trained { digits: Mixture::new(members, device)?, seconds })
}

/// Test NLL of a Gaussian fitted to the standardised logits, as a density of pixels in [0, 1].
fn gaussian_nll(data: &Data, digits: &Digits) -> Result<f64> {
    let (logit, standardize, _) = digits.components()[0].conditional().bijector();
    let front = (logit.clone(), standardize.clone());
    let pixels = Dequantize::new(LEVELS)?.apply(data.train.x.clone(), &mut Noise::seeded(0));
    let gaussian = Gaussian::fit(front.forward(pixels, None).0);
    let (y, log_det) = front.forward(data.test.x.clone(), None);
    let rows = log_det.dims()[0] as f64;
    Ok(gaussian.nll(y) - log_det.into_data().iter::<f64>().sum::<f64>() / rows)
}

/// Index, label and log-density of every test digit, in descending order of density.
fn ranked(data: &Data, digits: &Digits) -> Vec<(usize, usize, f64)> {
    let log_prob = digits.log_prob_batched(data.test.x.clone(), None, 512).into_data();
    let mut rows: Vec<_> = log_prob
        .iter::<f64>()
        .zip(&data.test.labels)
        .enumerate()
        .map(|(index, (log_prob, &label))| (index, label, log_prob))
        .collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    rows
}

fn print_report(ranked: &[(usize, usize, f64)]) {
    println!("\nmean log-density of the test digits (nats per image)");
    for digit in 0..10 {
        let of_class: Vec<f64> = ranked.iter().filter(|r| r.1 == digit).map(|r| r.2).collect();
        let mean = of_class.iter().sum::<f64>() / of_class.len() as f64;
        println!("  digit {digit}: {:7.2}  ({} images)", mean, of_class.len());
    }
    for (title, rows) in
        [("most likely", &ranked[..5]), ("least likely", &ranked[ranked.len() - 5..])]
    {
        let list: Vec<_> =
            rows.iter().map(|r| format!("#{} (digit {}) {:.1}", r.0, r.1, r.2)).collect();
        println!("  {title}: {}", list.join(", "));
    }
}

/// The largest error of a pixel after encoding and decoding, over all members.
fn round_trip(data: &Data, digits: &Digits) -> f64 {
    let Part { x, classes, .. } = &data.test;
    let error = |member: &Marginal<Member>| {
        let flow = member.conditional();
        let back = flow.given(classes).decode(flow.given(classes).encode(x.clone()));
        (back - x.clone()).abs().max().into_scalar::<f64>()
    };
    digits.components().iter().map(error).fold(0.0, f64::max)
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let data = Data::read(args.unconditional, &device)?;
    let mut scores = vec![];
    let mut last = None;
    for run in args.common.seed..args.common.seed + args.runs.max(1) {
        let trained = train(&args, &data, run, &device)?;
        let test = nll(&trained.digits, data.test.x.clone(), 512);
        let Trained { digits, seconds } = &trained;
        let count = digits.components().len();
        println!("run {run}: mixture of {count} flows, {seconds:.0} s, test NLL {test:.2} nats");
        scores.push(test);
        last = Some(trained);
    }
    let Trained { digits, seconds } = last.expect("at least one run");
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
    let spread = (squares / scores.len() as f64).sqrt();
    let gaussian = gaussian_nll(&data, &digits)?;
    let bits = |nll| bits_per_dim(nll, PIXELS, LEVELS);
    println!("\n                       test NLL (nats/image)   bits/dim");
    println!("  Gaussian, full covariance   {gaussian:10.2}   {:12.4}", bits(gaussian));
    println!("  mixture of these flows      {mean:10.2}   {:12.4}", bits(mean));
    if scores.len() > 1 {
        println!("  standard deviation, {} seeds {spread:10.2}", scores.len());
    }

    let ranked = ranked(&data, &digits);
    print_report(&ranked);
    let round_trip = round_trip(&data, &digits);
    let picture = cli::output(&args.common.out, "digits.png")?;
    let images = digits.sample(100, None, &mut Noise::seeded(args.common.seed), &device);
    grid::draw(images.reshape([100, 1, 8, 8]), 10, &picture)?;
    let weights = cli::output(&args.common.out, "digits.safetensors")?;
    store::save(&digits, &weights)?;
    println!("\npicture of 100 new digits: {}, weights: {}", picture.display(), weights.display());
    println!("largest round-trip error (pixels in [0, 1]): {round_trip:.1e}");
    cli::finish(&serde_json::json!({
        "test_nll": mean,
        "test_nll_spread": spread,
        "gaussian_nll": gaussian,
        "bits_per_dim": bits(mean),
        "train_seconds": seconds,
        "round_trip_max": round_trip,
        "parameters": digits.num_params(),
        "flows": digits.components().len(),
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
