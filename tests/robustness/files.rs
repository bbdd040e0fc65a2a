//! Damaged files: reading returns an `Error`, needs little memory and opens no other path.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{AnyBijectorConfig, Bijector};
use burn_flows::interop::{HostTensor, StateDict, nflows, zuko};
use burn_flows::model::{RealNvp, RealNvpConfig};
use burn_flows::train::{FitConfig, fit};
use burn_flows::{Error, Noise, burn, store};
use tempfile::TempDir;

use crate::damage::{lying_headers, spoiled, wrong_tensors};
use crate::memory::most_of;
use crate::readers::{self, Loaded, READERS, Reader, resealed};
use crate::sources;

/// Memory that reading may take in addition to memory for the file: a small model.
const OWN: u64 = 1 << 20;

/// Memory per byte of a file: its values as f64, masks, and temporary copies.
const PER_BYTE: u64 = 64;

/// The number of damaged copies of every file.
const COPIES: usize = 400;

fn model() -> RealNvp {
    RealNvpConfig::new(2).with_layers(1).init(&Device::flex())
}

/// Runs `read` on a file. It must not panic, and its memory is bounded by the length of the file.
fn judged<T>(bytes: &[u8], what: &str, read: impl FnOnce() -> T) -> T {
    let (result, most) = most_of(|| catch_unwind(AssertUnwindSafe(read)));
    let allowed = OWN + PER_BYTE * bytes.len() as u64;
    assert!(most <= allowed, "{what}: {most} bytes of memory for {} of a file", bytes.len());
    match result {
        Ok(result) => result,
        Err(panic) => panic!("{what}: panicked: {:?}", panic.downcast_ref::<String>()),
    }
}

/// A folder with a valid file of every kind that this crate writes.
fn whole_files() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let config = RealNvpConfig::new(2).with_layers(1);
    let [safetensors, burnpack] = ["w.safetensors", "w.bpk"].map(|name| folder.path().join(name));
    store::save(&model(), &safetensors).unwrap();
    store::save_with_config(&model(), &config, &burnpack).unwrap();
    let json = folder.path().join("w.json");
    (folder, vec![safetensors, burnpack, json])
}

fn load(path: &Path) -> Result<(), Error> {
    if path.extension().unwrap() == "json" {
        return store::load_config::<RealNvpConfig>(path).map(drop);
    }
    let opened = store::open::<RealNvp>(path, &Device::flex()).map(drop);
    store::load(model(), path).map(drop).and(opened)
}

/// Damages files and corrects their checksums, so that the damage is not found by a checksum.
#[test]
fn damaged_weights_take_little_memory() {
    let (_folder, files) = whole_files();
    let mut noise = Noise::seeded(1);
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        for copy in 0..COPIES {
            let Some(bytes) = resealed(&spoiled(&whole, &mut noise)) else { continue };
            std::fs::write(&path, &bytes).unwrap();
            let _ = judged(&bytes, &format!("{} {copy}", path.display()), || load(&path));
        }
    }
}

#[test]
fn lying_headers_are_errors() {
    let (_folder, files) = whole_files();
    let path = &files[0];
    let whole = std::fs::read(path).unwrap();
    for (lie, bytes) in lying_headers(&whole) {
        let bytes = resealed(&bytes).unwrap();
        std::fs::write(path, &bytes).unwrap();
        let error = judged(&bytes, &lie, || load(path)).expect_err(&lie);
        assert!(!error.to_string().is_empty());
    }
}

/// A nesting deeper than the stack of any machine.
#[test]
fn deep_nesting_is_an_error() {
    let deep = r#"{"Stack":["#.repeat(100_000);
    assert!(serde_json::from_str::<AnyBijectorConfig>(&deep).is_err());
    let (_folder, files) = whole_files();
    let text = std::fs::read_to_string(&files[2]).unwrap();
    let text = text.replacen("\"layers\": 1", &format!("\"layers\": {deep}"), 1);
    std::fs::write(&files[2], resealed(text.as_bytes()).unwrap()).unwrap();
    assert!(matches!(load(&files[2]), Err(Error::Format { .. })));
}

