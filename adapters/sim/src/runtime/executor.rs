//! The executor: one thread that picks a runnable task and polls it, and moves the clock when there is none.
//!
//! ```text
//!               1                       2                      3
//!   Blocked ─────────▶ Queued ─────────────────▶ Running ─────────────▶ gone
//!      ▲                  ▲                       │  │ 4
//!      │ 6                │ 5                     │  ▼
//!      └──────────────────┼───────────────────────┘ Rewoken
//!                         └────────────────────────────┘
//! ```
//! 1. `TaskWaker::wake`. 2. `State::take_turn`, which picks by the policy; a spurious poll comes straight from Blocked.
//! 3. `Sim::end_turn`: the future is ready. 4. `TaskWaker::wake` while it is polled. 5., 6. `Sim::end_turn`: it is pending.
//!
//! The main future is a task like the others, number 0, but it stays on the stack of `Sim::drive`: it need be neither
//! `Send` nor `'static`. A blocking job is a task that is polled once.
//!
//! **Lock.** There is one, around plain data. Nothing of the user's is polled, woken, cloned, formatted or dropped while
//! it is held: what has to be, is moved out first.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use foster::Instant;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, poll_own_budget};
use slab::Slab;

use super::choices::{Choices, Ready};
use super::lockstep::{self, JobThread};
use super::recorder::Recorder;
use super::stuck::Stuck;
use super::timers::{SimTimer, Timers};
use crate::builder::Builder;
#[cfg(feature = "net")]
use crate::net::World;
use crate::trace::Event;

/// A simulation: the runtime that foster sees, and the state behind it.
#[derive(Clone)]
pub(crate) struct Sim {
    shared: Arc<Shared>,
    /// The group of the tasks and timers that are made through this handle: those of one host are paused together.
    pub(crate) group: usize,
}

struct Shared {
    config: Builder,
    /// The thread of the simulation. Calls from other threads are accepted, but cannot be replayed.
    home: ThreadId,
    state: Mutex<State>,
    /// Another thread changed the state.
    outside: Condvar,
}

pub(crate) struct State {
    pub(crate) now: Instant,
    /// The last step was taken at this time.
    pub(crate) active_at: Instant,
    pub(crate) autojump: bool,
    pub(crate) choices: Choices,
    pub(crate) recorder: Recorder,
    pub(crate) timers: Timers,
    /// The tasks that wait for quiescence, by cushion and number.
    pub(crate) waiters: BTreeMap<(Duration, u64), Waker>,
    pub(crate) steps: u64,
    /// The task that is being polled has used up its budget of operations.
    used_up: bool,
    /// Blocking jobs on threads of their own that have not ended.
    pub(crate) threads: usize,
    /// Promises that something outside will wake the program: neither the clock nor the end of the run comes before they
    /// are kept.
    pub(crate) holds: usize,
    /// Wake-ups, spawns and so on from other threads.
    pub(crate) outside: u64,
    /// Nothing is taken in any more.
    pub(crate) over: bool,
    /// How long the next blocking job takes, if somebody said so.
    pub(crate) next_blocking: Option<Duration>,
    #[cfg(feature = "net")]
    pub(crate) world: World,
    pub(crate) tasks: Slab<Slot>,
    pub(crate) ready: VecDeque<Ready>,
    /// The groups that are paused, with those of their tasks that would be in `ready`.
    pub(crate) paused: BTreeMap<usize, VecDeque<Ready>>,
    /// All keys of `tasks` are below this.
    keys: usize,
    spawned: u64,
    pub(crate) tickets: u64,
}

pub(crate) struct Slot {
    task: u64,
    pub(crate) group: usize,
    phase: Phase,
    body: Body,
    waker: Waker,
    priority: i64,
    /// Polls in a row that each ended with the task already woken; a long one counts as [`LONG_POLL`].
    restless: u64,
}

/// For how many polls one counts that has used up its budget of operations: it takes about that much longer.
const LONG_POLL: u64 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Blocked,
    Queued,
    Running,
    Rewoken,
}

