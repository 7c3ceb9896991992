//! The runtime stays what it is meant to be: small enough to be read in one go, and apart from the tools.

use std::fs;
use std::path::Path;

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

/// The files in the folders below `folder`.
fn tests_beside(folder: &Path) -> Vec<String> {
    let names =
        |folder: &Path| -> Vec<_> { fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let below = names(folder).into_iter().filter(|path| path.is_dir()).flat_map(|path| names(&path));
    below.map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

#[test]
fn the_runtime_is_small_and_uses_no_tool() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut runtime = lines(&source.join("runtime.rs"));
    let mut modules = 0;
    for entry in fs::read_dir(source.join("runtime")).unwrap() {
        // Not the folders: there the modules have their unit tests.
        let path = entry.unwrap().path();
        if path.is_file() {
            runtime.extend(lines(&path));
            modules += 1;
        }
    }
    assert_eq!(modules, 8);
    assert_eq!(tests_beside(&source.join("runtime")), ["choices/tests.rs"]);
    let start = lines(&source.join("builder.rs")).len();
    println!("{} lines, and {start} to set it up and start it", runtime.len());
    assert!((1_000..=1_430).contains(&runtime.len()), "{} lines", runtime.len());
    assert!(start <= 210, "{start} lines");
    for line in runtime.iter().filter(|line| line.trim_start().starts_with("use crate::")) {
        assert!(
            [
                "use crate::builder::Builder;",
                // The network is a part of the state; what it is made of is no part of the runtime.
                "use crate::net::World;",
                "use crate::quiet::{self, Quiet};",
                "use crate::trace::Event;",
                "use crate::trace::{Event, Trace};"
            ]
            .contains(&&**line),
            "{line}"
        );
    }
}
