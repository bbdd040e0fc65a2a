//! One run of the suite: a layer, its inputs, and the table of checks.

use burn::tensor::{DType, Tensor};

use super::draw::Source;
use super::probe::{Worst, caught};
use super::report::{Check, Finding, SuiteReport};
use super::subject::{Layer, Subject};
use super::{Suite, host};
use crate::noise::Noise;

/// Scales of the rows far from the origin. In f32, a scale of a thousand leaves no digit beyond the second.
const FAR: [f64; 3] = [10.0, 100.0, 1000.0];
const FAR_F32: [f64; 2] = [10.0, 30.0];

/// The tolerated difference between a gradient and a finite difference, in f64 only: in f32 a finite difference has two
/// correct digits.
const DERIVATIVE: f64 = 1e-6;

/// The tolerances of a precision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    pub round_trip: f64,
    pub far: f64,
    pub log_det: f64,
    pub same: f64,
}

impl Tolerance {
    const F64: Self = Self { round_trip: 1e-9, far: 1e-6, log_det: 1e-10, same: 1e-12 };
    pub const F32: Self = Self { round_trip: 1e-3, far: 1e-2, log_det: 1e-3, same: 1e-5 };

    fn of(dtype: DType, round_trip: Option<f64>) -> Self {
        let usual = if dtype == DType::F64 { Self::F64 } else { Self::F32 };
        match round_trip {
            Some(t) => Self { round_trip: t, far: t.max(usual.far), ..usual },
            None => usual,
        }
    }
}

/// A layer, moved away from its initial weights, and the inputs on which it is checked.
pub(super) struct Run<'a, const D: usize> {
    pub suite: &'a Suite<D>,
    /// The layer in evaluation state.
    pub plain: Layer<D>,
    pub source: Source,
    pub tolerance: Tolerance,
    pub x: Tensor<D>,
    pub other_x: Tensor<D>,
    pub z: Tensor<D>,
    pub other_z: Tensor<D>,
    pub context: Option<Tensor<2>>,
    pub other_context: Option<Tensor<2>>,
    initialized: bool,
}

impl<'a, const D: usize> Run<'a, D> {
    pub fn new(suite: &'a Suite<D>, layer: &dyn Subject<D>, initialized: bool) -> Self {
        let plain = layer.evaluated();
        let params = plain.walk(None);
        let device = params.first().map(|p| p.device.clone()).or_else(|| suite.device.clone());
        let device = device.unwrap_or_default().without_autodiff();
        let dtype = params.iter().find_map(|p| p.dtype);
        let dtype = dtype.unwrap_or_else(|| Tensor::<1>::zeros([1], &device).dtype());
        let noise = Noise::stream(suite.seed, 1 + u64::from(initialized));
        let mut source = Source { device, dtype, noise };
        let mut context = || {
            let shape = [suite.shape[0], suite.context];
            (suite.context > 0).then(|| source.normal(shape))
        };
        let (context, other_context) = (context(), context());
        Self {
            suite,
            plain,
            tolerance: Tolerance::of(source.dtype, suite.tolerance),
            x: source.batch(suite.shape, suite.domain),
            other_x: source.batch(suite.shape, suite.domain),
            z: source.batch(suite.latent_shape, suite.range),
            other_z: source.batch(suite.latent_shape, suite.range),
            context,
            other_context,
            source,
            initialized,
        }
    }

    /// Runs the first check, which the other checks rely on.
    pub fn shapes(&self, report: &mut SuiteReport) -> bool {
        self.one(report, Check::Shapes, 0.0, || Some(self.check_shapes()))
    }

    /// Checks the initialisation from data, and returns the initialised layer if it differs.
    pub fn initialization(&self, report: &mut SuiteReport) -> Option<Layer<D>> {
        let mut changed = None;
        let check = || {
            let (worst, layer) = self.check_init_from_data();
            changed = layer;
            Some(worst)
        };
        self.one(report, Check::InitFromData, self.tolerance.same, check);
        changed
    }

