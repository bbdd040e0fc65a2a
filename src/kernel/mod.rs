//! Kernels: the hot operations, written for the CPU backend `flex`, with their backward passes.
//!
//! Every kernel has a reference made of tensor operations, which the other backends run and the
//! tests compare with. A kernel is called through one function of tensors; the rest of the crate
//! does not know which of the two ran.

mod conv;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod shifts;

pub(crate) use conv::conv_same;

use burn::tensor::Device;

/// Whether the tensors of `device` are those of the backend that the kernels are written for.
#[cfg(feature = "flex")]
fn serves(device: &Device) -> bool {
    use burn::backend::DispatchDevice;

    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => {
            matches!(device.clone().inner(), DispatchDevice::Flex(_))
        }
        #[allow(unreachable_patterns, reason = "where flex is the only backend")]
        _ => false,
    }
}

/// Without `flex` there are no kernels.
#[cfg(not(feature = "flex"))]
fn serves(_device: &Device) -> bool {
    false
}
