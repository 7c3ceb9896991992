//! The record of a run: the same things as in the model's `EXPECT`, and those that the invariants need to know.
//!
//! A run has one thread, so the record is thread-local: futures and destructors reach it from anywhere.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foster::nursery::TaskStatus;
use foster::observer::{HostDropped, Observer, Orphan, OrphanKind};
use foster::{LocalNursery, Nursery, ScopeHandle, Task};

use super::finalizer::FinalizerSeen;
use super::host;
use super::interpret::Fut;
use super::links::{Commit, Links};
use super::program::{Id, Program, Sort};
use super::turns::Turns;

/// Errors by name. Each has to end in exactly one place (I10): who takes them out accounts for them, and one that is
/// dropped is noted.
pub(crate) struct Errs {
    ids: Vec<Id>,
    settled: AtomicBool,
}

impl Errs {
    pub(crate) fn new(ids: Vec<Id>) -> Self {
        Errs { ids, settled: AtomicBool::new(false) }
    }

    pub(crate) fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The caller has them now.
    pub(crate) fn take(self) -> Vec<Id> {
        self.settled.store(true, Ordering::Relaxed);
        self.ids.clone()
    }
}

impl Drop for Errs {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            let inside = INSIDE.get();
            with(|world| world.dropped.extend(self.ids.iter().map(|id| (*id, inside))));
        }
    }
}

impl fmt::Debug for Errs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if IN_HOOK.get() {
            self.settled.store(true, Ordering::Relaxed);
            with(|world| world.hook.extend(&self.ids));
        }
        write!(f, "{:?}", self.ids)
    }
}

/// The payload of the panics of programs.
pub(crate) struct Thrown(pub Id);

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
    /// The innermost scope whose future is being polled or dropped.
    pub(crate) static INSIDE: Cell<Option<Id>> = const { Cell::new(None) };
}

/// How a scope or task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Value,
    Cancelled,
    /// Or dropped by a delivery.
    Parked,
    /// Dropped by foreign code, or leaked.
    Abandoned,
    Err(Vec<Id>),
    /// With its name, where that can be seen.
    Panic(Option<Id>),
}

/// By what a scope can be reached.
#[derive(Clone, Default)]
pub(crate) enum Target {
    #[default]
    None,
    Scope(ScopeHandle),
    Nursery(Nursery<Errs>),
    Local(LocalNursery<'static, Errs>),
    Task(Arc<Mutex<Task<()>>>),
    /// By nothing: a bracket, or a scope without a handle.
    Blind,
}

/// The state of the body of a scope or task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyState {
    #[default]
    Unpolled,
    Live,
    Returned,
    Panicked,
    Dropped,
}

/// How the driver of a scope was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Dropped by foreign code, or with a scope that was.
    Foreign,
    /// Dropped by a delivery further out that found it undriven.
    Undriven,
    Leaked,
}

/// The record of a scope or task.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub entered: bool,
    pub target: Target,
    /// How and when it ended.
    pub out: Option<(Out, u64)>,
    pub body: BodyState,
    pub polled: bool,
    /// A child of a `start`.
    pub starting: bool,
    /// A started child has been ready, and is in the nursery that it was started for.
    pub moved: bool,
    /// The errors that the body returned.
    pub returned: Vec<Id>,
    /// The panic of the body.
    pub thrown: Option<Id>,
    pub lost: Option<Lost>,
    /// Its future is being dropped at this moment.
    pub dropping: bool,
    /// It was dropped because of a delivery.
    pub cut: bool,
    /// Where it stands now: in its adopter, if it was lost.
    pub parent: Option<Id>,
}

/// How the host of a run went, if it went before its time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    pub gone: bool,
    /// The report to the observer.
    pub told: Option<HostDropped>,
    /// The numbers of those that were alive: tasks, finalizers, and among these the finalizers whose end nobody can
    /// see.
    pub tasks: usize,
    pub finalizers: usize,
    pub rough: usize,
}

