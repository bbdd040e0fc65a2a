//! Glow on images: class-conditional digits, their bits per dimension, and latent interpolation.
//!
//! Trains on the 8x8 digits of the `digits` example, or on your own images: `--images DIR --size N`
//! (PNG or JPEG files), `--mnist DIR` or `--cifar DIR` (their binary files). Draws samples per
//! class, samples at temperatures from 0 to 1, and interpolations between two real images.
//!
//! `cargo run --release -p examples --example glow_digits`

#[path = "common/cli.rs"]
mod cli;
#[path = "common/grid.rs"]
mod grid;
#[path = "common/images.rs"]
mod images;
#[path = "common/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn_flows::Result;
use burn_flows::bijector::Logit;
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::conditioner::ConvNetConfig;
use burn_flows::distribution::Marginal;
use burn_flows::model::{Glow, GlowConfig};
use burn_flows::prelude::*;
use burn_flows::train::{Dequantize, FitConfig, FitData, bits_per_dim, fit, nll};
use burn_flows::{MultiScale, store};
use clap::Parser;

use cli::{Common, Outcome};
use images::Images;
use table::Table;

/// Train a class-conditional Glow and report its bits per dimension
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Train on the PNG or JPEG files of this folder instead of the digits
    #[arg(long)]
    images: Option<PathBuf>,
    /// Side in pixels to which the files of --images are cropped and scaled
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Train on MNIST: the folder of its idx files
    #[arg(long)]
    mnist: Option<PathBuf>,
    /// Train on CIFAR-10: the folder of its binary batches
    #[arg(long)]
    cifar: Option<PathBuf>,
    /// Number of levels; each level halves the side of the images
    #[arg(long, default_value_t = 2)]
    levels: usize,
    /// Steps per level
    #[arg(long, default_value_t = 8)]
    steps: usize,
    /// Hidden channels of the networks
    #[arg(long, default_value_t = 64)]
    hidden: usize,
    /// Dropout probability of hidden elements; use more for fewer images
    #[arg(long, default_value_t = 0.3)]
    dropout: f64,
    /// Train without class labels
    #[arg(long)]
    unconditional: bool,
    /// Number of runs with consecutive seeds, for a mean and a standard deviation
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

const EPOCHS: usize = 600;

/// Images as integers `[n, channels, height, width]`, and one-hot classes if there are labels.
struct Part {
    x: Tensor<4>,
    classes: Option<Tensor<2>>,
}

/// Integers for training, fixed dequantized values for validation and test.
struct Data {
    train: Part,
    validation: Part,
    test: Part,
    levels: usize,
}

impl Part {
    fn one_hot(labels: &[usize], classes: usize, device: &Device) -> Tensor<2> {
        let flags: Vec<f32> = labels
            .iter()
            .flat_map(|&l| (0..classes).map(move |c| f32::from(u8::from(c == l))))
            .collect();
        Tensor::from_data(TensorData::new(flags, [labels.len(), classes]), device)
    }
}

