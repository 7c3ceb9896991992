use super::*;
use crate::raw::counter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Barrier;
use std::task::Wake;
use std::thread;

#[test]
fn a_value_is_given_and_taken_once() {
    let (giver, mut taker) = oneshot();
    assert!(!taker.is_over() && taker.take().is_none());
    assert_eq!(giver.give(Box::new(1)), None);
    assert!(taker.is_over());
    assert_eq!((taker.take(), taker.take()), (Some(Box::new(1)), None));
}

#[test]
fn an_end_that_goes_is_seen_by_the_other() {
    let (giver, mut taker) = oneshot::<Box<u8>>();
    drop(giver);
    assert!(taker.is_over() && taker.take().is_none());

    let (giver, taker) = oneshot();
    drop(taker);
    assert!(giver.is_closed());
    assert_eq!(giver.give(Box::new(1)), Some(Box::new(1)));
}

#[test]
fn a_close_keeps_what_was_given_and_gives_back_what_was_not() {
    let (giver, mut taker) = oneshot();
    assert_eq!(giver.give(Box::new(1)), None);
    assert!(taker.close() && !taker.close());
    assert_eq!(taker.take(), Some(Box::new(1)));

    let (giver, mut taker) = oneshot();
    assert!(taker.close());
    assert_eq!(giver.give(Box::new(1)), Some(Box::new(1)));
    assert_eq!(taker.take(), None);
}

#[test]
fn a_value_that_is_not_taken_is_dropped_with_the_block() {
    let token = Arc::new(());
    let (giver, taker) = oneshot();
    assert!(giver.give(token.clone()).is_none());
    drop(taker);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn wakers_are_replaced_taken_back_and_called_once() {
    let ((old, old_waker), (new, new_waker)) = (counter(), counter());
    let (giver, mut taker) = oneshot();
    assert!(taker.wait(&old_waker) && taker.wait(&old_waker));
    assert_eq!(Arc::strong_count(&old), 3, "the one that is lent stays");
    assert!(taker.wait(&new_waker));
    assert_eq!(Arc::strong_count(&old), 2);
    assert_eq!(giver.give(1), None);
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert!(!taker.wait(&old_waker) && !taker.wait(&old_waker), "it is over");
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 2));

    let (mut giver, taker) = oneshot::<u8>();
    assert!(giver.listen(&old_waker));
    assert!(giver.turn_away().is_some());
    assert!(giver.turn_away().is_none());
    assert!(giver.listen(&new_waker));
    drop(taker);
    assert_eq!((old.wakes(), new.wakes()), (0, 2));
    assert!(!giver.listen(&old_waker) && giver.turn_away().is_none());
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 2));
}

/// Its clone, its call or its drop panics.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_destructor_that_panics_leaves_nothing_half_done() {
    let (giver, taker) = oneshot();
    assert!(giver.give(Bomb).is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(taker))).is_err());

    // The waker's, which was the last: the value comes back all the same, in the unwinding.
    let (mut giver, mut taker) = oneshot::<Arc<()>>();
    let token = Arc::new(());
    assert!(taker.wait(&Waker::from(Arc::new(Bomb))));
    let (kept, waker) = counter();
    assert!(giver.listen(&waker));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(taker))).is_err());
    assert_eq!(kept.wakes(), 1);
    assert!(giver.give(token.clone()).is_some());
    assert_eq!((Arc::strong_count(&token), Arc::strong_count(&kept)), (1, 2));
}

/// Both ends at once, on threads of their own: the value is dropped once, each waker too.
fn race(give: impl FnOnce(Giver<Arc<()>>, Arc<()>) + Send, take: impl FnOnce(Taker<Arc<()>>) + Send) {
    let token = Arc::new(());
    let (giver, taker) = oneshot();
    let (start, value) = (Barrier::new(2), token.clone());
    thread::scope(|threads| {
        threads.spawn(|| {
            start.wait();
            give(giver, value);
        });
        start.wait();
        take(taker);
    });
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_value_that_is_given_meets_a_taker_that_waits() {
    let ((one, waker), (other, other_waker)) = (counter(), counter());
    race(
        |giver, value| assert!(giver.give(value).is_none()),
        |mut taker| {
            // Also when it is over: the waker may be the giver's then, who is just fetching it.
            while taker.wait(&waker) | taker.wait(&other_waker) | taker.wait(&waker) {
                thread::yield_now();
            }
            assert!(taker.take().is_some());
        },
    );
    assert!(one.wakes() + other.wakes() <= 1);
    assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (2, 2));
}

#[test]
fn a_value_that_is_given_meets_a_taker_that_goes() {
    let (count, waker) = counter();
    race(
        |giver, value| drop(giver.give(value)),
        |mut taker| {
            taker.wait(&waker);
        },
    );
    assert_eq!(Arc::strong_count(&count), 2);
}

#[test]
fn a_value_that_is_given_meets_a_taker_that_closes() {
    race(
        |giver, value| drop(giver.give(value)),
        |mut taker| {
            taker.close();
            drop(taker.take());
        },
    );
}

#[test]
fn a_giver_that_listens_meets_a_taker_that_goes() {
    let ((count, waker), (other, other_waker)) = (counter(), counter());
    race(
        |mut giver, value| {
            let listens = giver.listen(&waker) | giver.listen(&other_waker) | giver.listen(&waker);
            let back = giver.turn_away();
            assert!(listens || back.is_none());
            drop((back, giver.give(value)));
        },
        drop,
    );
    assert_eq!((Arc::strong_count(&count), Arc::strong_count(&other)), (2, 2));
}
