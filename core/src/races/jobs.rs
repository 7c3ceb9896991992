//! Blocking jobs, and the drop of the tree that waits for them.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::{Count, Threads, begun, check, ended};
use crate::runtime::root;
use crate::thread::{to_thread_abandon, try_to_thread};
use crate::{Nursery, nursery, sleep_forever};

/// Drops a tree while a task of it awaits a job. The runtime ends after it, or lives on. No poll of the job's future may
/// panic, or say that there was no thread.
fn drop_against<F>(ends: bool, job: fn() -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (wrong, threads) = (Count::default(), Threads::new());
    let counts = wrong.clone();
    let tree = root(threads.clone(), async move {
        let Ok(()) = nursery(async |n: Nursery| {
            n.spawn(async move {
                let mut job = pin!(job());
                poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(cx))) {
                    Ok(Poll::Ready(Ok(()))) => Poll::Ready(()),
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(Err(_))) | Err(_) => {
                        counts.add();
                        Poll::Ready(())
                    }
                })
                .await;
            });
            sleep_forever().await;
        })
        .await;
    });
    drop(begun(Box::pin(tree.polled_by_its_runtime())));
    if ends {
        threads.tear_down();
    }
    ended(&threads);
    assert_eq!(wrong.get(), 0, "code that was cut off is told of a job that was not run");
}

/// L30: a job ends while its tree is dropped.
///
/// Fails if the end of a job takes the result also where the host has gone, and `TryToThread` does not ask whether it was
/// cut off when there is none.
#[test]
fn the_end_of_a_job_races_with_the_drop_of_its_tree() {
    check(|| drop_against(false, || try_to_thread(|| ())));
}

/// L30: a job is started while its tree is dropped, and then the runtime.
///
/// Fails if `TryToThread` does not ask whether it was cut off when its job is refused.
#[test]
fn the_start_of_a_job_races_with_the_teardown_of_its_host() {
    check(|| drop_against(true, || try_to_thread(|| ())));
}

/// L30: so is one that its caller may abandon.
///
/// Fails if `ToThreadAbandon` does not ask whether it was cut off when its job is refused.
#[test]
fn the_start_of_an_abandonable_job_races_with_the_teardown_of_its_host() {
    check(|| drop_against(true, || to_thread_abandon(|| ())));
}
