//! The conformance suite checks the mathematics of a layer of this crate or of your own. [`certify`] measures the
//! errors of the layers of a trained density on real data.
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
//! The suite first moves all trainable parameters by seeded noise ([`moved`]), because a layer that starts as the
//! identity hides its mistakes. It then makes each [`Check`] on seeded data. If [`Bijector::init_from_data`] changes
//! the layer, the suite repeats the checks on the initialised layer. Events of 3 to 8 elements are enough: larger
//! events find no further mistakes, and the Jacobian costs one backward pass per element.
//!
//! [`Suite::compare`] tests another backend or precision: it measures the difference between the layer there and the
//! layer in f64.
//!
//! # Precision
//!
//! The suite runs in the precision of the layer, or in the default precision of the device for a layer without
//! parameters. Prefer f64, set by one line before the first tensor of the test process:
//! `Device::flex().configure(FloatDType::F64)`. Errors are relative to the expected number where the expected number
//! exceeds 1. The tolerances are:
//!
//! | | f64 | f32 |
//! | --- | --- | --- |
//! | round trips, cancelling log-dets | 1e-9 | 1e-3 |
//! | round trip far out | 1e-6 | 1e-2 |
//! | log-det against the Jacobian | 1e-10 | 1e-3 |
//! | one number computed in two ways | 1e-12 | 1e-5 |
//! | gradient against a finite difference | 1e-6 | not tried |
//! | output of a reloaded record, zeros of a triangular Jacobian | 0 | 0 |

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

/// Checks a layer on batches of a shape, or on a [`Suite`] with further settings.
///
/// # Panics
///
/// Panics if a check fails. The message lists all failed checks with the measured and the allowed error.
///
/// # Example
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

/// The setting of a check: the shape of the batches, the domain of the layer, and the declared properties.
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
#[must_use = "call `check` to run the suite"]
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
    /// Creates a suite with batches of this shape, for a layer that is defined on all real numbers and takes no
    /// context.
    ///
    /// # Panics
    ///
    /// Panics if the batch has fewer than two rows, or if an event has no element.
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

    /// Declares that latents have another shape than data, as after a squeeze.
    ///
    /// # Panics
    ///
    /// Panics if the latent shape has another number of rows or of elements than the data shape.
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

    /// Gives the layer a context of this width, which the layer must use.
    pub fn with_context(mut self, width: usize) -> Self {
        self.context = width;
        self
    }

    /// Draws data from the open interval `(low, high)` instead of the real line.
    pub fn with_domain(mut self, low: f64, high: f64) -> Self {
        self.domain = interval(low, high);
        self
    }

    /// Draws latents from the open interval `(low, high)` instead of the real line.
    pub fn with_range(mut self, low: f64, high: f64) -> Self {
        self.range = interval(low, high);
        self
    }

    /// Sets data values that must not give NaN, such as ends, knots and tails. The values may lie outside the domain.
    /// Zero, 1e4 and 1e-30 of both signs are always among them where the domain holds them.
    pub fn with_edges(mut self, values: &[f64]) -> Self {
        self.edges = values.to_vec();
        self
    }

    /// Sets latent values that must not give NaN.
    pub fn with_range_edges(mut self, values: &[f64]) -> Self {
        self.range_edges = values.to_vec();
        self
    }

    /// Sets the tolerance of round trips, for a layer with a numerical inverse. The tolerance of the Jacobian checks
    /// does not change.
    pub fn with_tolerance(mut self, round_trip: f64) -> Self {
        self.tolerance = Some(round_trip);
        self
    }

    /// Declares that element `order[k]` of `z`, counted in the flattened event, depends on the
    /// elements `order[0..=k]` of `x` only.
    ///
    /// # Panics
    ///
    /// Panics if `order` does not contain each element of an event once.
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

    /// Leaves a check out, for a layer that cannot have the checked property.
    pub fn without(mut self, check: Check) -> Self {
        self.without.push(check);
        self
    }

    /// Sets the device of a layer without parameters. A layer with parameters is checked on the device of its
    /// parameters.
    pub fn on(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    /// Sets the seed of the noise on the parameters, of the data and of the context.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes all checks. Parameters that are not trained keep their values.
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
    /// Calls [`Suite::new`].
    fn from(shape: [usize; D]) -> Self {
        Self::new(shape)
    }
}

fn interval(low: f64, high: f64) -> Interval {
    assert!(low < high, "Suite: expected an interval with low < high, found ({low}, {high})");
    Interval { low, high }
}

/// The values of a tensor as f64.
fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The name of a type without its modules: `Vec<Coupling<Affine, Mlp>>`.
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
