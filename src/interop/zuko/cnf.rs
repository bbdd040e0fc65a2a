//! Continuous flows.

use burn::tensor::Device;

use super::layers::expect_no_normalization;
use super::normal_base;
use crate::bijector::{AnyBijector, Cnf, SmoothActivation, Solver};
use crate::config::config;
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::interop::StateDict;
use crate::interop::dense::Dense;
use crate::interop::scope::whole;
use crate::math::from_f64;

config! {
/// The settings of a `CNF` that zuko does not save, with the defaults of zuko. Set each field to the value used for
/// training.
///
/// ```
/// use burn_flows::{bijector::Solver, interop::zuko};
///
/// // CNF(.., atol=1e-8, rtol=1e-7)
/// let solver = Solver::DormandPrince { atol: 1e-8, rtol: 1e-7, limit: 1000 };
/// let options = zuko::CnfOptions::new().with_solver(solver);
/// assert_ne!(options.solver, zuko::CnfOptions::new().solver);
/// ```
pub struct CnfOptions {
    /// `activation` of the network.
    #[config(default = SmoothActivation::Elu)]
    pub activation: SmoothActivation,
    /// The solver with `atol` and `rtol`. Smaller tolerances give smaller errors and take more steps.
    #[config(default = Solver::default())]
    pub solver: Solver,
}
}

/// Loads a `CNF` with its exact trace, with or without a context.
///
/// Both libraries solve the same equation with their own steps, so the numbers agree to the error of the solver. That
/// error is 1e-4 at `atol=1e-9` and `rtol=1e-8`, compared with 1e-9 for the other flows. The base is fixed, as in zuko.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if the time does not run from 0 to 1.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One feature whose velocity is 2, whatever the time.
/// let mut dict = StateDict::new();
/// dict.insert("transform.times", HostTensor::floats([0.0, 1.0], [2]));
/// dict.insert("transform.freqs", HostTensor::floats([std::f64::consts::PI], [1]));
/// dict.insert("transform.ode.0.weight", HostTensor::floats([0.0; 3], [1, 3]));
/// dict.insert("transform.ode.0.bias", HostTensor::floats([1.0], [1]));
/// dict.insert("transform.ode.2.weight", HostTensor::floats([2.0], [1, 1]));
/// dict.insert("transform.ode.2.bias", HostTensor::floats([0.0], [1]));
/// let device = Device::flex();
/// let flow = zuko::cnf(&dict, &zuko::CnfOptions::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[3.0]], &device));
/// assert!((z.into_scalar::<f32>() - 5.0).abs() < 1e-5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn cnf(
    dict: &StateDict,
    options: &CnfOptions,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    options.solver.validate()?;
    whole(dict, "", |scope| {
        let transform = scope.within("transform");
        if transform.floats("times", &[2])? != [0.0, 1.0] {
            return Err(transform.wrong("times", "must be [0, 1]".into()));
        }
        let (frequencies, [count]) = transform.floats_of_rank("freqs")?;
        let (mut layers, mut widths) = (vec![], vec![]);
        expect_no_normalization(&transform, "ode")?;
        let numbers = transform.numbered("ode");
        let first = numbers.first().copied().unwrap_or(0);
        for number in [first].into_iter().chain(numbers.into_iter().skip(1)) {
            let dense = Dense::read(&transform, &format!("ode.{number}"))?;
            dense.expect(dense.outputs(), widths.last().copied().unwrap_or(dense.inputs()))?;
            widths.extend(if widths.is_empty() { Some(dense.inputs()) } else { None });
            widths.push(dense.outputs());
            layers.push(dense.linear(device));
        }
        let features = widths[widths.len() - 1];
        if widths[0] < 2 * count + features {
            let first = format!("ode.{first}.weight");
            let reason = format!(
                "must have at least {} inputs ({count} cosines, {count} sines, {features} \
                 features), found {}",
                2 * count + features,
                widths[0]
            );
            return Err(transform.wrong(&first, reason));
        }
        let frequencies = from_f64(frequencies.to_vec(), [count], device);
        let layer = Cnf::from_layers(layers, frequencies, options.activation, options.solver);
        Ok(Flow::new(AnyBijector::Cnf(layer), normal_base(scope, features, device)?))
    })
}