impl Data {
    fn digits(device: &Device) -> Outcome<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let square = |name: &str| {
            let table = Table::read(&folder.join(format!("digits_{name}")))?;
            let rows = table.rows();
            Ok::<_, Error>(table.tensor(device).reshape([rows, 1, 8, 8]))
        };
        let part = |name: &str, dequantized: bool| {
            let labels = Table::read(&folder.join(format!("digits_{name}_label.csv")))?;
            let labels: Vec<usize> = labels.values.iter().map(|&l| l as usize).collect();
            let mut x = square(&format!("{name}_int.csv"))?;
            if dequantized {
                x = (x + square(&format!("{name}_u.npy"))?) / 17.0;
            }
            Ok::<_, Error>(Part { x, classes: Some(Part::one_hot(&labels, 10, device)) })
        };
        let (train, validation, test) =
            (part("train", false)?, part("val", true)?, part("test", true)?);
        Ok(Self { train, validation, test, levels: 17 })
    }

    /// Splits images of 256 levels into 80 % training, 10 % validation and 10 % test, by the seed.
    fn split(images: Images, seed: u64, device: &Device) -> Outcome<Self> {
        let side = images.width;
        let pixels = images.channels * side * side;
        let count = images.values.len() / pixels;
        let held = count / 10;
        if held == 0 {
            return Err(format!("a split 80/10/10 needs at least 10 images, found {count}").into());
        }
        let order = Noise::seeded(seed).permutation(count);
        let classes = images.labels.as_ref().and_then(|l| l.iter().max()).map_or(0, |m| m + 1);
        let part = |rows: &[usize]| {
            let bytes =
                rows.iter().flat_map(|&row| &images.values[row * pixels..(row + 1) * pixels]);
            let values: Vec<f32> = bytes.map(|&byte| f32::from(byte)).collect();
            let shape = [rows.len(), images.channels, side, side];
            let labels = images.labels.as_ref().map(|labels| {
                let labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
                Part::one_hot(&labels, classes, device)
            });
            Part { x: Tensor::from_data(TensorData::new(values, shape), device), classes: labels }
        };
        let (mut test, mut validation) = (part(&order[..held]), part(&order[held..2 * held]));
        let dequantize = Dequantize::new(256)?;
        let mut noise = Noise::seeded(seed);
        test.x = dequantize.apply(test.x, &mut noise);
        validation.x = dequantize.apply(validation.x, &mut noise);
        Ok(Self { train: part(&order[2 * held..]), validation, test, levels: 256 })
    }

    fn read(args: &Args, device: &Device) -> Outcome<Self> {
        let images = match (&args.images, &args.mnist, &args.cifar) {
            (Some(folder), _, _) => images::folder(folder, args.size)?,
            (_, Some(folder), _) => images::mnist(folder)?,
            (_, _, Some(folder)) => images::cifar(folder)?,
            _ => return Self::digits(device),
        };
        Self::split(images, args.common.seed, device)
    }

    fn without_classes(mut self) -> Self {
        for part in [&mut self.train, &mut self.validation, &mut self.test] {
            part.classes = None;
        }
        self
    }
}

/// Maps pixels in [0, 1] to the real line, standardises them, then applies Glow.
type Model = Flow<(Logit, Standardize<4>), Glow>;

fn model(args: &Args, data: &Data, seed: u64, device: &Device) -> Outcome<Model> {
    let dequantize = Dequantize::new(data.levels)?;
    let logit = Logit::new(0.05)?;
    let pixels = dequantize.apply(data.train.x.clone(), &mut Noise::seeded(seed));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0)?;
    let [_, channels, height, width] = data.train.x.dims();
    let network = ConvNetConfig::new(args.hidden)
        .with_activation(ActivationConfig::Silu)
        .with_dropout(args.dropout);
    let config = GlowConfig::new([channels, height, width], args.levels)
        .with_steps(args.steps)
        .with_network(network)
        .with_context(data.train.classes.as_ref().map_or(0, |c| c.dims()[1]))
        .with_seed(seed);
    config.validate()?;
    Ok(Flow::new((logit, standardize), config.init(device)))
}

/// Test NLL in nats per image, with the class marginalised under a uniform prior.
fn test_nll(model: &Model, data: &Data, device: &Device) -> Result<f64> {
    let x = data.test.x.clone();
    Ok(match &data.train.classes {
        None => nll(model, x, 256),
        Some(classes) => {
            let classes = classes.dims()[1];
            nll(&Marginal::of_classes(model.clone(), classes, device)?, x, 256)
        }
    })
}

/// Samples of ten classes at one temperature, or ten samples without classes.
fn row(model: &Model, classes: Option<usize>, temperature: f64, seed: u64) -> Tensor<4> {
    let ((logit, standardize), glow) = model.clone().into_parts();
    let warm: MultiScale<_, _> = glow.with_temperature(temperature).unwrap();
    let model = Flow::new((logit, standardize), warm).valid();
    let device = model.devices()[0].clone();
    let labels: Vec<usize> = (0..10).map(|k| k % classes.unwrap_or(1)).collect();
    let context = classes.map(|classes| Part::one_hot(&labels, classes, &device));
    model.given(context.as_ref()).sample_seeded(10, seed)
}

/// The latents of images.
fn encode(model: &Model, x: Tensor<4>, classes: Option<&Tensor<2>>) -> Vec<Tensor<4>> {
    let (y, _) = model.bijector().forward(x, None);
    model.base().given(classes).encode(y)
}

/// The images of latents.
fn decode(model: &Model, z: Vec<Tensor<4>>, classes: Option<&Tensor<2>>) -> Tensor<4> {
    model.bijector().inverse(model.base().given(classes).decode(z), None)
}

