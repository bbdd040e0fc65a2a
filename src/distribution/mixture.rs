//! Mixture of distributions of any kind, including flows.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, drawn_by_weight, finite, given};
use crate::conditioner::{MlpConfig, RowParams};
use crate::crew::apart;
use crate::error::{Result, count};
use crate::math::log_sum_exp;
use crate::noise::Noise;
use crate::param::index_tensor;
use crate::rows::check_rows;
use crate::walk::{Place, Walk};

crate::store::checked! {
/// A mixture of `K` distributions of one type, with learned weights or weights from the context.
///
/// ```text
/// log p(x | c) = ln sum_k exp(ln w_k(c) + ln p_k(x | c))        w = softmax(a + network(c))
/// sample         k with probability w_k(c), then x from p_k
/// ```
///
/// The vector `a` is learned. The network exists only after [`with_context`](Self::with_context).
///
/// Paper of mixtures whose components are flows: Pires, Figueiredo (2020), Variational Mixture of
/// Normalizing Flows, arXiv:2009.00585.
///
/// Components that start equal stay equal. Flows start as the identity, but their networks differ, so
/// training separates them. For well-separated modes, give each component a base with its own location.
///
/// Every component receives the context, also if the weights do not depend on it.
///
/// # Shapes
///
/// - events: `[batch, event..]`, as the components expect
/// - context: `[batch, context]`, or one row that applies to the whole batch
///
/// # Numerics
///
/// A draw is differentiable in the parameters of its component. It is not differentiable in the
/// weights, which choose the component.
///
/// # Panics
///
/// If an event or the context does not fit the components, or the context does not fit the weights.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, distribution::{DiagNormal, Distribution, Mixture}};
///
/// let device = Device::flex();
/// let at = |mean: f64| {
///     let mean = Tensor::<2>::from_data([[mean]], &device);
///     DiagNormal::fixed(mean.clone(), mean.ones_like() * 0.1)
/// };
/// let mixture = Mixture::new(vec![at(-5.0)?, at(5.0)?], &device)?;
/// let x = mixture.sample(100, None, &mut Noise::seeded(1), &device);
/// assert!(x.clone().min().into_scalar::<f32>() < -4.0 && x.max().into_scalar::<f32>() > 4.0);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Mixture<P> {
    components: Vec<P>,
    weights: RowParams,
    conditional: bool,
}
}

impl<P> Mixture<P> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let (count, weights) = (self.components.len(), self.weights.count());
        let reason =
            || format!("must hold 1 weight per component, found {weights} for {count} components");
        crate::store::require("Mixture", "weights", count > 0 && count == weights, reason)?;
        let reason = || "must be true exactly if the weights have a context".to_string();
        crate::store::require(
            "Mixture",
            "conditional",
            self.conditional == self.weights.has_context(),
            reason,
        )
    }
}

impl<P: Module> Mixture<P> {
    /// Builds the mixture of these components with equal initial weights.
    ///
    /// # Errors
    ///
    /// If `components` is empty.
    pub fn new(components: Vec<P>, device: &Device) -> Result<Self> {
        count("Mixture", "components", 1, components.len())?;
        let logits = Tensor::zeros([components.len()], device);
        Ok(Self { components, weights: RowParams::free(logits), conditional: false })
    }

    /// Returns the mixture with these initial weights, `[components]`, which are divided by their sum.
    ///
    /// # Errors
    ///
    /// If a weight is not positive and finite.
    ///
    /// # Panics
    ///
    /// If the number of weights differs from the number of components.
    pub fn with_weights(self, weights: Tensor<1>) -> Result<Self> {
        let (expected, found) = (self.components.len(), weights.dims()[0]);
        assert!(
            found == expected,
            "Mixture: expected weights of shape [{expected}], found [{found}]"
        );
        finite("Mixture", "weights", &weights, 0.0)?;
        let logits = weights.without_autodiff().log();
        Ok(Self { weights: RowParams::free(logits), conditional: false, ..self })
    }

