//! Only types of std, of futures-core and of the crate itself show in the public API: an update of any other dependency
//! is no change for whoever uses the crate.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::Path;

#[path = "layers/sources.rs"]
mod sources;

use sources::{PUBLIC_CRATES, public_sources};

/// The dependencies that the public API may name.
const SHOWN: &[&str] = &["futures-core", "foster-core", "foster-channel"];

/// The dependencies that must not show, as they are written in code.
fn hidden() -> Vec<String> {
    let mut names = BTreeSet::new();
    for folder in PUBLIC_CRATES {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("Cargo.toml");
        let manifest = read_to_string(manifest).expect("the manifest of a crate");
        let (_, dependencies) = manifest.split_once("[dependencies]\n").expect("its dependencies");
        let lines = dependencies.lines().take_while(|line| !line.is_empty());
        names.extend(lines.filter_map(|line| line.split('.').next()).map(str::to_owned));
    }
    names.iter().filter(|name| !SHOWN.contains(&name.as_str())).map(|name| name.replace('-', "_")).collect()
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Returns the public parts of a source: the head of each item, from its `pub` on, and each public field.
fn heads(code: &str) -> Vec<String> {
    let mut heads = Vec::new();
    for (at, _) in code.match_indices("pub ") {
        let rest = &code[at + 4..];
        let is_field =
            rest.split_once(':').is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
        // A head ends where its body begins; a tuple struct's at its fields, which are private or have a `pub` of their
        // own.
        let ends: &[char] = if rest.starts_with("struct ") { &['{', ';', '('] } else { &['{', ';'] };
        let end = if is_field { rest.find(['\n', '}']) } else { rest.find(ends) };
        heads.push(rest[..end.unwrap_or(rest.len())].to_owned());
    }
    heads
}

#[test]
fn only_types_of_std_and_futures_core_show_in_the_public_api() {
    let hidden = hidden();
    assert!(hidden.contains(&"slab".to_owned()), "the dependencies were not found: {hidden:?}");
    let (mut looked, mut shown) = (0, Vec::new());
    for source in public_sources() {
        // The crates, and what is imported from them.
        let mut names: BTreeSet<&str> = hidden.iter().map(String::as_str).collect();
        for line in source.code.lines().filter_map(|line| line.strip_prefix("use ")) {
            if words(line).next().is_some_and(|first| names.contains(first)) {
                names.extend(words(line).skip(1));
            }
        }
        for head in heads(&source.code) {
            looked += 1;
            if words(&head).any(|word| names.contains(word)) {
                shown.push(format!("{}: {head}", source.module.join("::")));
            }
        }
    }
    println!("{looked} public items, none with {hidden:?}");
    assert!(looked > 700, "only {looked} public items were found");
    assert!(shown.is_empty(), "{shown:#?}");
}

#[test]
fn heads_are_found() {
    let code = "pub fn f(a: Slab<u8>)\n{ Inner }\npub struct P(Private, pub Open);\npub struct S {\n    pub x: u8,\n    y: Private,\n}";
    assert_eq!(heads(code), ["fn f(a: Slab<u8>)\n", "struct P", "Open)", "struct S ", "x: u8,"]);
}
