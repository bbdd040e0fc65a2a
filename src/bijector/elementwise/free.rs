//! A scalar map with separate parameters for every element, which may depend on a context.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::bijector::{Bijector, Recovery};
use crate::conditioner::{Conditioner, Mlp, MlpConfig, check_context};
use crate::error::{Result, count, expect_valid, fits};
use crate::math::event_len;
use crate::rows::{callers_dims, check_rows};
use crate::univariate::{Univariate, WideUnivariate, check_elements};

crate::store::checked! {
/// A univariate map of every element, with separate parameters per element. The initial parameters are zero, so the
/// initial map is the identity, or close to it.
///
/// ```text
/// forward   z_i = f(x_i; theta_i)        theta learned, or theta + h(c) with a network h
/// log-det   sum of ln |f'(x_i; theta_i)|
/// inverse   x_i = f^-1(z_i; theta_i)
/// ```
///
/// Same numbers as zuko 1.6 `ElementWiseTransform`, with and without a context.
///
/// # Shapes
///
/// - input and output: `[batch, event..]`
/// - context: `[batch, context]`, if [`with_context`](Self::with_context) was called; any other context is ignored
///
/// # Panics
///
/// If the number of elements of the event, or the width of the context, differs from the number or the width that the
/// layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, Elementwise}, univariate::Affine};
///
/// let device = Device::flex();
/// let layer = Elementwise::new(Affine::default(), 3, &device)?;
/// let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// assert_eq!(z.into_data(), x.into_data());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Elementwise<U: Univariate> {
    univariate: U,
    #[serde(with = "crate::store::part")]
    params: Param<Tensor<2>>,
    network: Option<Mlp>,
    context: usize,
}
}

impl<U: Univariate> Elementwise<U> {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let needed = self.univariate.params_per_element();
        let [found, elements] = self.params.dims();
        let reason =
            || format!("must have shape [{needed}, elements], found [{found}, {elements}]");
        crate::store::require("Elementwise", "params", needed == found && elements > 0, reason)?;
        let fits = self.network.is_some() == (self.context > 0);
        crate::store::require("Elementwise", "context", fits, || {
            format!("must be 0 without a network, above 0 with a network, found {}", self.context)
        })?;
        let ends = [self.context, self.params()];
        let fits = self.network.as_ref().is_none_or(|network| network.ends() == ends);
        crate::store::require("Elementwise", "network", fits, || {
            format!("must map {} context values to {} outputs", ends[0], ends[1])
        })
    }
}

impl<U: Univariate> Elementwise<U> {
    /// Builds the map of `elements` elements, with all parameters zero.
    ///
    /// # Errors
    ///
    /// If `elements` is 0, if the map is for another number of elements, or if the parameters have more than 2^31
    /// elements.
    pub fn new(univariate: U, elements: usize, device: &Device) -> Result<Self> {
        count("Elementwise", "elements", 1, elements)?;
        check_elements("Elementwise", &univariate, elements)?;
        let per_element = univariate.params_per_element();
        fits("Elementwise", "elements", &[per_element, elements])?;
        let params = Tensor::zeros([per_element, elements], device);
        Ok(Self::from_weights(univariate, params))
    }

    /// Builds the map with given parameters, `[P, elements]`.
    ///
    /// # Panics
    ///
    /// If the first axis differs from the number of parameters that the map needs, or the map is for another number of
    /// elements.
    pub fn from_weights(univariate: U, params: Tensor<2>) -> Self {
        let (expected, found) = (univariate.params_per_element(), params.dims());
        assert!(
            found[0] == expected,
            "Elementwise: expected parameters of shape [{expected}, elements], found {found:?}"
        );
        expect_valid(check_elements("Elementwise", &univariate, found[1]));
        Self { univariate, params: Param::from_tensor(params), network: None, context: 0 }
    }

    /// Makes the parameters depend on a context of width `context`. A dense network maps the context to values that are
    /// added to the parameters.
    ///
    /// # Errors
    ///
    /// If `context` is 0, or [`MlpConfig::validate`] fails.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::{bijector::{Bijector, Elementwise}, conditioner::MlpConfig, univariate::Affine};
    ///
    /// let device = Device::flex();
    /// let mlp = MlpConfig::new(vec![8]);
    /// let layer = Elementwise::new(Affine::default(), 3, &device)?.with_context(&mlp, 2, &device)?;
    /// let (x, context) = (Tensor::<2>::ones([5, 3], &device), Tensor::ones([5, 2], &device));
    /// let (z, _) = layer.forward(x, Some(&context));
    /// assert_eq!(z.dims(), [5, 3]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn with_context(self, mlp: &MlpConfig, context: usize, device: &Device) -> Result<Self> {
        count("Elementwise", "context", 1, context)?;
        mlp.validate_between(context, self.params(), 0)?;
        let network = mlp.of_context(context, self.params(), device);
        Ok(self.with_network(network, context))
    }

    /// The number of parameters of all elements.
    pub(crate) fn params(&self) -> usize {
        self.params.lazy_shape().iter().product()
    }

    /// Adds a network `[batch, context] -> [batch, P * elements]`.
    pub(crate) fn with_network(self, network: Mlp, context: usize) -> Self {
        Self { network: Some(network), context, ..self }
    }

    /// The rows, flattened, and the parameters of each row.
    fn spread<const D: usize>(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<3>) {
        let params = self.params.val();
        let [per_element, elements] = params.dims();
        let (batch, found) = (x.dims()[0], event_len(&x));
        assert!(
            found == elements,
            "Elementwise: expected an event of {elements} elements, found shape {:?}",
            callers_dims(&x)
        );
        let params = params.reshape([1, per_element, elements]);
        let params = match &self.network {
            None => params,
            Some(network) => {
                check_context("Elementwise", self.context, context);
                check_rows("Elementwise", batch, context);
                let given = network.forward(context.expect("checked").clone(), None);
                let rows = given.dims()[0];
                params + given.reshape([rows, per_element, elements])
            }
        };
        (x.reshape([batch, elements]), params.expand([batch, per_element, elements]))
    }
}

impl<const D: usize, U: Univariate> Bijector<D> for Elementwise<U> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let dims = x.dims();
        let (x, params) = self.spread(x, context);
        let (z, log_det) = self.univariate.wide_forward(x, params);
        (z.reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let dims = z.dims();
        let (z, params) = self.spread(z, context);
        self.univariate.wide_inverse(z, params).reshape(dims)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let dims = z.dims();
        let (z, params) = self.spread(z, context);
        let (x, log_det) = self.univariate.wide_inverse_with_log_det(z, params);
        (x.reshape(dims), log_det)
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let network = match (self.network, context) {
            (Some(network), Some(context)) => Some(network.init_from_data(context.clone(), None)),
            (network, _) => network,
        };
        let layer = Self { network, ..self };
        let (z, _) = Bijector::<D>::forward(&layer.valid(), x, context);
        (layer, z)
    }

    fn recovery(&self) -> Recovery {
        if self.univariate.has_inverse_formula() { Recovery::Inverse } else { Recovery::Input }
    }
}
