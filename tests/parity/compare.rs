//! A flow against its reference file.

use burn_flows::bijector::Bijector;
use burn_flows::burn::module::{Flag, Module, ModuleDisplay, ModuleMapper, ModuleVisitor, Param};
use burn_flows::burn::tensor::{DType, Device, Gradients, Tensor};
use burn_flows::cast;
use burn_flows::distribution::DiagNormal;
use burn_flows::interop::{HostTensor, StateDict};
use burn_flows::{Flow, Noise};

use crate::DEVICE;
use crate::reference::Reference;
use crate::report::{Report, max_error, size};

/// Relative to magnitude, for z, log-det and log-prob.
pub const VALUE: f64 = 1e-9;
/// Relative to magnitude, for gradients and inverses.
const DERIVED: f64 = 1e-7;
/// On top of what a library's numerical inverse misses by itself.
const NUMERICAL_INVERSE: f64 = 1e-6;
/// How often the library's own error in single precision is allowed. That error is a single draw and
/// may be zero by luck, so it counts as at least one unit in the last place of the largest value.
const F32_FACTOR: f64 = 10.0;
/// Relative to magnitude, in single precision, where the library's own error is not known.
const F32_DEFAULT: f64 = 1e-4;

/// Seeded directions per parameter; the gradient itself is one more.
const DIRECTIONS: u64 = 3;
/// Step of the central difference of the weights here in the weights there. Exact to rounding
/// where they are moved; where one is recomputed, it misses 1e-10.
const STEP: f64 = 3e-5;
/// A gradient this much smaller than the largest one is compared with this share of the largest.
const NEGLIGIBLE: f64 = 1e-6;

/// Compares everything a file holds with the flow that `build` makes of its weights.
pub fn flow<const D: usize, B: Bijector<D>>(
    reference: &Reference,
    build: impl Fn(&StateDict, &Device) -> burn_flows::Result<Flow<B, DiagNormal<D>>>,
) -> Result<Report, String> {
    let state = reference.state();
    let built = |state: &StateDict, device: &Device| {
        build(state, device).map_err(|error| error.to_string())
    };
    let mut report = Report::default();
    values(reference, &built(&state, &DEVICE)?, DType::F64, &mut report)?;

    let tracked = DEVICE.clone().autodiff();
    let trained = built(&state, &tracked)?.map(&mut Evaluating);
    let gradients = gradients(reference, &trained, &mut report)?;
    let weights = |state: &StateDict| Ok(flatten(&built(state, &DEVICE)?));
    parameters(reference, &state, &gradients, weights, &mut report)?;

    // Built anew: a cast would reach running statistics through a clone.
    values(reference, &cast(built(&state, &DEVICE)?, DType::F32), DType::F32, &mut report)?;
    Ok(report)
}

