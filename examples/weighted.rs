//! A density from rows with weights: a survey in which one group answered ten times as often as another.
//!
//! Two groups are equally frequent in the population, but not among the rows. A weight of each row, the frequency in the
//! population divided by that among the rows, corrects the density. The NLL on the population compares the corrected
//! density with the density of the rows without weights, and with the true one.
//!
//! `cargo run --release -p examples --example weighted` also writes the losses of all epochs to `out/weighted.csv`.

#[path = "common/cli.rs"]
mod cli;

use std::process::ExitCode;

use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::distribution::{GaussianMixture, GaussianMixtureConfig};
use burn_flows::prelude::*;
use clap::Parser;

use cli::{Common, Outcome};

/// Correct the density of a biased sample by weights
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
}

/// Rows of two groups, around (-1, 0) and (1, 0), with standard deviation 0.5.
fn rows(counts: [usize; 2], noise: &mut Noise, device: &Device) -> Tensor<2> {
    let group = |count, centre: f64, noise: &mut Noise| {
        let shift = Tensor::<2>::from_data([[centre, 0.0]], device);
        noise.normal::<2>([count, 2], device) * 0.5 + shift
    };
    Tensor::cat(vec![group(counts[0], -1.0, noise), group(counts[1], 1.0, noise)], 0)
}

fn run() -> Outcome<()> {
    let args = Args::parse();
    let device = args.common.device()?;
    let mut noise = Noise::seeded(args.common.seed);
    let counts = [5000, 500];
    let x = rows(counts, &mut noise, &device);
    let weights =
        [Tensor::full([counts[0]], 1.0, &device), Tensor::full([counts[1]], 10.0, &device)];
    let weights: Tensor<1> = Tensor::cat(weights.to_vec(), 0);
    let population = rows([10_000, 10_000], &mut noise, &device);

    let config = FitConfig::new()
        .with_epochs(args.common.epochs.unwrap_or(40))
        .with_learning_rate(1e-2)
        .with_average(Some(0.99))
        .with_seed(args.common.seed);
    let start = || -> Outcome<Flow<_, GaussianMixture>> {
        let base = GaussianMixtureConfig::new(2, 4).with_seed(1).init(&device);
        let (layers, _) =
            RealNvpConfig::new(2).with_layers(4).with_seed(2).init(&device).into_parts();
        Ok(Flow::new(layers, base).standardized(&x)?)
    };
    let weighted = FitData::new(x.clone()).with_weights(weights)?;
    let (corrected, report) = fit(start()?, weighted, &config)?;
    let (plain, _) = fit(start()?, x.clone(), &config)?;

    let score = |flow: &Flow<_, _>| nll(flow, &population, 1024);
    let (with, without) = (score(&corrected), score(&plain));
    println!("NLL of the population  with weights {with:.3} nats, without {without:.3} nats");
    let right = |flow: &Flow<_, _>| {
        let draws: Tensor<2> = flow.sample_seeded(20_000, 1);
        draws.narrow(1, 0, 1).greater_elem(0.0).float().mean().into_scalar::<f64>()
    };
    let shares = [right(&corrected), right(&plain)];
    println!("share of the second group  with weights {:.2}, without {:.2}", shares[0], shares[1]);
    std::fs::write(cli::output(&args.common.out, "weighted.csv")?, report.to_csv())?;
    cli::finish(&serde_json::json!({
        "weighted_nll": with,
        "unweighted_nll": without,
        "second_group": shares,
        "train_seconds": report.seconds,
    }));
    match (shares[0] - 0.5).abs() < 0.06 && with < without {
        true => Ok(()),
        false => Err("the weights did not correct the density; train for more epochs".into()),
    }
}

fn main() -> ExitCode {
    cli::exit(run())
}
