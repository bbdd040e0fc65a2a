//! The conformance suite: mathematics checks a layer, this crate's or your own. And [`certify`]: what the
//! layers of a trained density lose on real data.
//!
//! ```
//! use burn::{module::{Module, Param}, tensor::{Device, Tensor}};
//! use burn_flows::{bijector::Bijector, testing};
//!
//! /// `z = x * exp(s)`, one `s` per feature.
//! #[derive(Module, Debug)]
//! struct Scale { log_scale: Param<Tensor<1>> }
//!
//! impl Bijector<2> for Scale {
//!     fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
//!         let s = self.log_scale.val();
//!         let ([batch, found], [expected]) = (x.dims(), s.dims());
//!         assert!(found == expected, "Scale: expected width {expected}, found {found}");
//!         (x * s.clone().exp().unsqueeze(), s.sum().expand([batch]))
//!     }
//!     fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
//!         let s = self.log_scale.val();
//!         let (found, [expected]) = (z.dims()[1], s.dims());
//!         assert!(found == expected, "Scale: expected width {expected}, found {found}");
//!         z * s.neg().exp().unsqueeze()
//!     }
//! }
//!
//! let log_scale = Param::from_tensor(Tensor::zeros([3], &Device::flex()));
//! testing::check(Scale { log_scale }, [4, 3]); // panics with a list of what is wrong
//! ```
//!
//! # What happens
//!
//! Every trainable parameter is first moved by seeded noise ([`moved`]), since a layer that starts
//! as the identity hides its mistakes. Then every [`Check`] is made on seeded data, and, where
//! [`Bijector::init_from_data`] changes the layer, once more on the initialised one. Sizes of 3 to
//! 8 elements per event find what larger ones find, and the Jacobian costs one backward pass per
//! element.
//!
//! [`Suite::compare`] is for another backend or precision: it measures how far the same layer is from f64 there.
//!
//! # Precision
//!
//! The layer's own, or the device's default. Prefer f64, one line before the first tensor of the
//! test process: `Device::flex().configure(FloatDType::F64)`. Errors are relative to the expected
//! number where that exceeds 1. What passes:
//!
//! | | f64 | f32 |
//! | --- | --- | --- |
//! | round trips, cancelling log-dets | 1e-9 | 1e-3 |
//! | round trip far out | 1e-6 | 1e-2 |
//! | log-det against the Jacobian | 1e-10 | 1e-3 |
//! | the same number by two ways | 1e-12 | 1e-5 |
//! | gradient against a finite difference | 1e-6 | not tried |
//! | record, triangle | 0 | 0 |

mod certify;
mod compare;
mod conduct;
mod draw;
mod extremes;
mod gradients;
mod laws;
mod params;
mod probe;
mod report;
mod run;
mod subject;

pub use certify::{Certificate, LayerCertificate, certify};
pub use compare::Comparison;
pub use params::moved;
pub use report::{Check, Finding, SuiteReport};

use std::any::type_name;

use burn::tensor::{Device, Tensor};

use crate::bijector::Bijector;
use draw::Interval;
use run::Run;
use subject::{Subject, forget};

/// Checks a layer on batches of a shape, or on a [`Suite`] that knows more about it.
///
/// # Panics
///
/// If a check fails; the text lists all that failed, with the error measured and allowed.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{bijector::{Exp, LuLinearConfig}, testing::{self, Suite}};
///
/// testing::check(LuLinearConfig::new(3).init(&Device::flex()), [4, 3]);
/// testing::check(Exp {}, Suite::new([4, 3]).with_domain(-9.0, 9.0).with_range(0.0, 9.0));
/// ```
#[track_caller]
pub fn check<const D: usize, B: Bijector<D> + 'static>(layer: B, suite: impl Into<Suite<D>>) {
    suite.into().check(layer).assert_ok();
}

/// What a layer is checked on: the shape of its batches, where it is defined, what it declares.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{bijector::Logit, testing::Suite};
///
/// let report = Suite::new([4, 3])
///     .with_domain(0.0, 1.0) // forward takes the open interval ..
///     .with_edges(&[-1.0, 0.0, 1.0]) // .. and must not give NaN here
///     .check(Logit::new(0.0)?);
/// assert!(report.failed().is_empty(), "{report}");
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "`check` runs it"]
pub struct Suite<const D: usize> {
    shape: [usize; D],
    latent_shape: [usize; D],
    context: usize,
    domain: Interval,
    range: Interval,
    edges: Vec<f64>,
    range_edges: Vec<f64>,
    tolerance: Option<f64>,
    order: Option<Vec<usize>>,
    without: Vec<Check>,
    device: Option<Device>,
    seed: u64,
}