/// Everything that is seen of a run.
pub(crate) struct World {
    pub program: Arc<Program>,
    pub seen: Vec<Seen>,
    /// In the order in which they were registered.
    pub finalizers: Vec<FinalizerSeen>,
    /// Those that have started, by index, in that order.
    pub started: Vec<usize>,
    /// When each was dropped, if it was.
    pub locals: BTreeMap<Id, Option<u64>>,
    pub awaits: BTreeMap<Id, &'static str>,
    pub links: Links,
    pub turns: Turns,
    /// How many `start` operations were not answered yet: each has a scope around the child, which nobody sees.
    pub pending_starts: usize,
    /// The results of `commit` and of operations on channels, and when they came.
    pub commits: Vec<(Id, Commit, u64)>,
    /// The results that the handles of tasks have given.
    pub joins: BTreeMap<Id, &'static str>,
    /// The `hold` operations whose body is not polled now, and those that ever did so.
    pub stopped: Vec<bool>,
    pub ever_stopped: Vec<bool>,
    pub made_errors: Vec<Id>,
    pub made_panics: Vec<Id>,
    /// Errors that the observer got.
    pub hook: Vec<Id>,
    /// Errors that foreign code took.
    pub foreign: Vec<Id>,
    /// Errors that nobody took, and in which scope's future.
    pub dropped: Vec<(Id, Option<Id>)>,
    /// The futures that were leaked: to be dropped when the run is over.
    pub attic: Vec<Fut>,
    pub root: Option<(Out, u64)>,
    pub host: Host,
    /// The run is over: drops from now on are not part of it.
    pub over: bool,
    /// The scopes whose bodies are being dropped, innermost last; `None` for one that is not delivered but lost.
    pub delivering: Vec<Option<Id>>,
    /// For each of them, whether it goes because of a delivery, be it one further out.
    pub cutting: Vec<bool>,
    pub counts: BTreeMap<&'static str, u64>,
    /// Broken invariants.
    pub broken: Vec<String>,
    /// Scopes that nobody has to reach get no handle.
    pub light: bool,
    /// Finalizers of some size get one of their own, which notes their end.
    pub probes: bool,
}

/// Accesses the record of the run on this thread. Nothing of the program may be dropped inside.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| f(world.as_mut().expect("a run is being observed")))
}

/// Starts a record.
pub(crate) fn begin(program: Arc<Program>, light: bool, probes: bool) {
    let (names, holds) = (program.names.len(), program.holds);
    let world = World {
        program,
        seen: vec![Seen::default(); names],
        finalizers: Vec::new(),
        started: Vec::new(),
        locals: BTreeMap::new(),
        awaits: BTreeMap::new(),
        links: Links::default(),
        turns: Turns::default(),
        pending_starts: 0,
        commits: Vec::new(),
        joins: BTreeMap::new(),
        stopped: vec![false; holds],
        ever_stopped: vec![false; holds],
        made_errors: Vec::new(),
        made_panics: Vec::new(),
        hook: Vec::new(),
        foreign: Vec::new(),
        dropped: Vec::new(),
        attic: Vec::new(),
        root: None,
        host: Host::default(),
        over: false,
        delivering: Vec::new(),
        cutting: Vec::new(),
        counts: BTreeMap::new(),
        broken: Vec::new(),
        light,
        probes,
    };
    WORLD.with_borrow_mut(|slot| *slot = Some(world));
}

/// Ends the run: drops what was leaked.
pub(crate) fn clear_attic() {
    let left = with(|world| {
        world.over = true;
        (std::mem::take(&mut world.attic), std::mem::take(&mut world.links), std::mem::take(&mut world.turns))
    });
    drop(left);
}

/// Ends the record, and gives it out.
pub(crate) fn end() -> World {
    // Handles keep their scopes in memory; the live_counts counts those.
    let reached = |target: &Target| !matches!(target, Target::Blind);
    let targets: Vec<_> = with(|world| {
        let targets = world.seen.iter_mut().map(|seen| &mut seen.target).filter(|target| reached(target));
        targets.map(std::mem::take).collect()
    });
    drop(targets);
    WORLD.with_borrow_mut(Option::take).expect("a run was observed")
}

/// The time of the program in ms.
pub(crate) fn now() -> u64 {
    host::elapsed().as_millis() as u64
}

/// The name that a panic carries.
pub(crate) fn thrown(payload: &(dyn std::any::Any + Send)) -> Option<Id> {
    payload.downcast_ref::<Thrown>().map(|thrown| thrown.0)
}

impl World {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn broken(&mut self, text: impl Into<String>) {
        self.broken.push(text.into());
    }

    pub(crate) fn seen(&mut self, id: Id) -> &mut Seen {
        &mut self.seen[id.index()]
    }

