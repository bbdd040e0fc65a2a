//! Encoders of contexts, and densities under an encoded context.

mod embedded;
mod learning;
mod networks;
mod sets;
mod standardize;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flows::encoder::{
    Encoder, ImageEncoder, ImageEncoderConfig, MlpEncoder, MlpEncoderConfig, SeriesEncoder,
    SeriesEncoderConfig, SetEncoder, SetEncoderConfig,
};
use burn_flows::{Noise, burn};

fn device() -> Device {
    Device::flex()
}

fn normal(rows: usize, width: usize, seed: u64) -> Tensor<2> {
    Noise::seeded(seed).normal([rows, width], &device())
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn double(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device(), DType::F64))
}

/// The message of a panic.
fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let call = std::panic::AssertUnwindSafe(call);
    let panic = std::panic::catch_unwind(call).err().expect("a panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
    }
}

fn mlp() -> MlpEncoder {
    MlpEncoderConfig::new(6, 3)
        .with_hidden(vec![8, 8])
        .with_residual(true)
        .with_seed(1)
        .init(&device())
}

/// Up to three elements of two values with a mask.
fn set() -> SetEncoder {
    let config = SetEncoderConfig::new(3, 2, 3).with_mask(true).with_pooled(5);
    config.with_element_hidden(vec![6]).with_set_hidden(vec![7]).with_seed(2).init(&device())
}

/// Two channels of seven steps.
fn series() -> SeriesEncoder {
    let config = SeriesEncoderConfig::new(2, 7, 3).with_convolutions(vec![4, 5]).with_kernel(3);
    config.with_hidden(vec![6]).with_seed(3).init(&device())
}

/// Two channels of five by three pixels.
fn image() -> ImageEncoder {
    let config = ImageEncoderConfig::new([2, 5, 3], 3).with_convolutions(vec![4, 5]);
    config.with_hidden(vec![6]).with_seed(4).init(&device())
}

/// Runs a test on every encoder with the width of its context. All have three features.
macro_rules! each_encoder {
    ($test:ident) => {
        $test(crate::mlp(), 6);
        $test(crate::set(), 9);
        $test(crate::series(), 14);
        $test(crate::image(), 30);
        $test((crate::series(), crate::narrow()), 14);
    };
}
pub(crate) use each_encoder;

/// From three to three features.
fn narrow() -> MlpEncoder {
    MlpEncoderConfig::new(3, 3).with_hidden(vec![4]).with_seed(5).init(&device())
}

/// Contexts in which some elements of a set are absent.
fn contexts(rows: usize, width: usize) -> Tensor<2> {
    normal(rows, width, 7) + 0.5
}

/// The shape and the values of every float parameter.
fn weights(module: &impl Module) -> Vec<(Vec<usize>, Vec<f64>)> {
    struct Weights(Vec<(Vec<usize>, Vec<f64>)>);
    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((param.val().dims().to_vec(), host(param.val())));
        }
    }
    let mut weights = Weights(vec![]);
    module.visit(&mut weights);
    weights.0
}

#[test]
fn wrong_widths_name_the_encoder_and_both_widths() {
    fn check(encoder: impl Encoder, width: usize, name: &str) {
        let text = format!("{name}: expected a context of width {width}, found {}", width + 1);
        let wrong = || contexts(4, width + 1);
        assert_eq!(panic_of(|| encoder.encode(wrong())), text);
        assert_eq!(panic_of(|| encoder.clone().init_from_data(wrong())), text);
    }
    check(mlp(), 6, "MlpEncoder");
    check(set(), 9, "SetEncoder");
    check(series(), 14, "SeriesEncoder");
    check(image(), 30, "ImageEncoder");
}
