use super::*;
use crate::raw::{Part, counter, lodge};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

trait Sees: Send + Sync {}

impl Sees for Delivery {}

type Block = Thin<(), dyn Sees>;
type Gives<T> = Giver<Part<(), dyn Sees, Delivery>, T>;
type Takes<T> = Taker<(), dyn Sees, T>;

/// In a block of their own, which comes, too.
fn ends<T>() -> (Gives<T>, Takes<T>, Block) {
    let (block, _, giver, taker) = lodge::<_, dyn Sees, _, T, ()>(|_| (), Delivery::coming(), |left| left, |left| left);
    (giver, taker, block)
}

fn delivery<T>(giver: &Gives<T>) -> &Delivery {
    giver.block().part()
}

#[test]
fn a_value_is_given_and_taken_once() {
    let (giver, mut taker, block) = ends();
    assert_eq!((taker.note(), taker.take(), delivery(&giver).note()), (None, None, None));
    let given = giver.give(3, Some(Box::new(1)));
    assert!(given.unwanted.is_none() && given.waker.is_none());
    assert_eq!((taker.note(), given.block.part().note()), (Some(3), Some(3)));
    assert_eq!((taker.take(), taker.take(), taker.note()), (Some(Box::new(1)), None, Some(3)));
    drop((given, taker));
    assert_eq!(block.count(), 1);
}

#[test]
fn nothing_may_be_given_with_a_note() {
    let (giver, mut taker, _) = ends::<Box<u8>>();
    drop(giver.give(255, None));
    assert_eq!((taker.note(), taker.take()), (Some(255), None));
}

#[test]
fn what_comes_after_a_denial_comes_back() {
    let (giver, mut taker, _) = ends();
    assert!(delivery(&giver).deny(1).is_none());
    let given = giver.give(2, Some(Box::new(7)));
    assert_eq!((given.unwanted, taker.note(), taker.take()), (Some(Box::new(7)), Some(1), None));
}

#[test]
fn a_denial_of_what_was_given_changes_nothing() {
    let (giver, mut taker, _) = ends();
    let given = giver.give(2, Some(Box::new(7)));
    assert!(given.block.part().deny(1).is_none());
    assert_eq!((taker.note(), taker.take()), (Some(2), Some(Box::new(7))));
}

#[test]
fn what_nobody_takes_comes_back_or_goes_with_the_taker() {
    let (giver, taker, block) = ends();
    drop(taker);
    assert_eq!(giver.give(0, Some(Box::new(7))).unwanted, Some(Box::new(7)));
    assert_eq!(block.count(), 1);

    let (giver, taker, block) = ends();
    let there = Arc::new(());
    drop(giver.give(0, Some(there.clone())));
    assert_eq!(Arc::strong_count(&there), 2);
    drop(taker);
    assert_eq!((Arc::strong_count(&there), block.count()), (1, 1));
}

#[test]
fn who_waits_is_handed_over_once() {
    for denies in [false, true] {
        let (giver, mut taker, block) = ends::<Box<u8>>();
        let (counter, waker) = counter();
        assert!(taker.wait(&waker) && taker.wait(&waker));
        assert_eq!(Arc::strong_count(&counter), 3, "known the second time");
        let denied = if denies { delivery(&giver).deny(1) } else { None };
        let waker = denied.or(giver.give(0, None).waker);
        waker.unwrap().wake();
        assert_eq!((counter.wakes(), Arc::strong_count(&counter)), (1, 2));
        assert!(!taker.wait(&Waker::from(counter.clone())), "it is over");
        drop(taker);
        assert_eq!((Arc::strong_count(&counter), block.count()), (2, 1));
    }
}

#[test]
fn a_new_waker_takes_the_place_of_the_old_one() {
    let (giver, mut taker, _) = ends::<Box<u8>>();
    let ((old, first), (new, second)) = (counter(), counter());
    assert!(taker.wait(&first) && taker.wait(&second));
    drop((first, second));
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2));
    giver.give(0, None).waker.unwrap().wake();
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
}

#[test]
fn a_taker_that_goes_takes_its_waker_along() {
    let (giver, mut taker, block) = ends::<Box<u8>>();
    let (counter, waker) = counter();
    assert!(taker.wait(&waker));
    drop(taker);
    drop(waker);
    assert_eq!(Arc::strong_count(&counter), 1);
    assert!(giver.give(0, None).waker.is_none());
    assert_eq!(block.count(), 1);
}

/// A value that borrows is dropped with the taker, also where the block is kept for longer.
#[test]
fn a_value_may_borrow() {
    struct Borrows<'a>(&'a Cell<u32>);

    impl Drop for Borrows<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    let block = {
        let drops = Cell::new(0);
        let (giver, taker, block) = ends();
        drop(giver.give(0, Some(Borrows(&drops))));
        drop(taker);
        assert_eq!(drops.get(), 1);
        block
    };
    assert_eq!(block.count(), 1);
}

#[test]
fn a_value_that_panics_as_it_is_dropped_leaves_no_memory_behind() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as asked");
        }
    }

    let (giver, taker, block) = ends();
    drop(giver.give(0, Some(Panics)));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(taker))).is_err());
    assert_eq!(block.count(), 1);
}

/// Whatever happens first, a value goes once, and all that was done to it before is seen.
#[cfg(not(foster_shuttle))]
#[test]
fn ends_meet_on_threads() {
    use std::sync::atomic::AtomicUsize as Number;
    use std::thread;

    for round in 0..24 {
        let (giver, mut taker, block) = ends();
        let (there, third) = (Arc::new(Number::new(0)), block.clone());
        let value = there.clone();
        thread::scope(|threads| {
            threads.spawn(move || {
                value.store(5, Ordering::Relaxed);
                let given = giver.give(2, Some(value));
                given.waker.into_iter().for_each(Waker::wake);
            });
            if round % 3 == 0 {
                threads.spawn(move || drop(third));
            }
            threads.spawn(move || {
                let (_, waker) = counter();
                if round % 2 == 0 && taker.wait(&waker) {
                    return;
                }
                if let Some(value) = taker.take() {
                    assert_eq!((value.load(Ordering::Relaxed), taker.note()), (5, Some(2)));
                }
            });
        });
        assert_eq!((Arc::strong_count(&there), block.count()), (1, 1));
    }
}
