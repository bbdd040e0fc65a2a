//! Bounds per element: half lines and intervals to the real line.

use burn::module::Module;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, Recovery};
use crate::error::{Error, Result, count};
use crate::math::{event_len, fine, sigmoid, sum_event, wide_dtype, zeros_batch};
use crate::rows::callers_dims;

/// The values that an element can take, for [`Bounded`]. Every set is open: it does not hold its ends.
///
/// ```
/// use burn_flows::bijector::{Bound, Bounded};
///
/// assert!(Bounded::new(vec![Bound::Free, Bound::Above(0.0), Bound::Between(0.0, 1.0)]).is_ok());
/// let error = Bounded::new(vec![Bound::Free, Bound::Between(1.0, 1.0)]).unwrap_err();
/// assert_eq!(error.to_string(), "Bounded.bounds: element 1 needs low < high, found Between(1.0, 1.0)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Bound {
    /// Every real number.
    Free,
    /// The numbers above this one.
    Above(f64),
    /// The numbers below this one.
    Below(f64),
    /// The numbers between these two, the lower one first.
    Between(f64, f64),
}

/// The largest number of f32. Larger ends would be infinite there.
const LARGEST: f64 = f32::MAX as f64;

impl Bound {
    /// The finite ends.
    fn ends(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Free => (None, None),
            Self::Above(low) => (Some(low), None),
            Self::Below(high) => (None, Some(high)),
            Self::Between(low, high) => (Some(low), Some(high)),
        }
    }
}

crate::store::checked! {
/// Maps bounded elements to the real line: a logarithm of the distance from one end, or the logit of an interval.
///
/// ```text
/// free      z = x
/// above     z = ln(x - low)
/// below     z = -ln(high - x)
/// between   z = ln(x - low) - ln(high - x)
/// log-det   sum of 0, -ln(x - low), -ln(high - x), or ln(high - low) - ln(x - low) - ln(high - x)
/// inverse   x = z,  low + exp(z),  high - exp(-z),  or low + (high - low) sigmoid(z)
/// ```
///
/// Every map increases. Paper: Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic Differentiation Variational
/// Inference, section 2.3 (transformations of constrained variables), arXiv:1603.00788.
///
/// [`Flow::standardized_within`](crate::Flow::standardized_within) puts this layer in front of a flow, and standardises
/// the unbounded values.
///
/// # Shapes
///
/// - input and output: `[batch, event..]`, with one bound for each element of the flattened event
///
/// # Numerics
///
/// The ends are rounded to the precision of the batch. A value at an end counts as the nearest normal number inside, so
/// its density is finite; its gradient is zero. A value outside has density zero: the log-det of its row is `-inf`, its
/// `z` is finite and its gradient is zero. [`check`](Self::check) finds such a value. The inverse of every `z` lies
/// strictly inside the bounds and is finite, also where the formula rounds to an end or overflows. A NaN stays a NaN.
///
/// The distances from the ends are exact differences, so a narrow interval far from 0, as [1e6, 1e6 + 1], keeps every
/// digit that the batch has.
///
/// # Panics
///
/// If the event has another number of elements than there are bounds, or bounds have no number between them in the
/// precision of the batch.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Bound, Bounded};
///
/// let layer = Bounded::new(vec![Bound::Free, Bound::Above(0.0), Bound::Between(0.0, 4.0)])?;
/// let x = Tensor::<2>::from_data([[-3.0, 1.0, 2.0], [0.0, 1.0, 7.0]], &Device::flex());
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert_eq!(z.slice([0..1]).into_data().try_to_vec_as::<f32>().unwrap(), [-3.0, 0.0, 0.0]);
/// assert_eq!(log_det.into_data().try_to_vec_as::<f32>().unwrap(), [0.0, f32::NEG_INFINITY]);
/// let error = layer.check(&x).unwrap_err().to_string();
/// assert_eq!(error, "Bounded: row 1, column 2 holds 7, expected Between(0.0, 4.0)");
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Bounded {
    #[module(skip)]
    bounds: Vec<Bound>,
}
}

