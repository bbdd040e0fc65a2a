//! How burn-train's learner shares the work among devices.

use burn_flows::burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use burn_flows::burn::tensor::{Device, DeviceType};
use burn_flows::burn::train::{ExecutionStrategy, MultiDeviceOptim};

/// The strategies of burn-train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// One device
    Single,
    /// A batch for every device; the first adds the gradients up and steps
    Multi,
    /// A replica on every device; NCCL averages the gradients (CUDA only)
    Ddp,
}

impl Strategy {
    /// Burn's own strategy on so many devices of a backend.
    ///
    /// # Errors
    ///
    /// If burn cannot run it there. It is said before anything starts: burn panics in the first step.
    pub fn on(self, backend: &str, count: usize) -> Result<ExecutionStrategy, String> {
        match self {
            Self::Single if count > 1 => Err(format!(
                "--strategy single trains on one device, not on {count}: try --strategy multi"
            )),
            Self::Ddp if backend != "cuda" => Err(format!(
                "--strategy ddp needs CUDA devices: burn 0.22 has no all-reduce on `{backend}`. \
                 Build with --features cuda and add --backend cuda, or try --strategy multi"
            )),
            _ => Ok(self.of(devices(backend, count)?)),
        }
    }

    fn of(self, mut devices: Vec<Device>) -> ExecutionStrategy {
        match self {
            Self::Single => ExecutionStrategy::single(devices.remove(0)),
            Self::Multi => ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice),
            Self::Ddp => {
                let config = DistributedConfig { all_reduce_op: ReduceOperation::Mean };
                ExecutionStrategy::ddp(devices, config)
            }
        }
    }
}

/// So many devices of a backend. The CPU counts as often as it is asked for.
fn devices(backend: &str, count: usize) -> Result<Vec<Device>, String> {
    let kind = match backend {
        #[cfg(feature = "flex")]
        "flex" => DeviceType::Flex,
        #[cfg(feature = "ndarray")]
        "ndarray" => DeviceType::NdArray,
        #[cfg(feature = "wgpu-unfused")]
        "wgpu" => DeviceType::Wgpu,
        #[cfg(feature = "vulkan")]
        "vulkan" => DeviceType::Vulkan,
        #[cfg(feature = "metal")]
        "metal" => DeviceType::Metal,
        #[cfg(feature = "webgpu")]
        "webgpu" => DeviceType::WebGpu,
        #[cfg(feature = "cuda")]
        "cuda" => DeviceType::Cuda,
        #[cfg(feature = "rocm")]
        "rocm" => DeviceType::Rocm,
        _ => return Err(format!("backend `{backend}` was not compiled in")),
    };
    let found = Device::enumerate(kind);
    let available = if matches!(backend, "flex" | "ndarray") { usize::MAX } else { found.len() };
    if count == 0 || count > available {
        return Err(format!("--devices {count}: `{backend}` has {}", found.len()));
    }
    Ok(found.iter().cycle().take(count).cloned().collect())
}
