//! Configurations whose modules start from random weights.

/// A configuration as `burn::config::Config` derives it, with one more field: the seed of the weights.
///
/// burn's derive takes an optional field as `with_seed(Some(7))`. Here it is `with_seed(7)`.
macro_rules! seeded_config {
    // A field with a default.
    (@fields $head:tt [$($all:tt)*] $required:tt [$($optional:tt)*]
        $(#[doc = $doc:literal])* #[config(default = $value:expr)] pub $field:ident: $type:ty,
        $($rest:tt)*
    ) => {
        $crate::config::seeded_config!(@fields $head
            [$($all)* $(#[doc = $doc])* pub $field: $type,] $required
            [$($optional)* ([$(#[doc = $doc])*] $field: $type = $value)] $($rest)*);
    };
    // An optional field: nothing by default.
    (@fields $head:tt [$($all:tt)*] $required:tt [$($optional:tt)*]
        $(#[doc = $doc:literal])* pub $field:ident: Option<$type:ty>,
        $($rest:tt)*
    ) => {
        $crate::config::seeded_config!(@fields $head
            [$($all)* $(#[doc = $doc])* pub $field: Option<$type>,] $required
            [$($optional)* ([$(#[doc = $doc])*] $field: Option<$type> = None)] $($rest)*);
    };
    // A field that the constructor takes.
    (@fields $head:tt [$($all:tt)*] [$($required:tt)*] $optional:tt
        $(#[doc = $doc:literal])* pub $field:ident: $type:ty,
        $($rest:tt)*
    ) => {
        $crate::config::seeded_config!(@fields $head
            [$($all)* $(#[doc = $doc])* pub $field: $type,]
            [$($required)* ($field: $type)] $optional $($rest)*);
    };
    (@fields ($name:ident [$($derived:ident)*] $(#[doc = $head:literal])*) [$($all:tt)*]
        [$(($required:ident: $required_type:ty))*]
        [$(([$($doc:tt)*] $field:ident: $type:ty = $value:expr))*]
    ) => {
        $(#[doc = $head])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, $($derived)*)]
        pub struct $name {
            $($all)*
            /// Decides the random weights, and nothing else: one seed gives the same bits in every build,
            /// thread, process and backend. Without one, the weights are the next of the enclosing
            /// [`seeded`](crate::seeded) or configuration, else fresh ones by the device's generator.
            pub seed: Option<u64>,
        }

        impl burn::config::Config for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&burn::config::config_to_json(self))
            }
        }

        pastey::paste! {
            impl $name {
                /// The configuration with these fields, and defaults in all others.
                #[allow(clippy::new_without_default, reason = "burn's configurations have none")]
                pub fn new($($required: $required_type),*) -> Self {
                    Self { $($required,)* $($field: $value,)* seed: None }
                }

                $(
                    $($doc)*
                    #[doc = ""]
                    #[doc = concat!("Default: `", stringify!($value), "`.")]
                    pub fn [<with_ $field>](self, $field: $type) -> Self {
                        Self { $field, ..self }
                    }
                )*

                /// The configuration with this seed of its weights.
                pub fn with_seed(self, seed: u64) -> Self {
                    Self { seed: Some(seed), ..self }
                }
            }
        }
    };
    ($(#[doc = $doc:literal])* $(#[derive($derived:ident)])? pub struct $name:ident { $($fields:tt)* }) => {
        $crate::config::seeded_config!(@fields
            ($name [$($derived)?] $(#[doc = $doc])*) [] [] [] $($fields)*);
    };
}

pub(crate) use seeded_config;
