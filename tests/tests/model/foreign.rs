//! Combinators that know nothing of foster: what user code and other crates do with futures.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::host::{self, PlainSleep, plain_sleep};
use super::interpret::{Fut, Res};
use super::world::{Errs, lock, with};

/// Polls both members until both are done; errors of both, at the end.
pub(crate) struct Join {
    members: [Option<Fut>; 2],
    /// In the order in which they came.
    results: Vec<Res>,
    /// Polls only a member whose waker fired, as `FuturesUnordered` does.
    lazy: Option<[Arc<Flag>; 2]>,
}

/// The waker of a member.
struct Flag {
    woken: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        let outer = lock(&self.outer).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl Join {
    pub(crate) fn new(members: [Fut; 2], lazy: bool) -> Self {
        let flag = || Arc::new(Flag { woken: AtomicBool::new(true), outer: Mutex::new(None) });
        Join { members: members.map(Some), results: Vec::new(), lazy: lazy.then(|| [flag(), flag()]) }
    }
}

impl Future for Join {
    type Output = Res;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Res> {
        let this = &mut *self;
        // Also that of a member that is done: what it has left behind may still call its waker.
        for flag in this.lazy.iter().flatten() {
            let old = lock(&flag.outer).replace(cx.waker().clone());
            drop(old);
        }
        for index in 0..2 {
            let Some(member) = &mut this.members[index] else { continue };
            let poll = match &this.lazy {
                None => member.as_mut().poll(cx),
                Some(flags) => {
                    let flag = &flags[index];
                    if !flag.woken.swap(false, Ordering::Relaxed) {
                        continue;
                    }
                    member.as_mut().poll(&mut Context::from_waker(&Waker::from(flag.clone())))
                }
            };
            if let Poll::Ready(result) = poll {
                this.members[index] = None;
                this.results.push(result);
            }
        }
        if this.members.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        let errors: Vec<_> = this.results.drain(..).filter_map(Result::err).flat_map(Errs::take).collect();
        Poll::Ready(if errors.is_empty() { Ok(()) } else { Err(Errs::new(errors)) })
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        for member in &mut self.members {
            *member = None;
        }
        // An error that it has kept for later is lost with it: that is what foreign code does.
        let kept: Vec<_> = self.results.drain(..).filter_map(Result::err).flat_map(Errs::take).collect();
        with(|world| world.foreign.extend(kept));
    }
}

/// Polls both members; the first that is done wins, and the other is dropped.
pub(crate) struct Select {
    members: Option<[Fut; 2]>,
}

impl Select {
    pub(crate) fn new(members: [Fut; 2]) -> Self {
        Select { members: Some(members) }
    }
}

impl Future for Select {
    type Output = Res;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Res> {
        let first = host::coin();
        let members = self.members.as_mut().expect("polled after it was done");
        for index in [first, 1 - first] {
            if let Poll::Ready(result) = members[index].as_mut().poll(cx) {
                self.members = None;
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }
}

/// Polls a future for some time, then holds it without polling it, or forgets it.
pub(crate) struct Hold {
    index: usize,
    body: Option<Fut>,
    plan: Plan,
    timers: [Option<Pin<Box<PlainSleep>>>; 2],
    /// When the body is not polled, in µs, once it is known: from, until.
    pause: Option<(u64, u64)>,
    valve: Arc<Valve>,
    after: Duration,
}

/// The plan for the time after `after`.
pub(crate) enum Plan {
    /// Holds the body and polls this instead; then drops the body.
    Then(Option<Fut>),
    /// Goes on with the body after this time.
    Resume(Duration),
    Leak,
}

/// The waker of the body: says nothing while the body is held, if it is mute.
struct Valve {
    mute: bool,
    stopped: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Valve {
    fn wake(self: Arc<Self>) {
        if self.mute && self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let outer = lock(&self.outer).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl Hold {
    pub(crate) fn new(index: usize, after: Duration, mute: bool, body: Fut, plan: Plan) -> Self {
        let valve = Arc::new(Valve { mute, stopped: AtomicBool::new(false), outer: Mutex::new(None) });
        Hold { index, body: Some(body), plan, timers: [None, None], pause: None, valve, after }
    }

    fn begin(&mut self) -> (u64, u64) {
        let micros = |duration: Duration| duration.as_micros() as u64;
        let from = micros(host::elapsed()) + micros(self.after);
        self.timers[0] = Some(Box::pin(plain_sleep(self.after)));
        let mut until = u64::MAX;
        if let Plan::Resume(length) = self.plan {
            until = from + micros(length);
            self.timers[1] = Some(Box::pin(plain_sleep(self.after + length)));
        }
        self.pause = Some((from, until));
        (from, until)
    }

    fn set_stopped(&self, stopped: bool) {
        self.valve.stopped.store(stopped, Ordering::Relaxed);
        with(|world| {
            if stopped && !world.stopped[self.index] {
                world.count(if matches!(self.plan, Plan::Leak) { "leaks" } else { "holds" });
            }
            world.stopped[self.index] = stopped;
            world.ever_stopped[self.index] |= stopped;
        });
    }
}

impl Future for Hold {
    type Output = Res;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Res> {
        let this = &mut *self;
        let (from, until) = this.pause.unwrap_or_else(|| this.begin());
        for timer in &mut this.timers {
            if timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                *timer = None;
            }
        }
        let old = lock(&this.valve.outer).replace(cx.waker().clone());
        drop(old);
        let now = host::elapsed().as_micros() as u64;
        let stopped = this.body.is_some() && from <= now && now < until;
        this.set_stopped(stopped);
        if let Some(body) = this.body.as_mut().filter(|_| !stopped) {
            let waker = Waker::from(this.valve.clone());
            if let Poll::Ready(result) = body.as_mut().poll(&mut Context::from_waker(&waker)) {
                this.body = None;
                if !matches!(this.plan, Plan::Then(_)) || result.is_err() {
                    return Poll::Ready(result);
                }
            }
        }
        match &mut this.plan {
            Plan::Leak if stopped => {
                let leaked = this.body.take();
                with(|world| world.attic.extend(leaked));
                Poll::Ready(Ok(()))
            }
            Plan::Then(Some(then)) if stopped || this.body.is_none() => match then.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    this.plan = Plan::Then(None);
                    this.body = None;
                    Poll::Ready(result)
                }
                Poll::Pending => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Plan::Then(then) = &mut self.plan {
            *then = None;
        }
        self.body = None;
    }
}
