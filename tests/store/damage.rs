use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use burn_flows::bijector::AnyBijectorConfig;
use burn_flows::{Error, Noise, Result, store};
use serde::{Deserialize, Serialize};

use crate::{device, folder, reseal};

#[derive(Module, Debug, Serialize, Deserialize)]
struct Small {
    #[serde(with = "store::part")]
    weight: Param<Tensor<2>>,
    #[serde(with = "store::part")]
    order: Param<Tensor<1, Int>>,
    #[serde(with = "store::part")]
    flag: Param<Tensor<1, Bool>>,
}

fn small() -> Small {
    let device = device();
    let order = Tensor::from_data(TensorData::new(vec![1_i64, 0], [2]), &device);
    let flag = Tensor::from_data(TensorData::new(vec![true], [1]), &device);
    Small {
        weight: Param::from_tensor(Noise::seeded(1).normal([2, 3], &device)),
        order: Param::initialized(Default::default(), order),
        flag: Param::initialized(Default::default(), flag),
    }
}

type Load = fn(&Path) -> Result<()>;

/// A file of every kind, and the function that reads it.
fn files(folder: &Path) -> [(PathBuf, Load); 3] {
    let config = AnyBijectorConfig::LeakyRelu { slope: 0.25 };
    let [safetensors, burnpack] = ["small.safetensors", "small.bpk"].map(|n| folder.join(n));
    store::save(&small(), &safetensors).unwrap();
    store::save_with_config(&small(), &config, &burnpack).unwrap();
    let weights: Load = |path| store::load(small(), path).map(|_| ());
    let json: Load = |path| store::load_config::<AnyBijectorConfig>(path).map(|_| ());
    [(safetensors, weights), (burnpack, weights), (folder.join("small.json"), json)]
}

fn read(path: &Path, file: &[u8], load: Load) -> Result<()> {
    std::fs::write(path, file).unwrap();
    load(path)
}

#[test]
fn every_flipped_bit_is_an_error() {
    let folder = folder();
    for (path, load) in files(folder.path()) {
        let mut file = std::fs::read(&path).unwrap();
        read(&path, &file, load).unwrap();
        for bit in 0..8 * file.len() {
            file[bit / 8] ^= 1 << (bit % 8);
            match read(&path, &file, load) {
                Err(Error::Format { .. }) => {}
                other => panic!("{}, bit {bit}: {other:?}", path.display()),
            }
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_truncation_and_every_longer_file_is_an_error() {
    let folder = folder();
    for (path, load) in files(folder.path()) {
        let file = std::fs::read(&path).unwrap();
        for length in 0..file.len() {
            let error = read(&path, &file[..length], load).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{length}: {error}");
        }
        let longer = [file, vec![0]].concat();
        let error = read(&path, &longer, load).unwrap_err().to_string();
        assert!(error.ends_with(": checksum mismatch: the file was changed or truncated"));
    }
}

/// A checksum does not protect against forgery. A damaged file with a corrected checksum reaches
/// the parsers and gives an error there.
#[test]
fn a_damaged_file_with_a_right_checksum_never_panics() {
    let folder = folder();
    for (path, load) in files(folder.path()) {
        let file = std::fs::read(&path).unwrap();
        let mark = file.windows(18).position(|w| w == b"burn-flows-sha256:").unwrap();
        let (mut noise, mut refused) = (Noise::seeded(2), 0);
        for _ in 0..3000 {
            let mut damaged = file.clone();
            for _ in 0..1 + noise.next_below(3) {
                let at = noise.next_below(file.len());
                if !(mark..mark + 82).contains(&at) {
                    damaged[at] ^= 1 << noise.next_below(8);
                }
            }
            reseal(&mut damaged);
            refused += usize::from(read(&path, &damaged, load).is_err());
        }
        assert!(refused > 300, "{}: {refused}", path.display());
    }
}

#[test]
fn a_lying_header_is_an_error() {
    let folder = folder();
    let [(safetensors, load), (burnpack, _), _] = files(folder.path());
    let file = std::fs::read(&safetensors).unwrap();
    for length in [0, 1 << 20, 99_999_999, u64::MAX >> 1, u64::MAX] {
        let mut lie = file.clone();
        lie[..8].copy_from_slice(&length.to_le_bytes());
        reseal(&mut lie);
        let error = read(&safetensors, &lie, load).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{length}: {error}");
    }
    let text = |from: &str, to: &str| {
        let mut lie = file.clone();
        let at = lie.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        lie.splice(at..at + from.len(), to.bytes());
        // Removes blanks at the end of the header, so that its length stays the same.
        let header = 8 + u64::from_le_bytes(lie[..8].try_into().unwrap()) as usize;
        let grown = to.len() - from.len();
        lie.drain(header..header + grown).for_each(|byte| assert_eq!(byte, b' '));
        reseal(&mut lie);
        read(&safetensors, &lie, load).unwrap_err().to_string()
    };
    assert!(text("[2,3]", "[9,3]").ends_with("invalid shape, data type, or offset for tensor"));
    let error = text(r#""dtype":"I32""#, r#""dtype":"F32""#);
    assert_eq!(error, "tensor `order`: the model needs int values, the file has float values");
    let mut flag = file.clone();
    *flag.last_mut().unwrap() = 2;
    reseal(&mut flag);
    let error = read(&safetensors, &flag, load).unwrap_err().to_string();
    assert_eq!(error, "tensor `flag`: holds a bool that is neither 0 nor 1");

    let file = std::fs::read(&burnpack).unwrap();
    for length in [0, 1 << 20, u32::MAX] {
        let mut lie = file.clone();
        lie[6..10].copy_from_slice(&length.to_le_bytes());
        reseal(&mut lie);
        let error = read(&burnpack, &lie, load).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{length}: {error}");
    }
}

/// The burnpack reader accepts any offset. The result must not depend on the alignment.
#[test]
fn a_tensor_at_an_odd_offset_is_read() {
    let folder = folder();
    let [_, (burnpack, _), _] = files(folder.path());
    let mut file = std::fs::read(&burnpack).unwrap();
    let offsets = |from: u8, to: u8| [0x82, from, 0x18, to]; // [from, to] in CBOR
    let at = file.windows(4).position(|w| w == offsets(0, 24)).unwrap();
    file[at..at + 4].copy_from_slice(&offsets(1, 25));
    reseal(&mut file);
    std::fs::write(&burnpack, file).unwrap();
    let found = store::load(small(), &burnpack).unwrap().weight.val();
    let expected: Vec<u8> = small().weight.val().into_data().as_bytes()[1..].to_vec();
    assert_eq!(found.into_data().as_bytes()[..23], expected);
}
