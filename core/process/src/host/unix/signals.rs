//! Signals to this process.
//!
//! The handler of `signal-hook` is installed at the first source of a signal, and stays: to take it out again is not
//! possible without unsafe code, and would disturb others who have installed theirs meanwhile. The former effect of the
//! signal is restored all the same:
//!
//! * A handler that was there before is called by ours, always.
//! * Where there was none, ours does what the default is, as long as there is no source of the signal.
//! * A signal that was ignored before is ignored then.
//! * Where an adapter has a handler of its own that is to stay, nothing is restored ([`keep_from_default`]).
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// The other end of it. It is also what this source is known by.
    wakes: Arc<UnixStream>,
    registrations: Vec<Registration>,
    /// Behind the one that was taken last: a signal that comes again and again does not keep the others from being taken.
    next: usize,
}

/// A signal of a source.
struct Registration {
    kind: SignalKind,
    /// Wakes the source.
    handler: SigId,
}

/// The state of a source, for one signal.
struct Source {
    wakes: Arc<UnixStream>,
    /// The last one, by its number, that came before the source was made: it has got those after it.
    made: u64,
    /// The last one that it has taken, or `made`.
    taken: u64,
}

/// The state that all sources of a signal share, from the first one on.
struct SignalState {
    /// Set by the handler when it comes.
    came: Arc<AtomicBool>,
    /// How often it has come. Several between two looks are one.
    count: u64,
    /// The last one, by its number, that any source has taken, also one that is gone.
    taken: u64,
    sources: Vec<Source>,
    /// There is no source: the default is done. None if it was ignored, or handled by somebody else, before, or is kept
    /// from its default.
    default: Option<Arc<AtomicBool>>,
    /// The last one, by its number, that came before the handler was installed that keeps the signal from its default: that
    /// has not heard it.
    kept: Option<u64>,
}

impl SignalState {
    /// To be called when what does the default is registered. The handler does these in turn: so one that is not done by
    /// default is seen by the first source, which looks first.
    fn new(kind: SignalKind, default: Option<Arc<AtomicBool>>) -> io::Result<Self> {
        let came = Arc::<AtomicBool>::default();
        flag::register(kind.as_raw(), came.clone())?;
        Ok(SignalState { came, count: 0, taken: 0, sources: Vec::new(), default, kept: None })
    }

    /// Counts what has come.
    fn look(&mut self) {
        if self.came.swap(false, Ordering::SeqCst) {
            self.count += 1;
        }
    }

    /// Takes what a source has not taken. Returns whether there was any.
    fn take(&mut self, wakes: &Arc<UnixStream>) -> bool {
        self.look();
        let count = self.count;
        let source = self.sources.iter_mut().find(|source| Arc::ptr_eq(&source.wakes, wakes));
        let Some(source) = source.filter(|source| source.taken < count) else { return false };
        source.taken = count;
        self.taken = count;
        true
    }

    /// Returns whether the last one came to a source that is gone, and no source has taken it. If others that came to
    /// it were taken elsewhere, or were not, that does not count: here they are one with the last.
    fn leaves(&self, gone: &Source) -> bool {
        gone.taken < self.count && self.taken < self.count
    }

    /// Gives the last one to all sources, if none of them has got it.
    fn hand_over(&mut self) {
        let count = self.count;
        if self.sources.iter().any(|source| source.made < count) {
            return;
        }
        for source in &mut self.sources {
            (source.made, source.taken) = (count - 1, count - 1);
            // If there is no room, the source has something to read.
            let _ = (&*source.wakes).write(&[0]);
        }
    }
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
        // For what is handed over: the handler itself never blocks.
        handlers.set_nonblocking(true)?;
        let handlers = Arc::new(handlers);
        let watched = reactor.watch(ours.into(), Direction::Read)?;
        let mut signals = HostSignals { watched, wakes: handlers, registrations: Vec::new(), next: 0 };
        for kind in kinds {
            if !signals.registrations.iter().any(|registration| registration.kind == *kind) {
                // If one is refused, those before it are given up.
                signals.registrations.push(register(*kind, &signals.wakes)?);
            }
        }
        Ok(signals)
    }
}

