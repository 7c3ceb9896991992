//! How often a local nursery needs its host: each time costs all that stands around it a poll.

use std::future::poll_fn;
use std::pin::pin;

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
