//! How burn-train's learner distributes the work over devices.

use burn_flows::burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use burn_flows::burn::tensor::{Device, DeviceType};
use burn_flows::burn::train::{ExecutionStrategy, MultiDeviceOptim};

/// The strategies of burn-train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// One device
    Single,
    /// One batch per device; the first device sums the gradients and updates the weights
    Multi,
    /// One replica per device; NCCL averages the gradients (CUDA only)
    Ddp,
}

impl Strategy {
    /// burn's strategy on `count` devices of a backend.
    ///
    /// # Errors
    ///
    /// If burn does not support the strategy on this backend. burn itself would panic in the first
    /// step.
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

/// The first `count` devices of a backend. CPU devices are repeated as often as needed.
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
