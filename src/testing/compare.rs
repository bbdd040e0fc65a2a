//! The numbers of a layer on another device or in another precision, compared with f64.

use std::any::type_name;
use std::fmt;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::probe::{Worst, caught};
use super::run::Run;
use super::subject::{Layer, Subject, forget};
use super::{Suite, host, moved, short_name};
use crate::bijector::Bijector;
use crate::draws;
use crate::math::wide_dtype;
use crate::noise::Noise;

/// The differences between the numbers of a layer and the numbers computed in f64, measured by [`Suite::compare`]. It
/// prints one line for each kind of number. An error is relative to the expected number where the expected number
/// exceeds 1. The error of a gradient is relative to the largest element of the gradient. An error is infinite if
/// something panicked or gave NaN.
///
/// ```
/// use burn::tensor::{DType, Device};
/// use burn_flows::{bijector::ActNormConfig, testing::Suite};
///
/// let device = Device::flex();
/// let layer = ActNormConfig::new(3).init(&device);
/// let half = Suite::new([4, 3]).compare(layer, &device, DType::BF16);
/// assert!(half.z > 1e-4 && half.log_det < 1e-6, "{half}"); // z is rounded, the log-det is f32
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Comparison {
    /// The error of the latents `z`.
    pub z: f64,
    /// The error of the log-determinants in both directions.
    pub log_det: f64,
    /// The error of `x` from the inverse.
    pub x: f64,
    /// The error of the gradients of a random loss of `z` and the log-determinant, with respect to `x` and all
    /// parameters.
    pub gradient: f64,
    title: String,
    notes: [String; 4],
}

impl Comparison {
    /// The largest of the four errors.
    pub fn largest(&self) -> f64 {
        [self.z, self.log_det, self.x, self.gradient].into_iter().fold(0.0, f64::max)
    }

    fn new(title: String, [z, log_det, x, gradient]: [Worst; 4]) -> Self {
        let notes = [z.note, log_det.note, x.note, gradient.note];
        let [z, log_det, x, gradient] = [z.value, log_det.value, x.value, gradient.value];
        Self { z, log_det, x, gradient, title, notes }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        let errors = [self.z, self.log_det, self.x, self.gradient];
        let names = ["z", "log-det", "x of inverse", "gradient"];
        for ((name, error), note) in names.into_iter().zip(errors).zip(&self.notes) {
            write!(f, "\n  {error:8.1e}  {name}")?;
            if !note.is_empty() {
                write!(f, ": {note}")?;
            }
        }
        Ok(())
    }
}

impl<const D: usize> Suite<D> {
    /// Measures the error of a layer on a device and in a precision, relative to f64 on the device of the layer.
    ///
    /// The parameters are moved by noise as in [`check`](Self::check). Parameters and data are rounded to the
    /// precision, so that the comparison measures only the arithmetic. The layer is sent to the device as a record,
    /// loaded there over other numbers, and must come back unchanged.
    ///
    /// ```
    /// use burn::tensor::{DType, Device};
    /// use burn_flows::{bijector::LuLinearConfig, testing::Suite};
    ///
    /// let device = Device::flex();
    /// let layer = LuLinearConfig::new(3).init(&device);
    /// let single = Suite::new([4, 3]).compare(layer, &device, DType::F32);
    /// assert!(single.largest() < 1e-5, "{single}");
    /// ```
    pub fn compare<B: Bijector<D> + 'static>(
        &self,
        layer: B,
        device: &Device,
        dtype: DType,
    ) -> Comparison {
        let name = short_name(type_name::<B>());
        let title = format!("{name} on {:?} in {dtype:?}, {device:?}", self.shape);
        let layer = moved(layer, self.seed);
        let errors =
            caught(|| self.errors(&*forget(layer), device, dtype)).unwrap_or_else(|text| {
                [(); 4].map(|()| Worst::failed(format!("panicked: {}", text.trim())))
            });
        Comparison::new(title, errors)
    }

    fn errors(&self, layer: &dyn Subject<D>, device: &Device, dtype: DType) -> [Worst; 4] {
        let sent = |layer: &dyn Subject<D>, to: &Device| -> Layer<D> {
            layer.sent(to).unwrap_or_else(|error| panic!("the record does not load: {error}"))
        };
        let here = layer.cast(dtype);
        let draws = Draws::new(&Run::new(self, &*here.cast(DType::F64), false), dtype);
        let expected = draws.numbers(&*here.cast(DType::F64), &draws.home, DType::F64);
        let there = sent(&*here, device);
        let mut errors = draws.numbers(&*there, device, dtype).errors(&expected);

        let back = sent(&*there, &draws.home);
        let [went, came] = [here, back].map(|layer| draws.numbers(&*layer, &draws.home, dtype));
        if went != came {
            errors[0] = Worst::failed("a record changes numbers in the round trip".to_string());
        }
        errors
    }
}

