//! Layers that check what a file says of them.

use crate::error::{Error, Result};

/// Implements `Deserialize` for a struct, given once more with its fields: as derived, and then the
/// struct's `sound` has to be `Ok`. A generic struct names its parameters, its arguments and their
/// bounds.
macro_rules! checked {
    ($type:ident $([$($parameters:tt)*] [$($arguments:tt)*] [$($bounds:tt)*])? {
        $($(#[$attribute:meta])* $field:ident: $kind:ty),+ $(,)?
    }) => {
        impl<'de $(, $($parameters)*)?> serde::Deserialize<'de> for $type $(<$($arguments)*>
        where
            $($bounds)*)?
        {
            fn deserialize<Z: serde::Deserializer<'de>>(deserializer: Z) -> Result<Self, Z::Error> {
                #[derive(serde::Deserialize)]
                struct Fields $(<$($parameters)*>)? {
                    $($(#[$attribute])* $field: $kind,)+
                }
                let fields = <Fields $(<$($arguments)*>)? as serde::Deserialize>::deserialize(deserializer)?;
                let layer = Self { $($field: fields.$field,)+ };
                layer.sound().map_err(serde::de::Error::custom)?;
                Ok(layer)
            }
        }
    };
}
pub(crate) use checked;

/// `Err` naming the field unless a tensor of a file has this shape.
pub(crate) fn shaped(
    layer: &'static str,
    field: &'static str,
    expected: &[usize],
    found: impl AsRef<[usize]>,
) -> Result<()> {
    let found = found.as_ref();
    require(layer, field, found == expected, || {
        format!("needs shape {expected:?}, found {found:?}")
    })
}

/// `Err` naming the field, with this reason, unless it holds.
pub(crate) fn require(
    layer: &'static str,
    field: &'static str,
    holds: bool,
    reason: impl FnOnce() -> String,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(layer, field, reason())) }
}
