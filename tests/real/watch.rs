//! Runs programs on a host, many at once, and watches that each ends in time, leaves nothing, and breaks no law.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use foster::observer::live_counts;
use foster::{CancelScope, Nursery};

use super::foreign::caught;
use super::hosts::Host;
use super::interpret::{At, OnPurpose, run};
use super::program::Program;
use super::world::World;

/// A sort of fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    /// A program has not ended in time.
    Hang,
    /// A program of timers alone, which ends by itself, has not ended in time.
    TimerLost,
    /// A program did not end even when its root panicked.
    HangForGood,
    /// An operation that was begun in cancelled code returned.
    RanOn,
    /// Something was given to code that was cancelled before, which went on.
    GivenToTheDead,
    /// A sleep has ended that was due after the deadline of its code.
    SleptOn,
    /// A consumer took the cancellation of its producer for the end of the work.
    Committed,
    Lost,
    Doubled,
    /// A permit, lock or place in a queue that nobody has any more is not free.
    Held,
    Finalizer,
    /// A panic that is not the program's.
    Panicked,
    /// Something is alive after the end.
    Alive,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) sort: Sort,
    pub(crate) text: String,
    /// Which of the programs; none if that is not known.
    pub(crate) program: Option<usize>,
}

/// The actions of programs that are counted, so that no green run is empty.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Programs,
    CancelledScopes,
    Items,
    Notifications,
    Permits,
    Finalizers,
    Panics,
    Errors,
    ForeignDrops,
    Commits,
    Sleeps,
    /// Sleeps that end after the deadline of their code.
    SleepsToBeCut,
    Threads,
    /// Both have got the thing, and the one that was cancelled has.
    Handovers,
    FirstGot,
    Deliveries,
}

const ALL: [Seen; 16] = [
    Seen::Programs,
    Seen::CancelledScopes,
    Seen::Items,
    Seen::Notifications,
    Seen::Permits,
    Seen::Finalizers,
    Seen::Panics,
    Seen::Errors,
    Seen::ForeignDrops,
    Seen::Commits,
    Seen::Sleeps,
    Seen::SleepsToBeCut,
    Seen::Threads,
    Seen::Handovers,
    Seen::FirstGot,
    Seen::Deliveries,
];

static SEEN: [AtomicUsize; ALL.len()] = [const { AtomicUsize::new(0) }; ALL.len()];

pub(crate) fn seen(what: Seen) {
    SEEN[what as usize].fetch_add(1, Ordering::Relaxed);
}

/// How often each thing was seen.
pub(crate) fn all_seen() -> impl Iterator<Item = (Seen, usize)> {
    ALL.into_iter().map(|what| (what, SEEN[what as usize].load(Ordering::Relaxed)))
}

/// The worst that a plain timer of any host was late, in microseconds.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// How much later than its bound a program may end.
fn allowance() -> Duration {
    Duration::from_secs(2).max(20 * Duration::from_micros(LATEST.load(Ordering::Relaxed)))
}

pub(crate) fn latest() -> Duration {
    Duration::from_micros(LATEST.load(Ordering::Relaxed))
}

#[expect(clippy::disallowed_methods, reason = "foster's clock is part of what is tested")]
fn now() -> Instant {
    Instant::now()
}

/// The state of the programs of one run, for those who watch.
struct Watched {
    /// When each has to have ended; none if it has.
    due: Vec<Mutex<Option<Instant>>>,
    faults: Mutex<Vec<Fault>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    fn fault(&self, sort: Sort, text: impl fmt::Display, program: Option<usize>) {
        lock(&self.faults).push(Fault { sort, text: text.to_string(), program });
    }

    /// Programs that should have ended so long ago that it cannot be the host.
    fn overdue(&self) -> Vec<usize> {
        let limit = allowance();
        let is_over = |due: &Mutex<Option<Instant>>| lock(due).is_some_and(|due| now() > due + limit);
        (0..self.due.len()).filter(|n| is_over(&self.due[*n])).collect()
    }

    fn all_over(&self) -> bool {
        self.due.iter().all(|due| lock(due).is_none())
    }
}

