//! Handovers: two pieces of code wait for the same thing, and the first is cancelled around the moment at which it is
//! given. If the cancelled one takes it along, the second waits for ever.
//!
//! And deliveries: items go to consumers whose waits are cut again and again. Each arrives once.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foster::channel::{self, Receiver, Sender};
use foster::pool::{Pool, PoolError};
use foster::rate::RateLimiter;
use foster::sync::{self, CapacityLimiter, Condition, Event, OnceCell, RwLock, Semaphore};
use foster::{CancelScope, Nursery, combine};
use futures_lite::StreamExt;

use super::foreign::{self, Boxed};
use super::interpret::At;
use super::watch::{Seen, Sort, seen};
use super::world::{Request, Target};

/// The thing that is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// An item of a channel with that capacity.
    Item(u8),
    /// The same, by the stream of a receiver.
    Stream(u8),
    /// The same, by the merged streams of two channels.
    Merged,
    /// Room in a channel for one, which is full.
    Room,
    Permit,
    Borrowed,
    Mutex,
    Write,
    /// A token under a mutex; the waiter of a condition takes it.
    Condition,
    /// A token of a rate limiter, which comes by itself.
    Rate,
    Pooled,
    /// A cell that whoever comes first makes the value of.
    Once,
}

pub(crate) const WHATS: [What; 15] = [
    What::Item(0),
    What::Item(1),
    What::Item(4),
    What::Stream(0),
    What::Stream(4),
    What::Merged,
    What::Room,
    What::Permit,
    What::Borrowed,
    What::Mutex,
    What::Write,
    What::Condition,
    What::Rate,
    What::Pooled,
    What::Once,
];

/// Through what the wait goes. None of these may lose what it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    Plain,
    /// Beside a sleep that is longer, or shorter.
    Race(u32),
    /// The same, with a scope inside the branch that waits.
    RaceLimited(u32),
    /// Two waits for the same.
    RaceAll,
    FirstOk,
    Quorum,
    Staggered(u32),
    /// Foreign; two waits.
    Select,
    /// Foreign; polls what was woken.
    Group,
    Limit(u32),
    /// Limits and a race in one another.
    Nested(u32),
    Shield,
    /// In a child of a local nursery, which leaves it where the nursery's code takes it.
    Local,
}

/// The outcome of a wait: the number of an item, if it is one, and a guard, if it is one.
type Got = (usize, Option<Box<dyn Any + Send>>);