impl<const D: usize> Suite<D> {
    /// A suite of batches of this shape, for a layer on the whole line, without a context.
    ///
    /// # Panics
    ///
    /// If the batch has fewer than two rows, or an event no element.
    pub fn new(shape: [usize; D]) -> Self {
        assert!(shape[0] > 1, "Suite: expected a batch of at least 2 rows, found shape {shape:?}");
        assert!(!shape.contains(&0), "Suite: expected events with elements, found shape {shape:?}");
        Self {
            shape,
            latent_shape: shape,
            context: 0,
            domain: Interval::LINE,
            range: Interval::LINE,
            edges: Vec::new(),
            range_edges: Vec::new(),
            tolerance: None,
            order: None,
            without: Vec::new(),
            device: None,
            seed: 0,
        }
    }

    /// Declares that latents have another shape than data, as behind a squeeze.
    ///
    /// # Panics
    ///
    /// If it has another number of rows, or of elements.
    pub fn with_latent_shape(mut self, shape: [usize; D]) -> Self {
        let count = |shape: [usize; D]| (shape[0], shape.iter().product::<usize>());
        assert!(
            count(shape) == count(self.shape),
            "Suite: expected a latent shape of as many rows and elements as {:?}, found {shape:?}",
            self.shape
        );
        self.latent_shape = shape;
        self
    }

    /// Gives the layer a context of this width, which it must use.
    pub fn with_context(mut self, width: usize) -> Self {
        self.context = width;
        self
    }

    /// Draws data from the open interval `(low, high)` instead of the line.
    pub fn with_domain(mut self, low: f64, high: f64) -> Self {
        self.domain = interval(low, high);
        self
    }

    /// Draws latents from the open interval `(low, high)` instead of the line.
    pub fn with_range(mut self, low: f64, high: f64) -> Self {
        self.range = interval(low, high);
        self
    }

    /// Data values, inside the domain or not, that must not give NaN: ends, knots, tails. Zero,
    /// 1e4 and 1e-30 of both signs are always among them where the domain holds them.
    pub fn with_edges(mut self, values: &[f64]) -> Self {
        self.edges = values.to_vec();
        self
    }

    /// The same for latents.
    pub fn with_range_edges(mut self, values: &[f64]) -> Self {
        self.range_edges = values.to_vec();
        self
    }

    /// What round trips may miss, for a layer whose inverse is found numerically. The checks
    /// against the Jacobian stay as they are.
    pub fn with_tolerance(mut self, round_trip: f64) -> Self {
        self.tolerance = Some(round_trip);
        self
    }

    /// Declares that element `order[k]` of `z`, counted in the flattened event, depends on the
    /// elements `order[0..=k]` of `x` only.
    ///
    /// # Panics
    ///
    /// If `order` does not hold every element of an event once.
    pub fn autoregressive(mut self, order: &[usize]) -> Self {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        let elements: usize = self.shape[1..].iter().product();
        assert!(
            sorted.into_iter().eq(0..elements),
            "Suite: expected an order of {elements} elements, found {order:?}"
        );
        self.order = Some(order.to_vec());
        self
    }

    /// Leaves a check out, for a layer that cannot have the property.
    pub fn without(mut self, check: Check) -> Self {
        self.without.push(check);
        self
    }

    /// The device of a layer without parameters; others are checked where they are.
    pub fn on(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    /// Another seed for the noise on the parameters, the data and the context.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes every check. Parameters that are not trained stay as they are.
    pub fn check<B: Bijector<D> + 'static>(&self, layer: B) -> SuiteReport {
        let name = short_name(type_name::<B>());
        self.check_any(&name, &*forget(moved(layer, self.seed)))
    }

    fn check_any(&self, name: &str, layer: &dyn Subject<D>) -> SuiteReport {
        let run = Run::new(self, layer, false);
        let mut report =
            SuiteReport::new(format!("{name} on {:?} in {:?}", self.shape, run.source.dtype));
        if !run.shapes(&mut report) {
            return report;
        }
        run.laws(&mut report);
        if let Some(initialized) = run.initialization(&mut report) {
            Run::new(self, &*initialized, true).laws(&mut report);
        }
        report
    }
}

impl<const D: usize> From<[usize; D]> for Suite<D> {
    /// [`Suite::new`].
    fn from(shape: [usize; D]) -> Self {
        Self::new(shape)
    }
}

fn interval(low: f64, high: f64) -> Interval {
    assert!(low < high, "Suite: expected an interval, found ({low}, {high})");
    Interval { low, high }
}

/// The numbers of a tensor.
fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// A type's name without its modules: `Vec<Coupling<Affine, Mlp>>`.
fn short_name(full: &str) -> String {
    let words = full.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.map(|word| word.rsplit("::").next().unwrap_or(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::short_name;

    #[test]
    fn names_lose_their_modules() {
        assert_eq!(short_name("a::b::C<a::D, (e::F, alloc::vec::Vec<g::H>)>"), "C<D, (F, Vec<H>)>");
    }
}
