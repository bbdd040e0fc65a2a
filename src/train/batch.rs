//! Rows of data with their contexts and weights.

use std::borrow::Cow;
use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::rows::{check_rows, rows_of};

/// Rows of data, optionally with a row of context and a weight for each row of data.
///
/// Tensors convert by `into()`: `x` is a batch without a context, `(x, context)` a batch with one.
///
/// # Weights
///
/// A weight says how often a row counts: an importance weight, a survey weight, or the balance of a class. The mean
/// over the rows is `sum(w_i value_i) / sum(w_i)`. A row of weight 2 counts as two equal rows, a row of weight 0 as no
/// row. Only the ratios of the weights matter; a weight below 1e-300 of the largest one counts as 0.
///
/// # Shapes
///
/// - `x` `[rows, event..]`; `context` `[rows, width]`, or one row that applies to all rows; weights `[rows]`
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{distribution::StandardNormal, train::{Batch, nll}};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([1], &device);
/// let x = Tensor::<2>::from_data([[0.0], [1.0], [9.0]], &device);
/// let weights = Tensor::<1>::from_data([1.0, 3.0, 0.0], &device);
/// let rows = Batch::new(x).with_weights(weights)?;
/// let expected = 0.5 * (2.0 * std::f64::consts::PI).ln() + 0.5 * 3.0 / 4.0;
/// assert!((nll(&normal, rows, 100) - expected).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch<const D: usize> {
    /// The rows, `[rows, event..]`.
    pub x: Tensor<D>,
    /// The context, `[rows, width]`.
    pub context: Option<Tensor<2>>,
    /// The weights divided by the largest one, valid and one for each row.
    pub(super) weights: Option<Vec<f64>>,
    /// The largest weight, 1 without weights.
    pub(super) largest: f64,
    /// The row numbers in the caller's data, if rows were selected.
    pub(super) numbers: Option<Vec<usize>>,
}

impl<const D: usize> From<Tensor<D>> for Batch<D> {
    fn from(x: Tensor<D>) -> Self {
        Self::new(x)
    }
}

impl<const D: usize> From<&Tensor<D>> for Batch<D> {
    fn from(x: &Tensor<D>) -> Self {
        Self::new(x.clone())
    }
}

impl<C: Into<Option<Tensor<2>>>, const D: usize> From<(Tensor<D>, C)> for Batch<D> {
    fn from((x, context): (Tensor<D>, C)) -> Self {
        Self { context: context.into(), ..Self::new(x) }
    }
}

impl<const D: usize> From<&Batch<D>> for Batch<D> {
    fn from(rows: &Batch<D>) -> Self {
        rows.clone()
    }
}

impl<const D: usize> Batch<D> {
    /// Rows without a context and without weights.
    pub fn new(x: Tensor<D>) -> Self {
        Self { x, context: None, weights: None, largest: 1.0, numbers: None }
    }

    /// Adds a row of context for every row of data, or one row for all.
    pub fn with_context(self, context: Tensor<2>) -> Self {
        Self { context: Some(context), ..self }
    }

    /// Adds a weight for every row.
    ///
    /// # Errors
    ///
    /// If the number of weights is not the number of rows, a weight is negative or not finite, or all weights are 0.
    pub fn with_weights(self, weights: Tensor<1>) -> Result<Self> {
        let weights: Vec<f64> = weights.into_data().iter::<f64>().collect();
        let wrong = |reason| Err(Error::data("weights", reason));
        if weights.len() != self.len() {
            let (rows, found) = (self.len(), weights.len());
            return wrong(format!("expected 1 weight for each of {rows} rows, found {found}"));
        }
        let valid = |weight: &f64| *weight >= 0.0 && weight.is_finite();
        if let Some(row) = weights.iter().position(|weight| !valid(weight)) {
            let found = weights[row];
            return wrong(format!("row {row} holds {found}, expected a finite number from 0 on"));
        }
        if !weights.is_empty() && weights.iter().all(|weight| *weight == 0.0) {
            return wrong("all are 0, expected a positive weight in at least 1 row".to_string());
        }
        // Only ratios matter. Without the division, weights near the largest f64 would have an infinite sum.
        let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let share = |weight: f64| Some(weight / largest).filter(|share| *share > LEAST_SHARE);
        let weights = weights.into_iter().map(|weight| share(weight).unwrap_or(0.0)).collect();
        Ok(Self { weights: Some(weights), largest, ..self })
    }

