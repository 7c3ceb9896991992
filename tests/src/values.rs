//! Behaviours: scoped values. The code that sees a value, and how long the value lives.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foster::error::JoinError;
use foster::runtime::root;
use foster::thread::from_thread;
use foster::thread::to_thread_abandon;
use foster::{
    Nursery, ScopedValue, bracket, defer, local_nursery, move_on_after, nursery, sleep, sleep_forever, to_thread,
    yield_now,
};

use crate::groups::probe::{caught, crash, poll_once, runtime};
use crate::harness::ms;

static DOWN: ScopedValue<u32> = ScopedValue::inherited();
static HERE: ScopedValue<u32> = ScopedValue::new();

fn seen() -> (Option<u32>, Option<u32>) {
    (DOWN.get(), HERE.get())
}

/// L1: a value is seen by the code inside, hidden by one further in, and gone when its scope has ended. Two keys are
/// two, also of one type; scopes in between do not matter.
pub async fn a_value_is_seen_inside_its_scope_only() {
    assert_eq!(seen(), (None, None));
    DOWN.scope(1, async {
        assert_eq!(seen(), (Some(1), None));
        let inner = move_on_after(
            ms(100),
            HERE.scope(2, async {
                yield_now().await;
                assert_eq!(seen(), (Some(1), Some(2)));
                DOWN.scope(3, async { assert_eq!(seen(), (Some(3), Some(2))) }).await;
                assert_eq!(seen(), (Some(1), Some(2)));
            }),
        );
        inner.await.unwrap();
        assert_eq!(seen(), (Some(1), None));
    })
    .await;
    assert_eq!(seen(), (None, None));
    assert!(DOWN.with(|value| value.is_none()));
}

/// B125, L1: a child sees what stands around its nursery, if the key is inherited; what others set later, or further
/// in, is not shared, in neither direction. A key that is not inherited stays in its task.
pub async fn children_inherit_what_stands_around_their_nursery() {
    let both = DOWN.scope(
        1,
        HERE.scope(1, async {
            nursery(async |n: Nursery<JoinError>| {
                let child = n.spawn(async {
                    assert_eq!(seen(), (Some(1), None));
                    DOWN.scope(2, async {
                        sleep(ms(2)).await;
                        assert_eq!(seen(), (Some(2), None));
                        nursery(async |n: Nursery<JoinError>| n.spawn(async { Ok(seen()) }).await).await
                    })
                    .await
                });
                DOWN.scope(3, sleep(ms(1))).await;
                assert_eq!(seen(), (Some(1), Some(1)));
                child.await
            })
            .await
        }),
    );
    assert_eq!(both.await, Ok((Some(2), None)));
}

/// B125, L41: the children of local nurseries, too.
pub async fn local_children_inherit_what_stands_around_their_nursery() {
    let out = DOWN.scope(
        1,
        HERE.scope(1, async {
            local_nursery(async |n: foster::LocalNursery<'_, JoinError>| {
                let child = n.spawn(async {
                    yield_now().await;
                    Ok(seen())
                });
                child.await
            })
            .await
        }),
    );
    assert_eq!(out.await, Ok((Some(1), None)));
}

/// B125, L1: a value that was set around the call of `spawn` alone is not around the child; one set around the child
/// is.
pub async fn a_value_around_the_spawn_alone_is_not_inherited() {
    let out = nursery(async |n: Nursery<JoinError>| {
        let (plain, given) = DOWN
            .scope(1, async { (n.spawn(async { Ok(DOWN.get()) }), n.spawn(DOWN.scope(2, async { Ok(DOWN.get()) }))) })
            .await;
        Ok((plain.await?, given.await?))
    });
    assert_eq!(out.await, Ok((None, Some(2))));
}

/// L22, L23: finalizers and releases see what stands around their scope, also if the future was dropped (L26).
pub async fn cleanup_sees_what_stands_around_its_scope() {
    type Notes = Arc<Mutex<Vec<(Option<u32>, Option<u32>)>>>;
    async fn note(notes: Notes) {
        sleep(ms(1)).await;
        notes.lock().unwrap().push(seen());
    }
    let notes = Notes::default();
    let work = || {
        let (finalizer, release) = (notes.clone(), notes.clone());
        DOWN.scope(
            1,
            HERE.scope(2, async move {
                defer(note(finalizer));
                bracket(async {}, async |_| sleep_forever().await, move |(), _| note(release)).await
            }),
        )
    };
    assert!(move_on_after(ms(1), work()).await.is_none());
    assert_eq!(*notes.lock().unwrap(), [(Some(1), Some(2)); 2]);
    let around = nursery(async |_: Nursery<JoinError>| {
        let mut dropped = Box::pin(work());
        assert!(poll_once(dropped.as_mut()).await.is_pending());
        drop(dropped);
        Ok(())
    });
    around.await.unwrap();
    assert_eq!(*notes.lock().unwrap(), [(Some(1), Some(2)); 4]);
}

