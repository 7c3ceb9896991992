//! Signals to this process.
//!
//! The handler of `signal-hook` is installed at the first source of a signal, and stays: to take it out again is not
//! possible without unsafe code, and would disturb others who have installed theirs meanwhile. The former effect of the
//! signal is restored all the same:
//!
//! * A handler that was there before is called by ours, always.
//! * Where there was none, ours does what the default is, as long as there is no source of the signal.
//! * A signal that was ignored before is ignored then.
//!
//! A signal without a name, such as a real-time one, is ignored then: what it does by default cannot be done without
//! unsafe code.
//!
//! The former effect is read from `/proc` on Linux; elsewhere it counts as the default.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::flag;
use signal_hook::low_level::{self, pipe, raise, unregister};

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
    heard: Arc<Heard>,
    handlers: [SigId; 2],
}

/// The state of one signal at a source.
struct Heard {
    /// It has come, and was not taken.
    came: Arc<AtomicBool>,
    /// How often it was taken.
    taken: AtomicUsize,
    /// The sources that it had come to when this one was made, and that had not taken it: this one has not got that.
    /// With how often they had taken it before.
    missed: Vec<(Weak<Heard>, usize)>,
    /// The other end of what the source watches.
    wakes: Arc<UnixStream>,
}

impl Heard {
    fn take(&self) -> bool {
        let came = self.came.swap(false, Ordering::SeqCst);
        if came {
            self.taken.fetch_add(1, Ordering::SeqCst);
        }
        came
    }

    /// Returns whether it has not got what `other` leaves behind.
    fn has_missed(&self, other: &Arc<Heard>) -> bool {
        let taken = other.taken.load(Ordering::SeqCst);
        self.missed.iter().any(|(missed, before)| std::ptr::eq(missed.as_ptr(), Arc::as_ptr(other)) && *before == taken)
    }

    /// Does as the handler does. To be called as long as the source is listed: then its end is open.
    fn tell(&self) {
        self.came.store(true, Ordering::SeqCst);
        // If there is no room, the source has something to read.
        let _ = (&*self.wakes).write(&[0]);
    }
}

/// The state that all sources of a signal share, from the first one on.
struct SignalState {
    sources: Vec<Arc<Heard>>,
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
        let handlers = Arc::new(handlers);
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
        self.registrations.iter().find(|registration| registration.heard.take()).map(|registration| registration.kind)
    }
}

fn register(kind: SignalKind, handlers: &Arc<UnixStream>) -> io::Result<Registration> {
    let mut states = states();
    let states = states.get_or_insert_default();
    if let Entry::Vacant(first) = states.entry(kind) {
        // Done until there is a source: the rest may fail.
        let has_name = low_level::signal_name(kind.as_raw()).is_some();
        let default = (has_name && is_default(kind)?).then(|| Arc::new(AtomicBool::new(true)));
        if let Some(default) = &default {
            flag::register_conditional_default(kind.as_raw(), default.clone())?;
        }
        first.insert(SignalState { sources: Vec::new(), default });
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
    let mut heard = Heard { came, taken: AtomicUsize::new(0), missed: Vec::new(), wakes: handlers.clone() };
    let Some(state) = states.get_mut(&kind) else { unreachable!("it was made above") };
    for other in &state.sources {
        let taken = other.taken.load(Ordering::SeqCst);
        if other.came.load(Ordering::SeqCst) {
            heard.missed.push((Arc::downgrade(other), taken));
        }
    }
    if heard.came.load(Ordering::SeqCst) {
        // It has come to this one as well by now.
        heard.missed.clear();
    }
    let heard = Arc::new(heard);
    state.sources.push(heard.clone());
    if let Some(default) = &state.default {
        default.store(false, Ordering::SeqCst);
    }
    Ok(Registration { kind, heard, handlers: [flagged, written] })
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
        for Registration { kind, heard, handlers } in self.registrations.drain(..) {
            let mut states = states();
            let Some(state) = states.as_mut().and_then(|states| states.get_mut(&kind)) else { continue };
            state.sources.retain(|other| !Arc::ptr_eq(other, &heard));
            let default = state.default.as_ref().filter(|_| state.sources.is_empty());
            if let Some(default) = default {
                // Before it is heard no more, so that one that comes now is not lost.
                default.store(true, Ordering::SeqCst);
            }
            for handler in handlers {
                unregister(handler);
            }
            let is_left = heard.came.load(Ordering::SeqCst);
            let raises = is_left && default.is_some();
            if is_left && state.sources.iter().all(|other| other.has_missed(&heard)) {
                // They were made after it had come: none of them has got it.
                state.sources.iter().for_each(|other| other.tell());
            }
            drop(states);
            if raises {
                // It does now what it did before the source was made. (A handler that was there before has been called
                // already, and where it was ignored there is nothing to do.) An error would say that there is no such
                // signal.
                let _ = raise(kind.as_raw());
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
fn is_default(kind: SignalKind) -> io::Result<bool> {
    let status = match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        // No such file system here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // Not "yes": if it was ignored, it would end the process from then on.
        Err(error) => return Err(error),
    };
    let is_in = |name: &str| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let set = set.and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
        let bit = kind.as_raw().checked_sub(1).and_then(|bit| u32::try_from(bit).ok());
        bit.and_then(|bit| set.checked_shr(bit)).is_some_and(|set| set & 1 == 1)
    };
    Ok(!is_in("SigIgn:") && !is_in("SigCgt:"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_default(_: SignalKind) -> io::Result<bool> {
    Ok(true)
}
