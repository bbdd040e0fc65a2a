//! Libraries that map from latent to data only.

use burn_flows::burn::tensor::{DType, Device};
use burn_flows::cast;
use burn_flows::interop::StateDict;

use crate::DEVICE;
use crate::compare::{DERIVED, F32_DEFAULT, F32_FACTOR, Subject, VALUE, numbers};
use crate::reference::Reference;
use crate::report::{Report, size};

/// Compares the map from latent to data with the library. Then checks that the inverse returns to
/// the latent.
pub fn generator<const D: usize, S: Subject<D>>(
    reference: &Reference,
    build: impl Fn(&StateDict, &Device) -> burn_flows::Result<S>,
) -> Result<Report, String> {
    let mut report = Report::default();
    for precision in [DType::F64, DType::F32] {
        let flow = build(&reference.state(), &DEVICE).map_err(|error| error.to_string())?;
        let flow = cast(flow, precision);
        let latents = || Ok::<_, String>(S::cast(flow.latents(reference, "io.z2")?, precision));
        let (x, log_det) = flow.inverse_with_log_det(latents()?, None);
        let (back, minus_log_det) = flow.forward(x.clone(), None);
        let (expected_x, expected) =
            (reference.floats("io.x2")?, reference.floats("io.logabsdet2")?);
        let f32_x = reference.f32_error("x2").map(|stated| {
            F32_FACTOR * stated.max(f64::from(f32::EPSILON) * size(expected_x)) / size(expected_x)
        });
        let [of_x, of_log_det, of_back] = match precision {
            DType::F64 => [VALUE, VALUE, DERIVED],
            _ => [f32_x.unwrap_or(F32_DEFAULT), F32_DEFAULT, F32_DEFAULT],
        };
        let name = |what: &str| match precision {
            DType::F64 => what.to_string(),
            _ => format!("f32 {what}"),
        };
        let there = numbers(flow.inverse(latents()?, None));
        report.values(&name("x2"), &numbers(x), expected_x, of_x);
        report.values(&name("x2 alone"), &there, expected_x, of_x);
        report.values(&name("log_det2"), &numbers(log_det), expected, of_log_det);
        report.values(&name("z2"), &S::numbers(back), &S::numbers(latents()?), of_back);
        report.values(&name("minus log_det2"), &numbers(minus_log_det.neg()), expected, of_back);
    }
    Ok(report)
}
