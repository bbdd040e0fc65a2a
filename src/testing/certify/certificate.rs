//! The certificate of a density, and its text.

use std::fmt;

/// The tolerated difference between a log-determinant and the log-determinant of finite differences.
const LOG_DET: f64 = 1e-5;

/// The number of standard errors of an estimate that the tolerance adds. The mean of 64 probes misses the truth by more
/// than that, by chance, in one of ten million layers.
const ERRORS: f64 = 6.0;

/// The errors measured for one layer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerCertificate {
    /// The path of the layer, as in the names of its parameters: `bijector.1.0`.
    pub path: String,
    /// The type of the layer, without its type parameters.
    pub name: String,
    /// The largest `|f^-1(f(x)) - x|`, relative to `x` where `x` exceeds 1. Infinite if a number is not finite.
    pub round_trip: f64,
    /// The largest `|ln |det||` of a row, in nats per element of the event.
    pub log_scale: f64,
    /// The largest difference between `ln |det|` of the layer and `ln |det|` of its Jacobian, on the first rows. The
    /// difference is relative where `ln |det|` exceeds 1. The field is infinite if the gradient of the layer does not
    /// match its values, because an estimate is then meaningless. The field is `None` if the device has no f64, and if
    /// the numbers of the layer are not finite.
    pub log_det: Option<f64>,
    /// The standard error of [`log_det`](Self::log_det). It is 0 where the Jacobian is computed entry by entry, for
    /// events of up to 1024 elements.
    pub log_det_error: f64,
    /// The condition number of the Jacobian in the worst of the first rows: the largest singular value over the
    /// smallest. The inverse may amplify a rounding error by this factor. The field is infinite if the Jacobian is
    /// singular, and a lower bound if the log-determinant is an estimate. It is `None` if there is no Jacobian.
    pub condition: Option<f64>,
}

impl LayerCertificate {
    pub(super) fn new(path: &str, name: &str) -> Self {
        let (path, name) = (path.to_string(), name.to_string());
        let (log_det, condition) = (None, None);
        Self { path, name, round_trip: 0.0, log_scale: 0.0, log_det, log_det_error: 0.0, condition }
    }

    /// The amount by which the error of the log-determinant exceeds its tolerance.
    fn excess(&self) -> f64 {
        self.log_det.map_or(0.0, |off| off - LOG_DET - ERRORS * self.log_det_error)
    }
}

/// The errors of the layers of a density, as measured by [`certify`](super::certify).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a certificate by itself fails no test: check `lost` and `wrong`"]
pub struct Certificate {
    layers: Vec<LayerCertificate>,
    tolerance: f64,
}

impl Certificate {
    pub(super) fn new(layers: Vec<LayerCertificate>, tolerance: f64) -> Self {
        Self { layers, tolerance }
    }

    /// Sets the tolerated round-trip error of a layer. The default is 1e-3, and 1e-9 for data in f64.
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// The certificates of all layers, in the order from data to latents.
    pub fn layers(&self) -> &[LayerCertificate] {
        &self.layers
    }

    /// The layer with the largest round-trip error, if that error exceeds the tolerance.
    pub fn lost(&self) -> Option<&LayerCertificate> {
        let lost = self.layers.iter().filter(|layer| layer.round_trip > self.tolerance);
        lost.max_by(|a, b| a.round_trip.total_cmp(&b.round_trip))
    }

    /// The layer whose log-determinant differs most from `ln |det|` of its Jacobian, if the difference exceeds the
    /// tolerance. The tolerance is the error of finite differences plus six standard errors of an estimate.
    pub fn wrong(&self) -> Option<&LayerCertificate> {
        let wrong = self.layers.iter().filter(|layer| layer.excess() > 0.0);
        wrong.max_by(|a, b| a.excess().total_cmp(&b.excess()))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layers.iter().map(|l| l.path.len() + l.name.len() + 3).max().unwrap_or(5);
        writeln!(f, "{:width$}  round trip  log-scale  {:>14}  condition", "layer", "log-det")?;
        for layer in &self.layers {
            let what = format!("{} ({})", layer.path, layer.name);
            let (round_trip, log_scale) = (layer.round_trip, layer.log_scale);
            let estimated = layer.log_det_error > 0.0;
            let log_det = match layer.log_det {
                Some(off) if estimated => format!("{off:.0e} +- {:.0e}", layer.log_det_error),
                Some(off) => format!("{off:.0e}"),
                None => "-".to_string(),
            };
            let condition = match layer.condition {
                Some(condition) => format!("{}{condition:.1e}", if estimated { "> " } else { "" }),
                None => "-".to_string(),
            };
            write!(f, "{what:width$}  {round_trip:10.0e}  {log_scale:9.2}  {log_det:>14}  ")?;
            writeln!(f, "{condition:>9}")?;
        }
        match (self.lost(), self.wrong()) {
            (Some(layer), _) => write!(f, "{} ({}) has lost its inverse", layer.path, layer.name),
            (None, Some(layer)) => {
                write!(f, "{} ({}) has a wrong log-determinant", layer.path, layer.name)
            }
            (None, None) => write!(f, "every layer passed"),
        }
    }
}