/// Checkpoints also hold an optimizer and a report.
#[test]
fn damaged_checkpoints_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let x = Noise::seeded(1).normal::<2>([40, 2], &Device::flex());
    let config = FitConfig::new().with_epochs(1).with_progress(false);
    let config = config.with_average(Some(0.9)).with_checkpoint(Some(folder.path().into()));
    // The training run is complete, so resuming it only reads the file.
    let resume = || fit(model(), x.clone(), &config).map(drop);
    resume().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut noise = Noise::seeded(2);
    let (mut refused, mut tried) = (0, 0);
    let lies = lying_headers(&whole).into_iter().map(|(_, bytes)| bytes);
    for bytes in lies.chain((0..2 * COPIES).map(|_| spoiled(&whole, &mut noise))) {
        let Some(bytes) = resealed(&bytes) else { continue };
        std::fs::write(&path, &bytes).unwrap();
        tried += 1;
        refused += usize::from(judged(&bytes, &format!("copy {tried}"), resume).is_err());
    }
    assert!(refused > tried / 4, "{refused} of {tried}");
    std::fs::write(&path, whole).unwrap();
    resume().unwrap();
}

/// The weights of a fixture, with matching data and context.
struct Fixture {
    name: String,
    file: Vec<u8>,
    dict: StateDict,
    reader: Reader,
    data: Vec<usize>,
    context: Option<Vec<usize>>,
}

/// The fixtures that a reader accepts without changes.
fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut all = Vec::new();
    for library in ["nflows", "zuko", "normflows", "flowjax"] {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join(library))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        paths.sort();
        for path in paths {
            let name = format!("{library}/{}", path.file_stem().unwrap().display());
            let file = std::fs::read(&path).unwrap();
            let whole = StateDict::from_bytes(&file).unwrap();
            let mut dict = StateDict::new();
            for tensor in whole.names() {
                let other = ["io.", "io32.", "grad.", "grad_io.", "extra."];
                if !other.iter().any(|start| tensor.starts_with(start)) {
                    dict.insert(tensor, whole.get(tensor).unwrap().clone());
                }
            }
            let fits = |(start, reader): &&(&str, Reader)| {
                name.starts_with(start) && reader(&dict, &Device::flex()).is_ok()
            };
            let Some((_, reader)) = READERS.iter().find(fits) else { continue };
            let shape = |of: &str| whole.get(of).ok().map(|t| t.shape().to_vec());
            let Some(data) = shape("io.x").or(shape("io.z2")) else { continue };
            let context = shape("io.context");
            all.push(Fixture { name, file, dict, reader: *reader, data, context });
        }
    }
    all
}

/// Evaluates a loaded model. It may panic with its own message if the shapes of the fixture do not
/// fit.
fn evaluate(loaded: Loaded, fixture: &Fixture) {
    let device = Device::flex();
    let context = fixture.context.as_ref();
    let context = context.map(|shape| Tensor::<2>::ones([3, shape[1]], &device) * 0.1);
    let run = || match loaded {
        Loaded::Rows(run) => {
            drop(run(Tensor::ones([3, fixture.data[1]], &device) * 0.2, context.as_ref()))
        }
        Loaded::Images(run) => {
            let [_, c, h, w] = fixture.data[..] else { panic!("shape: expected an image") };
            drop(run(Tensor::ones([3, c, h, w], &device) * 0.2, context.as_ref()));
        }
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(text.contains(": expected "), "{}: {text}", fixture.name);
    }
}

/// Dictionaries with one tensor missing, renamed, of another shape or kind, or with invalid
/// numbers.
#[test]
fn wrong_tensors_of_other_libraries_are_errors() {
    let (mut tried, mut refused) = (0, 0);
    let fixtures = fixtures();
    assert!(fixtures.len() > 60, "{}", fixtures.len());
    for fixture in &fixtures {
        for (wrong, dict, never) in wrong_tensors(&fixture.dict) {
            let what = format!("{}: {wrong}", fixture.name);
            tried += 1;
            match judged(&fixture.file, &what, || (fixture.reader)(&dict, &Device::flex())) {
                Err(_) => refused += 1,
                Ok(_) if never => panic!("{what} was accepted"),
                Ok(loaded) => evaluate(loaded, fixture),
            }
        }
    }
    println!("{tried} wrong dictionaries, {refused} rejected");
    assert!(refused > tried / 2, "{refused} of {tried}");
}

