//! The memory of a training step with many layers and with few, as the number of allocated bytes.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

#[path = "common/whole.rs"]
mod whole;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use burn_flows::bijector::Recovery;
use burn_flows::inference::RejectionSampler;
use burn_flows::model::RealNvp;
use burn_flows::prelude::*;
use burn_flows::train::{Reversible, nll_gradients};
use burn_flows::{burn, set_threads};
use whole::Whole;

/// The system's allocator with a counter.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed to the system's allocator without changes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The peak of allocated bytes during a step, above the bytes before it; the same without the
/// returned gradients, which grow with the layers; and the bytes of the weights.
#[derive(Debug, Clone, Copy)]
struct Bytes {
    step: f64,
    activations: f64,
    weights: f64,
}

fn measured<F: Distribution<2>>(
    model: &F,
    rows: usize,
    step: impl Fn(&F, &Tensor<2>) -> (f64, GradientsParams),
) -> Bytes {
    let x = Noise::seeded(1).normal::<2>([rows, FEATURES], &Device::flex());
    drop(step(model, &x.clone().narrow(0, 0, 128))); // allocates what later steps reuse
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let (value, gradients) = step(model, &x);
    assert!(value.is_finite() && !gradients.is_empty());
    let (peak, after) = (PEAK.load(Relaxed), NOW.load(Relaxed));
    Bytes {
        step: (peak - before) as f64,
        activations: (peak - after) as f64,
        weights: (4 * Module::num_params(model)) as f64,
    }
}

const FEATURES: usize = 64;

fn flow(layers: usize) -> RealNvp {
    RealNvpConfig::new(FEATURES).with_layers(layers).init(&Device::flex()).train()
}

fn reversible<F: Distribution<2>>(model: &F, x: &Tensor<2>) -> (f64, GradientsParams) {
    let mut reversible = Reversible::new();
    let result = reversible.nll_gradients(model, x);
    assert!(reversible.layers().iter().all(|layer| layer.recovery == Recovery::Inverse));
    result
}

/// Every test holds this lock, because the counter also counts allocations of other tests.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn steps_on_unchanged_weights_do_not_grow() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_threads(0);
    let device = Device::flex();
    let model = RealNvpConfig::new(3).with_layers(2).with_context(1).init(&device).train();
    let data = |rows| {
        let mut noise = Noise::seeded(1);
        (noise.normal::<2>([rows, 3], &device), noise.normal::<2>([rows, 1], &device))
    };
    let (many, few) = (data(1024), data(32)); // many blocks with copies of the model; one block
    let mut reversible = Reversible::new();
    let mut step = |kind: usize| match kind {
        0 => drop(nll_gradients(&model, (many.0.clone(), many.1.clone()))),
        1 => drop(nll_gradients(&model, (few.0.clone(), few.1.clone()))),
        2 => drop(reversible.nll_gradients(&model, (many.0.clone(), many.1.clone()))),
        3 => drop(reversible.nll_gradients(&model, (few.0.clone(), few.1.clone()))),
        // The alternatives to the training flow that the docs of `Flow` recommend.
        4 => drop(model.valid().given(&few.1).log_prob(few.0.clone())),
        _ => drop(model.given(&many.1).log_prob_batched(many.0.clone(), 256)),
    };
    for kind in 0..6 {
        (0..20).for_each(|_| step(kind)); // allocates what later calls reuse
        let before = NOW.load(Relaxed);
        (0..100).for_each(|_| step(kind));
        let grown = NOW.load(Relaxed) as f64 - before as f64;
        println!("kind {kind}: {grown} bytes in 100 calls");
        assert!(grown < 10_000.0, "kind {kind}: {grown} bytes in 100 calls");
    }
}

