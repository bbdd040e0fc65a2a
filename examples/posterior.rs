//! The posterior of a simulator by neural posterior estimation: an ensemble of flows learns `p(parameters | data)`.
//!
//! `cargo run --release -p examples --example posterior` fits the task "two moons" of the benchmark sbibm
//! (arXiv:2101.04653), `-- --task slcp` a Gaussian with five parameters. Both likelihoods are known, so importance weights
//! compare the estimate with the exact posterior. The pictures are a corner plot, and the coverage on 1,000 new pairs.
//! An ensemble of flows with averaged weights covers the truth as often as stated, a single flow less often.
#[path = "common/cli.rs"]
mod cli;
#[path = "common/plots.rs"]
mod plots;
#[path = "common/simulators.rs"]
mod simulators;

use std::process::ExitCode;

use burn_flows::bijector::Bound;
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::Mixture;
use burn_flows::inference::{ImportanceWeights, expected_coverage};
use burn_flows::prelude::*;
use clap::Parser;

use simulators::Task;

/// Learn the posterior of a simulator
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: cli::Common,
    /// The simulator
    #[arg(long, default_value = "two-moons")]
    task: Task,
    /// Pairs of parameters and data to train on
    #[arg(long, default_value_t = 10_000)]
    simulations: usize,
}

fn run() -> cli::Outcome<()> {
    let Args { common, task, simulations } = Args::parse();
    let (device, (width, bound)) = (common.device()?, task.prior());
    let mut noise = Noise::seeded(common.seed);
    let (t, x) = task.pairs(simulations, &mut noise, &device);

    // The estimator: three autoregressive spline flows between the bounds of the prior.
    let config =
        FitConfig::new().with_batch_size(100).with_learning_rate(2e-3).with_average(Some(0.995));
    let config = config.with_epochs(common.epochs.unwrap_or(60)).with_patience(Some(15));
    let mut members = vec![];
    for seed in common.seed..common.seed + 3 {
        let made = MadeConfig::new(vec![64; 2]).with_activation(ActivationConfig::Silu);
        let flow = AutoregressiveNsfConfig::new(width).with_context(x.dims()[1]).with_made(made);
        let bounds = vec![Bound::Between(-bound, bound); width];
        let flow = flow.with_seed(seed).init(&device).standardized_within(bounds, &t)?;
        members.push(fit(flow, (t.clone(), x.clone()), &config.clone().with_seed(seed))?.0);
    }
    let posterior = Mixture::new(members, &device)?;

    let (truth, observed) = task.pairs(1, &mut noise, &device);
    let (draws, log_q) = posterior.given(&observed).sample_with_log_prob_seeded::<2>(10_000, 1);
    let weights = ImportanceWeights::new(task.log_likelihood(&draws, &observed) - log_q)?;
    let (effective, k) = (weights.effective_draws(), weights.pareto_k().unwrap_or(f64::NAN));
    println!("10,000 draws are worth {effective:.0} of the exact posterior, Pareto k {k:.2}");
    plots::corner(
        draws,
        truth,
        &vec![[-bound, bound]; width],
        &cli::output(&common.out, "posterior.png")?,
    )?;

    let (truth, observed) = task.pairs(1000, &mut noise, &device);
    let given = posterior.given(&observed);
    let (_, log_draws) = given.sample_each_with_log_prob_seeded::<2, 3>(500, 2);
    let levels: Vec<f64> = (1..10).map(|k| f64::from(k) / 10.0).collect();
    let coverage = expected_coverage(given.log_prob(truth), log_draws, &levels)?;
    println!("coverage of 50 % regions {:.3}, of 90 % regions {:.3}", coverage[4], coverage[8]);
    let points: Vec<[f64; 2]> = levels.into_iter().zip(coverage).map(|(a, b)| [a, b]).collect();
    plots::curve(&points, &cli::output(&common.out, "coverage.png")?)?;
    cli::finish(&serde_json::json!({
        "effective_draws": effective,
        "pareto_k": k,
        "coverage": points,
    }));
    Ok(())
}

fn main() -> ExitCode {
    cli::exit(run())
}