    /// Returns the mixture with weights from a context of this width. The initial weights are equal if
    /// the network's last layer is zero.
    ///
    /// # Errors
    ///
    /// If `mlp` is invalid, or the width is 0.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::conditioner::MlpConfig;
    /// use burn_flows::distribution::{ConditionalNormalConfig, Distribution, Mixture};
    ///
    /// let device = Device::flex();
    /// let mlp = MlpConfig::new(vec![8]);
    /// let normal = || ConditionalNormalConfig::new(vec![2], 3, mlp.clone()).init::<2>(&device);
    /// let mixture = Mixture::new(vec![normal(), normal()], &device)?;
    /// let mixture = mixture.with_context(3, &mlp, &device)?;
    /// let (x, c) = (Tensor::<2>::zeros([5, 2], &device), Tensor::ones([5, 3], &device));
    /// assert_eq!(mixture.log_prob(x, Some(&c)).dims(), [5]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn with_context(self, context: usize, mlp: &MlpConfig, device: &Device) -> Result<Self> {
        count("Mixture", "context", 1, context)?;
        mlp.validate_between(context, self.components.len(), 0)?;
        let weights = RowParams::new(vec![0.0; self.components.len()], mlp, context, device);
        Ok(Self { weights, conditional: true, ..self })
    }

    given! {}

    /// Returns the components of the mixture.
    pub fn components(&self) -> &[P] {
        &self.components
    }

    /// `ln w`, `[1, components]`, or `[batch, components]` from a context.
    fn log_weights(&self, rows: usize, context: Option<&Tensor<2>>) -> Tensor<2> {
        check_rows("Mixture", rows, context);
        log_softmax(self.weights.rows("Mixture", context.filter(|_| self.conditional)), 1)
    }
}

impl<const D: usize, P: Distribution<D>> Distribution<D> for Mixture<P> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        apart(self, || {
            let batch = x.dims()[0];
            let log_weights = self.log_weights(batch, context);
            let term = |part: &P| part.log_prob(x.clone(), context).reshape([batch, 1]);
            let terms = Tensor::cat(self.components.iter().map(term).collect(), 1);
            log_sum_exp(terms + log_weights, 1).reshape([batch])
        })
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        apart(self, || {
            let weights = self.log_weights(n, context).without_autodiff().exp();
            let chosen = drawn_by_weight(weights, n, noise, |_| {});
            let (mut parts, mut order) = (vec![], vec![]);
            for (index, component) in self.components.iter().enumerate() {
                let rows: Vec<usize> = (0..n).filter(|&row| chosen[row] == index).collect();
                // If `n` is 0, the first component gives the shape of the empty tensor.
                if rows.is_empty() && !(n == 0 && index == 0) {
                    continue;
                }
                let context = context.map(|c| match c.dims()[0] {
                    1 => c.clone(),
                    _ => c.clone().select(0, index_tensor(&rows, &c.device())),
                });
                parts.push(component.sample(rows.len(), context.as_ref(), noise, device));
                order.extend(rows);
            }
            let drawn = Tensor::cat(parts, 0);
            if n == 0 {
                return drawn;
            }
            let mut place = vec![0; n];
            order.iter().enumerate().for_each(|(at, &row)| place[row] = at);
            let place = index_tensor(&place, &drawn.device());
            drawn.select(0, place)
        })
    }

    fn integer_levels(&self) -> Option<usize> {
        let levels = self.components[0].integer_levels();
        levels.filter(|_| self.components.iter().all(|part| part.integer_levels() == levels))
    }

    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        let mut levels = self.components[0].column_levels(columns);
        for part in &self.components[1..] {
            let other = part.column_levels(columns);
            levels
                .iter_mut()
                .zip(other)
                .for_each(|(own, other)| *own = own.filter(|_| *own == other));
        }
        levels
    }

    fn mixes_rows(&self) -> bool {
        self.components.iter().any(|part| part.mixes_rows())
    }

    /// Initialises component `k` of `K` from every `K`-th row, or from all rows if there are too few.
    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        let (rows, count) = (x.dims()[0], self.components.len());
        check_rows("Mixture", rows, context);
        let start = |(index, component): (usize, P)| {
            let own: Vec<usize> = (index..rows).step_by(count).collect();
            if own.len() < 2 {
                return component.init_from_data(x.clone(), context);
            }
            let own = index_tensor(&own, &x.device());
            let context = context.map(|c| match c.dims()[0] {
                1 => c.clone(),
                _ => c.clone().select(0, own.clone()),
            });
            component.init_from_data(x.clone().select(0, own), context.as_ref())
        };
        let components = self.components.into_iter().enumerate().map(start).collect();
        Self { components, weights: self.weights.init_from_data(context), ..self }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        if !walk.comes_back() {
            for (index, component) in self.components.iter().enumerate() {
                let at = at.part(format_args!("components.{index}"));
                component.walk(walk, &at, x.clone());
            }
        }
        let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
        gradient
    }
}