    /// Nothing of the program is looked at any more: it is over, or its host is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.over || self.host.gone
    }

    /// A scope or task has got its place in the tree.
    pub(crate) fn enter(&mut self, id: Id, target: Target) {
        let program = self.program.clone();
        let parent = program.info(id).parent;
        *self.seen(id) = Seen { entered: true, target, parent, ..Seen::default() };
        if let Some(parent) = parent.filter(|parent| self.is_closed(*parent) == Some(true)) {
            self.broken(format!("I1: {} opened under {}, which is closed", program.name(id), program.name(parent)));
        }
    }

    /// Whether a scope or task is Closed; `None` where that cannot be seen.
    pub(crate) fn is_closed(&self, id: Id) -> Option<bool> {
        let seen = &self.seen[id.index()];
        if seen.out.is_some() {
            return Some(true);
        }
        match (&seen.target, self.program.info(id).sort) {
            (Target::Scope(handle), _) => Some(handle.is_closed()),
            (Target::Nursery(nursery), _) => Some(nursery.is_closed()),
            (Target::Local(nursery), _) => Some(nursery.is_closed()),
            (Target::Task(task), _) => Some(lock(task).is_finished()),
            // A bracket ends with its release, the finalizer that it had first.
            (_, Sort::Bracket) => self.finalizers.iter().find(|f| f.owner == id)?.is_closed(),
            (_, Sort::Finalizer) => self.finalizers.iter().find(|f| f.id == id)?.is_closed(),
            _ => None,
        }
    }

    /// Whether foreign code holds the scope without polling it.
    pub(crate) fn is_held(&self, id: Id) -> bool {
        self.program.info(id).holds.iter().any(|hold| self.stopped[*hold])
    }

    /// Notes how a scope ended.
    pub(crate) fn close(&mut self, id: Id, out: Out, at: u64) {
        let seen = &mut self.seen[id.index()];
        if seen.out.is_none() {
            seen.out = Some((out, at));
            self.check_closed(id);
            self.count_failures(id);
        }
    }

    /// Looks for what has ended without anybody to tell; called when nothing is runnable.
    pub(crate) fn scan(&mut self, at: u64) {
        if self.is_over() {
            return;
        }
        let program = self.program.clone();
        for id in program.ids() {
            let seen = &self.seen[id.index()];
            if !seen.entered || seen.out.is_some() || self.is_closed(id) != Some(true) {
                continue;
            }
            let (out, mut closed_at) = (self.unseen_end(id), at);
            if program.info(id).sort == Sort::Bracket {
                let release = self.finalizers.iter().find(|f| f.owner == id);
                closed_at = release.map_or(at, |release| release.end);
            }
            self.close(id, out, closed_at);
        }
        self.check_failures();
    }

    /// Whether the future of a scope is gone before it was ready, also if `scan` has not come by since that was forgotten.
    pub(crate) fn is_lost(&self, id: Id) -> bool {
        let seen = &self.seen[id.index()];
        seen.lost.is_some() || seen.out.is_none() && self.program.info(id).leaks.iter().any(|leak| self.stopped[*leak])
    }

    /// The end of a task, or of a scope that a reaper has closed.
    fn unseen_end(&mut self, id: Id) -> Out {
        let seen = &self.seen[id.index()];
        if let Target::Task(task) = &seen.target {
            return match lock(task).status() {
                TaskStatus::Finished => Out::Value,
                TaskStatus::Failed => Out::Err(seen.returned.clone()),
                TaskStatus::Panicked => Out::Panic(seen.thrown),
                _ => Out::Cancelled,
            };
        }
        if seen.lost.is_none() && self.is_lost(id) {
            self.seen(id).lost = Some(Lost::Leaked);
            self.count("lost: leaked");
        }
        if self.seen(id).cut { Out::Parked } else { Out::Abandoned }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The observer of the runs.
pub(crate) struct Hook;

impl Observer for Hook {
    fn orphan(&self, orphan: &Orphan<'_>) {
        IN_HOOK.set(true);
        let _text = format!("{:?}", orphan.error);
        IN_HOOK.set(false);
        with(|world| {
            world.count(match orphan.kind {
                OrphanKind::Later => "orphans: later",
                OrphanKind::Finalizer => "orphans: finalizer",
                OrphanKind::Reaped => "orphans: reaped",
                OrphanKind::Panicked => "orphans: panicked",
                _ => "orphans: other",
            });
        });
    }

    fn host_dropped(&self, report: &HostDropped) {
        with(|world| world.host.told = Some(*report));
    }
}