pub(crate) enum Body {
    /// The main future.
    Main,
    Job(Job),
    /// The software that a host runs by itself.
    #[cfg(feature = "net")]
    Program(Pin<Box<dyn Future<Output = ()> + Send>>),
    Work(Work),
    /// A blocking job that has begun, and waits.
    Thread(JobThread),
    /// Being polled.
    Away,
}

impl Body {
    fn label(&self) -> String {
        match self {
            Body::Main => "the main future".to_owned(),
            Body::Job(job) => job.to_string(),
            #[cfg(feature = "net")]
            Body::Program(_) => "the program of a host".to_owned(),
            Body::Work(_) | Body::Thread(_) => "a blocking job".to_owned(),
            Body::Away => "the task that runs".to_owned(),
        }
    }
}

/// A task that was picked, taken out of its slot.
struct Turn {
    key: usize,
    body: Body,
    waker: Waker,
}

impl Sim {
    pub(crate) fn new(config: &Builder, keep_tape: bool) -> Self {
        let schedule = config.schedule.clone();
        let state = State {
            now: config.start,
            active_at: config.start,
            autojump: config.autojump,
            choices: Choices::new(schedule.seed, config.policy, schedule.script, keep_tape),
            recorder: Recorder::new(config.record),
            timers: Timers::default(),
            waiters: BTreeMap::new(),
            steps: 0,
            used_up: false,
            threads: 0,
            holds: 0,
            outside: 0,
            over: false,
            next_blocking: None,
            #[cfg(feature = "net")]
            world: World::new(),
            tasks: Slab::new(),
            ready: VecDeque::new(),
            paused: BTreeMap::new(),
            keys: 0,
            spawned: 0,
            tickets: 0,
        };
        let (state, outside, home) = (Mutex::new(state), Condvar::new(), thread::current().id());
        let sim = Sim { shared: Arc::new(Shared { config: config.clone(), home, state, outside }), group: 0 };
        // The queue of a new simulation takes in everything.
        let _accepted = sim.add(Body::Main, |_, _| true);
        sim
    }

    /// Runs until the main future is ready.
    pub(crate) fn drive<F: Future>(&self, mut main: Pin<&mut F>) -> Result<F::Output, Stuck> {
        let mut due = Vec::new();
        loop {
            let Some(mut turn) = self.next_turn(&mut due)? else {
                due.drain(..).for_each(Waker::wake);
                continue;
            };
            let mut context = Context::from_waker(&turn.waker);
            let ended = match turn.body {
                Body::Main => match main.as_mut().poll(&mut context) {
                    Poll::Ready(output) => {
                        let mut state = self.lock();
                        let at = state.now;
                        state.recorder.add(at, Event::End(0));
                        return Ok(output);
                    }
                    Poll::Pending => false,
                },
                Body::Job(ref mut job) => Pin::new(job).poll(&mut context).is_ready(),
                #[cfg(feature = "net")]
                Body::Program(ref mut program) => program.as_mut().poll(&mut context).is_ready(),
                Body::Work(work) => {
                    let waiting = self.begin(work, &turn.waker);
                    let ended = waiting.is_none();
                    turn.body = waiting.map_or(Body::Away, Body::Thread);
                    ended
                }
                Body::Thread(ref thread) => thread.turn(&turn.waker),
                Body::Away => unreachable!("a task in the queue is in its slot"),
            };
            self.end_turn(turn, ended)?;
        }
    }

    /// Gives a blocking job its first turn. It comes back if it waits.
    fn begin(&self, work: Work, waker: &Waker) -> Option<JobThread> {
        match JobThread::new(self, work) {
            Ok(thread) => (!thread.turn(waker)).then_some(thread),
            Err(work) => {
                // No thread to be had: here, as long as it waits for nothing.
                work();
                None
            }
        }
    }