/// Runs the programs side by side in one tree, and returns what was wrong.
///
/// A hang that cannot be ended leaves its threads behind; nothing can be said about what is alive after that.
pub(crate) fn run_all(host: Host, programs: &[Arc<Program>]) -> Vec<Fault> {
    let before = live_counts();
    let begin = now();
    let due = programs.iter().map(|program| Mutex::new(Some(begin + program.bound()))).collect();
    let watched = Arc::new(Watched { due, faults: Mutex::default() });
    let (done, is_done) = mpsc::channel();
    let (inside, mine) = (watched.clone(), programs.to_vec());
    let main = thread::Builder::new().name("real".to_owned()).spawn(move || {
        let ended = std::panic::catch_unwind(|| host.run(side_by_side(host, &mine, &inside)));
        // After a hang the panic is the watcher's own.
        if let Err(payload) = ended {
            if !payload.is::<OnPurpose>() {
                inside.fault(Sort::Panicked, "the root has panicked", None);
            }
        }
        let _ = done.send(());
    });
    main.expect("the host has threads");
    let longest = programs.iter().map(|program| program.bound()).max().unwrap_or_default();
    let mut waited = is_done.recv_timeout(longest + allowance() + Duration::from_secs(5));
    while waited.is_err() && watched.overdue().is_empty() && !watched.all_over() {
        // The host is later than was known.
        waited = is_done.recv_timeout(Duration::from_secs(5));
    }
    let hangs = waited.is_err();
    if hangs {
        let programs = watched.overdue();
        let text = "it did not end, though its root was told to stop it, or was polled no more";
        watched.fault(Sort::HangForGood, text, programs.first().copied());
    } else {
        still_alive(before, &watched);
    }
    std::mem::take(&mut *lock(&watched.faults))
}

/// Notes a fault if there is more alive than before, also after a while.
#[expect(clippy::disallowed_methods, reason = "outside of any runtime, waiting for threads that are ending")]
fn still_alive(before: Option<foster::observer::LiveCounts>, watched: &Watched) {
    for _ in 0..500 {
        if live_counts() == before {
            return;
        }
        thread::sleep(Duration::from_millis(4));
    }
    watched.fault(Sort::Alive, format!("{:?} are alive, before it were {before:?}", live_counts()), None);
}

async fn side_by_side(host: Host, programs: &[Arc<Program>], watched: &Arc<Watched>) {
    let Ok(()) = foster::nursery(async |n: Nursery| {
        for (number, program) in programs.iter().enumerate() {
            n.spawn(one(number, program.clone(), watched.clone()));
        }
        // Polled in the root, so that it stands on the host's own timer alone.
        let mut timer = host.plain_sleep(Duration::ZERO);
        let mut expected = now();
        let mut watching = pin!(poll_fn(|cx| {
            while timer.as_mut().poll(cx).is_ready() {
                let late = now().saturating_duration_since(expected).as_micros() as u64;
                LATEST.fetch_max(late, Ordering::Relaxed);
                if watched.all_over() {
                    return Poll::Ready(());
                }
                let overdue = watched.overdue();
                if !overdue.is_empty() {
                    let dump = foster::dump();
                    for program in overdue {
                        let sort = if programs[program].finite { Sort::TimerLost } else { Sort::Hang };
                        watched.fault(sort, format!("it has not ended in time; alive were:\n{dump}"), Some(program));
                    }
                    // The tree ends with this, unless it hangs for good.
                    std::panic::resume_unwind(Box::new(OnPurpose));
                }
                expected = now() + Duration::from_millis(2);
                timer = host.plain_sleep(Duration::from_millis(2));
            }
            Poll::Pending
        }));
        watching.as_mut().await;
        Ok(())
    })
    .await;
}

/// Runs one program as a child, and looks at what it leaves.
async fn one(number: usize, program: Arc<Program>, watched: Arc<Watched>) {
    let world = World::new();
    let at = At { world: world.clone(), requests: Vec::new() };
    let mut scope = CancelScope::new().named(format!("program {number}")).deadline_after(program.deadline);
    // With a handle it is in the tree, with its deadline among the timers, before it is polled.
    let handle = scope.handle();
    let ended = caught(scope.grace(Duration::from_millis(3)).run(run(&at, &program.ops))).await;
    drop(at);
    if !handle.is_closed() {
        world.fault(Sort::Alive, "the scope around the program has returned, and is not closed");
    }
    if let Err(payload) = ended {
        if !payload.is::<OnPurpose>() {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
            watched.fault(Sort::Panicked, text, Some(number));
        }
    }
    world.check();
    for (sort, text) in world.take_faults() {
        watched.fault(sort, text, Some(number));
    }
    seen(Seen::Programs);
    *lock(&watched.due[number]) = None;
}
