//! The table of the page on cancel safety: what each asynchronous function says of itself under *Cancellation*.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::{files, read, workspace};

/// The page, and where its table begins.
const PAGE: &str = "docs/src/cancel-safety.md";
const BEGIN: &str =
    "<!-- The rest of this page is written by `FOSTER_WRITE=1 cargo test -p foster-book cancel_safety`. -->\n";

/// The words that a section begins with, in the order of the columns.
const VERDICTS: [&str; 5] = ["Strict", "Loses its place", "Partial effect", "Not interrupted", "As its future"];

/// Called by the code that `#[foster::test]` writes, and by nobody else.
const HIDDEN: &str = "core/kit/src/test_limit.rs";

/// The folders of the sources, with the heading of their part of the table.
const PARTS: [(&str, &str); 17] = [
    ("core/src/sync", "Locks, events, limiters (`foster::sync`)"),
    ("core/src/thread", "Threads (`foster::thread`)"),
    ("core/src/nursery", "Nurseries and tasks"),
    ("core/src/leaf", "Operations of your own (`foster::leaf`)"),
    ("core/src", "Scopes, limits, cleanup"),
    ("core/channel/src", "Channels (`foster::channel`)"),
    ("core/kit/src/combine", "Combinators (`foster::combine`)"),
    ("core/kit/src/pool", "Pools (`foster::pool`)"),
    ("core/kit/src", "Retry, rates, pools, programs"),
    ("core/net/src", "Sockets (`foster_net`)"),
    ("core/process/src", "Processes and signals (`foster_process`)"),
    ("core/fs/src", "Files and standard streams (`foster_fs`)"),
    ("adapters/hyper/src", "HTTP (`foster_hyper`)"),
    ("adapters/smol/src", "Adapters"),
    ("adapters/tokio/src", "Adapters"),
    ("adapters/tracing/src", "Adapters"),
    ("adapters/sim/src", "Simulator (`foster_sim`)"),
];

/// An asynchronous function, as its documentation has it.
struct Function {
    part: &'static str,
    /// The type that it is a method of; empty if it is none.
    owner: String,
    name: String,
    /// The text under *Cancellation*; empty if there is none.
    section: String,
    /// It is an `async fn`, so it has to have that.
    is_async: bool,
    place: String,
}

impl Function {
    /// Returns the verdict that the section begins with.
    fn verdict(&self) -> Option<usize> {
        let word = self.section.strip_prefix('*')?.split('*').next()?;
        VERDICTS.iter().position(|verdict| *verdict == word)
    }

    /// Returns the function that the section refers to, as in "As [`acquire`](Semaphore::acquire)": its type, if that is
    /// named, and its name.
    fn refers_to(&self) -> Option<(String, String)> {
        let reference = self.section.strip_prefix("As [`")?;
        let shown = reference.split('`').next()?;
        let target = reference.split_once("](").map_or(shown, |(_, rest)| rest.split(')').next().unwrap_or(shown));
        let target =
            if reference.split_once(']').is_some_and(|(_, rest)| rest.starts_with('(')) { target } else { shown };
        Some(match target.rsplit_once("::") {
            Some((owner, name)) => (owner.rsplit("::").next()?.to_owned(), name.to_owned()),
            None => (String::new(), target.to_owned()),
        })
    }
}

