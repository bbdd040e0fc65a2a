//! Calls from threads of other pools: rayon's, tokio's, many calls at once, and calls under a lock.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use burn_flows::distribution::Mixture;
use burn_flows::train::Reversible;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::*;

/// Fails if `work` takes longer than a minute.
fn within_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(Duration::from_mins(1)) {
        Ok(result) => result.unwrap_or_else(|payload| resume_unwind(payload)),
        Err(_) => panic!("the calls do not end within a minute"),
    }
}

/// Fails if this thread starts another call inside this one, because nested calls have no bound on
/// the stack.
fn not_nested<T>(call: impl FnOnce() -> T) -> T {
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    assert!(!INSIDE.replace(true), "the thread started a call inside another call");
    let result = call();
    INSIDE.set(false);
    result
}

/// A flow of few operations, so that many calls are cheap.
fn small() -> RealNvp {
    let config = RealNvpConfig::new(3).with_layers(1).with_mlp(MlpConfig::new(vec![8]));
    moved(built(&Device::flex(), |device| config.init(device)), 3).valid()
}

/// A thread pool whose stacks have an eighth of the usual size.
fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(1 << 18).build().unwrap()
}

/// The result of `call` on one thread. The caller holds the lock, so no other test uses the
/// workers.
fn single_threaded<T>(_turn: &MutexGuard<'static, ()>, call: impl FnOnce() -> T) -> T {
    set_threads(1);
    let result = call();
    set_threads(0);
    result
}

fn one_by_one<T: PartialEq + std::fmt::Debug>(expected: &T, found: Vec<T>) {
    assert!(found.iter().all(|found| found == expected), "the results depend on the caller");
}

#[test]
fn a_parallel_iterator_over_calls() {
    let turn = turn();
    let (flow, x) = (small(), normal([600, 3], 1));
    let expected = single_threaded(&turn, || flow.log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        let call = |_| not_nested(|| flow.log_prob(x.clone()).into_data());
        (0..1000).into_par_iter().map(call).collect()
    });
    one_by_one(&expected, found);
}

#[test]
fn a_lock_around_every_call_of_a_parallel_iterator() {
    let turn = turn();
    let (flow, x) = (Mutex::new(small()), normal([600, 3], 1));
    let expected = single_threaded(&turn, || flow.lock().unwrap().log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        let call = |_| flow.lock().unwrap().log_prob(x.clone()).into_data();
        (0..1000).into_par_iter().map(call).collect()
    });
    one_by_one(&expected, found);
}

/// A batch with too few rows to be split, in layers so wide that `flex` computes their products on
/// several threads.
#[test]
fn products_that_the_backend_shares_out() {
    let turn = turn();
    let mlp = MlpConfig::new(vec![300, 300]);
    let config = RealNvpConfig::new(5).with_layers(2).with_mlp(mlp);
    let flow = Mutex::new(moved(built(&Device::flex(), |device| config.init(device)), 3).valid());
    let x = normal([100, 5], 1);
    let expected = single_threaded(&turn, || flow.lock().unwrap().log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        let call = |_| not_nested(|| flow.lock().unwrap().log_prob(x.clone()).into_data());
        pool(4).install(|| (0..40).into_par_iter().map(call).collect())
    });
    one_by_one(&expected, found);
}

#[test]
fn pools_of_the_caller_one_in_another() {
    let turn = turn();
    let (flow, x) = (small(), normal([600, 3], 1));
    let expected = single_threaded(&turn, || flow.log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        // A thread that waits for another pool takes jobs of its own pool, so `outer` needs a
        // larger stack.
        let outer = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let inner = [pool(1), pool(4)];
        let call = |index: usize| {
            let one = || not_nested(|| flow.log_prob(x.clone()).into_data());
            let (a, b) = inner[index % 2].install(|| rayon::join(one, one));
            [a, b]
        };
        outer.install(|| (0..60).into_par_iter().flat_map_iter(call).collect())
    });
    one_by_one(&expected, found);
}

