//! Densities that can be evaluated and sampled: bases of flows, and targets.
//!
//! | distribution | event |
//! | --- | --- |
//! | [`StandardNormal`] | any shape |
//! | [`DiagNormal`] | any shape; fixed or learned mean and scale per element |
//! | [`StudentT`] | any shape; heavy tails, fixed or learned location and scale |
//! | [`Uniform`] | any shape; a fixed box |
//! | [`ConditionalNormal`] | any shape; mean and scale from a network of the context |
//! | [`GaussianMixture`] | vectors; `K` learned normals |
//! | [`CategoricalMade`] | vectors of categories; each column given the columns before it |
//! | [`Product`] | vectors; two independent groups of columns |
//! | [`Chained`] | vectors; a group of columns, and the other columns given them |
//! | [`Mixture`] | any; weights free or from a network of the context |
//! | [`Marginal`] | any; a conditional density with its context marginalised |
//! | [`Embedded`](crate::encoder::Embedded) | any; a conditional density and the encoder of its context |
//! | [`TwoMoons`], [`EightGaussians`], [`Checkerboard`], [`Rings`], [`Pinwheel`] | 2-D toy targets without parameters |

mod categorical_made;
mod chained;
mod chunks;
mod conditional_normal;
mod diag_normal;
mod gaussian_mixture;
mod given;
mod level;
mod marginal;
mod mixture;
mod one_hot;
mod product;
mod standard_normal;
mod student_t;
mod toy;
mod uniform;

pub use categorical_made::{CategoricalMade, CategoricalMadeConfig};
pub use chained::Chained;
pub(crate) use chunks::most_rows;
pub use conditional_normal::{ConditionalNormal, ConditionalNormalConfig};
pub use diag_normal::{DiagNormal, DiagNormalConfig};
pub use gaussian_mixture::{GaussianMixture, GaussianMixtureConfig};
pub use given::Given;
pub(crate) use given::{given, separated};
pub use level::{ChannelPrior, ChannelPriorConfig, LevelBase};
pub use marginal::Marginal;
pub use mixture::Mixture;
pub use product::Product;
pub use standard_normal::StandardNormal;
pub use student_t::{StudentT, StudentTConfig};
pub use toy::{Checkerboard, EightGaussians, Pinwheel, Rings, TwoMoons};
pub use uniform::Uniform;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Bool, Device, Tensor};

use crate::bijector::{Split, layer_name};
use crate::crew::apart;
use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::param::float_dtype;
use crate::rows::{callers_dims, callers_rows, check_rows, in_block, rows_of};
use crate::trace::{Search, trace};
use crate::walk::{Place, Walk};

/// A density over events of rank `D` (batch axis included), optionally given a context.
///
/// A [`Flow`](crate::Flow) is a `Distribution` too, so training and evaluation accept both.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, distribution::{Distribution, StandardNormal}};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let x = normal.sample(3, None, &mut Noise::seeded(1), &device);
/// assert_eq!(normal.log_prob(x, None).dims(), [3]);
/// ```
pub trait Distribution<const D: usize>: Module + ModuleDisplay + Sync {
    /// Returns `ln p(x | context)` in nats, shape `[batch]`.
    ///
    /// # Panics
    ///
    /// If the event or the context has another shape than the distribution was built for.
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1>;

    /// Returns `n` draws on this device. A context has one row for each draw, or one row for all. The
    /// same noise gives the same draws on every device.
    ///
    /// # Panics
    ///
    /// If the distribution has parameters and they are on another device.
    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D>;

