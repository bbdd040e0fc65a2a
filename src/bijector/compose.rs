//! Composition of bijectors in sequence: `Vec` for layers of one type, [`layers!`](crate::layers) or tuples up to 8 for
//! layers of different types, `Option` for a layer that may be absent.
//!
//! forward   z = f_n(.. f_1(x))
//! log-det   sum of the layers' log-dets, each at its own input
//! inverse   x = f_1^-1(.. f_n^-1(z))

use burn::tensor::Tensor;

use super::{Bijector, Carried, Place, Walk};
use crate::math::zeros_batch;

impl<const D: usize, B: Bijector<D>> Bijector<D> for Vec<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let zeros = zeros_batch(&x);
        self.iter().fold((x, zeros), |(x, total), layer| {
            let (z, log_det) = layer.forward(x, context);
            (z, total + log_det)
        })
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.iter().rev().fold(z, |z, layer| layer.inverse(z, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let zeros = zeros_batch(&z);
        self.iter().rev().fold((z, zeros), |(z, total), layer| {
            let (x, log_det) = layer.inverse_with_log_det(z, context);
            (x, total + log_det)
        })
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let mut layers = Vec::with_capacity(self.len());
        let z = self.into_iter().fold(x, |x, layer| {
            let (layer, z) = layer.init_from_data(x, context);
            layers.push(layer);
            z
        });
        (layers, z)
    }

    fn mixes_rows(&self) -> bool {
        self.iter().any(Bijector::mixes_rows)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        let mut visit =
            |carried, (index, layer): (usize, &B)| layer.walk(walk, &at.part(index), carried);
        let layers = self.iter().enumerate();
        match at.is_last_first() {
            false => layers.fold(carried, &mut visit),
            true => layers.rev().fold(carried, visit),
        }
    }
}

/// `None` is the identity. An `Option` marks a place that some stacks leave empty.
impl<const D: usize, B: Bijector<D>> Bijector<D> for Option<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(layer) => layer.forward(x, context),
            None => {
                let log_det = zeros_batch(&x);
                (x, log_det)
            }
        }
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        match self {
            Some(layer) => layer.inverse(z, context),
            None => z,
        }
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(layer) => layer.inverse_with_log_det(z, context),
            None => self.forward(z, context),
        }
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        match self {
            Some(layer) => {
                let (layer, z) = layer.init_from_data(x, context);
                (Some(layer), z)
            }
            None => (None, x),
        }
    }

    fn mixes_rows(&self) -> bool {
        self.as_ref().is_some_and(Bijector::mixes_rows)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        match self {
            Some(layer) => layer.walk(walk, at, carried),
            None => carried,
        }
    }
}

