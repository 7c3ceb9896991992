//! Lesson 7: a lost wake-up in a hand-written channel. The simulator finds it, says from which seed, and runs it again.
//!
//! ```text
//!   helper  ── recv … ◀─wake─┐          ┌─ goes home, drops its `recv`: the wake-up is gone
//!   worker  ── recv …        │          │
//!   shop    ────────── send ─┘          ▼
//!                        └── job in the queue, worker asleep: nobody wakes it any more
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 07_a_lost_wake_up -- --version broken` (or `mended`). It is what
//! `#[foster::test(sim, seeds = 1000)]` makes of a test, and fails as a test does. `FOSTER_SEED=… cargo run …`, as the
//! failure says, repeats it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::sync::Event;
use foster::{Nursery, nursery, sleep};
use foster_examples::Version;
use futures_lite::future::or;

fn main() {
    let version = Version::chosen();
    foster_sim::test("no_job_is_left", 1_000, || shop(version));
    println!("no job was left");
}

async fn shop(version: Version) {
    let jobs = Arc::new(Channel::new(version));
    let (evening, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let Ok(()) = nursery(async |n: Nursery| {
        let work = || work(jobs.clone(), done.clone());
        n.child().named("worker").daemon().spawn(work());
        let (helper, bell) = (work(), evening.clone());
        // `or` stands for any `select!`: it drops the future that loses.
        n.child().named("helper").daemon().spawn(or(async move { bell.wait().await }, helper));
        n.child().named("clock").spawn(async move {
            sleep(Duration::from_secs(1)).await;
            evening.set();
        });
        sleep(Duration::from_secs(1)).await;
        jobs.send(7);
        done.wait().await;
    })
    .await;
}

async fn work(jobs: Arc<Channel>, done: Arc<Event>) {
    loop {
        let _job = jobs.recv().await;
        done.set();
    }
}

/// Jobs, and the tasks that wait for one.
struct Channel {
    state: Mutex<State>,
    version: Version,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<u32>,
    tickets: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Channel {
    fn new(version: Version) -> Self {
        Channel { state: Mutex::default(), version }
    }

    /// Wakes the task that has waited for longest.
    fn send(&self, job: u32) {
        let next = self.with(|state| {
            state.jobs.push_back(job);
            state.waiting.pop_first()
        });
        next.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn recv(&self) -> Recv<'_> {
        Recv { channel: self, ticket: None }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Recv<'a> {
    channel: &'a Channel,
    ticket: Option<u64>,
}

impl Future for Recv<'_> {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        let this = &mut *self;
        this.channel.with(|state| match state.jobs.pop_front() {
            Some(job) => {
                this.ticket.take().and_then(|ticket| state.waiting.remove(&ticket));
                Poll::Ready(job)
            }
            None => {
                state.tickets += 1;
                let ticket = *this.ticket.get_or_insert(state.tickets);
                state.waiting.insert(ticket, context.waker().clone());
                Poll::Pending
            }
        })
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let next = self.channel.with(|state| match state.waiting.remove(&ticket) {
            // It was woken for a job that it does not take: somebody else has to.
            None if self.channel.version == Version::Mended => state.waiting.pop_first(),
            _ => None,
        });
        next.into_iter().for_each(|(_, waker)| waker.wake());
    }
}
