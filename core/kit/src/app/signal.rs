//! Signals: they ask a program to stop.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use foster_core::future::Sleep;
use foster_core::sleep;

/// A signal that asks a program to stop: its name, and its number where it has one.
///
/// # Examples
///
/// ```
/// use foster::app::Signal;
///
/// assert_eq!(Signal::INTERRUPT.name(), "SIGINT");
/// assert_eq!(Signal::TERMINATE.number(), Some(15));
/// assert_eq!(Signal::named("the service manager says stop").number(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signal {
    name: Cow<'static, str>,
    number: Option<u8>,
}

impl Signal {
    /// Ctrl-C at the terminal. The numbers are those of POSIX (`kill`, "signal number 2").
    pub const INTERRUPT: Signal = Signal { name: Cow::Borrowed("SIGINT"), number: Some(2) };

    /// The polite request of a service manager.
    pub const TERMINATE: Signal = Signal { name: Cow::Borrowed("SIGTERM"), number: Some(15) };

    /// A signal that no operating system knows.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Signal { name: name.into(), number: None }
    }

    /// A signal with a number of the operating system.
    #[must_use]
    pub fn numbered(name: impl Into<Cow<'static, str>>, number: u8) -> Self {
        Signal { name: name.into(), number: Some(number) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, where it has one.
    #[must_use]
    pub fn number(&self) -> Option<u8> {
        self.number
    }

    /// A source that yields one signal, `delay` after it is first polled: for tests, and for programs with a time
    /// limit. For several, any stream will do, such as the receiver of a channel.
    pub fn after(delay: Duration, signal: Signal) -> SignalAfter {
        SignalAfter { delay, sleep: None, signal: Some(signal) }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

pin_project! {
    /// Stream of [`Signal::after`].
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct SignalAfter {
        delay: Duration,
        #[pin]
        sleep: Option<Sleep>,
        signal: Option<Signal>,
    }
}

impl Stream for SignalAfter {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        let mut this = self.project();
        if this.signal.is_none() {
            return Poll::Ready(None);
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep(*this.delay)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(this.signal.take())
    }
}
