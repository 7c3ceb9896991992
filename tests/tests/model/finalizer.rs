//! Finalizers, as seen from their bodies.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::interpret::{Fut, Res, build};
use super::program::{Finalizer, Id, Op, Sort};
use super::watch::inside;
use super::world::{World, now, with};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Armed,
    Running,
    Ran,
    Timeout,
    Panicked,
    /// Dropped with the host.
    CutOff,
}

/// The record of a finalizer.
#[derive(Clone, Debug)]
pub(crate) struct FinalizerSeen {
    pub id: Id,
    pub owner: Id,
    pub registered: u64,
    pub status: Status,
    pub begin: u64,
    pub end: u64,
    pub budget: Duration,
    pub need: Option<Duration>,
    /// How its body ended.
    body: Status,
    /// Its scope may end later than its body.
    complex: bool,
    /// And nobody can say when.
    pub rough: bool,
}

impl FinalizerSeen {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.status, Status::Armed | Status::Running)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// Whether nothing but what the body has left is to end.
    pub(crate) fn is_body_over(&self) -> bool {
        self.body != Status::Armed
    }

    /// Whether it has a probe that has not run.
    pub(crate) fn has_probe(&self, probes: bool) -> bool {
        probes && self.complex && self.is_running()
    }

    pub(crate) fn is_closed(&self) -> Option<bool> {
        if self.rough { None } else { Some(!self.is_pending()) }
    }
}

/// Registers a finalizer in the record, and gives the future for foster.
pub(crate) fn register(finalizer: &Finalizer, owner: Id) -> impl Future<Output = Res> + Send + use<> {
    let Finalizer { id, budget, need, ref body } = *finalizer;
    let complex = !is_simple(body);
    let (index, probe) = with(|world| {
        world.seen(id).entered = true;
        let (registered, status) = (now(), Status::Armed);
        world.finalizers.push(FinalizerSeen {
            id,
            owner,
            registered,
            status,
            begin: 0,
            end: 0,
            budget,
            need,
            body: status,
            complex,
            rough: false,
        });
        (world.finalizers.len() - 1, complex && world.probes)
    });
    let watch = FinalizerWatch { index, id, inner: Some(build(body, id)), begun: false, over: false };
    async move {
        if probe {
            // The finalizer that a finalizer registers first runs when the rest of it is over.
            foster::defer(async move { with(|world| world.finalizer_closed(index)) });
        }
        watch.await
    }
}

/// Whether the end of the body is the end of the scope: nothing is opened in it.
fn is_simple(op: &Op) -> bool {
    match op {
        Op::Sleep(_) | Op::Io(_) | Op::Compute(_) | Op::Err(_) | Op::Panic(_) | Op::Commit(_) => true,
        Op::Send { .. } | Op::Recv { .. } | Op::Set(_) | Op::Wait { .. } => true,
        Op::Seq(steps) => steps.iter().all(|step| is_simple(step)),
        _ => false,
    }
}

/// The body of a finalizer.
struct FinalizerWatch {
    index: usize,
    id: Id,
    inner: Option<Fut>,
    begun: bool,
    over: bool,
}

impl FinalizerWatch {
    fn ended(&mut self, status: Status) {
        self.over = true;
        with(|world| world.finalizer_body_over(self.index, status));
    }
}

impl Future for FinalizerWatch {
    type Output = Res;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Res> {
        let this = &mut *self;
        if !this.begun {
            this.begun = true;
            with(|world| world.finalizer_begins(this.index));
        }
        let inner = this.inner.as_mut().expect("a finalizer that is polled is there");
        match inside(this.id, || catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx)))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                this.ended(Status::Ran);
                this.inner = None;
                Poll::Ready(result)
            }
            Err(payload) => {
                this.ended(Status::Panicked);
                resume_unwind(payload)
            }
        }
    }
}

impl Drop for FinalizerWatch {
    fn drop(&mut self) {
        with(|world| {
            let lost = self.over || !self.begun || world.is_over();
            let further_out = world.cutting.last() == Some(&true);
            world.cutting.push(!lost || further_out);
            world.delivering.push((!lost).then_some(self.id));
        });
        inside(self.id, || drop(self.inner.take()));
        with(|world| (world.delivering.pop(), world.cutting.pop()));
        if !self.over {
            self.ended(if self.begun { Status::Timeout } else { Status::CutOff });
        }
    }
}

impl World {
    fn finalizer_begins(&mut self, index: usize) {
        let program = self.program.clone();
        let FinalizerSeen { id, owner, status, .. } = self.finalizers[index];
        let name = program.name(id);
        if status != Status::Armed {
            self.broken(format!("I12: finalizer {name} was started twice"));
        }
        let newer = self.finalizers[index + 1..].iter().find(|newer| newer.owner == owner && newer.is_pending());
        if let Some(newer) = newer {
            let newer = program.name(newer.id);
            self.broken(format!("I13: finalizer {name} was started before {newer}"));
        }
        // L22, L23: everything inside has ended.
        for other in program.ids().filter(|other| program.is_inside(*other, owner)) {
            let finalizer = other == id || program.is_inside(other, id) || program.info(other).sort == Sort::Finalizer;
            if !finalizer && self.seen(other).entered && self.is_closed(other) == Some(false) {
                self.broken(format!("I13: finalizer {name} was started before {} had ended", program.name(other)));
            }
        }
        if self.seen(owner).lost.is_some() {
            self.count("reaped finalizers");
        }
        self.count("finalizers");
        self.started.push(index);
        let finalizer = &mut self.finalizers[index];
        finalizer.begin = now();
        finalizer.status = Status::Running;
    }

    fn finalizer_body_over(&mut self, index: usize, status: Status) {
        if self.over {
            return;
        }
        let (gone, probes) = (self.host.gone, self.probes);
        let finalizer = &mut self.finalizers[index];
        finalizer.end = now();
        finalizer.body = status;
        finalizer.rough = finalizer.complex && !probes;
        if gone {
            finalizer.status = Status::CutOff;
        } else if !finalizer.complex || !probes {
            finalizer.status = status;
        }
        if status == Status::Timeout && !gone {
            self.count("finalizers: timeout");
        }
    }

    /// Nothing but the probe is left of the finalizer's scope.
    fn finalizer_closed(&mut self, index: usize) {
        let id = self.finalizers[index].id;
        // Also those that it has taken over with scopes that were lost, and with their children (L29).
        let is_inside = |owner: Id| {
            let mut next = Some(owner);
            while let Some(scope) = next.filter(|scope| *scope != id) {
                let seen = &self.seen[scope.index()];
                next = seen.parent.filter(|_| self.is_lost(scope) || self.program.info(scope).sort == Sort::Task);
            }
            next.is_some()
        };
        let panicked = self.finalizers.iter().any(|inner| is_inside(inner.owner) && inner.status == Status::Panicked);
        let finalizer = &mut self.finalizers[index];
        finalizer.status = if panicked { Status::Panicked } else { finalizer.body };
        finalizer.end = now();
    }
}
