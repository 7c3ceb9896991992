//! What the core may be made of: no runtime below it, and layers inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "layers/sources.rs"]
mod sources;

use sources::{Source, identifier, sources};

/// All that `foster` needs to be built, and all that these need.
const DEPENDENCIES: &[&str] = &["foster-macros", "futures-core", "pin-project-lite", "slab"];

/// Never below the core, whatever the list above comes to say.
const RUNTIMES: &[&str] = &[
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "blocking",
    "embassy-executor",
    "futures-executor",
    "glommio",
    "mio",
    "monoio",
    "polling",
    "smol",
    "tokio",
];

#[test]
fn core_has_no_runtime_below_it() {
    let packages = packages();
    let locked = locked();
    let mut found = BTreeSet::new();
    let mut open = vec!["foster".to_owned()];
    while let Some(name) = open.pop() {
        let needs = match packages.get(&name) {
            // A member of the workspace: the lock file mixes in what its tests need.
            Some(package) => normal_dependencies(package),
            None => locked.get(&name).cloned().unwrap_or_else(|| panic!("{name} is not in Cargo.lock")),
        };
        open.extend(needs.into_iter().filter(|name| found.insert(name.clone())));
    }
    println!("foster needs {found:?}");
    for runtime in RUNTIMES {
        assert!(!found.contains(*runtime), "foster depends on a runtime: {runtime}");
    }
    let expected: BTreeSet<_> = DEPENDENCIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        found, expected,
        "each dependency of the core is a decision: one that is meant goes into the list in this test"
    );
}

/// No features that change behaviour: none at all.
#[test]
fn core_has_no_features() {
    let packages = packages();
    let features = packages["foster"]["features"].as_object().expect("a map");
    assert!(features.is_empty(), "{features:?}");
}

/// In one small private module, which justifies it.
#[test]
fn unsafe_code_is_in_one_module() {
    let mut there = 0;
    for source in sources() {
        let count = source.code.matches("unsafe ").count() + source.code.matches("(unsafe_code").count();
        if source.top() == "raw" {
            there += count;
        } else if !source.module.is_empty() {
            assert_eq!(count, 0, "unsafe code in {}", source.module.join("::"));
        }
    }
    println!("{there} times unsafe");
    assert!(there > 1, "the unsafe code was not found");
}

/// What runs in the simulator is what runs in production.
#[test]
fn core_does_not_know_the_simulator() {
    for source in sources() {
        for name in ["foster_sim::", "\"sim\"", "simulat"] {
            assert!(!source.code.contains(name), "{} names {name}", source.module.join("::"));
        }
    }
}

/// The members of the workspace.
fn packages() -> BTreeMap<String, Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut cargo = Command::new(cargo);
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(manifest);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages.map(|package| (text(&package["name"]), package.clone())).collect()
}

/// What a package needs to be built, on any platform; not what its tests need.
fn normal_dependencies(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("a list").iter();
    dependencies.filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Who needs whom, on any platform, by the lock file.
fn locked() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock = read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in lock.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("name = \"") {
            name = rest.trim_end_matches('"').to_owned();
            packages.entry(name.clone()).or_default();
        } else if let Some(rest) = line.strip_prefix('"') {
            let needed = rest.split([' ', '"']).next().unwrap_or(rest);
            packages.entry(name.clone()).or_default().push(needed.to_owned());
        }
    }
    packages
}

/// The layers. A module uses what is below it, and of its own layer the public API only.
const LAYERS: &[(&str, u8)] = &[
    // What the mechanisms are made of, and words: errors, reasons, instants.
    ("sys", 0),
    ("instant", 0),
    ("reason", 0),
    ("error", 0),
    ("observer", 0),
    ("group", 0),
    ("opening", 0),
    // Structures with unsafe code, which know nothing of the tree.
    ("raw", 1),
    // What is asked of the runtime.
    ("runtime", 1),
    // The tree of scopes; and a queue of wakers, which knows nothing of it.
    ("tree", 2),
    ("ready_queue", 3),
    // What it takes to write an operation that waits and can be cancelled.
    ("leaf", 3),
    // Checkpoints, time, scopes.
    ("checkpoint", 4),
    ("sleep", 4),
    ("scope", 4),
    ("value", 4),
    // What has scopes of its own kind, and what tasks wait for.
    ("nursery", 5),
    ("local_nursery", 5),
    ("sync", 5),
    ("channel", 5),
    ("thread", 5),
    ("defer", 5),
    ("bracket", 5),
    // Derived.
    ("timeout", 6),
    ("shield", 6),
    ("combine", 6),
    ("retry", 6),
    ("rate", 6),
    ("pool", 6),
    ("portal", 6),
    ("app", 6),
    ("supervise", 6),
];

/// The layer that is written with the public API only.
const DERIVED: u8 = 6;

