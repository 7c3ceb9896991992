//! What messages say to people: the operation, the task and the place.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use foster::{Instant, Nursery, nursery, sleep, sleep_until};

fn text_of_panic(code: impl FnOnce()) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(code)) else { panic!("it did not panic") };
    payload.downcast_ref::<String>().cloned().expect("a text")
}

fn poll_once(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn sleep_outside_of_a_tree_is_named() {
    let text = text_of_panic(|| poll_once(sleep(Duration::from_secs(1))));
    assert!(text.contains("`sleep` was called outside"), "{text}");
    let text = text_of_panic(|| poll_once(sleep_until(Instant::from_nanos(1))));
    assert!(text.contains("`sleep_until` was called outside"), "{text}");
}

#[test]
fn a_task_that_is_awaited_twice_is_named() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |n: Nursery| {
            let mut task = n.child().named("twice").spawn(async { Ok(1) });
            assert_eq!((&mut task).await, Ok(1));
            let text = text_of_panic(|| drop(task.try_join()));
            assert!(text.starts_with("the value of task `twice` (core/tests/messages.rs:"), "{text}");
            assert!(text.ends_with("was taken before"), "{text}");
        })
        .await;
    });
}
