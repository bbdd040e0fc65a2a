//! The exact message of every invalid configuration, and of every panic due to a wrong shape.

use burn::tensor::{Device, Tensor};
use burn_flows::Result;
use burn_flows::bijector::*;

const NAN: f64 = f64::NAN;

fn device() -> Device {
    Device::flex()
}

fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &device())
}

/// One named test per row: the expression is an `Err` with exactly this message.
macro_rules! errors {
    ($($name:ident: $result:expr => $text:expr;)+) => {
        $(#[test]
        fn $name() {
            assert_eq!($result.expect_err("an error").to_string(), $text);
        })+
    };
}

/// One named test per row: the expression panics with exactly this message.
macro_rules! panics {
    ($($name:ident: $call:expr => $text:expr;)+) => {
        $(#[test]
        fn $name() {
            let call = std::panic::AssertUnwindSafe(|| { let _ = $call; });
            let panic = std::panic::catch_unwind(call).expect_err("a panic");
            let text = match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
            };
            assert_eq!(text, $text);
        })+
    };
}

fn coupling(mask: Mask, features: usize) -> CouplingConfig {
    CouplingConfig::new(features).with_mask(mask)
}

fn dense_matrix<const R: usize, const C: usize>(rows: [[f64; C]; R]) -> Result<DenseMatrix> {
    DenseMatrix::from_weights(Tensor::from_data(rows, &device()))
}

mod configs;
mod constructors;
mod rows;
mod shapes;
