//! The turns of a local nursery: how often it needs its host, which costs all that stands around it a poll, and in
//! which order it polls those who were woken.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Poll, Waker};

use foster::{LocalNursery, local_nursery, yield_now};

/// How many polls the future needs.
async fn polls<T>(future: impl Future<Output = T>) -> (usize, T) {
    let (mut polls, mut future) = (0, pin!(future));
    let value = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    })
    .await;
    (polls, value)
}

#[test]
fn a_body_that_waits_for_its_children_goes_on_in_the_same_poll() {
    let sum = local_nursery(async |n: LocalNursery<'_>| {
        let tasks = [1, 2, 3].map(|i| n.spawn(async move { Ok(i) }));
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        // They end after the body, which is polled for them, too.
        n.spawn(async {});
        Ok(sum)
    });
    let (polls, Ok(sum)) = foster_sim::run(1, polls(sum));
    assert_eq!((polls, sum), (1, 6));
}

#[test]
fn nurseries_inside_one_another_end_in_the_same_poll() {
    let (polls, Ok(sum)) = foster_sim::run(
        1,
        polls(local_nursery(async |outer: LocalNursery<'_>| {
            let task = outer.spawn(async {
                local_nursery(async |inner: LocalNursery<'_>| Ok(inner.spawn(async { Ok(1) }).await.unwrap() + 1)).await
            });
            Ok(task.await.unwrap() + 1)
        })),
    );
    assert_eq!((polls, sum), (1, 3));
}

#[test]
fn a_body_that_gives_way_gives_way_to_the_host() {
    for children in [0, 3] {
        let (polls, Ok(())) = foster_sim::run(
            1,
            polls(local_nursery(async |n: LocalNursery<'_>| {
                for _ in 0..children {
                    n.spawn(async {
                        for _ in 0..10 {
                            yield_now().await;
                        }
                    });
                }
                for _ in 0..10 {
                    yield_now().await;
                }
            })),
        );
        assert!(polls > 10, "{polls}");
    }
}

/// Also who was woken from inside another local nursery, in a child of the first one.
#[test]
fn who_was_woken_first_is_polled_first() {
    let (log, wakers) = (Mutex::new(Vec::new()), [const { Mutex::new(None::<Waker>) }; 3]);
    let wake = |i: usize| wakers[i].lock().unwrap().take().expect("it waits").wake();
    let waits = async |i: usize| {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            *wakers[i].lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        log.lock().unwrap().push(i);
    };
    // Without spurious polls, which come in another order.
    let Ok(()) = foster_sim::Builder::new(1).spurious_polls(0.0).run(local_nursery(async |n: LocalNursery<'_>| {
        for i in 0..wakers.len() {
            n.spawn(waits(i));
        }
        n.spawn(async {
            wake(2);
            let Ok(()) = local_nursery(async |_: LocalNursery<'_>| wake(0)).await;
            wake(1);
        });
    }));
    assert_eq!(*log.lock().unwrap(), [2, 0, 1]);
}