/// B127: a value around the whole of a run is the run's own: another run, after it or inside it, knows nothing of it.
pub async fn another_run_sees_nothing() {
    let runtime = runtime();
    DOWN.scope(1, async {
        root(runtime.clone(), async { assert_eq!(DOWN.get(), None) }).await;
        assert_eq!(DOWN.get(), Some(1));
    })
    .await;
    root(runtime.clone(), DOWN.scope(2, async { assert_eq!(DOWN.get(), Some(2)) })).await;
    root(runtime, async { assert_eq!(DOWN.get(), None) }).await;
}

/// B231: a blocking job sees what the code sees that starts it, abandoned or not. The thread does not keep it.
pub async fn blocking_jobs_take_the_values_along() {
    let hidden = DOWN.scope(
        1,
        HERE.scope(
            2,
            DOWN.scope(3, async {
                let waited = to_thread(seen).await;
                (waited, to_thread_abandon(seen).await.unwrap())
            }),
        ),
    );
    assert_eq!(hidden.await, ((Some(3), Some(2)), (Some(3), Some(2))));
    for _ in 0..8 {
        assert_eq!(to_thread(seen).await, (None, None));
    }
}

/// B231: a call back from a job sees what stands around the await of the job, and so do the jobs that it starts. What
/// it sets itself is not written back: neither the closure nor the task sees it.
pub async fn calls_back_see_the_values_around_the_await() {
    let around = DOWN.scope(
        1,
        HERE.scope(2, async {
            let waited = to_thread(calls).await;
            let abandoned = to_thread_abandon(calls).await.unwrap();
            assert_eq!(waited, abandoned);
            (waited, seen())
        }),
    );
    let one = (Some(1), Some(2));
    assert_eq!(around.await, ([one, one, (Some(3), Some(2)), one, one], one));
    for _ in 0..8 {
        assert_eq!(to_thread(calls).await, [(None, None), (None, None), (Some(3), None), (None, None), (None, None)]);
    }
}

/// Returns the values seen in a call, in a job that a call starts, in a scope that a call opens, in a child of a call,
/// and by the closure after all that.
fn calls() -> [(Option<u32>, Option<u32>); 5] {
    let call = from_thread(async { seen() }).unwrap();
    let nested = from_thread(async { to_thread(seen).await }).unwrap();
    let set = from_thread(DOWN.scope(3, async {
        yield_now().await;
        seen()
    }));
    let child = from_thread(nursery(async |n: Nursery<JoinError>| n.spawn(async { Ok(DOWN.get()) }).await)).unwrap();
    assert_eq!(child, Ok(call.0));
    [call, nested, set.unwrap(), from_thread(async { seen() }).unwrap(), seen()]
}

/// B231: a job that panics leaves nothing on the thread either.
pub async fn a_job_that_panics_leaves_no_value_on_its_thread() {
    let out = caught(DOWN.scope(1, to_thread(|| crash("job")))).await;
    out.unwrap_err();
    for _ in 0..8 {
        assert_eq!(to_thread(seen).await, (None, None));
    }
}

/// L3, L36: a value is dropped when its scope has ended, whoever still holds a handle to what was inside; once.
pub async fn a_value_ends_with_its_scope() {
    static COUNTED: ScopedValue<Counted> = ScopedValue::inherited();
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            // It may look around: no lock is held (L36).
            assert_eq!(DOWN.get(), None);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let value = Counted(dropped.clone());
    let task = COUNTED.scope(value, async {
        nursery(async |n: Nursery<JoinError>| Ok(n.spawn(async { Ok(COUNTED.with(|value| value.is_some())) }))).await
    });
    let task = task.await.unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(task.await, Ok(true));
    let mut never_polled = pin!(Some(COUNTED.scope(Counted(dropped.clone()), async {})));
    never_polled.set(None);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    let mut lost = Box::pin(COUNTED.scope(Counted(dropped.clone()), sleep_forever()));
    assert!(poll_once(lost.as_mut()).await.is_pending());
    drop(lost);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! values_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; values {
            a_value_is_seen_inside_its_scope_only,
            children_inherit_what_stands_around_their_nursery,
            local_children_inherit_what_stands_around_their_nursery,
            a_value_around_the_spawn_alone_is_not_inherited,
            cleanup_sees_what_stands_around_its_scope,
            another_run_sees_nothing,
            blocking_jobs_take_the_values_along,
            calls_back_see_the_values_around_the_await,
            a_job_that_panics_leaves_no_value_on_its_thread,
            a_value_ends_with_its_scope,
        });
    };
}
