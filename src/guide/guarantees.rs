//! Guarantees. If a sentence of this page is false, a test fails. `tests/promises.md` names the test.
//!
//! # Construction
//!
//! * A configuration whose `validate` passes is built without a panic, and gives finite densities to ordinary data in
//!   f32. Exception: a limit of steps that is too small for a search or an integration to converge.
//! * `validate` refuses counts above 2^24, more than 10,000 layers, blocks or steps, a tensor of more than 2^31
//!   elements, and lengths whose square overflows f32. `validate` does not check the total memory of a model: a
//!   thousand layers of one gigabyte each pass.
//! * A model built with a seed, by `with_seed` of its configuration or within [`seeded`](crate::seeded), has the same
//!   weights, bit for bit, in every build, thread and process and on every backend. The layers of a stack differ from
//!   each other.
//!
//! # Densities
//!
//! * A row with an element, or a context, that is NaN or infinite has a log-density of NaN or minus infinity, and no
//!   other row changes.
//! * The log-density of a row with an element of 1e30 is minus infinity or a hugely negative number. If intermediate
//!   values overflow, the log-density is NaN: one in 25 random eight-layer Real NVPs did so.
//! * A row whose search or integration has not converged within its limit
//!   ([`FixedPoint`](crate::bijector::FixedPoint), [`Solver`](crate::bijector::Solver), inverses by search) is NaN, and
//!   its log-determinant is NaN. No other row changes. `Distribution::first_non_finite` names the layer.
//! * On `flex`, in f32 and f64, a row has the same bits alone, in a batch beside any other rows, and on any number of
//!   threads.
//! * Calls of a flow from a rayon pool or from many threads neither hang nor overflow the stack, also if the caller
//!   holds a lock during each call. [`set_threads`](crate::set_threads) describes the one lock that must not be held.
//!
//! # Files
//!
//! * A damaged, truncated or foreign file is an [`Error`](crate::Error). Reading a file takes memory in proportion to
//!   the size of the file, whatever its header claims. Reading opens no other path and runs no code from the file.
//! * A file that [`store::save`](crate::store::save) wrote describes its model. [`store::load`](crate::store::load)
//!   into a model with another setting is an [`Error`](crate::Error) that names the layer and the setting.
//!   [`store::open`](crate::store::open) builds the model from the file alone.
//!
//! # Training
//!
//! * `train::fit` never returns weights that were not trained. If training fails, `train::fit` returns an
//!   [`Error`](crate::Error) that names the row, the layer or the column at fault.
//! * With the seed of `train::FitConfig`, training gives the same model on the same backend.
//! * A process that is killed while it writes a checkpoint leaves the new or the previous checkpoint complete. A killed
//!   run of `train::fit` resumes and ends with the weights of an uninterrupted run, bit for bit.
//!
//! # What is not promised
//!
//! Only the backend `flex` has fused kernels. Tests compare `ndarray` and `wgpu` with `flex`, layer by layer. Not
//! tested on a GPU. [`cast`](crate::cast) says what half precision loses.