    /// Runs all other checks.
    pub fn laws(&self, report: &mut SuiteReport) {
        let Tolerance { round_trip, far, log_det, same } = self.tolerance;
        type Law<'a, const D: usize> = fn(&Run<'a, D>) -> Option<Worst>;
        let laws: [(Check, f64, Law<'a, D>); 24] = [
            (Check::Finite, 0.0, |run| Some(run.check_finite())),
            (Check::RoundTrip, round_trip, |run| Some(run.check_round_trip())),
            (Check::RoundTripLatent, round_trip, |run| Some(run.check_round_trip_latent())),
            (Check::RoundTripFar, far, Self::check_round_trip_far),
            (Check::InverseAgrees, same, |run| Some(run.check_inverse_agrees())),
            (Check::LogDetAgrees, same, |run| Some(run.check_log_det_agrees())),
            (Check::LogDetsCancel, round_trip, |run| Some(run.check_log_dets_cancel())),
            (Check::Jacobian, log_det, |run| Some(run.check_jacobian())),
            (Check::InverseJacobian, log_det, |run| Some(run.check_inverse_jacobian())),
            (Check::Triangular, 0.0, Self::check_triangular),
            (Check::RowsIndependent, same, |run| Some(run.check_rows_independent())),
            (Check::BatchOfOne, same, |run| Some(run.check_batch_of_one())),
            (Check::Derivative, DERIVATIVE, Self::check_derivative),
            (Check::Edges, 0.0, |run| Some(run.check_edges())),
            (Check::NonFinite, 0.0, |run| Some(run.check_non_finite())),
            (Check::Overflow, 0.0, Self::check_overflow),
            (Check::Gradients, 0.0, |run| Some(run.check_gradients())),
            (Check::Record, 0.0, |run| Some(run.check_record())),
            (Check::Valid, same, Self::check_valid),
            (Check::Precision, Tolerance::F32.round_trip, Self::check_precision),
            (Check::ContextUsed, 0.0, Self::check_context_used),
            (Check::ContextWidth, 0.0, Self::check_context_width),
            (Check::EventWidth, 0.0, Self::check_event_width),
            (Check::Walk, same, |run| Some(run.check_walk())),
        ];
        for (check, allowed, law) in laws {
            self.one(report, check, allowed, || law(self));
        }
    }

    /// Runs one check and records its result. A panic counts as a failure. Returns `true` unless the check failed.
    fn one(
        &self,
        report: &mut SuiteReport,
        check: Check,
        allowed: f64,
        law: impl FnOnce() -> Option<Worst>,
    ) -> bool {
        if self.suite.without.contains(&check) {
            return true;
        }
        let worst = match caught(law) {
            Ok(None) => return true,
            Ok(Some(worst)) => worst,
            Err(text) => Worst::failed(format!("panicked: {}", text.trim())),
        };
        let (measured, note, initialized) = (worst.value, worst.note, self.initialized);
        let finding = Finding { check, initialized, measured, allowed, note };
        let ok = finding.is_ok();
        report.push(finding);
        ok
    }

    /// The [`outputs`] of the evaluated layer on the draws.
    pub fn expected(&self) -> [Vec<f64>; 3] {
        outputs(&*self.plain, self.x.clone(), self.z.clone(), self.context.as_ref())
    }

    /// A batch far from the origin, or `None` if the domain is bounded on both sides.
    pub fn far(&self) -> Option<Tensor<D>> {
        let sizes: &[f64] = if self.source.dtype == DType::F64 { &FAR } else { &FAR_F32 };
        let Suite { shape, domain, .. } = *self.suite;
        (!domain.is_bounded()).then(|| self.source.clone().sized(shape, domain, sizes))
    }

    /// A context for a batch of another size.
    pub fn context_of(&self, rows: usize) -> Option<Tensor<2>> {
        let width = self.suite.context;
        (width > 0).then(|| self.source.clone().normal([rows, width]))
    }

    /// Latents and log-determinants of the evaluated layer, as f64 values.
    pub fn forward(&self, x: &Tensor<D>, context: Option<&Tensor<2>>) -> (Vec<f64>, Vec<f64>) {
        let (z, log_det) = self.plain.forward(x.clone(), context);
        (host(z), host(log_det))
    }

    /// The number of elements of an event.
    pub fn elements(&self) -> usize {
        self.suite.shape[1..].iter().product()
    }
}

/// The names of [`outputs`].
pub(super) const OUTPUTS: [&str; 3] = ["z", "log-det", "x of inverse"];

/// The outputs of a layer as f64 values: latents and log-determinants of `x`, and data of `z`.
pub(super) fn outputs<const D: usize>(
    layer: &dyn Subject<D>,
    x: Tensor<D>,
    z: Tensor<D>,
    context: Option<&Tensor<2>>,
) -> [Vec<f64>; 3] {
    let (latent, log_det) = layer.forward(x, context);
    [host(latent), host(log_det), host(layer.inverse(z, context))]
}
