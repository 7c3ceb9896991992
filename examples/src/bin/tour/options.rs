//! The options of the command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use foster_examples::Adapter;
use lexopt::{Error, Parser};

pub(crate) const HELP: &str = "\
Hashes every file below a directory, and prints a table of what it found.

Usage: tour [OPTIONS] DIRECTORY

  --deadline TIME    stop after that time, with what there is: 500ms, 30s, 1.5m, 2h (no limit)
  --runtime NAME     smol or tokio (smol)
  --limit N          read at most N files and directories at once (twice the number of processors)
  --tries N          try what cannot be read N times in all (3)
  --backoff TIME     wait that long before the second try, and twice as long before each further one (50ms)
  --summary          print only the last lines of the table
  --quiet            no progress on standard error
  --help             print this

Exit code:
    0  every file was hashed
    1  every file was tried, and some could not be read
    2  the command line is wrong
    3  the directory is missing, is no directory, or cannot be read
    4  the table cannot be written
  124  the deadline came first; the table has what was finished
  130  ctrl-C came first; the table has what was finished
";

/// The request of the user.
#[derive(Debug)]
pub(crate) enum Request {
    Tour(Options),
    Help,
}

/// The settings of a tour.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) directory: PathBuf,
    /// [`Duration::MAX`] for no limit.
    pub(crate) deadline: Duration,
    pub(crate) runtime: Adapter,
    pub(crate) limit: usize,
    pub(crate) tries: u32,
    pub(crate) backoff: Duration,
    pub(crate) summary: bool,
    pub(crate) quiet: bool,
}

pub(crate) fn parse(mut arguments: Parser) -> Result<Request, Error> {
    use lexopt::prelude::*;

    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut options = Options {
        directory: PathBuf::new(),
        deadline: Duration::MAX,
        runtime: Adapter::Smol,
        limit: 2 * processors,
        tries: 3,
        backoff: Duration::from_millis(50),
        summary: false,
        quiet: false,
    };
    let mut directory = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("deadline") => options.deadline = arguments.value()?.parse_with(duration)?,
            Long("runtime") => options.runtime = arguments.value()?.parse_with(runtime)?,
            Long("limit") => options.limit = arguments.value()?.parse_with(positive)?,
            Long("tries") => options.tries = arguments.value()?.parse_with(positive)?,
            Long("backoff") => options.backoff = arguments.value()?.parse_with(duration)?,
            Long("summary") => options.summary = true,
            Long("quiet") => options.quiet = true,
            Long("help") | Short('h') => return Ok(Request::Help),
            Value(path) if directory.is_none() => directory = Some(PathBuf::from(path)),
            other => return Err(other.unexpected()),
        }
    }
    options.directory = directory.ok_or("no directory is given")?;
    Ok(Request::Tour(options))
}

fn runtime(name: &str) -> Result<Adapter, String> {
    match name.parse() {
        Ok(Adapter::Sim) => Err("a simulation has no files and no ctrl-C: use smol or tokio".to_owned()),
        Ok(adapter) => Ok(adapter),
        Err(_) => Err(format!("there is no runtime `{name}`: use smol or tokio")),
    }
}

fn positive<N: TryFrom<u32>>(text: &str) -> Result<N, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.and_then(|number: u32| number.try_into().ok()).ok_or("expected a whole number from 1 on")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let expected = "expected a time such as 500ms, 30s, 1.5m or 2h";
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(expected)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected),
    };
    let number: f64 = number.parse().map_err(|_| expected)?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected)
}