/// Both directions and the density, in one precision.
fn values<const D: usize, B: Bijector<D>>(
    reference: &Reference,
    flow: &Flow<B, DiagNormal<D>>,
    precision: DType,
    report: &mut Report,
) -> Result<(), String> {
    let read = |name| Ok::<_, String>(reference.tensor::<D>(name, &DEVICE)?.cast(precision));
    let context = reference.context(&DEVICE)?.map(|c| c.cast(precision));
    let (z, log_det) = flow.bijector().forward(read("io.x")?, context.as_ref());
    let log_prob = match &context {
        Some(context) => flow.log_prob_given(read("io.x")?, context),
        None => flow.log_prob(read("io.x")?),
    };
    let (x2, log_det2) = flow.bijector().inverse_with_log_det(read("io.z2")?, context.as_ref());
    let x2_alone = flow.bijector().inverse(read("io.z2")?, context.as_ref());

    let inverse = reference.numerical_inverse_error().map_or(DERIVED, |e| e + NUMERICAL_INVERSE);
    let mut unstated = false;
    for (what, found, expected, sidecar, tolerance) in [
        ("z", numbers(z), "io.z", "z", VALUE),
        ("log_det", numbers(log_det), "io.logabsdet", "logabsdet", VALUE),
        ("log_prob", numbers(log_prob), "io.log_prob", "log_prob", VALUE),
        ("x2", numbers(x2), "io.x2", "x2", inverse),
        ("x2 alone", numbers(x2_alone), "io.x2", "x2", inverse),
        ("log_det2", numbers(log_det2), "io.logabsdet2", "logabsdet2", inverse),
    ] {
        let expected = reference.floats(expected)?;
        if precision == DType::F64 {
            report.values(what, &found, expected, tolerance);
            continue;
        }
        let what = format!("f32 {what}");
        match reference.f32_error(sidecar) {
            Some(stated) => {
                let unit = f64::from(f32::EPSILON) * size(expected);
                report.add(what, max_error(&found, expected), F32_FACTOR * stated.max(unit));
            }
            None => {
                // No sidecar states the inverse's log-det; others may state nothing at all.
                unstated |= sidecar != "logabsdet2";
                report.values(&what, &found, expected, F32_DEFAULT);
            }
        }
    }
    if unstated {
        report.note(format!("no f32 error stated, so {F32_DEFAULT:e} of the magnitude allowed"));
    }
    Ok(())
}

/// The gradient of `-mean(log_prob)` in every parameter here, flat; checks that in x.
fn gradients<const D: usize, B: Bijector<D>>(
    reference: &Reference,
    flow: &Flow<B, DiagNormal<D>>,
    report: &mut Report,
) -> Result<Vec<f64>, String> {
    let x = reference.tensor::<D>("io.x", &DEVICE)?.autodiff().require_grad();
    let log_prob = match reference.context(&DEVICE)? {
        Some(context) => flow.log_prob_given(x.clone(), &context),
        None => flow.log_prob(x.clone()),
    };
    let gradients = log_prob.mean().neg().backward();
    if reference.tensors.contains("grad_io.x") {
        let expected = reference.floats("grad_io.x")?;
        let found = x.grad(&gradients).map(numbers).unwrap_or_default();
        report.add("gradient of x", max_error(&found, expected) / size(expected), DERIVED);
    }
    let mut collect = CollectGradients { gradients: &gradients, values: vec![] };
    flow.visit(&mut collect);
    Ok(collect.values)
}

/// The gradient in every parameter there. How the weights here follow a weight there is found by
/// moving it, so no table of names is needed: along any direction `v` of that weight,
/// `<gradient here, change of the weights here> = <gradient there, v>`.
fn parameters(
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
                0 => expected.to_vec(),
                _ => at.iter().map(|_| noise.next_normal()).collect(),
            };
            let (ahead, behind) = (moved(STEP, &direction)?, moved(-STEP, &direction)?);
            let change: Vec<f64> =
                ahead.iter().zip(&behind).map(|(a, b)| (a - b) / (2.0 * STEP)).collect();
            if change.len() != gradients.len() {
                return Err(format!("{} weights, {} gradients", change.len(), gradients.len()));
            }
            let miss = (dot(gradients, &change) - dot(expected, &direction)).abs();
            let scale = norm(expected).max(NEGLIGIBLE * largest) * norm(&direction);
            // A gradient of zero, along itself, has no scale and must not miss.
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

/// The values of a tensor.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().try_to_vec_as().expect("floats")
}

/// Every float of a module, trained or not, in the order of its fields.
pub fn flatten<M: Module + ModuleDisplay>(module: &M) -> Vec<f64> {
    struct Collect(Vec<f64>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(numbers(param.val()));
        }
    }
    let mut collect = Collect(vec![]);
    module.visit(&mut collect);
    collect.0
}

/// The gradients of the same floats in the same order; zero for what is not trained.
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

/// Gradients of an evaluated model: training flags off, parameters still tracked.
struct Evaluating;

impl ModuleMapper for Evaluating {
    fn map_flag(&mut self, param: Param<Flag>) -> Param<Flag> {
        param.with_value(false)
    }
}