/// Takes the next signal of a source, if there is one, and returns its place in the list.
fn take(registrations: &[Registration], next: usize, wakes: &Arc<UnixStream>) -> Option<usize> {
    let mut states = states();
    let states = states.get_or_insert_default();
    let mut places = (next..registrations.len()).chain(0..next);
    places.find(|place| states.get_mut(&registrations[*place].kind).is_some_and(|state| state.take(wakes)))
}

fn register(kind: SignalKind, wakes: &Arc<UnixStream>) -> io::Result<Registration> {
    let mut states = states();
    let state = match states.get_or_insert_default().entry(kind) {
        Entry::Occupied(state) => state.into_mut(),
        Entry::Vacant(first) => {
            // Done until there is a source: the rest may fail.
            let has_name = low_level::signal_name(kind.as_raw()).is_some();
            let default = (has_name && is_default(kind)?).then(|| Arc::new(AtomicBool::new(true)));
            if let Some(default) = &default {
                flag::register_conditional_default(kind.as_raw(), default.clone())?;
            }
            first.insert(SignalState::new(kind, default)?)
        }
    };
    let handler = pipe::register(kind.as_raw(), wakes.try_clone()?)?;
    // Signals that come from here on come to this source, and wake it.
    state.look();
    state.sources.push(Source { wakes: wakes.clone(), made: state.count, taken: state.count });
    if let Some(default) = &state.default {
        default.store(false, Ordering::SeqCst);
    }
    Ok(Registration { kind, handler })
}

/// Keeps signals from their default for good: for a handler that an adapter installs otherwise, and that is to go on when
/// the last source is dropped. A signal that comes when that handler is there is its own, and is not raised again, as
/// it has heard it.
///
/// To be called before that handler is installed; what this returns is [told](KeepFromDefault::installed) of it.
pub fn keep_from_default(kinds: &[SignalKind]) -> KeepFromDefault {
    let mut states = states();
    let mut count = |kind| {
        let state = states.as_mut().and_then(|states| states.get_mut(kind))?;
        state.look();
        Some(state.count)
    };
    // Where there is no state nothing has come.
    KeepFromDefault { before: kinds.iter().map(|kind| (*kind, count(kind).unwrap_or(0))).collect() }
}

/// Signals that are to be [kept from their default](keep_from_default).
#[derive(Debug)]
#[must_use = "nothing is kept before it is told that the handler is installed"]
pub struct KeepFromDefault {
    /// With the last one of each, by its number, that came before the handler was installed.
    before: Vec<(SignalKind, u64)>,
}

impl KeepFromDefault {
    /// Keeps them from their default: the handler is there, and nobody has asked it yet what it has heard.
    ///
    /// Nobody knows whether the handler has heard a signal that came while it was installed. Unless a source has taken that,
    /// it is raised again here, as it would be when the last source is dropped. If the handler had heard it, the two are
    /// one to it, as none was read; but not on tokio, if its driver has told of the first before the second comes, some
    /// microseconds later.
    ///
    /// # Errors
    ///
    /// The host refuses to handle such a signal.
    pub fn installed(self) -> io::Result<()> {
        let mut states = states();
        let mut came_meanwhile = Vec::new();
        for (kind, before) in self.before {
            match states.get_or_insert_default().entry(kind) {
                Entry::Vacant(first) => {
                    first.insert(SignalState::new(kind, None)?);
                }
                Entry::Occupied(state) => {
                    let state = state.into_mut();
                    if let Some(default) = state.default.take() {
                        default.store(false, Ordering::SeqCst);
                        state.look();
                        state.kept = Some(before);
                        if before.max(state.taken) < state.count {
                            came_meanwhile.push(kind);
                        }
                    }
                }
            }
        }
        drop(states);
        came_meanwhile.into_iter().try_for_each(|kind| raise(kind.as_raw()))
    }
}

