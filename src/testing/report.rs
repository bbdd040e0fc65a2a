//! The results of the suite.

use std::fmt;

/// A property that a bijector must have.
///
/// [`Suite::without`](super::Suite::without) leaves a check out, for a layer that cannot have the property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// `z` has the shape and precision of `x`, and a log-determinant has the shape `[batch]`. If this check fails, no
    /// further check runs.
    Shapes,
    /// Ordinary data give finite numbers in both directions.
    Finite,
    /// `inverse(forward(x)) = x`.
    RoundTrip,
    /// `forward(inverse(z)) = z`.
    RoundTripLatent,
    /// `inverse(forward(x)) = x` at 10 to 1000 times the usual scale (10 to 30 times in f32). Skipped if the domain is
    /// bounded on both sides.
    RoundTripFar,
    /// `inverse_with_log_det` and `inverse` give equal `x`.
    InverseAgrees,
    /// `log_det_jacobian` and `forward` give equal log-determinants.
    LogDetAgrees,
    /// The log-determinants of the two directions add up to zero.
    LogDetsCancel,
    /// The log-determinant of `forward` equals `ln |det|` of the Jacobian from automatic differentiation.
    Jacobian,
    /// The log-determinant of `inverse_with_log_det` equals `ln |det|` of the Jacobian from automatic differentiation.
    /// Variational inference needs this gradient.
    InverseJacobian,
    /// The gradients of a random loss of `z` and the log-determinant agree with finite differences, for `x` and all
    /// parameters. An extra `detach` fails this check and passes every other check.
    Derivative,
    /// The result of a row does not change when all other rows and their contexts change. The check covers the
    /// evaluated layer. It also covers the training layer unless [`mixes_rows`](crate::bijector::Bijector::mixes_rows)
    /// returns true.
    RowsIndependent,
    /// A batch of one row gives the result that the row has in a larger batch.
    BatchOfOne,
    /// Each trainable parameter gets a finite, nonzero gradient of a random loss of `z` and the log-determinant. In a
    /// network of few rectifiers all may be inactive by chance: widen the network, or choose another seed.
    Gradients,
    /// A record that is saved, and loaded over other numbers, gives bit-identical output. A record contains only
    /// parameters and running states; it does not contain a `Flag`, for example.
    Record,
    /// `valid()` gives the numbers of the training layer, unless [`mixes_rows`](crate::bijector::Bijector::mixes_rows)
    /// returns true. Build a layer with dropout without its dropout for this check.
    Valid,
    /// A layer whose parameters are cast from f64 to f32, or from f32 to f64, computes in the new precision. A tensor
    /// outside a parameter, or a tensor created in the default precision, fails this check.
    Precision,
    /// [`init_from_data`](crate::bijector::Bijector::init_from_data) returns a layer and the latents that this layer
    /// computes. A second call changes nothing.
    InitFromData,
    /// A different context gives a different result.
    ContextUsed,
    /// A context that is too wide or missing causes a panic. The message names the layer, the expected width and the
    /// found width.
    ContextWidth,
    /// An event of another shape causes a panic. The message names the layer, the expected shape and the found shape. A
    /// layer for every width accepts every width.
    EventWidth,
    /// Elements of `z` depend only on earlier elements of `x`, in the order declared by
    /// [`Suite::autoregressive`](super::Suite::autoregressive).
    Triangular,
    /// Zero, huge, tiny and declared values never give NaN in results or gradients. `z` is finite, and a
    /// log-determinant is finite or minus infinity.
    Edges,
    /// A row with an element that is NaN or infinite has no density: `z` has an element that is not finite, or the
    /// log-determinant is NaN or minus infinity. The other rows keep their numbers, in both directions.
    NonFinite,
    /// An element of 1e30, whose square overflows f32, gives no NaN. Its log-density may be minus infinity, because the
    /// density is almost zero. Skipped if 1e30 is outside the domain.
    Overflow,
    /// [`walk`](crate::bijector::Bijector::walk) reproduces `forward`. Its log-determinants add up, and its paths are
    /// the paths of the float parameters.
    Walk,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::Finite => "finite numbers",
            Self::RoundTrip => "inverse(forward(x)) = x",
            Self::RoundTripLatent => "forward(inverse(z)) = z",
            Self::RoundTripFar => "inverse(forward(x)) = x far from 0",
            Self::InverseAgrees => "inverse_with_log_det agrees with inverse",
            Self::LogDetAgrees => "log_det_jacobian agrees with forward",
            Self::LogDetsCancel => "log-dets of both directions cancel",
            Self::Jacobian => "log-det = ln |det J|",
            Self::InverseJacobian => "inverse log-det = ln |det J| of the inverse",
            Self::Derivative => "gradients agree with finite differences",
            Self::RowsIndependent => "rows do not depend on each other",
            Self::BatchOfOne => "batch of one row",
            Self::Gradients => "every parameter gets a gradient",
            Self::Record => "record saved and loaded",
            Self::Valid => "valid() gives the training numbers",
            Self::Precision => "cast to the other precision",
            Self::InitFromData => "init_from_data returns the latents, changes once",
            Self::ContextUsed => "context changes the result",
            Self::ContextWidth => "wrong context panics with the documented text",
            Self::EventWidth => "wrong event panics with the documented text",
            Self::Triangular => "Jacobian triangular in the declared order",
            Self::Edges => "edge values give no NaN",
            Self::NonFinite => "non-finite rows have no density",
            Self::Overflow => "1e30 gives no NaN",
            Self::Walk => "walk reproduces forward",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The result of one [`Check`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// The property that was checked.
    pub check: Check,
    /// Whether the check ran after [`init_from_data`](crate::bijector::Bijector::init_from_data) had changed the layer.
    pub initialized: bool,
    /// The largest error, relative to the expected number where the expected number exceeds 1, or a count of
    /// violations. Infinite if something panicked or gave NaN.
    pub measured: f64,
    /// The largest error that passes.
    pub allowed: f64,
    /// The position of the largest error, or a message.
    pub note: String,
}