#[test]
fn thirty_two_threads_at_once() {
    let turn = turn();
    let (flow, x) = (small(), normal([600, 3], 1));
    let expected = single_threaded(&turn, || flow.log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        let start = Barrier::new(32);
        let call = || {
            start.wait();
            [(); 10].map(|()| flow.log_prob(x.clone()).into_data())
        };
        thread::scope(|scope| {
            let threads = [(); 32].map(|()| scope.spawn(call));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    });
    one_by_one(&expected, found);
}

#[test]
fn workers_and_blocking_threads_of_tokio() {
    let turn = turn();
    let (flow, x) = (Arc::new(small()), normal([600, 3], 1));
    let expected = single_threaded(&turn, || flow.log_prob(x.clone()).into_data());
    let found = within_a_minute(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        runtime.unwrap().block_on(async move {
            let call = || {
                let (flow, x) = (flow.clone(), x.clone());
                move || flow.log_prob(x).into_data()
            };
            let mut tasks = vec![];
            for _ in 0..20 {
                let task = call();
                tasks.push(tokio::spawn(async move { task() }));
                tasks.push(tokio::task::spawn_blocking(call()));
            }
            let mut found = vec![call()()];
            for task in tasks {
                found.push(task.await.unwrap());
            }
            found
        })
    });
    one_by_one(&expected, found);
}

/// Every function that splits rows over threads, and the functions that call them.
fn everything() -> Vec<TensorData> {
    let (flow, glow, x) = (vectors(0), images(0.0), normal([600, 5], 1));
    let picture = normal([40, 1, 8, 8], 2);
    let z = flow.encode(x.clone());
    let (drawn, log_prob) = flow.draw_with_log_prob(600, &mut Noise::seeded(2));
    let mut found = vec![z.clone(), flow.decode(z), flow.sample_seeded(600, 3), drawn];
    found.push(Distribution::sample(&flow, 600, None, &mut Noise::seeded(4), &Device::flex()));
    let mut found: Vec<TensorData> = found.into_iter().map(Tensor::into_data).collect();
    found.extend([log_prob, flow.log_prob_batched(x.clone(), 400)].map(Tensor::into_data));
    let mixture = Mixture::new(vec![vectors(0), vectors(0)], &Device::flex()).unwrap();
    found.push(mixture.log_prob(x.clone(), None).into_data());
    found.push(mixture.sample(600, None, &mut Noise::seeded(5), &Device::flex()).into_data());
    found.push(glow.log_prob(picture.clone()).into_data());
    found.push(glow.sample_seeded(40, 1).into_data());
    let parts = glow.encode(picture);
    found.push(glow.decode(parts.clone()).into_data());
    found.extend(parts.into_iter().map(Tensor::into_data));
    let training = flow.clone().train();
    found.push(training.log_prob(x.clone()).into_data());
    let steps = [nll_gradients(&training, &x), Reversible::new().nll_gradients(&training, &x)];
    let (weights, losses) = trained(&flow, || FitData::new(x.clone()), 600);
    let lists =
        steps.map(|(value, gradients)| [vec![value as f32], flat(&training, &gradients)].concat());
    let losses = losses.into_iter().map(|loss| loss as f32).collect();
    for list in lists.into_iter().chain([weights, losses]) {
        let count = list.len();
        found.push(TensorData::new(list, [count]));
    }
    found
}

#[test]
fn every_function_gives_its_numbers_under_a_lock_in_a_pool() {
    let turn = turn();
    let expected = single_threaded(&turn, everything);
    let found = within_a_minute(|| {
        let lock = Mutex::new(());
        let call = |_| {
            let _held = lock.lock().unwrap();
            not_nested(everything)
        };
        pool(2).install(|| (0..6).into_par_iter().map(call).collect())
    });
    one_by_one(&expected, found);
}

#[test]
fn a_panic_reaches_the_caller_in_a_pool() {
    let _turn = turn();
    let flow = vectors(0);
    let text = within_a_minute(move || {
        pool(2).install(|| {
            let call = AssertUnwindSafe(|| flow.log_prob(normal([600, 4], 1)));
            *catch_unwind(call).unwrap_err().downcast::<String>().unwrap()
        })
    });
    assert!(text.contains("expected shape") && text.contains('4'), "{text}");
}

#[test]
fn many_threads_need_little_stack() {
    let turn = turn();
    // One block for each of 256 workers.
    let (flow, x) = (small(), normal([256 * 512, 3], 1));
    let expected = single_threaded(&turn, || flow.log_prob(x.clone()).into_data());
    set_threads(256);
    let call = move || flow.log_prob(x).into_data();
    let found = thread::Builder::new().stack_size(1 << 18).spawn(call).unwrap().join();
    set_threads(0);
    assert_eq!(found.unwrap(), expected);
}
