//! Reads files of `torch.save` without a conversion to safetensors.

use std::path::{Path, PathBuf};

use burn_flows::Error;
use burn_flows::burn::tensor::Tensor;
use burn_flows::interop::{HostTensor, StateDict, nflows, zuko};

use crate::DEVICE;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pytorch").join(name)
}

fn load(name: &str) -> burn_flows::Result<StateDict> {
    StateDict::load(path(name))
}

#[test]
fn every_kind_of_number_and_every_view_is_read() {
    let dict = load("kinds.pt").unwrap();
    let floats = |values: &[f64], shape: &[usize]| HostTensor::floats(values, shape);
    for (name, expected) in [
        ("f16", floats(&[0.5, -3.0], &[2])),
        ("bf16", floats(&[0.5, -3.0], &[2])),
        ("f32", floats(&[1.5, -2.0], &[2])),
        ("f64", floats(&[0.1, 1e300], &[2])),
        ("i64", HostTensor::ints([2, -1], [2])),
        ("i32", HostTensor::ints([2, -1], [2])),
        ("i16", HostTensor::ints([2, -1], [2])),
        ("i8", HostTensor::ints([2, -1], [2])),
        ("u8", HostTensor::ints([2, 255], [2])),
        ("bool", HostTensor::bools([true, false], [2])),
        ("scalar", floats(&[7.0], &[])),
        ("transposed", floats(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0], &[3, 2])),
        ("offset", floats(&[3.0, 4.0], &[2])),
        ("empty", floats(&[], &[0, 2])),
    ] {
        assert_eq!(dict.get(name).unwrap(), &expected, "{name}");
    }
    assert_eq!(dict.names().count(), 14); // the number and the text are skipped
}

#[test]
fn a_state_dictionary_a_checkpoint_and_an_old_file_are_one_flow() {
    let plain = load("nice.pt").unwrap();
    assert_eq!(load("nice_legacy.pth").unwrap(), plain);
    let checkpoint = load("nice_checkpoint.pt").unwrap();
    assert_eq!(checkpoint.below("state_dict"), plain);
    let options = zuko::Options::new();
    let flow = zuko::real_nvp(&plain, &options, &DEVICE).unwrap();
    let x = Tensor::<2>::from_data([[0.5, -1.0]], &*DEVICE);
    let log_prob = flow.log_prob(x).into_scalar::<f64>();
    assert!(log_prob.is_finite());
    let error = zuko::real_nvp(&checkpoint, &options, &DEVICE).unwrap_err().to_string();
    assert!(error.contains("the names below `state_dict` are those of zuko"), "{error}");
}

#[test]
fn a_module_is_read_as_its_state_dictionary() {
    let dict = load("module.pt").unwrap();
    assert_eq!(dict.names().collect::<Vec<_>>(), ["0.bias", "0.weight"]);
    assert_eq!(dict.get("0.weight").unwrap(), &HostTensor::floats([1.0, 2.0], [2, 1]));
}

#[test]
fn a_file_that_no_flow_is_made_of_says_why() {
    for (name, part) in [("complex.pt", "Complex"), ("expanded.pt", ".contiguous()")] {
        let error = load(name).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (content, part) in [
        (&b"PK\x03\x04 no archive"[..], "not a PyTorch file"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", "interop::flowjax"),
        (b"{\"hyperparameters\": 3}\nno tensors", "not valid safetensors"),
    ] {
        let file = folder.path().join("model.pt");
        std::fs::write(&file, content).unwrap();
        let error = StateDict::load(&file).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let bytes = std::fs::read(path("nice.pt")).unwrap();
    let error = StateDict::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains("StateDict::load"), "{error}");
}

#[test]
fn weights_of_another_library_are_an_error_that_names_it() {
    let dict = load("nice.pt").unwrap();
    let error = nflows::flow(&dict, &nflows::Options::new(), &DEVICE).unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor `_transforms.0` is missing; the file holds base.loc, base.scale, \
         transform.transforms.0.hyper.0.bias, transform.transforms.0.hyper.0.weight, \
         transform.transforms.0.hyper.2.bias, transform.transforms.0.hyper.2.weight, \
         transform.transforms.0.mask; the names are those of zuko"
    );
}

/// A damaged file gives an error or other numbers. The memory for reading it is bounded by its
/// length.
#[test]
fn no_damaged_file_panics() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("damaged.pt");
    let read = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        StateDict::load(&file)
    };
    for name in ["nice.pt", "nice_legacy.pth"] {
        let whole = std::fs::read(path(name)).unwrap();
        for length in (0..whole.len()).step_by(97) {
            assert!(read(&whole[..length]).is_err(), "{name}: {length} bytes were accepted");
        }
        for at in (0..whole.len()).step_by(13) {
            for flip in [0x01, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                drop(read(&damaged));
            }
        }
    }
}

/// Code in a pickle is not executed, and nesting does not overflow the stack.
#[test]
fn hostile_pickles_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.pt");
    let system = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R.".to_vec();
    let deep = [&b"\x80\x02"[..], &[b']'; 1_000_000], b"."].concat();
    let deep_tuples = [&b"\x80\x02N"[..], &[0x85; 1_000_000], b"."].concat();
    let huge = b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.".to_vec();
    for bytes in [system, deep, deep_tuples, huge] {
        std::fs::write(&file, &bytes).unwrap();
        assert!(matches!(StateDict::load(&file), Err(Error::Format { .. })));
    }
}
