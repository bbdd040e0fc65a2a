//! Training that is killed, that fills its disk, that may not write: the last checkpoint stays
//! whole, and the next start goes on from it as if nothing had been.
//!
//! What trains is another process, this test binary with [`FOLDER`] in its environment. It is killed
//! by SIGKILL, which no program can catch. A limit on the length of a file stands for a full disk:
//! either way a write stops in the middle with an error. Folders that are read-only are meant
//! literally; root may write into them, so that as root the process becomes `nobody` first.

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

/// Names the folder of the checkpoints to a process that is to train.
const FOLDER: &str = "BURN_FLOWS_KILLED_FOLDER";

/// Tells that process for how many epochs.
const EPOCHS: &str = "BURN_FLOWS_KILLED_EPOCHS";

/// Tells that process what else is wrong.
const TROUBLE: &str = "BURN_FLOWS_KILLED_TROUBLE";

const KILLS: usize = 50;

/// So many that every one of the killed processes may finish a few.
const LONG: usize = 500;

const SHORT: usize = 60;

/// Bytes of a file at the most; a checkpoint has more.
const FULL: u64 = 1000;

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// All weights of the end of a run, and the numbers of its report, as bytes.
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

/// The other process. In the test run itself it has nothing to do.
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
    // SAFETY: plain calls with a valid pointer; the signal would kill, the error is wanted.
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

/// The end of a process that nobody killed.
fn finish(child: Child) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{text}");
    text
}

/// Kills a process `after` it has written a checkpoint.
fn kill(mut child: Child, folder: &Path, after: Duration) {
    let checkpoint = folder.join("checkpoint.safetensors");
    let written = || std::fs::metadata(&checkpoint).and_then(|file| file.modified()).ok();
    let (before, started) = (written(), Instant::now());
    while written() == before {
        let ended = child.try_wait().unwrap();
        if ended.is_some() || started.elapsed() > Duration::from_secs(60) {
            let mut text = String::new();
            let _ = child.stdout.take().unwrap().read_to_string(&mut text);
            panic!("ended by itself, {ended:?}, or wrote nothing: {text}");
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
        // What a process leaves is swept away by the next one that writes.
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

/// A run that stands at a checkpoint meets trouble, and goes on when it is over.
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
    assert!(std::fs::read(&checkpoint).unwrap() == before, "the checkpoint was harmed");
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