/// The inputs of a comparison, as numbers that all compared precisions can represent.
struct Draws<const D: usize> {
    home: Device,
    x: TensorData,
    z: TensorData,
    context: Option<TensorData>,
    /// Weights of the loss.
    of_z: TensorData,
    of_log_det: TensorData,
}

/// The outputs of a layer: `z`, log-determinants, `x` and gradients, each with its name.
#[derive(PartialEq)]
struct Numbers([Vec<(String, Vec<f64>)>; 4]);

impl<const D: usize> Draws<D> {
    fn new(run: &Run<'_, D>, dtype: DType) -> Self {
        fn rounded<const N: usize>(tensor: &Tensor<N>, dtype: DType) -> TensorData {
            tensor.clone().cast(dtype).cast(DType::F64).into_data()
        }
        let mut source = run.source.clone();
        let rows = [run.suite.shape[0]];
        Self {
            home: source.device.clone(),
            x: rounded(&run.x, dtype),
            z: rounded(&run.z, dtype),
            context: run.context.as_ref().map(|context| rounded(context, dtype)),
            of_z: rounded(&source.normal(run.suite.latent_shape), dtype),
            of_log_det: rounded(&source.normal(rows), dtype),
        }
    }

    /// The outputs of a layer on this device and in this precision.
    fn numbers(&self, layer: &dyn Subject<D>, device: &Device, dtype: DType) -> Numbers {
        let tensor = |data: &TensorData| Tensor::<D>::from_data(data.clone(), (device, dtype));
        let context = self.context.as_ref();
        let context = context.map(|data| Tensor::from_data(data.clone(), (device, dtype)));
        let context = context.as_ref();
        let (z, log_det) = layer.forward(tensor(&self.x), context);
        let (x, minus) = layer.inverse_with_log_det(tensor(&self.z), context);
        let types = [z.dtype(), x.dtype(), log_det.dtype(), minus.dtype()];
        let wide = wide_dtype(dtype);
        let expected = [dtype, dtype, wide, wide];
        assert!(types == expected, "z, x and log-dets: expected {expected:?}, found {types:?}");

        // The seed makes layers that draw in training draw equal noise.
        draws::seed(Noise::seeded(1));
        let training = layer.training();
        let leaf = tensor(&self.x).autodiff().require_grad();
        let (out, out_log_det) = training.forward(leaf.clone(), context);
        draws::seed(Noise::from_entropy());
        let of_log_det = Tensor::<1>::from_data(self.of_log_det.clone(), (device, wide));
        let loss = (out * tensor(&self.of_z)).sum().cast(wide) + (out_log_det * of_log_det).sum();
        let gradients = loss.backward();
        let by_x = leaf.grad(&gradients).map(host).unwrap_or_default();
        let by_params = training.walk(Some(&gradients)).into_iter();
        let by_params = by_params.filter_map(|p| p.gradient.map(|g| (format!("by {}", p.path), g)));
        let named = |name: &str, values: Vec<f64>| (name.to_string(), values);
        Numbers([
            vec![named("z", host(z))],
            vec![named("log-det", host(log_det)), named("inverse log-det", host(minus))],
            vec![
                named("x", host(x)),
                named("x alone", host(layer.inverse(tensor(&self.z), context))),
            ],
            std::iter::once(named("by x", by_x)).chain(by_params).collect(),
        ])
    }
}

/// The index of the gradients in [`Numbers`].
const GRADIENT: usize = 3;

impl Numbers {
    fn errors(&self, expected: &Self) -> [Worst; 4] {
        let mut errors = [(); 4].map(|()| Worst::default());
        let kinds = self.0.iter().zip(&expected.0).zip(&mut errors).enumerate();
        for (kind, ((found, expected), error)) in kinds {
            if found.len() != expected.len() {
                let [found, expected] = [found.len(), expected.len()];
                *error = Worst::failed(format!("expected {expected} tensors, found {found}"));
            }
            for ((what, found), (_, expected)) in found.iter().zip(expected) {
                let largest = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
                let unit = if kind == GRADIENT { largest } else { 1.0 };
                let in_units =
                    |values: &[f64]| -> Vec<f64> { values.iter().map(|v| v / unit).collect() };
                error.compare(what, &in_units(found), &in_units(expected));
            }
        }
        errors
    }
}
