//! The settings of a model: compared with the settings in a file, and named where they differ.

use std::collections::{BTreeSet, HashSet};

use burn::module::{Module, ModuleVisitor};
use serde_json::{Map, Value};

use super::describe::TYPE;
use super::parts::{FIXED, is_flag, is_place};
use crate::error::{Error, Result};

/// The longest list that an error shows in full.
const SHOWN: usize = 8;

/// The settings of a model.
pub(super) struct Settings {
    description: Value,
    /// The paths of all modules.
    modules: HashSet<String>,
}

impl Settings {
    pub(super) fn new<M: Module>(model: &M, description: Value) -> Self {
        let mut paths = Paths { at: Vec::new(), modules: HashSet::new() };
        model.visit(&mut paths);
        Self { description, modules: paths.modules }
    }

    /// Returns an error that names the first setting that differs in the file.
    pub(super) fn agree(&self, file: &Value) -> Result<()> {
        let mut path = Vec::new();
        match difference(&self.description, file, &mut path) {
            Some((model, file)) => Err(self.error(&path, &show(model), &show(file))),
            None => Ok(()),
        }
    }

    /// The error of a setting. It names the innermost module that contains the setting.
    pub(super) fn error(&self, path: &[String], expected: &str, found: &str) -> Error {
        let owner = |at: &usize| {
            let module = *at == 0 || self.modules.contains(&path[..*at].join("."));
            module.then(|| self.type_at(&path[..*at])).flatten().is_some()
        };
        let at = (0..=path.len()).rev().find(owner).unwrap_or_default();
        let setting = if at == path.len() { TYPE.to_string() } else { path[at..].join(".") };
        Error::Setting {
            layer: path[..at].join("."),
            module: self.type_at(&path[..at]).unwrap_or("model").to_string(),
            setting,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    fn type_at(&self, path: &[String]) -> Option<&str> {
        let mut value = &self.description;
        for part in path {
            value = match value {
                Value::Array(values) => values.get(part.parse::<usize>().ok()?)?,
                other => other.get(part)?,
            };
        }
        value.get(TYPE)?.as_str()
    }
}

/// The first difference in the order of the fields. `path` receives the path to it.
fn difference<'a>(
    model: &'a Value,
    file: &'a Value,
    path: &mut Vec<String>,
) -> Option<(&'a Value, &'a Value)> {
    const NONE: Value = Value::Null;
    let mut within = |part: String, model, file| {
        path.push(part);
        let found = difference(model, file, path);
        if found.is_none() {
            path.pop();
        }
        found
    };
    match (model, file) {
        // The numbers of tensors are compared elsewhere, and trainable parameters of the model stay trainable.
        _ if is_place(model) && is_place(file) => {
            (model.get(FIXED) != file.get(FIXED)).then_some((model, file))
        }
        _ if is_flag(model) && is_flag(file) => None,
        (Value::Object(a), Value::Object(b)) if alike(a, b) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let field = |map: &'a Map<String, Value>, key| map.get(key).unwrap_or(&NONE);
            let mut keys = keys.into_iter().filter(|key| *key != DTYPE || !is_constant(a));
            keys.find_map(|key| within(key.clone(), field(a, key), field(b, key)))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() && (nested(a) || nested(b)) => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| within(at.to_string(), a, b))
        }
        _ => (model != file).then_some((model, file)),
    }
}

/// The precision of a tensor that is not a parameter. The precision of the model is kept, so it is not compared.
const DTYPE: &str = "dtype";

fn is_constant(fields: &Map<String, Value>) -> bool {
    fields.get(TYPE).is_some_and(|name| name == "Constant")
}

/// Whether two objects are the same struct, or the same variant of an enum.
fn alike(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.get(TYPE) == b.get(TYPE) && (a.contains_key(TYPE) || a.keys().eq(b.keys()))
}

fn nested(values: &[Value]) -> bool {
    values.iter().any(|value| value.is_object() || value.is_array())
}

/// Formats a setting for an error.
fn show(value: &Value) -> String {
    match value {
        Value::Object(fields) => match (fields.get(TYPE).and_then(Value::as_str), fields.len()) {
            (Some(name), _) => name.to_string(),
            (None, 1) => fields.iter().map(|(name, value)| variant(name, value)).collect(),
            (None, _) => value.to_string(),
        },
        Value::Array(values) if values.len() > SHOWN || nested(values) => {
            format!("a list of {} elements", values.len())
        }
        Value::String(name) => name.clone(),
        Value::Null => "none".to_string(),
        other => other.to_string(),
    }
}

fn variant(name: &str, value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.len() > 1 || fields.contains_key(TYPE) => name.to_string(),
        Value::Array(_) => name.to_string(),
        value => format!("{name}({})", show(value)),
    }
}

/// Collects the paths of modules.
struct Paths {
    at: Vec<String>,
    modules: HashSet<String>,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.at.push(name.to_string());
        self.modules.insert(self.at.join("."));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.at.pop();
    }
}
