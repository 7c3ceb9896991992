//! Driving a scope: one poll of its body with the rules of delivery (L12–L18), then draining (L22–L24).
//!
//! Every driver of a scope (the future that the user awaits, a task, a reaper) goes through these two steps, so that
//! the rules are in one place:
//!
//! ```text
//!    poll_open ── Pending ──▶ (polled again when woken)
//!       │ Ready: the body has left a value       ─┐
//!       │ Dropped: it was delivered, or panicked ─┴▶ drain ── Pending ──▶ (polled again when woken)
//!       │                                            └── Ready(ClosedNode)
//!       ├─ cancelled and blocked: deliver, without a poll
//!       └─ cancelled, and its one poll is over: deliver, unless an inner scope still has to end
//! ```
//!
//! Callers: `ScopeFuture`, `Root`, the body of a child (`nursery/body.rs`), and the reaper; one of them at a time for
//! one scope ([`Driver`]). No lock is held around any of it, since bodies are polled and dropped here.
//!
//! # How a poll and a request meet
//!
//! The driver registers its waker, then looks at `PROPAGATED`. A request sets that flag, then takes the waker. So
//! either the driver sees the request in this poll, or the request finds the waker and calls it, and the driver sees
//! it in the next one. A change that came between the look at something else, such as the children that are left, and
//! the registration has marked the scope as woken: then `register` wakes the driver itself.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::children::Role;
use super::closing::ClosedNode;
use super::delay::UNDRIVEN;
use super::flags::{
    ABANDONED, CANCELLED, DELIVERED, GIVEN_UP, GOES_WHOLE, LOCAL, NOTED, PARENT_CANCELLED, PROPAGATED, SHUT_DOWN, TIMED,
};
use super::frames;
use super::node::{Cold, Kind, Life, Node, NodeRef, Owned, State};
use super::polled::without_counting;
use super::request::request_together;
use super::waking;
use crate::body::Body;
use crate::reason::{Reason, ReasonKind};
use crate::sys::atomic::Ordering;

/// The result of one poll of an open scope's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To be polled again when woken: the driver's waker is registered.
    Pending,
    /// The body is over and has left a value, which stands whatever was requested during the poll (L12).
    Ready,
    /// The body was dropped: delivered, or it panicked, and then the panic is recorded.
    Dropped,
}

/// The driver of a scope, of which there is one at a time (I3).
///
/// A scope is driven by its own future until it is `ABANDONED`; from then on by its reaper alone, which is made after
/// that. Most lost futures are gone; but one that has escaped may be held, or even polled, by another task at that
/// moment (L28). So, under the scope's lock:
///
/// * a future moves its scope forward, and leaves its waker there, only as long as it finds it not `ABANDONED`
/// * what is taken out to be polled (a finalizer, the end of a job) is noted; the reaper waits for it, without spinning
/// * the driver that has polled it puts it back, and wakes the reaper if it finds the scope `ABANDONED`
///
/// The future whose scope was lost is woken, and panics in its next poll.
///
/// ```text
///    future:   take out ── poll ── put back ── ABANDONED? wake the reaper
///    reaper:          register ── taken out? wait ──────────▶ polled again ── take out ── …
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Its future, its task, or the nursery's future for a child of a local nursery.
    Own,
    Reaper,
}

impl Driver {
    /// Returns whether the scope has another driver by now, or had one that closed it. Under the scope's lock:
    /// `ABANDONED` itself is set without it, but a reaper that has begun to move the scope has locked it after that.
    ///
    /// Model: `races/escaped.rs`, `a_finalizer_is_driven_by_one_at_a_time`.
    fn is_replaced(self, node: &Node) -> bool {
        self == Driver::Own && node.flagged(ABANDONED) && !node.flagged(SHUT_DOWN)
    }
}

