//! Runs programs on a host, many at once, and watches that each ends in time, leaves nothing, and breaks no law.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use foster::observer::live_counts;
use foster::{CancelScope, Nursery};

use super::foreign::caught;
use super::hosts::Host;
use super::interpret::{At, OnPurpose, run};
use super::late::{Sleeper, Wait, not_again, too_late};
use super::program::{Program, are_interruptible};
use super::quiet::settles;
use super::world::World;

/// How often a fault that may come of a busy machine has to come again.
pub(crate) const REPEATS: usize = 3;

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
    /// A sleep, a limit or the program itself has ended later than the host's own lateness allows.
    Late,
    /// Programs in which everything waits use the processor.
    Busy,
}

impl Sort {
    /// Whether a machine that is busy with other things may look like that.
    pub(crate) fn is_timed(self) -> bool {
        matches!(self, Sort::Late | Sort::Busy)
    }
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
    /// Programs, and limits in them, that have ended after their deadline, and were asked how long after it.
    DeadlinesTimed,
    LimitsTimed,
    /// Runs of programs that wait, in which the process hardly used the processor.
    Quiet,
}

const ALL: [Seen; 19] = [
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
    Seen::DeadlinesTimed,
    Seen::LimitsTimed,
    Seen::Quiet,
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
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The state of the programs of one run, for those who watch.
struct Watched {
    /// When each has to have ended; none if it has.
    due: Vec<Mutex<Option<Instant>>>,
    faults: Mutex<Vec<Fault>>,
    /// Of the programs that have begun.
    worlds: Mutex<Vec<Weak<World>>>,
    /// What was late in each program.
    late: Mutex<Vec<(usize, Wait)>>,
    /// How late timers of the runtime were.
    timers: Mutex<Vec<Wait>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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

    /// Ends the programs that wait for being told.
    fn tell(&self) {
        let worlds = lock(&self.worlds).clone();
        worlds.iter().filter_map(Weak::upgrade).for_each(|world| world.tell());
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
    let watched = Arc::new(Watched {
        due,
        faults: Mutex::default(),
        worlds: Mutex::default(),
        late: Mutex::default(),
        timers: Mutex::default(),
    });
    // A thread that wakes all the time is no part of a quiet process; nothing is said of what is late there.
    let sleeper = (!are_quiet(programs)).then(Sleeper::start);
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
    let sleeps = sleeper.map(Sleeper::stop);
    let hangs = waited.is_err();
    if hangs {
        let programs = watched.overdue();
        let text = "it did not end, though its root was told to stop it, or was polled no more";
        watched.fault(Sort::HangForGood, text, programs.first().copied());
    } else {
        still_alive(before, &watched);
        if let Some(sleeps) = sleeps {
            let host_waits = [sleeps, std::mem::take(&mut *lock(&watched.timers))].concat();
            let computing = programs.iter().map(|program| program.computing()).sum();
            for (program, text) in too_late(&lock(&watched.late), &host_waits, computing) {
                watched.fault(Sort::Late, text, Some(program));
            }
        }
    }
    std::mem::take(&mut *lock(&watched.faults))
}

/// Whether all of the programs come to wait.
fn are_quiet(programs: &[Arc<Program>]) -> bool {
    programs.iter().all(|program| program.waits)
}

/// As [`run_all`], but a fault that may come of a busy machine is one only if it has come in each of some repeats.
pub(crate) fn run_confirmed(host: Host, programs: &[Arc<Program>]) -> Vec<Fault> {
    let mut faults = run_all(host, programs);
    for _ in 0..REPEATS {
        if !faults.iter().any(|fault| fault.sort.is_timed()) {
            break;
        }
        let again = run_all(host, programs);
        faults.retain(|fault| {
            let same = |other: &Fault| (other.sort, other.program) == (fault.sort, fault.program);
            let stays = !fault.sort.is_timed() || again.iter().any(same);
            if !stays {
                println!("{:?} on {host:?}, but not again: {}", fault.sort, fault.text);
                not_again();
            }
            stays
        });
        faults.extend(again.into_iter().filter(|fault| !fault.sort.is_timed()));
    }
    for fault in faults.iter_mut().filter(|fault| fault.sort == Sort::Busy) {
        // All wait at once: it may be any of them, or only all together.
        let is_busy = |program: &Arc<Program>| {
            run_all(host, std::slice::from_ref(program)).iter().any(|fault| fault.sort == Sort::Busy)
        };
        fault.program = programs.iter().position(is_busy);
    }
    faults
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
        let is_quiet = are_quiet(programs);
        if is_quiet {
            match settles(host, programs).await {
                Ok(true) => seen(Seen::Quiet),
                Ok(false) => {}
                Err((used, look)) => {
                    let text = format!(
                        "all wait, and use the processor: {used:?} in {look:?}; alive were:\n{}",
                        foster::dump()
                    );
                    watched.fault(Sort::Busy, text, None);
                }
            }
        }
        // Polled in the root, so that it stands on the host's own timer alone. It says how late that is, too.
        let mut timer = host.plain_sleep(Duration::ZERO);
        let (mut begun, mut expected) = (now(), now());
        let mut watching = pin!(poll_fn(|cx| {
            while timer.as_mut().poll(cx).is_ready() {
                let wait = Wait::ends("a timer of the host", begun, expected);
                LATEST.fetch_max(wait.late().as_micros() as u64, Ordering::Relaxed);
                lock(&watched.timers).push(wait);
                if is_quiet {
                    watched.tell();
                }
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
                begun = now();
                expected = begun + Duration::from_millis(2);
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
    lock(&watched.worlds).push(Arc::downgrade(&world));
    let at = At { world: world.clone(), requests: Vec::new(), held: false };
    let begun = now();
    let mut scope = CancelScope::new().named(format!("program {number}")).deadline_after(program.deadline);
    // With a handle it is in the tree, with its deadline among the timers, before it is polled.
    let handle = scope.handle();
    if program.waits {
        world.ends_when_told(handle.clone());
    }
    let ended = caught(scope.grace(Duration::from_millis(3)).run(run(&at, &program.ops))).await;
    drop(at);
    if !program.finite && !program.waits && are_interruptible(std::slice::from_ref(&program.ops)) {
        let wait = Wait::ends("the program", begun, begun + program.deadline);
        world.waited(wait);
        if !wait.late().is_zero() {
            seen(Seen::DeadlinesTimed);
        }
    }
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
    lock(&watched.late).extend(world.take_late().into_iter().map(|wait| (number, wait)));
    for (sort, text) in world.take_faults() {
        watched.fault(sort, text, Some(number));
    }
    seen(Seen::Programs);
    *lock(&watched.due[number]) = None;
}
