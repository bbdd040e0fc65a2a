//! What single layers did to a batch, for those who look for the one that fails.

use std::fmt;

use burn::tensor::Tensor;

/// What one layer did to a batch, as [`Bijector::trace`](crate::bijector::Bijector::trace) reports it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, model::RealNvpConfig};
///
/// let flow = RealNvpConfig::new(2).init(&Device::flex());
/// let x = Tensor::<2>::ones([3, 2], &Device::flex());
/// let mut layers = 0;
/// flow.bijector().trace(x, None, "bijector", &mut |layer| {
///     let back = (layer.inverse)(layer.output.clone());
///     let lost = (back - layer.input.clone()).abs().max().into_scalar::<f32>();
///     assert!(lost < 1e-6, "{} loses {lost}", layer.path);
///     layers += 1;
/// });
/// assert_eq!(layers, 8);
/// ```
pub struct Trace<'a, const D: usize> {
    /// Where the layer stands, as in the names of its parameters: `bijector.1.0`.
    pub path: &'a str,
    /// The layer's type, without its parameters.
    pub name: &'static str,
    /// What came in.
    pub input: &'a Tensor<D>,
    /// What went out.
    pub output: &'a Tensor<D>,
    /// `ln |det|` of this layer, `[batch]`.
    pub log_det: &'a Tensor<1>,
    /// The layer's forward of another batch of as many rows, with the same context.
    pub forward: &'a dyn Fn(Tensor<D>) -> (Tensor<D>, Tensor<1>),
    /// The layer's inverse of such a batch.
    pub inverse: &'a dyn Fn(Tensor<D>) -> Tensor<D>,
}

impl<const D: usize> fmt::Debug for Trace<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, name, input, output, log_det, .. } = self;
        let mut all = f.debug_struct("Trace");
        all.field("path", path).field("name", name).field("input", input);
        all.field("output", output).field("log_det", log_det).finish_non_exhaustive()
    }
}

/// The path of a part; the whole has an empty one.
pub(crate) fn part_path(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_string() } else { format!("{path}.{part}") }
}
