//! What may be counted on. A test fails if a sentence of this page is false; `tests/promises.md` names it.
//!
//! # Construction
//!
//! * A configuration whose `validate` passes is built without a panic, and gives finite densities to ordinary data in
//!   f32. Exception: a limit of steps that is too small for a search or an integration to converge.
//! * Refused are counts above 2^24, more than 10,000 layers, blocks or steps, one tensor of more than 2^31 elements,
//!   and lengths that f32 cannot square. `validate` does not check the total memory of a model: a thousand layers of a
//!   gigabyte pass.
//! * A model built with a seed, by `with_seed` of its configuration or within [`seeded`](crate::seeded), has the same
//!   weights, bit for bit, in every build, thread and process and on every backend. The layers of a stack differ from
//!   each other.
//!
//! # Densities
//!
//! * A row with an element, or a context, that is NaN or infinite has a log-density of NaN or minus infinity, and no
//!   other row changes.
//! * With an element of 1e30 a row has minus infinity or a hugely negative number. If intermediate values overflow,
//!   the log-density is NaN; one in twenty-five random Real NVPs of eight layers does so.
//! * A row whose search or integration has not converged within its limit
//!   ([`FixedPoint`](crate::bijector::FixedPoint), [`Solver`](crate::bijector::Solver), inverses by search) is NaN, and
//!   its log-determinant is NaN. No other row changes. `Distribution::first_non_finite` names the layer.
//! * On `flex`, in f32 and f64, a row has the same bits alone, in a batch beside any other rows, and on any number of
//!   threads.
//! * Calls of a flow from a rayon pool or from many threads neither hang nor overflow the stack, also where a lock is
//!   held around each call. [`set_threads`](crate::set_threads) names the one lock that must not be held.
//!
//! # Files
//!
//! * A damaged, truncated or foreign file is an [`Error`](crate::Error). Reading a file takes memory in proportion to
//!   the file, whatever its header claims, opens no other path, and runs nothing that stands in it.
//! * A file that [`store::save`](crate::store::save) wrote describes its model. [`store::load`](crate::store::load) into
//!   a model with another setting is an [`Error`](crate::Error) that names the layer and the setting.
//!   [`store::open`](crate::store::open) builds the model from the file alone.
//!
//! # Training
//!
//! * `train::fit` never returns weights that were not trained. It returns an [`Error`](crate::Error) that names the row,
//!   the layer or the column at fault.
//! * With the seed of `train::FitConfig`, training gives the same model on the same backend.
//! * A checkpoint of `train::fit` is whole or it is the one before: a run that is killed goes on to the weights, bit for
//!   bit, that it would have had.
//!
//! # What is not promised
//!
//! Fused kernels are for the `flex` backend alone. `ndarray` and `wgpu` are compared with it, layer by layer. Not tested
//! on a GPU. [`cast`](crate::cast) says what half precision loses.
