//! Serves the workloads of `benches/peers/` to the program that compares them. It reads lines
//! `<workload> <operation>` from standard input. It answers each line with the milliseconds of one
//! call, after an untimed call.
//!
//! `bash benches/peers/run.sh` starts it.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use burn_flows::Noise;
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig};
use burn_flows::distribution::Distribution;
use burn_flows::model::{
    AutoregressiveNsf, AutoregressiveNsfConfig, GlowConfig, MafConfig, Masks, NsfConfig,
    RealNvpConfig, StepNorm,
};
use burn_flows::testing::moved;
use burn_flows::train::{Batch, FitConfig, adamw, fit, nll_gradients};

/// Batches of the operation `fit`.
const BATCHES: usize = 100;

/// Runs an operation by its name. Returns `None` if no operation has this name.
type Run = Box<dyn FnMut(&str) -> Option<()>>;

fn run<const D: usize, F: Distribution<D> + 'static>(shape: [usize; D], flow: F) -> Run {
    run_given(shape, flow, None)
}

/// [`run`] with a context for each row.
fn run_given<const D: usize, F: Distribution<D> + 'static>(
    shape: [usize; D],
    flow: F,
    context: Option<Tensor<2>>,
) -> Run {
    let device = Device::flex();
    let x = Noise::seeded(1).normal(shape, &device);
    // Moves the weights away from the identity, so that no operation is skipped.
    let flow = moved(flow, 1).init_from_data(x.clone(), context.as_ref());
    let batch = Batch::from((x.clone(), context));
    let plain = flow.valid();
    let mut trained = Some(flow.train());
    let mut optimizer = adamw(0.0);
    Box::new(move |operation| {
        match operation {
            "log_prob" => drop(black_box(plain.log_prob(x.clone(), batch.context.as_ref()))),
            "sample" => {
                let mut noise = Noise::seeded(1);
                let context = batch.context.as_ref();
                drop(black_box(plain.sample(shape[0], context, &mut noise, &device)));
            }
            "fit" => {
                let mut shape = shape;
                shape[0] *= BATCHES;
                let rows = Noise::seeded(1).normal::<D>(shape, &device);
                let config = FitConfig::new()
                    .with_epochs(1)
                    .with_batch_size(shape[0] / BATCHES)
                    .with_learning_rate(1e-4)
                    .with_average(Some(0.99))
                    .with_progress(false);
                drop(black_box(fit(plain.clone(), rows, &config).expect("a fitted flow")));
            }
            "train" => {
                let flow = trained.take().expect("put back below");
                let (_, gradients) = nll_gradients(&flow, &batch);
                trained = Some(optimizer.step(1e-4, flow, gradients));
            }
            _ => return None,
        }
        Some(())
    })
}

/// Draws `n` events for each of some contexts.
fn draws_of_each(contexts: usize, n: usize, flow: AutoregressiveNsf) -> Run {
    let context = Noise::seeded(1).normal::<2>([contexts, 10], &Device::flex());
    Box::new(move |operation| {
        let draw = || -> Tensor<3> { flow.given(&context).sample_each_seeded(n, 1) };
        (operation == "sample").then(|| drop(black_box(draw())))
    })
}

fn workload(name: &str) -> Option<Run> {
    let device = Device::flex();
    let couplings = |layers| {
        RealNvpConfig::new(64).with_layers(layers).with_masks(Masks::Alternating).init(&device)
    };
    let masked = |features| {
        let config = MafConfig::new(features).with_made(MadeConfig::new(vec![128, 128]));
        config.with_norm(StepNorm::None).init(&device)
    };
    let draws = |model| draws_of_each(4, 10_000, moved(model, 1));
    if name == "nsf_ar_D10_K3_4x10000" {
        return Some(draws(AutoregressiveNsfConfig::new(10).with_context(10).init(&device)));
    }
    let (model, batch) = name.rsplit_once("_B")?;
    let batch = batch.parse().ok()?;
    Some(match model {
        "realnvp_D64_K8" => run([batch, 64], couplings(8)),
        "affine_coupling_1layer_D64" => run([batch, 64], couplings(1)),
        "realnvp_D16_K5" => {
            let config = RealNvpConfig::new(16).with_layers(5).with_masks(Masks::Alternating);
            run([batch, 16], config.init(&device))
        }
        "realnvp_D256_K8" => {
            let config = RealNvpConfig::new(256).with_layers(8).with_masks(Masks::Alternating);
            run([batch, 256], config.init(&device))
        }
        "maf_D64_K5" => run([batch, 64], masked(64)),
        "maf_D16_K5" => run([batch, 16], masked(16)),
        "nsf_coupling_D64_K5" => {
            let config = NsfConfig::new(64).with_layers(5).with_masks(Masks::Alternating);
            run([batch, 64], config.init(&device))
        }
        "nsf_ar_D16_K5" => {
            run([batch, 16], AutoregressiveNsfConfig::new(16).with_layers(5).init(&device))
        }
        "nsf_ar_D16_K5_context" => {
            let config = AutoregressiveNsfConfig::new(16).with_layers(5).with_context(8);
            let context = Noise::seeded(2).normal::<2>([batch, 8], &device);
            run_given([batch, 16], config.init(&device), Some(context))
        }
        "glow_L2_K8_h64_3x16x16" => {
            let config = GlowConfig::new([3, 16, 16], 2).with_steps(8);
            run([batch, 3, 16, 16], config.with_network(ConvNetConfig::new(64)).init(&device))
        }
        _ => return None,
    })
}

fn main() {
    if !std::env::args().any(|argument| argument == "--serve") {
        println!("start this benchmark by benches/peers/run.sh");
        return;
    }
    let mut known: HashMap<String, Run> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let (name, operation) = line.split_once(' ').expect("a workload and an operation");
        let run = known.entry(name.to_string()).or_insert_with(|| {
            workload(name).unwrap_or_else(|| panic!("there is no workload {name}"))
        });
        let mut call = || run(operation).unwrap_or_else(|| panic!("there is no {operation}"));
        call();
        let start = Instant::now();
        call();
        println!("{}", start.elapsed().as_secs_f64() * 1e3);
        std::io::stdout().flush().expect("standard output is open");
    }
}
