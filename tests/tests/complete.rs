//! The suite is complete: each behaviour that is written is listed and so runs, and each that was asked for is written,
//! or stands in `NOT_APPLICABLE.md` with the reason why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// The behaviours of tasks that were asked for, by section: the numbers of the `B…`.
const ASKED: &[Section] = &[
    ("1 running", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    ("2 scopes", &[16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 29, 31, 32, 33, 34, 35]),
    ("3 deadlines", &[36, 37, 39, 41, 42, 43, 44, 45, 46, 47, 49, 50, 51, 52, 53, 54, 55, 56, 57, 59]),
    ("4 shields", &[60, 63, 64, 67, 69, 70, 71, 72, 74, 76]),
    ("5 checkpoints", &[77, 78, 79, 80, 81, 83, 84, 85, 86]),
    ("6 groups", &[90, 91, 92, 93, 94, 95, 97, 98, 99, 100, 102, 103, 105, 106, 107, 111, 112, 113]),
    ("7 tasks", &[114, 115, 117, 118, 119, 121, 122, 123, 124, 125, 127]),
    ("8 starting", &[128, 129, 130, 131, 132, 134, 136, 139, 140, 141, 142, 143]),
    ("9 panics", &[145, 146, 147, 148, 149, 150, 151, 152]),
    ("14 threads", &[218, 219, 220, 221, 223, 224, 226, 227, 228, 229, 230, 231, 232, 233, 234, 235]),
];

/// Those of network, processes and files: the numbers of the `N…`.
#[rustfmt::skip]
const ASKED_OF_IO: &[Section] = &[
    ("1 streams", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]),
    ("2 connecting", &[31, 32, 33, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47]),
    ("3 serving", &[51, 52, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 71, 72]),
    ("4 UDP", &[76, 77, 78, 79, 80, 81, 82, 83, 84, 85]),
    ("5 Unix sockets", &[88, 89, 90, 91, 92, 93, 94, 95, 96, 97]),
    ("6 names", &[100, 101, 102, 103, 104, 105, 106, 107]),
    ("7 processes", &[111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 122, 123, 124, 125, 126, 127, 129, 132]),
    ("8 files", &[136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 147]),
    ("9 simulation", &[151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174]),
    ("10 bridges", &[176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 194]),
];

/// Its name, and the numbers of its behaviours.
type Section = (&'static str, &'static [u16]);

/// The laws are L1 to this.
const LAWS: u16 = 41;

#[test]
fn every_behaviour_that_is_written_is_listed() {
    let mut total = 0;
    for (section, files) in sections() {
        let (mut written, mut listed) = (Vec::new(), Vec::new());
        for file in &files {
            let source = read(file);
            for behaviour in behaviours(&source) {
                assert!(behaviour.cites, "{section}::{} says nowhere which behaviour or law it is", behaviour.name);
                written.push(behaviour.name);
            }
            listed.extend(list(&source, &section));
        }
        let (all, run): (BTreeSet<_>, BTreeSet<_>) = (written.iter().collect(), listed.iter().collect());
        assert_eq!(all.len(), written.len(), "{section}: two behaviours of one name");
        assert_eq!(run.len(), listed.len(), "{section}: a behaviour is listed twice");
        let forgotten: Vec<_> = all.difference(&run).collect();
        assert!(
            forgotten.is_empty(),
            "{section}: written, and not in `{section}_suite!`, so never run: {forgotten:#?}"
        );
        let unknown: Vec<_> = run.difference(&all).collect();
        assert!(unknown.is_empty(), "{section}: listed, and not written as a behaviour: {unknown:#?}");
        println!("{section:<12} {:>4} behaviours", written.len());
        assert!(!written.is_empty(), "{section} is empty");
        total += written.len();
    }
    println!("{:<12} {total:>4} behaviours", "in all");
}

