//! `certify` names the layer of a flow that loses precision or has a wrong log-determinant.
//!
//! First, a Real NVP learns two moons and passes. Second, a nearly singular matrix follows its
//! couplings: the density still looks as good, but no sample is right. Third, a layer of 1500
//! features returns a log-determinant that is 1 % too large, which no round trip shows.
//!
//! `cargo run --release -p examples --example certificate`

use burn_flows::bijector::{Bijector, DenseMatrix, LinearMap};
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::distribution::TwoMoons;
use burn_flows::prelude::*;
use burn_flows::testing::{certify, moved};
use burn_flows::train::{FitConfig, fit};

/// Returns a log-determinant that is 1 % larger than that of the inner layer.
#[derive(Module, Debug)]
struct Boastful<B> {
    layer: B,
}

impl<B: Bijector<2>> Bijector<2> for Boastful<B> {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let (z, log_det) = self.layer.forward(x, context);
        (z, log_det * 1.01)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.layer.inverse(z, context)
    }
}

fn main() -> Result<(), Error> {
    let device = Device::flex();
    device.seed(0);
    let moons = TwoMoons {}.sample(2000, None, &mut Noise::seeded(1), &device);
    let flow = RealNvpConfig::new(2).with_layers(4).init(&device);
    let (flow, _) = fit(flow, moons.clone(), &FitConfig::new().with_epochs(5))?;
    let sound = certify(&flow, &moons, None);
    println!("The trained flow:\n{sound}\n");
    assert!(sound.lost().is_none() && sound.wrong().is_none());

    let (couplings, base) = flow.into_parts();
    let matrix = Tensor::<2>::from_data([[1.0, 1.0], [1.0, 1.000_001]], &device);
    let singular = LinearMap::new(DenseMatrix::from_weights(matrix)?);
    let broken = certify(&Flow::new((couplings, singular), base), &moons, None);
    println!("The flow followed by a nearly singular matrix:\n{broken}\n");
    let lost = broken.lost().expect("a layer without an inverse");
    assert_eq!((lost.path.as_str(), lost.name.as_str()), ("bijector.1", "DenseLinear"));
    assert!(lost.condition.is_some_and(|condition| condition > 1e6));

    let rows = Noise::seeded(2).normal::<2>([100, 1500], &device) * 3.0;
    let (scale, _) = ActNormConfig::new(1500).init(&device).init_from_data(rows.clone(), None);
    let large = RealNvpConfig::new(1500).with_layers(1).init(&device);
    let (couplings, base) = moved(large, 1).into_parts();
    let boastful = certify(&Flow::new(Boastful { layer: (scale, couplings) }, base), &rows, None);
    println!("A flow whose log-determinant is 1 % too large:\n{boastful}");
    assert!(boastful.lost().is_none(), "every round trip is accurate");
    assert_eq!(boastful.wrong().map(|layer| layer.name.as_str()), Some("Boastful"));
    Ok(())
}
