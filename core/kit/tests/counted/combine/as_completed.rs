//! Results as they come.

use super::*;

/// B155: in the order of completion, with where it comes from.
#[test]
fn as_completed_gives_results_in_the_order_of_completion() {
    on_seeds(async || {
        let mut stream = as_completed([30, 10, 20].map(nap)).indexed();
        let mut got = Vec::new();
        while let Some(next) = stream.next().await {
            got.push(next);
        }
        assert_eq!(got, [(1, 10), (2, 20), (0, 30)]);
        assert_eq!(stream.next().await, None);
    });
}

/// L13: futures that did not begin, because the code around was cancelled, begin when it asks in another scope.
#[test]
fn as_completed_goes_on_after_a_limit_around_one_result() {
    on_seeds(async || {
        let mut stream = as_completed([1, 2, 3].map(async |n| n));
        assert_eq!(move_on_after(Duration::ZERO, stream.next()).await, None);
        let mut got = Vec::new();
        while let Some(n) = stream.next().await {
            got.push(n);
        }
        assert_eq!(got, [1, 2, 3]);
        let mut both = pin!(gather([1, 2].map(async |n| Ok::<_, ()>(nap(n).await))));
        assert_eq!(move_on_after(Duration::ZERO, both.as_mut()).await, None);
        assert_eq!(both.await, Ok(vec![1, 2]));
    });
}

/// B156: left early, the scope around waits for what is left: finalizers, and blocking jobs.
#[test]
fn as_completed_left_early_is_cancelled_and_awaited_by_the_scope_around() {
    on_seeds(async || {
        let start = Instant::now();
        let log = Rc::new(Alive::default());
        let ended = fail_after(ms(500), async {
            let mut stream = as_completed([5, 50, 60].map(|time| {
                let inside = log.enter();
                async move {
                    let _inside = inside;
                    if time == 60 {
                        to_thread(|| ()).await;
                    }
                    tidy(time, 9).await
                }
            }));
            let first = stream.next().await;
            assert_eq!(first, Some(5));
            drop(stream);
            assert_eq!(log.now.get(), 0);
            start.elapsed()
        })
        .await;
        // The branch of 5 had cleaned up before it counted as completed.
        assert_eq!(ended, Ok(ms(14)));
        assert_eq!(start.elapsed(), ms(23));
    });
}

/// B156: closed early, it waits itself.
#[test]
fn as_completed_closed_early_waits_for_the_cleanup() {
    on_seeds(async || {
        let start = Instant::now();
        let mut stream = as_completed([5, 50].map(|time| tidy(time, 9)));
        assert_eq!(stream.next().await, Some(5));
        assert_eq!(stream.len(), 1);
        stream.close().await;
        assert_eq!(start.elapsed(), ms(23));
    });
}

/// B157: a failure wakes the consumer, which leaves with it.
#[test]
fn a_failure_in_as_completed_wakes_the_consumer_and_ends_its_block() {
    on_seeds(async || {
        let start = Instant::now();
        let out: Result<(), u64> = async {
            let mut stream = as_completed([70, 5].map(async |time| if time == 5 { fail(5).await } else { Ok(time) }));
            while let Some(next) = stream.next().await {
                if next? == 70 {
                    checkpoint().await;
                }
            }
            unreachable!("it has failed")
        }
        .await;
        assert_eq!((out, start.elapsed()), (Err(5), ms(5)));
    });
}

/// L16: a stream that nobody polls does not keep a cancelled scope from ending.
#[test]
fn a_stream_that_is_not_polled_does_not_delay_its_cancelled_scope() {
    on_seeds(async || {
        let start = Instant::now();
        let out = move_on_after(ms(10), async {
            let mut stream = as_completed([1, 5, 90].map(nap));
            stream.next().await;
            sleep_forever().await;
        })
        .await;
        assert_eq!((out, start.elapsed()), (None, ms(10)));
    });
}

/// S07: a deadline that keeps what has finished.
#[test]
fn what_was_received_before_the_deadline_is_kept() {
    on_seeds(async || {
        let mut got = Vec::new();
        let out = move_on_after(ms(15), async {
            let mut stream = as_completed([30, 10, 12].map(nap));
            while let Some(next) = stream.next().await {
                got.push(next);
            }
        })
        .await;
        assert_eq!((out, got), (None, vec![10, 12]));
    });
}

/// L1: a `next` that is given up cancels nothing, and its scope is not theirs.
#[test]
fn as_completed_outlives_the_scopes_that_poll_it() {
    on_seeds(async || {
        let start = Instant::now();
        let mut stream = as_completed([30, 10, 20].map(nap));
        let mut got = Vec::new();
        while !stream.is_empty() {
            got.extend(move_on_after(ms(4), stream.next()).await.flatten());
        }
        assert_eq!((got, start.elapsed()), (vec![10, 20, 30], ms(30)));
    });
}