/// Where a module may use another against the rule, and why. An exception that is not needed any more fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "runtime",
        "tree::{AlreadyInstalled, Job, Root, TreeHandle, current, install, root}",
        "the contract names what the tree implements",
    ),
    ("local_nursery", "nursery", "both sorts of nursery have one policy, one outcome and one handle"),
    ("group", "nursery::Recorded", "what a nursery hands over to be put in a group"),
    ("shield", "tree::current", "`stopping` asks the tree"),
    (
        "combine",
        "ready_queue::{ReadyQueue, ReadyMember}",
        "a queue of wakers that knows nothing of the tree, as any crate has one",
    ),
];

/// One use of an item of another module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    from: String,
    to: String,
    /// The path behind the module.
    item: String,
}

#[test]
fn modules_use_what_is_below_them() {
    let sources = sources();
    let api = Api::of(&sources);
    let layer = |module: &str| LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer);
    let mut uses = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let top = source.top();
        assert!(layer(top).is_some(), "the module `{top}` has no layer: give it one in LAYERS");
        uses.extend(uses_of(source, &api));
    }
    assert!(uses.len() > 100, "the uses were not found");
    let mut broken = Vec::new();
    let mut needed = BTreeSet::new();
    for one in &uses {
        let (from, to) = (layer(&one.from).expect("checked above"), layer(&one.to));
        let Some(to) = to else { panic!("{one:?}: there is no module `{}`", one.to) };
        let public = api.is_public(&one.to, &one.item);
        let fine = if from == DERIVED { public && to <= from } else { to < from || to == from && public };
        if fine {
            continue;
        }
        match EXCEPTIONS.iter().position(|exception| covers(exception, one)) {
            Some(exception) => drop(needed.insert(exception)),
            None => broken.push(format!("{} (layer {from}) uses {}::{} (layer {to})", one.from, one.to, one.item)),
        }
    }
    println!("{} modules, {} uses of other modules", LAYERS.len(), uses.len());
    assert!(broken.is_empty(), "{broken:#?}");
    for (number, (from, to, _)) in EXCEPTIONS.iter().enumerate() {
        assert!(needed.contains(&number), "the exception for `{from}` using `{to}` is not needed any more: remove it");
    }
}

fn covers((from, to, _): &(&str, &str, &str), one: &Use) -> bool {
    let (module, items) = to.split_once("::").unwrap_or((to, ""));
    let named = items
        .trim_matches(['{', '}'])
        .split(", ")
        .any(|item| item.is_empty() || one.item.split("::").next() == Some(item));
    one.from == *from && one.to == module && named
}

/// Derived operations call nothing that a user could not call, either: no `pub(crate)` function of a type of another module.
#[test]
fn derived_operations_call_public_functions_only() {
    let sources = sources();
    let mut hidden: BTreeMap<(String, String), String> = BTreeMap::new();
    for source in &sources {
        for (of, function) in crate_functions(&source.code) {
            hidden.insert((of, function), source.top().to_owned());
        }
    }
    assert!(hidden.len() > 50, "the functions were not found");
    let derived = |source: &&Source| LAYERS.contains(&(source.top(), DERIVED));
    let mut called = BTreeSet::new();
    let mut looked = 0;
    for source in sources.iter().filter(derived) {
        looked += 1;
        for ((of, function), home) in &hidden {
            if home != source.top() && calls(&source.code, &format!("{of}::{function}(")) {
                called.insert(format!("{} calls {of}::{function}", source.top()));
            }
        }
    }
    println!("{looked} files of derived operations, {} hidden functions", hidden.len());
    assert!(looked >= 2);
    // Of a queue of wakers, which any crate could have.
    let other = ["combine calls ReadyQueue::new", "combine calls ReadyMember::new"];
    let called: Vec<_> = called.iter().filter(|call| !other.contains(&call.as_str())).collect();
    assert!(called.is_empty(), "{called:?}: a derived operation needs private access: then the primitive is wrong");
}

