//! Compares a flow with its reference file.

use burn_flows::bijector::Bijector;
use burn_flows::burn::module::{Flag, Module, ModuleDisplay, ModuleMapper, ModuleVisitor, Param};
use burn_flows::burn::tensor::{DType, Device, Tensor};
use burn_flows::cast;
use burn_flows::distribution::{Distribution, LevelBase};
use burn_flows::interop::StateDict;
use burn_flows::{Flow, MultiScale};

use crate::DEVICE;
use crate::gradients;
use crate::reference::Reference;
use crate::report::{Report, max_error, mean_error, size};

/// Tolerance for z, log-det and log-prob, relative to the magnitude.
pub const VALUE: f64 = 1e-9;
/// Tolerance for gradients and inverses, relative to the magnitude.
pub const DERIVED: f64 = 1e-7;
/// Tolerance for the gradient of `x` by an adjoint equation, relative to the magnitude.
const ADJOINT: f64 = 5e-3;
/// Tolerance in addition to the round-trip error of a library's numerical inverse.
const NUMERICAL_INVERSE: f64 = 1e-6;
/// The factor on that tolerance for `x`. The error of the library is known for a few rows only, and
/// where a map is flat, a small error of `z` is a larger error of `x`.
const INVERSE_FACTOR: f64 = 10.0;
/// The allowed multiple of the library's largest error in single precision. That error is a single
/// sample and may be zero, so it counts as at least one ulp of the largest value.
pub const F32_FACTOR: f64 = 10.0;
/// The allowed multiple of the root mean square of the library's errors in single precision. It is
/// more reliable than the largest error, which depends on the order of sums: another order of the
/// hidden units changes the library's own error of `nflows/realnvp_affine_coupling` from 1.1e-6 to
/// 8.4e-6.
pub const F32_MEAN_FACTOR: f64 = 3.0;
/// A root mean square that is always allowed.
pub const F32_ABSOLUTE: f64 = 1e-6;
/// Tolerance in single precision if the library's own error is not known, relative to the
/// magnitude.
pub const F32_DEFAULT: f64 = 1e-4;

/// A density whose latents a file may hold. `D` is the number of axes of the data.
pub trait Subject<const D: usize>: Distribution<D> {
    type Latents;

    /// The latents with the name `name` in the file.
    fn latents(&self, reference: &Reference, name: &str) -> Result<Self::Latents, String>;

    fn cast(latents: Self::Latents, precision: DType) -> Self::Latents;

    fn numbers(latents: Self::Latents) -> Vec<f64>;

    /// Returns the latents and the log-determinant.
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self::Latents, Tensor<1>);

    /// Returns the data without a log-determinant.
    fn inverse(&self, z: Self::Latents, context: Option<&Tensor<2>>) -> Tensor<D>;

    /// Returns the data and the log-determinant.
    fn inverse_with_log_det(
        &self,
        z: Self::Latents,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>);
}

impl<const D: usize, B: Bijector<D>, P: Distribution<D>> Subject<D> for Flow<B, P> {
    type Latents = Tensor<D>;

    fn latents(&self, reference: &Reference, name: &str) -> Result<Tensor<D>, String> {
        reference.tensor(name, &DEVICE)
    }

    fn cast(latents: Tensor<D>, precision: DType) -> Tensor<D> {
        latents.cast(precision)
    }

    fn numbers(latents: Tensor<D>) -> Vec<f64> {
        numbers(latents)
    }

    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.bijector().forward(x, context)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        self.bijector().inverse(z, context)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.bijector().inverse_with_log_det(z, context)
    }
}

/// A file holds the latents as a list, the deepest level first, or as one vector, the first level
/// first.
impl<B: Bijector<4>, P: LevelBase> Subject<4> for MultiScale<B, P> {
    type Latents = Vec<Tensor<4>>;

    fn latents(&self, reference: &Reference, name: &str) -> Result<Vec<Tensor<4>>, String> {
        let levels = self.parts().len();
        if !reference.tensors.contains(name) {
            let part = |level| reference.tensor(&format!("{name}.{level}"), &DEVICE);
            return (0..levels).rev().map(part).collect();
        }
        let flat = reference.tensor::<2>(name, &DEVICE)?;
        let [batch, found] = flat.dims();
        let sizes: Vec<usize> = self.parts().iter().map(|part| part.iter().product()).collect();
        if found != sizes.iter().sum::<usize>() {
            return Err(format!("`{name}` has {found} elements, expected {sizes:?}"));
        }
        let parts = flat.split_with_sizes(sizes, 1).into_iter().zip(self.parts());
        Ok(parts.map(|(z, &[c, h, w])| z.reshape([batch, c, h, w])).collect())
    }

