//! The tensors of a module by their paths, out of it and back into it.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, BoolStore, DType, Float, Int, Tensor, TensorData};

use crate::bijector::DenseMatrix;
use crate::error::{Error, Result};
use crate::param::unshared;

/// How many tensors an error lists by name.
const LISTED: usize = 3;

/// One tensor of a file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) id: ParamId,
    pub(super) data: TensorData,
}

/// One tensor of a model, in the form in which it is saved.
struct Place {
    name: String,
    /// The type of the module that holds it, and its own name there.
    holder: (String, String),
    id: ParamId,
    shape: Vec<usize>,
    dtype: DType,
}

/// All tensors of a module, in its order.
///
/// # Errors
///
/// If a tensor is quantized, or two have the same path.
pub(super) fn read<M: Module>(model: &M) -> Result<Vec<Entry>> {
    let mut entries: Vec<Result<Entry>> = Vec::new();
    let mut names = HashSet::new();
    walk(model, |place, data| {
        let fresh = names.insert(place.name.clone());
        entries.push(match (stored(place.dtype), fresh) {
            (Some(dtype), true) => cast(&place.name, data(), dtype).map(|data| Entry {
                name: place.name,
                id: place.id,
                data,
            }),
            (None, _) => Err(tensor_error(&place.name, "is quantized, which files do not hold")),
            (_, false) => Err(tensor_error(&place.name, "two tensors of the model have this path")),
        });
    });
    entries.into_iter().collect()
}

/// The module with these tensors in the places of its own.
///
/// # Errors
///
/// If a tensor is missing, left over, or of another shape or kind. The module is not touched then.
pub(super) fn fill<M: Module>(model: M, entries: Vec<Entry>) -> Result<M> {
    let mut places = Vec::new();
    walk(&model, |place, _| places.push(place));
    let entries = fit(places, entries)?;
    Ok(unshared(model).map(&mut Filler { path: Vec::new(), entries }))
}

/// Every tensor of the file in its place, with the model's dtype.
fn fit(places: Vec<Place>, entries: Vec<Entry>) -> Result<HashMap<String, Entry>> {
    let mut file: BTreeMap<_, _> = entries.into_iter().map(|e| (e.name.clone(), e)).collect();
    let mut fitted = HashMap::with_capacity(places.len());
    let mut missing = None;
    for place in places {
        match file.remove(&place.name) {
            Some(entry) => {
                let data = place.accept(entry.data)?;
                fitted.insert(place.name, Entry { data, ..entry });
            }
            None => {
                missing.get_or_insert(place);
            }
        }
    }
    if let Some(Place { name, shape: expected, .. }) = missing {
        return Err(Error::MissingTensor { name, expected, found: list(&file) });
    }
    match file.into_values().next() {
        Some(Entry { name, data, .. }) => {
            Err(Error::UnusedTensor { name, found: data.shape().to_vec() })
        }
        None => Ok(fitted),
    }
}

/// The tensors of the file that found no place, which is where a renamed one hides.
fn list(spare: &BTreeMap<String, Entry>) -> String {
    if spare.is_empty() {
        return "no tensor without a place in the model".to_string();
    }
    let named = spare.values().take(LISTED);
    let mut parts: Vec<_> =
        named.map(|e| format!("`{}` {:?}", e.name, e.data.shape().as_slice())).collect();
    if spare.len() > LISTED {
        parts.push(format!("{} more", spare.len() - LISTED));
    }
    format!("{} without a place in the model", parts.join(", "))
}

impl Place {
    /// The data in the dtype of this place, if it belongs here.
    fn accept(&self, data: TensorData) -> Result<TensorData> {
        let (expected, found) = (kind(self.dtype), kind(data.dtype()));
        if expected != found {
            let reason = format!("the model needs {expected} values, the file has {found} values");
            return Err(tensor_error(&self.name, &reason));
        }
        if *data.shape().as_slice() != *self.shape {
            return Err(Error::ShapeMismatch {
                name: self.name.clone(),
                expected: self.shape.clone(),
                found: data.shape().to_vec(),
            });
        }
        let data = cast(&self.name, data, self.dtype)?;
        let (module, field) = &self.holder;
        // A user's own type of this name has another tensor in it.
        let square = matches!(*self.shape, [rows, columns] if rows == columns);
        if square && (module.as_str(), field.as_str()) == DenseMatrix::PLACE {
            DenseMatrix::check(&data).map_err(|e| tensor_error(&self.name, &e.to_string()))?;
        }
        Ok(data)
    }
}

