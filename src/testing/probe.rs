//! Measures errors and catches panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`. If `f` panics, `Err` holds the message, which is not printed.
pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // One hook for the whole process asks the panicking thread whether to print. A hook that is swapped around each
    // call would hide the panics of other threads.
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    result.map_err(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"panicked").to_string(),
    })
}

/// Whether a panic message has the form `Layer: expected .., found ..`, with this word after `found`.
pub(super) fn names_layer_and_shapes(text: &str, found: &str) -> bool {
    let Some((before, after)) = text.split_once(": expected ") else { return false };
    let name = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let mut words =
        after.split_once("found").unwrap_or_default().1.split(|c: char| !c.is_alphanumeric());
    named && words.any(|word| word == found)
}

/// The largest error so far, or the number of violations.
#[derive(Debug, Default)]
pub(super) struct Worst {
    pub value: f64,
    pub note: String,
}

impl Worst {
    /// The result if nothing could be measured.
    pub fn failed(note: String) -> Self {
        Self { value: f64::INFINITY, note }
    }

    /// Compares numbers, relative to the expected number where it exceeds 1. Equal infinities agree; NaN agrees with
    /// nothing.
    pub fn compare(&mut self, what: &str, found: &[f64], expected: &[f64]) {
        if found.len() != expected.len() {
            let note = format!("{what}: {} values, expected {}", found.len(), expected.len());
            return self.keep(f64::INFINITY, note);
        }
        for (at, (f, e)) in found.iter().zip(expected).enumerate() {
            let error = if f == e { 0.0 } else { (f - e).abs() / e.abs().max(1.0) };
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > self.value {
                self.keep(error, format!("{what}[{at}]: {f:.6e}, expected {e:.6e}"));
            }
        }
    }

    /// Counts one violation.
    pub fn violation(&mut self, note: impl Into<String>) {
        self.value += 1.0;
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(&note.into());
    }

    fn keep(&mut self, value: f64, note: String) {
        (self.value, self.note) = (value, note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_finds_the_largest_error_and_its_place() {
        let mut worst = Worst::default();
        worst.compare("a", &[1.0, -1e6], &[1.5, -1e6 + 1.0]);
        assert_eq!(
            (worst.value, worst.note.as_str()),
            (0.5 / 1.5, "a[0]: 1.000000e0, expected 1.500000e0")
        );
        let infinite = [f64::INFINITY, f64::NEG_INFINITY];
        let measure = |found: &[f64], expected: &[f64]| {
            let mut worst = Worst::default();
            worst.compare("b", found, expected);
            worst.value
        };
        assert_eq!(measure(&infinite, &infinite), 0.0);
        assert_eq!(measure(&[f64::NAN], &[f64::NAN]), f64::INFINITY);
        assert_eq!(measure(&[f64::INFINITY], &[1.0]), f64::INFINITY);
        assert_eq!(measure(&[1.0], &[f64::INFINITY]), f64::INFINITY);
        assert_eq!(measure(&[1.0, 2.0], &[1.0]), f64::INFINITY);
    }

    #[test]
    fn texts_of_the_documented_form_only() {
        let says = |text| names_layer_and_shapes(text, "4");
        assert!(says("ActNorm: expected shape [batch, 3], found [2, 4]"));
        assert!(says("assertion failed: Mlp: expected an input of width 3, found shape [2, 4]"));
        assert!(!says("expected shape [batch, 3], found [2, 4]"));
        assert!(!says("ActNorm: expected shape [batch, 4], found [2, 14]"));
        assert!(!says("index out of bounds"));
    }

    #[test]
    fn a_panic_is_caught_with_its_text() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| -> usize { panic!("plain") }), Err("plain".to_string()));
        assert_eq!(caught(|| -> usize { panic!("number {}", 1) }), Err("number 1".to_string()));
    }
}
