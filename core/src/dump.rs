//! A picture of a live tree, for people and monitors: which scopes there are, how far each has come, and what it
//! waits for.
//!
//! A thread that takes a dump goes down the tree and locks one node at a time, for the time of a copy (Invariant 1).
//! So it may be taken at any moment and on any thread, and it stops nobody for long; what it shows is no single
//! instant of the tree, which no thread could see anyway.

mod json;

use std::fmt;
use std::time::Duration;

use crate::Instant;
use crate::reason::{Origin, Reason};
use crate::tree::children::Role;
use crate::tree::current;
use crate::tree::flags::CANCELLED;
use crate::tree::node::{Kind, Life, NodeRef, State};
use crate::tree::root::TreeHandle;

/// A snapshot of the scopes that lived in a tree at one moment, with their names, sites and states. `Display` prints it
/// as an indented tree (beyond fifty levels with the number of the level instead), [`to_json`](Dump::to_json) makes a
/// document of it.
///
/// It is taken node by node, each under its own lock for the time of a copy, so it may be taken in production; scopes
/// that come or go meanwhile may or may not be in it.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    // Depth first: a scope comes before what is inside it, in the order of the children table.
    scopes: Vec<DumpedScope>,
}

/// One scope of a [`Dump`]. Parents come before what is inside them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DumpedScope {
    /// The kind of scope: `"task"`, `"nursery"`, `"cancel scope"`, `"thread"` and so on.
    pub kind: &'static str,
    /// Its name, and where it was made or spawned.
    pub origin: Origin,
    /// The scope around it, as an index into [`Dump::scopes`]; none for the first.
    pub parent: Option<usize>,
    /// How many scopes are around it in this dump.
    pub depth: usize,
    /// How far it has come.
    pub state: ScopeState,
    /// It is a daemon of its nursery.
    pub daemon: bool,
    /// Its future was dropped or leaked; the scope around it waits for what is left.
    pub abandoned: bool,
    /// Its own deadline.
    pub deadline: Option<Instant>,
    /// When the dump was taken: the same for all of its scopes.
    pub seen_at: Instant,
    /// Its own request to stop, if there is one.
    pub request: Option<DumpedRequest>,
    /// Finalizers that wait or run.
    pub finalizers: usize,
    /// The operations its body waits for. Noted only in trees that [watch](crate::runtime::Root::watch).
    pub waits_for: Vec<&'static str>,
}

/// How far a scope of a [`Dump`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeState {
    /// Its body runs.
    Open,
    /// Its body runs, and has to stop at its next checkpoint.
    Cancelled,
    /// Its body is over; it waits for what is inside.
    Draining,
    /// Its finalizers run.
    Finalizing,
    /// It has ended.
    Closed,
}

/// A request to stop, in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DumpedRequest {
    /// Why.
    pub reason: Reason,
    /// How long ago.
    pub age: Duration,
    /// How long graceful shields still hold it off.
    pub grace_left: Duration,
}

/// Returns a snapshot of the tree that the calling code is in; it is empty outside of any tree.
///
/// # Examples
///
/// ```
/// use foster::{CancelScope, checkpoint, dump};
///
/// # foster_sim::run(1, async {
/// let seen = CancelScope::new().named("import").run(async { checkpoint().await; dump() }).await.unwrap();
/// assert!(seen.scopes().iter().any(|scope| scope.origin.name() == "import"));
/// println!("{seen}"); // or `seen.to_json()`
/// # });
/// ```
#[must_use]
pub fn dump() -> Dump {
    Dump::of(current::tree().and_then(|tree| tree.root()).as_ref())
}

impl Dump {
    /// Takes the dump of what is below a node, that node included; an empty one for none. No lock may be held.
    pub(crate) fn of(root: Option<&NodeRef>) -> Dump {
        let mut scopes = Vec::new();
        // One look at the clock: ages and graces in one dump belong together.
        let now = root.and_then(|root| root.tree()).map_or(Instant::from_nanos(0), |tree| tree.now());
        // Scopes that are still to be visited, the next one last; a loop and no recursion, as trees may be deep
        // (L37).
        let mut open: Vec<(Option<usize>, usize, Role, NodeRef)> =
            root.map(|root| (None, 0, Role::Inner, root.clone())).into_iter().collect();
        while let Some((parent, depth, role, node)) = open.pop() {
            let state = node.lock();
            let scope = DumpedScope::of(&node, &state, role, now, (parent, depth));
            let here = Some(scopes.len());
            let below: Vec<_> =
                state.children.iter().map(|(role, node)| (here, depth + 1, role, node.clone())).collect();
            scopes.push(scope);
            drop(state);
            // The last one is visited next: turned round, so that siblings come in their order.
            open.extend(below.into_iter().rev());
        }
        Dump { scopes }
    }

