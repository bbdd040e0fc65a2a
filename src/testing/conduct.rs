//! Checks of records, states, initialisation, contexts, panic messages and walks.

use burn::tensor::{DType, Tensor};

use super::probe::{Worst, caught, names_layer_and_shapes};
use super::run::{OUTPUTS, Run, outputs};
use super::subject::{Layer, Subject};
use super::{Suite, host};
use crate::trace::{Trace, Tracer};

/// The smallest change by another context that counts as a change.
const LEAST_CHANGE: f64 = 1e-6;

impl<const D: usize> Run<'_, D> {
    /// Compares the outputs of another layer with the outputs of this layer.
    fn against(&self, other: &dyn Subject<D>, as_dtype: DType) -> Worst {
        let cast = |t: &Tensor<D>| t.clone().cast(as_dtype);
        let c = self.context.clone().map(|c| c.cast(as_dtype));
        let found = outputs(other, cast(&self.x), cast(&self.z), c.as_ref());
        let mut worst = Worst::default();
        for (name, (found, expected)) in OUTPUTS.iter().zip(found.iter().zip(&self.expected())) {
            worst.compare(name, found, expected);
        }
        worst
    }

    pub fn check_record(&self) -> Worst {
        match self.plain.reloaded() {
            Ok(loaded) => self.against(&*loaded, self.source.dtype),
            Err(error) => Worst::failed(error.to_string()),
        }
    }

    pub fn check_valid(&self) -> Option<Worst> {
        let comparable = !self.plain.mixes_rows();
        comparable.then(|| self.against(&*self.plain.training(), self.source.dtype))
    }

    pub fn check_precision(&self) -> Option<Worst> {
        let f64 = self.source.dtype == DType::F64;
        let dtype = if f64 { DType::F32 } else { DType::F64 };
        if !self.source.device.supports_dtype(dtype) {
            return None;
        }
        let layer = self.plain.cast(dtype);
        let c = self.context.clone().map(|c| c.cast(dtype));
        let (z, log_det) = layer.forward(self.x.clone().cast(dtype), c.as_ref());
        let x = layer.inverse(self.z.clone().cast(dtype), c.as_ref());
        for (name, found) in OUTPUTS.iter().zip([z.dtype(), log_det.dtype(), x.dtype()]) {
            if found != dtype {
                return Some(Worst::failed(format!("{name}: expected {dtype:?}, found {found:?}")));
            }
        }
        Some(self.against(&*layer, dtype))
    }

    pub fn check_init_from_data(&self) -> (Worst, Option<Layer<D>>) {
        let c = self.context.as_ref();
        let (layer, z) = self.plain.initialized(self.x.clone(), c);
        let numbers = |layer: &dyn Subject<D>| host(layer.evaluated().forward(self.x.clone(), c).0);
        let first = numbers(&*layer);
        let mut worst = Worst::default();
        worst.compare("returned latents", &host(z), &first);
        let (layer, _) = layer.initialized(self.other_x.clone(), c);
        worst.compare("z after a second call", &numbers(&*layer), &first);
        let changed = first != self.forward(&self.x, c).0;
        (worst, changed.then_some(layer))
    }

    pub fn check_context_used(&self) -> Option<Worst> {
        let (context, other) = (self.context.as_ref()?, self.other_context.as_ref()?);
        let results = |c: &Tensor<2>| {
            let [z, log_det, x] = outputs(&*self.plain, self.x.clone(), self.z.clone(), Some(c));
            [[z, log_det].concat(), x]
        };
        let mut worst = Worst::default();
        let (one, two) = (results(context), results(other));
        for (name, (one, two)) in ["z and log-det", "x of inverse"].iter().zip(one.iter().zip(&two))
        {
            let mut change = Worst::default();
            change.compare(name, one, two);
            if change.value < LEAST_CHANGE {
                worst.violation(format!("{name}: no change with another context"));
            }
        }
        Some(worst)
    }

    pub fn check_context_width(&self) -> Option<Worst> {
        let context = self.context.as_ref()?;
        let [rows, width] = context.dims();
        let wide = self.source.clone().normal([rows, width + 1]);
        let mut worst = Worst::default();
        for (context, found) in [(Some(&wide), (width + 1).to_string()), (None, "none".to_string())]
        {
            let forward = caught(|| drop(self.plain.forward(self.x.clone(), context)));
            let inverse = caught(|| drop(self.plain.inverse(self.z.clone(), context)));
            for (direction, result) in [("forward", forward), ("inverse", inverse)] {
                judge(&mut worst, &format!("{direction} with context {found}"), &found, result);
            }
        }
        Some(worst)
    }

    pub fn check_event_width(&self) -> Option<Worst> {
        if D < 2 {
            return None;
        }
        let mut worst = Worst::default();
        let Suite { shape, latent_shape, .. } = *self.suite;
        let widths = |of: [usize; D], axis: usize| {
            let usual = of[axis];
            let others = [usual + 1, usual + 2, 1].into_iter().filter(move |w| *w != usual);
            others.map(move |width| {
                let mut shape = of;
                shape[axis] = width;
                (width, shape)
            })
        };
        // The result for another width has the shape of its input, or, if the layer changes shapes, equally many
        // elements.
        let fits = |found: [usize; D], expected: [usize; D]| {
            let count = |shape: [usize; D]| (shape[0], shape.iter().product::<usize>());
            found == expected || (shape != latent_shape && count(found) == count(expected))
        };
        for axis in 1..D {
            let mut source = self.source.clone();
            let mut results = Vec::new();
            let c = self.context.as_ref();
            for (width, shape) in widths(shape, axis) {
                let x = source.batch(shape, self.suite.domain);
                let forward = caught(|| {
                    let (z, log_det) = self.plain.forward(x, c);
                    let fitting = fits(z.dims(), shape) && log_det.dims() == [shape[0]];
                    let found = || format!("z of {:?}, log-det of {:?}", z.dims(), log_det.dims());
                    (!fitting).then(found)
                });
                results.push((format!("forward of shape {shape:?}"), width, forward));
            }
            for (width, shape) in widths(latent_shape, axis) {
                let z = source.batch(shape, self.suite.range);
                let inverse = caught(|| {
                    let found = self.plain.inverse(z, c).dims();
                    (!fits(found, shape)).then(|| format!("x of {found:?}"))
                });
                results.push((format!("inverse of shape {shape:?}"), width, inverse));
            }
            // A layer that accepts all of these widths is a layer for every width.
            if results.iter().all(|(_, _, result)| *result == Ok(None)) {
                continue;
            }
            for (what, width, result) in results {
                match result {
                    Ok(Some(found)) => {
                        worst.violation(format!("{what} returns {found} instead of a panic"));
                    }
                    result => judge(&mut worst, &what, &width.to_string(), result.map(|_| ())),
                }
            }
        }
        Some(worst)
    }

    pub fn check_walk(&self) -> Worst {
        let c = self.context.as_ref();
        let mut seen = Parts { paths: vec![], log_det: vec![0.0; self.suite.shape[0]] };
        let z = self.plain.traced(self.x.clone(), c, "layer", &mut seen);
        let Parts { paths, log_det: total } = seen;
        let (expected_z, expected_log_det) = self.forward(&self.x, c);
        let mut worst = Worst::default();
        worst.compare("z", &host(z), &expected_z);
        worst.compare("sum of log-dets", &total, &expected_log_det);
        let covers = |path: &String, param: &str| {
            param.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        // Indices and masks may belong to a composition instead of a layer.
        for param in self.plain.walk(None).iter().filter(|param| param.dtype.is_some()) {
            let name = format!("layer.{}", param.path);
            if !paths.iter().any(|path| covers(path, &name)) {
                worst.violation(format!("no layer at the path of {name}, found {paths:?}"));
            }
        }
        worst
    }
}

/// The paths that a walk visited, and the sum of their log-determinants.
struct Parts {
    paths: Vec<String>,
    log_det: Vec<f64>,
}

impl Tracer for Parts {
    fn layer(&mut self, layer: &Trace<'_>) {
        self.paths.push(layer.path.to_string());
        let parts = host(layer.log_det.clone());
        self.log_det.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
}

/// Records a violation unless `result` is a panic whose message has the documented form.
fn judge(worst: &mut Worst, what: &str, found: &str, result: Result<(), String>) {
    match result {
        Ok(()) => worst.violation(format!("{what} does not panic")),
        Err(text) if !names_layer_and_shapes(&text, found) => {
            let text = text.trim().replace('\n', " ");
            worst.violation(format!("{what} panics with another text: {text}"));
        }
        Err(_) => {}
    }
}