impl How {
    /// Awaits one of the waits that `wait` begins. None if a limit or a sleep came first.
    pub(crate) fn run<T: Send + 'static>(self, wait: impl Fn() -> Boxed<T> + Send + 'static) -> Boxed<Option<T>> {
        let us = |us: u32| Duration::from_micros(us.into());
        let ok = |wait: Boxed<T>| Box::pin(async move { Ok::<T, ()>(wait.await) }) as Boxed<Result<T, ()>>;
        let some = |wait: Boxed<T>| Box::pin(async move { Some(wait.await) }) as Boxed<Option<T>>;
        let none_after = async |time| {
            foster::sleep(time).await;
            None
        };
        match self {
            How::Plain => some(wait()),
            How::Race(time) => Box::pin(combine::race((some(wait()), none_after(us(time))))),
            How::RaceLimited(time) => {
                let limited = foster::move_on_after(Duration::from_secs(10), wait());
                Box::pin(combine::race((none_after(us(time)), limited)))
            }
            How::RaceAll => Box::pin(combine::race_all([wait(), wait()])),
            How::FirstOk => Box::pin(async move { combine::first_ok([ok(wait()), ok(wait())]).await.ok() }),
            How::Quorum => Box::pin(async move {
                let quorum = combine::quorum(1, [ok(wait()), ok(wait())]).await;
                quorum.ok().and_then(|mut values| values.pop())
            }),
            How::Staggered(delay) => {
                Box::pin(async move { combine::staggered(us(delay), [ok(wait()), ok(wait())]).await.ok() })
            }
            How::Select => Box::pin(async move { Some(foreign::select(wait(), wait()).await.0) }),
            How::Group => Box::pin(async move { foreign::group(vec![wait()]).await.pop() }),
            How::Limit(time) => Box::pin(foster::move_on_after(us(time), wait())),
            How::Nested(time) => {
                let inner = async move { foster::fail_after(us(time), wait()).await.ok() };
                let raced = combine::race((inner, none_after(Duration::from_secs(10))));
                Box::pin(async move { foster::fail_after(Duration::from_secs(20), raced).await.ok().flatten() })
            }
            How::Shield => {
                // It ends by itself, whatever is asked of the code around.
                let shield = CancelScope::new().deadline_after(Duration::from_millis(2)).shielded();
                Box::pin(async move { shield.run(wait()).await.ok() })
            }
            How::Local => Box::pin(async move {
                let place = Mutex::new(None);
                let child = &place;
                let Ok(()) = foster::local_nursery(async |n: foster::LocalNursery<'_>| {
                    n.spawn(async move {
                        let value = wait().await;
                        *child.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                        Ok(())
                    });
                    Ok(())
                })
                .await;
                place.into_inner().unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }
}

/// The thing that is handed over.
struct Thing {
    what: What,
    items: (Sender<usize>, Receiver<usize>),
    others: (Sender<usize>, Receiver<usize>),
    permits: Arc<Semaphore>,
    limiter: Arc<CapacityLimiter>,
    mutex: Arc<sync::Mutex<usize>>,
    rwlock: RwLock<()>,
    condition: Condition,
    rate: RateLimiter,
    pool: Pool<fn() -> std::future::Ready<Result<(), ()>>>,
    once: OnceCell<()>,
    event: Event,
    /// The numbers of items, and of waits for room.
    next: AtomicUsize,
}

impl Thing {
    fn new(what: What) -> Arc<Self> {
        let capacity = match what {
            What::Item(capacity) | What::Stream(capacity) => capacity.into(),
            _ => 1,
        };
        Arc::new(Thing {
            what,
            items: channel::bounded(capacity),
            others: channel::bounded(1),
            permits: Arc::new(Semaphore::new(0)),
            limiter: Arc::new(CapacityLimiter::new(1)),
            mutex: Arc::default(),
            rwlock: RwLock::new(()),
            condition: Condition::new(),
            rate: RateLimiter::new(1, Duration::from_micros(700)),
            pool: Pool::new(1, || std::future::ready(Ok(()))),
            once: OnceCell::new(),
            event: Event::new(),
            next: AtomicUsize::new(1),
        })
    }

    fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Returns a wait for it. Its output is dropped when it is not wanted any more: a lock is free again then.
    fn wait(self: &Arc<Self>) -> Boxed<Got> {
        let this = self.clone();
        Box::pin(async move {
            let closed = "nobody closes it";
            match this.what {
                What::Item(_) => (this.items.1.recv().await.expect(closed), None),
                What::Stream(_) => (this.items.1.clone().next().await.expect(closed), None),
                What::Merged => {
                    let both = [this.others.1.clone(), this.items.1.clone()];
                    (combine::merge(both).next().await.expect(closed), None)
                }
                What::Room => {
                    let number = this.number();
                    this.items.0.send(number).await.expect(closed);
                    (number, None)
                }
                What::Permit => (0, Some(Box::new(this.permits.clone().acquire_owned().await) as Box<_>)),
                What::Borrowed => (0, Some(Box::new(this.limiter.clone().acquire_owned().await) as Box<_>)),
                What::Mutex => (0, Some(Box::new(this.mutex.clone().lock_owned().await) as Box<_>)),
                What::Write => {
                    // Kept for a while, or nobody would ever wait for it.
                    let _guard = this.rwlock.write().await;
                    foster::yield_now().await;
                    (0, None)
                }
                What::Condition => {
                    let guard = this.mutex.lock().await;
                    let mut tokens = this.condition.wait_for(guard, |tokens| *tokens > 0).await;
                    *tokens -= 1;
                    (0, None)
                }
                What::Rate => {
                    this.rate.acquire().await;
                    (0, None)
                }
                What::Pooled => {
                    let used: Result<(), PoolError<()>> = this
                        .pool
                        .run(async |_| {
                            foster::yield_now().await;
                            Ok(())
                        })
                        .await;
                    used.expect("it opens");
                    (0, None)
                }
                What::Once => {
                    this.once.get_or_init(async || this.event.wait().await).await;
                    (0, None)
                }
            }
        })
    }

    /// Has the thing, until `give`. For those that are there from the beginning.
    async fn hold(self: &Arc<Self>) -> Option<Box<dyn Any + Send>> {
        match self.what {
            What::Borrowed => Some(Box::new(self.limiter.clone().acquire_owned().await)),
            What::Mutex => Some(Box::new(self.mutex.clone().lock_owned().await)),
            What::Room => {
                self.items.0.send(0).await.expect("nobody closes it");
                None
            }
            _ => None,
        }
    }

    /// Gives it, once.
    async fn give(self: &Arc<Self>) {
        match self.what {
            What::Item(_) | What::Stream(_) | What::Merged => {
                let number = self.number();
                self.items.0.send(number).await.expect("nobody closes it");
            }
            What::Room => drop(self.items.1.recv().await),
            What::Permit => self.permits.add_permits(1),
            What::Condition => {
                let mut tokens = self.mutex.lock().await;
                *tokens += 1;
                self.condition.notify(&tokens, 1);
            }
            What::Once => self.event.set(),
            // They are free when nobody has them, or come by themselves.
            What::Borrowed | What::Mutex | What::Write | What::Rate | What::Pooled => {}
        }
    }

    /// Whether it is gone when somebody has got it, and has to be given again.
    fn is_used_up(&self) -> bool {
        matches!(self.what, What::Item(_) | What::Stream(_) | What::Merged | What::Room | What::Condition)
    }
}

/// When the first is cancelled, and when the thing is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) after: u32,
    pub(crate) gap: u32,
    /// Given before the cancel.
    pub(crate) given_first: bool,
    pub(crate) from_thread: bool,
}