    /// The next task to poll, or none if timers or waiters are due: these are put into `due`, to be woken.
    fn next_turn(&self, due: &mut Vec<Waker>) -> Result<Option<Turn>, Stuck> {
        let mut state = self.lock();
        let mut patience = self.config().patience;
        loop {
            if !state.ready.is_empty() {
                return state.take_turn(self.config()).map(Some);
            }
            // The clock does not move while a thread may still do something at the present time.
            if state.holds > 0 {
                let waits = |state: &mut State| state.ready.is_empty() && state.holds > 0;
                state = self.shared.outside.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if state.threads == 0 || patience.is_zero() {
                if state.advance(self.config(), due)? {
                    return Ok(None);
                }
                if patience.is_zero() {
                    return Err(if state.timers.is_empty() { Stuck::Deadlock } else { Stuck::ClockStands });
                }
            }
            // Anything may let it go on: a task that is woken, a timer that is armed, a job that ends.
            let seen = state.outside;
            let unchanged = |state: &mut State| state.outside == seen;
            let wait = self.shared.outside.wait_timeout_while(state, patience, unchanged);
            let (guard, waited) = wait.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() {
                patience = Duration::ZERO;
            }
        }
    }

    fn end_turn(&self, turn: Turn, ended: bool) -> Result<(), Stuck> {
        let mut state = self.lock();
        let used_up = std::mem::take(&mut state.used_up);
        if ended {
            let slot = state.tasks.remove(turn.key);
            let at = state.now;
            state.recorder.add(at, Event::End(slot.task));
            drop(state);
            // Here, not earlier: dropping the job and its waker may run code of the user.
            drop((slot, turn));
            return Ok(());
        }
        let State { tasks, ready, choices, paused, .. } = &mut *state;
        let slot = &mut tasks[turn.key];
        if slot.phase == Phase::Rewoken {
            slot.restless += if used_up { LONG_POLL } else { 1 };
            if slot.restless > self.config().poll_budget {
                drop(state);
                let stuck = Stuck::Restless(turn.body.label());
                // Not dropped here: it is to be seen in the live tree.
                self.lock().tasks[turn.key].body = turn.body;
                return Err(stuck);
            }
            slot.phase = Phase::Queued;
            slot.priority = choices.give_way();
            let ready = paused.get_mut(&slot.group).unwrap_or(ready);
            ready.push_back(Ready { key: turn.key, priority: slot.priority });
        } else {
            slot.phase = Phase::Blocked;
            slot.restless = 0;
        }
        slot.body = turn.body;
        slot.waker = turn.waker;
        Ok(())
    }

    /// Takes in a task; gives it back if the simulation is over. `runnable` says whether the task, of the given key, is
    /// runnable at once.
    pub(crate) fn add(&self, body: Body, runnable: impl FnOnce(&mut State, usize) -> bool) -> Result<(), Body> {
        let label = self.config().record.then(|| body.label());
        let mut state = self.lock();
        if state.over {
            return Err(body);
        }
        let (task, at) = (state.spawned, state.now);
        state.spawned += 1;
        state.recorder.spawn(at, task, label);
        let priority = state.choices.priority();
        let key = state.tasks.vacant_key();
        let waker = Waker::from(Arc::new(TaskWaker { sim: self.clone(), key, task }));
        state.keys = state.keys.max(key + 1);
        state.tasks.insert(Slot { task, group: self.group, phase: Phase::Blocked, body, waker, priority, restless: 0 });
        if runnable(&mut state, key) {
            state.make_runnable(key);
        }
        self.changed(state);
        Ok(())
    }

    /// Ends the simulation: runs the blocking jobs that are left (R8), then drops the tasks that are left (R10).
    pub(crate) fn tear_down(&self) {
        loop {
            let left = self.lock().take_work();
            if left.is_empty() {
                break;
            }
            for work in left {
                drop(self.begin(work, Waker::noop()));
            }
        }
        // From here on nothing is taken in, so that one pass empties everything.
        let mut state = self.lock();
        state.over = true;
        let State { tasks, timers, waiters, .. } = &mut *state;
        let left = (std::mem::take(tasks), std::mem::take(timers), std::mem::take(waiters));
        #[cfg(feature = "net")]
        let left = (left, std::mem::replace(&mut state.world, World::new()));
        drop(state);
        drop(left);
    }

    pub(crate) fn config(&self) -> &Builder {
        &self.shared.config
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the user runs under the lock, so a poisoned one guards sound data.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks after a change that may make the simulation go on, and tells it if this is another thread.
    pub(crate) fn changed(&self, mut state: MutexGuard<'_, State>) {
        if thread::current().id() != self.shared.home && !lockstep::in_turn() {
            state.outside += 1;
            drop(state);
            self.shared.outside.notify_one();
        }
    }
}

impl State {
    /// Puts a task that is blocked into the queue.
    pub(crate) fn make_runnable(&mut self, key: usize) {
        let slot = &mut self.tasks[key];
        debug_assert!(slot.phase == Phase::Blocked, "only a blocked task becomes runnable");
        slot.phase = Phase::Queued;
        let ready = self.paused.get_mut(&slot.group).unwrap_or(&mut self.ready);
        ready.push_back(Ready { key, priority: slot.priority });
    }

    /// Takes the next task out of its slot; the queue is not empty.
    fn take_turn(&mut self, config: &Builder) -> Result<Turn, Stuck> {
        if self.steps == config.step_limit {
            return Err(Stuck::Steps);
        }
        self.steps += 1;
        self.active_at = self.now;
        let spurious = self.spurious(config);
        let key = spurious.unwrap_or_else(|| {
            let picked = self.choices.pick(&mut self.ready);
            self.tasks[picked.key].priority = picked.priority;
            picked.key
        });
        let slot = &mut self.tasks[key];
        slot.phase = Phase::Running;
        let task = slot.task;
        let body = std::mem::replace(&mut slot.body, Body::Away);
        let waker = std::mem::replace(&mut slot.waker, Waker::noop().clone());
        self.recorder.add(self.now, if spurious.is_some() { Event::Spurious(task) } else { Event::Poll(task) });
        Ok(Turn { key, body, waker })
    }

    /// Chooses whether to poll a blocked task instead of a runnable one, and which.
    fn spurious(&mut self, config: &Builder) -> Option<usize> {
        if !self.choices.chance(config.spurious) {
            return None;
        }
        // A key that is vacant, or a task that is not blocked, is a no: so the draw needs no list of blocked tasks.
        let key = self.choices.up_to(self.keys as u64 - 1) as usize;
        let slot = self.tasks.get(key)?;
        let may_be_polled = slot.phase == Phase::Blocked && !matches!(slot.body, Body::Work(_));
        (may_be_polled && !self.paused.contains_key(&slot.group)).then_some(key)
    }

    fn take_work(&mut self) -> Vec<Work> {
        let bodies = self.tasks.iter_mut().map(|(_, slot)| &mut slot.body).filter(|body| matches!(body, Body::Work(_)));
        let taken = bodies.map(|body| std::mem::replace(body, Body::Away));
        taken.filter_map(|body| if let Body::Work(work) = body { Some(work) } else { None }).collect()
    }
}

impl Runtime for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn spawn(&self, job: Job) {
        // A job that comes back is dropped here, outside the lock (R2).
        drop(self.add(Body::Job(job), |_, _| true));
    }

    fn now(&self) -> Instant {
        self.lock().now
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SimTimer::of_tree(self.clone()))
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.run_blocking(work)
    }

    fn entropy(&self) -> u64 {
        self.lock().choices.random()
    }

    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        let poll = poll_own_budget(cx);
        if poll.is_pending() {
            self.lock().used_up = true;
        }
        poll
    }

    fn wait(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        lockstep::wait(poll);
    }

    fn give_way(&self) {
        lockstep::give_way(self);
    }
}

struct TaskWaker {
    sim: Sim,
    key: usize,
    /// Tells the task from a later one in the same slot.
    task: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.sim.lock();
        let Some(slot) = state.tasks.get_mut(self.key).filter(|slot| slot.task == self.task) else { return };
        match slot.phase {
            Phase::Blocked => state.make_runnable(self.key),
            Phase::Running => slot.phase = Phase::Rewoken,
            Phase::Queued | Phase::Rewoken => return,
        }
        self.sim.changed(state);
    }
}
