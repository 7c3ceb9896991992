//! Runs a program over foster's public interface, and notes each operation that returns although it must not.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foster::channel::{Receiver, Sender};
use foster::{CancelScope, LocalNursery, Nursery, is_cancelled};

use super::foreign::{self, Boxed};
use super::handover::{How, deliver, handover};
use super::program::{Kind, Op, Ops};
use super::quiet::FAR;
use super::watch::{Seen, Sort, now, seen};
use super::world::{Item, Request, Target, World, stamp};

/// The error of programs.
#[derive(Debug)]
pub(crate) struct Oops;

/// The payload of panics that programs throw on purpose.
pub(crate) struct OnPurpose;

pub(crate) type End = Result<(), Oops>;

/// Where code stands: what it shares, and the scopes whose requests reach it.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) world: Arc<World>,
    pub(crate) requests: Vec<Request>,
    /// It may be left unpolled, so that nothing can be said of when it ends.
    pub(crate) held: bool,
}

pub(crate) fn micros(us: u32) -> Duration {
    Duration::from_micros(us.into())
}

/// Runs operations one after the other.
pub(crate) fn run(at: &At, ops: &Ops) -> Boxed<End> {
    let (at, ops) = (at.clone(), ops.clone());
    Box::pin(async move {
        for op in ops.iter() {
            match op.parts.is_empty() {
                true => at.leaf(op.kind).await?,
                false => at.inner(op).await?,
            }
        }
        Ok(())
    })
}

impl At {
    /// Awaits an operation of foster. One that is first polled in cancelled code must not return (L14).
    pub(crate) async fn op<F: Future>(&self, name: &str, operation: F) -> F::Output {
        let mut operation = pin!(operation);
        let mut began_cancelled = None;
        poll_fn(|cx| {
            let began_cancelled = *began_cancelled.get_or_insert_with(is_cancelled);
            let poll = operation.as_mut().poll(cx);
            if poll.is_ready() && began_cancelled {
                self.world.fault(Sort::RanOn, format!("{name} was begun in cancelled code, and returned"));
            }
            poll
        })
        .await
    }

    /// As [`op`](At::op), for one in a combinator. A shield that is opened in cancelled code returns all the same.
    pub(crate) async fn through<F: Future>(&self, name: &str, how: How, operation: F) -> F::Output {
        if how == How::Shield { operation.await } else { self.op(&format!("{name} through {how:?}"), operation).await }
    }

    /// When this code was first cancelled by a handle.
    fn cancelled_at(&self) -> Option<u64> {
        self.requests.iter().map(|request| request.load(Ordering::SeqCst)).filter(|at| *at > 0).min()
    }

    /// Notes a fault if this code was cancelled by a handle before the moment at which what it got was given.
    fn got(&self, name: &str, given: u64) {
        if self.cancelled_at().is_some_and(|cancelled| cancelled < given) {
            self.world
                .fault(Sort::GivenToTheDead, format!("{name} was given after the code was cancelled, and returned"));
        }
    }

    fn ends(&self, channel: u8) -> (&Sender<Item>, &Receiver<Item>) {
        let (sender, receiver) = &self.world.channels[channel as usize];
        (sender, receiver)
    }

