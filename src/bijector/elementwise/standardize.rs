//! Standardisation: fixed shift and scale per element, taken from data.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Serialize;

use crate::bijector::{Bijector, Recovery};
use crate::error::{Error, Result};
use crate::math::{repeat_batch, wide};
use crate::moments::Moments;
use crate::rows::callers_dims;

crate::store::checked! {
/// Zero mean and unit variance for every element of an event. The layer is saved with the model and never trained.
///
/// ```text
/// forward   z = (x - mean) / std
/// log-det   minus the sum of ln std
/// inverse   x = z * std + mean
/// ```
///
/// # Shapes
///
/// - input and output: `[batch, event..]`, with the event shape that the layer was built from
///
/// # Panics
///
/// If the shape of the event differs from the shape that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{DType, Device, Tensor, TensorData};
/// use burn_flows::bijector::{Bijector, Standardize};
///
/// let x = Tensor::<2>::from_data([[1.0, 10.0], [3.0, 30.0]], &Device::flex());
/// let (z, _) = Standardize::from_data(x.clone())?.forward(x.clone(), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [-1.0, -1.0, 1.0, 1.0]);
/// assert!(Standardize::from_data(x.slice([0..1])).is_err()); // one row has no variance
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Standardize<const D: usize> {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<D>>,
    /// The rounding error of `mean`, added back.
    #[serde(with = "crate::store::part")]
    rest: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    std: Param<Tensor<D>>,
}
}

impl<const D: usize> Standardize<D> {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        crate::store::shaped("Standardize", "std", &self.mean.dims(), self.std.dims())?;
        crate::store::shaped("Standardize", "rest", &self.mean.dims(), self.rest.dims())?;
        Self::new(self.mean.val() + self.rest.val(), self.std.val()).map(drop)
    }
}

impl<const D: usize> Standardize<D> {
    /// Builds the layer from the mean and standard deviation of the rows of `x`. The standard deviation divides by the
    /// number of rows.
    ///
    /// # Errors
    ///
    /// If there are fewer than two rows, a value is not finite, an element is constant, or the values or the standard
    /// deviation of an element leave the range of the precision.
    pub fn from_data(x: Tensor<D>) -> Result<Self> {
        let rows = x.dims()[0];
        if rows < 2 {
            return Err(Error::data("Standardize", format!("needs at least 2 rows, found {rows}")));
        }
        let moments = Moments::of_elements(&x);
        let deviation = moments.deviation();
        Self::of_moments(moments, deviation, &x)
    }

    /// Builds the layer from the moments of the rows of `x`, and a standard deviation for every element.
    ///
    /// # Errors
    ///
    /// If the values or the standard deviation of an element leave the range of the precision.
    pub(crate) fn of_moments(moments: Moments, std: Vec<f64>, x: &Tensor<D>) -> Result<Self> {
        let largest = x.dtype().finfo().expect("a float has these").max;
        if let Some(at) = moments.span.iter().position(|span| span.is_finite() && *span > largest) {
            let reason = format!(
                "element {at} has a range of {:e}, which overflows {:?}; scale the element down",
                moments.span[at],
                x.dtype()
            );
            return Err(Error::data("Standardize", reason));
        }
        let mut shape = x.dims();
        shape[0] = 1;
        Self::of_host(moments.mean, std, shape, &x.device(), x.dtype())
    }

    /// Builds the layer from a given mean and standard deviation, both `[1, event..]`.
    ///
    /// # Errors
    ///
    /// If the shapes differ, a value is not finite, or a standard deviation is not a positive normal
    /// number of its precision.
    pub fn new(mean: Tensor<D>, std: Tensor<D>) -> Result<Self> {
        if mean.dims() != std.dims() || mean.dims()[0] != 1 {
            let reason = format!(
                "mean and std must both have shape [1, event..], found {:?} and {:?}",
                mean.dims(),
                std.dims()
            );
            return Err(Error::data("Standardize", reason));
        }
        let host = |t: &Tensor<D>| t.to_data().iter::<f64>().collect();
        Self::of_host(host(&mean), host(&std), mean.dims(), &mean.device(), mean.dtype())
    }

    fn of_host(
        mean: Vec<f64>,
        std: Vec<f64>,
        shape: [usize; D],
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let rounded = |values: &[f64], dtype: DType| -> Vec<f64> {
            let data = TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype);
            data.iter::<f64>().collect()
        };
        let least = dtype.finfo().expect("a float has these").min_positive;
        let fits = |v: f64| v.is_finite() && v >= least;
        if let Some(at) = rounded(&std, dtype).into_iter().position(|v| !fits(v)) {
            let deviation = std[at];
            let why = match deviation > 0.0 && deviation.is_finite() {
                true => format!("outside the normal range of {dtype:?}; scale the element"),
                false => "expected a positive finite number; remove a constant element or a \
                          non-finite row"
                    .to_string(),
            };
            let reason = format!("element {at} has standard deviation {deviation}, {why}");
            return Err(Error::data("Standardize", reason));
        }
        if let Some(at) = mean.iter().position(|v| !v.is_finite()) {
            let reason = format!("element {at} has mean {}, expected a finite number", mean[at]);
            return Err(Error::data("Standardize", reason));
        }
        // Also in f64 the mean is stored as an f32 number and a rest, so that a cast to f32 keeps both.
        let narrow = if dtype == DType::F64 { DType::F32 } else { dtype };
        let narrow = rounded(&mean, narrow);
        let high = narrow.iter().zip(&mean);
        let high: Vec<f64> =
            high.map(|(high, v)| if high.is_finite() { *high } else { *v }).collect();
        let rest = mean.iter().zip(&high).map(|(mean, high)| mean - high).collect();
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), (device, dtype));
        Ok(Self::fixed(tensor(high), tensor(rest), tensor(std)))
    }

    /// Builds the layer with mean 0 and standard deviation 1, for an event shape without the batch axis. Use it as a
    /// place to load saved values into.
    ///
    /// # Panics
    ///
    /// If the event does not have `D - 1` axes.
    pub fn identity(event: &[usize], device: &Device) -> Self {
        assert!(
            event.len() + 1 == D,
            "Standardize: expected an event of {} axes, found {event:?}",
            D - 1
        );
        let mut shape = [1; D];
        shape[1..].copy_from_slice(event);
        let zeros = || Tensor::zeros(shape, device);
        Self::fixed(zeros(), zeros(), Tensor::ones(shape, device))
    }

    fn fixed(mean: Tensor<D>, rest: Tensor<D>, std: Tensor<D>) -> Self {
        let fixed = |t: Tensor<D>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        Self { mean: fixed(mean), rest: fixed(rest), std: fixed(std) }
    }

    /// The shape of an event, with 1 on the batch axis.
    pub(crate) fn dims(&self) -> [usize; D] {
        self.mean.dims()
    }

    /// The standardised values, in the graph of `x`.
    pub(crate) fn standardized(&self, x: Tensor<D>) -> Tensor<D> {
        (x - self.mean.val() - self.rest.val()) / self.std.val()
    }

    fn check(&self, x: &Tensor<D>) {
        let (mut expected, found) = (self.mean.val().dims(), callers_dims(x));
        expected[0] = found[0];
        assert!(found == expected, "Standardize: expected shape {expected:?}, found {found:?}");
    }
}

impl<const D: usize> Bijector<D> for Standardize<D> {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.check(&x);
        let log_det = repeat_batch(wide(self.std.val()).log().sum().neg(), &x);
        (self.standardized(x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
        self.check(&z);
        (z * self.std.val() + self.rest.val()) + self.mean.val()
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