impl SignalSource for HostSignals {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        let mut taken = None;
        let attempt = &mut |descriptor: std::os::fd::BorrowedFd<'_>| {
            // First what the handler has written, then the flags: so none is lost.
            let mut written = [0; 64];
            while matches!(rustix::io::read(descriptor, &mut written), Ok(1..)) {}
            taken = take(&self.registrations, self.next, &self.wakes);
            if taken.is_some() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) }
        };
        ready!(self.watched.poll_attempt(cx, attempt))?;
        match taken {
            Some(place) => {
                self.next = place + 1;
                Poll::Ready(Ok(self.registrations[place].kind))
            }
            None => unreachable!("the attempt would have blocked"),
        }
    }
}

impl Drop for HostSignals {
    fn drop(&mut self) {
        for Registration { kind, handler } in self.registrations.drain(..) {
            let mut states = states();
            let Some(state) = states.as_mut().and_then(|states| states.get_mut(&kind)) else { continue };
            let place = state.sources.iter().position(|source| Arc::ptr_eq(&source.wakes, &self.wakes));
            let Some(gone) = place.map(|place| state.sources.remove(place)) else { continue };
            let is_last = state.sources.is_empty();
            if let Some(default) = state.default.as_ref().filter(|_| is_last) {
                // Before it is heard no more, so that one that comes now is not lost.
                default.store(true, Ordering::SeqCst);
            }
            // Returns when the handler, if it runs now, has done all.
            unregister(handler);
            state.look();
            let leaves = state.leaves(&gone);
            if leaves {
                state.hand_over();
            }
            let raises = leaves && is_last && (state.default.is_some() || state.kept == Some(state.count));
            drop(states);
            if raises {
                // It does now what it did before the source was made, or goes to those who keep it from that. (A handler
                // that was there before has been called already, and where it was ignored there is nothing to do.) An
                // error would say that there is no such signal.
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

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use super::*;

    /// A reactor that never wakes.
    #[derive(Debug)]
    struct Idle;

    #[derive(Debug)]
    struct Descriptor(OwnedFd);

    impl Reactor for Idle {
        fn watch(&self, descriptor: OwnedFd, _: Direction) -> io::Result<Box<dyn Watched>> {
            Ok(Box::new(Descriptor(descriptor)))
        }
    }

    impl Watched for Descriptor {
        fn poll_attempt(
            &self,
            _: &mut Context<'_>,
            attempt: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            match attempt(self.0.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            }
        }

        fn into_descriptor(self: Box<Self>) -> io::Result<OwnedFd> {
            Ok(self.0)
        }
    }

    /// A handler that keeps a signal from its default hears once what comes before it, while it is installed, and after
    /// that; but not again what a source has read.
    #[test]
    fn a_handler_that_is_installed_hears_a_signal_once() {
        // Each is for one case alone: it is kept from its default for good.
        let cases = [SignalKind::USER_DEFINED_1, SignalKind::USER_DEFINED_2, SignalKind::ALARM, SignalKind::HANGUP];
        for (case, kind) in cases.into_iter().enumerate() {
            let comes = |when| {
                if case == when {
                    raise(kind.as_raw()).unwrap()
                }
            };
            let mut source = HostSignals::listen(&[kind], &Idle).unwrap();
            let heard = Arc::<AtomicBool>::default();
            let heard_now = || heard.swap(false, Ordering::SeqCst);
            comes(0);
            let keep = keep_from_default(&[kind]);
            comes(1);
            flag::register(kind.as_raw(), heard.clone()).unwrap();
            comes(2);
            if case == 3 {
                // Somebody has read it.
                raise(kind.as_raw()).unwrap();
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(source.poll_next(&mut cx).is_ready());
                assert!(heard_now());
            }
            keep.installed().unwrap();
            let at_once = heard_now();
            drop(source);
            let times = u32::from(at_once) + u32::from(heard_now());
            assert_eq!(times, u32::from(case != 3), "case {case}");
        }
    }
}
