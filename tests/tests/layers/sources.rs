//! The sources of the core, as far as `lib.rs` declares them: without comments and without what is there for tests.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// A file of the core.
#[allow(dead_code, reason = "not every test that looks at the sources asks for everything")]
pub(crate) struct Source {
    /// Its module path: `["tree", "drive"]`; empty for `lib.rs`.
    pub(crate) module: Vec<String>,
    /// Its code.
    pub(crate) code: String,
    /// `pub mod` all the way up.
    pub(crate) public: bool,
}

#[allow(dead_code, reason = "as above")]
impl Source {
    /// The module of `lib.rs` that it belongs to.
    pub(crate) fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

/// All files of the crate `foster-core`, `lib.rs` first.
#[allow(dead_code, reason = "as above")]
pub(crate) fn sources() -> Vec<Source> {
    let sources = sources_of("core");
    assert!(sources.len() > 40, "the sources of the core were not found");
    sources
}

/// The crates that `foster` re-exports.
#[allow(dead_code, reason = "as above")]
pub(crate) const PUBLIC_CRATES: [&str; 3] = ["core", "core/channel", "core/kit"];

/// All files of the crates that `foster` re-exports.
#[allow(dead_code, reason = "as above")]
pub(crate) fn public_sources() -> Vec<Source> {
    PUBLIC_CRATES.into_iter().flat_map(sources_of).collect()
}

/// All files of the crate in a folder of the repository, `lib.rs` first.
pub(crate) fn sources_of(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src");
    let mut sources = Vec::new();
    let mut open = vec![(Vec::new(), root.join("lib.rs"), true)];
    while let Some((module, file, public)) = open.pop() {
        let text = read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let code = code(&text);
        for (name, is_pub) in declared(&code) {
            let mut below: Vec<String> = module.clone();
            below.push(name);
            let mut path: PathBuf = below.iter().fold(root.clone(), |path, part| path.join(part));
            path.set_extension("rs");
            open.push((below, path, public && is_pub));
        }
        sources.push(Source { module, code, public });
    }
    sources
}

/// Without comments, doc comments, and test modules.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut test = false;
    for line in text.lines() {
        // The tests of a file are its end.
        if test && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        let skipped =
            std::mem::replace(&mut test, line.trim() == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,"));
        if skipped || test {
            continue;
        }
        let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count() % 2 == 0);
        code.push_str(comment.map_or(line, |(at, _)| &line[..at]).trim_end());
        code.push('\n');
    }
    code
}

/// The modules that are files of their own, and whether they are public.
fn declared(code: &str) -> Vec<(String, bool)> {
    let lines = code.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.strip_suffix(';'));
    let modules = lines.filter_map(|line| line.split_once("mod ").filter(|(before, _)| visibility(before)));
    modules.map(|(before, name)| (name.to_owned(), before == "pub ")).collect()
}

fn visibility(text: &str) -> bool {
    matches!(text, "" | "pub " | "pub(crate) " | "pub(super) ")
}

/// The identifier at the beginning.
#[allow(dead_code, reason = "as above")]
pub(crate) fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}
