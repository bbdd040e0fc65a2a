//! How burn's own types are described, and how they are built from a description.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::module::{Flag, Param, RunningState};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;

use super::describe::describe;
use super::tensors::{Entry, cast};

/// A type of burn that can be a field of a layer, for `#[serde(with = "burn_flows::store::part")]`.
///
/// A tensor is described by its place only. Its numbers are in the tensors of the file.
pub trait Part: Sized {
    /// Serializes everything except the numbers of tensors.
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Builds the value from a description, with the tensors of the file that [`open`](super::open) reads.
    ///
    /// # Errors
    ///
    /// If called outside [`open`](super::open), or if the file has no such tensor.
    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// For `#[serde(with = "burn_flows::store::part")]` on a field of one of burn's types: `Param`, `RunningState`,
/// `Tensor`, `Linear`, `Conv2d`, and options, lists and pairs of these types. For another struct of burn, derive
/// serde's `remote` with the fields of the struct, and name the derived type on the field.
pub mod part {
    use super::*;

    /// Calls [`Part::describe`].
    pub fn serialize<P: Part, S: Serializer>(part: &P, serializer: S) -> Result<S::Ok, S::Error> {
        part.describe(serializer)
    }

    /// Calls [`Part::build`].
    pub fn deserialize<'de, P: Part, D: Deserializer<'de>>(deserializer: D) -> Result<P, D::Error> {
        P::build(deserializer)
    }
}

/// For `#[serde(with = "burn_flows::store::fixed")]` on a field whose tensors are structure, such as masks and orders.
/// [`load`](super::load) refuses a file in which these tensors have other values.
pub mod fixed {
    use super::*;

    /// Calls [`Part::describe`] and marks every tensor as structure.
    pub fn serialize<P: Part, S: Serializer>(part: &P, serializer: S) -> Result<S::Ok, S::Error> {
        let mut description = describe(&Described(part)).map_err(S::Error::custom)?;
        each_place(&mut description, "", &mut |place, _| {
            place.insert(FIXED.to_string(), Value::Bool(true));
        });
        description.serialize(serializer)
    }

    pub use super::part::deserialize;
}

/// For a field whose tensors belong to the weights, although tensors of its type are structure elsewhere. The order of
/// the pivots of a matrix is such a field.
pub(crate) mod weights {
    use super::*;

    /// The description, without the mark of structure on any tensor.
    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut description = describe(value).map_err(S::Error::custom)?;
        each_place(&mut description, "", &mut |place, _| drop(place.remove(FIXED)));
        description.serialize(serializer)
    }

    /// Deserializes the type itself.
    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// The name of [`Place`] in a description.
const PLACE: &str = "Tensor";
/// The field that marks a tensor as structure.
pub(super) const FIXED: &str = "fixed";
const NAME: &str = "name";

/// The place of a tensor in a description.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Tensor")]
struct Place {
    trainable: bool,
    /// The path of the tensor, which [`build`] adds.
    #[serde(default, skip_serializing)]
    name: Option<String>,
}

/// Whether a described value is the place of a tensor.
pub(super) fn is_place(value: &Value) -> bool {
    value.get(super::describe::TYPE).is_some_and(|name| name == PLACE)
}

/// Calls `each` with every place of a tensor and its path.
fn each_place(
    value: &mut Value,
    path: &str,
    each: &mut impl FnMut(&mut serde_json::Map<String, Value>, &str),
) {
    let is_place = is_place(value);
    let part = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) if is_place => each(fields, path),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(key, value)| each_place(value, &part(key), each));
        }
        Value::Array(values) => {
            let values = values.iter_mut().enumerate();
            values.for_each(|(at, value)| each_place(value, &part(&at.to_string()), each));
        }
        _ => {}
    }
}

/// The paths of all tensors of a description, each with whether the tensor is structure.
pub(super) fn places(mut description: Value) -> HashMap<String, bool> {
    let mut places = HashMap::new();
    each_place(&mut description, "", &mut |place, path| {
        places.insert(path.to_string(), place.contains_key(FIXED));
    });
    places
}

/// The source of the parts of a model while the model is opened.
struct Opening {
    device: Device,
    entries: HashMap<String, Entry>,
}

thread_local! {
    static OPENING: RefCell<Option<Opening>> = const { RefCell::new(None) };
}

