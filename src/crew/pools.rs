//! The pools, and waiting for them.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::threads;
use crate::draws;
use crate::parallel::is_flex;

/// Bytes of stack of a worker, as a main thread has: a caller's thread may have had as much.
const STACK: usize = 8 << 20;

/// Workers of this process.
struct Workers {
    idle: Vec<ThreadPool>,
    busy: usize,
}

static WORKERS: Mutex<Workers> = Mutex::new(Workers { idle: Vec::new(), busy: 0 });

fn all_workers() -> MutexGuard<'static, Workers> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// Whether this thread is a worker.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread belongs to a rayon pool: a worker, or one of the caller's.
pub(crate) fn in_a_pool() -> bool {
    rayon::current_thread_index().is_some()
}

/// Workers that nobody else has, until this is dropped; without any, the thread that calls.
pub(crate) struct Crew {
    workers: Vec<ThreadPool>,
}

impl Crew {
    /// At most one worker for each of these blocks, as far as the threads of this process go.
    pub(crate) fn of(blocks: usize) -> Self {
        if in_a_pool() || threads().min(blocks) < 2 {
            return Self { workers: vec![] };
        }
        Self::hired(|busy| match threads().saturating_sub(busy).min(blocks) {
            0 | 1 => 0,
            count => count,
        })
    }

    /// As many as `count` says, which hears how many are busy; fewer where the system gives no
    /// thread.
    fn hired(count: impl FnOnce(usize) -> usize) -> Self {
        let mut all = all_workers();
        let count = count(all.busy);
        while all.idle.len() < count {
            let pool = ThreadPoolBuilder::new()
                .num_threads(1)
                .stack_size(STACK)
                .thread_name(|_| "burn-flows".to_string())
                .start_handler(|_| IS_WORKER.set(true));
            let Ok(pool) = pool.build() else { break };
            all.idle.push(pool);
        }
        let rest = all.idle.len().saturating_sub(count);
        let workers = all.idle.split_off(rest);
        all.busy += workers.len();
        Self { workers }
    }

    /// How many work at once.
    pub(crate) fn len(&self) -> usize {
        self.workers.len().max(1)
    }

    /// `work(worker, block)` for every block, in the order of the blocks; a worker goes through its
    /// blocks one after another. A panic in a worker is one of the caller.
    pub(crate) fn each<T: Send>(
        &self,
        blocks: usize,
        work: impl Fn(usize, usize) -> T + Sync,
    ) -> Vec<T> {
        if self.workers.is_empty() {
            return (0..blocks).map(|block| work(0, block)).collect();
        }
        let mut results: Vec<Option<T>> = (0..blocks).map(|_| None).collect();
        let mut shares: Vec<Vec<_>> = (0..self.len()).map(|_| Vec::new()).collect();
        for (block, result) in results.iter_mut().enumerate() {
            shares[block % self.len()].push((block, result));
        }
        let tasks = shares.into_iter().enumerate().map(|(worker, share)| {
            let work = &work;
            move || share.into_iter().for_each(|(block, out)| *out = Some(work(worker, block)))
        });
        self.run(tasks.collect());
        results.into_iter().map(|result| result.expect("every block was worked on")).collect()
    }

    /// A task on every worker at once; returns when all are done.
    fn run<F: FnOnce() + Send>(&self, mut tasks: Vec<F>) {
        let (at_work, all_done) = mpsc::channel();
        start(&self.workers, &mut tasks, at_work, &all_done);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let mut all = all_workers();
        all.busy -= self.workers.len();
        all.idle.append(&mut self.workers);
    }
}

/// What a worker holds until it is done.
enum AtWork {}

fn start<F: FnOnce() + Send>(
    workers: &[ThreadPool],
    tasks: &mut Vec<F>,
    at_work: Sender<AtWork>,
    all_done: &Receiver<AtWork>,
) {
    let (Some((worker, rest)), Some(task)) = (workers.split_first(), tasks.pop()) else {
        drop(at_work);
        // An error is what comes when the last sender is gone.
        return while all_done.recv().is_ok() {};
    };
    worker.in_place_scope(|scope| {
        scope.spawn(|_| task());
        // The end of the scope must find nothing to wait for, or it would take jobs of the caller's
        // pool. So the sender goes in a job of its own, which the one thread of this pool comes to
        // when it has quite left the task.
        let own = at_work.clone();
        worker.spawn(move || drop(own));
        start(rest, tasks, at_work, all_done);
    });
}

/// `work`, which runs `model`, on a thread where `flex` finds no pool of the caller's: on the calling one
/// if that is in none.
pub(crate) fn apart<T: Send>(model: &impl Module, work: impl FnOnce() -> T + Send) -> T {
    if !in_a_pool() || IS_WORKER.get() || !model.devices().iter().all(is_flex) {
        return work();
    }
    let crew = Crew::hired(|_| 1);
    if crew.workers.is_empty() {
        return work();
    }
    // What it draws is what the caller's thread would have drawn.
    let source = draws::with(|noise| noise.clone());
    let mut result = None;
    crew.run(vec![|| {
        let own = draws::replace(source);
        let value = work();
        result = Some((value, draws::replace(own)));
    }]);
    let (value, source) = result.expect("the work was done");
    draws::replace(source);
    value
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    fn in_pool<T: Send>(call: impl FnOnce() -> T + Send) -> T {
        let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(call)
    }

    #[test]
    fn work_apart_runs_on_a_worker_and_draws_what_the_caller_would_have_drawn() {
        let model = LinearConfig::new(1, 1).init(&Device::flex());
        let draw = || draws::with(Noise::next_u64);
        let three = || {
            [
                draw(),
                apart(&model, || {
                    // Once apart, it stays on its thread.
                    let here = std::thread::current().id();
                    assert_eq!(apart(&model, || std::thread::current().id()), here);
                    draw()
                }),
                draw(),
            ]
        };
        draws::seed(Noise::seeded(3));
        let expected = three();
        let found = in_pool(|| {
            let caller = std::thread::current().id();
            assert_ne!(apart(&model, || std::thread::current().id()), caller);
            draws::seed(Noise::seeded(3));
            three()
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_crew_has_no_more_workers_than_threads_and_none_in_a_pool() {
        assert_eq!(in_pool(|| Crew::of(1000).len()), 1);
        let crews = [(); 5].map(|()| Crew::of(1000));
        let hired: usize = crews.iter().map(|crew| crew.workers.len()).sum();
        assert!(hired <= threads(), "{hired}");
    }

    #[test]
    fn a_panic_is_that_of_the_caller_and_the_worker_comes_back() {
        let model = LinearConfig::new(1, 1).init(&Device::flex());
        in_pool(|| {
            let call = || apart(&model, || panic!("in the work"));
            let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
            assert_eq!(*text.downcast::<&str>().unwrap(), "in the work");
            assert_eq!(apart(&model, || 3), 3);
        });
    }
}
