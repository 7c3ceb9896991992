//! The runtime stays what it is meant to be: small enough to be read in one go, and apart from the tools.

use std::fs;
use std::path::Path;

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_runtime_is_small_and_uses_no_tool() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut runtime = lines(&source.join("runtime.rs"));
    let mut modules = 0;
    for entry in fs::read_dir(source.join("runtime")).unwrap() {
        runtime.extend(lines(&entry.unwrap().path()));
        modules += 1;
    }
    assert_eq!(modules, 9);
    let start = lines(&source.join("builder.rs")).len();
    println!("{} lines, and {start} to set it up and start it", runtime.len());
    assert!((600..1_400).contains(&runtime.len()), "{} lines", runtime.len());
    assert!(runtime.len() + start < 1_700);
    for line in runtime.iter().filter(|line| line.trim_start().starts_with("use crate::")) {
        assert!(
            ["use crate::builder::Builder;", "use crate::quiet::{self, Quiet};", "use crate::trace::Trace;"]
                .contains(&&**line),
            "{line}"
        );
    }
}
