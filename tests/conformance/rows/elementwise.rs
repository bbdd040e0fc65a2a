//! Rows of layers that map every element or every channel separately.

use burn::tensor::Tensor;
use burn_flows::bijector::*;
use burn_flows::testing::{Check, Suite};
use burn_flows::univariate::{Additive, Affine, AnyUnivariateConfig, GaussianizationConfig};

use crate::layers::*;
use crate::{DEVICE, built};

const LOGIT: f64 = 0.05;
const INFINITY: f64 = f64::INFINITY;

rows! {
    actnorm_vector: actnorm(4), [4, 4];
    actnorm_one_feature: actnorm(1), [3, 1];
    actnorm_image: actnorm(4), [2, 4, 3, 3];
    actnorm_series: actnorm(2), [3, 2, 3];
    actnorm_from_weights: ActNorm::from_weights(Tensor::ones([3], &*DEVICE), Tensor::ones([3], &*DEVICE)), [4, 3];
    batch_norm_fresh: BatchNormConfig::new(3).init(&DEVICE), [4, 3];
    batch_norm_trained: batch_norm(5), [6, 5];
    elementwise_affine: Elementwise::new(Affine::default(), 4, &DEVICE).unwrap(), [3, 4];
    elementwise_affine_image: Elementwise::new(Affine::default(), 12, &DEVICE).unwrap(), [2, 3, 2, 2];
    elementwise_additive: Elementwise::new(Additive::default(), 3, &DEVICE).unwrap(), [3, 3];
    elementwise_additive_image: Elementwise::new(Additive::default(), 6, &DEVICE).unwrap(), [2, 1, 2, 3];
    elementwise_any: Elementwise::new(AnyUnivariateConfig::Additive.init(), 3, &DEVICE).unwrap(), [3, 3];
    standardize_vector: standardize([9, 3]), [4, 3];
    standardize_image: standardize([9, 2, 2, 2]), [3, 2, 2, 2];
    bounded_above: Bounded::new(vec![Bound::Above(0.5); 4]).unwrap(), Suite::new([3, 4]).with_domain(0.5, INFINITY).with_edges(&[0.5, 0.0, -1.0]).with_range(-8.0, 50.0).with_range_edges(&[-1e4, 1e4]);
    bounded_below: Bounded::new(vec![Bound::Below(-0.25); 4]).unwrap(), Suite::new([3, 4]).with_domain(-INFINITY, -0.25).with_edges(&[-0.25, 0.0, 1.0]).with_range(-50.0, 8.0).with_range_edges(&[-1e4, 1e4]);
    bounded_between: Bounded::new(vec![Bound::Between(-0.5, 2.0); 4]).unwrap(), Suite::new([3, 4]).with_domain(-0.5, 2.0).with_edges(&[-0.5, 2.0, -1.0, 3.0]).with_range(-8.0, 8.0).with_range_edges(&[-1e4, 1e4]);
    bounded_each: Bounded::new(vec![Bound::Free, Bound::Above(-2.0), Bound::Below(3.0), Bound::Between(-2.0, 3.0)]).unwrap(), Suite::new([3, 4]).with_domain(-2.0, 3.0).with_edges(&[-2.0, 3.0, -9.0, 9.0]).with_range(-8.0, 8.0).with_range_edges(&[-1e4, 1e4]);
    bounded_image: Bounded::new(vec![Bound::Between(0.0, 1.0); 6]).unwrap(), Suite::new([2, 1, 3, 2]).with_domain(0.0, 1.0).with_range(-8.0, 8.0);
    exp: Exp {}, Suite::new([3, 4]).with_domain(-50.0, 50.0).with_range(0.0, INFINITY).with_range_edges(&[0.0, -1.0]);
    exp_image: Exp {}, Suite::new([2, 1, 2, 2]).with_domain(-50.0, 50.0).with_range(0.0, INFINITY);
    exp_inverse: Inverse::new(Exp {}), Suite::new([3, 4]).with_range(-50.0, 50.0).with_domain(0.0, INFINITY).with_edges(&[0.0, -1.0]);
    softplus: Softplus {}, Suite::new([3, 4]).with_domain(-50.0, INFINITY).with_edges(&[-1e4]).with_range(0.0, INFINITY).with_range_edges(&[0.0, -1.0]);
    softplus_inverse: Inverse::new(Softplus {}), Suite::new([3, 4]).with_range(-50.0, INFINITY).with_domain(0.0, INFINITY).with_edges(&[0.0, -1.0]);
    tanh: Tanh {}, Suite::new([3, 4]).with_domain(-3.0, 3.0).with_edges(&[-1e4, 1e4, 19.0]).with_range(-1.0, 1.0).with_range_edges(&[-1.0, 1.0, -2.0]);
    tanh_inverse: Inverse::new(Tanh {}), Suite::new([2, 2, 2, 1]).with_range(-3.0, 3.0).with_domain(-1.0, 1.0).with_edges(&[-1.0, 1.0, -2.0]);
    softclip: Softclip::new(11.0).unwrap(), Suite::new([3, 4]).with_edges(&[11.0, 1e30]).with_range(-11.0, 11.0).with_range_edges(&[11.0, -11.0, 11.0 - 1e-6, 1e30]).without(Check::RoundTripFar); // z rounds to the bound for large x
    softclip_image: Inverse::new(Softclip::new(5.0).unwrap()), Suite::new([2, 2, 2, 1]).with_domain(-5.0, 5.0).with_range(-4.0, 4.0);
    elementwise_context: Elementwise::new(Affine::default(), 4, &DEVICE).unwrap().with_context(&mlp(), 2, &DEVICE).unwrap(), Suite::new([3, 4]).with_context(2);
    elementwise_context_image: Elementwise::new(Additive::default(), 8, &DEVICE).unwrap().with_context(&mlp(), 3, &DEVICE).unwrap(), Suite::new([2, 2, 2, 2]).with_context(3);
    elementwise_context_gaussianization: Elementwise::new(GaussianizationConfig::new().with_components(3).init(), 3, &DEVICE).unwrap().with_context(&residual(), 2, &DEVICE).unwrap(), near([3, 3]).with_context(2);
    elementwise_context_any: any(r#"{"ElementwiseContext": {"univariate": {"Affine": "Exp"}, "features": 3, "context": 2, "mlp": {"hidden": [4], "activation": "Silu", "dropout": 0.0, "residual": false, "zero_last": true}}}"#), near([3, 3]).with_context(2);
    leaky_tanh: LeakyTanh::new(1.5).unwrap(), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_edges(&[1.5, -1.5, 1e30, -1e30]).with_range(-1.5, 1.5).with_range_edges(&[1.0, -1.0, 1e30]);
    leaky_tanh_late: LeakyTanh::new(8.0).unwrap(), Suite::new([2, 3]).with_domain(-3.0, 3.0).with_edges(&[9.0, 8.0, 1e4]).with_range(-0.99, 0.99);
    leaky_tanh_image: Inverse::new(LeakyTanh::new(0.3).unwrap()), [2, 2, 2, 1];
    leaky_relu: LeakyRelu::new(0.1).unwrap(), [3, 4];
    leaky_relu_steep: LeakyRelu::new(3.0).unwrap(), [2, 2, 2, 2];
    leaky_relu_inverse: Inverse::new(LeakyRelu::new(0.2).unwrap()), [3, 3];
    logit: Logit::new(0.0).unwrap(), Suite::new([3, 4]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0, -1.0, 2.0]).with_range(-8.0, 8.0).with_range_edges(&[-1e4, 1e4]);
    logit_alpha: Logit::new(LOGIT).unwrap(), Suite::new([3, 4]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0, 7.0, -LOGIT / (1.0 - 2.0 * LOGIT), (1.0 - LOGIT) / (1.0 - 2.0 * LOGIT)]).with_range(-8.0, 8.0);
    logit_image: Logit::new(LOGIT).unwrap(), Suite::new([2, 1, 3, 2]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0]).with_range(-8.0, 8.0);
    sigmoid: Sigmoid::new(Logit::new(0.0).unwrap()), Suite::new([3, 4]).with_domain(-8.0, 8.0).with_edges(&[-1e4, 1e4]).with_range(0.0, 1.0).with_range_edges(&[0.0, 1.0, 2.0]);
}
