//! The table, and what it says about the tour as a whole.

use std::io::{self, Write};
use std::path::Path;

use crate::journal::{Entry, Findings, Outcome};

/// How the tour ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Deadline,
    Interrupted,
}

/// A tour that is over. Two tours of the same files print the same.
#[derive(Debug)]
pub(crate) struct Report {
    findings: Findings,
    /// The names of the entries, in order.
    names: Vec<String>,
    end: End,
}

impl Report {
    pub(crate) fn new(root: &Path, mut findings: Findings, end: End) -> Self {
        findings.entries.sort_by(|a, b| a.path.cmp(&b.path));
        debug_assert!(
            end != End::Complete || findings.files_left + findings.directories_left == 0,
            "a tour is complete when nothing is left"
        );
        let names = findings.entries.iter().map(|entry| name(root, &entry.path)).collect();
        Report { findings, names, end }
    }

    fn count(&self, which: fn(&Outcome) -> bool) -> usize {
        self.findings.entries.iter().filter(|entry| which(&entry.outcome)).count()
    }

    fn unreadable(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Unreadable { .. }))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.end {
            End::Complete if self.unreadable() == 0 => 0,
            End::Complete => 1,
            End::Deadline => 124,
            End::Interrupted => crate::INTERRUPTED,
        }
    }

    pub(crate) fn print(&self, out: &mut impl Write, summary: bool) -> io::Result<()> {
        if !summary {
            writeln!(out, "{:64}  {:>12}  FILE", "SHA-256", "BYTES")?;
            for (Entry { outcome, .. }, name) in self.findings.entries.iter().zip(&self.names) {
                match outcome {
                    Outcome::Hashed(hashed) => writeln!(out, "{hashed}  {:>12}  {name}", hashed.bytes)?,
                    Outcome::Skipped => writeln!(out, "{:64}  {:>12}  {name}", "skipped: it is no file", "-")?,
                    Outcome::Unreadable { error, tries } => {
                        let what = format!("unreadable in {tries} tries");
                        writeln!(out, "{what:64}  {:>12}  {name}: {error}", "-")?;
                    }
                }
            }
            writeln!(out)?;
        }
        let hashed = self.count(|outcome| matches!(outcome, Outcome::Hashed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped));
        let bytes = self.findings.bytes;
        writeln!(out, "hashed: {hashed}, bytes: {bytes}, unreadable: {}, skipped: {skipped}", self.unreadable())?;
        match self.end {
            End::Complete => return writeln!(out, "complete"),
            End::Deadline => write!(out, "stopped at the deadline")?,
            End::Interrupted => write!(out, "stopped by ctrl-C")?,
        }
        let Findings { files_left, directories_left, .. } = self.findings;
        writeln!(out, "; files not hashed: {files_left}, directories not listed: {directories_left}")
    }
}

/// The path below the root, with nothing in it that a terminal would obey.
fn name(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let mut name = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() { name.extend(c.escape_default()) } else { name.push(c) }
    }
    if name.is_empty() { ".".to_owned() } else { name }
}
