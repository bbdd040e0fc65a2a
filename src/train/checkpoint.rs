//! Whole checkpoints: weights, optimizer, schedule, random state and data order in one file.
//!
//! Schedule, random state and data order are functions of the seed and the step, so only the step is stored. The file
//! is written under a temporary name and renamed, so an interruption leaves the previous file whole. A checksum detects
//! damage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, TensorData};
use burn_pack::Reader;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::trial::Trial;
use super::{FitConfig, Report, average};
use crate::error::{Error, Result};
use crate::store;

/// The state from which a resumed run continues as if it had not been interrupted.
pub(super) struct Checkpoint<M> {
    pub state: State,
    pub weights: M,
    pub average: Option<M>,
    pub best: M,
    pub optimizer: ModuleOptimizer,
}

/// The scalar state of a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// The configuration, the data and the model of the checkpoint; a run with others must not resume from it.
    pub fingerprint: Fingerprint,
    /// The trial steps of the optimizer, which identify it.
    pub optimizer: Trial,
    /// The report so far.
    pub report: Report,
    /// Rows per pass in the validation of the best epoch.
    pub evaluation_batch: usize,
    /// Consecutive skipped steps.
    pub streak: usize,
    /// Steps that moved the weights by a gradient.
    pub trained: usize,
    /// The cause of the first skipped step, for a run that has trained nothing so far.
    pub culprit: Option<String>,
}

impl State {
    /// The state before the first step.
    pub fn new(fingerprint: Fingerprint, optimizer: Trial, evaluation_batch: usize) -> Self {
        let report = Report::default();
        Self {
            fingerprint,
            optimizer,
            report,
            evaluation_batch,
            streak: 0,
            trained: 0,
            culprit: None,
        }
    }

    /// Returns an error if a setting that the model displays differs between the checkpoint and `own`, the new run.
    /// Differing whole numbers are allowed if the model reproduces the reported loss to the last bit, which `again`
    /// computes: a user's layer may display a counter.
    pub fn check_settings(
        &self,
        own: &Self,
        folder: &Path,
        again: impl FnOnce() -> Option<f64>,
    ) -> Result<()> {
        let Some((setting, counts)) = self.fingerprint.other_setting(&own.fingerprint) else {
            return Ok(());
        };
        let reported = self.report.best_validation_loss;
        if counts && reported.is_some() && reported == again() {
            return Ok(());
        }
        let owner = format!("a model with other settings: {setting}");
        Err(Error::format(&file(folder), foreign(&owner)))
    }

    /// The reason why the run of `config`, which starts from `own`, cannot resume from this checkpoint.
    /// A loader has no `steps_per_epoch`.
    pub fn refuse(
        &self,
        own: &Self,
        config: &FitConfig,
        steps_per_epoch: Option<usize>,
    ) -> Option<String> {
        let differing = self.fingerprint.differing(&own.fingerprint);
        if !differing.is_empty() {
            let owner = "a run with another configuration or other data, which differ in";
            return Some(foreign(&format!("{owner}: {}", differing.join(", "))));
        }
        if !self.optimizer.agrees(&own.optimizer) {
            return Some(foreign(OTHER_OPTIMIZER));
        }
        let (report, done) = (&self.report, self.report.epochs.len());
        let numbered = report.epochs.iter().zip(1..).all(|(epoch, number)| epoch.epoch == number);
        let counted = steps_per_epoch.is_none_or(|steps| report.steps == done * steps)
            && report.best_epoch <= done
            && self.trained.saturating_add(report.skipped_steps) <= report.steps
            && self.evaluation_batch > 0;
        if !(numbered && counted) {
            let reason = "holds inconsistent numbers of epochs and steps; delete the file";
            return Some(reason.to_string());
        }
        (done > config.epochs).then(|| {
            format!(
                "holds a run of {done} epochs, more than FitConfig.epochs ({}); set epochs to \
                 {done} or more, choose another folder or delete the file",
                config.epochs
            )
        })
    }
}

const STATE: &str = "state";

/// The one file of a checkpoint folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

impl<M: Module> Checkpoint<M> {
    /// Writes the whole checkpoint, or leaves the previous one unchanged.
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

