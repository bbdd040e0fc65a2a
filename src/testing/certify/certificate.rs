//! What a certificate says, and how it reads.

use std::fmt;

/// What a log-determinant may differ from that of finite differences.
const LOG_DET: f64 = 1e-5;

/// How often the standard error of an estimate is allowed on top: the mean of 64 probes is further from the
/// truth by chance once in ten million layers.
const ERRORS: f64 = 6.0;

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
    /// The largest difference of `ln |det|` to that of the Jacobian, on the first rows; relative
    /// where it exceeds 1. Infinite where the layer's gradient is not that of its values, since an
    /// estimate then says nothing. `None` where the device has no f64, and where the layer's own
    /// numbers are not finite.
    pub log_det: Option<f64>,
    /// What [`log_det`](Self::log_det) itself may miss, as one standard error: 0 where the Jacobian
    /// is known entry by entry, as it is of events of up to 1024 numbers.
    pub log_det_error: f64,
    /// The largest singular value of the Jacobian over the smallest, in the worst of the first rows: by
    /// this factor an error of rounding may grow on the way back. Infinite if it is singular; a lower
    /// bound where the log-determinant is an estimate; `None` where there is none.
    pub condition: Option<f64>,
}

impl LayerCertificate {
    pub(super) fn new(path: &str, name: &str) -> Self {
        let (path, name) = (path.to_string(), name.to_string());
        let (log_det, condition) = (None, None);
        Self { path, name, round_trip: 0.0, log_scale: 0.0, log_det, log_det_error: 0.0, condition }
    }

    /// By how much the log-determinant is further from that of the Jacobian than it may be.
    fn excess(&self) -> f64 {
        self.log_det.map_or(0.0, |off| off - LOG_DET - ERRORS * self.log_det_error)
    }
}

/// What the layers of a density lose, by [`certify`](super::certify).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it says whether a layer is wrong"]
pub struct Certificate {
    layers: Vec<LayerCertificate>,
    tolerance: f64,
}

impl Certificate {
    pub(super) fn new(layers: Vec<LayerCertificate>, tolerance: f64) -> Self {
        Self { layers, tolerance }
    }

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
    /// finite differences are, and than six times what an estimate may miss.
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
            (None, None) => write!(f, "every layer leads back"),
        }
    }
}