    fn cast(latents: Vec<Tensor<4>>, precision: DType) -> Vec<Tensor<4>> {
        latents.into_iter().map(|z| z.cast(precision)).collect()
    }

    fn numbers(latents: Vec<Tensor<4>>) -> Vec<f64> {
        latents.into_iter().flat_map(numbers).collect()
    }

    fn forward(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> (Vec<Tensor<4>>, Tensor<1>) {
        self.given(context).encode_with_log_det(x)
    }

    fn inverse(&self, z: Vec<Tensor<4>>, context: Option<&Tensor<2>>) -> Tensor<4> {
        self.given(context).decode(z)
    }

    fn inverse_with_log_det(
        &self,
        z: Vec<Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<4>, Tensor<1>) {
        let x = Subject::inverse(self, z, context);
        let (_, log_det) = self.given(context).encode_with_log_det(x.clone());
        (x, log_det.neg())
    }
}

/// Compares all tensors of a file with the flow that `build` makes from its weights.
pub fn flow<const D: usize, S: Subject<D>>(
    reference: &Reference,
    build: impl Fn(&StateDict, &Device) -> burn_flows::Result<S>,
) -> Result<Report, String> {
    within(reference, build, &Tolerances { value: VALUE, derived: DERIVED, of_weights: true })
}

/// Compares with a library that also solves its forward direction numerically. The tolerance for
/// values is ten times the round-trip error of the library. The library evaluates without gradients
/// of its weights. Its adjoint equation crosses kinks of the activation without error control: a
/// tolerance 100 times tighter changes its gradient of `x` by 1.3e-3.
pub fn solution<const D: usize, S: Subject<D>>(
    reference: &Reference,
    build: impl Fn(&StateDict, &Device) -> burn_flows::Result<S>,
) -> Result<Report, String> {
    let missed = reference.inverse_error(DERIVED).ok_or("no round trip error is stated")?;
    let allowed = INVERSE_FACTOR * missed + NUMERICAL_INVERSE;
    within(reference, build, &Tolerances { value: allowed, derived: ADJOINT, of_weights: false })
}

/// Tolerances relative to the magnitude: for values, and for gradients if the file holds some.
pub struct Tolerances {
    pub value: f64,
    pub derived: f64,
    pub of_weights: bool,
}

fn within<const D: usize, S: Subject<D>>(
    reference: &Reference,
    build: impl Fn(&StateDict, &Device) -> burn_flows::Result<S>,
    tolerances: &Tolerances,
) -> Result<Report, String> {
    let state = reference.state();
    let built = |state: &StateDict, device: &Device| {
        build(state, device).map_err(|error| error.to_string())
    };
    let mut report = Report::default();
    values(reference, &built(&state, &DEVICE)?, DType::F64, tolerances, &mut report)?;

    let tracked = DEVICE.clone().autodiff();
    let trained = built(&state, &tracked)?.map(&mut Evaluating);
    let gradients = gradients::gradients(reference, &trained, tolerances, &mut report)?;
    let weights = |state: &StateDict| Ok(flatten(&built(state, &DEVICE)?));
    if tolerances.of_weights {
        gradients::parameters(reference, &state, &gradients, weights, &mut report)?;
    }

    // Builds the flow again, because a cast would change the running statistics of its clones.
    let single = cast(built(&state, &DEVICE)?, DType::F32);
    values(reference, &single, DType::F32, tolerances, &mut report)?;
    Ok(report)
}

/// Compares both directions and the density in one precision.
fn values<const D: usize, S: Subject<D>>(
    reference: &Reference,
    flow: &S,
    precision: DType,
    tolerances: &Tolerances,
    report: &mut Report,
) -> Result<(), String> {
    let read = |name| Ok::<_, String>(reference.tensor::<D>(name, &DEVICE)?.cast(precision));
    let context = reference.context(&DEVICE)?.map(|c| c.cast(precision));
    let latents = |name| Ok::<_, String>(S::cast(flow.latents(reference, name)?, precision));
    let (z, log_det) = flow.forward(read("io.x")?, context.as_ref());
    let log_prob = flow.log_prob(read("io.x")?, context.as_ref());
    // A library whose inverse does not run states no `x2`. Then the latents must be decoded to the
    // data.
    let stated = reference.tensors.contains("io.x2");
    let (z2, x2_name) = if stated { ("io.z2", "io.x2") } else { ("io.z", "io.x") };
    let (x2, log_det2) = flow.inverse_with_log_det(latents(z2)?, context.as_ref());
    let x2_alone = flow.inverse(latents(z2)?, context.as_ref());

    let missed = reference.inverse_error(DERIVED);
    let inverse = missed.map_or(DERIVED, |e| INVERSE_FACTOR * e + NUMERICAL_INVERSE);
    if let (Some(e), DType::F64, true) = (missed, precision, stated) {
        // Compares inverses through the forward map, because the inverse of the file has a small
        // error.
        let expected = S::numbers(latents("io.z2")?);
        let z_of = |x| S::numbers(flow.forward(x, context.as_ref()).0);
        report.values("z of x2", &z_of(x2.clone()), &expected, DERIVED);
        report.values("z of its x2", &z_of(read("io.x2")?), &expected, e + NUMERICAL_INVERSE);
    }
    let floats = |name: &str| Ok::<_, String>(reference.floats(name)?.to_vec());
    let expected_log_det2 = match stated {
        true => floats("io.logabsdet2")?,
        false => floats("io.logabsdet")?.iter().map(|log_det| -log_det).collect(),
    };
    // If both directions are solved alike, the error of one applies to the other.
    let of_log_det2 = if tolerances.value > VALUE { "logabsdet" } else { "logabsdet2" };
    let mut unstated = false;
    for (what, found, expected, sidecar, tolerance) in [
        ("z", S::numbers(z), S::numbers(flow.latents(reference, "io.z")?), "z", tolerances.value),
        ("log_det", numbers(log_det), floats("io.logabsdet")?, "logabsdet", tolerances.value),
        ("log_prob", numbers(log_prob), floats("io.log_prob")?, "log_prob", tolerances.value),
        ("x2", numbers(x2), floats(x2_name)?, "x2", inverse),
        ("x2 alone", numbers(x2_alone), floats(x2_name)?, "x2", inverse),
        ("log_det2", numbers(log_det2), expected_log_det2, of_log_det2, inverse),
    ] {
        if precision == DType::F64 {
            report.values(what, &found, &expected, tolerance);
            continue;
        }
        let what = format!("f32 {what}");
        let searched = if missed.is_some() && tolerance == inverse { inverse } else { 0.0 };
        match reference.f32_error(sidecar) {
            Some(stated) => {
                let unit = f64::from(f32::EPSILON) * size(&expected);
                let allowed = (F32_FACTOR * stated.max(unit)).max(searched);
                report.add(what.as_str(), max_error(&found, &expected), allowed);
                let theirs = match sidecar {
                    "z" => flow.latents(reference, "io32.z").map(S::numbers),
                    name => floats(&format!("io32.{name}")),
                };
                let ours = mean_error(&found, &expected);
                if let Some(theirs) = theirs.ok().filter(|_| ours > searched) {
                    let theirs = mean_error(&theirs, &expected);
                    let what = format!("{what}, root mean square");
                    report.ratio(&what, ours, theirs);
                    report.add(what, ours, (F32_MEAN_FACTOR * theirs).max(F32_ABSOLUTE));
                }
            }
            None => {
                // No file states the error of the inverse's log-det. Some files state no errors.
                unstated |= sidecar != "logabsdet2";
                report.values(&what, &found, &expected, F32_DEFAULT.max(searched));
            }
        }
    }
    if unstated {
        report.note(format!("no f32 error stated: the relative tolerance is {F32_DEFAULT:e}"));
    }
    Ok(())
}

/// The values of a tensor as a list.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().try_to_vec_as().expect("floats")
}

/// All floats of a module, trained or not, in the order of its fields.
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

/// Enables gradients of a model in evaluation mode: training flags are off, parameters are tracked.
struct Evaluating;

impl ModuleMapper for Evaluating {
    fn map_flag(&mut self, param: Param<Flag>) -> Param<Flag> {
        param.with_value(false)
    }
}