#[test]
fn every_section_is_in_the_suite() {
    let (suite, lib) = (read(&source("list.rs")), read(&source("lib.rs")));
    for (section, _) in sections() {
        assert!(suite.contains(&format!("$crate::{section}_suite!($runner);")), "`suite!` leaves out {section}");
        assert!(lib.contains(&format!("pub mod {section};")), "the crate leaves out {section}");
    }
    assert!(sections().len() >= ASKED.len());
}

#[test]
fn every_behaviour_that_was_asked_for_is_written_or_not_applicable() {
    written_or_not_applicable('B', ASKED);
    written_or_not_applicable('N', ASKED_OF_IO);
}

fn written_or_not_applicable(kind: char, asked: &[Section]) {
    let tested = tested();
    let (not_applicable, half) = not_applicable(kind);
    let mut missing = Vec::new();
    for (section, numbers) in asked {
        let is_tested = |number: &&u16| tested.contains_key(&(kind, **number));
        let without: Vec<_> = numbers.iter().filter(|number| !is_tested(number)).collect();
        let excused = without.iter().filter(|number| not_applicable.contains(number)).count();
        println!(
            "{section:<14} {:>3} asked for, {:>3} tested, {excused} not applicable",
            numbers.len(),
            numbers.len() - without.len()
        );
        missing.extend(
            without.iter().filter(|number| !not_applicable.contains(number)).map(|number| format!("{kind}{number:03}")),
        );
    }
    assert!(missing.is_empty(), "neither tested nor in NOT_APPLICABLE.md: {missing:?}");
    let asked: BTreeSet<_> = asked.iter().flat_map(|(_, numbers)| *numbers).copied().collect();
    let unknown: Vec<_> = not_applicable.union(&half).filter(|number| !asked.contains(number)).collect();
    assert!(unknown.is_empty(), "NOT_APPLICABLE.md has rows that nobody asked for: {unknown:?}");
    let untested: Vec<_> = half.iter().filter(|number| !tested.contains_key(&(kind, **number))).collect();
    assert!(untested.is_empty(), "half of these does not apply, and the other half is not tested: {untested:?}");
    let both: Vec<_> = not_applicable.iter().filter(|number| tested.contains_key(&(kind, **number))).collect();
    assert!(both.is_empty(), "not applicable, and tested all the same (write `(half)` if so): {both:?}");
}

#[test]
fn every_law_has_a_test() {
    let tested = tested();
    let missing: Vec<_> =
        (1..=LAWS).filter(|law| !tested.contains_key(&('L', *law))).map(|law| format!("L{law}")).collect();
    let fewest = (1..=LAWS).filter_map(|law| tested.get(&('L', law)).map(|count| (count, law))).min();
    println!("{} laws with tests; the fewest has (tests, law) {fewest:?}", usize::from(LAWS) - missing.len());
    assert!(missing.is_empty(), "{missing:?}");
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
}

