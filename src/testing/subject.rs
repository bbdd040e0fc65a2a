//! A layer of any type behind a trait object, so that the checks are compiled once per rank instead of once per layer.

use burn::module::ParamId;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{DType, Device, Gradients, Tensor};

use super::params::{Seen, scrambled, stepped, walk};
use crate::bijector::{Bijector, Carried, Place};
use crate::param::{cast, to_device};
use crate::trace::{Tracer, Tracing};

/// The methods that the checks need: the methods of [`Bijector`], and copies in other states.
pub(super) trait Subject<const D: usize> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>);
    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D>;
    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>);
    fn log_det_jacobian(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1>;
    fn mixes_rows(&self) -> bool;
    /// The result of a walk, which reports each layer to `tracer`.
    fn traced(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
        path: &str,
        tracer: &mut dyn Tracer,
    ) -> Tensor<D>;
    /// The layer initialised from data, and the latents that the initialisation returned.
    fn initialized(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Layer<D>, Tensor<D>);
    /// The layer in evaluation state, with its own running states, because clones share running states.
    fn evaluated(&self) -> Layer<D>;
    /// The layer in training state, with its own running states.
    fn training(&self) -> Layer<D>;
    /// All parameters, with their gradients if `gradients` are given.
    fn walk(&self, gradients: Option<&Gradients>) -> Vec<Seen>;
    /// The layer with `step` added to one parameter.
    fn stepped(&self, id: ParamId, step: Vec<f64>) -> Layer<D>;
    /// The layer in evaluation state and in another precision.
    fn cast(&self, dtype: DType) -> Layer<D>;
    /// The layer in evaluation state, after its record was saved and loaded over other numbers.
    fn reloaded(&self) -> Result<Layer<D>, RecordError>;
    /// The layer in evaluation state, after its record was saved and loaded on `device` over other numbers.
    fn sent(&self, device: &Device) -> Result<Layer<D>, RecordError>;
}

/// A layer behind a trait object.
pub(super) type Layer<const D: usize> = Box<dyn Subject<D>>;

/// Puts a layer behind a trait object.
pub(super) fn forget<const D: usize, B: Bijector<D> + 'static>(layer: B) -> Layer<D> {
    Box::new(Known(layer))
}

/// Loads the record of `layer` into `other`.
fn reloaded<const D: usize, B: Bijector<D> + 'static>(
    layer: &B,
    other: B,
) -> Result<Layer<D>, RecordError> {
    let bytes = layer.valid().into_record().into_bytes()?;
    Ok(forget(other.try_load_record(ModuleRecord::from_bytes(bytes)?)?))
}

struct Known<B>(B);

impl<const D: usize, B: Bijector<D> + 'static> Subject<D> for Known<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.0.forward(x, context)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.0.inverse(z, context)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.0.inverse_with_log_det(z, context)
    }

    fn log_det_jacobian(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.0.log_det_jacobian(x, context)
    }

    fn mixes_rows(&self) -> bool {
        self.0.mixes_rows()
    }

    fn traced(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
        path: &str,
        tracer: &mut dyn Tracer,
    ) -> Tensor<D> {
        let at = Place::start(context).part(path);
        self.0.walk(&mut Tracing(tracer), &at, Carried::new(x)).value
    }

    fn initialized(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Layer<D>, Tensor<D>) {
        let (layer, z) = self.0.valid().train().init_from_data(x, context);
        (forget(layer), z)
    }

    fn evaluated(&self) -> Layer<D> {
        forget(self.0.valid())
    }

    fn training(&self) -> Layer<D> {
        forget(self.0.valid().train())
    }

    fn walk(&self, gradients: Option<&Gradients>) -> Vec<Seen> {
        walk(&self.0, gradients)
    }

    fn stepped(&self, id: ParamId, step: Vec<f64>) -> Layer<D> {
        forget(stepped(&self.0, id, step))
    }

    fn cast(&self, dtype: DType) -> Layer<D> {
        forget(cast(self.0.valid(), dtype))
    }

    fn reloaded(&self) -> Result<Layer<D>, RecordError> {
        reloaded(&self.0, scrambled(&self.0))
    }

    fn sent(&self, device: &Device) -> Result<Layer<D>, RecordError> {
        reloaded(&self.0, scrambled(&to_device(self.0.valid(), device)))
    }
}
