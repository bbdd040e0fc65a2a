//! The macros of configurations: fields with defaults, a text form, and two constructors of the module.
//!
//! `tests/construction.rs` checks these rules for every configuration. `new` takes the fields without a default,
//! `with_x` changes one of the others, and `validate` returns an error that names the first invalid field. `try_init`
//! returns that error or the module, and `init` panics with the error's text. A text form may omit every field that has
//! a default. It must not hold a field that the configuration does not have.

use serde::{Deserialize, Deserializer};

/// A field that a text form may omit. Formats without names read it as the field itself.
pub(crate) struct Given<T>(pub Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

/// Makes a struct a `burn::config::Config`, with `new`, `with_x` and the common text form.
///
/// A field is required unless it has `#[config(default = ..)]` or is an `Option`.
macro_rules! config {
    // A field with a default.
    (@fields $head:tt [$($all:tt)*] [$($text:tt)*] $required:tt [$($optional:tt)*]
        $(#[doc = $doc:literal])* #[config(default = $value:expr)] pub $field:ident: $type:ty,
        $($rest:tt)*
    ) => {
        $crate::config::config!(@fields $head
            [$($all)* $(#[doc = $doc])* pub $field: $type,]
            [$($text)* #[serde(default)] $field: $crate::config::Given<$type>,] $required
            [$($optional)* ([$(#[doc = $doc])*] $field: $type = $value)] $($rest)*);
    };
    // An optional field, `None` by default.
    (@fields $head:tt $all:tt $text:tt $required:tt $optional:tt
        $(#[doc = $doc:literal])* pub $field:ident: Option<$type:ty>,
        $($rest:tt)*
    ) => {
        $crate::config::config!(@fields $head $all $text $required $optional
            $(#[doc = $doc])* #[config(default = None)] pub $field: Option<$type>, $($rest)*);
    };
    // A field that the constructor takes.
    (@fields $head:tt [$($all:tt)*] [$($text:tt)*] [$($required:tt)*] $optional:tt
        $(#[doc = $doc:literal])* pub $field:ident: $type:ty,
        $($rest:tt)*
    ) => {
        $crate::config::config!(@fields $head
            [$($all)* $(#[doc = $doc])* pub $field: $type,]
            [$($text)* $field: $type,]
            [$($required)* ($field: $type)] $optional $($rest)*);
    };
    (@fields ($name:ident [$($derived:ident)*] [$($seed:ident)?] $(#[doc = $head:literal])*)
        [$($all:tt)*] [$($text:tt)*]
        [$(($required:ident: $required_type:ty))*]
        [$(([$($doc:tt)*] $field:ident: $type:ty = $value:expr))*]
    ) => {
        $(#[doc = $head])*
        #[derive(Clone, Debug, serde::Serialize, $($derived),*)]
        #[must_use = "a configuration does nothing by itself: call `init`"]
        pub struct $name {
            $($all)*
            $(
                /// Seed of the random weights; it changes nothing else. One seed gives the same bits in every build,
                /// thread, process and backend. Without a seed, the weights follow the enclosing
                /// [`seeded`](crate::seeded) or configuration. Without any enclosing seed, they are drawn by the
                /// device's generator.
                pub $seed: Option<u64>,
            )?
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct $name {
                    $($text)*
                    $(#[serde(default)] $seed: $crate::config::Given<Option<u64>>,)?
                }
                let given = <$name as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self {
                    $($required: given.$required,)*
                    $($field: given.$field.0.unwrap_or_else(|| $value),)*
                    $($seed: given.$seed.0.flatten(),)?
                })
            }
        }

        impl burn::config::Config for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&burn::config::config_to_json(self))
            }
        }

        pastey::paste! {
            impl $name {
                /// The configuration with these fields, and with defaults for all others.
                #[allow(clippy::new_without_default, reason = "burn's configurations have none")]
                pub fn new($($required: $required_type),*) -> Self {
                    Self { $($required,)* $($field: $value,)* $($seed: None)? }
                }

                $(
                    $($doc)*
                    #[doc = ""]
                    #[doc = concat!("Default: `", stringify!($value), "`.")]
                    pub fn [<with_ $field>](self, $field: $type) -> Self {
                        #[allow(clippy::needless_update, reason = "of a single field")]
                        Self { $field, ..self }
                    }
                )*

                $(
                    /// The configuration with this seed of its random weights.
                    pub fn [<with_ $seed>](self, $seed: u64) -> Self {
                        Self { $seed: Some($seed), ..self }
                    }
                )?
            }
        }
    };
    ($(#[doc = $doc:literal])* $(#[derive($($derived:ident),*)])?
        pub struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::config::config!(@fields
            ($name [$($($derived)*)?] [] $(#[doc = $doc])*) [] [] [] [] $($fields)*);
    };
}

/// [`config`] with one more field, the seed of the random weights.
///
/// burn's derive takes an optional field as `with_seed(Some(7))`. Here it is `with_seed(7)`.
macro_rules! seeded_config {
    ($(#[doc = $doc:literal])* $(#[derive($($derived:ident),*)])?
        pub struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::config::config!(@fields
            ($name [$($($derived)*)?] [seed] $(#[doc = $doc])*) [] [] [] [] $($fields)*);
    };
}

/// Defines `init` and `try_init` of a configuration from its function `build`, which has the arguments of `init`. With
/// `seeded`, `build` runs in the scope of the configuration's seed. `if` names the check of the arguments, `validate()`
/// by default.
macro_rules! construct {
    ($(#[doc = $doc:literal])* $kind:ident $(<const $rank:ident: usize>)?
        ($($arg:ident: $type:ty),*) -> $module:ty
    ) => {
        $crate::config::construct!($(#[doc = $doc])* $kind $(<const $rank: usize>)?
            ($($arg: $type),*) -> $module, if validate());
    };
    ($(#[doc = $doc:literal])* $kind:ident $(<const $rank:ident: usize>)?
        ($($arg:ident: $type:ty),*) -> $module:ty, if $check:ident $(::<$checked_rank:ident>)? ($($checked:ident),*)
    ) => {
        $(#[doc = $doc])*
        ///
        /// # Panics
        ///
        /// If [`try_init`](Self::try_init) returns an error, with its text.
        #[track_caller]
        pub fn init $(<const $rank: usize>)? (&self, $($arg: $type),*) -> $module {
            self.try_init($($arg),*).unwrap_or_else(|error| panic!("{error}"))
        }

        /// [`init`](Self::init) that returns an error instead of panicking.
        ///
        /// # Errors
        ///
        /// If [`validate`](Self::validate) fails, or the module does not fit the arguments.
        pub fn try_init $(<const $rank: usize>)? (&self, $($arg: $type),*) -> $crate::Result<$module> {
            self.$check $(::<$checked_rank>)? ($($checked),*)?;
            Ok($crate::config::construct!(@build $kind self, self.build($($arg),*)))
        }
    };
    (@build seeded $self:ident, $build:expr) => { $crate::initial::scope($self.seed, || $build) };
    (@build unseeded $self:ident, $build:expr) => { $build };
}

pub(crate) use {config, construct, seeded_config};
