//! Standardisation of contexts by a fixed shift and scale.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::{Embedded, Encoder};
use crate::bijector::Standardize;
use crate::conditioner::check_context;
use crate::error::{Error, Result};
use crate::moments::Moments;

crate::store::checked! {
/// Zero mean and unit variance for every column of a context. Shift and scale are saved with the model and never
/// trained.
///
/// ```text
/// out = (c - mean) / std        std = 1 for a constant column
/// ```
///
/// The networks of this crate standardise their contexts from a first batch. Use this encoder for layers that take the
/// context unchanged, for statistics of all contexts in place of a first batch, and in a training loop of your own.
///
/// # Shapes
///
/// - context and output `[rows, width]`
///
/// # Numerics
///
/// The mean is stored as two numbers, so that a mean that is large beside the deviation keeps its digits.
///
/// # Panics
///
/// If the context has another width than the contexts that the encoder was built from.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, StandardizeContext};
///
/// let contexts = Tensor::<2>::from_data([[290.0, 7.0], [310.0, 7.0]], &Device::flex());
/// let encoder = StandardizeContext::from_data(&contexts)?;
/// let features = encoder.encode(contexts).into_data().try_to_vec_as::<f32>().unwrap();
/// assert_eq!(features, [-1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct StandardizeContext {
    standardize: Standardize<2>,
}
}

impl StandardizeContext {
    /// Returns an error if the fields read from a file do not form a valid encoder.
    fn sound(&self) -> Result<()> {
        let [rows, _] = self.standardize.dims();
        crate::store::require("StandardizeContext", "standardize", rows == 1, || {
            format!("must hold 1 row of means, found {rows}")
        })
    }

    /// Builds the encoder from the mean and the standard deviation of the columns of `contexts`. The standard deviation
    /// divides by the number of rows. A constant column keeps its place: it is shifted to 0 and not scaled.
    ///
    /// # Errors
    ///
    /// If there are fewer than two rows, a value is not finite, or the values or the standard deviation of a column
    /// leave the range of the precision.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::encoder::StandardizeContext;
    ///
    /// let contexts = Tensor::<2>::from_data([[1.0, 2.0], [f32::NAN, 2.0]], &Device::flex());
    /// let error = StandardizeContext::from_data(&contexts).unwrap_err();
    /// assert_eq!(error.to_string(), "StandardizeContext: row 1, column 0 holds NaN; remove or impute it");
    /// ```
    pub fn from_data(contexts: &Tensor<2>) -> Result<Self> {
        const NAME: &str = "StandardizeContext";
        let [rows, width] = contexts.dims();
        if rows < 2 {
            return Err(Error::data(NAME, format!("needs at least 2 rows, found {rows}")));
        }
        let values: Vec<f64> = contexts.to_data().iter::<f64>().collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let value = values[at];
            let (row, column) = (at / width, at % width);
            let reason = format!("row {row}, column {column} holds {value}; remove or impute it");
            return Err(Error::data(NAME, reason));
        }
        let moments = Moments::of_elements(contexts);
        let deviation = moments.deviation();
        let spans = moments.span.iter().zip(deviation);
        let std = spans.map(|(span, std)| if *span == 0.0 { 1.0 } else { std }).collect();
        let standardize = Standardize::of_moments(moments, std, contexts);
        let standardize = standardize.map_err(|error| match error {
            Error::Data { reason, .. } => Error::data(NAME, reason),
            other => other,
        })?;
        Ok(Self { standardize })
    }
}

impl Encoder for StandardizeContext {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        check_context("StandardizeContext", self.standardize.dims()[1], Some(&context));
        self.standardize.standardized(context)
    }

    /// The shift and the scale stay as they are.
    fn init_from_data(self, _context: Tensor<2>) -> Self {
        self
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}

impl<F> Embedded<StandardizeContext, F> {
    /// The density under contexts that are standardised by the columns of these contexts.
    ///
    /// # Errors
    ///
    /// The errors of [`StandardizeContext::from_data`].
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::{encoder::Embedded, distribution::Distribution, model::IafConfig};
    ///
    /// let device = Device::flex();
    /// let kelvin = Tensor::<2>::from_data([[280.0], [290.0], [320.0]], &device);
    /// let flow = Embedded::standardized(IafConfig::new(2).with_context(1).init(&device), &kelvin)?;
    /// assert_eq!(flow.log_prob(Tensor::<2>::zeros([3, 2], &device), Some(&kelvin)).dims(), [3]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn standardized(density: F, contexts: &Tensor<2>) -> Result<Self> {
        Ok(Self::new(StandardizeContext::from_data(contexts)?, density))
    }
}