#[test]
fn damaged_files_of_other_libraries_are_errors() {
    let mut noise = Noise::seeded(4);
    for fixture in fixtures() {
        let lies = lying_headers(&fixture.file).into_iter().map(|(_, bytes)| bytes);
        for bytes in lies.chain((0..40).map(|_| spoiled(&fixture.file, &mut noise))) {
            let Ok(dict) = judged(&bytes, &fixture.name, || StateDict::from_bytes(&bytes)) else {
                continue;
            };
            let read = || (fixture.reader)(&dict, &Device::flex());
            // The file also holds gradients and data, which every reader rejects.
            assert!(judged(&bytes, &fixture.name, read).is_err());
        }
    }
}

/// Runs the fuzz targets on the corpus of this test.
#[test]
fn fuzz_targets_run() {
    let (folder, files) = whole_files();
    let mut noise = Noise::seeded(5);
    let whole: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let foreign = &fixtures()[0].file;
    for _ in 0..100 {
        for file in &whole {
            let bytes = spoiled(file, &mut noise);
            readers::weights(&bytes, folder.path());
            readers::configuration(&bytes, folder.path());
        }
        readers::foreign(&spoiled(foreign, &mut noise));
    }
}

/// Reading opens the given path only. All other paths in the folder are named pipes without a
/// writer, so opening one would block forever.
#[cfg(unix)]
#[test]
fn no_other_path_is_read() {
    let (folder, files) = whole_files();
    for name in [
        "checkpoint.safetensors",
        "config.json",
        "model.safetensors.index.json",
        "w.safetensors.index.json",
        "w.pt",
        "w.py",
        ".burn-flows-1-1.tmp",
        "pytorch_model.bin",
    ] {
        pipe(&folder.path().join(name));
    }
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let all = files.iter().try_for_each(|path| load(path));
        let dict = StateDict::load(&files[0]).map(drop);
        // Saving cleans up the folder and does not open a pipe either.
        let saved = store::save(&model(), &files[0]);
        sender.send(all.and(dict).and(saved)).unwrap();
    });
    receiver.recv_timeout(Duration::from_secs(20)).expect("a pipe was opened").unwrap();
}

