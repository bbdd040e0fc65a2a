//! Fits two moons in seconds, and draws the density, samples, and how the flow bends a grid.
//!
//! `--target` selects another target. Every target has an exact density, so the program compares
//! the negative log-likelihood with its true value.
//!
//! `cargo run --release -p examples --example two_moons`

#[path = "common/cli.rs"]
mod cli;

use burn_flows::bijector::Bijector;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::{Checkerboard, EightGaussians, Pinwheel, Rings, TwoMoons};
use burn_flows::model::AutoregressiveNsfConfig;
use burn_flows::prelude::*;
use burn_flows::train::{FitConfig, fit, nll};
use clap::{Parser, ValueEnum};
use image::{Rgb, RgbImage};
use std::process::ExitCode;

use cli::{Common, Outcome};

/// Fit a flow to a target in the plane and draw it
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// The target density
    #[arg(long, value_enum, default_value_t = Target::Moons)]
    target: Target,
    /// The flow to fit
    #[arg(long, value_enum, default_value_t = Model::Nsf)]
    model: Model,
    /// Number of layers; the default is 16 couplings or 5 spline layers
    #[arg(long)]
    layers: Option<usize>,
    /// Units of each of the two hidden layers of every network
    #[arg(long, default_value_t = 64)]
    hidden: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    Moons,
    EightGaussians,
    Checkerboard,
    Rings,
    Pinwheel,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    RealNvp,
    /// Autoregressive splines
    Nsf,
}

impl Target {
    fn sample(self, n: usize, noise: &mut Noise, device: &Device) -> Tensor<2> {
        match self {
            Self::Moons => TwoMoons {}.sample(n, None, noise, device),
            Self::EightGaussians => EightGaussians {}.sample(n, None, noise, device),
            Self::Checkerboard => Checkerboard {}.sample(n, None, noise, device),
            Self::Rings => Rings {}.sample(n, None, noise, device),
            Self::Pinwheel => Pinwheel {}.sample(n, None, noise, device),
        }
    }

    /// The mean negative log-density of the target at these points, and its entropy.
    fn truth(self, x: Tensor<2>) -> (f64, f64) {
        match self {
            Self::Moons => (nll(&TwoMoons {}, x, 1000), TwoMoons::ENTROPY),
            Self::EightGaussians => (nll(&EightGaussians {}, x, 1000), EightGaussians::ENTROPY),
            Self::Checkerboard => (nll(&Checkerboard {}, x, 1000), Checkerboard::ENTROPY),
            Self::Rings => (nll(&Rings {}, x, 1000), Rings::ENTROPY),
            Self::Pinwheel => (nll(&Pinwheel {}, x, 1000), Pinwheel::ENTROPY),
        }
    }
}

const ROWS: usize = 20_000;
const EPOCHS: usize = 40;

/// The side of a panel in pixels.
const SIDE: usize = 360;

/// The square that the panels show.
struct Window {
    low: [f64; 2],
    size: f64,
}

impl Window {
    /// The square around these points, with a margin.
    fn around(x: &Tensor<2>) -> Self {
        let side = |t: Tensor<2>| t.into_data().iter::<f64>().collect::<Vec<_>>();
        let (low, high) = (side(x.clone().min_dim(0)), side(x.clone().max_dim(0)));
        let size = (high[0] - low[0]).max(high[1] - low[1]) * 1.1;
        let start = |axis: usize| (low[axis] + high[axis] - size) / 2.0;
        Self { low: [start(0), start(1)], size }
    }

    /// The centre of every pixel, row by row from the top.
    fn pixels(&self, device: &Device) -> Tensor<2> {
        let step = self.size / SIDE as f64;
        let values: Vec<f64> = (0..SIDE * SIDE)
            .flat_map(|i| {
                let (column, row) = (i % SIDE, SIDE - 1 - i / SIDE);
                [(column, self.low[0]), (row, self.low[1])]
                    .map(|(at, low)| low + (at as f64 + 0.5) * step)
            })
            .collect();
        Tensor::from_data(TensorData::new(values, [SIDE * SIDE, 2]), device)
    }