impl Bounded {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        Self::new(self.bounds.clone()).map(drop)
    }

    /// Builds the layer with one bound for each element of an event.
    ///
    /// # Errors
    ///
    /// If there is no bound, an end or a width is not finite in f32, or a lower end is not below its upper end.
    pub fn new(bounds: Vec<Bound>) -> Result<Self> {
        count("Bounded", "bounds", 1, bounds.len())?;
        let wrong = |at: usize, what: &str, bound: Bound| {
            let reason = format!("element {at} needs {what}, found {bound:?}");
            Err(Error::config("Bounded", "bounds", reason))
        };
        for (at, &bound) in bounds.iter().enumerate() {
            let (low, high) = bound.ends();
            if !low.into_iter().chain(high).all(|end| end.abs() <= LARGEST) {
                return wrong(at, "finite ends up to 3.4e38", bound);
            }
            if let (Some(low), Some(high)) = (low, high) {
                if low >= high {
                    return wrong(at, "low < high", bound);
                }
                if high - low > LARGEST {
                    return wrong(at, "a width up to 3.4e38", bound);
                }
            }
        }
        Ok(Self { bounds })
    }

    /// Returns the bound of each element.
    pub fn bounds(&self) -> &[Bound] {
        &self.bounds
    }

    /// Checks that every value is inside its bound or at an end.
    ///
    /// # Errors
    ///
    /// The error names the row and the column of the first value outside, and of a NaN. Columns are numbered through
    /// all elements of an event. Also if an event has another number of elements than there are bounds, or bounds have
    /// no number between them in the precision of `x`.
    pub fn check<const D: usize>(&self, x: &Tensor<D>) -> Result<()> {
        let (elements, found) = (self.bounds.len(), event_len(x));
        if found != elements {
            let reason =
                format!("expected an event of {elements} elements, found shape {:?}", x.dims());
            return Err(Error::data("Bounded", reason));
        }
        let limits = limits(&self.bounds, x.dtype())?;
        let outside = |at: usize, value: f64| {
            let Limits { low, high, .. } = limits[at % elements];
            !(low <= value && value <= high)
        };
        match x.to_data().iter::<f64>().enumerate().find(|(at, value)| outside(*at, *value)) {
            None => Ok(()),
            Some((at, value)) => {
                let (row, column) = (at / elements, at % elements);
                let bound = self.bounds[column];
                let reason =
                    format!("row {row}, column {column} holds {value}, expected {bound:?}");
                Err(Error::data("Bounded", reason))
            }
        }
    }

    /// The batch as rows in the precision of the computation, with the limits in the precision of the batch.
    ///
    /// # Panics
    ///
    /// If the event has another number of elements than there are bounds, or bounds have no number between them.
    fn rows<const D: usize>(&self, x: Tensor<D>) -> (Tensor<2>, Columns) {
        let elements = self.bounds.len();
        assert!(
            event_len(&x) == elements,
            "Bounded: expected an event of {elements} elements, found shape {:?}",
            callers_dims(&x)
        );
        let limits = limits(&self.bounds, x.dtype()).unwrap_or_else(|error| panic!("{error}"));
        let shape = [x.dims()[0], elements];
        let x = fine(x).reshape(shape);
        let options = (x.device().without_autodiff(), x.dtype());
        (x, Columns { limits, shape, options })
    }

    /// Maps the elements of a batch. Returns the sum of their log-slopes for each row.
    fn map<const D: usize>(
        &self,
        x: Tensor<D>,
        map: impl Fn(&Columns, Tensor<2>) -> (Tensor<2>, Tensor<2>),
    ) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (x.dims(), x.dtype());
        let none = zeros_batch(&x);
        let (rows, columns) = self.rows(x.clone());
        if dims[0] == 0 {
            return (x, none); // burn 0.22 expands nothing to no rows
        }
        let (z, log_slope) = map(&columns, rows);
        (z.cast(dtype).reshape(dims), sum_event(log_slope).cast(wide_dtype(dtype)))
    }
}