/// Ten images along a straight line in latent space from one image to another.
fn walk(model: &Model, part: &Part, from: usize, to: usize) -> Tensor<4> {
    let class = |row: usize| part.classes.as_ref().map(|c| c.clone().narrow(0, row, 1));
    let latent = |row: usize| encode(model, part.x.clone().narrow(0, row, 1), class(row).as_ref());
    let (start, end) = (latent(from), latent(to));
    let steps = (0..10).map(|step| {
        let t = f64::from(step) / 9.0;
        let between = |(a, b): (&Tensor<4>, &Tensor<4>)| a.clone() * (1.0 - t) + b.clone() * t;
        let classes = class(from).zip(class(to)).map(|(a, b)| a * (1.0 - t) + b * t);
        decode(model, start.iter().zip(&end).map(between).collect(), classes.as_ref())
    });
    Tensor::cat(steps.collect(), 0)
}

/// The largest error of a pixel in [0, 1] after encoding and decoding.
fn round_trip(model: &Model, part: &Part) -> f64 {
    let classes = part.classes.as_ref();
    let back = decode(model, encode(model, part.x.clone(), classes), classes);
    (back - part.x.clone()).abs().max().into_scalar::<f64>()
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let mut data = Data::read(&args, &device)?;
    if args.unconditional {
        data = data.without_classes();
    }
    let classes = data.train.classes.as_ref().map(|c| c.dims()[1]);
    let dims: usize = data.train.x.dims()[1..].iter().product();
    let bits = |nll| bits_per_dim(nll, dims, data.levels);
    let mut scores = vec![];
    let mut last = None;
    for seed in args.common.seed..args.common.seed + args.runs.max(1) {
        device.seed(seed);
        let config = FitConfig::new()
            .with_epochs(args.common.epochs.unwrap_or(EPOCHS))
            .with_learning_rate(2e-3)
            .with_average(Some(0.995))
            .with_seed(seed);
        let mut rows = FitData::new(data.train.x.clone())
            .with_dequantization(Dequantize::new(data.levels)?)
            .with_validation((data.validation.x.clone(), data.validation.classes.clone()));
        if let Some(classes) = &data.train.classes {
            rows = rows.with_context(classes.clone());
        }
        let (model, report) = fit(model(&args, &data, seed, &device)?, rows, &config)?;
        let nll = test_nll(&model, &data, &device)?;
        println!(
            "seed {seed}: {} parameters, {:.0} s, best epoch {} of {}, \
             test NLL {nll:.2} nats, {:.4} bits/dim",
            model.num_params(),
            report.seconds,
            report.best_epoch,
            report.epochs.len(),
            bits(nll),
        );
        scores.push(nll);
        last = Some((model, report));
    }
    let (model, report) = last.expect("at least one run");
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
    let spread = (squares / scores.len() as f64).sqrt();
    println!("\n                  test NLL (nats/image)   bits/dim");
    println!("  this flow      {mean:10.2} +- {spread:.2}   {:12.4}", bits(mean));

    let out = &args.common.out;
    let seed = args.common.seed;
    let samples: Vec<_> = (0..8).map(|k| row(&model, classes, 1.0, seed + k)).collect();
    grid::draw(Tensor::cat(samples, 0), 10, &cli::output(out, "glow_classes.png")?)?;
    let warm: Vec<_> =
        [0.0, 0.25, 0.5, 0.7, 0.85, 1.0].map(|t| row(&model, classes, t, seed)).to_vec();
    grid::draw(Tensor::cat(warm, 0), 10, &cli::output(out, "glow_temperatures.png")?)?;
    let pairs =
        (0..data.test.x.dims()[0].min(12) / 2).map(|k| walk(&model, &data.test, 2 * k, 2 * k + 1));
    grid::draw(Tensor::cat(pairs.collect(), 0), 10, &cli::output(out, "glow_walks.png")?)?;
    store::save(&model, cli::output(out, "glow_digits.safetensors")?)?;
    println!("pictures of classes, temperatures and interpolations: {}/glow_*.png", out.display());

    let round_trip = round_trip(&model, &data.test);
    println!(
        "largest round-trip error, in grey levels: {:.1e}",
        round_trip * (data.levels - 1) as f64
    );
    cli::finish(&serde_json::json!({
        "test_nll": mean,
        "test_nll_spread": spread,
        "bits_per_dim": bits(mean),
        "parameters": model.num_params(),
        "train_seconds": report.seconds,
        "round_trip_max": round_trip,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
