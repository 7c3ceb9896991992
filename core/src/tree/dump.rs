//! A picture of a live tree.

mod json;

use std::fmt;
use std::time::Duration;

use super::children::Role;
use super::current;
use super::flags::CANCELLED;
use super::node::{Life, NodeRef, State};
use crate::Instant;
use crate::reason::{Origin, Reason};

/// What lived in a tree at one moment: scopes with their names, sites and states. `Display` prints it as an indented tree,
/// [`to_json`](Dump::to_json) makes a document of it.
///
/// It is taken node by node, each under its own lock for the time of a copy, so it may be taken in production; scopes that come
/// or go meanwhile may or may not be in it.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    scopes: Vec<DumpedScope>,
}

/// One scope of a [`Dump`]. Parents come before what is inside them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DumpedScope {
    /// What it is: `"task"`, `"nursery"`, `"cancel scope"`, `"thread"` and so on.
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

/// What lives now in the tree that the calling code stands in; empty outside of any tree.
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
    let Some(tree) = current::tree() else { return Dump::default() };
    Dump::of(tree.root().as_ref())
}

impl Dump {
    pub(crate) fn of(root: Option<&NodeRef>) -> Dump {
        let mut scopes = Vec::new();
        let now = root.and_then(|root| root.tree()).map_or(Instant::from_nanos(0), |tree| tree.now());
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
            open.extend(below.into_iter().rev());
        }
        Dump { scopes }
    }

    /// The scopes, tasks included; each before what is inside it.
    #[must_use]
    pub fn scopes(&self) -> &[DumpedScope] {
        &self.scopes
    }

    /// The scopes with nothing inside them: where the tree is at work, or waits.
    pub fn leaves(&self) -> impl Iterator<Item = &DumpedScope> {
        let inner: Vec<bool> = self.scopes.iter().fold(vec![false; self.scopes.len()], |mut inner, scope| {
            scope.parent.into_iter().for_each(|parent| inner[parent] = true);
            inner
        });
        self.scopes.iter().zip(inner).filter(|(_, inner)| !inner).map(|(scope, _)| scope)
    }

    /// The task that a scope of this dump runs in, itself included; none for what stands directly in the root, or if the dump
    /// begins further in.
    #[must_use]
    pub fn task_of<'a>(&'a self, scope: &'a DumpedScope) -> Option<&'a DumpedScope> {
        let mut scope = scope;
        while scope.kind != "task" {
            scope = self.scopes.get(scope.parent?)?;
        }
        Some(scope)
    }

    /// Whether the tree has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }
}

impl DumpedScope {
    fn of(node: &NodeRef, state: &State, role: Role, now: Instant, (parent, depth): (Option<usize>, usize)) -> Self {
        DumpedScope {
            kind: node.kind.name(),
            origin: node.origin.clone(),
            parent,
            depth,
            state: match state.life {
                Life::Open if node.flagged(CANCELLED) => ScopeState::Cancelled,
                Life::Open => ScopeState::Open,
                Life::Draining => ScopeState::Draining,
                Life::Finalizing => ScopeState::Finalizing,
                Life::Closed => ScopeState::Closed,
            },
            daemon: role == Role::Daemon,
            abandoned: role == Role::Orphan,
            deadline: (state.deadline != Instant::NEVER).then_some(state.deadline),
            request: state.request().map(|request| DumpedRequest {
                reason: request.reason.clone(),
                age: now - request.soft,
                grace_left: request.hard - now,
            }),
            finalizers: state.finalizers(),
            waits_for: if state.life == Life::Open { state.waits_for().to_vec() } else { Vec::new() },
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
            write!(f, ", deadline {deadline:?}")?;
        }
        if !self.waits_for.is_empty() {
            write!(f, ", waits for {}", self.waits_for.join(" and "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scope in &self.scopes {
            writeln!(f, "{:indent$}{scope}", "", indent = 2 * scope.depth)?;
        }
        Ok(())
    }
}
