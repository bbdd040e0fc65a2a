//! Whole checkpoints: weights, optimizer, schedule, random state and data order in one file.
//!
//! Schedule, random state and data order are functions of the seed and the step, so the step is
//! all that is kept of them. The file is written beside its place and renamed, so an interruption
//! leaves the previous one whole; a checksum tells a damaged one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::Report;
use super::trial::Trial;
use crate::error::{Error, Result};
use crate::store;

/// Everything a resumed run needs to go on as if it had never stopped.
pub(super) struct Checkpoint<M> {
    pub state: State,
    pub weights: M,
    pub average: Option<M>,
    pub best: M,
    pub optimizer: ModuleOptimizer,
}

/// The numbers of a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// The configuration and the data it belongs to; another one must not resume from it.
    pub fingerprint: String,
    /// What the optimizer does, by which another one is told.
    pub optimizer: Trial,
    /// What was reported so far.
    pub report: Report,
    /// Skipped steps in a row.
    pub streak: usize,
}

const STATE: &str = "state";

/// The one file of a checkpoint folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

impl<M: Module> Checkpoint<M> {
    /// Writes the whole checkpoint, or leaves the previous one as it is.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = file(folder);
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let failed = |error: String| Error::format(&path, error);
        let record = |module: &M| {
            module.valid().into_record().into_bytes().map_err(|e| failed(e.to_string()))
        };
        let mut parts = vec![("weights", record(&self.weights)?), ("best", record(&self.best)?)];
        if let Some(average) = &self.average {
            parts.push(("average", record(average)?));
        }
        let optimizer = self.optimizer.into_bytes().map_err(|e| failed(e.to_string()))?;
        parts.push(("optimizer", optimizer));
        let views = parts
            .iter()
            .map(|(name, bytes)| Ok((*name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| failed(e.to_string()))?;
        let state = serde_json::to_string(&self.state).map_err(|e| failed(e.to_string()))?;
        let label = store::label().map_err(|e| failed(e.to_string()))?;
        let metadata = HashMap::from([(STATE.to_string(), state), label]);
        let bytes =
            safetensors::serialize(views, Some(metadata)).map_err(|e| failed(e.to_string()))?;
        store::write_sealed(&path, bytes)
    }

    /// Reads the checkpoint of a folder into models of the same structure; `None` where there is
    /// none.
    pub fn load(
        folder: &Path,
        model: &M,
        averaged: bool,
        optimizer: ModuleOptimizer,
    ) -> Result<Option<Self>> {
        let path = file(folder);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = store::read_sealed(&path)?;
        let failed = |error: String| Error::format(&path, error);
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| failed(e.to_string()))?;
        let state = header.metadata().as_ref().and_then(|m| m.get(STATE));
        let state = state.ok_or_else(|| failed("holds no training state".into()))?;
        let state: State = serde_json::from_str(state).map_err(|e| failed(e.to_string()))?;
        let parts =
            safetensors::SafeTensors::deserialize(&bytes).map_err(|e| failed(e.to_string()))?;
        let part = |name: &str| {
            let view = parts.tensor(name).map_err(|e| failed(e.to_string()))?;
            Ok::<_, Error>(Bytes::from_bytes_vec(view.data().to_vec()))
        };
        let module = |name: &str| {
            let record =
                ModuleRecord::from_bytes(part(name)?).map_err(|e| failed(e.to_string()))?;
            // A snapshot of its own: running statistics of clones share their values.
            model.valid().try_load_record(record).map_err(|e| failed(e.to_string()))
        };
        Ok(Some(Self {
            state,
            weights: module("weights")?,
            average: averaged.then(|| module("average")).transpose()?,
            best: module("best")?,
            optimizer: optimizer
                .from_bytes(part("optimizer")?)
                .map_err(|e| failed(e.to_string()))?,
        }))
    }
}
