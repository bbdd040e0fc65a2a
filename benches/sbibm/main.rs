//! Simulates tasks of sbibm, and trains and evaluates this crate's posterior estimator on them.
//!
//! `bash benches/sbibm/run.sh` starts it. Its commands work on files of one folder:
//!
//! ```text
//! simulate FOLDER TASK N           writes N pairs from the prior and the simulator
//! train FOLDER TASK N              reads the pairs, writes the estimator
//! draw FOLDER TASK N K             reads the estimator, writes 10,000 samples for each of the first K observations
//! coverage FOLDER TASK N           prints the expected coverage of the estimator on 1,000 new pairs
//! validate FOLDER TASK N SETTINGS  trains with these settings (JSON), prints the NLL of 1,000 new pairs
//! repeat FOLDER TASK N             writes N draws of the prior with their log-densities, and N of the data for each of
//!                                  the stored parameters
//! ```

mod estimator;
mod files;
mod regression;
mod tasks;
mod units;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn_flows::Noise;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use burn_flows::inference::expected_coverage;

use estimator::{Estimator, Settings};
use tasks::Task;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Rows = Vec<Vec<f64>>;

/// Samples for one observation. The reference posteriors have as many.
const SAMPLES: usize = 10_000;

/// New pairs for the coverage and for the validation.
const FRESH_PAIRS: usize = 1_000;

/// Seed of pairs that no training has seen. The seed of training pairs is their number.
const FRESH: u64 = 7;

/// One command line: a task with its files.
struct Run {
    folder: PathBuf,
    task: Task,
    /// The design matrix of the Bernoulli GLM.
    design: Rows,
    simulations: usize,
}

impl Run {
    fn new(root: &Path, name: &str, simulations: &str) -> Outcome<Self> {
        let task = Task::named(name).ok_or_else(|| format!("`{name}` is not a task"))?;
        let design = files::read(&root.join("design.npy"))?;
        Ok(Self { folder: root.join(name), task, design, simulations: simulations.parse()? })
    }

    /// The folder of this number of simulations.
    fn own(&self) -> PathBuf {
        self.folder.join(self.simulations.to_string())
    }

    fn pairs(&self, n: usize, seed: u64) -> (Rows, Rows) {
        let mut noise = Noise::seeded(seed);
        let pair = |_| {
            let theta = self.task.prior(&mut noise);
            let x = self.task.simulate(&theta, &self.design, &mut noise);
            (theta, x)
        };
        (0..n).map(pair).unzip()
    }

    fn simulate(&self) -> Outcome<()> {
        std::fs::create_dir_all(self.own())?;
        let (theta, x) = self.pairs(self.simulations, self.simulations as u64);
        files::write(&self.own().join("theta.npy"), &theta)?;
        Ok(files::write(&self.own().join("x.npy"), &x)?)
    }

    fn train(&self, settings: &Settings) -> Outcome<Estimator> {
        let read = |name| files::read(&self.own().join(name));
        Ok(Estimator::train(settings, self.task, &read("theta.npy")?, &read("x.npy")?)?)
    }

    fn trained(&self) -> PathBuf {
        self.own().join("ours.safetensors")
    }

    fn draw(&self, observations: usize) -> Outcome<()> {
        let estimator = Estimator::open(self.task, &self.trained())?;
        let read = |name| files::read(&self.folder.join(name));
        let (truths, observed) = (read("truths.npy")?, read("observations.npy")?);
        let (mut density, mut effective, mut seconds) = (0.0, 0.0, 0.0);
        for (at, (truth, x)) in truths.into_iter().zip(&observed).take(observations).enumerate() {
            let start = Instant::now();
            let posterior = estimator.posterior(SAMPLES, x, at as u64)?;
            seconds += start.elapsed().as_secs_f64();
            density += estimator.log_joint(&[truth], x)[0] - posterior.log_evidence;
            effective += posterior.effective_draws;
            files::write(&self.own().join(format!("ours_{}.npy", at + 1)), &posterior.samples)?;
        }
        let mean = |sum: f64| sum / observations as f64;
        let result = serde_json::json!({
            "log_prob": mean(density),
            // The map to the prior's box has no image outside of it.
            "leakage": 0.0,
            "effective_draws": mean(effective),
            "sample_s": mean(seconds),
        });
        println!("{result}");
        Ok(())
    }

