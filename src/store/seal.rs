//! The checksum inside a file, and the label that holds it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The one format version that this crate writes and reads.
const VERSION: u32 = 1;

/// The text before the digits of a checksum.
const MARK: &str = "burn-flows-sha256:";

/// The placeholder for the 64 digits while the checksum is computed.
const BLANK: [u8; 64] = [b'0'; 64];

/// The metadata of a file, under the name [`Label::KEY`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Label {
    checksum: String,
    version: u32,
    #[serde(rename = "crate")]
    writer: String,
    /// Identities of the parameters, for a format that cannot store them with the tensors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) param_ids: BTreeMap<String, u64>,
    /// The description of the model if the file holds weights, null otherwise.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) model: Value,
}

impl Label {
    pub(super) const KEY: &str = "burn-flows";

    /// A label that is not sealed yet.
    pub(super) fn new(param_ids: BTreeMap<String, u64>) -> Self {
        Self {
            checksum: MARK.to_string() + &"0".repeat(BLANK.len()),
            version: VERSION,
            writer: env!("CARGO_PKG_VERSION").to_string(),
            param_ids,
            model: Value::Null,
        }
    }

    /// The label with the description of a model.
    pub(super) fn describing(self, model: Value) -> Self {
        Self { model, ..self }
    }

    /// Returns an error for a file of another format version.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        if self.version == VERSION {
            return Ok(());
        }
        let reason = format!(
            "format version {}, written by burn-flows {}; this burn-flows reads version {VERSION}",
            self.version, self.writer
        );
        Err(Error::format(path, reason))
    }
}

/// Computes the checksum of a file and writes it over its placeholder.
///
/// # Panics
///
/// Panics if the file has no [`Label`].
pub(crate) fn seal(file: &mut [u8]) {
    let at = digits(file).expect("a file to seal holds a label");
    let checksum = checksum(file, at);
    file[at..at + BLANK.len()].copy_from_slice(checksum.as_bytes());
}

/// Returns an error if a file differs in any byte from the sealed one.
pub(crate) fn verify(file: &[u8], path: &Path) -> Result<()> {
    let Some(at) = digits(file) else {
        let reason = "no checksum: the file was not written by `burn_flows::store`, or was \
                      changed; read weights of other libraries with `burn_flows::interop`";
        return Err(Error::format(path, reason));
    };
    // Compared as bytes: a file with upper-case digits was changed.
    if checksum(file, at).as_bytes() != &file[at..at + BLANK.len()] {
        return Err(Error::format(path, "checksum mismatch: the file was changed or truncated"));
    }
    Ok(())
}

/// The position of the 64 digits in a file: after the first mark, if 64 bytes follow it.
fn digits(file: &[u8]) -> Option<usize> {
    let mark = file.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let at = mark + MARK.len();
    (file.len() - at >= BLANK.len()).then_some(at)
}

/// SHA-256 of the file with zeros in place of its 64 digits, as 64 hexadecimal digits.
fn checksum(file: &[u8], at: usize) -> String {
    let mut hasher = Sha256::new();
    hasher.update(&file[..at]);
    hasher.update(BLANK);
    hasher.update(&file[at + BLANK.len()..]);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut file = serde_json::to_vec(&Label::new(BTreeMap::new())).unwrap();
        seal(&mut file);
        file
    }

    #[test]
    fn the_checksum_is_that_of_the_file_with_zeros_in_its_place() {
        let file = sealed();
        let blank = serde_json::to_vec(&Label::new(BTreeMap::new())).unwrap();
        let label: Label = serde_json::from_slice(&file).unwrap();
        let expected: String =
            Sha256::digest(&blank).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(label.checksum, format!("{MARK}{expected}"));
        assert!(verify(&file, Path::new("file")).is_ok());
    }

    #[test]
    fn every_bit_counts_those_of_the_checksum_too() {
        let mut file = sealed();
        for bit in 0..8 * file.len() {
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&file, Path::new("file")).is_err(), "bit {bit}");
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
