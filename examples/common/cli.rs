//! The parts that all examples share: options, device, error exit and result line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn_flows::burn::tensor::Device;

/// The result of a step of an example, with any error.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Prints the error, if there is one, and returns the exit code.
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
    /// Seed of the weights, the noise and the order of the data
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for pictures and weights
    #[arg(long, default_value = "out")]
    pub out: PathBuf,
    /// Backend: flex, or another one that is compiled in (for example with `--features wgpu`)
    #[arg(long, default_value = "flex")]
    pub backend: String,
}

impl Common {
    /// The selected device, with the seed set.
    pub fn device(&self) -> Outcome<Device> {
        let device = device(&self.backend)?;
        device.seed(self.seed);
        Ok(device)
    }
}

/// The path of a file in the output folder. Creates the folder if it is missing.
pub fn output(folder: &Path, name: &str) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder)?;
    Ok(folder.join(name))
}

/// Prints the result as one line of JSON for other programs.
pub fn finish(result: &serde_json::Value) {
    println!("result: {result}");
}

fn device(name: &str) -> Outcome<Device> {
    Ok(match name {
        #[cfg(feature = "flex")]
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // burn deprecates it; the user selects it by name
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
