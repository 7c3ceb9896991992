//! Futures around the parts of a scope that note what becomes of it: around the future that the user awaits, and around
//! the body inside.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use foster::nursery::TaskStatus;

use super::host;
use super::interpret::{Fut, Res};
use super::program::{Id, Info, Sort};
use super::world::{BodyState, Errs, INSIDE, Lost, Out, Target, World, lock, now, thrown, with};

/// The result of a construct of foster.
pub(crate) enum End {
    Returned(Res),
    /// Its cancelled form.
    Cancelled,
}

/// Calls `f` as part of the future of a scope.
pub(crate) fn inside<R>(id: Id, f: impl FnOnce() -> R) -> R {
    let before = INSIDE.replace(Some(id));
    let result = f();
    INSIDE.set(before);
    result
}

/// A scope as the code around it sees it.
pub(crate) struct Watched<F> {
    id: Id,
    inner: Option<Pin<Box<F>>>,
    polled: bool,
    over: bool,
}

impl<F: Future<Output = End>> Watched<F> {
    pub(crate) fn new(id: Id, inner: F) -> Self {
        Watched { id, inner: Some(Box::pin(inner)), polled: false, over: false }
    }

    /// A scope that has its place before it is polled.
    pub(crate) fn placed(id: Id, inner: F) -> Self {
        let mut placed = Watched::new(id, inner);
        placed.polled = true;
        placed
    }
}

impl<F: Future<Output = End>> Future for Watched<F> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = &mut *self;
        let id = this.id;
        this.polled = true;
        let inner = this.inner.as_mut().expect("a future that is polled is there");
        let poll = inside(id, || catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx))));
        match poll {
            Ok(Poll::Pending) => {
                with(|world| world.check_parked(id));
                Poll::Pending
            }
            Ok(Poll::Ready(end)) => {
                this.over = true;
                let around = foster::is_cancelled();
                with(|world| world.check_end(id, &end, around));
                Poll::Ready(end)
            }
            Err(payload) => {
                this.over = true;
                let name = thrown(&*payload);
                with(|world| world.close(id, Out::Panic(name), now()));
                resume_unwind(payload)
            }
        }
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        let id = self.id;
        let (closed, by, cut) = with(|world| {
            world.seen(id).dropping = true;
            let cut = world.cutting.last() == Some(&true);
            (world.is_closed(id), world.delivering.last().copied().flatten(), cut)
        });
        let lost = self.polled && !self.over && closed != Some(true);
        if let Some(by) = by.filter(|_| lost && closed.is_some()) {
            with(|world| world.check_cut(id, by));
        }
        inside(id, || drop(self.inner.take()));
        with(|world| {
            world.seen(id).dropping = false;
            if lost && !world.is_over() {
                world.seen(id).cut = cut;
                world.lost(id, if by.is_some() { Lost::Undriven } else { Lost::Foreign });
            }
        });
    }
}

impl World {
    /// The scope is still Pending; if it is Closed, it was parked.
    fn check_parked(&mut self, id: Id) {
        if self.seen(id).out.is_some() || self.is_closed(id) != Some(true) {
            return;
        }
        self.close(id, Out::Parked, now());
        self.count("parked");
        if self.seen(id).body == BodyState::Returned {
            if self.has_cut_child(id) {
                self.count("cut");
            } else if !self.has_unseen_child(id) {
                self.broken(format!("I9: {} had a value, and parked", self.program.name(id)));
            }
        }
    }

    /// The scope has given something to the code around it, which is cancelled or not.
    fn check_end(&mut self, id: Id, end: &End, around_cancelled: bool) {
        let program = self.program.clone();
        let (name, sort) = (program.name(id), program.info(id).sort);
        let full = sort == Sort::Shield || sort == Sort::Thread;
        if let Some((before, _)) = self.seen(id).out.clone() {
            self.broken(format!("L18: {name} has ended twice, the first time as {before:?}"));
        }
        let out = match end {
            End::Returned(Ok(())) => Out::Value,
            End::Returned(Err(errors)) => Out::Err(errors.ids().to_vec()),
            End::Cancelled => Out::Cancelled,
        };
        match out {
            Out::Cancelled => {
                self.count("cancelled forms");
                if self.seen(id).body == BodyState::Returned {
                    self.broken(format!("I9: {name} had a value, and gave its cancelled form"));
                }
                // A shield's own request ends it also in cancelled code.
                if around_cancelled && !full {
                    self.broken(format!("I18: {name} gave its cancelled form to cancelled code"));
                }
            }
            Out::Value if sort == Sort::Nursery && self.has_cut_child(id) => {
                self.broken(format!("I22: {name} gave a value, though a child of it was cut"));
            }
            Out::Value if full && around_cancelled => self.count("shield waits"),
            _ => {}
        }
        self.close(id, out, now());
    }

