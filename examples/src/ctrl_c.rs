//! Ctrl-C, as each runtime reports it.

use std::future;
use std::io;

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;

use crate::Adapter;

/// Reports each press of ctrl-C, on Unix each SIGINT, instead of the end of the process.
///
/// The process listens from the first [`pressed`](CtrlC::pressed) on. It does not go back to the default when this is
/// dropped: what comes while nobody listens is ignored.
#[derive(Debug)]
pub struct CtrlC {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The crate of the smol family. It listens on the reactor of async-io.
    Smol(Option<Signals>),
    Tokio,
    /// A simulation has no terminal.
    Sim,
}

impl CtrlC {
    /// Ctrl-C for a program that runs on this adapter.
    #[must_use]
    pub fn on(adapter: Adapter) -> Self {
        CtrlC {
            source: match adapter {
                Adapter::Smol => Source::Smol(None),
                Adapter::Tokio | Adapter::TokioCurrentThread => Source::Tokio,
                Adapter::Sim => Source::Sim,
            },
        }
    }

    /// Waits until ctrl-C is pressed.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// The process cannot listen for it.
    pub async fn pressed(&mut self) -> io::Result<()> {
        match &mut self.source {
            Source::Smol(signals) => {
                let signals = match signals {
                    Some(signals) => signals,
                    none => none.insert(Signals::new([Signal::Int])?),
                };
                match signals.next().await {
                    Some(signal) => signal.map(drop),
                    None => future::pending().await,
                }
            }
            Source::Tokio => tokio::signal::ctrl_c().await,
            Source::Sim => future::pending().await,
        }
    }
}
