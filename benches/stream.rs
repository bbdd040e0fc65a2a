//! Training on more rows than memory holds: 10 GiB of generated rows, in under 1 GiB.
//!
//! `cargo bench --bench stream` trains a normal with learned means and scales for one epoch on 2,621,440 rows of 1024
//! numbers. The rows are computed when they are read. The program ends with an error if its peak of resident memory is
//! above 1 GiB, or if the fitted density is not that of the rows. `-- --gib 1` takes fewer rows.

use std::time::Instant;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::distribution::DiagNormalConfig;
use burn_flows::train::{Batch, FitConfig, FitData, fit};

const WIDTH: usize = 1024;

const ROWS_PER_GIB: usize = (1 << 30) / 4 / WIDTH;

/// Rows whose column `k` is uniform on an interval of width `1 + k / WIDTH` around `k / WIDTH`.
struct Generated(usize);

impl Dataset<Vec<f32>> for Generated {
    fn get(&self, index: usize) -> Result<Vec<f32>, DatasetError> {
        let mut state = index as u64;
        let mut uniform = || {
            // A linear congruential generator (Knuth's MMIX), of which the upper bits are used.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        // The first numbers of neighbouring rows are similar.
        (0..4).for_each(|_| _ = uniform());
        let unit = 1.0 / WIDTH as f32;
        Ok((0..WIDTH).map(|k| (k as f32 * unit) + (1.0 + k as f32 * unit) * uniform()).collect())
    }

    fn len(&self) -> usize {
        self.0
    }
}

struct ToRows;

impl Batcher<Vec<f32>, Batch<2>> for ToRows {
    fn batch(&self, items: Vec<Vec<f32>>, device: &Device) -> Batch<2> {
        let rows = TensorData::new(items.concat(), [items.len(), WIDTH]);
        Tensor::<2>::from_data(rows, device).into()
    }
}

/// The peak of resident memory of this process in MiB; `None` where the system does not tell.
fn peak_mib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib / 1024)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().position(|argument| argument == "--gib");
    let gib = asked.map_or(10, |at| arguments[at + 1].parse().expect("a number of GiB"));
    let started = Instant::now();
    let data = FitData::from_dataset(Generated(gib * ROWS_PER_GIB), ToRows).expect("rows");
    let normal = DiagNormalConfig::new(vec![WIDTH]).init::<2>(&Device::flex());
    let config = FitConfig::new()
        .with_epochs(1)
        .with_batch_size(512)
        .with_learning_rate(1e-2)
        .with_validation_fraction(0.001);
    let (_, report) = fit(normal, data, &config).expect("a fitted density");
    let seconds = started.elapsed().as_secs_f64();

    // Variance of a uniform number: width^2 / 12. The NLL of the normal with these moments, in nats.
    let width = |k: usize| 1.0 + k as f64 / WIDTH as f64;
    let entropy =
        |k| 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * width(k).powi(2) / 12.0).ln();
    let expected: f64 = (0..WIDTH).map(entropy).sum();
    let found = report.best_validation_loss.expect("validation rows");
    println!("rows            {} GiB in {} steps", gib, report.steps);
    println!("time            {seconds:.0} s, {:.0} MiB per second", gib as f64 * 1024.0 / seconds);
    println!("validation NLL  {found:.2} nats, of the best normal {expected:.2}");
    assert!((found - expected).abs() < 1.0, "the density is not that of the rows");
    let Some(peak) = peak_mib() else { return println!("peak memory     unknown") };
    println!("peak memory     {peak} MiB");
    assert!(peak < 1024, "more than 1 GiB");
}
