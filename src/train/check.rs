//! Checks of rows: shapes, values that are not finite, constant columns.

use burn::tensor::Tensor;

use super::Batch;
use super::scale::place;
use crate::error::{Error, Result};

/// Returns an error if there are fewer rows, or a value of the rows or the context is not finite.
pub(super) fn check_rows<const D: usize>(what: &str, rows: &Batch<D>, least: usize) -> Result<()> {
    if rows.len() < least {
        let reason = format!("needs at least {least} rows, found {}", rows.len());
        return Err(Error::data(what, reason));
    }
    check_finite(what, &rows.x, rows)?;
    let Some(context) = &rows.context else { return Ok(()) };
    check_finite(&format!("context of the {what}"), context, rows)
}

/// Returns an error unless there is a row of context, and a weight, for every row of data.
pub(super) fn check_context<const D: usize>(what: &str, rows: &Batch<D>) -> Result<()> {
    if let Some(weights) = rows.weights().filter(|weights| weights.len() != rows.len()) {
        let reason = format!("has {} rows, but {} weights", rows.len(), weights.len());
        return Err(Error::data(what, reason));
    }
    match rows.context.as_ref().map(|context| context.dims()[0]) {
        Some(found) if found != rows.len() => {
            let reason = format!("has {} rows, but {found} rows of context", rows.len());
            Err(Error::data(what, reason))
        }
        _ => Ok(()),
    }
}

/// Returns an error if rows differ from the training rows in shape, precision or context.
pub(super) fn check_like<const D: usize>(
    what: &str,
    rows: &Batch<D>,
    train: &Batch<D>,
) -> Result<()> {
    let text = |rows: &Batch<D>| {
        let (event, precision) = (&rows.x.dims()[1..], rows.x.dtype());
        let context = match &rows.context {
            Some(context) => {
                format!("a context of width {} in {:?}", context.dims()[1], context.dtype())
            }
            None => "no context".to_string(),
        };
        format!("rows of shape {event:?} in {precision:?} with {context}")
    };
    if text(train) == text(rows) {
        return Ok(());
    }
    let reason = format!("has {}, but the training data has {}", text(rows), text(train));
    Err(Error::data(what, reason))
}

fn check_finite<const E: usize, const D: usize>(
    what: &str,
    x: &Tensor<E>,
    rows: &Batch<D>,
) -> Result<()> {
    let event = x.dims()[1..].iter().product::<usize>().max(1);
    match x.to_data().iter::<f64>().enumerate().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((at, value)) => {
            let (row, place) = (rows.number(at / event), place(at % event, &x.dims()[1..]));
            let reason = format!("row {row}, {place} holds {value}; remove or impute it");
            Err(Error::data(what, reason))
        }
    }
}

/// Returns an error if a column of real numbers is constant.
pub(super) fn check_columns<const D: usize>(
    x: &Tensor<D>,
    integers: impl Fn(usize) -> bool,
) -> Result<()> {
    let event: usize = x.dims()[1..].iter().product();
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    let (first, rest) = values.split_at(event.min(values.len()));
    let mut varies: Vec<bool> = (0..event).map(integers).collect();
    for row in rest.chunks(event.max(1)) {
        varies.iter_mut().zip(row.iter().zip(first)).for_each(|(v, (a, b))| *v |= a != b);
    }
    match varies.iter().position(|v| !v) {
        None => Ok(()),
        Some(column) => {
            let value = first[column];
            let reason = match x.dims()[1..] {
                [_, height, width] => format!(
                    "the pixel of channel {}, row {}, column {} is constant ({value}), its density is \
                     infinite; dequantize the images (with_dequantization), or crop them",
                    column / (height * width),
                    column / width % height,
                    column % width
                ),
                _ => format!(
                    "column {column} is constant ({value}), its density is infinite; remove the \
                     column"
                ),
            };
            Err(Error::data("training data", reason))
        }
    }
}
