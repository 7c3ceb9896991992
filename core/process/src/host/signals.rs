//! Signals to this process.
//!
//! The handler of `signal-hook` is installed at the first source of a signal, and stays: to take it out again is not
//! possible without unsafe code, and would disturb others who have installed theirs meanwhile. What the signal did
//! before is restored all the same:
//!
//! * A handler that was there before is called by ours, always.
//! * Where there was none, ours does what the default is, as long as there is no source of the signal.
//! * A signal that was ignored before is ignored then.
//!
//! What it was is read from `/proc` on Linux; elsewhere it counts as the default.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::flag;
use signal_hook::low_level::{pipe, raise, unregister};

use super::reactor::{Direction, Reactor, Watched};
use crate::contract::SignalSource;
use crate::signal_kind::SignalKind;

pub(super) struct HostSignals {
    /// Written to by the handler.
    watched: Box<dyn Watched>,
    registrations: Vec<Registration>,
}

/// A signal of a source.
struct Registration {
    kind: SignalKind,
    /// It has come, and was not taken.
    came: Arc<AtomicBool>,
    handlers: [SigId; 2],
}

/// What all sources of a signal share, from the first one on.
struct SignalState {
    sources: usize,
    /// There is no source: the default is done. None if it was ignored, or handled by somebody else, before.
    default: Option<Arc<AtomicBool>>,
}

static STATES: Mutex<Option<HashMap<SignalKind, SignalState>>> = Mutex::new(None);

fn states() -> MutexGuard<'static, Option<HashMap<SignalKind, SignalState>>> {
    STATES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostSignals {
    pub(super) fn listen(kinds: &[SignalKind], reactor: &impl Reactor) -> io::Result<Self> {
        if let Some(forbidden) = kinds.iter().find(|kind| FORBIDDEN.contains(&kind.as_raw())) {
            let message = format!("{forbidden} cannot be handled");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (ours, handlers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let watched = reactor.watch(ours.into(), Direction::Read)?;
        let mut signals = HostSignals { watched, registrations: Vec::new() };
        for kind in kinds {
            if !signals.registrations.iter().any(|registration| registration.kind == *kind) {
                // If one is refused, those before it are given up.
                signals.registrations.push(register(*kind, &handlers)?);
            }
        }
        Ok(signals)
    }

    fn take(&self) -> Option<SignalKind> {
        let came = |registration: &&Registration| registration.came.swap(false, Ordering::SeqCst);
        self.registrations.iter().find(came).map(|registration| registration.kind)
    }
}

fn register(kind: SignalKind, handlers: &UnixStream) -> io::Result<Registration> {
    let mut states = states();
    let states = states.get_or_insert_default();
    if let Entry::Vacant(first) = states.entry(kind) {
        // Done until there is a source: the rest may fail.
        let default = is_default(kind).then(|| Arc::new(AtomicBool::new(true)));
        if let Some(default) = &default {
            flag::register_conditional_default(kind.as_raw(), default.clone())?;
        }
        first.insert(SignalState { sources: 0, default });
    }
    let came = Arc::new(AtomicBool::new(false));
    let flagged = flag::register(kind.as_raw(), came.clone())?;
    // After the flag, so that it is set when the socket is read.
    let written = match handlers.try_clone().and_then(|handlers| pipe::register(kind.as_raw(), handlers)) {
        Ok(written) => written,
        Err(error) => {
            unregister(flagged);
            return Err(error);
        }
    };
    if let Some(state) = states.get_mut(&kind) {
        state.sources += 1;
        if let Some(default) = &state.default {
            default.store(false, Ordering::SeqCst);
        }
    }
    Ok(Registration { kind, came, handlers: [flagged, written] })
}

impl SignalSource for HostSignals {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        let mut taken = None;
        let attempt = &mut |descriptor: std::os::fd::BorrowedFd<'_>| {
            // First what the handler has written, then the flags: so none is lost.
            let mut written = [0; 64];
            while matches!(rustix::io::read(descriptor, &mut written), Ok(1..)) {}
            taken = self.take();
            if taken.is_some() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) }
        };
        ready!(self.watched.poll_attempt(cx, attempt))?;
        match taken {
            Some(kind) => Poll::Ready(Ok(kind)),
            None => unreachable!("the attempt would have blocked"),
        }
    }
}

impl Drop for HostSignals {
    fn drop(&mut self) {
        for registration in self.registrations.drain(..) {
            let mut states = states();
            let state = states.as_mut().and_then(|states| states.get_mut(&registration.kind));
            let back_to_default = state.is_some_and(|state| {
                state.sources -= 1;
                let (0, Some(default)) = (state.sources, &state.default) else { return false };
                // Before it is heard no more, so that one that comes now is not lost.
                default.store(true, Ordering::SeqCst);
                true
            });
            for handler in registration.handlers {
                unregister(handler);
            }
            drop(states);
            if back_to_default && registration.came.load(Ordering::SeqCst) {
                // It does now what it did before the source was made. (A handler that was there before has been called
                // already, and where it was ignored there is nothing to do.) An error would say that there is no such
                // signal.
                let _ = raise(registration.kind.as_raw());
            }
        }
    }
}

impl fmt::Debug for HostSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.registrations.iter().map(|registration| registration.kind)).finish()
    }
}

/// Returns whether a signal does what the default is: it is not ignored, and has no handler, which would go on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let is_in = |name: &str| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let set = set.and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
        let bit = u32::try_from(kind.as_raw() - 1).ok();
        bit.and_then(|bit| set.checked_shr(bit)).is_some_and(|set| set & 1 == 1)
    };
    !is_in("SigIgn:") && !is_in("SigCgt:")
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_default(_: SignalKind) -> bool {
    true
}
