//! Training that is killed, fills the disk or may not write: the last checkpoint stays valid, and
//! the next run resumes from it with the same result.
//!
//! The training process is this test binary with [`FOLDER`] in its environment. SIGKILL ends it,
//! which no program can catch. A limit on the length of a file replaces a full disk: both end a
//! write with an error. The test of read-only folders uses such a folder. Because root may write
//! into it, a process of root first becomes `nobody`.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use burn_flows::burn;
use burn_flows::conditioner::{ActivationConfig, MadeConfig};
use burn_flows::model::{MafConfig, StepNorm};
use burn_flows::train::{FitConfig, fit};
use burn_flows::{Error, Noise};

/// The environment variable with the folder of the checkpoints for the training process.
const FOLDER: &str = "BURN_FLOWS_KILLED_FOLDER";

/// The environment variable with the number of epochs.
const EPOCHS: &str = "BURN_FLOWS_KILLED_EPOCHS";

/// The environment variable with the additional failure.
const TROUBLE: &str = "BURN_FLOWS_KILLED_TROUBLE";

const KILLS: usize = 50;

/// So many epochs that each of the killed processes can finish some.
const LONG: usize = 500;

const SHORT: usize = 60;

/// The limit for the length of a file in bytes. A checkpoint is longer.
const FULL: u64 = 1000;

/// The user id of `nobody`.
const NOBODY: u32 = 65534;

/// The weights at the end of a run and the numbers of its report, as bytes.
fn trained(epochs: usize, checkpoint: Option<PathBuf>) -> Result<Vec<u8>, Error> {
    let device = Device::flex();
    device.seed(7);
    let made = MadeConfig::new(vec![8, 8]).with_dropout(0.1);
    let made = made.with_activation(ActivationConfig::Silu);
    let flow = MafConfig::new(2).with_layers(2).with_made(made).with_norm(StepNorm::ActNorm);
    let x = Noise::seeded(1).normal::<2>([70, 2], &device).exp();
    let config = FitConfig::new()
        .with_epochs(epochs)
        .with_batch_size(32)
        .with_average(Some(0.9))
        .with_progress(false)
        .with_checkpoint(checkpoint);
    let (flow, report) = fit(flow.init(&device), x, &config)?;
    struct Bytes(Vec<u8>);
    impl ModuleVisitor for Bytes {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend_from_slice(param.val().into_data().as_bytes());
        }
    }
    let mut all = Bytes(serde_json::to_vec(&report.epochs).unwrap());
    flow.visit(&mut all);
    Ok(all.0)
}

/// The training process. It does nothing if the test run itself calls it.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    match std::env::var(TROUBLE).as_deref() {
        Ok("full disk") => limit_files(FULL),
        Ok("read-only folder") => become_nobody(),
        _ => {}
    }
    let epochs = std::env::var(EPOCHS).unwrap().parse().unwrap();
    match trained(epochs, Some(folder.clone())) {
        Ok(weights) => std::fs::write(folder.join("weights"), weights).unwrap(),
        Err(Error::Io { path, source }) => println!("io error {:?}: {path:?}", source.kind()),
        Err(error) => panic!("{error}"),
    }
}

#[allow(unsafe_code, reason = "the standard library has no limits of a process")]
fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: plain calls with a valid pointer. The signal is ignored, because it would end the
    // process instead of returning an error.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

#[allow(unsafe_code, reason = "the standard library cannot change the user of a running process")]
fn become_nobody() {
    // SAFETY: plain calls without pointers.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(NOBODY), 0);
            assert_eq!(libc::setuid(NOBODY), 0);
        }
    }
}

fn start(folder: &Path, epochs: usize, trouble: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(EPOCHS, epochs.to_string())
        .env(TROUBLE, trouble)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end of a process that is not killed, and returns its output.
fn finish(child: Child) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{text}");
    text
}

/// Kills a process at a time `after` it has written a checkpoint.
fn kill(mut child: Child, folder: &Path, after: Duration) {
    let checkpoint = folder.join("checkpoint.safetensors");
    let written = || std::fs::metadata(&checkpoint).and_then(|file| file.modified()).ok();
    let (before, started) = (written(), Instant::now());
    while written() == before {
        let ended = child.try_wait().unwrap();
        if ended.is_some() || started.elapsed() > Duration::from_secs(60) {
            let mut text = String::new();
            let _ = child.stdout.take().unwrap().read_to_string(&mut text);
            panic!("the process ended with {ended:?} or wrote no checkpoint: {text}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn temporary(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".tmp")).count()
}

#[test]
fn training_goes_on_after_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut noise = Noise::seeded(3);
    let mut inside_a_write = 0;
    for _ in 0..KILLS {
        let after = Duration::from_micros((noise.next_uniform() * 8e3) as u64);
        kill(start(folder.path(), LONG, ""), folder.path(), after);
        // The next process that writes removes what a killed process has left.
        let left = temporary(folder.path());
        assert!(left <= 1, "{left}");
        inside_a_write += left;
    }
    finish(start(folder.path(), LONG, ""));
    println!("{KILLS} kills, {inside_a_write} of them while a checkpoint was written");
    assert_eq!(temporary(folder.path()), 0);
    let whole = trained(LONG, None).unwrap();
    assert!(std::fs::read(folder.path().join("weights")).unwrap() == whole);
}

/// A run with a checkpoint fails, and resumes after the cause is removed.
fn survives(trouble: &str, kind: &str, prepare: impl Fn(&Path), repair: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    kill(start(path, SHORT, ""), path, Duration::ZERO);
    let checkpoint = path.join("checkpoint.safetensors");
    let before = std::fs::read(&checkpoint).unwrap();
    let names = temporary(path);
    prepare(path);
    let text = finish(start(path, SHORT, trouble));
    assert!(text.contains(&format!("io error {kind}")), "{text}");
    assert!(std::fs::read(&checkpoint).unwrap() == before, "the checkpoint was changed");
    assert!(temporary(path) <= names);
    repair(path);
    finish(start(path, SHORT, ""));
    let whole = trained(SHORT, None).unwrap();
    assert!(std::fs::read(path.join("weights")).unwrap() == whole);
}

#[test]
fn a_full_disk_is_an_error() {
    survives("full disk", "FileTooLarge", |_| {}, |_| {});
}

#[test]
fn a_read_only_folder_is_an_error() {
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    survives(
        "read-only folder",
        "PermissionDenied",
        |path| mode(path, 0o555),
        |path| {
            mode(path, 0o755);
        },
    );
}
