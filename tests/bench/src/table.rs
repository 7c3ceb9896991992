//! The rows as a Markdown table.

use std::collections::HashMap;

use crate::drive::{self, Nanos};
use crate::meter::Reading;
use crate::row::{Bar, INSTR_SLACK, Row};

/// The measurements of one contender, each per operation.
#[derive(Clone, Copy, Default)]
struct Figures {
    instr: Option<f64>,
    nanos: Option<Nanos>,
    allocs: f64,
    bytes: f64,
}

struct Options<'a> {
    binary: &'a str,
    times: bool,
    filters: Vec<&'a str>,
}

/// Measures the rows whose names contain one of the words in `options`, or all of them, and prints the table. With
/// `--time` it also times them, with `--mimalloc` it times them with that allocator.
///
/// # Errors
///
/// A case failed, or valgrind is not installed.
pub fn print(rows: &[Row], options: &[&str]) -> Result<(), String> {
    let binary = if options.contains(&"--mimalloc") { "mimalloc" } else { "foster-bench" };
    let times = options.iter().any(|option| ["--time", "--mimalloc"].contains(option));
    let filters = options.iter().copied().filter(|option| !option.starts_with("--")).collect();
    let options = Options { binary, times, filters };
    println!(
        "| work | host | who | instructions | of the first peer | allocations | bytes | {}bar | met |",
        head(times)
    );
    println!("|---|---|---|--:|--:|--:|--:|{}---|---|", if times { "--:|--:|" } else { "" });
    for row in rows {
        if options.filters.is_empty() || options.filters.iter().any(|word| row.key.contains(word)) {
            print_row(row, &options)?;
        }
    }
    Ok(())
}

fn head(times: bool) -> &'static str {
    if times { "ns of the processor (least – most) | of the first peer | " } else { "" }
}

fn print_row(row: &Row, options: &Options<'_>) -> Result<(), String> {
    let times = if options.times { drive::paired(options.binary, row)? } else { Vec::new() };
    let mut all = Vec::new();
    for (index, contender) in row.contenders().enumerate() {
        let name = row.case(contender);
        let each = |total: u64| total as f64 / row.operations();
        let Reading { allocations, bytes, live, size, .. } = drive::reading("counted", &name)?;
        let instr = if !row.counted || size > 0 { None } else { Some(each(drive::instructions(&name)?)) };
        let bytes = match (size, live) {
            (0, 0) => each(bytes),
            (0, live) => each(live),
            (size, _) => size as f64,
        };
        let nanos = if size > 0 { None } else { times.get(index).copied() };
        all.push((contender.name, Figures { instr, nanos, allocs: each(allocations), bytes }));
    }
    if row.bare.is_some() {
        let bare = all.pop().unwrap_or_default().1;
        all.iter_mut().for_each(|(_, figures)| figures.take_off(bare));
    }
    let peer = all.get(1).map(|(_, figures)| *figures);
    let mut key = row.key.splitn(2, '/').skip(1);
    let host = key.next().unwrap_or("");
    for (name, figures) in &all {
        let first = *name == "foster";
        let ratio = |of: fn(&Figures) -> Option<f64>| match (of(figures), peer.as_ref().and_then(of)) {
            (Some(own), Some(peer)) => format!("{:.2}", own / peer),
            _ => String::new(),
        };
        let time = match figures.nanos {
            Some(Nanos { least, median, most }) if options.times => {
                let of = if row.by_cpu { "" } else { " by the clock" };
                format!("{median:.1} ({least:.1} – {most:.1}){of} | {} | ", ratio(Figures::median))
            }
            _ if options.times => " | | ".to_owned(),
            _ => String::new(),
        };
        let instr = figures.instr.map_or_else(String::new, |instr| format!("{instr:.0}"));
        let (bars, met) = if first { verdict(row, figures, peer.as_ref()) } else { <(String, String)>::default() };
        println!(
            "| {} | {} | {name} | {instr} | {} | {:.2} | {:.0} | {time}{bars} | {met} |",
            if first { row.what } else { "" },
            if first { host } else { "" },
            ratio(|figures| figures.instr),
            figures.allocs,
            figures.bytes,
        );
    }
    Ok(())
}

impl Figures {
    fn median(&self) -> Option<f64> {
        self.nanos.map(|nanos| nanos.median)
    }

    fn take_off(&mut self, bare: Figures) {
        self.instr = self.instr.map(|own| own - bare.instr.unwrap_or_default());
        if let (Some(own), Some(Nanos { median, .. })) = (&mut self.nanos, bare.nanos) {
            own.least -= median;
            own.median -= median;
            own.most -= median;
        }
        self.allocs -= bare.allocs;
        self.bytes -= bare.bytes;
    }
}

/// The bars in words, and whether foster reached those that this run can tell.
fn verdict(row: &Row, own: &Figures, peer: Option<&Figures>) -> (String, String) {
    let mut words = Vec::new();
    let mut results = HashMap::new();
    for bar in &row.bars {
        let (word, result) = match *bar {
            Bar::Ratio(most) => {
                let ratio = |of: fn(&Figures) -> Option<f64>| Some(of(own)? / peer.and_then(of)?);
                let is_met = |of, most| ratio(of).map(|is| is <= most);
                let checks = [is_met(Figures::median, most), is_met(|figures| figures.instr, most * INSTR_SLACK)];
                let result = checks.into_iter().flatten().reduce(|one, other| one && other);
                (format!("{most} × {}", row.peers.first().map_or("peer", |peer| peer.name)), result)
            }
            Bar::Allocs(most) => (format!("{most} alloc"), Some(own.allocs <= most + 0.05)),
            Bar::Bytes(most) => (format!("{most} B"), Some(own.bytes <= most)),
        };
        results.extend(result.map(|is| (word.clone(), is)));
        words.push(word);
    }
    let missed: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| results.get(*word) == Some(&false)).collect();
    let met = match (results.is_empty(), missed.is_empty()) {
        (true, _) => "–".to_owned(),
        (false, true) => "yes".to_owned(),
        (false, false) if missed.len() == words.len() => "**no**".to_owned(),
        (false, false) => format!("**no**: {}", missed.join(", ")),
    };
    (words.join(", "), met)
}
