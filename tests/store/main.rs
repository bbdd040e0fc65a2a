//! Save and load: models are restored bit for bit, and invalid files are rejected with an exact
//! message.

mod configs;
mod damage;
mod fields;
mod files;
mod forgery;
mod mismatch;
mod open;
mod parts;
mod round_trip;
mod settings;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use burn_flows::{Noise, store};
use safetensors::SafeTensors;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn device() -> Device {
    Device::flex()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The entries of a folder. A failed save must not leave a temporary file.
fn names_in(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Moves every float parameter by seeded noise. Positive parameters stay positive.
fn moved<M: Module>(model: M, seed: u64) -> M {
    struct Mover(Noise);
    impl ModuleMapper for Mover {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| {
                let plain = old.clone().without_autodiff();
                let (shape, device, dtype) = (plain.dims(), plain.device(), plain.dtype());
                let factor = (self.0.normal(shape, &device) * 0.1).exp().cast(dtype);
                let shift = (self.0.uniform(shape, &device) * 0.1).cast(dtype);
                let new = plain * factor + shift;
                let new = if old.is_autodiff() { new.autodiff() } else { new };
                if old.is_require_grad() { new.require_grad() } else { new }
            })
        }
    }
    model.map(&mut Mover(Noise::seeded(seed)))
}

fn rows(n: usize, features: usize) -> Tensor<2> {
    Noise::seeded(99).normal([n, features], &device())
}

/// Corrects the checksum of a file, as the module documentation describes it.
fn reseal(file: &mut [u8]) {
    let mark = b"burn-flows-sha256:";
    let at = file.windows(mark.len()).position(|w| w == mark).unwrap() + mark.len();
    file[at..at + 64].fill(b'0');
    let digits: String = Sha256::digest(&*file).iter().map(|b| format!("{b:02x}")).collect();
    file[at..at + 64].copy_from_slice(digits.as_bytes());
}

/// The description in the file of a model.
fn description<M: Module + Serialize>(model: &M) -> Value {
    let folder = folder();
    let path = folder.path().join("described.safetensors");
    store::save(model, &path).unwrap();
    label(&std::fs::read(path).unwrap())["model"].take()
}

/// The label of a safetensors file.
fn label(file: &[u8]) -> Value {
    let (_, header) = SafeTensors::read_metadata(file).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["burn-flows"]).unwrap()
}

/// Replaces the description in a safetensors file, and corrects the checksum.
fn forged(path: &Path, description: &Value) {
    let file = std::fs::read(path).unwrap();
    let mut label = label(&file);
    label["model"] = description.clone();
    let metadata = HashMap::from([("burn-flows".to_string(), label.to_string())]);
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut file = safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap();
    reseal(&mut file);
    std::fs::write(path, file).unwrap();
}
