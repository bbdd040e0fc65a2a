//! `tests/promises.md` lists every promise of the README and of the crate's documentation with the
//! test that fails if it is not true.

use std::fs;
use std::path::Path;

/// Words that make a sentence a promise.
const WORDS: [&str; 18] = [
    "always",
    "at most",
    "bit for bit",
    "cannot",
    "every",
    "exact",
    "exactly",
    "never",
    "no other",
    "no result",
    "or better",
    "refused",
    "same bits",
    "same gradients",
    "same numbers",
    "same seed",
    "whatever",
    "without a panic",
];

/// How to correct a failure of this test.
const REMEDY: &str = "The table in tests/promises.md has a row for every promise: `| words of the sentence | file \
                      it stands in | path of a test file::name of the test |`.";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The documentation in a file: the whole text of a Markdown page, or the doc comments of a source
/// file.
fn documentation(path: &str) -> String {
    let text = read(path).unwrap_or_else(|| panic!("{path} cannot be read. {REMEDY}"));
    if !path.ends_with(".rs") {
        return text;
    }
    let comment = |line: &str| {
        let line = line.trim_start();
        let comment = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
        comment.unwrap_or_default().trim().to_string()
    };
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// The text in lower case with single spaces, without marks of emphasis, code or links.
fn plain(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    // Drops the target of a link.
    while let Some(at) = rest.find("](") {
        bare += &rest[..at];
        rest = rest[at..].split_once(')').map_or("", |(_, after)| after);
    }
    bare += rest;
    let bare: String = bare.chars().filter(|c| !"`*[]\"".contains(*c)).collect();
    bare.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The sentences of the prose, without code, tables, headings and pictures.
fn sentences(text: &str) -> Vec<String> {
    let (mut paragraphs, mut in_code) = (vec![String::new()], false);
    for line in text.lines().map(str::trim) {
        let fence = line.starts_with("```");
        in_code ^= fence;
        if fence
            || in_code
            || line.is_empty()
            || ["|", "#", "!["].iter().any(|s| line.starts_with(s))
        {
            paragraphs.push(String::new());
            continue;
        }
        let item = line.strip_prefix("* ").or_else(|| line.strip_prefix("- "));
        if item.is_some() {
            paragraphs.push(String::new());
        }
        let paragraph = paragraphs.last_mut().expect("the list is never empty");
        *paragraph += " ";
        *paragraph += item.unwrap_or(line);
    }
    let mut found = vec![];
    for paragraph in paragraphs.iter().map(|paragraph| plain(paragraph)) {
        let mut rest = paragraph.as_str();
        while let Some(end) = [". ", "! ", "? "].iter().filter_map(|end| rest.find(end)).min() {
            found.push(rest[..=end].to_string());
            rest = &rest[end + 2..];
        }
        found.push(rest.to_string());
    }
    found
}

fn promises(sentence: &str) -> bool {
    let letters: String =
        sentence.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let padded = format!(" {} ", letters.split_whitespace().collect::<Vec<_>>().join(" "));
    WORDS.iter().any(|word| padded.contains(&format!(" {word} ")))
}

/// The quote, the file and the tests of every row of the table.
fn rows() -> Vec<[String; 3]> {
    let table = read("tests/promises.md").expect("the table of promises");
    let row = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect();
        let found = cells.len();
        cells.try_into().unwrap_or_else(|_| panic!("{found} cells in `{line}`. {REMEDY}"))
    };
    let lines = table.lines().filter(|line| line.starts_with('|'));
    // Skips the heading and the rule below it.
    lines.skip(2).map(row).collect()
}

#[test]
fn every_promise_has_a_row() {
    let rows = rows();
    for page in ["README.md", "src/lib.rs", "src/guide/guarantees.rs"] {
        let quotes: Vec<String> =
            rows.iter().filter(|row| row[1] == page).map(|row| plain(&row[0])).collect();
        for sentence in sentences(&documentation(page)) {
            let quoted = quotes.iter().any(|quote| sentence.contains(quote.as_str()));
            assert!(
                quoted || !promises(&sentence),
                "{page} promises something that no row quotes: \"{sentence}\". Add a row with words of this \
                 sentence and a test that fails if they are not true, or remove the promise. {REMEDY}"
            );
        }
    }
}

#[test]
fn every_row_quotes_what_stands_there() {
    for [quote, file, _] in rows() {
        assert!(
            plain(&documentation(&file)).contains(&plain(&quote)),
            "{file} no longer says \"{quote}\". Quote the sentence as it is now, or remove the row with the \
             promise. {REMEDY}"
        );
    }
}

/// A row may name a test function, or the name of a row in a table of tests.
#[test]
fn every_row_names_tests_that_exist() {
    for [quote, _, tests] in rows() {
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let (file, name) = test
                .split_once("::")
                .unwrap_or_else(|| panic!("`{test}` of \"{quote}\" names no test. {REMEDY}"));
            // A test binary is a file or a folder.
            let folder = file.replace(".rs", "/main.rs");
            let text = read(file).or_else(|| read(&folder)).unwrap_or_default();
            let exists =
                text.contains(&format!("fn {name}(")) || text.contains(&format!(" {name}: "));
            assert!(
                exists,
                "there is no test `{name}` in {file}, which \"{quote}\" names. Correct its name. {REMEDY}"
            );
        }
    }
}

