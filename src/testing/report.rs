//! What the suite found.

use std::fmt;

/// One property that every bijector has.
///
/// [`Suite::without`](super::Suite::without) leaves one out, for a layer that cannot have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// `z` has the shape and precision of `x`, a log-determinant is `[batch]`. Where it fails,
    /// nothing else is tried.
    Shapes,
    /// Ordinary data give finite numbers in both directions.
    Finite,
    /// `inverse(forward(x)) = x`.
    RoundTrip,
    /// `forward(inverse(z)) = z`.
    RoundTripLatent,
    /// `inverse(forward(x)) = x` at 10 to 1000 times the usual size (10 to 30 times in f32). Not
    /// tried where the domain is bounded on both sides.
    RoundTripFar,
    /// `inverse_with_log_det` gives the `x` of `inverse`.
    InverseAgrees,
    /// `log_det_jacobian` gives the log-determinant of `forward`.
    LogDetAgrees,
    /// The log-determinants of the two directions add up to zero.
    LogDetsCancel,
    /// The log-determinant is that of the Jacobian which automatic differentiation finds.
    Jacobian,
    /// The same for `inverse_with_log_det`: variational inference needs this gradient.
    InverseJacobian,
    /// The gradients of a random loss of `z` and the log-determinant, in `x` and in every
    /// parameter, agree with finite differences. A `detach` too many passes every other check.
    Derivative,
    /// A row's result stays when all other rows, and their contexts, change: of the evaluated
    /// layer, and of the training one unless it says [`mixes_rows`](crate::bijector::Bijector::mixes_rows).
    RowsIndependent,
    /// A batch of one row gives what the row gives among others.
    BatchOfOne,
    /// Every trainable parameter gets a finite, nonzero gradient of a random loss of `z` and the
    /// log-determinant. In a network of few rectifiers all may be dead by chance: widen it, or take
    /// another seed.
    Gradients,
    /// A record saved, and loaded over other numbers, gives the same output bit for bit. What is
    /// neither a parameter nor a running state is not in a record: a `Flag`, for one.
    Record,
    /// `valid()` gives the numbers of the training layer, unless it says
    /// [`mixes_rows`](crate::bijector::Bijector::mixes_rows). Build a layer with dropout without it.
    Valid,
    /// With its parameters cast to the other of f32 and f64, the layer computes in that precision.
    /// A tensor that is not in a parameter, or is made in the default precision, fails here.
    Precision,
    /// [`init_from_data`](crate::bijector::Bijector::init_from_data) returns the latents that the
    /// layer it returns computes, and a second call changes nothing.
    InitFromData,
    /// Another context gives another result.
    ContextUsed,
    /// A context too wide, or none, panics with a text that names the layer and what was expected
    /// and found.
    ContextWidth,
    /// An event of another shape panics with a text that names the layer, the expected and the
    /// found shape; a layer for every width takes every width.
    EventWidth,
    /// Elements depend on earlier ones only, in the order that
    /// [`Suite::autoregressive`](super::Suite::autoregressive) declares.
    Triangular,
    /// Zero, huge, tiny and declared values never give NaN, in results or gradients; `z` is
    /// finite, a log-determinant finite or minus infinity.
    Edges,
    /// An element that is NaN or infinite leaves its row without a density: something that is not
    /// finite in `z`, or a log-determinant of NaN or minus infinity. The other rows keep their
    /// numbers, in both directions.
    NonFinite,
    /// An element of 1e30, whose square leaves f32, gives no NaN: minus infinity at the most
    /// extreme, of a density that is almost zero. Not tried where it is outside the domain.
    Overflow,
    /// [`walk`](crate::bijector::Bijector::walk) reproduces `forward`, its log-determinants add
    /// up, and its paths are those of the float parameters.
    Walk,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::Finite => "finite numbers",
            Self::RoundTrip => "inverse(forward(x)) = x",
            Self::RoundTripLatent => "forward(inverse(z)) = z",
            Self::RoundTripFar => "inverse(forward(x)) = x far out",
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
            Self::InitFromData => "init_from_data returns its latents, once",
            Self::ContextUsed => "context changes the result",
            Self::ContextWidth => "wrong context panics with its text",
            Self::EventWidth => "wrong event panics with its text",
            Self::Triangular => "Jacobian triangular in the declared order",
            Self::Edges => "edge values give no NaN",
            Self::NonFinite => "what is not finite has no density",
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
    /// What was checked.
    pub check: Check,
    /// Whether it was checked after [`init_from_data`](crate::bijector::Bijector::init_from_data)
    /// had changed the layer.
    pub initialized: bool,
    /// The largest error: relative to the expected number where that exceeds 1, or a count of
    /// violations. Infinite where something panicked or gave NaN.
    pub measured: f64,
    /// The largest error that passes.
    pub allowed: f64,
    /// Where the largest error is, or what was said.
    pub note: String,
}

impl Finding {
    /// Whether the error is within what is allowed.
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

/// What [`Suite::check`](super::Suite::check) found; prints as a table of the errors measured, of
/// those allowed.
#[derive(Debug, Clone)]
#[must_use = "a report by itself fails no test: `assert_ok` does"]
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

    /// Every check that was made, in order; those after `init_from_data` last.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The checks that failed, each once.
    pub fn failed(&self) -> Vec<Check> {
        let mut failed = Vec::new();
        for finding in self.findings.iter().filter(|f| !f.is_ok()) {
            if !failed.contains(&finding.check) {
                failed.push(finding.check);
            }
        }
        failed
    }

    /// Panics with the failed checks, if any.
    ///
    /// # Panics
    ///
    /// If a check failed.
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