    async fn leaf(&self, kind: Kind) -> End {
        let world = &self.world;
        match kind {
            Kind::Sleep(us) => {
                let (limit, begun) = (foster::deadline(), now());
                // It is due later than `due`, and no deadline is moved here. One that has passed is that of a request,
                // which may be on its way to this code.
                let now = foster::Instant::now();
                let due = now + micros(us);
                let is_cut = limit.is_some_and(|limit| now < limit && limit < due);
                if is_cut {
                    seen(Seen::SleepsToBeCut);
                }
                self.op("sleep", foster::sleep(micros(us))).await;
                self.has_ended("a sleep", begun, us);
                if is_cut {
                    world.fault(Sort::SleptOn, "a sleep has ended that was due after the deadline of its code");
                }
                seen(Seen::Sleeps);
            }
            Kind::Yield => foster::yield_now().await,
            Kind::Checkpoint => self.op("checkpoint", foster::checkpoint()).await,
            Kind::Compute(us) => compute(micros(us)),
            Kind::Thread(us) => {
                foster::to_thread(move || pause(micros(us))).await;
                seen(Seen::Threads);
            }
            Kind::Send(of) => {
                let item = world.item();
                let id = item.id;
                match self.op("send", self.ends(of).0.send(item)).await {
                    Ok(()) => world.sent(id),
                    Err(refused) => world.came_back(&refused.into_inner()),
                }
            }
            Kind::TrySend(of) => {
                let item = world.item();
                let id = item.id;
                match self.ends(of).0.try_send(item) {
                    Ok(()) => world.sent(id),
                    Err(refused) => world.came_back(&refused.into_inner()),
                }
            }
            Kind::Recv(of) => match self.op("recv", self.ends(of).1.recv()).await {
                Ok(item) => {
                    world.received(&item);
                    self.got("an item", item.sent);
                    seen(Seen::Items);
                }
                Err(_) => self.got("the end of a channel", world.closed[of as usize].load(Ordering::SeqCst)),
            },
            Kind::RecvThrough(of, how) => {
                let receiver = self.ends(of).1.clone();
                let wait = move || {
                    let receiver = receiver.clone();
                    Box::pin(async move { receiver.recv().await.ok() }) as Boxed<_>
                };
                if let Some(item) = self.through("recv", how, how.run(wait)).await.flatten() {
                    world.received(&item);
                    seen(Seen::Items);
                }
            }
            Kind::TryRecv(of) => {
                if let Ok(item) = self.ends(of).1.try_recv() {
                    world.received(&item);
                }
            }
            Kind::Close(of) => {
                let _ = world.closed[of as usize].compare_exchange(0, stamp(), Ordering::SeqCst, Ordering::SeqCst);
                self.ends(of).0.close();
            }
            Kind::CondWait(of) => {
                let guard = self.op("lock", world.mutexes[of as usize].lock()).await;
                drop(self.op("wait", world.conditions[of as usize].wait(guard)).await);
                seen(Seen::Notifications);
            }
            Kind::Notify(of) => {
                let guard = self.op("lock", world.mutexes[of as usize].lock()).await;
                world.conditions[of as usize].notify(&guard, 1);
            }
            Kind::EventWait(of) => self.op("event", world.events[of as usize].wait()).await,
            Kind::EventSet(of) => world.events[of as usize].set(),
            Kind::WatchSend => world.watch_send(),
            Kind::WatchRecv => {
                let (mut receiver, begun) = (world.watch.1.clone(), stamp());
                if let Ok(value) = self.op("watch", receiver.recv()).await {
                    // Who was woken for a value before the request gets the latest.
                    let is_woken = |cancelled| world.watch_was_sent(begun, cancelled);
                    if !self.cancelled_at().is_some_and(is_woken) {
                        self.got("a watched value", *value);
                    }
                }
            }
            Kind::BroadcastSend => drop(self.op("broadcast", world.broadcast.0.send(stamp())).await),
            Kind::BroadcastRecv => {
                let mut receiver = world.broadcast.0.subscribe();
                if let Ok(value) = self.op("broadcast", receiver.recv()).await {
                    self.got("a broadcast value", value);
                }
            }
            Kind::Oneshot(us) => {
                let (sender, receiver) = foster::channel::oneshot();
                let at = self.clone();
                let Ok(()) = foster::nursery(move |n: Nursery| async move {
                    n.spawn(async move {
                        foster::sleep(micros(us)).await;
                        let _ = sender.send(());
                    });
                    let _ = at.op("oneshot", receiver).await;
                    Ok(())
                })
                .await;
            }
            Kind::Cancel(slot) => {
                if let Some(target) = world.target(slot) {
                    target.cancel("by a task");
                }
            }
            Kind::CancelFromThread(slot) => {
                if let Some(target) = world.target(slot) {
                    target.cancel_from_thread();
                }
            }
            Kind::Fail => {
                seen(Seen::Errors);
                return Err(Oops);
            }
            Kind::Panic => {
                seen(Seen::Panics);
                std::panic::resume_unwind(Box::new(OnPurpose));
            }
            Kind::Handover { what, how, moment } => handover(self, what, how, moment).await,
            Kind::Deliver { capacity, how, items, limit } => deliver(self, capacity, how, items, limit).await,
            Kind::Pipe { capacity, items, pace } => self.pipe(capacity, items, pace).await,
            // The rest of others when their parts were removed.
            _ => {}
        }
        Ok(())
    }

