//! Behaviours: a value that is used on blocking threads, one job at a time.

use std::pin::pin;
use std::sync::Arc;

use foster::Nursery;
use foster::combine::gather_results;
use foster::error::JoinError;
use foster::nursery::TaskStatus;
use foster::sync::CapacityLimiter;
use foster::thread::{Unblock, block_on};
use foster::{CancelScope, checkpoint, nursery, thread, to_thread, yield_now};

use crate::groups::probe::{Count, caught, crash, poll_once, text, until};
use crate::running::witness::both;

/// B218: jobs have the value one at a time, in the order in which they came, and each result goes to whoever awaits it.
pub async fn jobs_have_the_value_one_at_a_time_in_the_order_they_came() {
    let value = Unblock::new((0, Vec::new()));
    let uses = (0..20).map(|number| {
        value.with_mut(move |(inside, order)| {
            *inside += 1;
            assert_eq!(*inside, 1, "nobody else is in here");
            order.push(number);
            *inside -= 1;
            number * 2
        })
    });
    let doubled = gather_results(uses.collect::<Vec<_>>()).await;
    assert_eq!(doubled, (0..20).map(|number| number * 2).collect::<Vec<_>>());
    assert_eq!(value.into_inner(), Some((0, (0..20).collect::<Vec<_>>())));
}

/// B224: who waits for the value holds no thread: another job gets the second of two.
pub async fn who_waits_for_the_value_holds_no_thread() {
    let limiter = Arc::new(CapacityLimiter::new(2));
    let (value, begun, open) = (Unblock::new(0), Count::new(), Count::new());
    let (begins, opens) = (begun.clone(), open.reaches(1));
    let first = value.with_mut(move |value| {
        begins.up();
        block_on(opens);
        *value += 1;
    });
    let mut first = pin!(first.limiter(limiter.clone()));
    let mut second = pin!(value.with_mut(|value| *value += 1).limiter(limiter.clone()));
    // In line, in this order.
    assert!(poll_once(first.as_mut()).await.is_pending());
    let beside = async {
        begun.reaches(1).await;
        for _ in 0..10 {
            assert!(poll_once(second.as_mut()).await.is_pending());
            yield_now().await;
        }
        assert_eq!(limiter.borrowed(), 1);
        assert_eq!(to_thread(|| 7).limiter(limiter.clone()).await, 7);
        open.up();
    };
    both(first, beside).await;
    second.await;
    assert_eq!((limiter.borrowed(), value.into_inner()), (0, Some(2)));
}

/// B219, B220, L21: a job that has begun is waited for also in cancelled code; one in line does not begin, and leaves
/// the line.
pub async fn a_cancel_waits_for_the_job_that_has_the_value_and_no_other() {
    let (value, begun, told, passed) = (Unblock::new(Vec::new()), Count::new(), Count::new(), Count::new());
    let (begins, tell) = (begun.clone(), told.clone());
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(both(
            async {
                let first = value.with_mut(move |value| {
                    begins.up();
                    while !thread::is_cancelled() {
                        std::thread::yield_now();
                    }
                    tell.up();
                    value.push("first");
                });
                let second = value.with_mut(|value| value.push("second"));
                both(first, second).await;
                passed.up();
            },
            async {
                begun.reaches(1).await;
                handle.cancel("enough");
            },
        ))
        .await;
    assert!(out.is_err());
    assert_eq!((told.value(), passed.value()), (1, 0));
    value.with_mut(|value| value.push("third")).await;
    assert_eq!(value.into_inner(), Some(vec!["first", "third"]));
}

/// L21, L27: an await that foreign code drops half-way leaves its job to the scope around it; the next one has the
/// value after that.
pub async fn a_use_that_was_dropped_ends_before_the_next_one_begins() {
    let (value, scoped) = (Unblock::new(Vec::new()), Count::new());
    CancelScope::new()
        .run(async {
            for _ in 0..3 {
                let ended = scoped.clone();
                let dropped = value.with_mut(move |value| {
                    value.push("begins");
                    std::thread::yield_now();
                    value.push("ends");
                    ended.up();
                });
                // Polled once, and dropped, whether or not the job has ended by then.
                let mut dropped = Box::pin(dropped);
                let _ended = poll_once(dropped.as_mut()).await;
                drop(dropped);
                let seen = value.with_mut(|value| value.clone()).await;
                assert_eq!(seen.iter().filter(|step| **step == "begins").count() * 2, seen.len());
            }
        })
        .await
        .unwrap();
    let kept = value.into_inner().expect("the scope has waited for all uses");
    assert_eq!(kept.len(), 2 * scoped.value());
}

/// B218, L32: a panic comes back to whoever awaits; the value stays as it was left, for the next job.
pub async fn a_panic_leaves_the_value_as_it_is() {
    let value = Unblock::new(1);
    let out = caught(value.with_mut(|value| {
        *value = 2;
        crash("half-way");
    }));
    assert_eq!(text(&*out.await.unwrap_err()), "half-way");
    let other = value.clone();
    let failed = caught(nursery(async |n: Nursery| {
        let mut task = n.spawn(async move { other.with_mut(|_| crash("in a child")).await });
        assert_eq!(task.wait().await, TaskStatus::Panicked);
        assert_eq!(task.await, Err(JoinError::Panicked));
    }));
    assert!(failed.await.is_err());
    assert_eq!(value.with_mut(|value| *value).await, 2);
}

/// B226: the value comes out when nobody else has it: neither another handle, nor a job whose await was dropped.
pub async fn the_value_comes_out_of_the_last_handle() {
    let value = Unblock::new(String::from("here"));
    let other = value.clone();
    assert_eq!(other.into_inner(), None);
    let (begun, open) = (Count::new(), Count::new());
    let (begins, opens, dropped) = (begun.clone(), open.reaches(1), Count::new());
    let guard = dropped.on_drop();
    let shared = Unblock::new(guard);
    CancelScope::new()
        .run(async {
            let mut using = Box::pin(shared.with_mut(move |_| {
                begins.up();
                block_on(opens);
            }));
            until(using.as_mut(), begun.reaches(1)).await;
            drop(using);
            assert!(shared.into_inner().is_none(), "the job has it");
            assert_eq!(dropped.value(), 0);
            open.up();
        })
        .await
        .unwrap();
    assert_eq!(dropped.value(), 1, "it went with the job");
    checkpoint().await;
    assert_eq!(value.into_inner().as_deref(), Some("here"));
}