/// Whether the call stands there, and not as the end of a longer name.
fn calls(code: &str, call: &str) -> bool {
    code.match_indices(call)
        .any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

/// The functions `pub(crate)` of a source, with the type whose they are.
fn crate_functions(code: &str) -> Vec<(String, String)> {
    let mut functions = Vec::new();
    let mut of = String::new();
    for line in code.lines() {
        if let Some(rest) = line.strip_prefix("impl") {
            let rest = rest.split_once('>').filter(|_| rest.starts_with('<')).map_or(rest, |(_, rest)| rest);
            of = identifier(rest.rsplit(" for ").next().unwrap_or(rest).trim()).to_owned();
        }
        if let Some(rest) = line.trim().strip_prefix("pub(crate) ") {
            let rest = rest.trim_start_matches("const ").trim_start_matches("async ");
            if let (Some(name), false) = (rest.strip_prefix("fn "), of.is_empty()) {
                functions.push((of.clone(), identifier(name).to_owned()));
            }
        }
    }
    functions
}

/// What can be named from outside.
struct Api {
    /// Root name → module and item.
    root: BTreeMap<String, (String, String)>,
    /// Module and item.
    items: BTreeSet<(String, String)>,
}

impl Api {
    fn of(sources: &[Source]) -> Self {
        let mut api = Api { root: BTreeMap::new(), items: BTreeSet::new() };
        for source in sources.iter().filter(|source| source.public) {
            for path in paths(&source.code, "pub use ") {
                let (module, item) = path.split_once("::").unwrap_or((&path, ""));
                if source.module.is_empty() {
                    let name = item.rsplit("::").next().unwrap_or(item).to_owned();
                    api.root.insert(name, (module.to_owned(), item.to_owned()));
                    api.items.insert((module.to_owned(), item.to_owned()));
                } else {
                    // Of a public module: what it re-exports stands in it.
                    let name = path.rsplit("::").next().unwrap_or(&path).to_owned();
                    api.items.insert((source.top().to_owned(), name));
                }
            }
            for line in source.code.lines().filter(|_| !source.module.is_empty()) {
                let kinds = [
                    "pub fn ",
                    "pub async fn ",
                    "pub const fn ",
                    "pub struct ",
                    "pub enum ",
                    "pub trait ",
                    "pub type ",
                    "pub const ",
                ];
                if let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) {
                    api.items.insert((source.top().to_owned(), identifier(rest).to_owned()));
                }
            }
        }
        assert!(api.items.len() > 80, "the public API was not found");
        api
    }

    fn is_public(&self, module: &str, item: &str) -> bool {
        let item = item.strip_suffix("::self").unwrap_or(item);
        item.is_empty() || item == "self" || self.items.contains(&(module.to_owned(), item.to_owned()))
    }
}

/// The uses of other modules in a file: all its paths that begin with `crate::`, or climb up to the root.
fn uses_of(source: &Source, api: &Api) -> Vec<Use> {
    let climb = "super::".repeat(source.module.len());
    let mut found = paths(&source.code, "crate::");
    found.extend(paths(&source.code, &climb));
    let from = source.top();
    let resolved = found.into_iter().filter_map(|path| {
        let (first, rest) = path.split_once("::").unwrap_or((&path, ""));
        let is_module = !rest.is_empty() && LAYERS.iter().any(|(known, _)| *known == first);
        let (to, item) = match api.root.get(first) {
            // `crate::Instant` stands for `crate::instant::Instant`.
            Some((module, item)) if !is_module => (module.clone(), item.clone()),
            _ => (first.to_owned(), rest.to_owned()),
        };
        (to != from).then(|| Use { from: from.to_owned(), to, item })
    });
    resolved.collect()
}

/// The paths behind each `start`, with their groups spelt out.
fn paths(code: &str, start: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        // Not the end of `$crate::`, of `super::super::`, or of a longer word.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
            continue;
        }
        spell_out(&code[at + start.len()..], "", &mut found);
    }
    found
}

/// Adds the paths of the use tree at the beginning of `text`; says how much of it that was.
fn spell_out(text: &str, before: &str, found: &mut Vec<String>) -> usize {
    let mut at = 0;
    let mut path = before.to_owned();
    loop {
        let rest = &text[at..];
        if let Some(inside) = rest.strip_prefix('{') {
            at += 1;
            let mut inside = inside;
            loop {
                let blank = inside.len() - inside.trim_start().len();
                let length = blank + spell_out(inside.trim_start(), &path, found);
                at += length;
                inside = &inside[length..];
                let separator = inside.find([',', '}']).map_or(inside.len(), |index| index);
                let end = inside[separator..].starts_with('}');
                at += (separator + 1).min(inside.len());
                inside = &inside[(separator + 1).min(inside.len())..];
                if end || inside.is_empty() {
                    return at;
                }
            }
        }
        let name = identifier(rest);
        if name.is_empty() {
            return at;
        }
        path.push_str(name);
        at += name.len();
        match text[at..].strip_prefix("::") {
            Some(next) if next.starts_with('{') || !identifier(next).is_empty() => {
                path.push_str("::");
                at += 2;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
    }
}

#[test]
fn paths_are_spelt_out() {
    let code = "use crate::one::{Two, three::{self, Four},\n    five as six};\nlet x = crate::seven::<u8>(); $crate::no!(); crate::Eight::new()";
    assert_eq!(
        paths(code, "crate::"),
        ["one::Two", "one::three::self", "one::three::Four", "one::five", "seven", "Eight::new"]
    );
    assert_eq!(paths("super::super::a::b; super::c", "super::super::"), ["a::b"]);
    assert_eq!(paths("super::super::a::b; super::c", "super::"), ["super::a::b", "c"]);
}
