//! The costs of foster, beside its peers: the same work, in the same run, with a result that is checked.
//!
//! | module | it has |
//! |---|---|
//! | [`meter`] | what is measured, and between which marks |
//! | [`host`] | the runtimes, with foster and without |
//! | [`row`] | a line of the table: one piece of work, several contenders, a bar |
//! | `work` | the pieces of work themselves |
//! | [`drive`] | one process for each case, under callgrind, counted, or timed in pairs |
//! | [`table`] | the lines as Markdown |
//! | [`profile`] | where the instructions go |
//! | [`gate`] | the counts compared with those of the baseline |
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "peers"), allow(unused_variables, reason = "rows have no peers then"))]

pub mod drive;
pub mod gate;
pub mod host;
pub mod meter;
pub mod profile;
pub mod row;
pub mod table;
mod work;

use std::process::ExitCode;

/// The `main` of every binary of this package; they differ in their allocators.
///
/// `heap` says how many allocations were made so far, how many bytes in them, and how many bytes are in use.
pub fn main(heap: fn() -> meter::Heap) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rows = work::rows();
    let done = match words[..] {
        ["case", name] => row::run(&rows, name, heap),
        ["list"] => {
            rows.iter().flat_map(row::Row::names).for_each(|name| println!("{name}"));
            Ok(())
        }
        // The other side of the rows about TCP.
        ["client", address, n] => match (address.parse(), n.parse()) {
            (Ok(address), Ok(n)) => work::echo::client(address, n).map_err(|error| error.to_string()),
            _ => Err("foster-bench client <address> <messages>".into()),
        },
        #[cfg(feature = "peers")]
        ["http-client", address, n] => match (address.parse(), n.parse()) {
            (Ok(address), Ok(n)) => work::http::client(address, n).map_err(|error| error.to_string()),
            _ => Err("foster-bench http-client <address> <requests>".into()),
        },
        ["table", ref options @ ..] => table::print(&rows, options),
        ["profile", ref cases @ ..] if !cases.is_empty() => profile::print(&rows, cases),
        ["gate", path] => gate::check(&rows, path),
        ["baseline", path] => gate::write(&rows, path),
        _ => Err("foster-bench: list | case <name> | table [--time] [filter] | profile <case …> | gate <file> | baseline <file>".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
