//! Threads for the rows of a batch: persistent rayon pools of one thread each.
//!
//! `flex` distributes parts of its operations over the rayon pool of the current thread. In a pool of one thread,
//! `flex` stays on that thread.
//!
//! A waiting thread of a rayon pool runs other jobs of its pool in the meantime. In a pool of the caller these are jobs
//! of the caller. Such a job may wait for a lock that the same thread holds, and nested jobs can overflow the stack. So
//! no operation runs on such a thread ([`apart`]). A thread that waits for a crew waits on a channel, which runs no
//! jobs.

#[cfg(feature = "flex")]
mod pools;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "flex")]
pub(crate) use pools::{Crew, apart, in_a_pool};

#[cfg(not(feature = "flex"))]
pub(crate) use alone::{Crew, apart};

/// The number of threads that the user requested; 0 for the number of cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The largest number of threads: the calling thread needs stack for every worker.
const MOST_THREADS: usize = 64;

/// Sets how many threads share the rows of a batch on CPU devices of the backend `flex`. With 1, rows are not shared.
/// With 0, the default, there are as many threads as cores. No result depends on the number of threads.
///
/// Several threads, of `std` or of tokio, can call a flow at once, also while they hold a lock. All calls together use
/// at most this many threads. A call that finds all of them busy runs on its calling thread. Numbers above 64 count as
/// 64.
///
/// **A call from a rayon pool** shares no rows, because the pool already uses the cores. In `batches.par_iter().map(|x|
/// flow.log_prob(x.clone()))` every call runs on one thread of this crate, and the calling thread sleeps until the call
/// ends. The calling thread takes no other job of its pool in the meantime. A call therefore needs little stack and
/// cannot wait for a lock that its own thread holds. To share the rows of a large batch, call the flow from a thread
/// outside the pool.
///
/// A single layer, an operation of burn on tensors, and `backward` do not have this protection in a rayon pool: burn
/// may run another job of the pool inside of them. Use `train::nll_gradients` instead of `backward`.
///
/// **A lock that all threads of rayon's global pool wait for** must not be held by a thread outside that pool while it
/// calls a flow. burn distributes a wide matrix product over the global pool, whose blocked threads would never run it.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Noise, model::NiceConfig, set_threads};
///
/// let device = Device::flex();
/// let flow = NiceConfig::new(2).init(&device);
/// let x = Noise::seeded(1).normal::<2>([1000, 2], &device);
/// let shared = flow.log_prob(x.clone()).into_data();
/// set_threads(1);
/// assert_eq!(flow.log_prob(x).into_data(), shared);
/// ```
pub fn set_threads(count: usize) {
    THREADS.store(count, Ordering::Relaxed);
}

/// The number of threads that share the work.
pub(crate) fn threads() -> usize {
    // Asking the system reads files, which takes as long as evaluating a small batch.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    let count = match THREADS.load(Ordering::Relaxed) {
        0 => *CORES,
        count => count,
    };
    count.min(MOST_THREADS)
}

/// Without `flex` there is a single worker.
#[cfg(not(feature = "flex"))]
mod alone {
    use burn::module::Module;

    pub(crate) struct Crew;

    impl Crew {
        pub(crate) fn of(_blocks: usize) -> Self {
            Self
        }

        pub(crate) fn len(&self) -> usize {
            1
        }

        pub(crate) fn each<T>(&self, blocks: usize, work: impl Fn(usize, usize) -> T) -> Vec<T> {
            (0..blocks).map(|block| work(0, block)).collect()
        }
    }

    pub(crate) fn apart<T>(_model: &impl Module, work: impl FnOnce() -> T) -> T {
        work()
    }
}