#[test]
fn the_oldest_rust_is_that_of_the_manifest() {
    let manifest = read("Cargo.toml").expect("a readable manifest");
    let line = manifest.lines().find(|line| line.starts_with("rust-version"));
    let version = line.expect("a rust-version").split('"').nth(1).expect("in quotes");
    for page in ["README.md", "src/lib.rs"] {
        assert!(
            documentation(page).contains(&format!("Rust {version} or later")),
            "{page}: {version}"
        );
    }
}

/// The doc comment of a public item.
fn page(sources: &[String], name: &str) -> Option<String> {
    let starts = ["struct", "type"].map(|kind| format!("pub {kind} {name}"));
    let is_item = |line: &str| {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
        let line = line.trim_start();
        starts.iter().any(|start| line.strip_prefix(start.as_str()).is_some_and(ends))
    };
    sources.iter().find_map(|source| {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let item = lines.iter().position(|line| is_item(line))?;
        let above = lines[..item].iter().rev().take_while(|line| line.starts_with(['/', '#']));
        let page: Vec<&str> = above.copied().filter(|line| line.starts_with("///")).collect();
        Some(page.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(fs::read_to_string(&path).expect("a source")),
        }
    }
}

/// Formulas, shapes and sources must stand on the item, because rendered pages show comments on
/// items only.
#[test]
fn every_layer_map_and_model_has_its_formula_shapes_and_source_on_its_page() {
    // Parts of layers and settings, which need no formula.
    let parts = [
        "AnyBijector",
        "AnyUnivariate",
        "Carried",
        "ChannelMatrix",
        "Conv1x1Matrix",
        "DenseMatrix",
        "FixedPoint",
        "LuFactors",
        "Place",
        "QrFactors",
        "Reflections",
        "RotationMatrix",
        "Split",
        "SvdFactors",
        "TriangularMatrix",
    ];
    // These layers follow from their names, so they need no paper.
    let plain = [
        "Exp",
        "Inverse",
        "LeakyRelu",
        "LinearMap",
        "Sigmoid",
        "Softplus",
        "Standardize",
        "Tanh",
        "Unconditional",
    ];
    let mut all = vec![];
    sources(&root().join("src"), &mut all);
    let mut count = 0;
    for module in ["bijector", "univariate", "model"] {
        let exports = read(&format!("src/{module}/mod.rs")).expect("a module");
        let names = exports.split("pub use ").skip(1).filter_map(|text| text.split_once(';'));
        let names = names.flat_map(|(names, _)| names.split(|c: char| !c.is_alphanumeric()));
        for name in names.filter(|name| name.starts_with(char::is_uppercase)) {
            let ends = ["Config", "Layers", "Level", "Step"];
            let aside = ends.iter().any(|end| name.ends_with(end)) || parts.contains(&name);
            // Enumerations and traits are not layers.
            let Some(page) = page(&all, name).filter(|_| !aside) else { continue };
            assert!(page.contains("/// ```text"), "{name}: no formula on its page");
            assert!(page.contains("/// # Shapes"), "{name}: no shapes on its page");
            if module == "model" {
                let told = ["/// # When to take it", "/// - Measured: "];
                assert!(
                    told.iter().all(|part| page.contains(part)),
                    "{name}: no advice on its page"
                );
            }
            let source = ["arXiv", "Paper", "Same numbers"].iter().any(|word| page.contains(word));
            assert!(source || plain.contains(&name), "{name}: no source on its page");
            count += 1;
        }
    }
    assert!(count > 60, "{count} pages");
}