    /// L33: a child that is no daemon ended cancelled, without a request of its own.
    fn has_cut_child(&self, nursery: Id) -> bool {
        let program = &self.program;
        program.children(nursery).any(|child| match &self.seen[child.index()].target {
            Target::Task(task) if !program.info(child).daemon => {
                let task = lock(task);
                task.status() == TaskStatus::Cancelled && task.reason().is_none()
            }
            _ => false,
        })
    }

    /// I6: of what is driven, a delivery drops only what has nothing left to do.
    fn check_cut(&mut self, id: Id, by: Id) {
        let program = self.program.clone();
        let info = program.info(id);
        let seen = &self.seen[id.index()];
        let unasked = match &seen.target {
            Target::Scope(handle) => handle.reason().is_none(),
            _ => false,
        };
        let has_children =
            program.children(id).any(|child| self.seen[child.index()].entered && self.is_closed(child) == Some(false));
        let has_to_end = info.sort == Sort::Thread
            || info.full && unasked
            || !matches!(seen.body, BodyState::Unpolled | BodyState::Live)
            || has_children
            || self.finalizers.iter().any(|finalizer| finalizer.owner == id && finalizer.is_pending());
        if has_to_end && !self.is_held(id) {
            let (name, by) = (program.name(id), program.name(by));
            self.broken(format!("I6: the delivery of {by} dropped {name}, which was driven and still had to end"));
        }
    }

    /// I27: cancelled code is polled once, but to drive an inner scope.
    fn check_spent(&mut self, id: Id) {
        let program = self.program.clone();
        let is_driven_through = |inner: Id| {
            let info = program.info(inner);
            let entered = self.seen[inner.index()].entered;
            let mut next = info.parent.filter(|_| entered && (info.local || info.sort != Sort::Task));
            while let Some(around) = next.filter(|around| *around != id) {
                let info = program.info(around);
                next = info.parent.filter(|_| info.local || info.sort != Sort::Task);
            }
            next.is_some() && self.is_closed(inner) != Some(true)
        };
        let none = !program.ids().filter(|inner| *inner != id).any(|inner| {
            !matches!(program.info(inner).sort, Sort::Other | Sort::Root | Sort::Local | Sort::Finalizer)
                && is_driven_through(inner)
        });
        if none && self.pending_starts == 0 {
            self.broken(format!("I27: {} was polled again in cancelled code", program.name(id)));
        }
    }

    /// The driver of a scope is gone (L25–L27).
    fn lost(&mut self, id: Id, how: Lost) {
        let program = self.program.clone();
        self.seen(id).lost = Some(how);
        match self.is_closed(id) {
            Some(true) if self.seen(id).cut => self.close(id, Out::Parked, now()),
            Some(true) => self.close(id, Out::Abandoned, now()),
            Some(false) => {
                self.count("adopted");
                if self.finalizers.iter().any(|f| f.owner == id && f.is_running()) {
                    self.count("adopted: half-run finalizer");
                }
                if program.info(id).sort == Sort::Thread {
                    self.count("adopted: thread");
                }
            }
            // It may have been parked; nobody can say.
            None => {}
        }
        self.count(if how == Lost::Undriven { "lost: undriven" } else { "lost: foreign" });
        if how == Lost::Undriven && program.info(id).sort == Sort::Shield {
            self.count("lost: undriven shield");
        }
        // The adopter is the nearest ancestor that is not Closed.
        let mut adopter = self.seen(id).parent;
        while let Some(up) = adopter.filter(|up| self.is_closed(*up) == Some(true)) {
            adopter = self.seen(up).parent.or(program.info(up).parent);
        }
        self.seen(id).parent = adopter;
        // I16
        for child in program.children(id) {
            let Target::Task(task) = &self.seen[child.index()].target else { continue };
            let status = lock(task).status();
            if status == TaskStatus::Running {
                let (name, child) = (program.name(id), program.name(child));
                self.broken(format!("I16: {name} is lost, and its child {child} is not cancelled"));
            } else if status == TaskStatus::Cancelling {
                self.count("adopted: children");
            }
        }
    }
}

