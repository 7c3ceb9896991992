//! How late programs are, beside how late the host is in the same time.
//!
//! A host has its own lateness, which depends on what else its machine does. So no time is judged by itself: while
//! programs run, a thread that only sleeps and a timer of the runtime that knows nothing of foster say how late those
//! are. What a program waited for may be later than the worst of them by [`FACTOR`] and [`ALWAYS`], and later still by what the
//! programs of the run compute. A fault that comes of this has to come again: see
//! [`run_confirmed`](super::watch::run_confirmed).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::interpret::{At, micros};
use super::program::{Op, are_interruptible};
use super::watch::{Seen, lock, now, seen};

/// Always allowed, beside an idle host, too.
const ALWAYS: Duration = Duration::from_millis(30);
/// How many times as late as the host anything may be: it may need some turns of a thread, and each may be late.
const FACTOR: u32 = 5;
/// How long the thread beside the programs sleeps each time.
const SHORT: Duration = Duration::from_millis(1);

/// Something that was waited for until an instant, and has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) what: &'static str,
    begun: Instant,
    due: Instant,
    ended: Instant,
}

impl Wait {
    /// Makes a wait that ends now.
    pub(crate) fn ends(what: &'static str, begun: Instant, due: Instant) -> Self {
        Wait { what, begun, due, ended: now() }
    }

    pub(crate) fn late(&self) -> Duration {
        self.ended.saturating_duration_since(self.due)
    }

    /// Whether it has to be judged: less is always allowed.
    pub(crate) fn is_late(&self) -> bool {
        self.late() > ALWAYS
    }

    fn meets(&self, other: &Wait) -> bool {
        self.begun <= other.ended && other.begun <= self.ended
    }
}

impl At {
    /// Notes how late something is that was due after a time, and has ended; returns whether its time was over.
    pub(crate) fn has_ended(&self, what: &'static str, begun: Instant, us: u32) -> bool {
        let wait = Wait::ends(what, begun, begun + micros(us));
        if !self.held {
            self.world.waited(wait);
        }
        !wait.late().is_zero()
    }

    /// As `has_ended`, for a limit, if nothing in it may go on after it.
    pub(crate) fn limit_has_ended(&self, op: &Op, begun: Instant, us: u32) {
        if are_interruptible(&op.parts) && self.has_ended("a limit", begun, us) && !self.held {
            seen(Seen::LimitsTimed);
        }
    }
}

/// A thread beside the programs, which sleeps, and notes when it wakes.
pub(crate) struct Sleeper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Wait>>,
}

impl Sleeper {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, which no runtime waits for")]
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let sleeps = move || {
            let mut waits = Vec::new();
            while !told.load(Ordering::SeqCst) {
                let begun = now();
                thread::sleep(SHORT);
                waits.push(Wait::ends("a thread", begun, begun + SHORT));
            }
            waits
        };
        let thread = thread::Builder::new().name("sleeper".to_owned()).spawn(sleeps).expect("the host has threads");
        Sleeper { stop, thread }
    }

    /// Returns its sleeps, also the one that was not over.
    pub(crate) fn stop(self) -> Vec<Wait> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it only sleeps")
    }
}

static JUDGED: AtomicUsize = AtomicUsize::new(0);
static NOT_AGAIN: AtomicUsize = AtomicUsize::new(0);
/// The one that was later than the host by most: by how much, and how late each was.
static WORST: Mutex<Option<(Duration, Duration, Duration)>> = Mutex::new(None);

/// Returns, for each program that was too late, what was and how late; the host's own waits say how late it was.
pub(crate) fn too_late(waits: &[(usize, Wait)], host: &[Wait], computing: Duration) -> Vec<(usize, String)> {
    let mut programs: Vec<(usize, String)> = Vec::new();
    for (program, wait) in waits {
        let hosts = host.iter().filter(|of_host| of_host.meets(wait)).map(Wait::late).max().unwrap_or_default();
        let allowed = ALWAYS + FACTOR * hosts + 2 * computing;
        JUDGED.fetch_add(1, Ordering::Relaxed);
        let mut worst = lock(&WORST);
        let over = wait.late().saturating_sub(hosts);
        if worst.is_none_or(|(most, ..)| over > most) {
            *worst = Some((over, wait.late(), hosts));
        }
        if wait.late() > allowed && programs.iter().all(|(known, _)| known != program) {
            let (what, late) = (wait.what, wait.late());
            let text = format!("{what} was late by {late:?}, and the host by {hosts:?}: {allowed:?} are allowed");
            programs.push((*program, text));
        }
    }
    programs
}

/// Counts something that was too late, or busy, once and not again.
pub(crate) fn not_again() {
    NOT_AGAIN.fetch_add(1, Ordering::Relaxed);
}

/// Says what was late in all runs.
pub(crate) fn summary() -> String {
    let (judged, not_again) = (JUDGED.load(Ordering::Relaxed), NOT_AGAIN.load(Ordering::Relaxed));
    let worst = match *lock(&WORST) {
        Some((_, late, host)) => format!(", the worst by {late:?} with a host that was late by {host:?}"),
        None => String::new(),
    };
    format!("{judged} were late by more than {ALWAYS:?}{worst}; {not_again} were too late or busy once, and not again")
}
