//! Where the instructions of one case go: by the file that they were written in, inlined or not, and by the function that they ran in.

use std::collections::HashMap;

use crate::drive;
use crate::row::Row;

/// What is below this part of the whole is left out.
const WORTH_A_LINE: f64 = 0.01;

/// Prints both tables, in instructions for one operation.
///
/// # Errors
///
/// What went wrong, if there is no such case, or it failed.
pub fn print(rows: &[Row], case: &str) -> Result<(), String> {
    let row = rows.iter().find(|row| row.names().any(|name| name == case));
    let row = row.ok_or_else(|| format!("there is no case {case}; `list` has them all"))?;
    let Counts { files, functions } = Counts::of(&drive::callgrind(case)?);
    let mut parts: HashMap<String, u64> = HashMap::new();
    for (file, count) in files {
        *parts.entry(part(&file)).or_default() += count;
    }
    for (title, counts) in [("written in", parts), ("ran in", functions)] {
        let total: u64 = counts.values().sum();
        println!("| {title} | instructions |\n|---|--:|");
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        for (name, count) in counts.iter().filter(|(_, count)| *count as f64 >= total as f64 * WORTH_A_LINE) {
            println!("| {name} | {:.0} |", *count as f64 / row.operations());
        }
        println!("| all | {:.0} |\n", total as f64 / row.operations());
    }
    Ok(())
}

/// What a file belongs to.
fn part(file: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| file.contains(word));
    if let Some((_, file)) = file.rsplit_once("core/src/").filter(|_| !file.contains("/library/")) {
        return format!("`{file}`");
    }
    let part = if has(&["malloc", "alloc/src/alloc.rs", "std/src/alloc.rs", "unix/alloc.rs"]) {
        "malloc and free"
    } else if has(&["core/src/sync/", "std/src/sys/sync/", "std/src/sync/", "alloc/src/sync.rs"]) {
        "locks, atomic operations, counted references"
    } else if has(&["/time.rs", "time/", "clock_gettime"]) && has(&["/library/", "vdso", "clock"]) {
        "the clock"
    } else if has(&["panicking.rs", "panic.rs"]) {
        "catching panics"
    } else if has(&["memmove", "memcpy", "memset"]) {
        "copies"
    } else if has(&["/library/"]) {
        "the rest of the standard library"
    } else if has(&["adapters/"]) {
        "the adapter"
    } else if has(&["/tokio-", "/async-", "/smol-", "/blocking-", "/polling-", "/mio-", "/slab-", "/concurrent-queue-"])
    {
        "the host and its crates"
    } else if has(&["bench/src/"]) {
        "the benchmark"
    } else {
        "other"
    };
    part.to_owned()
}

/// What callgrind has counted, by name.
#[derive(Default)]
struct Counts {
    files: HashMap<String, u64>,
    functions: HashMap<String, u64>,
}

impl Counts {
    /// Reads callgrind's format: names are written out once, and have numbers from then on; a line of costs ends with their number;
    /// the one after `calls=` is what was called, and counted there.
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
