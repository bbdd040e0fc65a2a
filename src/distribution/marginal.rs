//! A conditional density with its context marginalised.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use serde::Serialize;

use super::{Distribution, drawn_by_weight, finite};
use crate::crew::apart;
use crate::error::{Result, count};
use crate::math::{log_sum_exp, wide};
use crate::noise::Noise;
use crate::param::index_tensor;
use crate::walk::{Place, Walk};

crate::store::checked! {
/// Marginalises a conditional density over known contexts with known weights.
///
/// ```text
/// log p(x) = ln sum_k w_k p(x | c_k)
/// sample     k with probability w_k, then x given c_k
/// ```
///
/// With it, a density that was trained with classes becomes a density of the data without classes: the
/// classes are marginalised by their prior.
///
/// The marginal takes no context: a given context has no effect. Contexts and weights are not trained.
/// [`init_from_data`](Distribution::init_from_data) initialises the conditional density from the batch,
/// with a context drawn by weight for every row. These draws use a fixed seed, so each initialisation
/// from a batch is the same.
///
/// # Shapes
///
/// - events as in the conditional density; contexts `[K, width]`; weights `[K]`
///
/// # Panics
///
/// If an event, or the width of the contexts, does not fit the conditional density.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::MlpConfig;
/// use burn_flows::distribution::{ConditionalNormalConfig, Distribution, Marginal};
///
/// let device = Device::flex();
/// let config = ConditionalNormalConfig::new(vec![2], 10, MlpConfig::new(vec![8]));
/// let digits = Marginal::of_classes(config.init::<2>(&device), 10, &device)?;
/// assert_eq!(digits.log_prob(Tensor::zeros([5, 2], &device), None).dims(), [5]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Marginal<P> {
    conditional: P,
    #[serde(with = "crate::store::part")]
    contexts: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    log_weights: Param<Tensor<1>>,
}
}

impl<P> Marginal<P> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let [count, _] = self.contexts.dims();
        crate::store::shaped("Marginal", "log_weights", &[count.max(1)], self.log_weights.dims())
    }
}

impl<P: Module> Marginal<P> {
    /// Builds the marginal over these contexts `[K, width]` with weights `[K]`, which are divided by
    /// their sum.
    ///
    /// # Errors
    ///
    /// If there is no context, or a weight is not positive and finite.
    ///
    /// # Panics
    ///
    /// If the number of weights differs from the number of contexts.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::conditioner::MlpConfig;
    /// use burn_flows::distribution::{ConditionalNormalConfig, Marginal};
    ///
    /// let device = Device::flex();
    /// let config = ConditionalNormalConfig::new(vec![2], 1, MlpConfig::new(vec![8]));
    /// let contexts = Tensor::from_data([[-1.0], [1.0]], &device);
    /// let (rare, frequent) = (1.0, 9.0);
    /// let weights = Tensor::from_data([rare, frequent], &device);
    /// assert!(Marginal::new(config.init::<2>(&device), contexts, weights).is_ok());
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn new(conditional: P, contexts: Tensor<2>, weights: Tensor<1>) -> Result<Self> {
        let (expected, found) = (contexts.dims()[0], weights.dims()[0]);
        count("Marginal", "contexts", 1, expected)?;
        assert!(
            found == expected,
            "Marginal: expected weights of shape [{expected}], found [{found}]"
        );
        finite("Marginal", "weights", &weights, 0.0)?;
        let weights = weights.without_autodiff();
        let log_weights = (weights.clone() / weights.sum()).log();
        Ok(Self {
            conditional,
            contexts: Param::from_tensor(contexts.without_autodiff()).set_require_grad(false),
            log_weights: Param::from_tensor(log_weights).set_require_grad(false),
        })
    }

    /// Builds the marginal over `classes` equally likely one-hot classes.
    ///
    /// # Errors
    ///
    /// If `classes` is 0.
    pub fn of_classes(conditional: P, classes: usize, device: &Device) -> Result<Self> {
        count("Marginal", "classes", 1, classes)?;
        let plain = device.clone().without_autodiff();
        let rows = Tensor::<1, Int>::arange(0..classes as i64, &plain);
        Self::new(conditional, rows.one_hot(classes).float(), Tensor::ones([classes], &plain))
    }

    /// Returns the conditional density.
    pub fn conditional(&self) -> &P {
        &self.conditional
    }

    /// Returns the contexts that are marginalised, `[K, width]`.
    pub fn contexts(&self) -> Tensor<2> {
        self.contexts.val()
    }

    /// Draws `n` contexts by weight.
    fn drawn(&self, n: usize, noise: &mut Noise) -> Tensor<2> {
        let weights = self.log_weights.val().exp().unsqueeze_dim(0);
        let contexts = self.contexts.val();
        let chosen = index_tensor(&drawn_by_weight(weights, n, noise, |_| {}), &contexts.device());
        contexts.select(0, chosen)
    }
}

impl<const D: usize, P: Distribution<D>> Distribution<D> for Marginal<P> {
    fn log_prob(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        apart(self, || {
            let batch = x.dims()[0];
            let contexts = self.contexts.val();
            let term = |k: usize| {
                let context = contexts.clone().narrow(0, k, 1);
                self.conditional.log_prob(x.clone(), Some(&context)).reshape([batch, 1])
            };
            let terms = Tensor::cat((0..contexts.dims()[0]).map(term).collect(), 1);
            log_sum_exp(terms + wide(self.log_weights.val()).unsqueeze_dim(0), 1).reshape([batch])
        })
    }

    fn sample(
        &self,
        n: usize,
        _context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        apart(self, || {
            let contexts = self.drawn(n, noise);
            self.conditional.sample(n, Some(&contexts), noise, device)
        })
    }

    fn integer_levels(&self) -> Option<usize> {
        self.conditional.integer_levels()
    }

    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        self.conditional.column_levels(columns)
    }

    fn mixes_rows(&self) -> bool {
        self.conditional.mixes_rows()
    }

    /// Initialises the conditional density with a context drawn by weight for every row.
    fn init_from_data(self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Self {
        let contexts = self.drawn(x.dims()[0], &mut Noise::seeded(0));
        Self { conditional: self.conditional.init_from_data(x, Some(&contexts)), ..self }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        if !walk.comes_back() {
            let contexts = self.contexts.val();
            for k in 0..contexts.dims()[0] {
                let context = contexts.clone().narrow(0, k, 1);
                let at = at.part("conditional").with_context(Some(&context));
                self.conditional.walk(walk, &at, x.clone());
            }
        }
        let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
        gradient
    }
}
