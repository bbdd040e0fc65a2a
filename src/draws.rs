//! The noise that a forward pass draws itself: dropout masks, variational dequantization.
//!
//! A forward pass has no argument for noise, so every thread has its own source. The source starts from entropy.
//! Training seeds it before each step, so that a resumed run draws the numbers of the uninterrupted run. A device's own
//! generator can be seeded, but its state cannot be saved, and on CPU the whole process shares it.

use std::cell::RefCell;

use crate::noise::Noise;

thread_local! {
    static SOURCE: RefCell<Noise> = RefCell::new(Noise::from_entropy());
}

/// Sets the source of this thread to `noise`.
#[cfg(any(feature = "train", feature = "testing", test))]
pub(crate) fn seed(noise: Noise) {
    SOURCE.with(|source| *source.borrow_mut() = noise);
}

/// Sets the source of this thread to `noise`, and returns the previous source.
#[cfg(feature = "flex")]
pub(crate) fn replace(noise: Noise) -> Noise {
    SOURCE.with(|source| source.replace(noise))
}

/// Draws from the source of this thread. `draw` must not run a module: the draws of the module would find the source
/// borrowed.
pub(crate) fn with<T>(draw: impl FnOnce(&mut Noise) -> T) -> T {
    SOURCE.with(|source| draw(&mut source.borrow_mut()))
}