fn read(file: &Path) -> String {
    read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The sections: their files, those with a list of behaviours, and the folders beside them.
fn sections() -> BTreeMap<String, Vec<PathBuf>> {
    let mut sections = BTreeMap::new();
    for file in files(&source(""), false) {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if read(&file).contains(&format!("macro_rules! {name}_suite")) {
            let mut all = files(&source(&name), true);
            all.push(file);
            sections.insert(name, all);
        }
    }
    sections
}

/// The sources in a folder, if there is one.
fn files(folder: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folder.is_dir().then(|| folder.to_owned()).into_iter().collect();
    while let Some(folder) = open.pop() {
        for entry in read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && deep {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

struct Behaviour {
    name: String,
    /// Its comment says which behaviour or law it is about.
    cites: bool,
}

/// The behaviours in a source: `pub async fn name()`, and in `both! { … }` the pairs `name, name: {`.
fn behaviours(source: &str) -> Vec<Behaviour> {
    let mut found = Vec::new();
    let (mut comment, mut header) = (String::new(), String::new());
    let mut both = false;
    for line in source.lines() {
        let text = line.trim();
        if let Some(doc) = text.strip_prefix("///") {
            comment.push_str(doc);
            comment.push('\n');
            continue;
        }
        let mut names: Vec<&str> = Vec::new();
        if let Some(rest) = line.strip_prefix("pub async fn ") {
            names.extend(rest.split_once("()").map(|(name, _)| name));
        } else if line == "both! {" {
            both = true;
        } else if line == "}" {
            both = false;
        } else if both && line.len() - text.len() == 4 && !text.starts_with(['}', '#', '/']) {
            // A pair may stand on one line or on two.
            header.push_str(text);
        }
        let pair = header.strip_suffix(": {").map(str::to_owned);
        if let Some(pair) = &pair {
            names.extend(pair.split(',').map(str::trim));
            header.clear();
        }
        found.extend(names.iter().map(|name| Behaviour { name: (*name).to_owned(), cites: !ids(&comment).is_empty() }));
        if header.is_empty() && !text.starts_with("#[") {
            comment.clear();
        }
    }
    found
}

/// Returns the names in the section's own list.
fn list(source: &str, section: &str) -> Vec<String> {
    let Some((_, rest)) = source.split_once(&format!("behaviours!($runner; {section} {{")) else { return Vec::new() };
    let (list, _) = rest.split_once('}').expect("the list ends");
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// How often each behaviour and law is named in the doc comments of tests.
fn tested() -> BTreeMap<(char, u16), usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tested = BTreeMap::new();
    let folders = [
        "src",
        "tests",
        "compile_fail",
        "net/src",
        "net/tests",
        "process/src",
        "process/tests",
        "fs/src",
        "fs/tests",
        "../adapters/sim/tests",
        "../adapters/hyper/tests",
    ];
    for file in folders.iter().flat_map(|folder| files(&root.join(folder), true)) {
        let source = read(&file);
        let docs = source.lines().map(str::trim).filter(|line| line.starts_with("///") || line.starts_with("//!"));
        for line in docs {
            for id in ids(line) {
                *tested.entry(id).or_insert(0) += 1;
            }
        }
    }
    assert!(tested.len() > 50, "the tests were not found");
    tested
}

/// The behaviours that have no test, and those of which a half has none: `| B131 | … |`, `| B151 (half) | … |`.
fn not_applicable(kind: char) -> (BTreeSet<u16>, BTreeSet<u16>) {
    let table = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("NOT_APPLICABLE.md"));
    let (mut whole, mut half) = (BTreeSet::new(), BTreeSet::new());
    for row in table.lines().filter(|line| line.starts_with(&format!("| {kind}"))) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "ID, behaviour and reason: {row}");
        let numbers = ids(cells[0]).into_iter().map(|(_, number)| number);
        if cells[0].contains("(half)") { half.extend(numbers) } else { whole.extend(numbers) }
    }
    (whole, half)
}

/// The IDs in a text: `B037`, `N025`, `L8`, `I23`, `R6`, and ranges such as `L25–L27`.
fn ids(text: &str) -> BTreeSet<(char, u16)> {
    let mut found = BTreeSet::new();
    let mut last: Option<((char, u16), usize)> = None;
    for (at, kind) in text.char_indices().filter(|(_, c)| "BNLIR".contains(*c)) {
        let rest = &text[at + 1..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let word_before = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let word_behind = rest[digits..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let Ok(number) = rest[..digits].parse::<u16>() else { continue };
        if word_before || word_behind {
            continue;
        }
        let from = match last {
            Some(((before, from), end)) if before == kind && matches!(&text[end..at], "–" | "-") => from,
            _ => number,
        };
        found.extend((from..=number).map(|number| (kind, number)));
        last = Some(((kind, number), at + 1 + digits));
    }
    found
}

#[test]
fn ids_are_found() {
    let found: Vec<_> = ids("B037 (half), L25–L27: see I2, R6.1; not UB12, B1x, LONG, nor Big").into_iter().collect();
    assert_eq!(found, [('B', 37), ('I', 2), ('L', 25), ('L', 26), ('L', 27), ('R', 6)]);
}