/// Makes a struct of layers a [`Bijector`](crate::bijector::Bijector). The fields are applied in sequence, in the order
/// of their declaration.
///
/// ```text
/// forward   z = last(.. second(first(x)))
/// log-det   sum of the fields' log-dets, each at its own input
/// inverse   x = first^-1(.. last^-1(z))
/// ```
///
/// The paths of parameters contain the names of the fields, as in `steps.3.coupling.conditioner`; the paths in a tuple
/// contain numbers. The struct is a `Module`, and `store` saves and opens it. A struct may have type parameters,
/// without bounds. The crate that calls the macro needs `burn` among its dependencies.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{ActNorm, ActNormConfig, Bijector, Coupling, CouplingConfig};
/// use burn_flows::{conditioner::Mlp, univariate::Affine};
///
/// burn_flows::layers! {
///     /// A normalization and a coupling.
///     pub struct Step {
///         norm: ActNorm,
///         coupling: Coupling<Affine, Mlp>,
///     }
/// }
///
/// let device = Device::flex();
/// let step = |_| Step {
///     norm: ActNormConfig::new(4).init(&device),
///     coupling: CouplingConfig::new(4).init(Affine::default(), &device),
/// };
/// let steps: Vec<Step> = (0..3).map(step).collect();
/// let x = Tensor::<2>::from_data([[0.1, -0.2, 0.3, 0.4]], &device);
/// let (z, _) = steps.forward(x.clone(), None);
/// steps.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[macro_export]
macro_rules! layers {
    (
        $(#[$head:meta])*
        $vis:vis struct $name:ident $(<$($part:ident),+>)? {
            $($(#[doc = $doc:literal])* $(#[module($($module:tt)*)])* $field_vis:vis $field:ident: $layer:ty),+ $(,)?
        }
    ) => {
        $(#[$head])*
        #[derive(::burn::module::Module, Debug, $crate::serde::Serialize)]
        #[serde(crate = "burn_flows::serde")]
        $vis struct $name $(<$($part),+>)? {
            $($(#[doc = $doc])* $(#[module($($module)*)])* $field_vis $field: $layer),+
        }

        #[allow(non_camel_case_types, reason = "a parameter for every field, with its name")]
        impl<'de, $($($part),+)?> $crate::serde::Deserialize<'de> for $name $(<$($part),+>)?
        where
            $($layer: $crate::serde::Deserialize<'de>),+
        {
            fn deserialize<__Z: $crate::serde::Deserializer<'de>>(deserializer: __Z) -> Result<Self, __Z::Error> {
                // A derived implementation would put its bounds on the type parameters, not on the layers.
                #[derive($crate::serde::Deserialize)]
                #[serde(crate = "burn_flows::serde")]
                struct Fields<$($field),+> {
                    $($field: $field),+
                }
                let fields = <Fields<$($layer),+> as $crate::serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self { $($field: fields.$field),+ })
            }
        }

        $crate::layers!(@reversed named
            [$($($part: ::burn::module::Module + ::burn::module::ModuleDisplay),+)?] [$name $(<$($part),+>)?]
            [$($layer: $crate::bijector::Bijector<__D>),+]
            [$($field)+] [] $($field)+);
    };
    (@reversed $kind:ident $parts:tt $type:tt $bounds:tt $fields:tt [$($reversed:tt)*] $next:tt $($rest:tt)*) => {
        $crate::layers!(@reversed $kind $parts $type $bounds $fields [$next $($reversed)*] $($rest)*);
    };
    (@reversed $kind:ident [$($parts:tt)*] [$type:ty] [$($bounds:tt)*]
        [$first:tt $($next:tt)*] [$last:tt $($before:tt)*]
    ) => {
        impl<const __D: usize, $($parts)*> $crate::bijector::Bijector<__D> for $type
        where
            $($bounds)*
        {
            fn forward(
                &self,
                x: ::burn::tensor::Tensor<__D>,
                context: Option<&::burn::tensor::Tensor<2>>,
            ) -> (::burn::tensor::Tensor<__D>, ::burn::tensor::Tensor<1>) {
                let (x, total) = $crate::bijector::Bijector::<__D>::forward(&self.$first, x, context);
                $(let (x, log_det) = $crate::bijector::Bijector::<__D>::forward(&self.$next, x, context);
                let total = total + log_det;)*
                (x, total)
            }

            fn inverse(
                &self,
                z: ::burn::tensor::Tensor<__D>,
                context: Option<&::burn::tensor::Tensor<2>>,
            ) -> ::burn::tensor::Tensor<__D> {
                let z = $crate::bijector::Bijector::<__D>::inverse(&self.$last, z, context);
                $(let z = $crate::bijector::Bijector::<__D>::inverse(&self.$before, z, context);)*
                z
            }

            fn inverse_with_log_det(
                &self,
                z: ::burn::tensor::Tensor<__D>,
                context: Option<&::burn::tensor::Tensor<2>>,
            ) -> (::burn::tensor::Tensor<__D>, ::burn::tensor::Tensor<1>) {
                let (z, total) = $crate::bijector::Bijector::<__D>::inverse_with_log_det(&self.$last, z, context);
                $(let (z, log_det) = $crate::bijector::Bijector::<__D>::inverse_with_log_det(&self.$before, z, context);
                let total = total + log_det;)*
                (z, total)
            }

            fn init_from_data(
                self,
                x: ::burn::tensor::Tensor<__D>,
                context: Option<&::burn::tensor::Tensor<2>>,
            ) -> (Self, ::burn::tensor::Tensor<__D>) {
                let mut z = x;
                let layers = $crate::layers!(@started $kind self z context $first $($next)*);
                (layers, z)
            }

            fn mixes_rows(&self) -> bool {
                $crate::bijector::Bijector::<__D>::mixes_rows(&self.$first)
                    $(|| $crate::bijector::Bijector::<__D>::mixes_rows(&self.$next))*
            }

            fn walk<__W: $crate::bijector::Walk>(
                &self,
                walk: &mut __W,
                at: &$crate::bijector::Place<'_>,
                carried: $crate::bijector::Carried<__D>,
            ) -> $crate::bijector::Carried<__D> {
                if at.is_last_first() {
                    let carried = $crate::bijector::Bijector::<__D>::walk(&self.$last, walk, &at.part(stringify!($last)), carried);
                    $(let carried = $crate::bijector::Bijector::<__D>::walk(&self.$before, walk, &at.part(stringify!($before)), carried);)*
                    return carried;
                }
                let carried = $crate::bijector::Bijector::<__D>::walk(&self.$first, walk, &at.part(stringify!($first)), carried);
                $(let carried = $crate::bijector::Bijector::<__D>::walk(&self.$next, walk, &at.part(stringify!($next)), carried);)*
                carried
            }
        }
    };
    (@started named $self:ident $z:ident $context:ident $($field:ident)+) => {
        Self { $($field: $crate::layers!(@start $self $z $context $field)),+ }
    };
    (@started numbered $self:ident $z:ident $context:ident $($field:tt)+) => {
        ($($crate::layers!(@start $self $z $context $field),)+)
    };
    (@start $self:ident $z:ident $context:ident $field:tt) => {{
        let (layer, next) = $crate::bijector::Bijector::<__D>::init_from_data($self.$field, $z, $context);
        $z = next;
        layer
    }};
}

macro_rules! tuple {
    ($($layer:ident $index:tt),+) => {
        crate::layers!(@reversed numbered [$($layer: Bijector<__D>),+] [($($layer,)+)] []
            [$($index)+] [] $($index)+);
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, E 3);
tuple!(A 0, B 1, C 2, E 3, F 4);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7);
