//! Everything that decides the numbers of a run, by name, so that a checkpoint resumes only a matching run.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleDisplay, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::part::Part;
use super::{Batch, FitConfig, FitData};

/// Fields of [`FitConfig`] that may differ in a resumed run: they do not change the numbers of a step.
const FREE: [&str; 9] = [
    "epochs",
    "patience",
    "time_limit",
    "evaluation_batch",
    "max_skipped",
    "progress",
    "checkpoint",
    "checkpoint_every",
    "strict",
];

/// A text for each thing that decides the numbers of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    fields: BTreeMap<String, String>,
    /// The display of the model, one setting per line.
    settings: String,
}

/// Whether a field of the configuration decides the numbers of a run. The loss of an objective other than the NLL may
/// depend on the other rows of a validation batch.
fn decides(name: &str, nll: bool) -> bool {
    !FREE.contains(&name) || name == "evaluation_batch" && !nll
}

impl Fingerprint {
    /// The fingerprint of the data before validation rows are split off.
    pub fn of<M, const D: usize>(
        config: &FitConfig,
        objective: &str,
        nll: bool,
        data: &FitData<D>,
        model: &M,
    ) -> Self
    where
        M: Module + ModuleDisplay,
    {
        let mut fields = BTreeMap::new();
        let settings = serde_json::to_value(config).unwrap_or_default();
        let settings = settings.as_object().into_iter().flatten();
        for (name, value) in settings.filter(|(name, _)| decides(name, nll)) {
            // With validation rows of the caller, the fraction has no effect.
            if name != "validation_fraction" || data.validation.is_none() {
                fields.insert(format!("FitConfig.{name}"), value.to_string());
            }
        }
        fields.insert("objective".to_string(), objective.to_string());
        let mut rows = |name: &str, part: Option<&Part<D>>| {
            let batch = part.map(|part| &part.rows);
            let count = part.map_or(0, Part::len);
            fields.insert(format!("number of rows of the {name}"), count.to_string());
            fields.insert(name.to_string(), hash(batch.map(|batch| &batch.x)));
            let context = batch.and_then(|batch| batch.context.as_ref());
            fields.insert(format!("context of the {name}"), hash(context));
            let weights = batch.and_then(Batch::weights).map(|weights| {
                digest(&weights.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<u8>>())
            });
            fields.insert(format!("weights of the {name}"), format!("{weights:?}"));
        };
        rows("training data", Some(&data.train));
        rows("validation data", data.validation.as_ref());
        let levels = data.dequantize.as_ref().map(|dequantize| dequantize.text());
        let levels = levels.map_or("None".to_string(), |levels| format!("Some({levels})"));
        fields.insert("levels of the dequantization".to_string(), levels);
        let mut tensors = Tensors { path: vec![], text: String::new() };
        model.visit(&mut tensors);
        fields.insert("tensors of the model".to_string(), digest(tensors.text.as_bytes()));
        // `valid`, because a model that trains displays that it trains.
        Self { fields, settings: model.valid().format(Default::default()) }
    }

    /// The first setting of the model that differs in another run, with both values. The second result is true if all
    /// differing settings are whole numbers, which may be counters of a user's layer.
    pub fn other_setting(&self, other: &Self) -> Option<(String, bool)> {
        let pairs = || self.settings.lines().zip(other.settings.lines());
        let at = pairs().position(|(own, found)| own != found)?;
        let (own, found) = pairs().nth(at)?;
        let number = |line: &str| {
            let value = line.split_once(": ").map_or("", |(_, value)| value);
            !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut others = pairs().filter(|(own, found)| own != found);
        let counts = self.settings.lines().count() == other.settings.lines().count()
            && others.all(|(own, found)| number(own) && number(found));
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut path: Vec<&str> = vec![];
        let mut depth = indent(own);
        for line in self.settings.lines().take(at).collect::<Vec<_>>().into_iter().rev() {
            if indent(line) < depth {
                depth = indent(line);
                path.push(line.trim().trim_end_matches('{').trim());
            }
        }
        path.reverse();
        let place = path.get(1..).unwrap_or_default().join(", ");
        let (own, found) = (own.trim(), found.trim());
        Some((format!("`{own}` in the file, `{found}` in this model, at {place}"), counts))
    }

    /// The names of all fields that differ in another run.
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let (own, others) = (&self.fields, &other.fields);
        let names = own.keys().chain(others.keys().filter(|name| !own.contains_key(*name)));
        // A field that only one of two objectives depends on tells nothing beside the objectives.
        let both = |name: &String| own.contains_key(name) && others.contains_key(name);
        let differs = |name: &&String| {
            own.get(*name) != others.get(*name)
                && (both(name) || own.get("objective") == others.get("objective"))
        };
        names.filter(differs).map(String::as_str).collect()
    }
}

/// Precision, shape and digest of a tensor.
fn hash<const D: usize>(x: Option<&Tensor<D>>) -> String {
    let Some(x) = x else { return "none".to_string() };
    format!("{:?} {:?} {}", x.dtype(), x.dims(), digest(x.to_data().as_bytes()))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The paths, shapes and precisions of all tensors of a model.
struct Tensors {
    path: Vec<String>,
    text: String,
}

impl Tensors {
    fn note(&mut self, kind: &str, shape: &[usize]) {
        self.text += &format!("{}: {kind} {shape:?}\n", self.path.join("."));
    }
}

impl ModuleVisitor for Tensors {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.note(&format!("{:?}", param.val().dtype()), &param.val().dims());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.note("integers", &param.val().dims());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.note("truths", &param.val().dims());
    }
}
