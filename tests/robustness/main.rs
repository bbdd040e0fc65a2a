//! Hostile configurations, inputs and files, and training that is killed. The result is always a
//! documented value, an `Error` or a documented panic.

#[path = "../common/built.rs"]
mod built;
mod configs;
mod constructors;
mod damage;
mod files;
mod hostile;
mod inputs;
#[cfg(unix)]
mod killed;
mod memory;
mod pairs;
mod readers;
mod seeds;

use std::path::{Path, PathBuf};

/// The source files of the library in a folder, with their paths.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../src").join(below)];
    let mut found = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found
}
