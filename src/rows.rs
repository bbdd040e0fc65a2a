//! Rows of events with rows of contexts, and the shapes that error messages report.
//!
//! A batch is evaluated in blocks of rows, on several threads or one after another. An error message about a shape
//! names the shape of the caller's batch, not of a block.

use std::cell::Cell;

use burn::tensor::Tensor;

thread_local! {
    /// The rows of the block that this thread evaluates, and the rows of the caller's batch.
    static BLOCK: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

/// Runs `work` on a block of `rows` rows from a batch of `whole` rows.
pub(crate) fn in_block<T>(rows: usize, whole: usize, work: impl FnOnce() -> T) -> T {
    struct Before(Option<(usize, usize)>);
    impl Drop for Before {
        fn drop(&mut self) {
            BLOCK.set(self.0);
        }
    }
    let _before = Before(BLOCK.replace(Some((rows, whole))));
    work()
}

/// The number of rows of the caller's batch, for a block of `rows` rows.
pub(crate) fn callers_rows(rows: usize) -> usize {
    match BLOCK.get() {
        Some((block, whole)) if block == rows => whole,
        _ => rows,
    }
}

/// The shape of the caller's batch, for a block `x`.
pub(crate) fn callers_dims<const D: usize>(x: &Tensor<D>) -> [usize; D] {
    let mut dims = x.dims();
    dims[0] = callers_rows(dims[0]);
    dims
}

/// Checks that a context has a row for each of `rows` events, or a single row for all events.
///
/// # Panics
///
/// If the context has another number of rows. The message names the type.
#[track_caller]
pub(crate) fn check_rows(name: &str, rows: usize, context: Option<&Tensor<2>>) {
    let found = context.map_or(1, |context| context.dims()[0]);
    if found != rows && found != 1 {
        let rows = callers_rows(rows);
        panic!("{name}: expected a context of 1 or {rows} rows, found {found}");
    }
}

/// Returns a context with a row for each of `rows` events.
///
/// # Panics
///
/// The panics of [`check_rows`].
#[track_caller]
pub(crate) fn spread(name: &str, rows: usize, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
    check_rows(name, rows, context);
    context.map(|context| {
        let [found, width] = context.dims();
        match found {
            _ if found == rows => context.clone(),
            // burn 0.22 cannot expand a tensor to zero rows.
            _ if rows == 0 => Tensor::zeros([0, width], (&context.device(), context.dtype())),
            _ => context.clone().expand([rows, width]),
        }
    })
}

/// The rows of a context for a block of events: the rows of the block, or the single row for all events.
pub(crate) fn rows_of(context: &Tensor<2>, rows: std::ops::Range<usize>) -> Tensor<2> {
    if context.dims()[0] == 1 { context.clone() } else { context.clone().slice([rows]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_block_inside_a_block_speaks_of_the_batch() {
        let x = Tensor::<2>::zeros([3, 2], &Device::flex());
        in_block(6, 10, || {
            in_block(3, callers_rows(6), || assert_eq!(callers_dims(&x), [10, 2]));
            assert_eq!(callers_dims(&x), [3, 2]);
            assert_eq!(callers_rows(6), 10);
        });
        assert_eq!(callers_dims(&x), [3, 2]);
    }

    #[test]
    fn a_block_that_panics_is_over() {
        let panic = std::panic::catch_unwind(|| in_block(3, 10, || panic!("a shape")));
        assert!(panic.is_err());
        assert_eq!(callers_rows(3), 3);
    }
}
