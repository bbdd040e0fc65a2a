//! A certificate of a trained density: what every layer loses, on data of the user's.
//!
//! A flow that trains well may still have a layer that no longer leads back in the precision at
//! hand: a scale of a million, a matrix that is nearly singular, a spline that is nearly flat. Then its
//! samples and its density do not belong together, and nothing in a loss says so.

use std::collections::BTreeMap;
use std::fmt;

use burn::tensor::{DType, Tensor, TensorData};

use super::determinant::log_abs_det;
use super::host;
use crate::distribution::Distribution;
use crate::param::cast;
use crate::trace::Trace;

/// Numbers of an event up to which the Jacobian is taken column by column.
const JACOBIAN_SIZE: usize = 64;

/// Rows of the data whose Jacobians are taken.
const JACOBIAN_ROWS: usize = 4;

/// Half the distance of a finite difference in f64: its error is `STEP^2` of the third derivative, and
/// `1e-16 / STEP` of the values.
const STEP: f64 = 1e-5;

/// What a log-determinant may differ from that of finite differences.
const LOG_DET: f64 = 1e-5;

/// What one layer loses.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerCertificate {
    /// Where the layer stands, as in the names of its parameters: `bijector.1.0`.
    pub path: String,
    /// The layer's type, without its parameters.
    pub name: String,
    /// The largest `|f^-1(f(x)) - x|`, relative to `x` where that exceeds 1; infinite where a number
    /// is not finite.
    pub round_trip: f64,
    /// The largest `|ln |det||` of a row, in nats per number of the event.
    pub log_scale: f64,
    /// The largest difference of `ln |det|` to that of the Jacobian by finite differences in f64, on
    /// the first rows; relative where it exceeds 1. `None` for events of more than 64 numbers, where
    /// the device has no f64, and where the layer's own numbers are not finite.
    pub log_det: Option<f64>,
}

/// What the layers of a density lose, by [`certify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    layers: Vec<LayerCertificate>,
    tolerance: f64,
}

/// Sends data through every layer and back, each from the latents that it gets, and compares every
/// log-determinant with the Jacobian.
///
/// Layers that mix rows in training are evaluated, as in [`valid`](burn::module::Module::valid).
///
/// # Panics
///
/// If the data do not fit the density.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{DenseMatrix, LinearMap};
/// use burn_flows::{Flow, Noise, distribution::StandardNormal, testing};
///
/// // A matrix that is singular as far as f32 can tell.
/// let device = Device::flex();
/// let matrix = Tensor::<2>::from_data([[1.0, 1.0], [1.0, 1.000_001]], &device);
/// let layers = vec![LinearMap::new(DenseMatrix::from_weights(matrix)?)];
/// let flow = Flow::new(layers, StandardNormal::new([2], &device));
/// let data = Noise::seeded(1).normal::<2>([100, 2], &device);
///
/// let certificate = testing::certify(&flow, &data);
/// assert_eq!(certificate.lost().expect("it leads nowhere").path, "bijector.0");
/// println!("{certificate}");
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn certify<const D: usize, P: Distribution<D>>(density: &P, data: &Tensor<D>) -> Certificate {
    certify_with(density, data, None)
}

/// [`certify`] for a density that is given a context, with one row for each of the data, or for all.
///
/// # Panics
///
/// If the data or the context do not fit the density.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, model::RealNvpConfig, testing};
///
/// let device = Device::flex();
/// let flow = RealNvpConfig::new(3).with_context(2).init(&device);
/// let data = Noise::seeded(1).normal::<2>([50, 3], &device);
/// let certificate = testing::certify_given(&flow, &data, &Tensor::ones([1, 2], &device));
/// assert!(certificate.lost().is_none());
/// ```
pub fn certify_given<const D: usize, P: Distribution<D>>(
    density: &P,
    data: &Tensor<D>,
    context: &Tensor<2>,
) -> Certificate {
    certify_with(density, data, Some(context))
}

fn certify_with<const D: usize, P: Distribution<D>>(
    density: &P,
    data: &Tensor<D>,
    context: Option<&Tensor<2>>,
) -> Certificate {
    let data = data.clone().without_autodiff();
    let mut found = Found::default();
    density.valid().trace(data.clone(), context, "", &mut |layer| found.lead_back(layer));
    let rows = data.dims()[0].min(JACOBIAN_ROWS);
    if rows > 0 && data.device().supports_dtype(DType::F64) {
        let exact = cast(density.valid(), DType::F64);
        let first = data.clone().narrow(0, 0, rows).cast(DType::F64);
        let context = context.map(|context| {
            let rows = context.dims()[0].min(rows);
            context.clone().narrow(0, 0, rows).cast(DType::F64)
        });
        exact.trace(first, context.as_ref(), "", &mut |layer| found.differentiate(layer));
    }
    let tolerance = if data.dtype() == DType::F64 { 1e-9 } else { 1e-3 };
    Certificate { layers: found.layers, tolerance }
}

/// The layers in the order in which they were met first.
#[derive(Default)]
struct Found {
    layers: Vec<LayerCertificate>,
    places: BTreeMap<String, usize>,
}

