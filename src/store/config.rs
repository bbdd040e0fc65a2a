//! Configurations as JSON, beside the weights.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seal::{Label, seal, verify};
use crate::bijector::layer_name;
use crate::error::{Error, Result};

#[derive(Serialize, Deserialize)]
struct Document<C> {
    #[serde(rename = "burn-flows")]
    label: Label,
    #[serde(rename = "type")]
    type_name: String,
    config: C,
}

/// Encodes a configuration as a sealed file.
///
/// # Errors
///
/// If the configuration changes when its JSON is read back; JSON has no infinity, for example. The check runs before
/// the weights are written.
pub(super) fn encode<C: Serialize + DeserializeOwned>(config: &C, path: &Path) -> Result<Vec<u8>> {
    let invalid = |error: serde_json::Error| Error::format(path, error.to_string());
    let value = serde_json::to_value(config).map_err(invalid)?;
    let document = Document {
        label: Label::new(BTreeMap::new()),
        type_name: layer_name::<C>().to_string(),
        config,
    };
    let mut file = serde_json::to_vec_pretty(&document).map_err(invalid)?;
    file.push(b'\n');
    seal(&mut file);
    let back = serde_json::to_value(decode::<C>(&file, path)?).map_err(invalid)?;
    if back != value {
        let reason = format!(
            "{} changes when written to JSON and read back; check its serde attributes",
            layer_name::<C>()
        );
        return Err(Error::format(path, reason));
    }
    Ok(file)
}

/// Reads the configuration of a sealed file.
pub(super) fn decode<C: DeserializeOwned>(file: &[u8], path: &Path) -> Result<C> {
    let invalid = |error: serde_json::Error| Error::format(path, error.to_string());
    verify(file, path)?;
    let document: Document<Value> = serde_json::from_slice(file).map_err(invalid)?;
    document.label.check(path)?;
    if document.type_name != layer_name::<C>() {
        let reason = format!("holds a {}, not a {}", document.type_name, layer_name::<C>());
        return Err(Error::format(path, reason));
    }
    serde_json::from_value(document.config).map_err(invalid)
}
