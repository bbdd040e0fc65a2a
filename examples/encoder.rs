//! A posterior whose data are a set of any size: an encoder of sets, trained together with a flow.
//!
//! Each set holds 2 to 20 numbers from a normal of unknown mean. The order of the numbers does not matter, and the number
//! of them says how narrow the posterior is. The exact posterior is known: a normal. The program ends with an error if
//! the flow is further than 0.05 nats from it.
//!
//! `cargo run --release -p examples --example encoder` also writes the losses of all epochs to `out/encoder.csv`.

#[path = "common/cli.rs"]
mod cli;

use std::process::ExitCode;

use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::encoder::{Embedded, SetEncoderConfig};
use burn_flows::prelude::*;
use clap::Parser;

use cli::{Common, Outcome};

/// Learn the posterior of a mean from sets of different sizes
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
}

/// The largest number of elements of a set.
const MOST: usize = 20;

/// Draws means from the standard normal and a set for each: pairs of a number and a mask, 1 for a number of the set and
/// 0 for an empty place. Also returns the exact log-densities of the means under their posteriors.
fn sets(count: usize, noise: &mut Noise, device: &Device) -> (Tensor<2>, Tensor<2>, Vec<f64>) {
    let (mut means, mut places, mut exact) = (vec![], vec![], vec![]);
    for _ in 0..count {
        let (mean, size) = (noise.next_normal(), 2 + noise.next_below(MOST - 1));
        let numbers: Vec<f64> = (0..size).map(|_| mean + noise.next_normal()).collect();
        // The posterior of the mean is N(sum / (n + 1), 1 / (n + 1)).
        let precision = (size + 1) as f64;
        let off = mean - numbers.iter().sum::<f64>() / precision;
        let log_scale = (std::f64::consts::TAU / precision).ln();
        exact.push(-0.5 * (off * off * precision + log_scale));
        means.push(mean);
        places.extend(numbers.iter().flat_map(|number| [*number, 1.0]));
        places.extend(vec![0.0; 2 * (MOST - size)]);
    }
    let tensor = |values, width| Tensor::from_data(TensorData::new(values, [count, width]), device);
    (tensor(means, 1), tensor(places, 2 * MOST), exact)
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let mut noise = Noise::seeded(args.common.seed);
    let (mean, set, _) = sets(20_000, &mut noise, &device);

    let encoder = SetEncoderConfig::new(MOST, 1, 8).with_mask(true).with_seed(1).init(&device);
    let flow = MafConfig::new(1).with_layers(2).with_context(8).with_seed(2).init(&device);
    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(15))
        .with_learning_rate(3e-3)
        .with_average(Some(0.99))
        .with_seed(args.common.seed);
    let (posterior, report) = fit(Embedded::new(encoder, flow), (mean, set), &config)?;

    let (mean, set, exact) = sets(5_000, &mut noise, &device);
    let test_nll = nll(&posterior, (mean, set), 1024);
    let exact_nll = -exact.iter().sum::<f64>() / exact.len() as f64;
    println!("test NLL {test_nll:.4} nats, of the exact posterior {exact_nll:.4} nats");
    let (_, set, _) = sets(3, &mut noise, &device);
    let draws: Tensor<3> = posterior.given(&set).sample_each_seeded(2000, 1);
    let (variance, mean) = draws.var_mean(1);
    println!("posteriors of three sets, means: {}", list(mean));
    println!("posteriors of three sets, standard deviations: {}", list(variance.sqrt()));
    std::fs::write(cli::output(&args.common.out, "encoder.csv")?, report.to_csv())?;
    cli::finish(&serde_json::json!({
        "test_nll": test_nll,
        "exact_nll": exact_nll,
        "train_seconds": report.seconds,
    }));
    match test_nll - exact_nll < 0.05 {
        true => Ok(()),
        false => Err("the flow is far from the exact posterior; train for more epochs".into()),
    }
}

fn list(x: Tensor<3>) -> String {
    let numbers =
        x.into_data().iter::<f64>().map(|number| format!("{number:.2}")).collect::<Vec<_>>();
    numbers.join(", ")
}

fn main() -> ExitCode {
    cli::exit(run())
}
