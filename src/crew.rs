//! Threads for the rows of a batch: kept rayon pools of one thread each.
//!
//! `flex` gives parts of its operations to the rayon pool of the thread that it runs on; in a pool of
//! one thread it stays there.
//!
//! A thread of a rayon pool that waits takes other jobs of its pool meanwhile. In a pool of the
//! caller these are the caller's: one of them may want a lock that this very thread holds, and jobs
//! that begin inside of each other fill the stack. So no operation runs on such a thread
//! ([`apart`]), and whoever waits for a crew waits at a channel, which takes no jobs.

#[cfg(feature = "flex")]
mod pools;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "flex")]
pub(crate) use pools::{Crew, apart, in_a_pool};

#[cfg(not(feature = "flex"))]
pub(crate) use alone::{Crew, apart};

/// Threads asked for by the user; 0 for as many as there are cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The most threads: the calling one needs stack for every worker.
const MOST_THREADS: usize = 64;

/// Sets how many threads share the rows of a batch on CPU devices of the backend `flex`: 1 shares
/// no rows, 0, the default, takes as many threads as there are cores. No result depends on it.
///
/// Several threads can call a flow at once, of `std` or of tokio, also while they hold a lock. All calls
/// together take at most this many threads: a call that finds them busy runs on the thread that made
/// it. More than 64 threads count as 64.
///
/// **A call from a rayon pool** shares no rows, because the pool already uses the cores. In
/// `batches.par_iter().map(|x| flow.log_prob(x.clone()))` every call runs on one thread of this
/// crate, and the calling thread sleeps until the call ends. The calling thread takes no other job
/// of its pool in the meantime, so a call needs little stack and cannot wait for a lock that its own
/// thread holds. To share the rows of a large batch, call the flow from a thread outside of the pool.
///
/// A single layer, an operation of burn on tensors, and `backward` do not have this protection in a
/// rayon pool: burn may run another job of the pool inside of them. Use
/// `train::nll_gradients` instead of `backward`.
///
/// **A lock that all threads of rayon's global pool wait for** must not be held by a thread outside of that pool
/// while it calls a flow: burn shares out a wide product to the global pool, whose threads would never come to it.
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

/// Threads that share the work.
pub(crate) fn threads() -> usize {
    // Asking the system reads files, which takes as long as a small batch.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    let count = match THREADS.load(Ordering::Relaxed) {
        0 => *CORES,
        count => count,
    };
    count.min(MOST_THREADS)
}

/// Without `flex` there is one worker.
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
