//! The names that users see: about thirty at the root, the rest in modules, each under one path.

use std::collections::BTreeMap;

#[path = "layers/sources.rs"]
mod sources;

use sources::{Source, identifier, sources_of};

/// How many functions and types the root of `foster` has, and the two attributes.
const AT_THE_ROOT: usize = 36;

/// Names that two modules have, for two things.
const TWO_THINGS: &[(&str, &str)] = &[("is_cancelled", "of the code that asks, and of the thread that runs a job")];

/// The crates, and the module of `foster` that they are; the core and kit are its root.
const CRATES: [(&str, &str); 3] = [("core", ""), ("core/channel", "channel"), ("core/kit", "")];

/// Returns the public names, each with the modules that have it.
fn names() -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (folder, module) in CRATES {
        for source in sources_of(folder).into_iter().filter(|source| source.public) {
            let mut path: Vec<&str> = if module.is_empty() { Vec::new() } else { vec![module] };
            path.extend(source.module.iter().map(String::as_str));
            for (inner, name) in public_names(&source) {
                let mut path = path.clone();
                path.extend(inner.as_deref());
                names.entry(name).or_default().push(path.join("::"));
            }
        }
    }
    names
}

/// The public names in a source, each with the module of the file that has it, if it is not the file itself.
fn public_names(source: &Source) -> Vec<(Option<String>, String)> {
    let (mut found, mut inner, mut statement) = (Vec::new(), None, None::<String>);
    for line in source.code.lines() {
        let indent = if inner.is_some() { "    " } else { "" };
        if let Some(text) = &mut statement {
            text.push_str(line.trim());
        } else if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inner = Some(name.to_owned());
        } else if line == "}" {
            inner = None;
        } else if let Some(rest) = line.strip_prefix(indent).and_then(|line| line.strip_prefix("pub use ")) {
            statement = Some(rest.to_owned());
        } else if let Some(rest) = line.strip_prefix(indent).and_then(|line| line.strip_prefix("pub ")) {
            let mut words = rest.split_whitespace().filter(|word| !matches!(*word, "async" | "unsafe"));
            let name = match (words.next(), words.next()) {
                (Some("const"), Some("fn")) => words.next(),
                (Some("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static"), name) => name,
                _ => None,
            };
            found.extend(name.map(|name| (inner.clone(), identifier(name).to_owned())));
        }
        if let Some(text) = statement.take_if(|text| text.ends_with(';')) {
            let list = text.rsplit_once("::").map_or(&*text, |(before, last)| match before.split_once('{') {
                // `a::{b, c::d}`: not in use here.
                Some(_) => panic!("a list with paths in it: {text}"),
                None => last,
            });
            let list = list.trim_end_matches(';').trim_matches(['{', '}']).split(',').map(str::trim);
            found.extend(list.filter(|name| !name.is_empty()).map(|name| (inner.clone(), name.to_owned())));
        }
    }
    found
}

#[test]
fn the_root_has_what_most_programs_name() {
    let mut root: Vec<_> =
        names().into_iter().filter(|(_, modules)| modules.contains(&String::new())).map(|(name, _)| name).collect();
    root.extend(["main", "test"].map(str::to_owned));
    println!("{} names at the root: {root:?}", root.len());
    assert!(root.contains(&"Nursery".to_owned()), "the names were not found");
    assert!(root.len() <= AT_THE_ROOT, "{} names at the root", root.len());
}

#[test]
fn each_item_has_one_path() {
    let names = names();
    let twice = names.iter().filter(|(_, modules)| modules.len() > 1);
    let twice: Vec<_> = twice.filter(|(name, _)| TWO_THINGS.iter().all(|(two, _)| two != name)).collect();
    println!("{} names", names.len());
    assert!(names.len() > 250, "the names were not found: {names:?}");
    assert!(twice.is_empty(), "names that several modules have: {twice:#?}");
    for (name, _) in TWO_THINGS {
        assert!(names[*name].len() > 1, "`{name}` is not there twice");
    }
}