/// Another dtype of the same kind. burn panics where a value does not fit; this does not.
fn cast(name: &str, data: TensorData, dtype: DType) -> Result<TensorData> {
    let from = data.dtype();
    if from == DType::Bool(BoolStore::Native) && data.as_slice::<bool>().is_err() {
        return Err(tensor_error(name, "a bool is neither 0 nor 1"));
    }
    if from != dtype && kind(from) == "int" && !in_range(&data, dtype) {
        let reason = format!("a value of the file does not fit into {}", dtype.name());
        return Err(tensor_error(name, &reason));
    }
    data.try_cast(dtype).map_err(|error| tensor_error(name, &error.to_string()))
}

fn in_range(data: &TensorData, dtype: DType) -> bool {
    let bits = 8 * dtype.size() as u32;
    let range = match dtype.is_uint() {
        true => 0..1_i128 << bits,
        false => -(1_i128 << (bits - 1))..1_i128 << (bits - 1),
    };
    match data.dtype().is_uint() {
        true => data.iter::<u64>().all(|value| range.contains(&value.into())),
        false => data.iter::<i64>().all(|value| range.contains(&value.into())),
    }
}

/// The dtype in a file: independent of the backend that held the tensor.
fn stored(dtype: DType) -> Option<DType> {
    match dtype {
        DType::QFloat(_) => None,
        DType::Bool(_) => Some(DType::Bool(BoolStore::Native)),
        DType::Flex32 => Some(DType::F32),
        same => Some(same),
    }
}

fn kind(dtype: DType) -> &'static str {
    match dtype {
        DType::QFloat(_) => "quantized",
        DType::Bool(_) => "bool",
        _ if dtype.is_float() => "float",
        _ => "int",
    }
}

pub(super) fn tensor_error(name: &str, reason: &str) -> Error {
    Error::Tensor { name: name.to_string(), reason: reason.to_string() }
}

/// Hands every tensor of a model to `each`: its place, and its data when asked.
///
/// Goes through `valid()`, which folds pending updates into running statistics. Without it, the
/// last training batch is missing in what is saved, and comes back over what is loaded.
fn walk<M: Module>(model: &M, each: impl FnMut(Place, &dyn Fn() -> TensorData)) {
    model.valid().visit(&mut Walker { path: Vec::new(), module: String::new(), each });
}

struct Walker<F> {
    path: Vec<String>,
    /// The type of the module that was entered last.
    module: String,
    each: F,
}

macro_rules! visit_kind {
    ($method:ident, $kind:ty) => {
        fn $method<const D: usize>(&mut self, param: &Param<Tensor<D, $kind>>) {
            let tensor = param.transform_for_save().val();
            let name = self.path.join(".");
            let shape = tensor.dims().to_vec();
            let field = self.path.last().cloned().unwrap_or_default();
            let holder = (self.module.clone(), field);
            let place = Place { name, holder, id: param.id, shape, dtype: tensor.dtype() };
            (self.each)(place, &|| tensor.to_data());
        }
    };
}

impl<F: FnMut(Place, &dyn Fn() -> TensorData)> ModuleVisitor for Walker<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_string());
        self.module = container.to_string();
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    visit_kind!(visit_float, Float);
    visit_kind!(visit_int, Int);
    visit_kind!(visit_bool, Bool);
}

/// Puts fitted entries into a module.
struct Filler {
    path: Vec<String>,
    entries: HashMap<String, Entry>,
}

macro_rules! map_kind {
    ($method:ident, $kind:ty) => {
        fn $method<const D: usize>(
            &mut self,
            param: Param<Tensor<D, $kind>>,
        ) -> Param<Tensor<D, $kind>> {
            let Some(entry) = self.entries.remove(&self.path.join(".")) else {
                return param;
            };
            let dtype = entry.data.dtype();
            let tensor = Tensor::from_data(entry.data, (&param.lazy_device(), dtype));
            param.transform_for_load(tensor, entry.id)
        }
    };
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    map_kind!(map_float, Float);
    map_kind!(map_int, Int);
    map_kind!(map_bool, Bool);
}
