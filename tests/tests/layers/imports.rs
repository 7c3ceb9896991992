//! Which file of a crate imports which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::paths;
use crate::sources::{Source, identifier};

type Module = Vec<String>;

/// Returns the other files of its crate from which each file imports; the root of the crate, which re-exports, is not
/// one of them.
///
/// A re-export is an import of the file that has it if the rest of that file names the type. A file that imports by way of
/// it depends on the file that it comes from.
pub(crate) fn imports(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let crate_ = Crate::of(sources);
    let files = sources.iter().filter(|source| !source.module.is_empty());
    let imports = files.map(|source| {
        let (re_exports, code) = split(&source.code);
        let mut paths = crate_.absolute(source, &code);
        let is_used = |path: &Module| path.last().is_some_and(|name| names_type(&code, name));
        paths.extend(crate_.absolute(source, &re_exports).into_iter().filter(is_used));
        let named = paths.into_iter().filter_map(|path| crate_.file_of(path));
        (source.module.clone(), named.filter(|file| *file != source.module && !file.is_empty()).collect())
    });
    imports.collect()
}

/// Which files call the methods of which others: a type's methods may be spread over files, and a call of one that
/// stands further up is a dependency that no import shows. Of names that one file of the crate alone has.
pub(crate) fn calls(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut files_of: BTreeMap<&str, BTreeSet<&Module>> = BTreeMap::new();
    for source in sources {
        for (_, after) in source.code.match_indices("fn ").map(|(at, word)| source.code.split_at(at + word.len())) {
            files_of.entry(identifier(after)).or_default().insert(&source.module);
        }
    }
    let called = |source: &Source| -> BTreeSet<Module> {
        let names = source.code.match_indices('.').map(|(at, _)| identifier(&source.code[at + 1..]));
        let names = names.filter(|name| !name.is_empty() && source.code.contains(&format!(".{name}(")));
        let files = names.filter_map(|name| files_of.get(name).filter(|files| files.len() == 1));
        files.flatten().filter(|file| ***file != source.module).map(|file| (*file).clone()).collect()
    };
    sources.iter().map(|source| (source.module.clone(), called(source))).collect()
}

/// The files of a crate, and where what they re-export comes from.
struct Crate {
    files: BTreeSet<Module>,
    re_exports: BTreeMap<Module, Module>,
}

impl Crate {
    fn of(sources: &[Source]) -> Self {
        let files = sources.iter().map(|source| source.module.clone()).collect();
        let mut crate_ = Crate { files, re_exports: BTreeMap::new() };
        for source in sources {
            for path in crate_.absolute(source, &split(&source.code).0) {
                let name = path.last().cloned();
                crate_.re_exports.insert(source.module.iter().cloned().chain(name).collect(), path);
            }
        }
        crate_
    }

    /// The paths that a part of a file names, from the root of the crate.
    fn absolute(&self, source: &Source, code: &str) -> Vec<Module> {
        let parts = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
        let mut found: Vec<Module> = paths(code, "crate::").iter().map(|path| parts(path)).collect();
        found.extend(paths(code, "self::").iter().map(|path| [source.module.clone(), parts(path)].concat()));
        for path in paths(code, "super::") {
            let path = parts(&path);
            let up = 1 + path.iter().take_while(|part| *part == "super").count();
            let base = source.module.len().saturating_sub(up);
            found.push([&source.module[..base], &path[up - 1..]].concat());
        }
        // A file may name those below it by their names alone.
        let below = paths(code, "use ").into_iter().map(|path| [source.module.clone(), parts(&path)].concat());
        found.extend(below.filter(|path| self.files.contains(&path[..=source.module.len()])));
        found
    }

    /// The file that has what a path names.
    fn file_of(&self, mut path: Module) -> Option<Module> {
        // As often as anything is re-exported of what is re-exported.
        for _ in 0..4 {
            let file = (0..=path.len()).rev().find(|length| self.files.contains(&path[..*length]))?;
            let item = &path[..path.len().min(file + 1)];
            match self.re_exports.get(item) {
                Some(other) if other.as_slice() != item => path = [other, &path[item.len()..]].concat(),
                _ => return Some(path[..file].to_vec()),
            }
        }
        panic!("{path:?} is re-exported again and again");
    }
}

/// Whether the code names a type. Not for functions: a method or a module of the same name is something else.
fn names_type(code: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let is_word = |at: usize| !code[..at].ends_with(is_part) && !code[at + name.len()..].starts_with(is_part);
    name.starts_with(char::is_uppercase) && code.match_indices(name).any(|(at, _)| is_word(at))
}

/// The re-exports of a file, and the rest of its code, without what is imported for links in its documentation.
fn split(code: &str) -> (String, String) {
    let (mut re_exports, mut rest) = (String::new(), String::new());
    let mut inside = false;
    let mut for_links = false;
    for line in code.lines() {
        if line == "#[cfg(doc)]" || for_links {
            for_links = !line.ends_with(';');
            continue;
        }
        let start = line.trim_start();
        inside |= ["pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|visible| start.starts_with(visible));
        let to = if inside { &mut re_exports } else { &mut rest };
        to.push_str(line);
        to.push('\n');
        inside &= !line.ends_with(';');
    }
    (re_exports, rest)
}

/// The circles: files each of which can be reached from each other one of them. Without those of a file alone.
pub(crate) fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let (mut open, mut found) = (vec![from.clone()], BTreeSet::new());
        while let Some(file) = open.pop() {
            open.extend(imports.get(&file).into_iter().flatten().filter(|next| found.insert((*next).clone())).cloned());
        }
        found
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = imports.keys().map(|file| (file, reached(file))).collect();
    let circle = |file: &Module| -> BTreeSet<Module> {
        reached[file].iter().filter(|other| reached[other].contains(file)).cloned().collect()
    };
    let circles: BTreeSet<_> = imports.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    circles.into_iter().collect()
}
