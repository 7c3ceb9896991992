//! The signals that ask a process to stop, on async-io's reactor.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_signal::Signal as Host;
use foster::app::Signal;
use futures_core::Stream;

/// The signals of this process: SIGINT and SIGTERM, on Windows ctrl-C alone. For [`foster::app`](foster::app::app()).
///
/// From this call on they do not end the process any more; also not when the stream is dropped, or the last
/// one that `foster_process::signals` has made for them.
///
/// # Errors
///
/// The host refuses to listen.
///
/// # Examples
///
/// ```no_run
/// use foster::app::ExitReport;
///
/// async fn serve() { /* … */ }
///
/// fn main() -> std::io::Result<ExitReport<()>> {
///     foster_smol::run(async { Ok(foster::app::app(foster_smol::signals()?, serve()).await) })
/// }
/// ```
pub fn signals() -> io::Result<Signals> {
    #[cfg(unix)]
    let wanted = [Host::Int, Host::Term];
    #[cfg(not(unix))]
    let wanted = [Host::Int];
    #[cfg(all(unix, feature = "process"))]
    let keep = crate::process::keep_from_default();
    let signals = async_signal::Signals::new(wanted)?;
    #[cfg(all(unix, feature = "process"))]
    keep.installed()?;
    Ok(Signals { signals, came: VecDeque::new() })
}

/// Stream of [`signals`]. Signals of one sort that come before the first is read are one.
///
/// If the source fails, that is a signal of its own: a program that cannot be asked to stop any more stops.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Signals {
    signals: async_signal::Signals,
    /// Those that have come and were not read, in their order; one of each sort.
    came: VecDeque<Signal>,
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        // The pipe of the handler has each of them: all are taken out, so that those of one sort are one.
        while let Poll::Ready(next) = Pin::new(&mut self.signals).poll_next(cx) {
            let Some(next) = next else { return Poll::Ready(self.came.pop_front()) };
            let has_failed = next.is_err();
            let signal = match next {
                Ok(Host::Int) => Signal::INTERRUPT,
                #[cfg(unix)]
                Ok(Host::Term) => Signal::TERMINATE,
                #[allow(unreachable_patterns, reason = "no others were asked for")]
                Ok(other) => Signal::named(format!("{other:?}")),
                Err(error) => Signal::named(format!("a failure of the source of signals: {error}")),
            };
            if !self.came.contains(&signal) {
                self.came.push_back(signal);
            }
            if has_failed {
                // It may do so each time.
                break;
            }
        }
        self.came.pop_front().map_or(Poll::Pending, |signal| Poll::Ready(Some(signal)))
    }
}