/// The limits of every element, as tensors of the shape of a batch.
struct Columns {
    limits: Vec<Limits>,
    shape: [usize; 2],
    options: (Device, DType),
}

impl Columns {
    fn numbers(&self, of: impl Fn(&Limits) -> f64) -> Tensor<2> {
        let values: Vec<f64> = self.limits.iter().map(of).collect();
        let (device, dtype) = &self.options;
        let row = TensorData::new(values, [1, self.shape[1]]);
        Tensor::<2>::from_data(row, (device, *dtype)).expand(self.shape)
    }

    fn mask(&self, of: impl Fn(&Limits) -> bool) -> Tensor<2, Bool> {
        let values: Vec<bool> = self.limits.iter().map(of).collect();
        let row = TensorData::new(values, [1, self.shape[1]]);
        Tensor::<2, Bool>::from_data(row, &self.options.0).expand(self.shape)
    }

    /// The nearest values inside. A NaN stays a NaN.
    fn inside(&self, x: Tensor<2>) -> Tensor<2> {
        let (first, last) = (self.numbers(|of| of.first), self.numbers(|of| of.last));
        let x = x.clone().mask_where(x.lower(first.clone()), first);
        x.clone().mask_where(x.greater(last.clone()), last)
    }

    fn largest(&self) -> f64 {
        self.options.1.finfo().expect("a float has these").max
    }

    /// Infinite numbers become the largest finite ones.
    fn finite(&self, x: Tensor<2>) -> Tensor<2> {
        let most = self.largest();
        let x = x.clone().mask_fill(x.greater_elem(most), most);
        x.clone().mask_fill(x.lower_elem(-most), -most)
    }

    /// `z` and the log-slope of every element.
    fn unbound(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (low, high) = (self.numbers(|of| of.low), self.numbers(|of| of.high));
        let outside = x.clone().lower(low.clone()).bool_or(x.clone().greater(high.clone()));
        // Elements outside are replaced before the map, which keeps NaN out of their gradient.
        let x = self.inside(x);
        // From the far end of a half line, the distance may overflow.
        let log_distance = |distance: Tensor<2>, without: Tensor<2, Bool>| {
            self.finite(distance.mask_fill(without, 1.0)).log()
        };
        let above = log_distance(x.clone() - low, self.mask(|of| !of.has_low));
        let below = log_distance(high - x.clone(), self.mask(|of| !of.has_high));
        let free = x.mask_fill(self.mask(|of| of.has_low || of.has_high), 0.0);
        let log_slope = self.log_width() - above.clone() - below.clone();
        (free + above - below, log_slope.mask_fill(outside, f64::NEG_INFINITY))
    }

    /// `x` and its log-slope for every element.
    fn bind(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let between = self.mask(Limits::is_interval);
        let half_line = self.mask(|of| of.has_low != of.has_high);
        let sign = self.numbers(|of| if of.has_low { 1.0 } else { -1.0 });

        let steps = z.clone().mask_fill(half_line.clone().bool_not(), 0.0) * sign.clone();
        let logits = self.finite(z.clone().mask_fill(between.clone().bool_not(), 0.0));
        let log_share = log_sigmoid(logits.clone()) + log_sigmoid(logits.clone().neg());
        let log_share = log_share.mask_fill(between.clone().bool_not(), 0.0);
        let log_slope = steps.clone() + log_share + self.log_width();

        // An exponential that overflows would give a gradient of 0 * inf.
        let most = self.largest().ln();
        let steps = steps.clone().mask_fill(steps.greater_elem(most), most);
        let end = self.numbers(|of| if of.has_low { of.low } else { of.high });
        let beside = self.numbers(|of| if of.has_low != of.has_high { 1.0 } else { 0.0 });
        let on_half_line =
            end.mask_fill(half_line.clone().bool_not(), 0.0) + steps.exp() * sign * beside;

        // Measured from the nearer end, where the share of the width keeps its digits.
        let upper = logits.clone().greater_elem(0.0);
        let share = sigmoid(logits.clone().mask_where(upper.clone(), logits.neg()));
        let width = self.numbers(Limits::width);
        let from_low = self.numbers(|of| if of.is_interval() { of.low } else { 0.0 });
        let from_high = self.numbers(|of| if of.is_interval() { of.high } else { 0.0 });
        let part = share * width;
        let in_interval = (from_low + part.clone()).mask_where(upper, from_high - part);

        let x = z.mask_where(half_line, on_half_line).mask_where(between, in_interval);
        (self.inside(x), log_slope)
    }

