//! Serializes a value as JSON that names the type of every struct.

use serde::Serialize;
use serde::ser::{self, Serializer};
use serde_json::{Map, Number, Value};

/// The member of a described struct that holds its name.
pub(super) const TYPE: &str = "type";

/// The JSON of a value, with the name of every struct beside its fields.
///
/// # Errors
///
/// For numbers that JSON cannot represent (infinity, NaN), and for a field named [`TYPE`].
pub(super) fn describe<T: Serialize + ?Sized>(value: &T) -> Result<Value, Unfit> {
    value.serialize(Describe)
}

/// The reason why a value has no description, with the path of the setting.
#[derive(Debug)]
pub(super) struct Unfit {
    path: Vec<String>,
    reason: String,
}

impl Unfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    fn within(mut self, part: impl ToString) -> Self {
        self.path.insert(0, part.to_string());
        self
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "setting `{}` {}", self.path.join("."), self.reason)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

struct Describe;

/// A compound value under construction, and the enum variant that it belongs to.
struct Growing<T> {
    variant: Option<&'static str>,
    parts: T,
}

impl<T> Growing<T> {
    fn finish(self, value: impl FnOnce(T) -> Value) -> Value {
        let value = value(self.parts);
        match self.variant {
            Some(name) => tagged(name, value),
            None => value,
        }
    }
}

fn tagged(variant: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(variant.to_string(), value)]))
}

impl Growing<Vec<Value>> {
    fn list(variant: Option<&'static str>) -> Self {
        Self { variant, parts: Vec::new() }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let value = describe(value).map_err(|error| error.within(self.parts.len()))?;
        self.parts.push(value);
        Ok(())
    }
}

impl Growing<Map<String, Value>> {
    fn fields(variant: Option<&'static str>) -> Self {
        Self { variant, parts: Map::new() }
    }

    fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Unfit> {
        let value = describe(value).map_err(|error| error.within(key))?;
        match self.parts.insert(key.to_string(), value) {
            None => Ok(()),
            Some(_) => Err(Unfit::new("has a reserved name; rename the field").within(key)),
        }
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty),+) => {
        $(fn $method(self, value: $type) -> Result<Value, Unfit> {
            Ok(Value::from(value))
        })+
    };
}

impl Serializer for Describe {
    type Ok = Value;
    type Error = Unfit;
    type SerializeSeq = Growing<Vec<Value>>;
    type SerializeTuple = Growing<Vec<Value>>;
    type SerializeTupleStruct = Growing<Vec<Value>>;
    type SerializeTupleVariant = Growing<Vec<Value>>;
    type SerializeMap = Keyed;
    type SerializeStruct = Growing<Map<String, Value>>;
    type SerializeStructVariant = Growing<Map<String, Value>>;

    plain!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_str: &str, serialize_bytes: &[u8]
    );

    fn serialize_f32(self, value: f32) -> Result<Value, Unfit> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Unfit> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| Unfit::new(format!("must be finite, found {value}")))
    }

    fn serialize_char(self, value: char) -> Result<Value, Unfit> {
        Ok(Value::from(value.to_string()))
    }

    fn serialize_none(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Unfit> {
        Ok(Value::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Unfit> {
        Ok(tagged(variant, describe(value).map_err(|error| error.within(variant))?))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, Unfit> {
        Ok(Growing::list(None))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, Unfit> {
        Ok(Growing::list(None))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, Unfit> {
        Ok(Growing::list(None))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        Ok(Growing::list(Some(variant)))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, Unfit> {
        Ok(Keyed { fields: Growing::fields(None), key: String::new() })
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStruct, Unfit> {
        let mut fields = Growing::fields(None);
        fields.insert(TYPE, name)?;
        Ok(fields)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        Ok(Growing::fields(Some(variant)))
    }
}

macro_rules! grows {
    ($($trait:ident $method:ident),+ => $end:path) => {
        $(impl ser::$trait for Growing<Vec<Value>> {
            type Ok = Value;
            type Error = Unfit;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Unfit> {
                Ok(self.finish($end))
            }
        })+
    };
    ($($trait:ident),+) => {
        $(impl ser::$trait for Growing<Map<String, Value>> {
            type Ok = Value;
            type Error = Unfit;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Unfit> {
                self.insert(key, value)
            }

            fn end(self) -> Result<Value, Unfit> {
                Ok(self.finish(Value::Object))
            }
        })+
    };
}

grows!(
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field => Value::Array
);
grows!(SerializeStruct, SerializeStructVariant);

/// A map under construction, and the key of its next value.
struct Keyed {
    fields: Growing<Map<String, Value>>,
    key: String,
}

impl ser::SerializeMap for Keyed {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        self.key = match describe(key)? {
            Value::String(key) => key,
            other => other.to_string(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.fields.insert(&self.key, value)
    }

    fn end(self) -> Result<Value, Unfit> {
        Ok(self.fields.finish(Value::Object))
    }
}