    /// A consumer commits what it got until the end of the channel; its producer, which ends it, may have been cut off.
    async fn pipe(&self, capacity: Option<u8>, items: u8, pace: u32) {
        let (sender, receiver) = match capacity {
            Some(capacity) => foster::channel::bounded(capacity.into()),
            None => foster::channel::unbounded(),
        };
        let finished = Arc::new(AtomicBool::new(false));
        let (producer, consumer, is_finished) = (self.clone(), self.clone(), finished.clone());
        let Ok(()) = foster::nursery(move |n: Nursery| async move {
            n.spawn(async move {
                let mut left = items;
                while left > 0 {
                    let _ = producer.op("send", sender.send(())).await;
                    producer.op("sleep", foster::sleep(micros(pace))).await;
                    left -= u8::from(items != 255);
                }
                finished.store(true, Ordering::SeqCst);
            });
            n.spawn(async move {
                while consumer.op("recv", receiver.recv()).await.is_ok() {}
                seen(Seen::Commits);
                if !is_finished.load(Ordering::SeqCst) {
                    consumer.world.fault(Sort::Committed, "a consumer whose producer was cut off went on to commit");
                }
            });
            Ok(())
        })
        .await;
    }

    async fn inner(&self, op: &Op) -> End {
        let world = &self.world;
        let part = |n: usize| run(self, op.parts.get(n).unwrap_or(&Ops::default()));
        let all = || op.parts.iter().map(|ops| run(self, ops)).collect::<Vec<_>>();
        match op.kind {
            Kind::Acquire(of) => {
                let _permit = self.op("acquire", world.semaphores[of as usize].acquire()).await;
                seen(Seen::Permits);
                part(0).await
            }
            Kind::Lock(of) => {
                let _guard = self.op("lock", world.mutexes[of as usize].lock()).await;
                part(0).await
            }
            Kind::Read(of) => {
                let _guard = self.op("read", world.rwlocks[of as usize].read()).await;
                part(0).await
            }
            Kind::Write(of) => {
                let _guard = self.op("write", world.rwlocks[of as usize].write()).await;
                part(0).await
            }
            Kind::Repeat(times) => {
                for _ in 0..times {
                    part(0).await?;
                }
                Ok(())
            }
            Kind::Loop => {
                for _ in 0..50 {
                    part(0).await?;
                    self.op("checkpoint", foster::checkpoint()).await;
                }
                // Slower from here on: finalizers that each round registers run one after the other in the end.
                loop {
                    part(0).await?;
                    self.op("sleep", foster::sleep(micros(1000))).await;
                }
            }
            Kind::Nursery { collecting, daemons } => {
                let mut children = all();
                let body = children.remove(0);
                let first_daemon = children.len().saturating_sub(daemons.into());
                let open = move |n: Nursery<Oops>| async move {
                    for (at, child) in children.into_iter().enumerate() {
                        drop(if at < first_daemon { n.spawn(child) } else { n.spawn_daemon(child) });
                    }
                    body.await
                };
                match collecting {
                    true => foster::NurseryOptions::new().collect_errors().run(open).await.map_err(|_| Oops),
                    false => foster::nursery(open).await,
                }
            }
            Kind::Local { daemons } => {
                let mut children = all();
                let body = children.remove(0);
                let first_daemon = children.len().saturating_sub(daemons.into());
                let open = move |n: LocalNursery<'static, Oops>| async move {
                    for (at, child) in children.into_iter().enumerate() {
                        drop(if at < first_daemon { n.spawn(child) } else { n.spawn_daemon(child) });
                    }
                    body.await
                };
                foster::local_nursery(open).await
            }
            Kind::MoveOnAfter(us) => {
                let begun = now();
                let end = foster::move_on_after(micros(us), part(0)).await;
                self.limit_has_ended(op, begun, us);
                cut(end)
            }
            Kind::FailAfter(us) => {
                let begun = now();
                let end = foster::fail_after(micros(us), part(0)).await.ok();
                self.limit_has_ended(op, begun, us);
                cut(end)
            }
            Kind::Scope { slot, early } => {
                let mut scope = CancelScope::new();
                let target = Target { handle: scope.handle(), request: Request::default() };
                if early {
                    target.cancel("before it is entered");
                }
                let mut inside = self.clone();
                inside.requests.push(target.request.clone());
                world.set_target(slot, target);
                cut(scope.run(run(&inside, &op.parts[0])).await.ok())
            }
            Kind::Shield(us) => {
                // Nothing that was asked of the scopes around reaches what is inside.
                let inside = At { requests: Vec::new(), ..self.clone() };
                let mut scope = CancelScope::new().deadline_after(micros(us)).shielded();
                if us == FAR {
                    world.ends_when_told(scope.handle());
                }
                cut(scope.run(run(&inside, &op.parts[0])).await.ok())
            }
            Kind::Graceful { deadline, grace } => {
                let inside = At { requests: Vec::new(), ..self.clone() };
                let mut scope = CancelScope::new().deadline_after(micros(deadline)).grace(micros(grace));
                if deadline == FAR {
                    world.ends_when_told(scope.handle());
                }
                cut(scope.run(foster::graceful(run(&inside, &op.parts[0]))).await.ok())
            }
            Kind::Bracket(budget) => {
                let (acquire, body, release) = (part(0), part(1), self.finalizer(op, 2));
                let begun = self.world.clone();
                let acquired = async move {
                    acquire.await?;
                    Ok(begun.finalizer())
                };
                let using = |_| body;
                let bracket = foster::cleanup::try_bracket(acquired, using, move |begun: Arc<_>, _| release(begun));
                bracket.budget(micros(budget)).await
            }
            Kind::Defer(budget) => {
                let release = self.finalizer(op, 0);
                foster::cleanup::defer_within(micros(budget), release(world.finalizer()));
                Ok(())
            }
            Kind::Select => {
                let (end, dropped) = foreign::select(part(0), part(1)).await;
                if dropped {
                    seen(Seen::ForeignDrops);
                }
                end
            }
            Kind::Group => foreign::group(all()).await.into_iter().collect(),
            Kind::Held { finish } => self.held(op, finish).await,
            Kind::Unpolled { place, finish } => self.unpolled(op, place, finish).await,
            Kind::Join => {
                let (first, second) = foster::combine::join((part(0), part(1))).await;
                first.and(second)
            }
            Kind::Race => foster::combine::race((part(0), part(1))).await,
            Kind::Gather => foster::combine::gather(all()).await.map(drop),
            Kind::AsCompleted => {
                let mut stream = foster::combine::as_completed(all());
                while let Some(end) = stream.next().await {
                    end?;
                }
                Ok(())
            }
            _ => part(0).await,
        }
    }

    /// Returns the body of a finalizer. The requests of the scopes around do not reach it.
    fn finalizer(&self, op: &Op, part: usize) -> impl FnOnce(Arc<AtomicUsize>) -> Boxed<()> + Send + use<> {
        let inside = At { requests: Vec::new(), ..self.clone() };
        let ops = op.parts.get(part).cloned().unwrap_or_default();
        move |begun| {
            Box::pin(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                seen(Seen::Finalizers);
                let _ = run(&inside, &ops).await;
            })
        }
    }
}

/// The end of a scope, which is none if it was cancelled.
pub(crate) fn cut(end: Option<End>) -> End {
    end.unwrap_or_else(|| {
        seen(Seen::CancelledScopes);
        Ok(())
    })
}

fn compute(duration: Duration) {
    let start = foster::Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the work of a blocking job")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
