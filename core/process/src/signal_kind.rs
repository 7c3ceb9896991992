//! The kinds of signals.

use std::fmt;

/// A kind of signal: to a child, with [`Child::signal`](crate::Child::signal), or, on Unix, to this process, with
/// `signals`.
///
/// Windows has no signals. Of a child there, [`TERMINATE`](SignalKind::TERMINATE) and [`KILL`](SignalKind::KILL) are
/// both a kill, and the others are for scripted programs.
///
/// # Examples
///
/// ```
/// use foster_process::SignalKind;
///
/// assert_eq!(SignalKind::TERMINATE.to_string(), "SIGTERM");
/// assert_eq!(SignalKind::TERMINATE.as_raw(), 15);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKind(i32);

impl SignalKind {
    /// `SIGHUP`: the terminal has gone; to many daemons, to read their configuration again.
    pub const HANGUP: SignalKind = SignalKind(1);
    /// `SIGINT`: ctrl-C.
    pub const INTERRUPT: SignalKind = SignalKind(2);
    /// `SIGQUIT`: ctrl-\; ends a process with a core dump.
    pub const QUIT: SignalKind = SignalKind(3);
    /// `SIGKILL`: ends a process at once. It cannot be handled.
    pub const KILL: SignalKind = SignalKind(9);
    /// `SIGALRM`.
    pub const ALARM: SignalKind = SignalKind(14);
    /// `SIGTERM`: asks a process to end.
    pub const TERMINATE: SignalKind = SignalKind(15);

    /// Returns the kind with this number of the host.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        SignalKind(number)
    }

    /// Returns its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

#[cfg(unix)]
impl SignalKind {
    /// `SIGUSR1`.
    pub const USER_DEFINED_1: SignalKind = SignalKind(rustix::process::Signal::USR1.as_raw());
    /// `SIGUSR2`.
    pub const USER_DEFINED_2: SignalKind = SignalKind(rustix::process::Signal::USR2.as_raw());
    /// `SIGCHLD`: a child has exited or stopped.
    pub const CHILD: SignalKind = SignalKind(rustix::process::Signal::CHILD.as_raw());
    /// `SIGCONT`: goes on.
    pub const CONTINUE: SignalKind = SignalKind(rustix::process::Signal::CONT.as_raw());
    /// `SIGSTOP`: pauses a process. It cannot be handled.
    pub const STOP: SignalKind = SignalKind(rustix::process::Signal::STOP.as_raw());
    /// `SIGPIPE`: it was written into a pipe that nobody reads.
    pub const PIPE: SignalKind = SignalKind(rustix::process::Signal::PIPE.as_raw());
    /// `SIGWINCH`: the window of the terminal has another size.
    pub const WINDOW_CHANGE: SignalKind = SignalKind(rustix::process::Signal::WINCH.as_raw());
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(unix)]
fn name(number: i32) -> Option<&'static str> {
    signal_hook::low_level::signal_name(number)
}

#[cfg(not(unix))]
fn name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        9 => "SIGKILL",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}