    /// The scopes, tasks included; each before what is inside it.
    #[must_use]
    pub fn scopes(&self) -> &[DumpedScope] {
        &self.scopes
    }

    /// Returns the scopes with nothing inside them: where the tree is at work, or waits.
    pub fn leaves(&self) -> impl Iterator<Item = &DumpedScope> {
        let inner: Vec<bool> = self.scopes.iter().fold(vec![false; self.scopes.len()], |mut inner, scope| {
            scope.parent.into_iter().for_each(|parent| inner[parent] = true);
            inner
        });
        self.scopes.iter().zip(inner).filter(|(_, inner)| !inner).map(|(scope, _)| scope)
    }

    /// Returns the task that a scope of this dump runs in, itself included; none for a scope of the root's own body,
    /// or if the dump begins further in.
    #[must_use]
    pub fn task_of<'a>(&'a self, scope: &'a DumpedScope) -> Option<&'a DumpedScope> {
        let mut scope = scope;
        while scope.kind != "task" {
            scope = self.scopes.get(scope.parent?)?;
        }
        Some(scope)
    }

    /// Returns whether the dump is empty, because the tree has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }
}

impl TreeHandle {
    /// Returns the scopes that live in the tree at this moment.
    #[must_use]
    pub fn dump(&self) -> Dump {
        Dump::of(self.0.root().as_ref())
    }
}

impl DumpedScope {
    /// Copies what is shown of one scope, under its lock: plain data, and names that are shared.
    fn of(node: &NodeRef, state: &State, role: Role, now: Instant, (parent, depth): (Option<usize>, usize)) -> Self {
        DumpedScope {
            kind: node.kind.name(),
            origin: node.origin.clone(),
            parent,
            depth,
            state: match state.life {
                Life::Open if node.flagged(CANCELLED) => ScopeState::Cancelled,
                Life::Open => ScopeState::Open,
                // It waits for the end of its job.
                Life::Finalizing if node.kind == Kind::Thread => ScopeState::Open,
                Life::Draining => ScopeState::Draining,
                Life::Finalizing => ScopeState::Finalizing,
                Life::Closed => ScopeState::Closed,
            },
            daemon: role == Role::Daemon,
            abandoned: role == Role::Orphan,
            deadline: (state.deadline != Instant::NEVER).then_some(state.deadline),
            seen_at: now,
            request: state.request().map(|request| DumpedRequest {
                reason: request.reason.clone(),
                age: now - request.soft,
                grace_left: request.hard - now,
            }),
            finalizers: node.users_finalizers(state),
            // A body that is over waits for nothing; what is left in the list is of its last poll.
            waits_for: match &state.cold {
                Some(cold) if state.life == Life::Open => cold.waits_for.clone(),
                _ => Vec::new(),
            },
        }
    }
}

impl fmt::Display for DumpedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.origin)?;
        if self.daemon {
            f.write_str(", daemon")?;
        }
        if self.abandoned {
            f.write_str(", abandoned")?;
        }
        f.write_str(match self.state {
            ScopeState::Open => "",
            ScopeState::Cancelled => ", cancelled",
            ScopeState::Draining => ", waits for its children",
            ScopeState::Finalizing => ", runs finalizers",
            ScopeState::Closed => ", closed",
        })?;
        if let Some(request) = &self.request {
            write!(f, ", asked to stop {:?} ago: {}", request.age, request.reason)?;
            if request.grace_left > Duration::ZERO {
                write!(f, ", grace left {:?}", request.grace_left)?;
            }
        } else if let Some(deadline) = self.deadline {
            match deadline > self.seen_at {
                true => write!(f, ", deadline in {:.1?}", deadline - self.seen_at)?,
                false => write!(f, ", deadline passed {:.1?} ago", self.seen_at - deadline)?,
            }
        }
        if !self.waits_for.is_empty() {
            write!(f, ", waits for {}", self.waits_for.join(" and "))?;
        }
        Ok(())
    }
}

/// So many levels are indented. Further in the number of the level is written, as the text would grow with its square.
const MAX_INDENTED: usize = 50;

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scope in &self.scopes {
            let indent = 2 * scope.depth.min(MAX_INDENTED);
            match scope.depth {
                depth if depth > MAX_INDENTED => writeln!(f, "{:indent$}({depth}) {scope}", "")?,
                _ => writeln!(f, "{:indent$}{scope}", "")?,
            }
        }
        Ok(())
    }
}
