//! Flows in the units of the data: standardisation and bounds as first layers.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::{Flow, float_dtype};
use crate::bijector::{Bijector, Bound, Bounded, Standardize};
use crate::error::{Error, Result};

impl<B: Module + ModuleDisplay, P: Module + ModuleDisplay> Flow<B, P> {
    /// Puts the standardisation of the rows of `x` before the bijector. `encode`, `decode`, `log_prob` and `sample` then
    /// take and return events in the units of `x`. The mean and the standard deviation are saved with the flow and never
    /// trained.
    ///
    /// ```text
    /// log p(x) = log p(f((x - mean) / std)) + log-det of f - sum of ln std
    /// ```
    ///
    /// All rows of `x` count equally: leave out rows that have a weight of 0 in training, and outliers.
    ///
    /// # Errors
    ///
    /// The errors of [`Standardize::from_data`]. Also if `x` has another precision than the flow.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::{Noise, model::RealNvpConfig};
    ///
    /// let x = Noise::seeded(1).normal::<2>([500, 3], &Device::flex()) * 200.0 + 1e4;
    /// let flow = RealNvpConfig::new(3).with_layers(2).with_seed(1).init(&Device::flex());
    /// let flow = flow.standardized(&x)?;
    /// let mean = flow.sample_seeded::<2>(500, 1).mean().into_scalar::<f32>();
    /// assert!((mean - 1e4).abs() < 50.0);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn standardized<const D: usize>(self, x: &Tensor<D>) -> Result<Flow<(Standardize<D>, B), P>>
    where
        B: Bijector<D>,
    {
        check_precision(&self, x)?;
        let standardize = Standardize::from_data(x.clone())?;
        let Self { bijector, base } = self;
        Ok(Flow { bijector: (standardize, bijector), base })
    }

    /// [`standardized`](Self::standardized) for elements with bounds. [`Bounded`] maps every element to the real line,
    /// then the unbounded values of the rows of `x` are standardised. Samples lie inside the bounds.
    ///
    /// A value of `x` at an end counts as the nearest number inside, whose unbounded value is far from the others. Many
    /// such values widen the standardisation.
    ///
    /// # Errors
    ///
    /// The errors of [`Bounded::new`], [`Bounded::check`] and [`Standardize::from_data`]. Also if `x` has another
    /// precision than the flow.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::{Noise, bijector::Bound, model::RealNvpConfig};
    ///
    /// let x = Noise::seeded(1).uniform::<2>([500, 2], &Device::flex()) * 3.0;
    /// let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&Device::flex());
    /// let flow = flow.standardized_within(vec![Bound::Above(0.0), Bound::Between(0.0, 3.0)], &x)?;
    /// let drawn = flow.sample_seeded::<2>(1000, 1);
    /// assert!(drawn.clone().min().into_scalar::<f32>() > 0.0);
    /// assert!(drawn.narrow(1, 1, 1).max().into_scalar::<f32>() < 3.0);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn standardized_within<const D: usize>(
        self,
        bounds: Vec<Bound>,
        x: &Tensor<D>,
    ) -> Result<Flow<(Bounded, Standardize<D>, B), P>>
    where
        B: Bijector<D>,
    {
        check_precision(&self, x)?;
        let bounded = Bounded::new(bounds)?;
        bounded.check(x)?;
        let unbounded = bounded.forward(x.clone().without_autodiff(), None).0;
        let standardize = Standardize::from_data(unbounded)?;
        let Self { bijector, base } = self;
        Ok(Flow { bijector: (bounded, standardize, bijector), base })
    }
}

/// Returns an error if the rows have another precision than the flow.
fn check_precision<M: Module + ModuleDisplay, const D: usize>(
    flow: &M,
    x: &Tensor<D>,
) -> Result<()> {
    match (float_dtype(flow), x.dtype()) {
        (Some(expected), found) if expected != found => {
            let reason = format!(
                "the rows hold {found:?}, but the flow computes in {expected:?}; cast the rows or the flow"
            );
            Err(Error::data("Standardize", reason))
        }
        _ => Ok(()),
    }
}
