//! How large the core may be. Simplicity is a requirement, with figures: a change that needs more has to say what it
//! buys.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

#[path = "layers/imports.rs"]
mod imports;
#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/sources.rs"]
mod sources;

use imports::{calls, circles, imports};
use sources::{Source, sources, sources_of};

/// Lines of code, without comments, blank lines and tests.
fn lines(source: &Source) -> usize {
    source.code.lines().filter(|line| !line.trim().is_empty()).count()
}

fn path(source: &Source) -> String {
    source.module.join("/")
}

/// The tree is 3,200 lines at most: this is what it is now, and it may only shrink.
const TREE: usize = 3_200;

#[test]
fn the_tree_grows_no_further() {
    let sources = sources();
    let tree: Vec<&Source> = sources.iter().filter(|source| source.top() == "tree").collect();
    let total: usize = tree.iter().map(|source| lines(source)).sum();
    println!("the tree: {total} lines of code in {} files", tree.len());
    assert!(tree.len() > 20, "the files of the tree were not found");
    assert!(total <= TREE, "the tree has {total} lines of code, and may have {TREE}");
    assert!(TREE - total < 150, "the tree has shrunk to {total} lines: lower the ceiling in this test");
}

#[test]
fn a_file_holds_one_concept() {
    let folders = ["core", "core/cell", "core/channel", "core/kit", "core/net", "core/process", "core/fs"];
    let length = |folder: &str, source: &Source| (lines(source), format!("{folder}/src/{}.rs", path(source)));
    let of = |folder: &&str| sources_of(folder).iter().map(|source| length(folder, source)).collect::<Vec<_>>();
    let mut longest: Vec<_> = folders.iter().flat_map(of).collect();
    longest.sort();
    longest.reverse();
    println!("the longest files: {:?}", &longest[..5]);
    for (lines, path) in longest {
        let ceiling = if path.starts_with("core/src/tree") { 400 } else { 430 };
        assert!(lines <= ceiling, "{path} has {lines} lines of code, and may have {ceiling}");
    }
}

/// Files that import one another have to be read at once. A node, the tree that it is in, and the contract of the host of
/// that tree, which is given jobs, are such; nothing is to be larger.
#[test]
fn no_import_circle_is_larger_than_three() {
    for folder in ["core", "core/cell", "core/channel", "core/kit", "core/net", "core/process", "core/fs"] {
        let imports = imports(&sources_of(folder));
        for circle in circles(&imports) {
            let names: Vec<String> = circle.iter().map(|file| file.join("::")).collect();
            println!("{folder}: {names:?}");
            assert!(names.len() <= 3, "{} files of {folder} import one another: {names:?}", names.len());
        }
        if folder == "core" {
            let found = |from: &str, to: &str| {
                imports[&["tree".into(), from.into()][..]].contains(&["tree".into(), to.into()][..])
            };
            assert!(found("node", "shared") && found("shared", "timers"), "the imports were not found");
            assert!(imports.values().flatten().count() > 300, "the imports were not found");
        }
    }
}

/// The reading order of the tree holds for its methods, too.
#[test]
fn no_circle_of_calls_in_the_tree_is_larger_than_three() {
    let sources = sources();
    let is_tree = |file: &Vec<String>| file.len() > 1 && file[0] == "tree";
    let (mut uses, calls) = (imports(&sources), calls(&sources));
    uses.retain(|file, _| is_tree(file));
    for (file, used) in &mut uses {
        used.extend(calls[file].iter().cloned());
        used.retain(is_tree);
    }
    let found =
        |from: &str, to: &str| calls[&["tree".into(), from.into()][..]].contains(&["tree".into(), to.into()][..]);
    assert!(found("drive", "abandon") && found("request", "attach"), "the calls were not found");
    for circle in circles(&uses) {
        let names: Vec<String> = circle.iter().map(|file| file.join("::")).collect();
        println!("{names:?}");
        assert!(names.len() <= 3, "{} files of the tree call one another: {names:?}", names.len());
    }
}

/// One structure a file, and below it, in files of their own that forbid unsafe code, the states that it relies on.
/// 350 lines are what it may have at most.
const UNSAFE: usize = 349;

#[test]
fn unsafe_code_is_little_and_in_one_crate() {
    let sources = sources_of("core/cell");
    let may = |source: &&Source| !source.code.contains("#![forbid(unsafe_code)]");
    let files: Vec<&Source> = sources.iter().filter(may).collect();
    let total: usize = files.iter().map(|source| lines(source)).sum();
    println!("foster-cell: {total} lines of code in {} structures", files.len() - 1);
    assert!(files.len() > 1, "the files of `foster-cell` were not found");
    assert!(files.len() - 1 <= 3, "there are {} structures with unsafe code", files.len() - 1);
    assert!(total <= UNSAFE, "there are {total} lines of code in files that may be unsafe, and may be {UNSAFE}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let roots = ["core", "adapters", "tests", "examples", "docs"]
        .into_iter()
        .flat_map(|folder| files_below(&root.join(folder)));
    let is_own = |path: &PathBuf| path.ends_with("lib.rs") && !path.starts_with(root.join("tests/bench"));
    let roots: Vec<_> = roots.filter(is_own).collect();
    assert!(roots.len() >= 21, "the crates were not found: {roots:?}");
    let allowing =
        roots.iter().filter(|path| !read_to_string(path).is_ok_and(|text| text.contains("\n#![forbid(unsafe_code)]")));
    let allowing: Vec<_> = allowing.map(|path| path.strip_prefix(&root).expect("below it").to_owned()).collect();
    assert_eq!(allowing, [Path::new("core/cell/src/lib.rs")], "one crate may have unsafe code");
}

/// All Rust files below a folder, sorted.
fn files_below(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter()
}

/// The share of comments in the tree and the unsafe code.
#[test]
fn the_mechanism_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut code, mut comments) = (0, 0);
    let mut count = |folder: &str, source: &Source| {
        let file = if source.module.is_empty() { "lib".into() } else { path(source) };
        let text = read_to_string(root.join(format!("{folder}/src/{file}.rs"))).expect("it was read before");
        comments += text.lines().filter(|line| line.trim_start().starts_with("//")).count();
        code += lines(source);
    };
    sources().iter().filter(|source| source.top() == "tree").for_each(|source| count("core", source));
    sources_of("core/cell").iter().for_each(|source| count("core/cell", source));
    let share = 100 * comments / (code + comments);
    println!("{comments} lines of comments for {code} lines of code: {share} per cent");
    assert!(share >= 35, "only {share} per cent of the mechanism's lines explain it");
}
