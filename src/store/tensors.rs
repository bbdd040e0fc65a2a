//! Reads the tensors of a module by their paths, and writes tensors into a module.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, BoolStore, DType, Float, Int, Tensor, TensorData};

use crate::bijector::{DenseMatrix, Permutation};
use crate::error::{Error, Result};
use crate::param::unshared;

/// The largest number of tensors that an error lists by name.
const LISTED: usize = 3;

/// One tensor of a file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) id: ParamId,
    pub(super) data: TensorData,
}

/// A tensor of a model, as it is saved.
struct Place {
    name: String,
    /// The type of the module that holds the tensor, and the name of the field.
    holder: (String, String),
    id: ParamId,
    shape: Vec<usize>,
    dtype: DType,
}

/// A tensor that is structure and has other values in the file.
pub(super) struct Other {
    /// The path of the tensor, with the index of the first value that differs.
    pub(super) path: Vec<String>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// All tensors of a module, in the order of the module.
///
/// # Errors
///
/// If a tensor is quantized, or two tensors have one path.
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
            (None, _) => Err(tensor_error(&place.name, "is quantized, which files cannot store")),
            (_, false) => Err(tensor_error(&place.name, "two tensors of the model have this path")),
        });
    });
    entries.into_iter().collect()
}

/// The module with these tensors in place of its own.
///
/// # Errors
///
/// If a tensor is missing, is left over, or has another shape or kind. The module is unchanged then.
#[cfg(feature = "train")]
pub(super) fn fill<M: Module>(model: M, entries: Vec<Entry>) -> Result<M> {
    fill_where(model, entries, |_| false, |_| Ok(()))
}

/// [`fill`], if `agree` accepts the tensors of the file.
///
/// # Errors
///
/// The errors of [`fill`], and the error of `agree`. `agree` is called with the first tensor that `is_fixed` and has
/// other values in the file.
pub(super) fn fill_where<M: Module>(
    model: M,
    entries: Vec<Entry>,
    is_fixed: impl Fn(&str) -> bool,
    agree: impl FnOnce(Option<Other>) -> Result<()>,
) -> Result<M> {
    let (mut places, mut fixed) = (Vec::new(), Vec::new());
    walk(&model, |place, data| {
        if is_fixed(&place.name) {
            fixed.push((place.name.clone(), data()));
        }
        places.push(place);
    });
    let values: HashMap<_, _> = entries
        .iter()
        .filter(|entry| is_fixed(&entry.name))
        .map(|entry| (entry.name.clone(), entry.data.clone()))
        .collect();
    let entries = fit(places, entries)?;
    let mut others = fixed.into_iter().filter_map(|(name, own)| other(&name, own, &values[&name]));
    agree(others.next())?;
    Ok(unshared(model).map(&mut Filler { path: Vec::new(), entries }))
}

/// The first value of the file that differs from the model, compared in the precision of either.
fn other(name: &str, own: TensorData, file: &TensorData) -> Option<Other> {
    let values = |data: &TensorData| data.iter::<f64>().collect::<Vec<_>>();
    let as_in = |data: &TensorData, dtype| cast(name, data.clone(), dtype).ok();
    let narrowed = |a: &TensorData, b: &TensorData| {
        as_in(a, b.dtype()).is_some_and(|cast| values(&cast) == values(b))
    };
    if narrowed(&own, file) || narrowed(file, &own) {
        return None;
    }
    let (own, file) = (values(&own), values(file));
    let at = own.iter().zip(&file).position(|(a, b)| a != b)?;
    let mut path: Vec<String> = name.split('.').map(String::from).collect();
    if let Some(last) = path.last_mut() {
        last.push_str(&format!("[{at}]"));
    }
    Some(Other { path, expected: own[at].to_string(), found: file[at].to_string() })
}

/// Checks the tensors of a module that was built from a file, as [`fill`] does.
///
/// # Errors
///
/// If a matrix is singular, or an order is not a permutation.
pub(super) fn verify<M: Module>(model: &M) -> Result<()> {
    let mut places = Vec::new();
    walk(model, |place, data| {
        if place.holds(DenseMatrix::PLACE) || place.is_order() {
            places.push((place, data()));
        }
    });
    places.iter().try_for_each(|(place, data)| place.check(data))?;
    let by_name: HashMap<_, _> =
        places.iter().map(|(place, data)| (place.name.as_str(), data)).collect();
    let data = |name: &str| by_name.get(name).copied();
    places.iter().try_for_each(|(place, order)| place.check_order(order, data))
}

