//! The least that a child of a nursery can be: the contender that says how much of foster's price is due to what foster
//! promises, and how much to having a list of children that are tasks of the host.
//!
//! A child is what foster's is made of: one block (`foster-cell`) with its state, its future and later its value; an
//! entry in the table of its nursery; a task of the host that polls it; and a handle. It can do nothing else. It is not
//! cancelled, and nothing is opened in it; no panic is caught; it has no name, no budget and no observer; its nursery
//! has no parent, no errors and no end.

use foster_cell::{BlockRef, Erase, Head, WakerTable};
use pin_project_lite::pin_project;
use slab::Slab;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// A nursery: its table of children.
#[derive(Clone, Default)]
pub(super) struct Nursery(Arc<Mutex<Slab<BlockRef<Child>>>>);

/// What is known of a child.
pub(super) struct Child {
    nursery: Nursery,
    slot: usize,
    ended: AtomicBool,
    joiner: Mutex<Option<Waker>>,
}

/// What a host is given to poll.
pub(super) struct Job(Option<BlockRef<Child>>);

/// The handle to a child.
pub(super) struct Handle(BlockRef<Child>);

/// A future, or its value, whose type nobody knows.
pub(super) trait Run: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    fn value(self: Pin<&mut Self>) -> u64;
}

pin_project! {
    #[project = BodyProj]
    enum Body<F> {
        Future { #[pin] future: F },
        Value { value: u64 },
    }
}

impl Nursery {
    /// Spawns a child by what `spawn` does with its job.
    pub(super) fn spawn(&self, spawn: impl FnOnce(Job), future: impl Future<Output = u64> + Send + 'static) -> Handle {
        let mut children = self.0.lock().unwrap();
        let place = children.vacant_entry();
        let child =
            Child { nursery: self.clone(), slot: place.key(), ended: AtomicBool::new(false), joiner: Mutex::new(None) };
        let [listed, polled, handle] = BlockRef::with_body(child, Body::Future { future }).split();
        place.insert(listed);
        drop(children);
        spawn(Job(Some(polled)));
        Handle(handle)
    }
}

impl Head for Child {
    type Body = dyn Run;

    fn wake(&self) {
        unreachable!("the child is polled with the waker of its host");
    }

    fn waker_table() -> &'static WakerTable<Self> {
        static TABLE: WakerTable<Child> = WakerTable::NEW;
        &TABLE
    }
}

impl Child {
    fn end(&self) {
        let mut joiner = self.joiner.lock().unwrap();
        self.ended.store(true, Ordering::Release);
        let joiner = joiner.take();
        let gone = self.nursery.0.lock().unwrap().remove(self.slot);
        drop(gone);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }
}

impl<F: Future<Output = u64> + Send + 'static> Erase<dyn Run> for Body<F> {
    fn erase(self: Pin<&mut Self>) -> Pin<&mut (dyn Run + 'static)> {
        self
    }
}

impl<F: Future<Output = u64> + Send> Run for Body<F> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let BodyProj::Future { future } = self.as_mut().project() else { return Poll::Ready(()) };
        let Poll::Ready(value) = future.poll(cx) else { return Poll::Pending };
        self.set(Body::Value { value });
        Poll::Ready(())
    }

    fn value(self: Pin<&mut Self>) -> u64 {
        let BodyProj::Value { value } = self.project() else { panic!("it has ended") };
        *value
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let child = self.0.as_ref().expect("it is over");
        let mut body = child.try_use_body().expect("nobody else uses it");
        let poll = body.body().poll(cx);
        assert!(body.put_back().is_none());
        if poll.is_ready() {
            child.end();
            self.0 = None;
        }
        poll
    }
}

impl Future for Handle {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if !self.0.ended.load(Ordering::Acquire) {
            let waker = cx.waker().clone();
            let mut joiner = self.0.joiner.lock().unwrap();
            if !self.0.ended.load(Ordering::Acquire) {
                *joiner = Some(waker);
                return Poll::Pending;
            }
        }
        let mut body = self.0.try_use_body().expect("nobody else uses it");
        Poll::Ready(body.body().value())
    }
}
