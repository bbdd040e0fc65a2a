//! Models of real tables, compared with results of the Python libraries.

use burn::tensor::{Device, Tensor};
use burn_flows::model::{Maf, MafConfig, Orders, RealNvp};
use burn_flows::prelude::*;
use burn_flows::train::{FitData, fit, nll};

use crate::{built, fitting, masked, silu, table};

/// Trains a flow on a table. Its test NLL in standardised columns must be below `peer`, which zuko
/// reaches (mean of three seeds).
fn beats_on<B: Bijector<2>>(
    name: &str,
    make: impl FnOnce(usize, &Device) -> Flow<B, StandardNormal<2>>,
    peer: f64,
) {
    let device = Device::flex();
    let part = |part: &str| table(&format!("{name}_{part}_raw.csv"));
    let standardize = Standardize::from_data(part("train")).unwrap();
    let standard = |x: Tensor<2>| standardize.forward(x, None).0;
    let flow = built(&device, |device| make(part("train").dims()[1], device));
    let data = FitData::new(standard(part("train"))).with_validation(standard(part("val")));
    let (flow, _) = fit(flow, data, &fitting(150, 32, 1e-3)).unwrap();
    let test = nll(&flow, standard(part("test")), 1000);
    assert!(test < peer, "test NLL {test}, zuko reaches {peer}");
}

fn real_nvp(features: usize, device: &Device) -> RealNvp {
    let mlp = silu(64).with_dropout(0.4);
    RealNvpConfig::new(features).with_masks(Masks::Random(1)).with_mlp(mlp).init(device)
}

fn maf(features: usize, device: &Device) -> Maf {
    let made = masked(64).with_dropout(0.4);
    let config = MafConfig::new(features).with_layers(8).with_orders(Orders::Random(1));
    config.with_made(made).init(device)
}

#[test]
fn real_nvp_beats_the_peers_on_wine() {
    beats_on("wine", real_nvp, 14.59);
}

#[test]
fn real_nvp_beats_the_peers_on_diabetes() {
    beats_on("diabetes", real_nvp, 8.45);
}

#[test]
fn maf_beats_the_peers_on_wine() {
    beats_on("wine", maf, 12.9);
}

#[test]
fn maf_beats_the_peers_on_diabetes() {
    beats_on("diabetes", maf, 8.4);
}
