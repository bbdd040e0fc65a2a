//! A conditional density of two numbers, given an angle.
//!
//! The true density is a Gaussian whose centre lies on a circle at the given angle. It is narrow
//! along the circle and wide across it, so the flow has to turn with its context. Its conditional
//! entropy is known. The picture shows samples at twelve angles.
//!
//! `cargo run --release -p examples --example conditional`

#[path = "common/cli.rs"]
mod cli;

use std::f64::consts::{PI, TAU};
use std::process::ExitCode;

use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::prelude::*;
use burn_flows::train::{FitConfig, FitData, fit, nll};
use clap::Parser;

use cli::{Common, Outcome};

/// Fit p(x | angle) and compare it with the truth.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
}

const RADIUS: f64 = 2.0;
const ACROSS: f64 = 0.3;
const ALONG: f64 = 0.1;

/// The angle as input of the network: cosine and sine, which have no jump at a full turn.
fn context(angles: &[f64], device: &Device) -> Tensor<2> {
    let values: Vec<f64> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
    Tensor::from_data(TensorData::new(values, [angles.len(), 2]), device)
}

/// One sample of the true density for each angle.
fn truth(angles: &[f64], noise: &mut Noise, device: &Device) -> Tensor<2> {
    let values: Vec<f64> = angles
        .iter()
        .flat_map(|a| {
            let radius = RADIUS + ACROSS * noise.next_normal();
            let aside = ALONG * noise.next_normal();
            [radius * a.cos() - aside * a.sin(), radius * a.sin() + aside * a.cos()]
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [angles.len(), 2]), device)
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let mut noise = Noise::seeded(args.common.seed);
    let mut sample = |rows: usize| {
        let angles: Vec<f64> = (0..rows).map(|_| TAU * noise.next_uniform()).collect();
        (truth(&angles, &mut noise, &device), context(&angles, &device))
    };
    let (x, c) = sample(10_000);
    let (x_test, c_test) = sample(5_000);

    let flow = RealNvpConfig::new(2)
        .with_layers(6)
        .with_mlp(MlpConfig::new(vec![64, 64]).with_activation(ActivationConfig::Silu))
        .with_context(2)
        .init(&device);
    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(30))
        .with_batch_size(256)
        .with_learning_rate(3e-3)
        .with_average(Some(0.99))
        .with_seed(args.common.seed);
    let (flow, report) = fit(flow, FitData::new(x).with_context(c), &config)?;

    let test_nll = nll(&flow, (x_test.clone(), c_test.clone()), 1024);
    let entropy = 1.0 + (TAU * ACROSS * ALONG).ln();
    println!(
        "test NLL {test_nll:.4} nats, conditional entropy of the true density {entropy:.4} nats"
    );
    let z = flow.given(&c_test).encode(x_test.clone());
    let back = flow.given(&c_test).decode(z);
    let round_trip = (back - x_test).abs().max().into_scalar::<f64>();

    const SIZE: u32 = 480;
    let mut picture = image::RgbImage::from_pixel(SIZE, SIZE, image::Rgb([250; 3]));
    for hour in 0..12 {
        let angle = f64::from(hour) * PI / 6.0;
        let points = flow.given(&context(&[angle], &device)).sample(300);
        let points: Vec<f64> = points.into_data().iter::<f64>().collect();
        let shade = |phase: f64| (127.0 + 120.0 * (angle + phase).cos()) as u8;
        let colour = image::Rgb([shade(0.0), shade(TAU / 3.0), shade(2.0 * TAU / 3.0)]);
        for point in points.chunks(2) {
            let at = |v: f64| ((v + 3.5) / 7.0 * f64::from(SIZE)).clamp(0.0, f64::from(SIZE - 1));
            picture.put_pixel(at(point[0]) as u32, SIZE - 1 - at(point[1]) as u32, colour);
        }
    }
    let path = cli::output(&args.common.out, "conditional.png")?;
    picture.save(&path)?;
    println!("picture of samples at twelve angles: {}", path.display());
    cli::finish(&serde_json::json!({
        "test_nll": test_nll,
        "entropy": entropy,
        "train_seconds": report.seconds,
        "round_trip_max": round_trip,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