impl Found {
    fn at(&mut self, path: &str, name: &str) -> &mut LayerCertificate {
        let next = self.layers.len();
        let place = *self.places.entry(path.to_string()).or_insert(next);
        if place == next {
            let (path, name) = (path.to_string(), name.to_string());
            let layer =
                LayerCertificate { path, name, round_trip: 0.0, log_scale: 0.0, log_det: None };
            self.layers.push(layer);
        }
        &mut self.layers[place]
    }

    fn lead_back<const D: usize>(&mut self, layer: &Trace<'_, D>) {
        let there = host(layer.input.clone());
        let back = host((layer.inverse)(layer.output.clone()));
        let log_dets = host(layer.log_det.clone());
        let size = (there.len() / log_dets.len().max(1)).max(1) as f64;
        let missed = there.iter().zip(&back).map(|(x, back)| finite((back - x) / x.abs().max(1.0)));
        let outputs = host(layer.output.clone());
        let lost = outputs.iter().chain(&log_dets).any(|value| !value.is_finite());
        let round_trip = missed.fold(if lost { f64::INFINITY } else { 0.0 }, f64::max);
        let log_scale = log_dets.iter().map(|value| finite(*value) / size).fold(0.0, f64::max);
        let found = self.at(layer.path, layer.name);
        found.round_trip = found.round_trip.max(round_trip);
        found.log_scale = found.log_scale.max(log_scale);
    }

    fn differentiate<const D: usize>(&mut self, layer: &Trace<'_, D>) {
        let (input, log_dets) = (host(layer.input.clone()), host(layer.log_det.clone()));
        let rows = log_dets.len();
        let size = input.len() / rows;
        if size > JACOBIAN_SIZE || log_dets.iter().any(|value| !value.is_finite()) {
            return;
        }
        // Every row 2 * size times, one number of it a step higher or lower; the rows stay in turn, so
        // that a context of one row for each fits.
        let mut outputs = vec![];
        for column in 0..size {
            for sign in [1.0, -1.0] {
                let mut moved = input.clone();
                for row in 0..rows {
                    let at = row * size + column;
                    moved[at] += sign * STEP * moved[at].abs().max(1.0);
                }
                let moved = TensorData::new(moved, layer.input.dims());
                let options = (&layer.input.device(), DType::F64);
                outputs.push(host((layer.forward)(Tensor::from_data(moved, options)).0));
            }
        }
        let error = |row: usize| {
            let columns = outputs.chunks(2).enumerate().map(|(column, pair)| {
                let step = 2.0 * STEP * input[row * size + column].abs().max(1.0);
                let values = (0..size).map(|i| row * size + i);
                values.map(|at| (pair[0][at] - pair[1][at]) / step).collect()
            });
            let found = log_abs_det(columns.collect());
            finite((found - log_dets[row]) / log_dets[row].abs().max(1.0))
        };
        let worst = (0..rows).map(error).fold(0.0, f64::max);
        let found = self.at(layer.path, layer.name);
        found.log_det = Some(found.log_det.unwrap_or(0.0).max(worst));
    }
}

/// The size of a number; infinite if it is none.
fn finite(value: f64) -> f64 {
    if value.is_nan() { f64::INFINITY } else { value.abs() }
}

impl Certificate {
    /// The same with another bound of what a layer may lose in a round trip. Without it 1e-3, and 1e-9
    /// of data in f64.
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// Every layer, from the data to the latents.
    pub fn layers(&self) -> &[LayerCertificate] {
        &self.layers
    }

    /// The layer that loses most, if that is more than it may.
    pub fn lost(&self) -> Option<&LayerCertificate> {
        let lost = self.layers.iter().filter(|layer| layer.round_trip > self.tolerance);
        lost.max_by(|a, b| a.round_trip.total_cmp(&b.round_trip))
    }

    /// The layer whose log-determinant is furthest from that of its Jacobian, if that is further than
    /// finite differences are.
    pub fn wrong(&self) -> Option<&LayerCertificate> {
        let error = |layer: &LayerCertificate| layer.log_det.unwrap_or(0.0);
        let wrong = self.layers.iter().filter(|layer| error(layer) > LOG_DET);
        wrong.max_by(|a, b| error(a).total_cmp(&error(b)))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layers.iter().map(|l| l.path.len() + l.name.len() + 3).max().unwrap_or(5);
        writeln!(f, "{:width$}  round trip  log-scale  log-det", "layer")?;
        for layer in &self.layers {
            let what = format!("{} ({})", layer.path, layer.name);
            let log_det = layer.log_det.map_or("-".to_string(), |error| format!("{error:.0e}"));
            let (round_trip, log_scale) = (layer.round_trip, layer.log_scale);
            writeln!(f, "{what:width$}  {round_trip:10.0e}  {log_scale:9.2}  {log_det:>7}")?;
        }
        match (self.lost(), self.wrong()) {
            (Some(layer), _) => write!(f, "{} ({}) has lost its inverse", layer.path, layer.name),
            (None, Some(layer)) => {
                write!(f, "{} ({}) has a wrong log-determinant", layer.path, layer.name)
            }
            (None, None) => write!(f, "every layer leads back"),
        }
    }
}