    /// The logarithm of the width of an interval, 0 for other elements.
    fn log_width(&self) -> Tensor<2> {
        self.numbers(|of| if of.is_interval() { of.width().ln() } else { 0.0 })
    }
}

impl Limits {
    fn is_interval(&self) -> bool {
        self.has_low && self.has_high
    }

    fn width(&self) -> f64 {
        if self.is_interval() { self.high - self.low } else { 1.0 }
    }
}

/// The limits of one element in the precision of a batch.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The least and the largest value that is not outside: an end, the largest finite number on the open side of a
    /// half line, infinity for a free element.
    low: f64,
    high: f64,
    /// The least and the largest number inside.
    first: f64,
    last: f64,
    has_low: bool,
    has_high: bool,
}

/// The limits of every element.
///
/// # Errors
///
/// If an interval has no number inside in this precision, or an end or a width overflows.
fn limits(bounds: &[Bound], dtype: DType) -> Result<Vec<Limits>> {
    let largest = dtype.finfo().expect("a float has these").max;
    let ends = bounds.iter().flat_map(|bound| match bound.ends() {
        (None, None) => [f64::NEG_INFINITY, f64::INFINITY],
        (low, high) => [low.unwrap_or(-largest), high.unwrap_or(largest)],
    });
    let rounded =
        TensorData::new(ends.collect::<Vec<_>>(), [2 * bounds.len()]).convert_dtype(dtype);
    let rounded: Vec<f64> = rounded.iter::<f64>().collect();
    let limits = rounded.chunks(2).zip(bounds).enumerate().map(|(at, (ends, bound))| {
        let (low, high) = (ends[0], ends[1]);
        let (has_low, has_high) = (bound.ends().0.is_some(), bound.ends().1.is_some());
        let first = if has_low { next_above(low, dtype) } else { low };
        let last = if has_high { -next_above(-high, dtype) } else { high };
        let finite = !(has_low || has_high) || low.abs().max(high.abs()) <= largest;
        let narrow = !(has_low && has_high) || high - low <= largest;
        if finite && narrow && first <= last {
            return Ok(Limits { low, high, first, last, has_low, has_high });
        }
        let reason = format!(
            "element {at} needs finite ends and a number between them in {dtype:?}, found {bound:?}"
        );
        Err(Error::config("Bounded", "bounds", reason))
    });
    limits.collect()
}

/// The next normal number above a number of this precision.
fn next_above(value: f64, dtype: DType) -> f64 {
    let info = dtype.finfo().expect("a float has these");
    let power = f64::from_bits(value.abs().to_bits() & f64::INFINITY.to_bits());
    // Towards 0 from a power of two, the numbers are twice as dense.
    let towards_zero = if value == -power { 0.5 } else { 1.0 };
    match value + power * info.epsilon * towards_zero {
        next if next.abs() >= info.min_positive => next,
        _ if value < 0.0 => 0.0,
        _ => info.min_positive,
    }
}

impl<const D: usize> Bijector<D> for Bounded {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.map(x, Columns::unbound)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.inverse_with_log_det(z, context).0
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        _context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.map(z, Columns::bind)
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
