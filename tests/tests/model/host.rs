//! The host that runs a program: the simulator, or smol or tokio on one thread, with their own timers, wakers and blocking
//! threads.
//!
//! On a real host the clock of the program is slow: one of its milliseconds takes several of the host's, and it shows full
//! ones only. So all that happens at one instant of the model does so at one instant here, too, as long as the host is not
//! late by a whole one. [`Due`] notices if it was: then the run says nothing.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use foster::Instant;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use foster_smol::Smol;
use foster_tokio::Tokio;

use super::world::{Hook, lock};

/// The time that the clock shows in one step.
const STEP: Duration = Duration::from_millis(1);

/// The longest that a program may take, by its own clock.
const LONGEST: Duration = Duration::from_secs(20);

/// A host with a clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Smol,
    Tokio,
}

thread_local! {
    /// The clock of the run on this thread; none on the simulator.
    static CLOCK: RefCell<Option<SlowClock>> = const { RefCell::new(None) };
    static COINS: Cell<u64> = const { Cell::new(0) };
}

type HostSleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A clock of which one step takes longer on the host.
#[derive(Clone)]
struct SlowClock {
    inner: Arc<dyn Runtime>,
    start: Instant,
    /// The time that a step takes on the host.
    step: Duration,
    /// The host's own sleep, which knows nothing of foster.
    sleep: fn(std::time::Instant) -> HostSleep,
    due: Arc<Due>,
}

/// What is due at which step, and whether all of it has happened in that step. It has if
///
/// * the clock is read in each step in which something is due, and in no other;
/// * who looks on late in such a step comes by before it is over, and nothing happens in it after that;
/// * the host's own sleeps end before the core looks at the clock in that step, as on the simulator.
struct Due(Mutex<DueState>);

struct DueState {
    /// How much is due at a step.
    due: BTreeMap<u32, usize>,
    /// The steps in which the clock was read.
    read: BTreeSet<u32>,
    /// The last of them.
    reached: u32,
    /// The last in which the core has read it.
    core_read: u32,
    /// The next step in which somebody looks on.
    next: u32,
    was_late: bool,
}

impl Due {
    fn new() -> Self {
        Due(Mutex::new(DueState {
            due: BTreeMap::new(),
            read: BTreeSet::from([0]),
            reached: 0,
            core_read: 0,
            next: 0,
            was_late: false,
        }))
    }

    fn read_at(&self, step: u32) {
        let mut state = lock(&self.0);
        state.was_late |= step < state.next;
        if step > state.reached {
            let next = state.due.range(state.reached + 1..).next().map(|(step, _)| *step);
            state.was_late |= next != Some(step);
            state.reached = step;
            state.read.insert(step);
        }
    }

    /// The core looks at the clock.
    fn core_reads_at(&self, step: u32) {
        self.read_at(step);
        lock(&self.0).core_read = step;
    }

    /// A sleep of the host ends.
    fn sleep_ends_at(&self, step: u32) {
        self.read_at(step);
        let mut state = lock(&self.0);
        state.was_late |= step == state.core_read && step > 0;
    }

    /// Somebody comes by at `now` who has meant to do so in a step.
    fn looked_on(&self, step: u32, now: u32) {
        let mut state = lock(&self.0);
        state.was_late |= now > step && state.read.contains(&step);
        state.next = state.next.max(step + 1);
    }

    fn next_to_look_at(&self, now: u32) -> u32 {
        let next = lock(&self.0).next;
        // Those that nobody has looked at, because nobody was polled.
        (next..now).for_each(|step| self.looked_on(step, now));
        next.max(now)
    }

    /// Code computes from this step to that. What is due in between goes unseen, and nobody can look on.
    fn computed(&self, from: u32, until: u32) {
        let mut state = lock(&self.0);
        state.read.retain(|step| !(from..until).contains(step));
        state.read.insert(until);
        state.reached = state.reached.max(until);
    }
}

/// Something that is due at a step, until this is dropped.
struct DueAt {
    due: Arc<Due>,
    step: u32,
}

impl Drop for DueAt {
    fn drop(&mut self) {
        let due = &mut lock(&self.due.0).due;
        match due.get_mut(&self.step) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(due.remove(&self.step)),
        }
    }
}

impl SlowClock {
    fn elapsed(&self) -> Duration {
        STEP * self.steps()
    }

    fn steps(&self) -> u32 {
        ((self.inner.now() - self.start).as_nanos() / self.step.as_nanos()) as u32
    }

    /// Reads the clock in code of the program, or of foster.
    fn read(&self) -> Duration {
        let step = self.steps();
        self.due.read_at(step);
        STEP * step
    }