    /// The weights, divided by the largest one; `None` if none were set.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.x.dims()[0]
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows outside any graph.
    pub(super) fn plain(self) -> Self {
        let context = self.context.map(Tensor::without_autodiff);
        Self { x: self.x.without_autodiff(), context, ..self }
    }

    /// The sum of the weights; without weights the number of rows.
    pub(super) fn total_weight(&self) -> f64 {
        match &self.weights {
            Some(weights) => weights.iter().sum(),
            None => self.len() as f64,
        }
    }

    /// The number of a row in the caller's data.
    pub(super) fn number(&self, row: usize) -> usize {
        self.numbers.as_ref().map_or(row, |numbers| numbers[row])
    }

    /// The rows that count: those of a positive weight. A row of weight 0 is not evaluated, so it may hold any values.
    /// If the remaining weights are equal, the result has no weights.
    ///
    /// # Panics
    ///
    /// If the weights or the context have another number of rows than `x`, which a caller may have replaced.
    #[track_caller]
    pub(super) fn counted(&self) -> Cow<'_, Self> {
        let Some(weights) = &self.weights else { return Cow::Borrowed(self) };
        let (rows, found) = (self.len(), weights.len());
        assert!(found == rows, "Batch: expected 1 weight for each of {rows} rows, found {found}");
        check_rows("Batch", rows, self.context.as_ref());
        let rows: Vec<usize> = (0..weights.len()).filter(|&row| weights[row] > 0.0).collect();
        let equal = rows.windows(2).all(|pair| weights[pair[0]] == weights[pair[1]]);
        let mut counted = match rows.len() < weights.len() {
            true => Cow::Owned(self.select(&rows)),
            false => Cow::Borrowed(self),
        };
        if equal && let Some(weight) = rows.first().map(|&row| weights[row]) {
            let counted = counted.to_mut();
            (counted.weights, counted.largest) = (None, counted.largest * weight);
        }
        counted
    }

    /// Rows that all count alike, for statistics without weights: each row is repeated in proportion to its weight. If the weights
    /// are whole multiples of the least one, and `most` rows hold all multiples, every row stands that many times.
    /// Otherwise as many rows as before are drawn at equal distances of the summed weights, from rows in random order.
    /// If the weights are worth fewer than 10 rows, each row is used once. Copies of few rows give a layer a deviation
    /// near 0.
    pub(super) fn repeated(&self, most: usize) -> Self {
        let Some(weights) = &self.weights else { return self.clone() };
        let alike = || Self { weights: None, ..self.clone() };
        let total = self.total_weight();
        let least = weights.iter().copied().fold(f64::INFINITY, f64::min);
        let whole = total / least <= most as f64
            && weights.iter().all(|weight| {
                let times = weight / least;
                (times - times.round()).abs() < 1e-9 * times
            });
        let effective = total * total / weights.iter().map(|weight| weight * weight).sum::<f64>();
        if !whole && effective < LEAST_EFFECTIVE {
            return alike();
        }
        let count = if whole { (total / least).round() } else { self.len() as f64 };
        let step = total / count;
        let (mut rows, mut end) = (vec![], 0.0);
        for (row, weight) in weights.iter().enumerate() {
            end += weight;
            while (rows.len() as f64 + 0.5) * step < end {
                rows.push(row);
            }
        }
        Self { weights: None, ..self.select(&rows) }
    }

    /// The rows of all batches. `None` without a batch.
    pub(super) fn joined(batches: Vec<Self>) -> Option<Self> {
        let largest = batches.iter().map(|batch| batch.largest).fold(0.0, f64::max);
        let weighted = batches.iter().any(|batch| batch.weights.is_some());
        let weights = batches.iter().flat_map(|batch| {
            let own = batch.weights.clone().unwrap_or_else(|| vec![1.0; batch.len()]);
            own.into_iter().map(|weight| weight * (batch.largest / largest))
        });
        let weights = weighted.then(|| weights.collect());
        let contexts = batches.iter().map(|batch| batch.context.clone()).collect::<Option<_>>();
        let rows: Vec<_> = batches.into_iter().map(|batch| batch.x).collect();
        if rows.is_empty() {
            return None;
        }
        let context = contexts.map(|contexts: Vec<_>| Tensor::cat(contexts, 0));
        Some(Self { x: Tensor::cat(rows, 0), context, weights, largest, numbers: None })
    }

    /// The rows on a device.
    pub(super) fn to_device(&self, device: &Device) -> Self {
        let context = self.context.as_ref().map(|context| context.clone().to_device(device));
        Self { x: self.x.clone().to_device(device), context, ..self.clone() }
    }

    /// The number of elements of a row and its context, at least 1.
    pub(super) fn elements_of_row(&self) -> usize {
        let event: usize = self.x.dims()[1..].iter().product();
        (event + self.context.as_ref().map_or(0, |context| context.dims()[1])).max(1)
    }

    /// The mean weight in the caller's unit.
    pub(super) fn mean_weight(&self) -> f64 {
        self.total_weight() / self.len() as f64 * self.largest
    }

    /// Some of the rows, without their row numbers. The graph is kept.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        if rows == (0..self.len()) {
            return self.clone();
        }
        Self {
            x: self.x.clone().slice([rows.clone()]),
            context: self.context.as_ref().map(|context| rows_of(context, rows.clone())),
            weights: self.weights.as_ref().map(|all| all[rows.clone()].to_vec()),
            largest: self.largest,
            numbers: None,
        }
    }

    /// The rows with these numbers, in this order.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let data = TensorData::new(indices, [rows.len()]);
        let indices = Tensor::<1, Int>::from_data(data, &self.x.device());
        let context = self.context.as_ref().map(|context| match context.dims()[0] {
            1 if self.len() != 1 => context.clone(),
            _ => context.clone().select(0, indices.clone()),
        });
        Self {
            x: self.x.clone().select(0, indices.clone()),
            context,
            weights: self.weights.as_ref().map(|all| rows.iter().map(|&row| all[row]).collect()),
            largest: self.largest,
            numbers: Some(rows.iter().map(|&row| self.number(row)).collect()),
        }
    }
}

