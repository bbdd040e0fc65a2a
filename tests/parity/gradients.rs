//! Compares the gradients of a flow with those of its reference file.

use burn_flows::Noise;
use burn_flows::burn::module::{ModuleVisitor, Param};
use burn_flows::burn::tensor::{DType, Gradients, Tensor, TensorData};
use burn_flows::interop::{HostTensor, StateDict};

use crate::DEVICE;
use crate::compare::{DERIVED, Subject, Tolerances, numbers};
use crate::reference::Reference;
use crate::report::{Report, max_error, size};

/// The step to each side of a possible kink, and the relative difference of two slopes that counts
/// as a kink.
const SIDE: f64 = 1e-6;
const KINK: f64 = 1e-2;

/// The number of seeded directions per parameter, in addition to the gradient itself.
const DIRECTIONS: u64 = 3;
/// The step of the central difference of our weights with respect to the weights of the library.
/// The difference is exact up to rounding where weights are copied. Where a weight is computed, its
/// error is about 1e-10.
const STEP: f64 = 3e-5;
/// A gradient smaller than this share of the largest gradient is compared relative to this share.
const NEGLIGIBLE: f64 = 1e-6;
/// The smallest length for a relative comparison of gradients. [`DERIVED`] of this length is about
/// 50 ulps of 1. If the true gradient is zero, both sides are rounding errors.
const ROUNDING: f64 = 1e-7;

/// The gradient of `-mean(log_prob)` in all parameters of the flow, as one list. Also compares the
/// gradient in x.
pub fn gradients<const D: usize, S: Subject<D>>(
    reference: &Reference,
    flow: &S,
    tolerances: &Tolerances,
    report: &mut Report,
) -> Result<Vec<f64>, String> {
    let x = reference.tensor::<D>("io.x", &DEVICE)?.autodiff().require_grad();
    let log_prob = flow.log_prob(x.clone(), reference.context(&DEVICE)?.as_ref());
    let gradients = log_prob.mean().neg().backward();
    if reference.tensors.contains("grad_io.x") {
        let expected = reference.floats("grad_io.x")?;
        let mut found = x.grad(&gradients).map(numbers).unwrap_or_default();
        // Without a graph, because a graph without a backward pass stays in memory.
        let plain = flow.valid();
        let loss = |at: usize, by: f64| -> Result<f64, String> {
            let x = reference.tensor::<D>("io.x", &DEVICE)?;
            let (dims, mut values) = (x.dims(), numbers(x));
            values[at] += by;
            let x = Tensor::from_data(TensorData::new(values, dims), (&*DEVICE, DType::F64));
            let log_prob = plain.log_prob(x, reference.context(&DEVICE)?.as_ref());
            Ok(log_prob.mean().neg().into_scalar::<f64>())
        };
        let (mut kinks, magnitude) = (0, size(expected));
        for (at, (found, expected)) in found.iter_mut().zip(expected).enumerate() {
            // The error of a map that is solved numerically would look like a kink.
            if tolerances.derived <= DERIVED
                && (*found - expected).abs() > tolerances.derived * magnitude
                && kinked(|by| loss(at, by))?
            {
                *found = *expected;
                kinks += 1;
            }
        }
        if kinks > 0 {
            report.note(format!("the gradient of x has kinks at {kinks} elements, not compared"));
        }
        report.add(
            "gradient of x",
            max_error(&found, expected) / size(expected),
            tolerances.derived,
        );
    }
    let mut collect = CollectGradients { gradients: &gradients, values: vec![] };
    flow.visit(&mut collect);
    Ok(collect.values)
}

/// Whether the slope of a loss to the left of 0 differs from the slope to the right. At the end of
/// a spline's domain the log-slope has a kink. The rounding of one spline decides on which side the
/// next spline evaluates.
fn kinked(loss: impl Fn(f64) -> Result<f64, String>) -> Result<bool, String> {
    let (behind, here, ahead) = (loss(-SIDE)?, loss(0.0)?, loss(SIDE)?);
    let (left, right) = ((here - behind) / SIDE, (ahead - here) / SIDE);
    Ok((left - right).abs() > KINK * size(&[left, right]))
}

/// Compares the gradient in every parameter of the library. No table of names is needed: moving a
/// weight of the library shows how our weights depend on it. Along any direction `v` of that
/// weight, `<our gradient, change of our weights> = <gradient of the library, v>`.
pub fn parameters(
    reference: &Reference,
    state: &StateDict,
    gradients: &[f64],
    weights: impl Fn(&StateDict) -> Result<Vec<f64>, String>,
    report: &mut Report,
) -> Result<(), String> {
    let norm = |values: &[f64]| dot(values, values).sqrt();
    let largest = reference
        .gradients()
        .filter_map(|(_, gradient)| gradient.as_floats())
        .fold(0.0, |most, gradient| norm(gradient).max(most));
    let (mut worst, mut count) = (0.0f64, 0);
    for (index, (name, gradient)) in reference.gradients().enumerate() {
        let parameter = state.get_shaped(name, gradient.shape()).map_err(|e| e.to_string())?;
        let at = parameter.as_floats().ok_or_else(|| format!("`{name}` does not hold floats"))?;
        let expected = reference.floats(&format!("grad.{name}"))?;
        let moved = |by: f64, direction: &[f64]| {
            let values: Vec<f64> = at.iter().zip(direction).map(|(a, v)| a + by * v).collect();
            let mut state = state.clone();
            state.insert(name, HostTensor::floats(values, gradient.shape()));
            weights(&state)
        };
        let mut error = 0.0f64;
        for number in 0..=DIRECTIONS {
            let mut noise = Noise::stream(index as u64, number);
            let direction: Vec<f64> = match number {
                // Scaled to the length of the other directions, because the error of the difference
                // grows with the square of its step. A gradient of zero stays zero.
                0 => expected.iter().map(|g| g / size(expected).max(f64::MIN_POSITIVE)).collect(),
                _ => at.iter().map(|_| noise.next_normal()).collect(),
            };
            let (ahead, behind) = (moved(STEP, &direction)?, moved(-STEP, &direction)?);
            let change: Vec<f64> =
                ahead.iter().zip(&behind).map(|(a, b)| (a - b) / (2.0 * STEP)).collect();
            if change.len() != gradients.len() {
                return Err(format!("{} weights, {} gradients", change.len(), gradients.len()));
            }
            let miss = (dot(gradients, &change) - dot(expected, &direction)).abs();
            let scale = norm(expected).max(NEGLIGIBLE * largest).max(ROUNDING) * norm(&direction);
            // A gradient of zero along itself has no scale, so its error must be zero.
            let relative = if miss == 0.0 { 0.0 } else { miss / scale };
            error = if relative.is_nan() { f64::NAN } else { error.max(relative) };
        }
        if error.is_nan() || error > DERIVED {
            report.add(format!("gradient of {name}"), error, DERIVED);
        }
        worst = worst.max(error);
        count += 1;
    }
    if count > 0 {
        report.add(format!("gradients of {count} weights"), worst, DERIVED);
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The gradients of the same floats in the same order. A parameter that is not trained has gradient
/// zero.
struct CollectGradients<'a> {
    gradients: &'a Gradients,
    values: Vec<f64>,
}

impl ModuleVisitor for CollectGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let gradient = if value.is_require_grad() { value.grad(self.gradients) } else { None };
        self.values
            .extend(numbers(gradient.unwrap_or_else(|| value.without_autodiff().zeros_like())));
    }
}
