//! A custom layer: implemented, checked by the conformance suite, trained and saved.
//!
//! The layer is the sinh-arcsinh map of Jones and Pewsey (2009), Biometrika 96, equation 2. It
//! changes the tail weight and the skew of each feature. It is not part of this crate.
//!
//! forward   z = sinh(d asinh(x) + e)            d = exp(raw) > 0, e per feature
//! log-det   sum of ln d + ln cosh(d asinh(x) + e) - ln(1 + x^2) / 2
//! inverse   x = sinh((asinh(z) - e) / d)
//!
//! `cargo run --release -p examples --example custom_bijector`

#[path = "common/cli.rs"]
mod cli;

use burn_flows::burn::module::{Module, Param};
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::prelude::*;
use burn_flows::store;
use burn_flows::testing::Suite;
use burn_flows::train::{FitConfig, fit, nll};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

use cli::{Common, Outcome};

/// Check and train a custom layer
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
}

/// The sinh-arcsinh map with a tail weight and a skew per feature. Initially it is the identity.
#[derive(Module, Debug, Serialize, Deserialize)]
struct SinhArcsinh {
    #[serde(with = "store::part")]
    log_tail: Param<Tensor<1>>,
    #[serde(with = "store::part")]
    skew: Param<Tensor<1>>,
}

impl SinhArcsinh {
    fn new(features: usize, device: &Device) -> Self {
        let zeros = || Param::from_tensor(Tensor::zeros([features], device));
        Self { log_tail: zeros(), skew: zeros() }
    }

    /// Tail weight and skew as rows `[1, features]`.
    ///
    /// # Panics
    ///
    /// If `x` does not have one column per feature.
    fn weights(&self, x: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (expected, found) = (self.skew.dims()[0], x.dims()[1]);
        assert_eq!(found, expected, "SinhArcsinh: expected width {expected}, found {found}");
        (self.log_tail.val().unsqueeze(), self.skew.val().unsqueeze())
    }
}

/// `ln cosh(u)` without overflow: `|u| + ln(1 + exp(-2 |u|)) - ln 2`.
fn ln_cosh(u: Tensor<2>) -> Tensor<2> {
    let u = u.abs();
    (u.clone() * -2.0).exp().log1p() + u - std::f64::consts::LN_2
}

impl Bijector<2> for SinhArcsinh {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let (log_tail, skew) = self.weights(&x);
        let inner = x.clone().asinh() * log_tail.clone().exp() + skew;
        let log_slope = ln_cosh(inner.clone()) - (x.clone() * x).log1p() * 0.5 + log_tail;
        (inner.sinh(), log_slope.sum_dim(1).squeeze_dim(1))
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        let (log_tail, skew) = self.weights(&z);
        ((z.asinh() - skew) * log_tail.neg().exp()).sinh()
    }
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;

    let report = Suite::new([4, 3]).check(SinhArcsinh::new(3, &device));
    println!("{report}");
    report.assert_ok();

    // Heavy-tailed, skewed data: normal noise, mapped with tail weight 0.5 and skew 1.
    let mut noise = Noise::seeded(args.common.seed);
    let mut draw = |rows| ((noise.normal::<2>([rows, 2], &device).asinh() - 1.0) * 2.0).sinh();
    let (train, test) = (draw(4000), draw(2000));
    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(30))
        .with_learning_rate(2e-2)
        .with_seed(args.common.seed);
    let flow = Flow::new(SinhArcsinh::new(2, &device), StandardNormal::<2>::new([2], &device));
    let before = nll(&flow, test.clone(), 1024);
    let (flow, fitted) = fit(flow, train, &config)?;
    let after = nll(&flow, test.clone(), 1024);
    let numbers = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<_>>();
    let tail = numbers(flow.bijector().log_tail.val().exp());
    let skew = numbers(flow.bijector().skew.val());
    println!("test NLL before training {before:.3} nats, after training {after:.3} nats");
    println!("tail weight {tail:.3?} (true value 0.5), skew {skew:.3?} (true value 1)");
    let weights = cli::output(&args.common.out, "custom_bijector.safetensors")?;
    store::save(&flow, &weights)?; // saves custom layers like the crate's own
    let round_trip = (flow.decode(flow.encode(test.clone())) - test.clone()) / (test.abs() + 1.0);
    cli::finish(&serde_json::json!({
        "test_nll": after,
        "checks": report.findings().len(),
        "train_seconds": fitted.seconds,
        "round_trip_max": round_trip.abs().max().into_scalar::<f64>(),
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
