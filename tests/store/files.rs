//! The folder of a saved file: temporary files of killed processes, links, names without a folder.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use burn_flows::bijector::Tanh;
use burn_flows::store;

use crate::{folder, names_in};

fn file_names(folder: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
    names_in(folder).iter().map(name).collect()
}

/// Only an unlocked regular file whose name starts and ends like a temporary file is removed.
#[test]
fn temporary_files_of_killed_processes_are_removed() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at(".burn-flows-1-0.tmp"), "left").unwrap();
    fs::write(at(".burn-flows-1-1.txt"), "of somebody else").unwrap();
    fs::write(at("burn-flows.tmp"), "of somebody else").unwrap();
    fs::create_dir(at(".burn-flows-1-2.tmp")).unwrap();
    let locked = File::create(at(".burn-flows-1-3.tmp")).unwrap();
    locked.lock().unwrap();
    store::save(&Tanh {}, at("it.bpk")).unwrap();
    let expected = [
        ".burn-flows-1-1.txt",
        ".burn-flows-1-2.tmp",
        ".burn-flows-1-3.tmp",
        "burn-flows.tmp",
        "it.bpk",
    ];
    assert_eq!(file_names(folder.path()), expected);
}

/// A pipe is not removed and not opened, because opening it could block.
#[cfg(unix)]
#[test]
fn a_pipe_of_the_name_of_a_temporary_file_stays() {
    let folder = folder();
    let pipe = folder.path().join(".burn-flows-1-0.tmp");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Both ends are open, so a save that opened the pipe would not block but remove it.
    let _ends = File::options().read(true).write(true).open(&pipe).unwrap();
    store::save(&Tanh {}, folder.path().join("it.bpk")).unwrap();
    assert_eq!(file_names(folder.path()), [".burn-flows-1-0.tmp", "it.bpk"]);
}

/// The environment variable that marks the second process of the test below.
const CHILD: &str = "BURN_FLOWS_STORE_CHILD";

/// A path without a folder means the current folder. A second process runs in the folder of the
/// test. A directory has the first temporary name.
#[test]
fn a_name_without_a_folder_and_a_taken_temporary_name() {
    if std::env::var_os(CHILD).is_some() {
        fs::create_dir(format!(".burn-flows-{}-0.tmp", std::process::id())).unwrap();
        store::save(&Tanh {}, "it.bpk").unwrap();
        return;
    }
    let folder = folder();
    fs::write(folder.path().join(".burn-flows-1-0.tmp"), "left").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["files::a_name_without_a_folder_and_a_taken_temporary_name", "--exact"])
        .env(CHILD, "yes")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let names = file_names(folder.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with("-0.tmp") && folder.path().join(&names[0]).is_dir(), "{names:?}");
    assert_eq!(names[1], "it.bpk");
}

/// A save replaces a symbolic link. The target of the link stays unchanged, and its permissions
/// have no effect.
#[cfg(unix)]
#[test]
fn a_symbolic_link_is_replaced() {
    let folder = folder();
    let [target, path, plain] = ["target", "it.bpk", "plain.bpk"].map(|n| folder.path().join(n));
    fs::write(&target, "kept").unwrap();
    let mut permissions = fs::metadata(&target).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&target, permissions).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    store::save(&Tanh {}, &path).unwrap();
    store::save(&Tanh {}, &plain).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions(), fs::metadata(&plain).unwrap().permissions());
}
