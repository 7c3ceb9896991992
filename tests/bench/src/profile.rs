//! Where the instructions go: by the file that they were written in, inlined or not, and by the function that they ran
//! in.

use std::collections::HashMap;

use crate::drive;
use crate::row::Row;

/// Entries below this part of the whole are left out.
const WORTH_A_LINE: f64 = 0.01;

/// The parts that files belong to if they are not foster's, and the columns of the table of several cases.
const MALLOC: &str = "malloc, free";
const SHARED: &str = "locks, atomics, counts";
const CLOCK: &str = "clock";
const PANICS: &str = "panics";
const HOST: &str = "host";
const STD: &str = "inlined from std";
const FOSTER: &str = "foster";
const OTHERS: &str = "the rest";
const COLUMNS: [&str; 8] = [MALLOC, SHARED, CLOCK, PANICS, HOST, STD, FOSTER, OTHERS];

/// Prints both tables of a case, or a line for each of several; in instructions for one operation.
///
/// # Errors
///
/// There is no such case, or it failed.
pub fn print(rows: &[Row], cases: &[&str]) -> Result<(), String> {
    if let [case] = cases {
        return one(rows, case);
    }
    println!("| case | all | {} |\n|---|--:|{}", COLUMNS.join(" | "), "--:|".repeat(COLUMNS.len()));
    for case in cases {
        let (operations, counts) = count(rows, case)?;
        let mut parts: HashMap<&str, u64> = HashMap::new();
        for (file, count) in counts.files {
            let part = if is_foster(&file).is_some() { FOSTER } else { part(&file) };
            let column = COLUMNS.into_iter().find(|column| *column == part).unwrap_or(OTHERS);
            *parts.entry(column).or_default() += count;
        }
        let total = parts.values().sum::<u64>() as f64;
        print!("| {case} | {:.0} |", total / operations);
        for column in COLUMNS {
            match parts.get(column).map_or(0.0, |count| *count as f64) {
                little if little < total * WORTH_A_LINE => print!(" |"),
                count => print!(" {:.0} |", count / operations),
            }
        }
        println!();
    }
    Ok(())
}

fn count(rows: &[Row], case: &str) -> Result<(f64, Counts), String> {
    let row = rows.iter().find(|row| row.names().any(|name| name == case));
    let row = row.ok_or_else(|| format!("there is no case {case}; `list` has them all"))?;
    Ok((row.operations(), Counts::of(&drive::callgrind(case)?)))
}

fn one(rows: &[Row], case: &str) -> Result<(), String> {
    let (operations, Counts { files, functions }) = count(rows, case)?;
    let mut parts: HashMap<String, u64> = HashMap::new();
    for (file, count) in files {
        let part = is_foster(&file).map_or_else(|| part(&file).to_owned(), |file| format!("`{file}`"));
        *parts.entry(part).or_default() += count;
    }
    for (title, counts) in [("written in", parts), ("ran in", functions)] {
        let total: u64 = counts.values().sum();
        println!("| {title} | instructions |\n|---|--:|");
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        for (name, count) in counts.iter().filter(|(_, count)| *count as f64 >= total as f64 * WORTH_A_LINE) {
            println!("| {name} | {:.0} |", *count as f64 / operations);
        }
        println!("| all | {:.0} |\n", total as f64 / operations);
    }
    Ok(())
}

/// The file's name, if it is one of foster's own.
fn is_foster(file: &str) -> Option<&str> {
    let crates = [
        ("core/", "src/"),
        ("core/", "cell/src/"),
        ("core/", "channel/src/"),
        ("core/", "fs/src/"),
        ("core/", "kit/src/"),
        ("core/", "net/src/"),
        ("core/", "process/src/"),
        ("adapters/", "hyper/src/"),
    ];
    let of = |(above, of): &(&str, &str)| file.rfind(&format!("{above}{of}")).map(|at| &file[at + above.len()..]);
    crates.iter().find_map(of).filter(|_| !file.contains("/library/"))
}

/// Returns the part that a file belongs to if it is not one of foster's.
fn part(file: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| file.contains(word));
    if has(&["malloc", "alloc/src/alloc.rs", "std/src/alloc.rs", "unix/alloc.rs"]) {
        MALLOC
    } else if has(&["core/src/sync/", "std/src/sys/sync/", "std/src/sync/", "alloc/src/sync.rs"]) {
        SHARED
    } else if has(&["/time.rs", "time/", "clock_gettime"]) && has(&["/library/", "vdso", "clock"]) {
        CLOCK
    } else if has(&["panicking.rs", "panic.rs"]) {
        PANICS
    } else if has(&["memmove", "memcpy", "memset"]) {
        "copies"
    } else if has(&["/library/"]) {
        STD
    } else if has(&["adapters/"]) {
        "the adapter"
    } else if has(&["/tokio-", "/async-", "/smol-", "/blocking-", "/polling-", "/mio-", "/slab-", "/concurrent-queue-"])
    {
        HOST
    } else if has(&["bench/src/"]) {
        "the benchmark"
    } else {
        OTHERS
    }
}

/// The counts of callgrind, by name.
#[derive(Default)]
struct Counts {
    files: HashMap<String, u64>,
    functions: HashMap<String, u64>,
}

impl Counts {
    /// Reads callgrind's format: names are written out once, and have numbers from then on; a line of costs ends with
    /// their number; the one after `calls=` is what was called, and counted there.
    fn of(dump: &str) -> Self {
        let mut counts = Counts::default();
        let (mut files, mut functions) = (Names::default(), Names::default());
        let mut of_a_call = false;
        for line in dump.lines() {
            match line.split_once('=') {
                Some(("fl" | "fi" | "fe", name)) => files.at(name),
                Some(("fn", name)) => functions.at(name),
                Some(("cfi" | "cfl", name)) => drop(files.known(name)),
                Some(("cfn", name)) => drop(functions.known(name)),
                Some(("calls", _)) => of_a_call = true,
                _ if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) => {
                    let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
                    if !std::mem::take(&mut of_a_call) {
                        *counts.files.entry(files.here.clone()).or_default() += count.unwrap_or(0);
                        *counts.functions.entry(functions.here.clone()).or_default() += count.unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        counts
    }
}

/// Names that are written out once.
#[derive(Default)]
struct Names {
    known: HashMap<String, String>,
    here: String,
}

impl Names {
    /// `(7) the name`, or `(7)` from then on.
    fn known(&mut self, text: &str) -> String {
        match text.split_once(' ') {
            Some((number, name)) => {
                // Without the hash of the mangled name.
                let name = name.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16).map_or(name, |(name, _)| name);
                self.known.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
            None => self.known.get(text).cloned().unwrap_or_else(|| text.to_owned()),
        }
    }

    fn at(&mut self, text: &str) {
        self.here = self.known(text);
    }
}