/// The body of a scope or task.
pub(crate) struct BodyWatch {
    id: Id,
    inner: Option<Fut>,
    state: BodyState,
    /// It was polled in cancelled code.
    polled_cancelled: bool,
    /// It has had its last poll in cancelled code, and is not done.
    spent: bool,
}

impl BodyWatch {
    pub(crate) fn new(id: Id, inner: Fut) -> Self {
        BodyWatch { id, inner: Some(inner), state: BodyState::Unpolled, polled_cancelled: false, spent: false }
    }

    fn set(&mut self, state: BodyState) {
        self.state = state;
        with(|world| world.seen(self.id).body = state);
    }
}

impl Future for BodyWatch {
    type Output = Res;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Res> {
        let this = &mut *self;
        let id = this.id;
        // Something happens at this time: see `host.rs`.
        let _ = now();
        let is_first = this.state == BodyState::Unpolled;
        if is_first {
            this.set(BodyState::Live);
            let task = with(|world| {
                let seen = world.seen(id);
                seen.polled = true;
                !seen.moved && world.program.info(id).sort == Sort::Task
            });
            if task && foster::is_cancelled() {
                with(|world| {
                    let text = format!("I18: {} was first polled when cancelled", world.program.name(id));
                    world.broken(text);
                });
            }
        }
        if this.spent {
            with(|world| world.check_spent(id));
        }
        let inner = this.inner.as_mut().expect("a body that is polled is there");
        let was_cancelled = foster::is_cancelled();
        match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {
                // If it was given something in the poll in which it became cancelled, it has another one; and what was opened
                // in that poll has that, too.
                let may_be_given = if host::is_real() {
                    // There it may be polled at the instant of the request before all has happened that comes first, and
                    // before the host's timer has ended: then the request is made by the look above, in this poll.
                    is_first || !this.polled_cancelled
                } else {
                    let is_given = |world: &mut World| {
                        !world.links.is_empty() || !world.turns.is_empty() || world.program.computes
                    };
                    (is_first || !was_cancelled) && with(is_given)
                };
                this.polled_cancelled |= was_cancelled;
                this.spent = foster::is_cancelled() && !may_be_given;
                Poll::Pending
            }
            Ok(Poll::Ready(result)) => {
                this.set(BodyState::Returned);
                this.inner = None;
                let errors = result.as_ref().err().map_or_else(Vec::new, |errors| errors.ids().to_vec());
                with(|world| world.seen(id).returned = errors);
                Poll::Ready(result)
            }
            Err(payload) => {
                this.set(BodyState::Panicked);
                let name = thrown(&*payload);
                with(|world| {
                    world.seen(id).thrown = name;
                    if world.seen(id).starting && !world.seen(id).moved {
                        world.count("starts: panicked");
                    }
                });
                resume_unwind(payload)
            }
        }
    }
}

impl Drop for BodyWatch {
    fn drop(&mut self) {
        let id = self.id;
        match self.state {
            BodyState::Returned => return,
            BodyState::Panicked => {}
            _ => with(|world| {
                let refused = !world.seen(id).entered && !world.seen(id).starting;
                if self.state == BodyState::Unpolled && world.program.info(id).sort == Sort::Task && !world.is_over() {
                    world.count(if refused { "spawns refused" } else { "tasks dropped unpolled" });
                }
            }),
        }
        with(|world| {
            // L41: local children are lost with their nursery.
            let with_nursery = match world.program.info(id) {
                Info { local: true, sort: Sort::Task, parent: Some(nursery), .. } => {
                    world.seen[nursery.index()].dropping
                }
                _ => false,
            };
            if with_nursery && self.state == BodyState::Live {
                world.count("lost: local children");
            }
            let lost = self.state == BodyState::Panicked || world.is_over() || world.seen(id).dropping || with_nursery;
            let further_out = world.cutting.last() == Some(&true);
            world.cutting.push(self.state != BodyState::Panicked && (!lost || further_out));
            world.delivering.push((!lost).then_some(id));
        });
        drop(self.inner.take());
        with(|world| (world.delivering.pop(), world.cutting.pop()));
        if self.state != BodyState::Panicked {
            self.set(BodyState::Dropped);
        }
    }
}

/// Returns the errors that a fail-fast nursery returns. The model counts errors one by one, and a `join` may give it
/// two at once.
pub(crate) fn first_of(errors: Errs) -> Errs {
    let mut ids = errors.take();
    let rest = ids.split_off(1);
    with(|world| world.hook.extend(rest));
    Errs::new(ids)
}
