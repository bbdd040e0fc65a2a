//! Sets every field of a configuration to extreme values.
//!
//! A configuration becomes a tree of numbers, texts and lists. A mutant differs from it in one
//! place. The trees are CBOR, because CBOR holds NaN and infinities and JSON does not.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_flows::Result;
use ciborium::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Counts: zero, a few, more than a small model should have, more than any memory holds.
pub const COUNTS: [u64; 10] =
    [0, 1, 2, 3, 7, LARGE, 1 << 32, 1 << 40, i64::MAX as u64 + 1, u64::MAX];

/// A size that may be valid but takes long to build. Only `validate` is called with it.
const LARGE: u64 = 1 << 16;

pub const NUMBERS: [f64; 18] = [
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.0,
    3.0,
    1.0 - 1e-16,
    1e-7,
    1e-30,
    1e-45,
    1e-300,
    5e-324,
    1e30,
    1e300,
    f64::MAX,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// The number of pairs of places that are changed together, in addition to every single place.
const PAIRS: u32 = 60;

/// The results for the mutants of one configuration.
#[derive(Debug, Default)]
pub struct Tally {
    pub refused: usize,
    pub built: usize,
    pub only_asked: usize,
    failures: Vec<String>,
}

/// Tests every mutant of `base` in one place, and some in two places. If `validate` accepts a
/// mutant, `build` must return finite numbers for it.
pub fn judge<C: Serialize + DeserializeOwned + Debug>(
    base: &C,
    validate: impl Fn(&C) -> Result<()>,
    build: impl Fn(&C) -> Vec<f64>,
) -> Tally {
    let mut tally = Tally::default();
    let whole = Value::serialized(base).unwrap();
    let mut attempt = |value: &Value| {
        let Ok(config) = value.deserialized::<C>() else {
            tally.refused += 1;
            return;
        };
        if std::env::var_os("HOSTILE_TRACE").is_some() {
            eprintln!("{config:?}");
        }
        let complaint = match catch_unwind(AssertUnwindSafe(|| validate(&config))) {
            Err(_) => Some("validate panicked".to_string()),
            Ok(Err(_)) => {
                tally.refused += 1;
                None
            }
            Ok(Ok(())) if has_large(value) => {
                tally.only_asked += 1;
                None
            }
            Ok(Ok(())) => {
                tally.built += 1;
                match catch_unwind(AssertUnwindSafe(|| build(&config))) {
                    Err(text) => Some(format!("panicked: {:?}", text.downcast_ref::<String>())),
                    Ok(numbers) => numbers
                        .iter()
                        .find(|v| !v.is_finite())
                        .map(|v| format!("validated, and gave {v}")),
                }
            }
        };
        tally.failures.extend(complaint.map(|text| format!("{text}: {config:?}")));
    };
    attempt(&whole);
    let single = mutants(&whole);
    single.iter().for_each(&mut attempt);
    let mut runner = TestRunner::deterministic();
    for _ in 0..PAIRS {
        let places = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
        let (first, second) = places.new_tree(&mut runner).unwrap().current();
        attempt(second.get(&mutants(first.get(&single))));
    }
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    tally
}

/// All trees that differ from `value` in one place.
fn mutants(value: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = match value {
        Value::Integer(_) => COUNTS.into_iter().map(Value::from).collect(),
        Value::Float(_) => NUMBERS.into_iter().map(Value::from).collect(),
        Value::Bool(set) => vec![Value::Bool(!set)],
        Value::Null => vec![Value::from(0), Value::from(f64::NAN), Value::from(u64::MAX)],
        Value::Text(_) => vec![Value::from("Nothing")],
        Value::Array(items) => {
            let doubled = items.iter().chain(items.last()).cloned().collect();
            vec![Value::Array(vec![]), Value::Array(doubled)]
        }
        _ => vec![],
    };
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                all.extend(mutants(item).into_iter().map(|item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                }));
            }
        }
        Value::Map(entries) => {
            for (at, (_, entry)) in entries.iter().enumerate() {
                all.extend(mutants(entry).into_iter().map(|entry| {
                    let mut entries = entries.clone();
                    entries[at].1 = entry;
                    Value::Map(entries)
                }));
            }
        }
        _ => {}
    }
    all
}

fn has_large(value: &Value) -> bool {
    match value {
        Value::Integer(number) => *number == LARGE.into(),
        Value::Array(items) => items.iter().any(has_large),
        Value::Map(entries) => entries.iter().any(|(_, entry)| has_large(entry)),
        _ => false,
    }
}