#[test]
fn sixty_four_layers_take_the_memory_of_four() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_threads(1);
    let ratio = |name: &str, [few, many]: [Bytes; 2]| {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let with_weights = (many.step + many.weights) / (few.step + few.weights);
        let (step, activations) = (many.step / few.step, many.activations / few.activations);
        println!(
            "{name}: {:.1} and {:.1} MiB a step, {step:.2} times; without the gradients {:.1} and \
             {:.1}, {activations:.2} times; with the weights {with_weights:.2} times",
            mib(few.step),
            mib(many.step),
            mib(few.activations),
            mib(many.activations),
        );
        (step, activations)
    };
    let whole = [4, 64].map(|layers| Whole { flow: flow(layers) });
    let ordinary = |model: &Whole, x: &Tensor<2>| nll_gradients(model, x);
    let of = |step: &dyn Fn(&Whole, &Tensor<2>) -> (f64, GradientsParams)| {
        [0, 1].map(|at| measured(&whole[at], 16384, step))
    };
    let (step, activations) = ratio("16384 rows, reversible", of(&reversible));
    assert!(step < 1.3 && activations < 1.3, "{step} {activations}");
    let (step, _) = ratio("16384 rows, ordinary", of(&ordinary));
    assert!(step > 10.0, "{step}");

    // The batch size of `fit`: the gradients of few rows take more memory than their activations.
    let divided = [4, 64].map(flow);
    let of = |step: &dyn Fn(&RealNvp, &Tensor<2>) -> (f64, GradientsParams)| {
        [0, 1].map(|at| measured(&divided[at], 128, step))
    };
    let (_, activations) = ratio("128 rows, reversible", of(&reversible));
    assert!(activations < 1.3, "{activations}");
    let (step, _) = ratio("128 rows, ordinary", of(&|model, x| nll_gradients(model, x)));
    assert!(step > 10.0, "{step}");
}

/// The peak of allocated bytes during a call, above the bytes before it and those of its result.
fn beyond_result<T>(call: impl Fn() -> T) -> f64 {
    drop(call()); // allocates what later calls reuse
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = call();
    let (peak, after) = (PEAK.load(Relaxed), NOW.load(Relaxed));
    drop(result);
    (peak - before) as f64 - (after - before) as f64
}

#[test]
fn many_draws_take_the_memory_of_a_chunk() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    let network = MlpConfig::new(vec![16]);
    let config = RealNvpConfig::new(4).with_layers(2).with_mlp(network).with_context(3);
    let flow = config.init(&device).valid();
    let draw = |[contexts, n]: [usize; 2]| {
        let context = Noise::seeded(2).normal::<2>([contexts, 3], &device);
        beyond_result(|| -> (Tensor<3>, _) {
            flow.given(&context).sample_each_with_log_prob_seeded(n, 1)
        })
    };
    for threads in [1, 2] {
        set_threads(threads);
        // One context, many contexts of few draws, few contexts of many draws: 8 times the draws in chunks of one size.
        for [few, many] in
            [[[1, 8192], [1, 65_536]], [[2000, 4], [16_000, 4]], [[2, 4096], [16, 4096]]]
        {
            let (few_bytes, many_bytes) = (draw(few), draw(many));
            println!("{threads} threads, {few:?}: {few_bytes}, {many:?}: {many_bytes} bytes");
            assert!(many_bytes < 1.5 * few_bytes, "{few_bytes} {many_bytes}");
        }
    }
    set_threads(0);
}

#[test]
fn rejection_takes_the_memory_of_a_round() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    let network = MlpConfig::new(vec![16]);
    let flow = RealNvpConfig::new(4).with_layers(2).with_mlp(network).init(&device).valid();
    let half = |x: &Tensor<2>| x.clone().narrow(1, 0, 1).greater_elem(0.0).squeeze_dim::<1>(1);
    let sampler = RejectionSampler::new(flow.given(None), half);
    let draw = |n| beyond_result(|| sampler.sample_with_log_prob_seeded::<3>(n, 1).unwrap());
    let (few, many) = (draw(8192), draw(65_536));
    println!("8192 draws: {few}, 65536 draws: {many} bytes");
    assert!(many < 1.5 * few, "{few} {many}");
}

#[test]
fn one_thread_evaluates_in_blocks() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    let made = burn_flows::conditioner::MadeConfig::new(vec![32]);
    let config = AutoregressiveNsfConfig::new(10).with_layers(1).with_made(made);
    let flow = config.init(&device).valid();
    let rows = 8192;
    let x = Noise::seeded(2).normal::<2>([rows, 10], &device);
    set_threads(1);
    let bytes = [
        beyond_result(|| flow.log_prob(x.clone())),
        beyond_result(|| flow.encode(x.clone())),
        beyond_result(|| flow.decode(x.clone())),
    ];
    set_threads(0);
    let batch = (4 * 10 * rows) as f64;
    println!("{bytes:?} bytes beyond the result; the batch has {batch}");
    // The results of the blocks and the values of one block. The spline parameters of all rows are 23 times the batch.
    assert!(bytes.iter().all(|bytes| *bytes < 6.0 * batch), "{bytes:?}");
}