    fn coverage(&self) -> Outcome<()> {
        const DRAWS: usize = 200;
        const LEVELS: [f64; 2] = [0.5, 0.9];
        let estimator = Estimator::open(self.task, &self.trained())?;
        let (theta, x) = self.pairs(FRESH_PAIRS, FRESH);
        let (mut truths, mut drawn) = (vec![], vec![]);
        for (at, (truth, x)) in theta.into_iter().zip(&x).enumerate() {
            let mut theta = estimator.posterior(DRAWS, x, at as u64)?.samples;
            theta.push(truth);
            // Without the evidence, which all of them share.
            let mut densities = estimator.log_joint(&theta, x);
            truths.extend(densities.pop());
            drawn.extend(densities);
        }
        let device = Device::flex();
        let truth = Tensor::from_data(TensorData::new(truths, [FRESH_PAIRS]), &device);
        let draws = Tensor::from_data(TensorData::new(drawn, [FRESH_PAIRS, DRAWS]), &device);
        let coverage = expected_coverage(truth, draws, &LEVELS)?;
        println!("50 %: {:.3}, 90 %: {:.3}", coverage[0], coverage[1]);
        Ok(())
    }

    fn validate(&self, settings: &str) -> Outcome<()> {
        const DRAWS: usize = 100;
        self.simulate()?;
        let estimator = self.train(&serde_json::from_str(settings)?)?;
        let (theta, x) = self.pairs(FRESH_PAIRS, FRESH);
        let mut nll = 0.0;
        for (at, (truth, x)) in theta.into_iter().zip(&x).enumerate() {
            let log_evidence = estimator.posterior(DRAWS, x, at as u64)?.log_evidence;
            nll += log_evidence - estimator.log_joint(&[truth], x)[0];
        }
        println!("{:.4}", nll / FRESH_PAIRS as f64);
        Ok(())
    }

    fn repeat(&self) -> Outcome<()> {
        let mut noise = Noise::seeded(FRESH);
        let prior: Rows = (0..self.simulations).map(|_| self.task.prior(&mut noise)).collect();
        files::write(&self.folder.join("prior.npy"), &prior)?;
        let densities: Rows = prior.iter().map(|theta| vec![self.task.log_prior(theta)]).collect();
        files::write(&self.folder.join("log_prior.npy"), &densities)?;
        let mut repeats = vec![];
        for theta in files::read(&self.folder.join("truths.npy"))? {
            let one = |_| self.task.simulate(&theta, &self.design, &mut noise);
            repeats.extend((0..self.simulations).map(one));
        }
        Ok(files::write(&self.folder.join("repeats.npy"), &repeats)?)
    }
}

fn main() -> Outcome<()> {
    // cargo passes `--bench` to a benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let &[command, folder, task, simulations, ref more @ ..] = &arguments[..] else {
        println!("nothing to do; `bash benches/sbibm/run.sh` runs the benchmark");
        return Ok(());
    };
    let run = Run::new(Path::new(folder), task, simulations)?;
    match (command, more) {
        ("simulate", []) => run.simulate(),
        ("train", []) => Ok(run.train(&Settings::default())?.save(&run.trained())?),
        ("draw", [observations]) => run.draw(observations.parse()?),
        ("coverage", []) => run.coverage(),
        ("validate", [settings]) => run.validate(settings),
        ("repeat", []) => run.repeat(),
        _ => Err(format!("unknown command: {}", arguments.join(" ")).into()),
    }
}
