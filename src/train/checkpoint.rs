//! Whole checkpoints: weights, optimizer, schedule, random state and data order in one file.
//!
//! Schedule, random state and data order are functions of the seed and the step, so the step is
//! all that is kept of them. The file is written beside its place and renamed, so an interruption
//! leaves the previous one whole; a checksum tells a damaged one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, TensorData};
use burn_pack::Reader;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use super::{Report, average};
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
        let record = |module: &M| store::encode(module, &path);
        let mut parts = vec![("weights", record(&self.weights)?), ("best", record(&self.best)?)];
        if let Some(average) = &self.average {
            parts.push(("average", record(average)?));
        }
        let optimizer = self.optimizer.into_bytes().map_err(|e| failed(e.to_string()))?;
        parts.push(("optimizer", optimizer.to_vec()));
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
        // Not `exists`, which takes a folder that cannot be read for an empty one: the run would
        // start anew and write over its checkpoint.
        if !path.try_exists().map_err(|source| Error::io(&path, source))? {
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
            Ok::<_, Error>(view.data().to_vec())
        };
        // A snapshot of its own: running statistics of clones share their values.
        let into = |model: M, name: &str| store::decode(model, part(name)?, &path);
        let module = |name: &str| into(model.valid(), name);
        Ok(Some(Self {
            state,
            weights: module("weights")?,
            average: averaged.then(|| into(average::start(model), "average")).transpose()?,
            best: module("best")?,
            optimizer: restored(optimizer, part("optimizer")?).map_err(failed)?,
        }))
    }
}

/// Whose a checkpoint may be.
pub(super) const OTHER_OPTIMIZER: &str =
    "another optimizer, other settings of it or other frozen parameters";

/// What is wrong with a checkpoint of another run.
pub(super) fn foreign(owner: &str) -> String {
    format!("belongs to {owner}; choose another folder or delete it")
}

/// The optimizer with a saved state.
///
/// burn leaves out a state that is not of this optimizer, and panics at one whose tensors are not
/// whole; training would go on from less than the checkpoint. So both are looked for here.
fn restored(optimizer: ModuleOptimizer, saved: Vec<u8>) -> Result<ModuleOptimizer, String> {
    let saved = Bytes::from_bytes_vec(saved);
    let reader = Reader::from_bytes(saved.clone()).map_err(|e| e.to_string())?;
    let tensors = reader.into_tensors().map_err(|e| e.to_string())?;
    let count = tensors.len();
    for tensor in tensors {
        let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(|e| e.to_string())?;
        let whole = TensorData::try_from_bytes_vec(bytes.to_vec(), shape, dtype);
        if id.is_none() || !dtype.is_float() || whole.is_err() {
            return Err(format!("the tensor `{name}` of the optimizer is not whole"));
        }
    }
    let optimizer = optimizer.from_bytes(saved).map_err(|e| e.to_string())?;
    let found = optimizer.to_record().len();
    if found == count {
        return Ok(optimizer);
    }
    Err(foreign(OTHER_OPTIMIZER))
}
