//! Compares errors with their tolerances.

/// The comparisons of one file.
#[derive(Default)]
pub struct Report {
    checks: Vec<Check>,
    notes: Vec<String>,
    ratios: Vec<Ratio>,
}

/// An error in single precision, and the error of the library that made the file.
pub struct Ratio {
    pub what: String,
    pub error: f64,
    pub stated: f64,
}

impl Ratio {
    pub fn value(&self) -> f64 {
        self.error / self.stated
    }
}

struct Check {
    what: String,
    error: f64,
    tolerance: f64,
}

impl Report {
    /// Adds a comparison. A NaN fails.
    pub fn add(&mut self, what: impl Into<String>, error: f64, tolerance: f64) {
        self.checks.push(Check { what: what.into(), error, tolerance });
    }

    /// Adds a comparison of values. The tolerance is relative to the largest value, or to 1 if that
    /// is smaller.
    pub fn values(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        self.add(what, max_error(found, expected) / size(expected).max(1.0), tolerance);
    }

    /// Adds an error in single precision and the library's own error, for the summary.
    pub fn ratio(&mut self, what: &str, error: f64, stated: f64) {
        self.ratios.push(Ratio { what: what.into(), error, stated });
    }

    /// Adds a note for the reader of the report.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Returns the errors and the ratios in single precision, or the failed comparisons.
    pub fn conclude(self) -> Result<(String, Vec<Ratio>), String> {
        let fails = |check: &&Check| check.error.is_nan() || check.error > check.tolerance;
        let text = |check: &Check| format!("{} {:.0e}", check.what, check.error);
        let failed: Vec<String> = self
            .checks
            .iter()
            .filter(fails)
            .map(|check| format!("{} (allowed {:.0e})", text(check), check.tolerance))
            .collect();
        if !failed.is_empty() {
            return Err(failed.join("; "));
        }
        let all = self.checks.iter().map(text).chain(self.notes);
        Ok((all.collect::<Vec<_>>().join(", "), self.ratios))
    }
}

/// The largest absolute value.
pub fn size(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| most.max(v.abs()))
}

/// The largest difference. It is infinite if the lengths differ, and NaN if a value is NaN.
pub fn max_error(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    errors.fold(0.0, |most, error| if error.is_nan() || error > most { error } else { most })
}

/// The root mean square of the differences. It is infinite if the lengths differ, and NaN if a
/// value is NaN.
pub fn mean_error(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let squares = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2));
    (squares.sum::<f64>() / found.len().max(1) as f64).sqrt()
}