/// The least weight relative to the largest one. Its share of a sum must be a normal number of f64.
const LEAST_SHARE: f64 = 1e-300;

/// The least number of rows that weights are worth, `(sum w)^2 / sum w^2`, for statistics from repeated rows.
const LEAST_EFFECTIVE: f64 = 10.0;

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    fn weighted(weights: &[f64]) -> Batch<2> {
        let x: Vec<f64> = (0..weights.len()).map(|row| row as f64).collect();
        let x = Tensor::<1>::from_data(x.as_slice(), &Device::flex()).reshape([-1, 1]);
        Batch::new(x).with_weights(Tensor::from_data(weights, &Device::flex())).unwrap()
    }

    fn rows(batch: &Batch<2>) -> Vec<f64> {
        batch.x.to_data().iter::<f64>().collect()
    }

    #[test]
    fn rows_stand_as_often_as_whole_weights_ask() {
        assert_eq!(rows(&weighted(&[0.5, 1.5, 1.0]).repeated(10)), [0.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(rows(&weighted(&[3.0; 4]).repeated(10)), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn other_weights_keep_the_number_of_rows_and_their_shares() {
        // In the random order of a batch: a regular order may be in step with the equal distances.
        let kinds: Vec<usize> =
            Noise::seeded(1).permutation(1000).into_iter().map(|row| row % 7).collect();
        let weights: Vec<f64> = kinds.iter().map(|kind| 0.5 + (*kind as f64).sqrt()).collect();
        let repeated = weighted(&weights).repeated(4096);
        assert_eq!(repeated.len(), 1000);
        let total: f64 = weights.iter().sum();
        for kind in 0..7 {
            let of_kind = |row: &&f64| kinds[**row as usize] == kind;
            let found = rows(&repeated).iter().filter(of_kind).count() as f64 / 1000.0;
            let own = weights.iter().zip(&kinds).filter(|(_, own)| **own == kind);
            let asked = own.map(|(weight, _)| weight).sum::<f64>() / total;
            assert!((found - asked).abs() < 0.02, "kind {kind}: {found}, asked {asked}");
        }
    }

    #[test]
    fn rows_worth_few_rows_all_count_alike() {
        assert_eq!(rows(&weighted(&[1.0, 1000.0]).repeated(100)), [0.0, 1.0]);
        let mut dominated = vec![1.0; 400];
        dominated[3] = 1e-290;
        dominated[7] = 1e30;
        assert_eq!(weighted(&dominated).counted().repeated(4096).len(), 399);
    }

    #[test]
    fn selected_rows_know_their_numbers() {
        let batch = weighted(&[1.0, 0.0, 2.0, 0.0, 3.0]);
        let counted = batch.counted();
        assert_eq!((rows(&counted), counted.number(2)), (vec![0.0, 2.0, 4.0], 4));
        let one = counted.select(&[1]);
        assert_eq!((one.number(0), one.weights().unwrap()), (2, &[2.0 / 3.0][..]));
    }
}
