//! Compiles the programs of the README in a new crate whose only dependencies are those of the README's `cargo add`.
//! The doctests of the library run the programs.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The fenced code blocks of this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let starts = text.split(fence.as_str()).skip(1);
    starts.map(|rest| rest.split_once("```").expect("an end").0).collect()
}

#[test]
#[ignore = "checks burn once more, with the features of a fresh crate: `cargo test --release --test readme -- --ignored`"]
fn every_program_compiles_in_a_fresh_crate() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = fs::read_to_string(root.join("README.md")).unwrap();
    let install = blocks(&text, "sh")[0];
    let added: Vec<&str> = install
        .lines()
        .map(|line| line.strip_prefix("cargo add ").expect("a `cargo add`"))
        .collect();
    assert_eq!(added, ["burn-flows"], "this test does not know other dependencies");
    let programs = blocks(&text, "rust");
    assert!(programs.len() >= 3, "{} programs", programs.len());

    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("src/bin");
    fs::create_dir_all(&bin).unwrap();
    for (index, program) in programs.iter().enumerate() {
        fs::write(bin.join(format!("program_{index}.rs")), program).unwrap();
    }
    let manifest = format!(
        "[package]\nname = \"fresh\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         burn-flows = {{ path = {root:?} }}\n\n[workspace]\n"
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();

    // The target folder is next to that of this test, so that a second run compiles only the
    // library.
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(3).unwrap().join("readme");
    let mut check = Command::new(env!("CARGO"));
    check.args(["check", "--offline"]).current_dir(&folder).env("CARGO_TARGET_DIR", target);
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
