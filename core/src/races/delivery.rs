//! What a task leaves for its handle: a value is dropped once, a waker too, and nobody waits for what has come, or never will.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Count, check_all};
use crate::raw::{self, Delivery, Giver, Part, Thin, lodge};

trait Sees: Send + Sync {
    fn delivery(&self) -> &Delivery;
}

impl Sees for Delivery {
    fn delivery(&self) -> &Delivery {
        self
    }
}

type Value = Box<dyn Send + Sync>;
type Gives = Giver<Part<(), dyn Sees, Delivery>, Value>;
type Takes = raw::Taker<(), dyn Sees, Value>;

fn gives(giver: Gives, value: Value) {
    let given = giver.give(GIVEN, Some(value));
    drop(given.unwanted);
    given.waker.into_iter().for_each(Waker::wake);
}

const GIVEN: u8 = 1;
const DENIED: u8 = 2;

async fn over(taker: &mut Takes) -> u8 {
    poll_fn(|cx| if taker.wait(cx.waker()) { Poll::Pending } else { Poll::Ready(()) }).await;
    taker.note().expect("it is over")
}

/// All schedules of a giver, of somebody who may deny, and of the taker, each on a thread of its own. In the end nothing is left.
fn ends(denies: bool, take: impl Fn(Takes, &Count) + Send + Sync + 'static) {
    let take = Arc::new(take);
    check_all(100_000, move || {
        let (dropped, gone) = (Count::default(), Count::default());
        let (block, _, giver, taker) =
            lodge::<_, dyn Sees, _, Value, ()>(|_| (), Delivery::coming(), |left| left, |left| left);
        let value = Box::new(dropped.on_drop());
        let giving = thread::spawn(move || gives(giver, value));
        let denying = denies.then(|| {
            let block: Thin<(), dyn Sees> = block.clone();
            thread::spawn(move || block.tail().delivery().deny(DENIED).into_iter().for_each(Waker::wake))
        });
        take(taker, &gone);
        giving.join().unwrap();
        denying.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((dropped.get(), block.count()), (1, 1));
    });
}

/// Fails if `settle_seen` does not look at OVER.
#[test]
fn a_value_races_with_its_denial_and_with_the_wait_for_both() {
    ends(true, |mut taker, _| {
        let note = block_on(over(&mut taker));
        assert_eq!(taker.take().is_some(), note == GIVEN);
    });
}

/// Fails if `settle_seen` fetches no waker.
#[test]
fn a_value_races_with_the_wait_for_it() {
    ends(false, |mut taker, _| {
        assert_eq!(block_on(over(&mut taker)), GIVEN);
        assert!(taker.take().is_some());
    });
}

/// A taker that goes, with or without having waited.
///
/// Fails if `Giver::give` does not look at FORGONE, and if `Taker::forgo` does not look at GIVEN.
#[test]
fn a_value_races_with_a_taker_that_goes() {
    ends(false, |taker, _| drop(taker));
    ends(false, |mut taker, gone| {
        let waker = gone.on_drop_of_waker();
        let waits = taker.wait(&waker);
        drop(taker);
        drop(waker);
        assert!(waits || gone.get() == 1);
    });
}
