//! One process for each case: under callgrind, with a counting allocator, or timed in pairs.

use std::fs;
use std::process::Command;

use crate::meter::Reading;
use crate::row::Row;

/// Rounds of a paired measurement.
const ROUNDS: usize = 5;

/// Instructions between the marks, on all threads.
///
/// # Errors
///
/// The failure of valgrind, or of the case.
pub fn instructions(name: &str) -> Result<u64, String> {
    let counted = callgrind(name)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| format!("{name}: callgrind has no total"))
}

/// Returns the report of callgrind on the code between the marks.
///
/// # Errors
///
/// The failure of valgrind, or of the case.
pub fn callgrind(name: &str) -> Result<String, String> {
    let file = std::env::temp_dir().join(format!("foster-bench.{}", std::process::id()));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--zero-before=*meter::first_mark*", "--dump-before=*meter::last_mark*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["case", name]);
    let output = valgrind.output().map_err(|error| format!("valgrind: {error}"))?;
    let counted = fs::read_to_string(file.with_extension(format!("{}.1", std::process::id())));
    for n in ["", ".1", ".2"] {
        drop(fs::remove_file(format!("{}{n}", file.display())));
    }
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    counted.map_err(|error| format!("{name}: callgrind wrote nothing: {error}"))
}

/// Returns the reading that the case takes of itself, run by the binary of that name beside this one.
///
/// # Errors
///
/// The failure of the case.
pub fn reading(binary: &str, name: &str) -> Result<Reading, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(binary);
    let output = Command::new(&program).args(["case", name]).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8_lossy(&output.stdout).trim().parse()
}

/// Nanoseconds of an operation: the median of some rounds, and their range.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nanos {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

/// Times all contenders of a row, in rounds, forwards and backwards in turn.
///
/// # Errors
///
/// The failure of a case.
pub fn paired(binary: &str, row: &Row) -> Result<Vec<Nanos>, String> {
    let names: Vec<String> = row.names().collect();
    let mut rounds = vec![Vec::new(); names.len()];
    for round in 0..ROUNDS {
        for step in 0..names.len() {
            let index = if round % 2 == 0 { step } else { names.len() - 1 - step };
            let reading = reading(binary, &names[index])?;
            let time = if row.by_cpu { reading.cpu } else { reading.time };
            rounds[index].push(time.as_nanos() as f64 / row.operations());
        }
    }
    let sorted = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        Nanos { least: times[0], median: times[ROUNDS / 2], most: times[ROUNDS - 1] }
    };
    Ok(rounds.into_iter().map(sorted).collect())
}
