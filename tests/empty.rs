//! An empty batch: every method returns an empty result of the correct shape.

use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::model::RealNvpConfig;

#[test]
fn a_flow_of_no_rows_gives_none() {
    let device = Device::flex();
    let flow = RealNvpConfig::new(3).init(&device);
    let none = Tensor::<2>::zeros([0, 3], &device);
    assert_eq!(flow.log_prob(none.clone()).dims(), [0]);
    assert_eq!(flow.encode(none.clone()).dims(), [0, 3]);
    assert_eq!(flow.decode(none).dims(), [0, 3]);
    assert_eq!(flow.sample_seeded(0, 1).dims(), [0, 3]);
}

#[test]
fn one_context_serves_no_rows() {
    let device = Device::flex();
    let flow = RealNvpConfig::new(3).with_context(2).init(&device);
    let (none, context) = (Tensor::<2>::zeros([0, 3], &device), Tensor::ones([1, 2], &device));
    assert_eq!(flow.given(&context).log_prob(none.clone()).dims(), [0]);
    assert_eq!(flow.given(&context).encode(none).dims(), [0, 3]);
    assert_eq!(flow.given(&context).sample(0).dims(), [0, 3]);
}