    /// Returns `n` draws, as [`sample`](Self::sample), and their `ln p`, shape `[n]`. Default: `sample`, then
    /// [`log_prob`](Self::log_prob). A flow computes both in one pass.
    ///
    /// # Panics
    ///
    /// The panics of [`sample`](Self::sample).
    fn sample_with_log_prob(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> (Tensor<D>, Tensor<1>) {
        let x = self.sample(n, context, noise, device);
        let log_prob = self.log_prob(x.clone(), context);
        (x, log_prob)
    }

    /// [`log_prob`](Self::log_prob) without a graph, `batch` rows at a time: its memory depends on
    /// `batch`, not on the number of rows. The numbers are the same bit for bit.
    ///
    /// # Panics
    ///
    /// If `batch` is 0, or the context has neither one row nor as many as `x`.
    fn log_prob_batched(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
        batch: usize,
    ) -> Tensor<1> {
        assert!(batch > 0, "log_prob_batched: expected a batch of at least 1 row, found 0");
        let rows = x.dims()[0];
        check_rows(layer_name::<Self>(), rows, context);
        let whole = callers_rows(rows);
        apart(self, || {
            let plain = self.valid();
            let parts = (0..rows.div_ceil(batch).max(1)).map(|k| {
                let part = k * batch..rows.min((k + 1) * batch);
                let context = context.map(|c| rows_of(c, part.clone()));
                in_block(part.len(), whole, || {
                    plain.log_prob(x.clone().slice([part]), context.as_ref())
                })
            });
            Tensor::cat(parts.collect(), 0)
        })
    }

    /// `Some(levels)` if events are integers `0..levels` and [`log_prob`](Self::log_prob) is the
    /// logarithm of a probability. Default: `None`, a density of real numbers.
    fn integer_levels(&self) -> Option<usize> {
        None
    }

    /// The levels of each of the `columns` elements of an event: `Some(levels)` for integers `0..levels`, `None` for
    /// real numbers. [`fit`](crate::train::fit) checks that such a column holds integers, and warns about columns of
    /// real numbers only. Default: [`integer_levels`](Self::integer_levels) for every column.
    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        vec![self.integer_levels(); columns]
    }

    /// Whether a row's `ln p` depends on the other rows in training, as with batch normalization.
    /// Default: no.
    fn mixes_rows(&self) -> bool {
        false
    }

    /// Data-dependent initialisation from a first batch. Default: nothing to initialise.
    fn init_from_data(self, _x: Tensor<D>, _context: Option<&Tensor<2>>) -> Self {
        self
    }

    /// Takes a [`Walk`] from data to the latent and back. Returns the gradient of its loss with respect
    /// to `x`. A flow passes the call on to its bijector and its base. Default: the density has no
    /// layers.
    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
        gradient
    }

    /// Returns the path and type of the first part whose output for this batch is not finite, or `None`
    /// if all outputs are finite.
    fn first_non_finite(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Option<String> {
        let mut search = Search(None);
        trace(self, x, context, &mut search);
        search.0
    }
}

/// The levels of the columns of two groups, for `columns` columns: see [`Distribution::column_levels`].
fn levels_of_groups(
    split: &Split,
    first: &impl Distribution<2>,
    second: &impl Distribution<2>,
    columns: usize,
) -> Vec<Option<usize>> {
    let groups = split.groups();
    let mut levels = vec![None; columns];
    // A batch of another width is refused later.
    let mut set = |(column, level): (&usize, Option<usize>)| {
        if let Some(place) = levels.get_mut(*column) {
            *place = level;
        }
    };
    groups[0].iter().zip(first.column_levels(groups[0].len())).for_each(&mut set);
    groups[1].iter().zip(second.column_levels(groups[1].len())).for_each(&mut set);
    levels
}

/// The levels that all columns of two groups have in common: see [`Distribution::integer_levels`].
fn common_levels(first: &impl Distribution<2>, second: &impl Distribution<2>) -> Option<usize> {
    first.integer_levels().filter(|levels| second.integer_levels() == Some(*levels))
}

/// Draws in the precision of a distribution's parameters. A part without parameters draws in that of the device.
fn in_own_precision<M: Module>(own: &M, x: Tensor<2>) -> Tensor<2> {
    match float_dtype(own) {
        Some(dtype) => x.cast(dtype),
        None => x,
    }
}

