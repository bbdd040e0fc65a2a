//! Walks through the single layers of a density, to the latent and back, for computations without the graph of the
//! whole density.

use std::fmt::Display;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, layer_name};

/// How the input of a layer is recovered from its output, as [`Bijector::recovery`] returns it.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::bijector::{Bijector, CouplingConfig, MaskedAutoregressiveConfig, Recovery};
/// use burn_flows::univariate::Affine;
///
/// let coupling = CouplingConfig::new(4).init(Affine::default(), &Device::flex());
/// assert_eq!(Bijector::<2>::recovery(&coupling), Recovery::Inverse);
/// // Its inverse takes as many steps as there are features.
/// let maf = MaskedAutoregressiveConfig::new(4).init(Affine::default(), &Device::flex());
/// assert_eq!(Bijector::<2>::recovery(&maf), Recovery::Input);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Recovery {
    /// By the inverse of the layer, which is a formula and costs about a forward pass.
    Inverse,
    /// The input is stored, and the forward pass runs on it once more.
    Input,
    /// The forward pass cannot run twice, so the whole graph of the layer is stored.
    Graph,
}

/// The position of a [`Walk`]: the path, the context and the direction.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    path: String,
    context: Option<&'a Tensor<2>>,
    inverted: bool,
    back: bool,
    name: Option<&'static str>,
}

impl<'a> Place<'a> {
    /// The start of a walk: the whole density.
    pub fn start(context: Option<&'a Tensor<2>>) -> Self {
        Self { path: String::new(), context, inverted: false, back: false, name: None }
    }

    /// The place of a part. `name` is the name of the part in the paths of the parameters.
    pub fn part(&self, name: impl Display) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), ..self.clone() }
    }

    /// The same place with another context, or without one.
    pub fn with_context<'b>(&self, context: Option<&'b Tensor<2>>) -> Place<'b> {
        Place { context, path: self.path.clone(), ..*self }
    }

    /// The same place, for a layer that runs inverted.
    pub fn inverted(&self) -> Self {
        Self { inverted: !self.inverted, ..self.clone() }
    }

    /// The same place on the way back from the latent.
    pub fn back(&self) -> Self {
        Self { back: true, ..self.clone() }
    }

    /// The same place, for a layer whose name differs from its type.
    pub(crate) fn named(&self, name: &'static str) -> Self {
        Self { name: Some(name), ..self.clone() }
    }

    /// The name of a layer of this type at this place.
    pub(crate) fn name_of<B>(&self) -> &'static str {
        self.name.unwrap_or_else(layer_name::<B>)
    }

    /// The path, as in the names of the parameters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The context of the layer at this place.
    pub fn context(&self) -> Option<&'a Tensor<2>> {
        self.context
    }

    /// Whether the layer at this place runs inverted, from its latent to its data.
    pub fn is_inverted(&self) -> bool {
        self.inverted
    }

    /// Whether the walk is on its way back from the latent.
    pub fn is_back(&self) -> bool {
        self.back
    }

    /// Whether the walk visits the last layer of a stack first.
    pub fn is_last_first(&self) -> bool {
        self.inverted != self.back
    }
}

/// The value that a [`Walk`] carries: a batch, and on the way back the gradient of a loss with respect to the batch.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::Carried;
///
/// let x = Tensor::<2>::ones([3, 4], &Device::flex());
/// let carried = Carried { value: x.clone(), gradient: Some(x * 2.0) };
/// let part = carried.map(|x| x.narrow(1, 0, 2));
/// assert_eq!((part.value.dims(), part.gradient.unwrap().dims()), ([3, 2], [3, 2]));
/// ```
#[derive(Debug, Clone)]
pub struct Carried<const D: usize> {
    /// The batch: the input of the next layer on the way to the latent, its output on the way back.
    pub value: Tensor<D>,
    /// The gradient of the loss with respect to the batch; `None` on the way to the latent.
    pub gradient: Option<Tensor<D>>,
}

impl<const D: usize> Carried<D> {
    /// Carries a batch on the way to the latent, without a gradient.
    pub fn new(value: Tensor<D>) -> Self {
        Self { value, gradient: None }
    }

    /// Maps batch and gradient by a function that only selects, moves or reshapes elements.
    pub fn map<const E: usize>(self, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Carried<E> {
        Carried { value: map(self.value), gradient: self.gradient.map(map) }
    }

    /// Joins two parts.
    pub fn join<const E: usize, const F: usize>(
        self,
        other: Carried<E>,
        join: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Carried<F> {
        let gradient = self.gradient.zip(other.gradient).map(|(a, b)| join(a, b));
        Carried { value: join(self.value, other.value), gradient }
    }
}

/// A computation that visits the single layers of a density, first on the way to the latent, then back in the opposite
/// order, with its own state. `train::Reversible` uses a walk.
///
/// A layer that is made of layers passes a walk on to them by [`Bijector::walk`]. Any other layer is visited as one
/// layer.
///
/// ```
/// use burn::{module::Module, tensor::{Device, Tensor}};
/// use burn_flows::bijector::{Bijector, Carried, Exp, Inverse, Place, Softplus, Walk};
///
/// /// Where it has been.
/// struct Paths(Vec<String>);
///
/// impl Walk for Paths {
///     fn layer<const D: usize, B: Bijector<D>>(
///         &mut self,
///         layer: &B,
///         at: &Place<'_>,
///         carried: Carried<D>,
///     ) -> Carried<D> {
///         self.0.push(at.path().to_string());
///         match at.is_inverted() {
///             false => Carried::new(layer.forward(carried.value, at.context()).0),
///             true => Carried::new(layer.inverse(carried.value, at.context())),
///         }
///     }
///
///     fn density<const D: usize, const N: usize, M: Module>(
///         &mut self,
///         _module: &M,
///         _at: &Place<'_>,
///         inputs: [Tensor<D>; N],
///         _log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
///     ) -> [Tensor<D>; N] {
///         inputs.map(|x| x.zeros_like())
///     }
/// }
///
/// let mut paths = Paths(vec![]);
/// let x = Tensor::<2>::ones([1, 1], &Device::flex());
/// let layer = (Softplus {}, Inverse::new(vec![Exp {}, Exp {}]));
/// layer.walk(&mut paths, &Place::start(None), Carried::new(x));
/// assert_eq!(paths.0, ["0", "1.inner.1", "1.inner.0"]);
/// ```
pub trait Walk {
    /// Carries the value through a single layer, in the direction of the place.
    fn layer<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        carried: Carried<D>,
    ) -> Carried<D>;

    /// Visits a part of the log-density, where the walk turns round. Returns the gradient of the loss with respect to
    /// every input. `module` holds the parameters of `log_prob`.
    fn density<const D: usize, const N: usize, M: Module>(
        &mut self,
        module: &M,
        at: &Place<'_>,
        inputs: [Tensor<D>; N],
        log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) -> [Tensor<D>; N];

    /// Whether the walk goes back from the densities to the data, with the gradients that [`density`](Self::density)
    /// returns. Otherwise it ends at the densities, and its returned value has no meaning. A mixture passes a walk that
    /// ends there to every component; it is a single density to a walk that goes back. Default: yes.
    fn comes_back(&self) -> bool {
        true
    }
}