/// Assigns every tensor of the file to its place, in the dtype of the model.
fn fit(places: Vec<Place>, entries: Vec<Entry>) -> Result<HashMap<String, Entry>> {
    let mut file: BTreeMap<_, _> = entries.into_iter().map(|e| (e.name.clone(), e)).collect();
    let mut fitted = HashMap::with_capacity(places.len());
    let (mut missing, mut orders) = (None, Vec::new());
    for place in places {
        match file.remove(&place.name) {
            Some(entry) => {
                let data = place.accept(entry.data)?;
                if place.is_order() {
                    orders.push(place.name.clone());
                }
                fitted.insert(place.name.clone(), (place, Entry { data, ..entry }));
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
        None => {
            let data = |name: &str| fitted.get(name).map(|(_, entry): &(Place, Entry)| &entry.data);
            for (place, entry) in orders.iter().map(|name| &fitted[name]) {
                place.check_order(&entry.data, data)?;
            }
            Ok(fitted.into_iter().map(|(name, (_, entry))| (name, entry)).collect())
        }
    }
}

/// Lists the tensors of the file that have no place in the model. A renamed tensor is among them.
fn list(spare: &BTreeMap<String, Entry>) -> String {
    if spare.is_empty() {
        return "no tensors unused by the model".to_string();
    }
    let named = spare.values().take(LISTED);
    let mut parts: Vec<_> =
        named.map(|e| format!("`{}` {:?}", e.name, e.data.shape().as_slice())).collect();
    if spare.len() > LISTED {
        parts.push(format!("{} more", spare.len() - LISTED));
    }
    format!("{} unused by the model", parts.join(", "))
}

impl Place {
    /// Returns the data in the dtype of this place, or an error if the data do not fit.
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
        self.check(&data)?;
        Ok(data)
    }

    fn holds(&self, (module, field): (&str, &str)) -> bool {
        (self.holder.0.as_str(), self.holder.1.as_str()) == (module, field)
    }

    /// Checks that the layer of this place can use the data.
    fn check(&self, data: &TensorData) -> Result<()> {
        // A user's type of this name may hold another tensor here.
        let square = matches!(*self.shape, [rows, columns] if rows == columns);
        if square && self.holds(DenseMatrix::PLACE) {
            return DenseMatrix::check(data).map_err(|e| tensor_error(&self.name, &e.to_string()));
        }
        Ok(())
    }

    fn is_order(&self) -> bool {
        Permutation::PLACES.iter().any(|place| self.holds(*place)) && self.shape.len() == 1
    }

    /// Checks that this order and the tensor beside it are inverse to each other.
    fn check_order<'a>(
        &self,
        order: &TensorData,
        data: impl Fn(&str) -> Option<&'a TensorData>,
    ) -> Result<()> {
        let [(_, there), (_, back)] = Permutation::PLACES;
        let field = self.holder.1.as_str();
        let beside = if field == there { back } else { there };
        let name = self.name.strip_suffix(field).map(|module| format!("{module}{beside}"));
        // A user's type of this name may have no tensor beside it.
        match name.and_then(|name| data(&name)) {
            Some(beside) => Permutation::check_pair(order, beside)
                .map_err(|error| tensor_error(&self.name, &error.to_string())),
            None => Ok(()),
        }
    }
}

/// Casts to another dtype of the same kind. burn panics if a value does not fit; this function returns an error.
pub(super) fn cast(name: &str, data: TensorData, dtype: DType) -> Result<TensorData> {
    let from = data.dtype();
    if from == DType::Bool(BoolStore::Native) && data.as_slice::<bool>().is_err() {
        return Err(tensor_error(name, "holds a bool that is neither 0 nor 1"));
    }
    if from != dtype && kind(from) == "int" && !in_range(&data, dtype) {
        let reason = format!("holds a value outside the range of {}", dtype.name());
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

/// The dtype in a file, independent of the backend that held the tensor.
fn stored(dtype: DType) -> Option<DType> {
    match dtype {
        DType::QFloat(_) => None,
        DType::Bool(_) => Some(DType::Bool(BoolStore::Native)),
        DType::Flex32 => Some(DType::F32),
        same => Some(same),
    }
}

pub(super) fn kind(dtype: DType) -> &'static str {
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

/// Calls `each` with every tensor of a model: its place, and a function that reads its data.
///
/// Visits `valid()`, which applies pending updates to running statistics. Without it, the last training batch would be
/// missing in a saved model, and would overwrite loaded statistics.
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use burn::tensor::Device;

    use super::*;

    #[test]
    fn many_orders_are_verified_as_fast_as_they_are_read() {
        let order = Permutation::given(&[1, 0], &Device::flex()).unwrap();
        let model = vec![order; 20_000];
        let time = |work: &dyn Fn()| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        let reading = time(&|| assert_eq!(read(&model).unwrap().len(), 40_000));
        let verifying = time(&|| verify(&model).unwrap());
        assert!(verifying < reading * 5, "{verifying:?} against {reading:?}");
    }
}
