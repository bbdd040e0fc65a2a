//! A walk from data to latent that reports the result of every layer, to find the layer that fails.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, Carried, Place, Walk, layer_name};
use crate::distribution::Distribution;

/// The result of one layer on a batch, with events flattened to rows.
#[cfg_attr(not(feature = "testing"), allow(dead_code, reason = "certificates run layers again"))]
pub(crate) struct Trace<'a> {
    /// The path of the layer, as in the names of its parameters: `bijector.1.0`.
    pub(crate) path: &'a str,
    /// The layer's type, without its parameters.
    pub(crate) name: &'static str,
    pub(crate) input: Tensor<2>,
    pub(crate) output: Tensor<2>,
    /// `ln |det|` of this layer, `[batch]`.
    pub(crate) log_det: Tensor<1>,
    /// Runs the layer on other rows with the same context, and returns its log-determinant as well.
    pub(crate) forward: &'a dyn Fn(Tensor<2>) -> (Tensor<2>, Tensor<1>),
    /// Runs the inverse of the layer on other rows.
    pub(crate) inverse: &'a dyn Fn(Tensor<2>) -> Tensor<2>,
}

/// The receiver of the reports.
pub(crate) trait Tracer {
    /// Reports a layer. Layers are reported in the order in which data pass through them.
    fn layer(&mut self, layer: &Trace<'_>);

    /// Reports a density without layers at this path. `_tell` returns the largest latent and `ln p`.
    fn density(&mut self, _path: &str, _name: &str, _tell: &dyn Fn() -> (f64, Tensor<1>)) {}
}

/// Sends data through the layers of a density.
pub(crate) fn trace<const D: usize, P: Distribution<D>>(
    density: &P,
    x: Tensor<D>,
    context: Option<&Tensor<2>>,
    tracer: &mut dyn Tracer,
) {
    density.walk(&mut Tracing(tracer), &Place::start(context), x);
}

/// The walk that reports to a [`Tracer`].
pub(crate) struct Tracing<'a>(pub(crate) &'a mut dyn Tracer);

fn rows<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    x.flatten(1, D - 1)
}

impl Walk for Tracing<'_> {
    fn layer<const D: usize, B: Bijector<D>>(
        &mut self,
        layer: &B,
        at: &Place<'_>,
        carried: Carried<D>,
    ) -> Carried<D> {
        let (x, context) = (carried.value, at.context());
        let ahead = |x| match at.is_inverted() {
            false => layer.forward(x, context),
            true => layer.inverse_with_log_det(x, context),
        };
        let back = |z| match at.is_inverted() {
            false => layer.inverse(z, context),
            true => layer.forward(z, context).0,
        };
        let (z, log_det) = ahead(x.clone());
        // The shape of an event may differ between input and output.
        let [data, latent] = [x.dims(), z.dims()];
        let shaped = |x: Tensor<2>, dims: [usize; D]| {
            let mut dims = dims;
            dims[0] = x.dims()[0];
            x.reshape(dims)
        };
        self.0.layer(&Trace {
            path: at.path(),
            name: at.name_of::<B>(),
            input: rows(x),
            output: rows(z.clone()),
            log_det,
            forward: &|x| {
                let (z, log_det) = ahead(shaped(x, data));
                (rows(z), log_det)
            },
            inverse: &|z| rows(back(shaped(z, latent))),
        });
        Carried::new(z)
    }

    fn density<const D: usize, const N: usize, M: Module>(
        &mut self,
        _module: &M,
        at: &Place<'_>,
        inputs: [Tensor<D>; N],
        log_prob: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) -> [Tensor<D>; N] {
        self.0.density(at.path(), layer_name::<M>(), &|| {
            let most = inputs[0].clone().abs().max().into_scalar::<f64>();
            (most, log_prob(inputs.clone()))
        });
        inputs.map(|x| x.zeros_like())
    }

    fn comes_back(&self) -> bool {
        false
    }
}

/// Finds the first part with a result that is not finite.
pub(crate) struct Search(pub(crate) Option<String>);

impl Tracer for Search {
    fn layer(&mut self, layer: &Trace<'_>) {
        let finite = || all_finite(&layer.output) && all_finite(&layer.log_det);
        if self.0.is_none() && !finite() {
            self.0 = Some(format!("{} ({})", layer.path, layer.name));
        }
    }

    fn density(&mut self, path: &str, name: &str, tell: &dyn Fn() -> (f64, Tensor<1>)) {
        if self.0.is_some() {
            return;
        }
        let (most, log_prob) = tell();
        if !all_finite(&log_prob) {
            let place = if path.is_empty() { name.to_string() } else { format!("{path} ({name})") };
            self.0 = Some(format!("{place}, at latents of magnitude up to {most:.3e}"));
        }
    }
}

fn all_finite<const D: usize>(x: &Tensor<D>) -> bool {
    x.clone().is_finite().all().into_scalar::<u8>() != 0
}
