//! The layers of foster: crates that use the crates below them, no runtime below any, and layers inside the core.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/sources.rs"]
mod sources;

use paths::paths;
use sources::{Source, identifier, sources};

/// All that `foster` needs to be built, and all that these need.
const DEPENDENCIES: &[&str] = &[
    "foster-cell",
    "foster-channel",
    "foster-core",
    "foster-kit",
    "foster-macros",
    "futures-channel",
    "futures-core",
    "pin-project-lite",
    "slab",
];

/// The crates below `foster`, and what each of them uses of the others.
const CRATES: &[(&str, &[&str])] = &[
    ("foster-cell", &[]),
    ("foster-core", &["foster-cell"]),
    // On `leaf`. Of `foster-cell` it has the mutex of the race models.
    ("foster-channel", &["foster-cell", "foster-core"]),
    // Public interfaces alone.
    ("foster-kit", &["foster-channel", "foster-core"]),
    ("foster-macros", &[]),
    // Sockets, for programs that want them: not part of `foster`.
    ("foster-net", &["foster-core"]),
    // Child processes and signals, likewise.
    ("foster-process", &["foster-core"]),
    // Files, on threads alone.
    ("foster-fs", &["foster-core"]),
    ("foster", &["foster-channel", "foster-core", "foster-kit", "foster-macros"]),
];

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
    let found = needs_of("foster");
    println!("foster needs {found:?}");
    for name in ["foster", "foster-net", "foster-process", "foster-fs"] {
        let needs = needs_of(name);
        for runtime in RUNTIMES {
            assert!(!needs.contains(*runtime), "{name} depends on a runtime: {runtime}");
        }
    }
    let expected: BTreeSet<_> = DEPENDENCIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        found, expected,
        "each dependency of the core is a decision: one that is meant goes into the list in this test"
    );
}

/// Returns the packages that a member of the workspace needs to be built, and all that these need.
fn needs_of(name: &str) -> BTreeSet<String> {
    let packages = packages();
    let locked = locked();
    let mut found = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        let needs = match packages.get(&name) {
            // A member of the workspace: the lock file mixes in what its tests need.
            Some(package) => normal_dependencies(package),
            None => locked.get(&name).cloned().unwrap_or_else(|| panic!("{name} is not in Cargo.lock")),
        };
        open.extend(needs.into_iter().filter(|name| found.insert(name.clone())));
    }
    found
}

/// No features that change behaviour: none at all.
#[test]
fn core_has_no_features() {
    let packages = packages();
    for (name, _) in CRATES {
        let features = packages[*name]["features"].as_object().expect("a map");
        assert!(features.is_empty(), "{name}: {features:?}");
    }
}

/// A crate cannot reach into what is private in another.
#[test]
fn crates_use_what_is_below_them() {
    let packages = packages();
    for (name, below) in CRATES {
        let mut needs = normal_dependencies(&packages[*name]);
        needs.retain(|needed| needed.starts_with("foster"));
        needs.sort();
        assert_eq!(needs, *below, "{name} needs other crates of foster than it may");
    }
    let facade =
        read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/foster/src/lib.rs")).expect("a file");
    let code = facade.lines().filter(|line| !line.starts_with("//") && !line.is_empty());
    let other: Vec<_> = code.filter(|line| !line.starts_with("pub use ") && !line.starts_with('#')).collect();
    assert!(other.is_empty(), "the facade re-exports, and does nothing else: {other:?}");
}

/// The code that runs in the simulator is the code that runs in production.
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

/// Returns the packages that one needs to be built, on any platform; not those that its tests need.
fn normal_dependencies(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("a list").iter();
    // Nor what the race models are built with.
    let models = |dependency: &&Value| dependency["target"].as_str().is_some_and(|on| on.contains("foster_shuttle"));
    let built = dependencies.filter(|dependency| dependency["kind"] != "dev" && !models(dependency));
    built.map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Returns the dependencies of each package, on any platform, by the lock file.
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
    // The parts of the mechanisms, and words: errors, reasons, instants.
    ("sys", 0),
    ("instant", 0),
    ("reason", 0),
    ("errors", 0),
    ("events", 0),
    ("group", 0),
    ("opening", 0),
    ("live_counts", 0),
    // The structures of `foster-cell`, which know nothing of the tree.
    ("raw", 1),
    // The place of a future and of what it leaves.
    ("body", 1),
    // The requirements on the runtime.
    ("runtime", 1),
    // The tree of scopes.
    ("tree", 2),
    // The tools to write an operation that waits and can be cancelled.
    ("leaf", 3),
    // A picture of the tree, and errors without a caller, for people.
    ("dump", 3),
    ("report", 3),
    // The root of code outside of every tree.
    ("installed", 3),
    // Futures that run at the end of a scope.
    ("finalizer", 3),
    // Checkpoints, time, scopes.
    ("checkpoint", 4),
    ("sleep", 4),
    ("cancel_scope", 4),
    ("value", 4),
    // Constructs with scopes of their own kind, and the things that tasks wait for.
    ("nursery", 5),
    ("sync", 5),
    ("thread", 5),
    ("defer", 5),
    ("bracket", 5),
    // A scope with a limit, made without a handle.
    ("timeout", 5),
    // Derived. (Code that is derived from more than this is in the crate `foster-kit`.)
    ("shield", 6),
];

/// The layer that is written with the public API only.
const DERIVED: u8 = 6;

/// Where a module may use another against the rule, and why. An exception that is not needed any more fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("runtime", "tree::{Job, Root, TreeHandle, current, root}", "the contract names what the tree implements"),
    ("runtime", "installed::{AlreadyInstalled, install}", "the contract names what the tree implements"),
    ("group", "nursery::errors", "what a nursery hands over to be put in a group"),
    ("shield", "tree::current", "`stopping` asks the tree"),
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

/// The items that can be named from outside.
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
                let path = path.strip_prefix("crate::").unwrap_or(&path).to_owned();
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
        let item = item.strip_prefix("future::").unwrap_or(item);
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
