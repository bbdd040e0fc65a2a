//! What every example shares: its options, its device, its last line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn_flows::burn::tensor::Device;

/// Whatever ends an example early.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Says what went wrong, for people.
pub fn exit(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Options that every example accepts.
#[derive(clap::Args)]
pub struct Common {
    /// Passes over the training data
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Decides weights, noise and data order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for pictures and weights
    #[arg(long, default_value = "out")]
    pub out: PathBuf,
    /// flex, or another backend this was compiled with (`--features wgpu`)
    #[arg(long, default_value = "flex")]
    pub backend: String,
}

impl Common {
    /// The device, seeded.
    pub fn device(&self) -> Outcome<Device> {
        let device = device(&self.backend)?;
        device.seed(self.seed);
        Ok(device)
    }
}

/// A file in the output folder, which is made when the first is written.
pub fn output(folder: &Path, name: &str) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder)?;
    Ok(folder.join(name))
}

/// Prints the line that programs read.
pub fn finish(result: &serde_json::Value) {
    println!("result: {result}");
}

fn device(name: &str) -> Outcome<Device> {
    Ok(match name {
        #[cfg(feature = "flex")]
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // burn's word; the backend is asked for by name
        "ndarray" => Device::ndarray(),
        #[cfg(feature = "wgpu-unfused")]
        "wgpu" => Device::wgpu(Default::default()),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(Default::default()),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(Default::default()),
        #[cfg(feature = "webgpu")]
        "webgpu" => Device::webgpu(Default::default()),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        #[cfg(feature = "rocm")]
        "rocm" => Device::rocm(0),
        _ => {
            return Err(
                format!("backend `{name}` was not compiled in: try --features {name}").into()
            );
        }
    })
}