/// Builds a model from a description and tensors. Returns the model and the unused tensors.
pub(super) fn build<M: serde::de::DeserializeOwned>(
    mut description: Value,
    entries: HashMap<String, Entry>,
    device: &Device,
) -> (serde_json::Result<M>, HashMap<String, Entry>) {
    /// Ends the opening, also if a user's layer panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            OPENING.take();
        }
    }
    each_place(&mut description, "", &mut |place, path| {
        place.insert(NAME.to_string(), Value::from(path));
    });
    OPENING.set(Some(Opening { device: device.clone(), entries }));
    let end = End;
    without_types(&mut description);
    let model = serde_json::from_value(description);
    let rest = OPENING.take().map(|opening| opening.entries).unwrap_or_default();
    drop(end);
    (model, rest)
}

/// Removes the names of structs from a description: a configuration would refuse them as unknown fields.
fn without_types(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_types),
        Value::Object(fields) => {
            // The name of a struct is a text; a member of that name with another value is one of a map.
            if fields.get(super::describe::TYPE).is_some_and(Value::is_string) {
                fields.remove(super::describe::TYPE);
            }
            fields.values_mut().for_each(without_types);
        }
        _ => {}
    }
}

fn opening<T>(use_it: impl FnOnce(&mut Opening) -> Result<T, String>) -> Result<T, String> {
    OPENING.with_borrow_mut(|opening| match opening {
        Some(opening) => use_it(opening),
        None => Err("a description holds no weights; read the file with `store::open`".into()),
    })
}

/// The device of the model that is being opened.
pub(crate) fn device() -> Result<Device, String> {
    opening(|opening| Ok(opening.device.clone()))
}

impl Place {
    /// The tensor of the file, if it has this rank and is a float (or, with `float` false, is not a float).
    fn tensor<const D: usize>(self, float: bool) -> Result<(Entry, Device, bool), String> {
        let name = self.name.ok_or("the description of a tensor lacks its type")?;
        opening(|opening| {
            let entry = opening.entries.remove(&name);
            let entry = entry.ok_or_else(|| format!("the file has no tensor `{name}`"))?;
            let found = entry.data.shape().to_vec();
            if found.len() != D {
                return Err(format!("tensor `{name}` must have {D} axes, found shape {found:?}"));
            }
            if entry.data.dtype().is_float() != float {
                let found = entry.data.dtype().name();
                let kind = if float { "float" } else { "int or bool" };
                return Err(format!("tensor `{name}` must hold {kind} values, found {found}"));
            }
            if self.trainable && !float {
                return Err(format!("tensor `{name}` holds integers, which must not be trainable"));
            }
            Ok((entry, opening.device.clone(), self.trainable))
        })
    }
}

/// A float tensor of the file on the device, in the precision of the file.
fn float<const D: usize>(entry: &Entry, device: &Device) -> Result<Tensor<D>, String> {
    let dtype = entry.data.dtype();
    if !device.supports_dtype(dtype) {
        let (name, dtype) = (&entry.name, dtype.name());
        return Err(format!("tensor `{name}` is {dtype}, which the device does not support"));
    }
    Ok(Tensor::from_data(entry.data.clone(), (device, dtype)))
}

impl<const D: usize> Part for Param<Tensor<D>> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Place { trainable: is_trainable(self), name: None }.serialize(serializer)
    }

    fn build<'de, E: Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
        let place = Place::deserialize(deserializer)?;
        let (entry, device, trainable) = place.tensor::<D>(true).map_err(E::Error::custom)?;
        let mut param = Param::from_tensor(float(&entry, &device).map_err(E::Error::custom)?);
        param.id = entry.id;
        Ok(if trainable { param } else { param.set_require_grad(false) })
    }
}

/// Whether a parameter is trained, or will be trained once it is in a graph.
pub(super) fn is_trainable<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    let value = param.val();
    // burn reveals this for a plain parameter only by moving it into a graph, which some builds cannot do.
    let plain = !value.is_autodiff();
    match plain && cfg!(any(feature = "flex", feature = "testing")) {
        true => burn::module::Module::train(param.clone()).val().is_require_grad(),
        false => plain || value.is_require_grad(),
    }
}

