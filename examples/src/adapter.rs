//! The choice of the adapter, made when the program is run.
//!
//! A program of your own makes it once, in `main`: `foster_smol::run(program())` or `foster_tokio::run(program())`.

use std::fmt;
use std::process;
use std::str::FromStr;
use std::sync::Arc;

use foster::observer::Observer;
use foster_sim::Schedule;

/// An adapter that the examples know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// `foster-smol`
    Smol,
    /// `foster-tokio`, with its multi-thread runtime
    Tokio,
    /// `foster-tokio`, with its current-thread runtime
    TokioCurrentThread,
    /// `foster-sim`: virtual time, a schedule from a seed
    Sim,
}

impl Adapter {
    /// Runs a program to its end, and returns its output.
    pub fn run<F: Future>(self, program: F) -> F::Output {
        match self {
            Adapter::Smol => foster_smol::run(program),
            Adapter::Tokio => foster_tokio::run(program),
            Adapter::TokioCurrentThread => foster_tokio::Builder::new().current_thread().run(program),
            Adapter::Sim => foster_sim::Builder::new(schedule()).run(program),
        }
    }

    /// As [`run`](Adapter::run), with somebody who watches the tasks.
    pub fn run_observed<F: Future>(self, observer: Arc<dyn Observer>, program: F) -> F::Output {
        match self {
            Adapter::Smol => foster_smol::Builder::new().observer(observer).run(program),
            Adapter::Tokio => foster_tokio::Builder::new().observer(observer).run(program),
            Adapter::TokioCurrentThread => {
                foster_tokio::Builder::new().current_thread().observer(observer).run(program)
            }
            Adapter::Sim => foster_sim::Builder::new(schedule()).observer(observer).run(program),
        }
    }

    /// Returns the adapter that the command line names: `--runtime smol`, which is the default, `tokio`,
    /// `tokio-current-thread` or `sim`.
    ///
    /// Anything else on the command line ends the process with a message and exit code 2.
    #[must_use]
    pub fn chosen() -> Adapter {
        chosen().unwrap_or_else(|error| {
            eprintln!("{error}\n\nThe one option is --runtime smol|tokio|tokio-current-thread|sim");
            process::exit(2);
        })
    }
}

/// The schedule of a simulation: that of the environment, as in tests, or one that is as good as any other.
fn schedule() -> Schedule {
    match std::env::var("FOSTER_SEED") {
        Ok(given) => given.parse().unwrap_or_else(|error| {
            eprintln!("FOSTER_SEED: {error}");
            process::exit(2);
        }),
        Err(_) => Schedule::from(1),
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Adapter::Smol => "smol",
            Adapter::Tokio => "tokio",
            Adapter::TokioCurrentThread => "tokio-current-thread",
            Adapter::Sim => "sim",
        })
    }
}

impl FromStr for Adapter {
    type Err = UnknownAdapter;

    fn from_str(name: &str) -> Result<Self, UnknownAdapter> {
        match name {
            "smol" => Ok(Adapter::Smol),
            "tokio" => Ok(Adapter::Tokio),
            "tokio-current-thread" => Ok(Adapter::TokioCurrentThread),
            "sim" => Ok(Adapter::Sim),
            _ => Err(UnknownAdapter(name.to_owned())),
        }
    }
}

/// No adapter has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAdapter(String);

impl fmt::Display for UnknownAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no adapter `{}`: use smol, tokio, tokio-current-thread or sim", self.0)
    }
}

impl std::error::Error for UnknownAdapter {}

/// Runs a program on the adapter that the command line names; see [`Adapter::chosen`].
pub fn run<F: Future>(program: F) -> F::Output {
    run_with(|_| program)
}

/// As [`run`], for a program that has to know the adapter.
pub fn run_with<F: Future>(program: impl FnOnce(Adapter) -> F) -> F::Output {
    let adapter = Adapter::chosen();
    adapter.run(program(adapter))
}

fn chosen() -> Result<Adapter, lexopt::Error> {
    use lexopt::prelude::*;

    let mut adapter = Adapter::Smol;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("runtime") => adapter = arguments.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(adapter)
}
