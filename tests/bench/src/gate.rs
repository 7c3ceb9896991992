//! The gate of CI: instructions of some rows, compared with a file of their former counts.

use std::fs;
use std::process::Command;

use crate::drive;
use crate::row::{Contender, Row};

/// A regression, as a part of the former count.
const MOST: f64 = 0.05;

fn gated(rows: &[Row]) -> impl Iterator<Item = (&Row, &Contender)> {
    rows.iter().filter(|row| row.gated).filter_map(|row| Some((row, row.foster.as_ref()?)))
}

fn count(row: &Row, contender: &Contender) -> Result<f64, String> {
    Ok(drive::instructions(&row.case(contender))? as f64 / row.operations())
}

/// Compares with the counts in the file `path`.
///
/// # Errors
///
/// Names the rows that need more than 5 % more than they did; or says what went wrong.
pub fn check(rows: &[Row], path: &str) -> Result<(), String> {
    let baseline = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut worse = Vec::new();
    for (row, contender) in gated(rows) {
        let name = row.case(contender);
        let was = baseline.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<f64>().ok());
        let was = was.ok_or_else(|| format!("{path} has no figure for {name}; write it anew with `baseline`"))?;
        let is = count(row, contender)?;
        println!("{name:40} {was:8.0} {is:8.0} {:+6.1} %", (is / was - 1.0) * 100.0);
        if is > was * (1.0 + MOST) {
            worse.push(name);
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions than in {path}, by over {:.0} %: {}. If that is meant, write the file anew and say why in the commit",
        MOST * 100.0,
        worse.join(", ")
    ))
}

/// Writes the counts as they are now.
///
/// # Errors
///
/// The failure of a case, or of writing the file.
pub fn write(rows: &[Row], path: &str) -> Result<(), String> {
    let mut text = format!(
        "# Instructions per operation. Written by `tests/bench/run baseline`, compared by .ci/run.\n# compiler: {}\n",
        compiler()?
    );
    for (row, contender) in gated(rows) {
        text += &format!("{:40} {:8.0}\n", row.case(contender), count(row, contender)?);
    }
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

/// The compiler that is in use here: the one that has built this.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
