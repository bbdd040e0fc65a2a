//! Layers that validate the fields read from a file.

use crate::error::{Error, Result};

/// Defines the module, its `ModuleDisplay` (see [`crate::display`]) and its `Deserialize`: the fields are read as by
/// serde's derive, and then `sound` of the struct must return `Ok`.
///
/// A bound of a type parameter applies only to `Deserialize`, not to the struct. The attributes of a field must be in
/// the order `doc`, `module`, `serde`.
macro_rules! checked {
    ($(#[$head:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::store::checked!(@struct [$(#[$head])*] [$vis] $name [] [] [] [] { $($fields)* });
    };
    ($(#[$head:meta])* $vis:vis struct $name:ident<const $rank:ident: usize> { $($fields:tt)* }) => {
        $crate::store::checked!(@struct [$(#[$head])*] [$vis] $name
            [const $rank: usize] [$rank] [const $rank: usize]
            [const $rank: usize] { $($fields)* });
    };
    ($(#[$head:meta])* $vis:vis struct $name:ident<$($part:ident $(: $bound:path)?),+> { $($fields:tt)* }) => {
        $crate::store::checked!(@struct [$(#[$head])*] [$vis] $name
            [$($part),+] [$($part),+] [$($part: serde::Deserialize<'de> $(+ $bound)?),+]
            [$($part: burn::module::Module + burn::module::ModuleDisplay),+] { $($fields)* });
    };
    (@struct [$($head:tt)*] [$struct_vis:vis] $name:ident [$($declared:tt)*] [$($part:ident),*] [$($read:tt)*] [$($shown:tt)*] {
        $(
            $(#[doc = $doc:literal])* $(#[module($($module:tt)*)])* $(#[serde($($serde:tt)*)])*
            $vis:vis $field:ident: $type:ty
        ),* $(,)?
    }) => {
        $($head)* #[module(custom_display)] $struct_vis struct $name<$($declared)*> {
            $($(#[doc = $doc])* $(#[module($($module)*)])* $(#[serde($($serde)*)])* $vis $field: $type,)*
        }

        $crate::display::display!(@impl [$($shown)*] $name<$($part),*>);

        impl<'de, $($read)*> serde::Deserialize<'de> for $name<$($part),*> {
            fn deserialize<Z: serde::Deserializer<'de>>(deserializer: Z) -> Result<Self, Z::Error> {
                #[derive(serde::Deserialize)]
                struct Fields<$($declared)*> {
                    $($(#[serde($($serde)*)])* $field: $type,)*
                }
                let fields = <Fields<$($part),*> as serde::Deserialize>::deserialize(deserializer)?;
                let layer = Self { $($field: fields.$field,)* };
                layer.sound().map_err(serde::de::Error::custom)?;
                Ok(layer)
            }
        }
    };
}
pub(crate) use checked;

/// Returns an error that names the field, unless a tensor of a file has this shape.
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

/// Returns an error that names the field, with this reason, unless `holds` is true.
pub(crate) fn require(
    layer: &'static str,
    field: &'static str,
    holds: bool,
    reason: impl FnOnce() -> String,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(layer, field, reason())) }
}
