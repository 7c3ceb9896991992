//! The signals that ask a process to stop, on the runtime's signal driver.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use foster::app::Signal;
use futures_core::Stream;

/// The signals of this process: SIGINT and SIGTERM, on Windows ctrl-C and ctrl-break. For
/// [`foster::app`](foster::app::app()).
///
/// From this call on they do not end the process any more; also not when the stream is dropped, or the last
/// one that `foster_process::signals` has made for them. If there is such a stream, a signal that comes in the midst of this
/// call, and that it has not read, may be heard twice; no other is.
///
/// # Errors
///
/// The host refuses to listen.
///
/// # Panics
///
/// Outside of a tokio runtime, or in one without an I/O driver.
///
/// # Examples
///
/// ```no_run
/// use foster::app::ExitReport;
///
/// async fn serve() { /* … */ }
///
/// fn main() -> std::io::Result<ExitReport<()>> {
///     foster_tokio::run(async { Ok(foster::app::app(foster_tokio::signals()?, serve()).await) })
/// }
/// ```
#[track_caller]
pub fn signals() -> io::Result<Signals> {
    #[cfg(all(unix, feature = "process"))]
    let keep = crate::process::keep_from_default();
    let signals = Signals { interrupt: host::interrupt()?, terminate: host::terminate()? };
    #[cfg(all(unix, feature = "process"))]
    keep.installed()?;
    Ok(signals)
}

/// Stream of [`signals`]. Signals of one sort that come before the first is read are one.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Signals {
    interrupt: host::Interrupt,
    terminate: host::Terminate,
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        // Each is polled until it is pending, and has the waker; one that ends, which none does, is as good as silent.
        if let Poll::Ready(Some(())) = self.interrupt.poll_recv(cx) {
            return Poll::Ready(Some(Signal::INTERRUPT));
        }
        match self.terminate.poll_recv(cx) {
            Poll::Ready(Some(())) => Poll::Ready(Some(Signal::TERMINATE)),
            _ => Poll::Pending,
        }
    }
}

#[cfg(unix)]
mod host {
    use std::io;
    use tokio::signal::unix::{SignalKind, signal};

    pub(super) use tokio::signal::unix::{Signal as Interrupt, Signal as Terminate};

    #[track_caller]
    pub(super) fn interrupt() -> io::Result<Interrupt> {
        signal(SignalKind::interrupt())
    }

    #[track_caller]
    pub(super) fn terminate() -> io::Result<Terminate> {
        signal(SignalKind::terminate())
    }
}

#[cfg(windows)]
mod host {
    use std::io;
    use tokio::signal::windows::{ctrl_break, ctrl_c};

    pub(super) use tokio::signal::windows::{CtrlBreak as Terminate, CtrlC as Interrupt};

    pub(super) fn interrupt() -> io::Result<Interrupt> {
        ctrl_c()
    }

    pub(super) fn terminate() -> io::Result<Terminate> {
        ctrl_break()
    }
}