    /// Returns when it shows that time, or the next full step after that, and notes that something is due then.
    fn shows(&self, elapsed: Duration) -> (Instant, Option<DueAt>) {
        let steps = elapsed.as_nanos().div_ceil(STEP.as_nanos());
        let Ok(step) = u32::try_from(steps) else { return (Instant::NEVER, None) };
        *lock(&self.due.0).due.entry(step).or_default() += 1;
        (self.start + self.step * step, Some(DueAt { due: self.due.clone(), step }))
    }

    fn on_host(&self, at: Instant) -> std::time::Instant {
        self.inner.instant_to_std(at).expect("the host's clock is a real one")
    }

    fn sleep_until(&self, at: Instant) -> HostSleep {
        (self.sleep)(self.on_host(at))
    }

    #[expect(clippy::disallowed_methods, reason = "the thread of a blocking job, or code that does not give way")]
    fn block_until(&self, at: Instant) {
        thread::sleep(self.on_host(at).saturating_duration_since(std::time::Instant::now()));
    }
}

impl fmt::Debug for SlowClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SlowClock").field(&self.inner.name()).finish()
    }
}

/// The host, on that clock.
struct SlowHost(SlowClock);

impl Runtime for SlowHost {
    fn name(&self) -> &'static str {
        self.0.inner.name()
    }

    fn spawn(&self, job: Job) {
        self.0.inner.spawn(job);
    }

    fn now(&self) -> Instant {
        let step = self.0.steps();
        self.0.due.core_reads_at(step);
        Instant::from_nanos((STEP * step).as_nanos() as u64)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SlowTimer { clock: self.0.clone(), inner: self.0.inner.timer(), due: None })
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.0.inner.blocking(work)
    }

    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.inner.poll_budget(cx)
    }

    fn should_yield(&self) -> bool {
        self.0.inner.should_yield()
    }

    fn entropy(&self) -> u64 {
        self.0.inner.entropy()
    }

    fn wait(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        self.0.inner.wait(poll);
    }

    fn give_way(&self) {
        self.0.inner.give_way();
    }

    fn capability(&self, wanted: TypeId) -> Option<&dyn Any> {
        self.0.inner.capability(wanted)
    }
}

struct SlowTimer {
    clock: SlowClock,
    inner: Box<dyn Timer>,
    due: Option<DueAt>,
}

impl Timer for SlowTimer {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        let (at, due) = self.clock.shows(Duration::from_nanos(at.as_nanos()));
        self.due = due;
        // What the host ends at an instant comes before the requests of that instant, as on the simulator.
        self.inner.arm(at + self.clock.step / 3, waker);
    }

    fn disarm(&mut self) {
        self.due = None;
        self.inner.disarm();
    }
}

/// Runs a future as a root on a host, on this thread, where one step of the clock takes that long. Returns whether it has
/// ended in time.
pub(crate) fn run_on(host: Host, step: Duration, future: impl Future<Output = ()>) -> bool {
    match host {
        Host::Smol => {
            let executor = Arc::new(smol::Executor::new());
            let slow =
                begin(Arc::new(Smol::on(&executor)), step, |at| Box::pin(async move { _ = smol::Timer::at(at).await }));
            smol::block_on(executor.run(in_time(slow, future)))
        }
        Host::Tokio => {
            let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = built.expect("a runtime of tokio is built");
            let tokio = Arc::new(Tokio::on(runtime.handle().clone()));
            let slow = begin(tokio, step, |at| Box::pin(tokio::time::sleep_until(at.into())));
            runtime.block_on(in_time(slow, future))
        }
    }
}

/// Starts the clock of this thread's run.
fn begin(inner: Arc<dyn Runtime>, step: Duration, sleep: fn(std::time::Instant) -> HostSleep) -> SlowClock {
    let start = inner.now();
    let clock = SlowClock { inner, start, step, sleep, due: Arc::new(Due::new()) };
    CLOCK.set(Some(clock.clone()));
    clock
}

async fn in_time(clock: SlowClock, future: impl Future<Output = ()>) -> bool {
    let late = clock.sleep_until(clock.shows(LONGEST).0);
    let tree = root(Arc::new(SlowHost(clock)), future).observe(Arc::new(Hook));
    let ended = async {
        tree.await;
        true
    };
    futures_lite::future::or(ended, async {
        late.await;
        false
    })
    .await
}

/// Ends what [`run_on`] began; until then [`elapsed`] can be asked. Returns whether the host was late.
pub(crate) fn end() -> bool {
    CLOCK.take().is_some_and(|clock| lock(&clock.due.0).was_late)
}

fn with_clock<R>(f: impl FnOnce(Option<&SlowClock>) -> R) -> R {
    CLOCK.with_borrow(|clock| f(clock.as_ref()))
}

