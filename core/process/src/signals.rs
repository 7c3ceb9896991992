//! Signals to this process, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foster_core::leaf::{Gate, operation};
use futures_core::Stream;

use crate::contract::{SignalSource, processes};
use crate::signal_kind::SignalKind;

/// Listens for signals to this process: any number of kinds, and of streams for each.
///
/// As long as there is a stream for a signal, that does nothing else, but to call a handler that was there before. When
/// the last stream is dropped, the signal does what it did before the first: by default, most end the process. One that
/// has come and that no stream has read does so then, so it is not lost; a handler that was there before has heard it
/// already. If there are other streams when it would be lost, which were all made after it had come, it goes to them.
///
/// | host | what it did before |
/// |---|---|
/// | Linux, Android | is known, and restored: the default, being ignored, or a handler |
/// | other Unix | counts as the default: after the last stream is gone, a signal that was ignored before, as `SIGHUP` is under `nohup`, or that has another handler, ends the process, if that is its default |
/// | all, for signals without a name, such as real-time signals | counts as being ignored |
///
/// All adapters have this from one implementation, so it is the same on smol and tokio. `tokio::signal` beside it hears
/// the same signals as long as both do. That never restores anything itself. If it was there first, it is a handler
/// that was there before. If it comes second, the default is done when the last stream of this is gone. The `signals` of
/// an adapter, for `foster::app`, are another matter: from their call on, `SIGINT` and `SIGTERM` do not end the process,
/// whatever streams there are or were.
///
/// For a program that only has to stop at a signal, `foster::app` is simpler; it hears ctrl-C on Windows, too, which
/// has no signals, and so not this function.
///
/// # Errors
///
/// * [`InvalidInput`](io::ErrorKind::InvalidInput): `SIGKILL`, `SIGSTOP`, `SIGILL`, `SIGFPE` and `SIGSEGV` cannot be
///   handled.
/// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no signals.
/// * Other errors of the host, such as that there is no such signal.
///
/// # Examples
///
/// ```
/// # foster_smol::run(async {
/// use foster_process::{SignalKind, signals};
///
/// let mut reloads = signals([SignalKind::HANGUP, SignalKind::USER_DEFINED_1])?;
/// # let me = std::process::id().to_string();
/// # foster_process::Command::new("kill").args(["-HUP", &me]).run().await?;
/// assert_eq!(reloads.recv().await?, SignalKind::HANGUP);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn signals(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Signals> {
    let kinds: Vec<_> = kinds.into_iter().collect();
    Ok(Signals { source: processes()?.signals(&kinds)? })
}

/// Stream of [`signals`]. It never ends. Several signals of a kind that come before it is read are one; those of
/// different kinds are read in turn.
#[must_use = "streams do nothing unless polled"]
pub struct Signals {
    source: Box<dyn SignalSource>,
}

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Cancellation
    ///
    /// *Strict*: a signal that was not returned is there for the next call; when the stream is dropped it is not lost
    /// either, see [`signals`].
    ///
    /// # Errors
    ///
    /// As the host says.
    pub async fn recv(&mut self) -> io::Result<SignalKind> {
        operation("wait for a signal", poll_fn(|cx| self.source.poll_next(cx))).await
    }
}

impl Stream for Signals {
    type Item = io::Result<SignalKind>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<SignalKind>>> {
        ready!(Gate::poll_once("wait for a signal", cx));
        self.source.poll_next(cx).map(Some)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.source).finish()
    }
}
