//! Misuses that the types must refuse: each file in `tests/compile_fail` is one, and its own proof that without the
//! misuse it compiles.
//!
//! A file is compiled twice. Without `--cfg misuse` it has no errors. With it, each line marked `//~ E0382`, or `//~`
//! and the beginning of the message of an error that has no code, has that error, and no other line has any. So it
//! fails for the right reason, in the right place. `E0373|E0597` is either of the two; `//~^` marks the line above.
//!
//! No `trybuild`: it compares whole messages, which change, and builds a workspace of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

/// Where `foster` is, as a library to link with.
struct Library {
    file: PathBuf,
    dependencies: PathBuf,
}

/// An error: where, and its code, or the beginning of its message.
type Error = (u64, String);

#[test]
fn misuse_does_not_compile() {
    let library = library();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile_fail");
    let mut files: Vec<PathBuf> =
        folder.read_dir().expect("the folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 30, "files are missing");
    let wrong = Mutex::new(BTreeMap::new());
    let next = Mutex::new(files.iter());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(file) = next.lock().expect("no panic").next() else { return };
                    if let Err(message) = examine(file, &library) {
                        wrong.lock().expect("no panic").insert(file, message);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    let list: String = wrong.iter().map(|(file, message)| format!("\n{}: {message}", file.display())).collect();
    assert!(wrong.is_empty(), "{} of {} files:{list}", wrong.len(), files.len());
    println!("{} misuses refused", files.len());
}

fn examine(file: &Path, library: &Library) -> Result<(), String> {
    let source = read_to_string(file).map_err(|error| error.to_string())?;
    if !source.starts_with("//! ") {
        return Err("it does not say what the misuse is".to_owned());
    }
    let expected = marks(&source);
    if expected.is_empty() {
        return Err("no line is marked".to_owned());
    }
    let (ok, messages) = compile(file, library, false);
    if !ok || !messages.is_empty() {
        return Err(format!("without the misuse: {messages:#?}"));
    }
    let (ok, messages) = compile(file, library, true);
    if ok {
        return Err("the misuse compiles".to_owned());
    }
    let unexpected: Vec<_> =
        messages.iter().filter(|(at, text)| !expected.iter().any(|mark| fits(mark, *at, text))).collect();
    let missing: Vec<_> =
        expected.iter().filter(|mark| !messages.iter().any(|(at, text)| fits(mark, *at, text))).collect();
    if unexpected.is_empty() && missing.is_empty() {
        Ok(())
    } else {
        Err(format!("expected and missing {missing:?}, unexpected {unexpected:#?}"))
    }
}

fn fits(mark: &Error, line: u64, text: &str) -> bool {
    mark.0 == line && mark.1.split('|').any(|start| text.starts_with(start))
}

/// Returns the errors that are marked in the source.
fn marks(source: &str) -> BTreeSet<Error> {
    let mut marks = BTreeSet::new();
    for (line, text) in (1..).zip(source.lines()) {
        for mark in text.split("//~").skip(1) {
            let expected = mark.trim_start_matches('^');
            let above = mark.len() - expected.len();
            marks.insert((line - above as u64, expected.trim().to_owned()));
        }
    }
    marks
}

/// Compiles the file. Returns whether that went well, and the errors: code and message.
fn compile(file: &Path, library: &Library, misuse: bool) -> (bool, BTreeSet<Error>) {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--error-format", "json"]);
    rustc.args(["--check-cfg", "cfg(misuse)", "--out-dir"]).arg(env!("CARGO_TARGET_TMPDIR"));
    let (mut found, mut path) = (OsString::from("foster="), OsString::from("dependency="));
    found.push(&library.file);
    path.push(&library.dependencies);
    rustc.arg("--extern").arg(found).arg("-L").arg(path);
    if misuse {
        rustc.args(["--cfg", "misuse"]);
    }
    let output = rustc.arg(file).output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.lines().filter_map(error).collect())
}

/// An error of the compiler; a warning is none.
fn error(line: &str) -> Option<Error> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["level"] != "error" {
        return None;
    }
    let spans = message["spans"].as_array()?;
    // The last lines ("aborting due to …") are nowhere.
    let place = spans.iter().find(|span| span["is_primary"] == true)?;
    let text = message["message"].as_str()?;
    let text = match message["code"]["code"].as_str() {
        Some(code) => format!("{code} {text}"),
        None => text.to_owned(),
    };
    Some((place["line_start"].as_u64()?, text))
}

/// Has cargo build `foster`, which it has done for this very test, and asks where it is.
fn library() -> Library {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    cargo.args(["build", "--package", "foster", "--lib", "--message-format", "json"]);
    cargo.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "cargo cannot build foster: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = artifacts
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "foster")
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten();
    let file = files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|e| e == "rlib"));
    let file = file.expect("cargo has built a library");
    let dependencies = file.parent().expect("it is in a folder").join("deps");
    Library { file, dependencies }
}
