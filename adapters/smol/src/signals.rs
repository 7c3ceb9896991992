//! The signals that ask a process to stop, on async-io's reactor.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
    Ok(Signals { signals })
}

/// Stream of [`signals`]. Signals of one sort that come before the first is read are one.
///
/// If the source fails, that is a signal of its own: a program that cannot be asked to stop any more stops.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Signals {
    signals: async_signal::Signals,
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        let next = ready!(Pin::new(&mut self.signals).poll_next(cx));
        Poll::Ready(next.map(|signal| match signal {
            Ok(Host::Int) => Signal::INTERRUPT,
            #[cfg(unix)]
            Ok(Host::Term) => Signal::TERMINATE,
            #[allow(unreachable_patterns, reason = "no others were asked for")]
            Ok(other) => Signal::named(format!("{other:?}")),
            Err(error) => Signal::named(format!("a failure of the source of signals: {error}")),
        }))
    }
}
