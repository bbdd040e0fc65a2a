//! Estimates the normalising constant of an unnormalised density, without data.
//!
//! The target is a banana, `exp(-x^2 / 8 - (y - x^2 / 4)^2 / (2 * 0.25))` times `e^3`. A flow is
//! fitted to it by the reverse divergence. Importance sampling from the flow estimates `ln Z`,
//! whose true value is `ln(2 pi * 2 * 0.5) + 3`.
//!
//! `cargo run --release -p examples --example log_z` fits a Real NVP. With `-- --model iaf` it fits
//! an inverse autoregressive flow, which draws a sample in one pass.

use burn_flows::Result;
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::MadeConfig;
use burn_flows::model::IafConfig;
use burn_flows::prelude::*;
use burn_flows::train::{FitConfig, fit_reverse_kl, log_z};
use clap::{Parser, ValueEnum};

/// Estimate the normalising constant of a banana
#[derive(Parser)]
struct Args {
    /// The flow to fit
    #[arg(long, default_value = "realnvp")]
    model: Model,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "lower")]
enum Model {
    RealNvp,
    Iaf,
}

/// The logarithm of the unnormalised target density.
fn banana(point: Tensor<2>) -> Tensor<1> {
    let rows = point.dims()[0];
    let x = point.clone().slice([0..rows, 0..1]).reshape([rows]);
    let y = point.slice([0..rows, 1..2]).reshape([rows]);
    let across = y - x.clone().square() * 0.25;
    x.square() * -0.125 - across.square() * 2.0 + 3.0
}

/// Fits the flow and compares its estimate with the true value.
fn estimate<B: Bijector<2>>(flow: Flow<B, StandardNormal<2>>) -> Result<()> {
    let config = FitConfig::new().with_epochs(10).with_batch_size(256).with_learning_rate(3e-3);
    let (flow, report) = fit_reverse_kl(flow, banana, &config)?;
    let found = log_z(&flow, banana, 10_000, 1024, &mut Noise::seeded(1))?;
    let truth = (2.0 * std::f64::consts::PI).ln() + 3.0;
    println!("training time    {:.1} s", report.seconds);
    println!("ln Z, estimated  {:.4} +- {:.4}", found.estimate, found.standard_error);
    println!("ln Z, true       {truth:.4}");
    println!("effective draws  {:.0} of {}", found.effective_draws, found.draws);
    let off = (found.estimate - truth).abs();
    assert!(off < 5.0 * found.standard_error && found.effective_draws > 5000.0, "{found:?}");
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let device = Device::flex();
    device.seed(0);
    match args.model {
        Model::RealNvp => {
            let mlp = MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu);
            estimate(RealNvpConfig::new(2).with_layers(6).with_mlp(mlp).init(&device))
        }
        Model::Iaf => {
            let made = MadeConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu);
            estimate(IafConfig::new(2).with_layers(4).with_made(made).init(&device))
        }
    }
}