/// Runs one handover. Returns when the second has got the thing.
pub(crate) async fn handover(at: &At, what: What, how: [How; 2], moment: Moment) {
    let thing = Thing::new(what);
    let held = thing.hold().await;
    let mut scope = CancelScope::new();
    let target = Target { handle: scope.handle(), request: Request::default() };
    let (first, second) = (thing.clone(), thing.clone());
    let [first_how, second_how] = how;
    let at = at.clone();
    let Ok(()) = foster::nursery(move |n: Nursery| async move {
        let first = n.spawn(async move { Ok(scope.run(first_how.run(move || first.wait())).await.ok().flatten()) });
        let second = n.spawn(async move {
            // Limits that are over begin anew.
            loop {
                let wait = second.clone();
                if let Some(got) = second_how.run(move || wait.wait()).await {
                    return Ok(got);
                }
                foster::checkpoint().await;
            }
        });
        at.op("sleep", foster::sleep(Duration::from_micros(moment.after.into()))).await;
        let cancel = move || match moment.from_thread {
            true => target.cancel_from_thread(),
            false => target.cancel("by a handover"),
        };
        let gap = async || {
            if moment.gap > 0 {
                foster::sleep(Duration::from_micros(moment.gap.into())).await;
            }
        };
        if moment.given_first {
            drop(held);
            thing.give().await;
            gap().await;
            cancel();
        } else {
            cancel();
            gap().await;
            drop(held);
            thing.give().await;
        }
        let mut got = first.await.ok().flatten();
        // A guard is given back by that.
        let first_number = got.take().map(|(number, _)| number);
        if first_number.is_some() {
            seen(Seen::FirstGot);
            if thing.is_used_up() {
                thing.give().await;
            }
        }
        let Ok((second_number, _)) = second.await else { return Ok(()) };
        seen(Seen::Handovers);
        if what == What::Room {
            let arrived: Vec<usize> = std::iter::from_fn(|| thing.items.1.try_recv().ok()).collect();
            let known = [0, second_number, first_number.unwrap_or(0)];
            // An item that was taken from the loser of a race counts as taken (L12.6); but nothing is taken from code
            // that was cut.
            let is_exact = |how: How| matches!(how, How::Plain | How::Group | How::Limit(_) | How::Shield | How::Local);
            if how.into_iter().all(is_exact) && arrived.iter().any(|number| !known.contains(number)) {
                at.world.fault(Sort::Doubled, format!("what was sent by code that was cut has arrived: {arrived:?}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Sends items to two consumers, whose waits go through `how` and are cut all the time. Returns when all have arrived.
pub(crate) async fn deliver(at: &At, capacity: Option<u8>, how: How, items: u8, limit: u32) {
    let (sender, receiver) = match capacity {
        Some(capacity) => channel::bounded(capacity.into()),
        None => channel::unbounded(),
    };
    let arrived = Arc::new(Mutex::new(vec![0_usize; items.into()]));
    let all_sent = Arc::new(AtomicBool::new(false));
    let limit = Duration::from_micros(limit.into());
    let (counts, sent, consumers) = (arrived.clone(), all_sent.clone(), at.clone());
    let Ok(()) = foster::nursery(move |n: Nursery| async move {
        for _ in 0..2 {
            let (receiver, counts, at) = (receiver.clone(), counts.clone(), consumers.clone());
            n.spawn(async move {
                loop {
                    let receiver = receiver.clone();
                    let wait = move || {
                        let receiver = receiver.clone();
                        Box::pin(async move { receiver.recv().await.ok() }) as Boxed<Option<usize>>
                    };
                    match at.through("deliver", how, foster::move_on_after(limit, how.run(wait))).await.flatten() {
                        Some(Some(item)) => counts.lock().unwrap_or_else(PoisonError::into_inner)[item] += 1,
                        Some(None) => return,
                        None => foster::yield_now().await,
                    }
                }
            });
        }
        for item in 0..usize::from(items) {
            // An item whose sending was cut was not sent.
            while !matches!(foster::move_on_after(limit, sender.send(item)).await, Some(Ok(()))) {
                foster::yield_now().await;
            }
        }
        sent.store(true, Ordering::SeqCst);
        drop(sender);
        Ok(())
    })
    .await;
    if all_sent.load(Ordering::SeqCst) {
        seen(Seen::Deliveries);
        let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |wrong: fn(usize) -> bool| arrived.iter().filter(|times| wrong(**times)).count();
        let (lost, doubled) = (of(|times| times == 0), of(|times| times > 1));
        if lost > 0 {
            at.world.fault(Sort::Lost, format!("{lost} of {items} items were sent, and have not arrived"));
        }
        if doubled > 0 {
            at.world.fault(Sort::Doubled, format!("{doubled} of {items} items have arrived twice"));
        }
    }
}
