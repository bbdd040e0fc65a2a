//! Walks through the single layers of a density, to the latent and back, for those who do without the
//! graph of the whole.

use std::fmt::Display;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, layer_name};

/// How a layer gets back to its input when its output is all there is: what
/// [`Bijector::recovery`] says.
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
    /// By its inverse, which is a formula and costs about a forward pass.
    Inverse,
    /// The input is kept, and forward run on it once more.
    Input,
    /// Forward cannot be run twice: the whole graph of the layer is kept.
    Graph,
}

/// Where a [`Walk`] is, under which context, and which way it goes.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    path: String,
    context: Option<&'a Tensor<2>>,
    inverted: bool,
    back: bool,
    name: Option<&'static str>,
}

impl<'a> Place<'a> {
    /// The start of a walk, the whole density.
    pub fn start(context: Option<&'a Tensor<2>>) -> Self {
        Self { path: String::new(), context, inverted: false, back: false, name: None }
    }

    /// The place of a part, under its name as in the paths of the parameters.
    pub fn part(&self, name: impl Display) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), ..self.clone() }
    }

    /// The same place under another context, or under none.
    pub fn with_context<'b>(&self, context: Option<&'b Tensor<2>>) -> Place<'b> {
        Place { context, path: self.path.clone(), ..*self }
    }

    /// The same place, for a layer that runs the other way round.
    pub fn inverted(&self) -> Self {
        Self { inverted: !self.inverted, ..self.clone() }
    }

    /// The same place on the way back from the latent.
    pub fn back(&self) -> Self {
        Self { back: true, ..self.clone() }
    }

    /// The same place, for a layer with another name than that of its type.
    pub(crate) fn named(&self, name: &'static str) -> Self {
        Self { name: Some(name), ..self.clone() }
    }

    /// The name of a layer of this type that stands here.
    pub(crate) fn name_of<B>(&self) -> &'static str {
        self.name.unwrap_or_else(layer_name::<B>)
    }

    /// The path, as those of the parameters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The context of what stands here.
    pub fn context(&self) -> Option<&'a Tensor<2>> {
        self.context
    }

    /// Whether what stands here runs the other way round, from its latent to its data.
    pub fn is_inverted(&self) -> bool {
        self.inverted
    }

    /// Whether the walk is on its way back from the latent.
    pub fn is_back(&self) -> bool {
        self.back
    }

    /// Whether the walk comes to the last layer of a stack first.
    pub fn is_last_first(&self) -> bool {
        self.inverted != self.back
    }
}

/// What a [`Walk`] carries: a batch, and on the way back the gradient of a loss by it.
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
    /// The batch, before a layer on the way to the latent, behind it on the way back.
    pub value: Tensor<D>,
    /// The gradient by it; `None` on the way to the latent.
    pub gradient: Option<Tensor<D>>,
}

impl<const D: usize> Carried<D> {
    /// What a walk to the latent starts with.
    pub fn new(value: Tensor<D>) -> Self {
        Self { value, gradient: None }
    }

    /// Both mapped by something that only picks, moves or reshapes elements.
    pub fn map<const E: usize>(self, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Carried<E> {
        Carried { value: map(self.value), gradient: self.gradient.map(map) }
    }

    /// Two parts put together.
    pub fn join<const E: usize, const F: usize>(
        self,
        other: Carried<E>,
        join: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Carried<F> {
        let gradient = self.gradient.zip(other.gradient).map(|(a, b)| join(a, b));
        Carried { value: join(self.value, other.value), gradient }
    }
}

/// Something that goes through the single layers of a density, first to its latent, then back in the
/// opposite order, with a state of its own. `train::Reversible` is one.
///
/// A layer that is made of layers passes a walk on to them by [`Bijector::walk`]; what does not is
/// one single layer.
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
    /// Takes what is carried through a single layer, in the direction that the place says.
    fn layer<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        carried: Carried<D>,
    ) -> Carried<D>;

    /// A part of the log-density, where the walk turns round: gives the gradient of the loss by
    /// every input. `module` holds the parameters of `log_prob`.
    fn density<const D: usize, const N: usize, M: Module>(
        &mut self,
        module: &M,
        at: &Place<'_>,
        inputs: [Tensor<D>; N],
        log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) -> [Tensor<D>; N];

    /// Whether the walk goes back from the densities to the data, with the gradients that
    /// [`density`](Self::density) gives. One that does not ends there, and what it returns means nothing; a mixture
    /// lets it into every component, where one that comes back takes the mixture as one density. Default: yes.
    fn comes_back(&self) -> bool {
        true
    }
}