    /// Reads the checkpoint of a folder into models of the same structure. Returns `None` if there is no checkpoint.
    /// `refuse` returns the reason if a run cannot resume from a state.
    pub fn load(
        folder: &Path,
        model: &M,
        averaged: bool,
        optimizer: ModuleOptimizer,
        refuse: impl FnOnce(&State) -> Option<String>,
    ) -> Result<Option<Self>> {
        let path = file(folder);
        // Not `exists`, which returns false for a folder that cannot be read: the run would start anew and overwrite
        // its checkpoint.
        if !path.try_exists().map_err(|source| Error::io(&path, source))? {
            return Ok(None);
        }
        let bytes = store::read_sealed(&path)?;
        let failed = |error: String| Error::format(&path, error);
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| failed(e.to_string()))?;
        let state = header.metadata().as_ref().and_then(|m| m.get(STATE));
        let state = state.ok_or_else(|| failed("holds no training state".into()))?;
        let state: State = serde_json::from_str(state).map_err(|error| {
            let version = "holds no training state of this version";
            failed(format!("{version} ({error}); choose another folder or delete the file"))
        })?;
        if let Some(reason) = refuse(&state) {
            return Err(failed(reason));
        }
        let parts =
            safetensors::SafeTensors::deserialize(&bytes).map_err(|e| failed(e.to_string()))?;
        let part = |name: &str| {
            let view = parts.tensor(name).map_err(|e| failed(e.to_string()))?;
            Ok::<_, Error>(view.data().to_vec())
        };
        // `valid` makes an independent copy; clones share the values of their running statistics.
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

/// Describes the owner of a checkpoint of another optimizer.
const OTHER_OPTIMIZER: &str =
    "a run with another optimizer, other optimizer settings or other frozen parameters";

/// The error text for a checkpoint of another run.
fn foreign(owner: &str) -> String {
    format!("belongs to {owner}; choose another folder or delete the file")
}

/// The optimizer with a saved state.
///
/// burn ignores a state of another optimizer, and panics on a state with truncated tensors. Training would continue
/// from less than the checkpoint holds. So this function checks for both.
fn restored(optimizer: ModuleOptimizer, saved: Vec<u8>) -> Result<ModuleOptimizer, String> {
    let saved = Bytes::from_bytes_vec(saved);
    let reader = Reader::from_bytes(saved.clone()).map_err(|e| e.to_string())?;
    let tensors = reader.into_tensors().map_err(|e| e.to_string())?;
    let count = tensors.len();
    for tensor in tensors {
        let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(|e| e.to_string())?;
        let whole = TensorData::try_from_bytes_vec(bytes.to_vec(), shape, dtype);
        if id.is_none() || !dtype.is_float() || whole.is_err() {
            return Err(format!("tensor `{name}` of the optimizer is incomplete"));
        }
    }
    let optimizer = optimizer.from_bytes(saved).map_err(|e| e.to_string())?;
    let found = optimizer.to_record().len();
    if found == count {
        return Ok(optimizer);
    }
    Err(foreign(OTHER_OPTIMIZER))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::optim::AdamConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::StandardNormal;
    use crate::train::{Epoch, Stop};

    /// The state after two epochs of three steps.
    fn state() -> State {
        let mut state = State::new(
            serde_json::from_str(r#"{"fields":{},"settings":""}"#).unwrap(),
            Trial::default(),
            8,
        );
        let epoch = |epoch| Epoch {
            epoch,
            train_loss: Some(1.0),
            validation_loss: None,
            learning_rate: 0.1,
            metrics: Default::default(),
        };
        state.report.epochs = vec![epoch(1), epoch(2)];
        (state.report.steps, state.report.best_epoch, state.trained) = (6, 2, 6);
        state.report.stop = Stop::EarlyStopping;
        state
    }

    #[test]
    fn a_state_that_no_run_has_is_refused() {
        let config = FitConfig::new().with_epochs(3);
        let refused = |state: State| state.refuse(&state.clone(), &config, Some(3));
        assert_eq!(refused(state()), None);
        let edits: [fn(&mut State); 6] = [
            |state| state.report.steps = usize::MAX,
            |state| state.report.best_epoch = 3,
            |state| state.report.skipped_steps = 1,
            |state| state.evaluation_batch = 0,
            |state| state.report.epochs[1].epoch = 7,
            |state| state.report.epochs.clear(),
        ];
        for edit in edits {
            let mut state = state();
            edit(&mut state);
            let reason = refused(state).unwrap();
            assert_eq!(reason, "holds inconsistent numbers of epochs and steps; delete the file");
        }
    }

    #[test]
    fn the_file_of_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut old = serde_json::to_value(state()).unwrap();
        old["fingerprint"] = "af31".into();
        let state = (STATE.to_string(), old.to_string());
        let metadata = HashMap::from([state, store::label().unwrap()]);
        let bytes = safetensors::serialize(Vec::<(String, TensorView)>::new(), Some(metadata));
        store::write_sealed(&file(folder.path()), bytes.unwrap()).unwrap();
        let model = StandardNormal::<2>::new([2], &Device::flex());
        let optimizer = AdamConfig::new().init();
        let loaded = Checkpoint::load(folder.path(), &model, false, optimizer, |_| None);
        let Err(error) = loaded else { panic!("expected an error") };
        let text = error.to_string();
        assert!(text.contains("holds no training state of this version ("), "{text}");
        assert!(text.ends_with("; choose another folder or delete the file"), "{text}");
    }
}