/// A path that is not a regular file is rejected before it is opened.
#[cfg(unix)]
#[test]
fn a_pipe_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["w.safetensors", "w.bpk", "w.json"] {
        let path = folder.path().join(name);
        pipe(&path);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let read = [load(&path), StateDict::load(&path).map(drop)];
            sender.send(read.map(|result| result.map_err(|e| e.to_string()))).unwrap();
        });
        let read = receiver.recv_timeout(Duration::from_secs(20)).expect("the pipe was opened");
        assert!(read.iter().all(|r| r.as_ref().is_err_and(|e| e.contains("not a regular file"))));
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library makes no pipes with names")]
fn pipe(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `name` is a valid string that ends in a zero byte.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

/// In the modules that load files, only one source file opens files, and none starts a program.
#[test]
fn readers_open_files_in_one_place() {
    for (path, text) in [sources("store"), sources("interop")].concat() {
        if path.ends_with("store/file.rs") {
            continue;
        }
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let other = ["fs::", "File::", "Command", "process::", "unsafe", "env::var"];
            let found = other.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}

/// A file of `torch.save` in which nested dictionaries hold many views of one number. Each key has
/// this length.
fn views(path: &Path, depth: usize, key: usize, count: u32) {
    let text =
        |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle.extend([text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0")].concat());
    pickle.extend([&text("cpu")[..], b"K\x01tQK\x00K\x01\x85K\x01\x85\x89"].concat());
    pickle.extend(b"ccollections\nOrderedDict\n)RtRq\x010");
    for _ in 0..depth {
        pickle.extend([&b"}"[..], &text(&"k".repeat(key))].concat());
    }
    pickle.extend(b"}(");
    (0..count).for_each(|at| pickle.extend([&b"X\x04\0\0\0"[..], &hex(at), b"h\x01"].concat()));
    pickle.push(b'u');
    pickle.extend(vec![b's'; depth]);
    pickle.push(b'.');
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("data.pkl", &pickle[..]), ("byteorder", b"little"), ("data/0", &[0; 4])]
    {
        archive.start_file(format!("archive/{name}"), stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

fn hex(number: u32) -> Vec<u8> {
    format!("{number:04x}").into_bytes()
}

#[test]
fn long_names_of_many_views_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.pt");
    for (depth, key, count) in [(1, 20_000, 20_000), (900, 20, 2_000)] {
        views(&path, depth, key, count);
        let bytes = std::fs::read(&path).unwrap();
        let what = format!("{depth} keys of {key} characters");
        let read = judged(&bytes, &what, || StateDict::load(&path));
        assert!(matches!(&read, Err(Error::Format { .. })), "{what}: {:?}", read.map(drop));
        assert!(read.unwrap_err().to_string().contains("names of its tensors"), "{what}");
    }
    views(&path, 2, 5, 3);
    let names = ["kkkkk.kkkkk.0000", "kkkkk.kkkkk.0001", "kkkkk.kkkkk.0002"];
    assert_eq!(StateDict::load(&path).unwrap().names().collect::<Vec<_>>(), names);
}

/// A network of one layer becomes two layers in this crate. The additional layer has no more
/// numbers than the first.
#[test]
fn one_wide_layer_takes_little_memory() {
    let moved = 4000;
    let mut dict = StateDict::new();
    let mask: Vec<bool> = (0..=moved).map(|at| at == 0).collect();
    dict.insert("mask", HostTensor::bools(mask, [moved + 1]));
    dict.insert("hyper.0.weight", HostTensor::floats(vec![0.5; 2 * moved], [2 * moved, 1]));
    dict.insert("hyper.0.bias", HostTensor::floats(vec![0.0; 2 * moved], [2 * moved]));
    let length = 17 * moved + 1;
    let (options, device) = (zuko::Options::new(), Device::flex());
    let layer = judged(&vec![0; length], "coupling", || {
        zuko::coupling(&dict, "", &zuko::Univariate::Affine, &options, &device)
    });
    let (z, _) = layer.unwrap().forward(Tensor::<2>::ones([1, moved + 1], &device), None);
    let z = z.into_data().iter::<f32>().collect::<Vec<_>>();
    // The kept feature comes first, then the features that it scales and shifts.
    assert_eq!(z[0], 1.0);
    let expected = 0.5f32 + (0.5f32 / (1.0 + 0.5 / 1000f32.ln())).exp();
    assert!(z[1..].iter().all(|z| (z - expected).abs() < 1e-5), "{} {expected}", z[1]);
}

/// Loading twenty thousand layers from one file takes no longer than from twenty files.
#[test]
fn many_layers_are_read_as_fast_as_few() {
    let permutations = |count: usize| {
        let mut dict = StateDict::new();
        for at in 0..count {
            let name = format!("_transforms.{at}._permutation");
            dict.insert(name, HostTensor::ints([1, 0], [2]));
        }
        dict
    };
    let time = |dict: &StateDict, times: usize| {
        let start = Instant::now();
        for _ in 0..times {
            nflows::flow(dict, &nflows::Options::new(), &Device::flex()).unwrap();
        }
        start.elapsed()
    };
    let (many, few) = (permutations(20_000), permutations(1000));
    // Compares the fastest of several runs, because other work on the machine slows single runs
    // down.
    let runs = (0..4).map(|_| (time(&many, 1), time(&few, 20)));
    let (one, all): (Vec<_>, Vec<_>) = runs.unzip();
    let (one, all) = (one.into_iter().min().unwrap(), all.into_iter().min().unwrap());
    assert!(one < all * 3, "one file {one:?}, twenty files {all:?}");
}
