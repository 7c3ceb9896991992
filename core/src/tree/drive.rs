//! Driving a scope: one poll of its body with the rules of delivery (L12–L18), then draining (L22–L24).
//!
//! Whoever drives a scope (the future that the user awaits, a task, a reaper) goes through these two steps, so that the
//! rules stand in one place.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::abandon;
use super::children::Role;
use super::closing::Closed;
use super::current;
use super::finalizer::Finalizer;
use super::flags::{
    ABANDONED, CANCELLED, DELIVERED, GOES_WHOLE, NESTED, PARENT_CANCELLED, POLL_SPENT, PROPAGATED, SHUT_DOWN, TIMED,
    WATCHED,
};
use super::node::{Kind, Life, Node, NodeRef, Owned, Payload, State};
use super::panic::drop_payload;
use super::verdict::without_counting;
use super::wake;
use crate::reason::{Reason, ReasonKind};
use crate::sys::MutexGuard;
use crate::sys::atomic::Ordering;

/// How often in a row an inner scope may be woken and passed over before it counts as undriven (L16.4).
pub(crate) const MAX_MISSED_POLLS: u8 = 3;

/// The user's future in a scope.
pub(crate) trait Body {
    /// Polls the future; keeps its output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops the future.
    fn clear(self: Pin<&mut Self>);
}

/// What one poll of an open scope's body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To be polled again when woken.
    Pending,
    /// The body is over and has left a value.
    Ready,
    /// The body was dropped: delivered, or it panicked.
    Gone,
}

/// Who drives a scope: one at a time (I3).
///
/// A scope is driven by its own future until it is `ABANDONED`; from then on by its reaper alone, which is made after that. Most lost
/// futures are gone; but one that has escaped may be held, or even polled, by another task at that moment (L28). So, under the
/// scope's lock:
///
/// * a future moves its scope forward, and leaves its waker there, only as long as it finds it not `ABANDONED`
/// * what is taken out to be polled (a finalizer, an owned body) is noted; the reaper waits for it, without spinning
/// * whoever has polled it puts it back, and wakes the reaper if it finds the scope `ABANDONED`
///
/// The future whose scope was lost is woken, and panics in its next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Its future, or its task.
    Own,
    Reaper,
}

impl Driver {
    /// Whether the scope has another driver by now, or had one that closed it; under the scope's lock.
    fn is_replaced(self, node: &Node) -> bool {
        self == Driver::Own && node.flagged(ABANDONED) && !node.flagged(SHUT_DOWN)
    }
}