/// Polls the body of an open scope once, for its own driver; or drops it, if it is cancelled and blocked (L15).
///
/// The scope has its place in the tree. After `Ready` and `Dropped` the caller makes the value of the output and goes on with
/// [`drain`](NodeRef::drain), in the same poll; after `Dropped`, if the task has no budget left, in the next one.
///
/// | the scope is | the body is | afterwards |
/// |---|---|---|
/// | not cancelled | polled | as it was |
/// | cancelled, and others of the request are not marked yet | left as it is | polled again, when all are |
/// | cancelled during this poll, or with its one poll to come | polled | delivered, unless an inner scope has to end |
/// | cancelled and blocked, or its one poll is over | dropped, unpolled | over |
/// | the same, but an inner scope has to end and is driven | polled, to reach that one | delivered, when that has ended |
pub(crate) fn poll_open<B: Body + ?Sized>(node: &NodeRef, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Step {
    node.touch();
    let was_cancelled = node.may_be_delivered();
    // L11, L12: as long as others of the request are not marked, nobody has found whether the code has a poll. The
    // thread that marks them wakes this driver then. Entering a scope is no checkpoint (L13): also one that got its
    // place long before is polled.
    if node.flagged(CANCELLED) && !was_cancelled && !node.polled.is_never() {
        node.register(Driver::Own, cx.waker());
        return Step::Pending;
    }
    if was_cancelled && !node.polled.is_never() && !node.has_poll_left() && !node.must_drive() {
        deliver(node, body);
        return Step::Dropped;
    }
    // L12: the scope is not cancelled, or has its one poll to come, or has to be polled for an inner scope.
    if node.flagged(NOTED | CANCELLED) {
        node.begin_poll();
    }
    let result = node.poll_in(cx, |cx| body.as_mut().poll(cx));
    after_poll(node, body, result, was_cancelled, Some(cx.waker()))
}

/// Decides what follows a poll of the body of an open scope, whose `result` this is: registers the driver, or
/// delivers, or records a panic.
///
/// `was_cancelled` says whether the scope might have been delivered before the poll. Called apart from [`poll_open`] for the
/// first poll of an inline scope, which had no node when it began; without a `waker`, if the node was made with that.
pub(crate) fn after_poll<B: Body + ?Sized>(
    node: &NodeRef,
    body: Pin<&mut B>,
    result: thread::Result<Poll<()>>,
    was_cancelled: bool,
    waker: Option<&Waker>,
) -> Step {
    match result {
        Ok(Poll::Ready(())) => return Step::Ready,
        Ok(Poll::Pending) => {
            // Ordering: registered before looking, so that a request that is not seen here wakes this driver. The
            // other way round, a request between the two would find no waker, and the code would stay for ever (I7).
            if let Some(waker) = waker {
                node.register(Driver::Own, waker);
            }
            // Not cancelled, or others of the request are not marked yet; the thread that marks them wakes this driver.
            if !node.may_be_delivered() {
                return Step::Pending;
            }
            // L12: the request came during this poll, and something else before it, which this poll may have passed by.
            // Not left to who has woken the code for that: combinators may not hand on the call.
            if node.has_poll_left() {
                without_counting(|| node.wake_driver());
                return Step::Pending;
            }
            // L15: the body stays as long as an inner scope has to end, and is driven. The answer is kept for the
            // scope around this one.
            let waits = node.must_wait();
            node.waits.store(waits, Ordering::Relaxed);
            if waits {
                if !was_cancelled {
                    // L16.1: inner scopes were polled with wakers that may lead nowhere, and the request that came
                    // during this poll may have found no driver here to wake. So the body is polled once more, in
                    // which `poll_in` gives them wakers that do lead here.
                    without_counting(|| node.wake_driver());
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
    Step::Dropped
}

/// Drops the body of a cancelled scope. Inner scopes that need not end go with it (L15): the flags tell them so, in
/// their own drops (`abandon`).
fn deliver<B: Body + ?Sized>(node: &NodeRef, body: Pin<&mut B>) {
    node.flag(if node.goes_whole() { DELIVERED | GOES_WHOLE } else { DELIVERED });
    discard(node, body);
}

/// Drops the body with the scope as current scope (L38). A panic of a destructor is one of the body, and is recorded
/// (L32).
pub(crate) fn discard<B: Body + ?Sized>(node: &NodeRef, body: Pin<&mut B>) {
    frames::enter(node, || body.clear()).unwrap_or_else(|payload| node.panicked(payload));
}

impl NodeRef {
    /// Returns whether the body may be dropped where it waits. Not if it is merely `CANCELLED`: until all others of the
    /// request are marked, that may not be seen (L11). But what was given up goes as a branch of `select!` does, which is
    /// no consequence of a request (L12.6).
    #[inline]
    fn may_be_delivered(&self) -> bool {
        self.flagged(PROPAGATED | GIVEN_UP)
    }

    /// Prepares what is asked after a poll of the body (L16), and what a dump says of it. Just before that poll, for scopes
    /// that are cancelled, or of which a dump is wanted.
    fn begin_poll(&self) {
        // Ordering: what woke an inner scope, and found this one woken and left it at that, is seen here: it has written,
        // and this reads that. A swap, because only that is sure to read the last value, and so synchronizes with whoever
        // wrote it.
        self.woken.swap(false, Ordering::AcqRel);
        let mut state = self.lock();
        state.cold.iter_mut().for_each(|cold| cold.waits_for.clear());
        let inner = if self.flagged(CANCELLED) { state.children.in_window() } else { Vec::new() };
        drop(state);
        for inner in inner {
            // L16.2: a wake that arrives later proves nothing about this poll. Taken back by the inner scope's own
            // `touch`, if this poll of the body reaches it.
            inner.due.store(inner.is_due(), Ordering::Relaxed);
            // Set again by the inner scope, if it is polled, and waits.
            inner.waits.store(false, Ordering::Relaxed);
        }
    }

    /// Runs a poll of code that is directly in this scope, with the waker that such code is given, with the scope as
    /// current scope (L38), and on the stack for verdicts (L12). A panic is caught, and returned.
    ///
    /// `Polled` is set before the scope is entered and cleared after it was left, so a request from inside, on this
    /// thread, finds its own code on the stack, and so runnable.
    ///
    /// The scope's own waker is given to such code in a task, where it counts its calls (L12); and in a cancelled scope,
    /// and in one inside such a scope, where it marks this one, and wakes the scope around that it delays, too, because
    /// the driver's waker may belong to a combinator that is gone (L16.1). All other code is given the waker of whoever
    /// polls the scope, which costs nothing.
    #[inline]
    fn poll_in<R>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> thread::Result<R> {
        // Ordering: before the poll begins for others; a verdict that finds it begun has nothing to do for what was given
        // before. A gift is seen in this poll under the lock of the primitive.
        self.given.store(false, Ordering::Relaxed);
        // The count that the body sees: of a scope that counts its own, of all others that at the beginning of the current
        // poll of the task around. Not the count by now: a wake-up during that may be for code that it has passed already.
        self.polled.begin(if self.counts_wakes() { self.polled.wakes() } else { frames::wakes_seen() });
        let has_own = || self.counts_wakes() || self.flagged(CANCELLED | PARENT_CANCELLED);
        let result = frames::enter(self, || {
            if has_own() { self.0.with_waker(|own| poll(&mut Context::from_waker(own))) } else { poll(cx) }
        });
        self.polled.end();
        result
    }

    /// Notes that the scope is driven, though its body may have nothing to do in this poll (L16), and takes back its
    /// wake-up. At the beginning of each poll, before anything is looked at.
    #[inline]
    pub(crate) fn touch(&self) {
        self.due.store(false, Ordering::Relaxed);
        self.missed.store(0, Ordering::Relaxed);
        // Ordering: what came before a wake that is taken back here is seen in this poll. A wake that is not seen
        // here stays, and is handed on when the driver is registered. So the relaxed load may miss one, and the swap,
        // which acquires, is only paid for where there is one.
        if self.woken.load(Ordering::Relaxed) {
            self.woken.swap(false, Ordering::AcqRel);
        }
    }

    /// Keeps the waker of whoever drives the scope, after [`touch`](NodeRef::touch) in the same poll. No lock may be held.
    ///
    /// A wake during this poll (a request, say) went to the old driver, or to nobody: the new one gets it, too. Then
    /// it is polled again, and nobody needs its waker before that. A job that is known is woken during its polls as at
    /// any time: there is nothing to do for it.
    ///
    /// Models: `races/scopes.rs`, `a_wake_races_with_the_driver_that_registers` and
    /// `a_waker_is_replaced_while_it_is_called`.
    #[inline]
    pub(crate) fn register(&self, driver: Driver, waker: &Waker) {
        if self.job_waker().is_some() {
            return;
        }
        // A scope that is woken needs no waker before its next poll. But that of a job is for all polls to come: a task
        // that wakes itself again and again would come by here each time. One that ends in its second poll does without.
        let is_woken = self.woken.load(Ordering::Acquire);
        if !is_woken || self.is_job(driver) && self.polled.is_repeated() {
            self.keep_waker(driver, waker);
        }
        // Ordering: after the waker was left. A wake-up marks first and takes the waker afterwards: so this sees the
        // mark, or that finds the waker.
        if self.woken.load(Ordering::Acquire) {
            without_counting(|| waking::wake_for(self, || waker.wake_by_ref()));
        }
    }

    /// Returns whether it is the job of a task that drives the scope: each of its wakers is as good as the others (R2).
    fn is_job(&self, driver: Driver) -> bool {
        driver == Driver::Own && self.kind == Kind::Task && !self.flagged(LOCAL)
    }

    /// Leaves the waker in the node, unless the same one is there.
    ///
    /// Not for a future whose scope was abandoned, nor in a Closed scope: nobody would call it. It is woken instead, to
    /// find that out (L28, L30).
    fn keep_waker(&self, driver: Driver, waker: &Waker) {
        let is_known = |state: &State| state.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        // That of a task or a root is mostly gone: what led to this poll has called it.
        if !matches!(self.kind, Kind::Task | Kind::Root) && is_known(&self.lock()) {
            return;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let mut new = Some(waker.clone());
        let mut state = self.lock();
        let lost = driver.is_replaced(self) || state.life == Life::Closed;
        if !lost && self.is_job(driver) {
            // Under the lock, under which `call_waker` looks for it.
            new = new.and_then(|new| self.job_waker.set(new).err());
        } else if !lost {
            std::mem::swap(&mut state.waker, &mut new);
        }
        drop(state);
        drop(new);
        if lost {
            without_counting(|| waking::wake_for(self, || waker.wake_by_ref()));
        }
    }

    /// Returns whether an inner scope is still being driven to its end, so that the body of this cancelled scope has
    /// to stay (L15, L16). After each poll of the body that was Pending.
    ///
    /// For each inner scope that still has to end there are four cases: it was driven in this poll, and delays; it
    /// had nothing to do, and delays; it was due and passed over, and this polls again at once; or it was passed
    /// over so often in a row that it is `UNDRIVEN`, and does not delay any more.
    fn must_wait(&self) -> bool {
        let (mut wait, mut again) = (false, false);
        // A combinator that gives way before it has come to the scope wakes this one for that.
        let was_woken = || self.counts_wakes() && self.polled.last().is_woken(self.polled.wakes());
        let pass = if self.woken.load(Ordering::Relaxed) || was_woken() { 1 } else { UNDRIVEN / 3 };
        let inner = self.lock().children.in_window();
        for inner in inner.iter().filter(|inner| inner.delays()) {
            if inner.due.load(Ordering::Relaxed) {
                // Due before this poll, and not polled in it (L16.2): passed over once more. Ordering: written in the
                // poll that has just ended, by this thread.
                again |= inner.missed.fetch_add(pass, Ordering::Relaxed) + pass < UNDRIVEN;
            } else {
                wait = true;
            }
        }
        // Those that were not looked at are, from the next poll on.
        let again = again || !wait && self.others_delay();
        // L16: not by waking the inner scope, which would be a probe (L16.3), but by polling this one again.
        if again {
            without_counting(|| self.wake_driver());
        }
        wait || again
    }

    /// Brings the scope from the end of its body to Closed: waits for children and orphans, then runs the finalizers
    /// (L2, L22). Ready once; then the caller records the outcome, and the scope leaves (`leave`).
    ///
    /// Each turn of the loop looks at the state under a new lock, does the first thing that is to be done, and begins again;
    /// so whatever came between two locks is seen. It ends when nothing is to be done (Ready), or when the driver has
    /// registered and then found nothing (Pending). Most scopes go all the way in the first turn.
    ///
    /// `dismissed` sees to it that daemons are asked once in a poll, and `exact` that the clock is.
    ///
    /// ```text
    ///   replaced? ──▶ wake both, Pending          finalizer taken out by the future? ──▶ register, Pending
    ///   Closed?   ──▶ Ready                       host gone?       ──▶ register, Pending
    ///   inner scopes left? ──▶ end_body, again    one is running, or
    ///   children or orphans? ──▶ dismiss the        waiting?       ──▶ poll it; Pending, or again
    ///       daemons, or register, Pending         the clock is to be asked? ──▶ fire_due, again
    ///   ──▶ Finalizing                            ──▶ Closed, Ready
    /// ```
    ///
    /// Model: `races/scopes.rs`, `a_spawn_races_with_the_drain`.
    pub(crate) fn drain(&self, driver: Driver, cx: &mut Context<'_>) -> Poll<ClosedNode> {
        self.touch();
        let (mut exact, mut dismissed) = (false, false);
        loop {
            let mut state = self.lock();
            if driver.is_replaced(self) {
                drop(state);
                // Both: the reaper may wait for what this poll has put back, and the future has to find out that it
                // was replaced (L28).
                self.wake_driver();
                waking::wake_for(self, || cx.waker().wake_by_ref());
                return Poll::Pending;
            }
            if state.life == Life::Closed {
                // Shut down by another thread while this one was polling (L30).
                return Poll::Ready(self.close_in(state));
            }
            // Also at the end of draining: code that runs in the scope without being its body, such as a nursery's
            // error handler, may have opened something that nobody would wait for.
            let ends = state.life == Life::Open || state.life == Life::Draining && state.children.awaited() == 0;
            if ends && state.children.count(Role::Inner) > 0 {
                drop(state);
                // For those who are woken through this scope, which may have ended in its first poll, and so have left
                // no waker yet.
                self.register(driver, cx.waker());
                self.end_body();
                continue;
            }
            // L2: children and orphans first.
            if state.life <= Life::Draining {
                state.life = if state.children.awaited() == 0 { Life::Finalizing } else { Life::Draining };
            }
            if state.life == Life::Draining && !dismissed && state.children.only_daemons() {
                dismissed = true;
                // L24. Once in a poll: daemons that were asked stay listed until they have ended.
                let daemons: Vec<NodeRef> = state.children.of(Role::Daemon).cloned().collect();
                drop(state);
                request_together(&daemons, &Reason::new(ReasonKind::OnlyDaemonsLeft), None);
                continue;
            }
            // Waits for one of these:
            // * children and orphans
            // * a finalizer that is being polled by the future, which was lost meanwhile: that puts it back, and wakes
            //   this driver (I3, I12)
            // * the shut-down of a tree in which no finalizer runs any more: that counts those that are left (L30)
            let shuts_down = || self.tree().is_some_and(|tree| tree.is_shut_down());
            let is_held = |cold: &Cold| cold.polls_finalizer || shuts_down();
            if state.life == Life::Draining || state.finalizers() > 0 && state.cold.as_deref().is_some_and(is_held) {
                drop(state);
                // A child that ends in between wakes the driver: see `register`.
                self.register(driver, cx.waker());
                return Poll::Pending;
            }
            // L22: the one that has started, before the next one starts; of these the newest first. Its budget begins with
            // its first poll.
            let next = |cold: &mut Cold| cold.running.take().or_else(|| cold.finalizers.pop());
            if let Some(finalizer) = state.cold.as_deref_mut().and_then(next) {
                state.cold_mut().polls_finalizer = true;
                drop(state);
                if self.poll_finalizer(driver, finalizer, cx) {
                    continue;
                }
                return Poll::Pending;
            }
            if !exact && self.flagged(CANCELLED) && self.flagged(TIMED) {
                drop(state);
                // I18: a cancelled form is not returned into code whose deadline has passed by the clock. So what is
                // due is fired before the scope is closed, and `close_in` finds it inherited.
                exact = true;
                self.tree().into_iter().for_each(|tree| tree.fire_due());
                continue;
            }
            return Poll::Ready(self.close_in(state));
        }
    }

    /// Moves the scope to Finalizing, with a finalizer that has started. If the host of its tree was dropped
    /// meanwhile (L30), that is dropped: without the lock, as it is a parameter, and the guard is not.
    pub(crate) fn finalize_with(&self, running: Owned) {
        let mut state = self.lock();
        if state.life != Life::Closed {
            state.life = Life::Finalizing;
            state.cold_mut().running = Some(running);
        }
    }

    /// Polls the finalizer that was taken out for that, as `polls_finalizer` says, and puts it back. Returns whether
    /// there is more to do at once.
    ///
    /// No lock is held during the poll. If the scope was shut down meanwhile, the finalizer is dropped here and
    /// counted as cut off there (L30).
    fn poll_finalizer(&self, driver: Driver, mut running: Owned, cx: &mut Context<'_>) -> bool {
        self.register(driver, cx.waker());
        let result = self.poll_in(cx, |cx| match running.as_mut().poll(cx) {
            Poll::Pending => Some(running),
            Poll::Ready(()) => None,
        });
        let mut state = self.lock();
        state.cold_mut().polls_finalizer = false;
        match result {
            Ok(Some(running)) if state.life != Life::Closed => {
                state.cold_mut().running = Some(running);
                driver.is_replaced(self)
            }
            // It is over; or it is dropped here, without the lock.
            over => {
                drop(state);
                over.err().into_iter().for_each(|payload| self.panicked(payload));
                true
            }
        }
    }
}
