//! Awaiting the handle of a task, from several places at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use foster::Task;
use foster::error::JoinError;

use super::finalizer::FinalizerSeen;
use super::program::Id;
use super::world::{BodyState, Target, lock, with};

/// The `await` operation.
pub(crate) async fn await_task(id: Id, task: Id) {
    // In the model an await is a leaf, also if there is no such task.
    foster::checkpoint_if_cancelled().await;
    let Target::Task(handle) = with(|world| world.seen(task).target.clone()) else { return };
    let shared = with(|world| world.program.awaited.get(&task).is_some_and(|count| *count > 1));
    let outcome = AwaitTask { task, handle, shared, relay: Arc::default() }.await;
    with(|world| {
        world.awaits.insert(id, outcome);
        world.count("awaited");
        let pending = world.finalizers.iter().any(|f: &FinalizerSeen| f.owner == task && f.is_pending());
        // The body of a local child that was forgotten with its nursery is out of everybody's reach.
        let forgotten = world.program.info(task).leaks.iter().any(|leak| world.ever_stopped[*leak]);
        if world.seen(task).body == BodyState::Live && !forgotten || pending {
            let text = format!("I23: the handle of {} resolved before its end", world.program.name(task));
            world.broken(text);
        }
    });
}

struct AwaitTask {
    task: Id,
    handle: Arc<Mutex<Task<()>>>,
    shared: bool,
    relay: Arc<Relay>,
}

/// The waker of one await. The handle goes on to exist when the await is dropped, which then must not be woken any
/// more.
#[derive(Default)]
struct Relay {
    outer: Mutex<Option<Waker>>,
    closed: AtomicBool,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let outer = lock(&self.outer).take();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

/// Wakes all who await one handle, which by itself keeps one waker.
#[derive(Default)]
struct Everybody(Mutex<Vec<Waker>>);

impl Wake for Everybody {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        wakers.into_iter().for_each(Waker::wake);
    }
}

thread_local! {
    static EVERYBODY: RefCell<BTreeMap<Id, Arc<Everybody>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets who awaited what in the run that is over.
pub(crate) fn forget() {
    let old = EVERYBODY.take();
    drop(old);
}

impl Future for AwaitTask {
    type Output = &'static str;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(known) = with(|world| world.joins.get(&self.task).copied()) {
            // As the handle itself would: it has no failure to show to code that is cancelled.
            return if known != "value" && foster::is_cancelled() { Poll::Pending } else { Poll::Ready(known) };
        }
        let old = lock(&self.relay.outer).replace(cx.waker().clone());
        drop(old);
        let relay = Waker::from(self.relay.clone());
        let waker = if self.shared {
            let everybody = EVERYBODY.with_borrow_mut(|all| all.entry(self.task).or_default().clone());
            lock(&everybody.0).push(relay);
            Waker::from(everybody)
        } else {
            relay
        };
        let poll = Pin::new(&mut *lock(&self.handle)).poll(&mut Context::from_waker(&waker));
        poll.map(|result| {
            let outcome = match result {
                Ok(()) => "value",
                Err(JoinError::Cancelled) => "cancelled",
                Err(JoinError::Failed(_)) => "failed",
                Err(_) => "panicked",
            };
            with(|world| world.joins.insert(self.task, outcome));
            outcome
        })
    }
}

impl Drop for AwaitTask {
    fn drop(&mut self) {
        self.relay.closed.store(true, Ordering::Relaxed);
        let outer = lock(&self.relay.outer).take();
        drop(outer);
    }
}