impl Finding {
    /// Whether the measured error is at most the allowed error.
    pub fn is_ok(&self) -> bool {
        self.measured <= self.allowed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, measured, allowed, note, .. } = self;
        let verdict = if self.is_ok() { "ok" } else { "FAILED" };
        write!(f, "{verdict:6} {measured:>8.1e} of {allowed:<5.0e} {}", check.name())?;
        if self.initialized {
            write!(f, ", after init_from_data")?;
        }
        if self.is_ok() || note.is_empty() { Ok(()) } else { write!(f, ": {note}") }
    }
}

/// The result of [`Suite::check`](super::Suite::check); prints as a table of measured and allowed errors.
#[derive(Debug, Clone)]
#[must_use = "a report by itself fails no test: call `assert_ok`"]
pub struct SuiteReport {
    title: String,
    findings: Vec<Finding>,
}

impl SuiteReport {
    pub(super) fn new(title: String) -> Self {
        Self { title, findings: Vec::new() }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// All checks that were made, in order; the checks after `init_from_data` come last.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The checks that failed, each listed once.
    pub fn failed(&self) -> Vec<Check> {
        let mut failed = Vec::new();
        for finding in self.findings.iter().filter(|f| !f.is_ok()) {
            if !failed.contains(&finding.check) {
                failed.push(finding.check);
            }
        }
        failed
    }

    /// Panics with a list of the failed checks, if any failed.
    ///
    /// # Panics
    ///
    /// Panics if a check failed.
    #[track_caller]
    pub fn assert_ok(&self) {
        let failed: Vec<String> =
            self.findings.iter().filter(|f| !f.is_ok()).map(|f| format!("\n  {f}")).collect();
        let (count, of) = (failed.len(), self.findings.len());
        assert!(count == 0, "{}: {count} of {of} checks failed{}", self.title, failed.concat());
    }
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}