/// Draws an index for each of `n` rows. The weights are `[n, K]`, one row each, or `[1, K]`, the same
/// for all rows. After each index, `then` draws what else belongs to the row.
fn drawn_by_weight(
    weights: Tensor<2>,
    n: usize,
    noise: &mut Noise,
    mut then: impl FnMut(&mut Noise),
) -> Vec<usize> {
    let ([_, count], weights) = (weights.dims(), weights.into_data());
    let weights: Vec<f64> = weights.iter::<f64>().collect();
    let sums: Vec<Vec<f64>> = weights
        .chunks(count)
        .map(|row| {
            let mut total = 0.0;
            let sum = |weight: &f64| {
                total += weight;
                total
            };
            row.iter().map(sum).collect()
        })
        .collect();
    let pick = |row: usize| {
        let sums = &sums[row % sums.len()];
        // The last sum is 1 up to rounding. Scaling by it keeps a draw below the end.
        let at = noise.next_uniform() * sums[count - 1];
        then(noise);
        sums.partition_point(|&sum| sum <= at)
    };
    (0..n).map(pick).collect()
}

/// Returns an error unless an event has `D - 1` axes, a batch of rank `D` without its first axis.
pub(crate) fn check_rank<const D: usize>(config: &'static str, event: &[usize]) -> Result<()> {
    if event.len() + 1 == D {
        return Ok(());
    }
    let reason = format!("must have {} axes for batches of rank {D}, found {event:?}", D - 1);
    Err(Error::config(config, "event", reason))
}

/// Checks the event of a distribution, and that the context has one row for each event or one for all.
///
/// # Panics
///
/// If the event does not have the shape `expected`; the message names the distribution and both shapes.
#[track_caller]
pub(crate) fn check_event<const D: usize>(
    name: &str,
    expected: &[usize],
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
) {
    let found = callers_dims(x);
    check_rows(name, x.dims()[0], context);
    assert!(
        found[1..] == *expected,
        "{name}: expected an event of shape {expected:?} after the batch axis, found shape {found:?}"
    );
}

/// The least normal number of f32.
const LEAST_SCALE: f64 = f32::MIN_POSITIVE as f64;

/// Returns an error that names the argument unless every number is finite and above `least`.
fn finite<const D: usize>(
    name: &'static str,
    field: &'static str,
    values: &Tensor<D>,
    least: f64,
) -> Result<()> {
    let positive = least == 0.0;
    // The reciprocal of a smaller scale is infinite in f32.
    let fits = |v: &f64| v.is_finite() && if positive { *v >= LEAST_SCALE } else { *v > least };
    match values.clone().into_data().iter::<f64>().find(|v| !fits(v)) {
        None => Ok(()),
        Some(bad) => {
            let kind = match positive {
                true if bad > 0.0 && bad.is_finite() => "at least 1.2e-38",
                true => "positive and finite",
                false => "finite",
            };
            Err(Error::config(name, field, format!("must be {kind}, found {bad}")))
        }
    }
}

/// Checks a scale and a location, both `[1, event..]`. `field` is the name of the location in the
/// error.
///
/// # Panics
///
/// If the shapes differ, or their first axis is not 1.
#[track_caller]
fn check_location_and_scale<const D: usize>(
    name: &'static str,
    field: &'static str,
    location: &Tensor<D>,
    scale: &Tensor<D>,
) -> Result<()> {
    let (shape, found) = (location.dims(), scale.dims());
    assert!(shape[0] == 1, "{name}: expected a {field} of shape [1, event..], found {shape:?}");
    assert!(found == shape, "{name}: expected a scale of shape {shape:?}, found {found:?}");
    finite(name, field, location, f64::NEG_INFINITY)?;
    finite(name, "scale", scale, 0.0)
}

/// The shape `[n, event..]`.
pub(crate) fn batch_shape<const D: usize>(n: usize, event: &[usize]) -> [usize; D] {
    let mut shape = [n; D];
    shape[1..].copy_from_slice(event);
    shape
}

/// A log-density per element that is constant on its support and `-inf` outside. `x` enters with a
/// gradient of zero, so that a NaN stays NaN and the result stays in the autodiff graph of `x`.
fn on_support<const D: usize>(
    x: Tensor<D>,
    outside: Tensor<D, Bool>,
    log_density: Tensor<D>,
) -> Tensor<D> {
    let inside = x.mask_fill(outside.clone(), 0.0) * 0.0 + log_density;
    inside.mask_fill(outside, f64::NEG_INFINITY)
}
