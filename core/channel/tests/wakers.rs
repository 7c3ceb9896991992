//! Wakers whose clones act, and panic when they are dropped.

#![expect(unsafe_code, reason = "a waker that knows when it is cloned can be made in no other way")]

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::ptr;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use foster::channel::{TryRecvError, bounded};

thread_local! {
    /// The action of the next clone.
    static DEED: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// The first waker bears null, its clones do not.
static TABLE: RawWakerVTable = RawWakerVTable::new(
    |_| {
        let deed = DEED.take();
        if let Some(deed) = deed {
            deed();
        }
        RawWaker::new(ptr::dangling(), &TABLE)
    },
    |_| {},
    |_| {},
    |bears| assert!(bears.is_null(), "a clone is dropped"),
);

/// Polls a future that has waited, with a waker of which it needs a clone. Then `deed` ends its wait, so that the clone
/// is dropped, and panics. The future is dropped.
fn poll_and_drop<F: Future>(future: F, deed: impl FnOnce() + 'static) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(future);
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        DEED.set(Some(Box::new(deed)));
        // SAFETY: the functions of the table have no requirements, and may be called on any thread.
        let waker = unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TABLE)) };
        let poll = || drop(future.as_mut().poll(&mut Context::from_waker(&waker)));
        let payload = catch_unwind(AssertUnwindSafe(poll)).expect_err("the clone was dropped");
        assert!(payload.downcast_ref::<&str>().is_some_and(|text| text.contains("a clone is dropped")));
    }));
    assert!(outcome.is_ok(), "the drop of the future does not panic");
}

/// The entry of a wait that has ended is another's from then on.
#[test]
fn a_waker_that_panics_as_the_wait_ends_leaves_no_trace() {
    let (tx, rx) = bounded(1);
    let sends = tx.clone();
    poll_and_drop(rx.recv(), move || sends.try_send(1).unwrap());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "it went with the panic");

    tx.try_send(2).unwrap();
    let receives = rx.clone();
    poll_and_drop(tx.send(3), move || assert_eq!(receives.try_recv(), Ok(2)));
    assert_eq!(rx.try_recv(), Ok(3));
    let statistics = rx.statistics();
    assert_eq!((statistics.used, statistics.waiting_senders, statistics.waiting_receivers), (0, 0, 0));
}
