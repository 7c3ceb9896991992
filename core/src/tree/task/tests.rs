//! Which came first, the end of a task or a request: on the numbers of the requests.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::runtime::root;
use crate::sync::Event;
use crate::tree::current;
use crate::tree::timers::tests::Clock;
use crate::{CancelScope, LocalNursery, Task, local_nursery, shield, yield_now};

async fn after(event: Arc<Event>, value: u32) -> Result<u32, Infallible> {
    event.wait().await;
    Ok(value)
}

async fn until_finished(task: &Task<u32>) {
    while !task.is_finished() {
        yield_now().await;
    }
}

fn poll(task: &mut Task<u32>) -> Poll<u32> {
    Pin::new(task).poll(&mut Context::from_waker(Waker::noop())).map(Result::unwrap)
}

/// L14: what has ended before the request is taken, and what has ended after it is withheld, also in a tree that has
/// lived for so long that the numbers of its requests begin anew.
#[test]
fn an_end_and_a_request_are_in_order_when_their_numbers_begin_anew() {
    for before in [0, u32::MAX / 2, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        let body = local_nursery(async |n: LocalNursery<'_>| {
            let tree = current::tree().unwrap();
            tree.requests.store(before, Ordering::SeqCst);
            let (first, second) = (Arc::new(Event::new()), Arc::new(Event::new()));
            let mut early = n.spawn(after(first.clone(), 1));
            let mut late = n.spawn(after(second.clone(), 2));
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(async {
                assert!(poll(&mut early).is_pending() && poll(&mut late).is_pending());
                first.set();
                until_finished(&early).await;
                handle.cancel("between the two");
                assert_ne!(tree.next_request(), 0, "one more comes before the end of the other task");
                second.set();
                shield(until_finished(&late)).await;
                assert_eq!(poll(&mut early), Poll::Ready(1), "withheld, after {before} requests");
                assert_eq!(poll(&mut late), Poll::Pending, "given, after {before} requests");
            });
            outcome.await.unwrap();
        });
        let mut root = pin!(root(Arc::new(Clock::default()), body).polled_by_its_runtime());
        let mut polls = (0..100).map(|_| root.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        assert!(polls.any(|poll| poll.is_ready()));
    }
}