    /// Paints one pixel for every point inside the panel.
    fn paint(&self, picture: &mut RgbImage, panel: usize, points: Tensor<2>, colour: Rgb<u8>) {
        let points: Vec<f64> = points.into_data().iter::<f64>().collect();
        for point in points.chunks(2) {
            let at = |axis: usize| (point[axis] - self.low[axis]) / self.size * SIDE as f64;
            let (column, row) = (at(0).floor(), SIDE as f64 - 1.0 - at(1).floor());
            let inside = 0.0..SIDE as f64;
            if inside.contains(&column) && inside.contains(&row) {
                picture.put_pixel((panel * SIDE) as u32 + column as u32, row as u32, colour);
            }
        }
    }
}

/// Draws density, samples and the image of a latent grid, side by side.
fn draw<B: Bijector<2>>(
    flow: &Flow<B, StandardNormal<2>>,
    window: &Window,
    seed: u64,
    device: &Device,
) -> RgbImage {
    let mut picture = RgbImage::from_pixel(3 * SIDE as u32, SIDE as u32, Rgb([255; 3]));
    let log_prob = flow.log_prob_batched(window.pixels(device), 8192).into_data();
    let density: Vec<f64> = log_prob.iter::<f64>().map(f64::exp).collect();
    let highest = density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    for (index, value) in density.iter().enumerate() {
        let heat = (value / highest).sqrt();
        let colour =
            Rgb([heat, heat * heat, 0.25 + 0.5 * heat * (1.0 - heat)].map(|c| (c * 255.0) as u8));
        picture.put_pixel((index % SIDE) as u32, (index / SIDE) as u32, colour);
    }
    window.paint(&mut picture, 1, flow.sample_seeded(10_000, seed), Rgb([30, 60, 140]));
    const LINES: usize = 25;
    const DOTS: usize = 4000;
    let along = |i: usize, of: usize| -3.0 + 6.0 * i as f64 / (of - 1) as f64;
    for line in 0..LINES {
        let dots = (0..DOTS).flat_map(|dot| [along(line, LINES), along(dot, DOTS)]).collect();
        let upright = Tensor::<2>::from_data(TensorData::new::<f64, _>(dots, [DOTS, 2]), device);
        let level = upright.clone().flip([1]);
        window.paint(&mut picture, 2, flow.decode(upright), Rgb([160, 40, 40]));
        window.paint(&mut picture, 2, flow.decode(level), Rgb([40, 100, 60]));
    }
    picture
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let silu = ActivationConfig::Silu;
    match args.model {
        Model::RealNvp => {
            let mlp = MlpConfig::new(vec![args.hidden; 2]).with_activation(silu);
            let config = RealNvpConfig::new(2).with_layers(args.layers.unwrap_or(16)).with_mlp(mlp);
            learn(&args, config.init(&device), &device)
        }
        Model::Nsf => {
            let made = MadeConfig::new(vec![args.hidden; 2]).with_activation(silu);
            let config = AutoregressiveNsfConfig::new(2).with_made(made);
            learn(&args, config.with_layers(args.layers.unwrap_or(5)).init(&device), &device)
        }
    }
}

/// Trains the flow, prints the results and draws the picture.
fn learn<B: Bijector<2>>(
    args: &Args,
    flow: Flow<B, StandardNormal<2>>,
    device: &Device,
) -> Outcome<()> {
    let mut noise = Noise::seeded(args.common.seed);
    let train = args.target.sample(ROWS, &mut noise, device);
    let test = args.target.sample(5000, &mut noise, device);
    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(EPOCHS))
        .with_batch_size(256)
        .with_learning_rate(4e-3)
        .with_average(Some(0.995))
        .with_seed(args.common.seed);
    let (flow, report) = fit(flow, train.clone(), &config)?;

    let test_nll = nll(&flow, test.clone(), 1000);
    let (truth, entropy) = args.target.truth(test.clone());
    println!(
        "test NLL {test_nll:.4} nats; NLL of the true density {truth:.4} nats, \
         entropy of the true density {entropy:.4} nats"
    );
    let back = flow.decode(flow.encode(test.clone()));
    let round_trip = (back - test).abs().max().into_scalar::<f64>();
    let path = cli::output(&args.common.out, "two_moons.png")?;
    draw(&flow, &Window::around(&train), args.common.seed, device).save(&path)?;
    println!("picture of density, samples and grid: {}", path.display());
    cli::finish(&serde_json::json!({
        "test_nll": test_nll,
        "true_nll": truth,
        "entropy": entropy,
        "train_seconds": report.seconds,
        "round_trip_max": round_trip,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