/// Polls the body of an open scope once; or drops it, if it is cancelled and blocked (L15).
pub(crate) fn poll_open<B: Body + ?Sized>(node: &NodeRef, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Step {
    poll_open_as(Driver::Own, node, body.as_mut(), cx)
}

pub(super) fn poll_open_as<B: Body + ?Sized>(
    driver: Driver,
    node: &NodeRef,
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Step {
    node.begin_poll();
    let was_cancelled = node.flagged(PROPAGATED);
    // Entering a scope is no checkpoint (L13): also one that got its place long before is polled once.
    if was_cancelled && !node.polled.is_never() && !node.has_poll_left() && !node.must_drive() {
        deliver(node, body);
        return Step::Gone;
    }
    let result = node.poll_in(cx, |cx| body.as_mut().poll(cx));
    conclude(driver, node, body, result, was_cancelled, cx.waker())
}

/// What follows a poll of the body of an open scope.
pub(crate) fn conclude<B: Body + ?Sized>(
    driver: Driver,
    node: &NodeRef,
    body: Pin<&mut B>,
    result: thread::Result<Poll<()>>,
    was_cancelled: bool,
    waker: &Waker,
) -> Step {
    match result {
        Ok(Poll::Ready(())) => return Step::Ready,
        Ok(Poll::Pending) => {
            // Ordering: registered before looking, so that a request that is not seen here wakes this driver.
            node.register(driver, waker);
            if !node.flagged(PROPAGATED) {
                return Step::Pending;
            }
            // L12: this was the one poll that runnable code gets.
            if !node.flagged(POLL_SPENT) {
                node.flag(POLL_SPENT);
            }
            let waits = node.must_wait();
            node.waits.store(waits, Ordering::Relaxed);
            if waits {
                if !was_cancelled {
                    // L16.1: inner scopes were polled with wakers that may lead nowhere, and the request that came during
                    // this poll may have found no driver here to wake.
                    without_counting(|| wake::wake(node));
                }
                return Step::Pending;
            }
            deliver(node, body);
        }
        Err(payload) => {
            node.panicked(payload);
            discard(node, body);
        }
    }
    Step::Gone
}

/// Drops the body of a cancelled scope. Inner scopes that need not end go with it (L15).
fn deliver<B: Body + ?Sized>(node: &NodeRef, body: Pin<&mut B>) {
    node.flag(if node.goes_whole() { DELIVERED | GOES_WHOLE } else { DELIVERED });
    discard(node, body);
}

/// Drops the body with the scope as context (L38).
pub(crate) fn discard<B: Body + ?Sized>(node: &NodeRef, body: Pin<&mut B>) {
    if let Err(payload) = current::enter(node, || body.clear()) {
        node.panicked(payload);
    }
}

impl NodeRef {
    /// The scope is being polled: it is driven, and what it was woken for is being seen to.
    fn begin_poll(&self) {
        self.touch();
        if self.flagged(WATCHED) {
            self.lock().cold_mut().waits_for.clear();
        }
        if self.flagged(CANCELLED) && self.flagged(NESTED) {
            // Ordering: what woke an inner scope, and found this one woken and left it at that, is seen here: it has written, and this
            // reads that.
            self.woken.swap(false, Ordering::AcqRel);
            for inner in self.lock().children.of(Role::Inner) {
                // L16.2: a wake that arrives later proves nothing about this poll.
                inner.due.store(inner.woken.load(Ordering::Acquire), Ordering::Relaxed);
                inner.driven.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Runs a poll of code that stands directly in this scope, with the waker that such code is given.
    #[inline]
    fn poll_in<R>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> thread::Result<R> {
        self.polled.begin(self.wakes_seen());
        let result = current::enter(self, || {
            if self.has_own_waker() { self.with_waker(|own| poll(&mut Context::from_waker(own))) } else { poll(cx) }
        });
        self.polled.end();
        result
    }

    /// Whether the code inside is given the scope's own waker: that of a task counts its calls (L12), and that of a scope in a cancelled
    /// one marks the scope and wakes the scope around it, too, because the driver's waker may belong to a combinator that is gone (L16.1).
    #[inline]
    fn has_own_waker(&self) -> bool {
        self.counts_wakes() || self.flagged(PARENT_CANCELLED)
    }

    /// The scope is driven, though its body has nothing to do in this poll.
    #[inline]
    pub(crate) fn touch(&self) {
        self.driven.store(true, Ordering::Relaxed);
        // Ordering: what came before a wake that is taken back here is seen in this poll. A wake that is not seen here stays, and is handed on
        // when the driver is [registered](NodeRef::register).
        if self.woken.load(Ordering::Relaxed) {
            self.woken.swap(false, Ordering::AcqRel);
        }
    }

    /// Keeps the waker of whoever drives the scope. Says whether it was another one before.
    pub(crate) fn register(&self, driver: Driver, waker: &Waker) -> bool {
        let is_known = |state: &State| state.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        // That of a task is mostly gone: what led to this poll has called it.
        if self.kind != Kind::Task && is_known(&self.lock()) {
            return false;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let mut new = Some(waker.clone());
        let mut state = self.lock();
        if is_known(&state) {
            drop(state);
            drop(new);
            return false;
        }
        let replaced = driver.is_replaced(self);
        if !replaced && state.life != Life::Closed {
            std::mem::swap(&mut state.waker, &mut new);
        }
        drop(state);
        drop(new);
        // A wake during this poll (a request, say) went to the old driver, or to nobody: the new one gets it, too.
        if replaced || self.woken.load(Ordering::Acquire) {
            without_counting(|| waker.wake_by_ref());
        }
        true
    }

    /// L15, L16: whether an inner scope is still being driven to its end.
    fn must_wait(&self) -> bool {
        if !self.flagged(NESTED) {
            return false;
        }
        let mut wait = false;
        let mut again = false;
        let inner: Vec<NodeRef> = self.lock().children.of(Role::Inner).cloned().collect();
        for inner in &inner {
            // The look at one that was just polled is fresh.
            let driven = inner.driven.load(Ordering::Relaxed);
            if !(if driven { inner.had_to_end() } else { inner.has_to_end() }) {
                continue;
            }
            let missed = inner.missed.load(Ordering::Relaxed);
            if driven {
                inner.missed.store(0, Ordering::Relaxed);
                wait = true;
            } else if missed < MAX_MISSED_POLLS {
                if inner.due.load(Ordering::Relaxed) {
                    inner.missed.store(missed + 1, Ordering::Relaxed);
                    again |= missed + 1 < MAX_MISSED_POLLS;
                } else {
                    // It has nothing to do yet.
                    wait = true;
                }
            }
        }
        if again {
            without_counting(|| wake::wake(self));
        }
        wait || again
    }

    /// Records a panic of the body, a child or adopted work (L32).
    pub(crate) fn panicked(&self, payload: Payload) {
        let mut state = self.lock();
        let first = &mut state.cold_mut().panic;
        let later = if first.is_none() {
            *first = Some(payload);
            None
        } else {
            // The process's panic hook has reported it; the first payload is the one that resumes.
            Some(payload)
        };
        drop(state);
        drop_payload(later);
        self.request(Reason::new(ReasonKind::Panicked), None);
    }

    /// The body is over, its value settled. Inner scopes that are still listed were leaked (L28).
    pub(crate) fn end_body(&self) {
        let mut state = self.lock();
        if state.life > Life::Draining {
            // Shut down while its body was being polled (L30), or finished as a leaked scope meanwhile (L28).
            return;
        }
        state.life = Life::Draining;
        // Awaited from here on, whoever has found or finds them lost: perhaps another thread, at this moment.
        let leaked = if state.children.count(Role::Inner) > 0 { state.children.orphan_inner() } else { Vec::new() };
        drop(state);
        for node in leaked {
            node.lock().role = Role::Orphan;
            abandon::leaked(&node);
        }
    }

    /// From the end of the body to Closed: waits for children and orphans, then runs the finalizers.
    ///
    /// Most scopes never had any of these, and go all the way under one lock.
    #[inline]
    pub(crate) fn drain(&self, driver: Driver, cx: &mut Context<'_>) -> Poll<Closed> {
        self.touch();
        let state = self.lock();
        // I18: the clock may say more than the flags.
        let exact = !self.flagged(CANCELLED) || !self.flagged(TIMED);
        if state.had_nothing() && exact && !self.flagged(ABANDONED) {
            return Poll::Ready(self.close_in(state));
        }
        self.drain_slowly(driver, cx, state)
    }

    #[inline(never)]
    fn drain_slowly(&self, driver: Driver, cx: &mut Context<'_>, first: MutexGuard<'_, State>) -> Poll<Closed> {
        let mut locked = Some(first);
        let mut exact = false;
        let mut dismissed = false;
        let mut registered = false;
        loop {
            let mut state = locked.take().unwrap_or_else(|| self.lock());
            if driver.is_replaced(self) {
                drop(state);
                // Both: the reaper may wait for what this poll has put back.
                wake::wake(self);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if state.life == Life::Closed {
                // Shut down under us.
                return Poll::Ready(self.close_in(state));
            }
            if state.life == Life::Open {
                if state.children.count(Role::Inner) > 0 {
                    drop(state);
                    // For those who are woken through this scope, which may have ended in its first poll.
                    self.register(driver, cx.waker());
                    self.end_body();
                    continue;
                }
                state.life = Life::Draining;
            }
            if state.life == Life::Draining {
                let links = &state.children;
                if links.awaited() > 0 {
                    if !dismissed && links.only_daemons() {
                        dismissed = true;
                        let daemons: Vec<NodeRef> = links.of(Role::Daemon).cloned().collect();
                        drop(state);
                        for daemon in daemons {
                            daemon.request(Reason::new(ReasonKind::OnlyDaemonsLeft), None);
                        }
                        continue;
                    }
                    drop(state);
                    // Looked at again, once, after the driver is known: a child that ends in between wakes it.
                    if registered || !self.register(driver, cx.waker()) {
                        return Poll::Pending;
                    }
                    registered = true;
                    continue;
                }
                state.life = Life::Finalizing;
            }
            if state.finalizers() > 0 {
                if state.cold_mut().polls_finalizer {
                    // By the future, which was lost meanwhile.
                    drop(state);
                    if registered || !self.register(driver, cx.waker()) {
                        return Poll::Pending;
                    }
                    registered = true;
                    continue;
                }
                if let Some(running) = state.cold_mut().running.take() {
                    state.cold_mut().polls_finalizer = true;
                    drop(state);
                    if self.poll_finalizer(driver, running, cx) {
                        continue;
                    }
                    return Poll::Pending;
                }
                if self.tree().is_some_and(|tree| tree.is_shut_down()) {
                    // L30: no finalizer runs any more; whoever shuts the tree down counts those that are left.
                    return Poll::Pending;
                }
                let cold = state.cold_mut();
                cold.running = cold.finalizers.pop().map(Finalizer::start);
                continue;
            }
            if !exact && self.flagged(CANCELLED) && self.flagged(TIMED) {
                drop(state);
                // I18: a cancelled form is not returned into code whose deadline has passed by the clock.
                exact = true;
                if let Some(tree) = self.tree() {
                    tree.fire_due();
                }
                continue;
            }
            return Poll::Ready(self.close_in(state));
        }
    }

    /// Polls the finalizer that was taken out for that. Says whether there is more to do at once.
    fn poll_finalizer(&self, driver: Driver, mut running: Owned, cx: &mut Context<'_>) -> bool {
        self.register(driver, cx.waker());
        let result = self.poll_in(cx, |cx| match running.as_mut().poll(cx) {
            Poll::Pending => Some(running),
            Poll::Ready(()) => None,
        });
        let mut state = self.lock();
        state.cold_mut().polls_finalizer = false;
        match result {
            Ok(Some(running)) => {
                if state.life == Life::Closed {
                    drop(state);
                    drop(running);
                    return true;
                }
                state.cold_mut().running = Some(running);
                driver.is_replaced(self)
            }
            Ok(None) => true,
            Err(payload) => {
                drop(state);
                self.panicked(payload);
                true
            }
        }
    }
}
