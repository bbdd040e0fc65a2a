//! The noise that a forward pass draws by itself: dropout masks, variational dequantization.
//!
//! A forward pass has no argument for noise, so every thread has a source of its own. It starts
//! from entropy; training seeds it before each step, so that a resumed run draws what the
//! interrupted one would have drawn. A device's own generator can be seeded, but its state cannot
//! be saved, and on CPU it is shared by the whole process.

use std::cell::RefCell;

use crate::noise::Noise;

thread_local! {
    static SOURCE: RefCell<Noise> = RefCell::new(Noise::from_entropy());
}

/// Makes everything that this thread draws from now on follow `noise`.
#[cfg(any(feature = "train", feature = "testing", test))]
pub(crate) fn seed(noise: Noise) {
    SOURCE.with(|source| *source.borrow_mut() = noise);
}

/// Makes everything that this thread draws from now on follow `noise`, and gives what it followed.
#[cfg(feature = "flex")]
pub(crate) fn replace(noise: Noise) -> Noise {
    SOURCE.with(|source| source.replace(noise))
}

/// Draws from this thread's source. `draw` must not run a module: its own draws would find the
/// source taken.
pub(crate) fn with<T>(draw: impl FnOnce(&mut Noise) -> T) -> T {
    SOURCE.with(|source| draw(&mut source.borrow_mut()))
}