macro_rules! whole_part {
    ($kind:ty, $dtype:ident) => {
        impl<const D: usize> Part for Param<Tensor<D, $kind>> {
            fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Place { trainable: false, name: None }.serialize(serializer)
            }

            fn build<'de, E: Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
                let place = Place::deserialize(deserializer)?;
                let (entry, device, _) = place.tensor::<D>(false).map_err(E::Error::custom)?;
                let device = device.without_autodiff();
                let dtype = DType::from(device.settings().$dtype);
                if super::tensors::kind(dtype) != super::tensors::kind(entry.data.dtype()) {
                    let (name, found) = (&entry.name, entry.data.dtype().name());
                    let expected = super::tensors::kind(dtype);
                    let reason =
                        format!("tensor `{name}` must hold {expected} values, found {found}");
                    return Err(E::Error::custom(reason));
                }
                let data = cast(&entry.name, entry.data, dtype).map_err(E::Error::custom)?;
                Ok(Param::initialized(entry.id, Tensor::from_data(data, (&device, dtype))))
            }
        }
    };
}

whole_part!(Int, int_dtype);
whole_part!(Bool, bool_dtype);

impl<const D: usize> Part for RunningState<Tensor<D>> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Place { trainable: false, name: None }.serialize(serializer)
    }

    fn build<'de, E: Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
        let place = Place::deserialize(deserializer)?;
        let (entry, device, trainable) = place.tensor::<D>(true).map_err(E::Error::custom)?;
        if trainable {
            return Err(E::Error::custom("a running statistic must not be trainable"));
        }
        let value = float(&entry, &device).map_err(E::Error::custom)?;
        Ok(RunningState::with_id(entry.id, value))
    }
}

/// Whether a layer acts as in training when it is in a graph. [`load`](super::load) keeps the flag of the model.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Flag")]
struct Enabled {
    enabled: bool,
}

/// The name of [`Enabled`] in a description.
const FLAG: &str = "Flag";

/// Whether a described value is a flag that [`load`](super::load) leaves unchanged in the model.
pub(super) fn is_flag(value: &Value) -> bool {
    value.get(super::describe::TYPE).is_some_and(|name| name == FLAG)
}

impl Part for Param<Flag> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Outside a graph every flag is off, but remembers its value inside a graph.
        let enabled = burn::module::Module::train(self.clone()).val().is_enabled();
        Enabled { enabled }.serialize(serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Param::from_bool(Enabled::deserialize(deserializer)?.enabled))
    }
}

/// A tensor that is not a parameter. No file holds it as a tensor, so its numbers are settings.
#[derive(serde::Serialize, serde::Deserialize)]
struct Constant {
    shape: Vec<usize>,
    values: Vec<f64>,
    dtype: DType,
}

impl<const D: usize> Part for Tensor<D> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = self.to_data();
        let (shape, dtype) = (data.shape().to_vec(), data.dtype());
        let values = data.iter::<f64>().collect();
        Constant { shape, values, dtype }.serialize(serializer)
    }

    fn build<'de, E: Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
        let Constant { shape, values, dtype } = Constant::deserialize(deserializer)?;
        let device = device().map_err(E::Error::custom)?;
        let elements = shape.iter().try_fold(1_usize, |all, axis| all.checked_mul(*axis));
        let fits = shape.len() == D && elements == Some(values.len());
        if !fits || !dtype.is_float() || !device.supports_dtype(dtype) {
            let count = values.len();
            let reason = format!(
                "expected a tensor of {D} axes, found {count} {dtype:?} values of shape {shape:?}"
            );
            return Err(E::Error::custom(reason));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), (&device, dtype)))
    }
}

/// A part as a serializable value.
struct Described<'a, P>(&'a P);

impl<P: Part> Serialize for Described<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.describe(serializer)
    }
}

struct Built<P>(P);

impl<'de, P: Part> Deserialize<'de> for Built<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        P::build(deserializer).map(Self)
    }
}

impl<P: Part> Part for Option<P> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Described).serialize(serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Built<P>>::deserialize(deserializer)?.map(|built| built.0))
    }
}

impl<A: Part, B: Part> Part for (A, B) {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Described(&self.0), Described(&self.1)).serialize(serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (a, b) = <(Built<A>, Built<B>)>::deserialize(deserializer)?;
        Ok((a.0, b.0))
    }
}

impl<P: Part> Part for Vec<P> {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Described))
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Built<P>>::deserialize(deserializer)?.into_iter().map(|built| built.0).collect())
    }
}