/// The time since the start of the run, which has just ended.
pub(crate) fn elapsed_at_end() -> Duration {
    with_clock(|clock| {
        clock.into_iter().for_each(|clock| {
            let reached = lock(&clock.due.0).reached;
            clock.due.looked_on(reached, clock.steps())
        });
    });
    elapsed_by_now()
}

/// The time since the start of the run, for who looks on.
pub(crate) fn elapsed_by_now() -> Duration {
    with_clock(|clock| clock.map_or_else(|| foster_sim::clock().elapsed(), SlowClock::elapsed))
}

/// Whether this thread's run is on a real host.
pub(crate) fn is_real() -> bool {
    with_clock(|clock| clock.is_some())
}

/// The time since the start of the run, by the clock of the program.
pub(crate) fn elapsed() -> Duration {
    with_clock(|clock| clock.map_or_else(|| foster_sim::clock().elapsed(), SlowClock::read))
}

/// Code that does not give way for that long.
pub(crate) fn compute(duration: Duration) {
    match with_clock(|clock| clock.cloned()) {
        None => foster_sim::clock().jump(duration),
        Some(clock) => {
            let from = clock.read();
            let (until, due) = clock.shows(from + duration);
            clock.block_until(until);
            let step = |elapsed: Duration| elapsed.as_millis() as u32;
            clock.due.computed(step(from), step(from + duration));
            drop(due);
        }
    }
}

/// Blocks a thread for that long.
pub(crate) async fn block(duration: Duration) {
    match with_clock(|clock| clock.cloned()) {
        None => {
            foster_sim::blocking_takes(duration);
            foster::to_thread(|| ()).await;
        }
        Some(clock) => {
            let (until, due) = clock.shows(clock.read() + duration);
            let due = Arc::new(due);
            let due_in_thread = due.clone();
            let block = move || {
                clock.block_until(until);
                drop(due_in_thread);
            };
            foster::to_thread(block).await;
            let _end = elapsed();
            drop(due);
        }
    }
}

/// Waits until all has happened that happens at some instant, this one or one that comes, and before the next. Returns the
/// time.
pub(crate) async fn all_has_happened() -> Duration {
    match with_clock(|clock| clock.cloned()) {
        // Never at a full millisecond: the clock stops for this before the timers of an instant.
        None => {
            foster_sim::wait_all_tasks_blocked_for(Duration::from_nanos(700_003)).await;
            foster_sim::clock().elapsed()
        }
        Some(clock) => {
            let step = clock.due.next_to_look_at(clock.steps());
            clock.sleep_until(clock.start + clock.step * step + clock.step * 3 / 4).await;
            let now = clock.steps();
            clock.due.looked_on(step, now);
            STEP * now
        }
    }
}

/// Reads the clock when the host wakes it, also for code that is polled no more.
struct ReadsClock {
    clock: SlowClock,
    waker: Waker,
}

impl Wake for ReadsClock {
    fn wake(self: Arc<Self>) {
        self.clock.due.sleep_ends_at(self.clock.steps());
        self.waker.wake_by_ref();
    }
}

/// One of two, at random.
pub(crate) fn coin() -> usize {
    match is_real() {
        false => (foster_sim::random() & 1) as usize,
        true => {
            // Every pattern of three comes.
            COINS.set(COINS.get().wrapping_add(1));
            (0b1110_1000_u8 >> (COINS.get() % 8) & 1) as usize
        }
    }
}

/// A sleep of the host, which cancellation does not reach. It counts from its first poll.
pub(crate) fn plain_sleep(duration: Duration) -> PlainSleep {
    PlainSleep { duration, armed: None }
}

pub(crate) struct PlainSleep {
    duration: Duration,
    /// When it ends, by the clock of the program.
    armed: Option<(Duration, HostSleep, Option<DueAt>)>,
}

impl Future for PlainSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let duration = self.duration;
        let (end, sleep, _due) = self.armed.get_or_insert_with(|| {
            let end = elapsed() + duration;
            match with_clock(|clock| clock.cloned()) {
                None => (end, Box::pin(foster_sim::plain_sleep(duration)), None),
                Some(clock) => {
                    let (at, due) = clock.shows(end);
                    (end, clock.sleep_until(at), due)
                }
            }
        });
        if elapsed() >= *end {
            return Poll::Ready(());
        }
        match with_clock(|clock| clock.cloned()) {
            None => sleep.as_mut().poll(cx),
            Some(clock) => {
                let reads = Waker::from(Arc::new(ReadsClock { clock, waker: cx.waker().clone() }));
                sleep.as_mut().poll(&mut Context::from_waker(&reads))
            }
        }
    }
}