/// The name of the type that an `impl` is for.
fn owner_of(line: &str) -> String {
    let mut depth = 0;
    let plain: String = line
        .trim_start_matches("impl")
        .chars()
        .filter(|letter| {
            depth += i32::from(*letter == '<');
            let keep = depth == 0;
            depth -= i32::from(*letter == '>' && depth > 0);
            keep
        })
        .collect();
    let of = plain.split(" for ").last().unwrap_or_default();
    of.split([' ', '{'])
        .find(|word| !word.is_empty())
        .unwrap_or_default()
        .rsplit("::")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// All public functions that are asynchronous, or have a section on cancellation.
fn functions() -> Vec<Function> {
    let mut functions = Vec::new();
    let folders = ["core", "adapters"];
    for path in folders.iter().flat_map(|folder| files(folder, "rs")) {
        let place = path.strip_prefix(workspace()).unwrap().to_str().unwrap().replace('\\', "/");
        let inside =
            |(folder, _): &&(&str, &str)| place.strip_prefix(*folder).is_some_and(|rest| rest.starts_with(['/', '.']));
        let Some((_, part)) = PARTS.iter().find(inside).filter(|_| place != HIDDEN) else { continue };
        let (mut docs, mut owner) = (String::new(), String::new());
        for line in read(&path).lines() {
            let code = line.trim_start();
            if code.starts_with("impl") {
                owner = owner_of(code);
            } else if line.starts_with('}') {
                owner.clear();
            }
            if let Some(text) = code.strip_prefix("///") {
                docs.push_str(text.trim());
                docs.push('\n');
                continue;
            }
            if code.starts_with("#[") {
                continue;
            }
            let docs = std::mem::take(&mut docs);
            let Some(rest) = code.strip_prefix("pub ") else { continue };
            let is_async = rest.starts_with("async fn ");
            let Some(rest) = rest.trim_start_matches("async ").strip_prefix("fn ") else { continue };
            let section = docs.split("# Cancellation\n\n").nth(1).unwrap_or_default();
            let section = section.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            if is_async || !section.is_empty() {
                let name = rest.split(['<', '(']).next().unwrap_or_default().to_owned();
                functions.push(Function { part, owner: owner.clone(), name, section, is_async, place: place.clone() });
            }
        }
    }
    functions
}

/// Returns the verdict of each function; a reference is followed as far as it leads.
fn verdicts(functions: &[Function]) -> Result<Vec<usize>, Vec<String>> {
    let of = |mut at: usize| {
        for _ in 0..4 {
            let function = &functions[at];
            if let Some(verdict) = function.verdict() {
                return Some(verdict);
            }
            let (owner, name) = function.refers_to()?;
            let is_meant = |other: &&Function| {
                other.name == name
                    && (other.owner == owner
                        || owner.is_empty() && [&function.owner, ""].contains(&other.owner.as_str()))
                    && other.place.split("/src").next() == function.place.split("/src").next()
            };
            at = functions.iter().position(|other| is_meant(&other))?;
        }
        None
    };
    let named = |at: usize| {
        let Function { place, owner, name, section, .. } = &functions[at];
        of(at).ok_or_else(|| format!("{place}: {owner}::{name} has no verdict under \"Cancellation\": {section:?}"))
    };
    let (found, missing): (Vec<_>, Vec<_>) = (0..functions.len()).map(named).partition(Result::is_ok);
    let missing: Vec<_> = missing.into_iter().filter_map(Result::err).collect();
    if missing.is_empty() { Ok(found.into_iter().flatten().collect()) } else { Err(missing) }
}

/// Returns the table: for each part a row for each type, and one for the functions that belong to none.
fn table(functions: &[Function], verdicts: &[usize]) -> String {
    let mut parts: Vec<(&str, BTreeMap<&str, [Vec<&str>; 5]>)> = Vec::new();
    for (_, part) in PARTS {
        if parts.iter().all(|(other, _)| *other != part) {
            parts.push((part, BTreeMap::new()));
        }
    }
    // Functions that a macro writes have the same row as those that they stand for: the halves of a stream, that of the
    // stream.
    for (function, verdict) in functions.iter().zip(verdicts).filter(|(function, _)| !function.owner.starts_with('$')) {
        let (_, rows) = parts.iter_mut().find(|(part, _)| *part == function.part).expect("a part of the table");
        let cell = &mut rows.entry(&function.owner).or_default()[*verdict];
        if !cell.contains(&function.name.as_str()) {
            cell.push(&function.name);
        }
    }
    let mut table = String::new();
    for (part, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        let used: Vec<usize> = (0..5).filter(|at| rows.values().any(|row| !row[*at].is_empty())).collect();
        let heads: String = used.iter().map(|at| format!(" {} |", VERDICTS[*at].to_lowercase())).collect();
        write!(table, "\n### {part}\n\n| |{heads}\n|---|{}\n", "---|".repeat(used.len())).unwrap();
        for (owner, row) in rows {
            let name = if owner.is_empty() { String::from("functions") } else { format!("`{owner}`") };
            write!(table, "| {name} |").unwrap();
            for at in &used {
                let cell: Vec<_> = row[*at].iter().map(|name| format!("`{name}`")).collect();
                write!(table, " {} |", cell.join(", ")).unwrap();
            }
            table.push('\n');
        }
    }
    table
}

#[test]
fn cancel_safety_is_documented_for_each_operation_and_the_page_has_it() {
    let functions = functions();
    let verdicts = verdicts(&functions).unwrap_or_else(|missing| panic!("{missing:#?}"));
    println!(
        "{} functions, {} of them `async fn`",
        functions.len(),
        functions.iter().filter(|found| found.is_async).count()
    );
    assert!(functions.len() > 200, "the functions were not found: {}", functions.len());
    for (at, verdict) in VERDICTS.iter().enumerate() {
        assert!(verdicts.contains(&at), "no function was found that is: {verdict}");
    }
    let page = read(workspace().join(PAGE));
    let (text, old) = page.split_once(BEGIN).expect("the page says where its table begins");
    let table = table(&functions, &verdicts);
    if std::env::var_os("FOSTER_WRITE").is_some() {
        std::fs::write(workspace().join(PAGE), format!("{text}{BEGIN}{table}")).unwrap();
    } else {
        assert!(old == table, "the table of {PAGE} is out of date: FOSTER_WRITE=1 writes it anew");
    }
    for verdict in VERDICTS {
        assert!(text.contains(&format!("**{verdict}**")), "{PAGE} does not explain {verdict:?}");
    }
}
