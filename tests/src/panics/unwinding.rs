//! The way of a panic out: inner scopes, destructors, the process's panic hook, a cancel.

use std::future::poll_fn;
use std::panic;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use foster::observer::OrphanKind;
use foster::runtime::root;
use foster::scope::ReasonKind;
use foster::{CancelScope, defer, is_cancelled, move_on_after, shield, sleep, sleep_forever, yield_now};

use crate::groups::both::both;
use crate::groups::probe::{
    Count, Finally, Log, caught, crash, is_virtual, lingering, observed, runtime, text, until, until_cancelled,
};
use crate::harness::ms;

both! {
    /// L32, L35: a child's future that panics as it is dropped, when it has returned an error: the panic comes out, the
    /// error goes to the observer.
    an_error_survives_the_panic_of_its_future, an_error_survives_the_panic_of_its_local_future: {
        let (out, observer) = observed(caught(open(async |n: Handle<&'static str>| {
            let crash = Finally::new(|| crash("in a destructor"));
            n.spawn(poll_fn(move |_| {
                // Part of the future, and so dropped with it, after it was ready.
                let _crash = &crash;
                Poll::Ready(Err::<(), _>("error"))
            }));
            Ok(())
        })))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "in a destructor");
        assert_eq!(observer.errors(), [(OrphanKind::Panicked, "\"error\"".to_owned())]);
    }

    /// L32, L35: the same of a nursery's body. A value goes with the panic.
    an_error_survives_the_panic_of_its_body, an_error_survives_the_panic_of_its_local_body: {
        for fails in [true, false] {
            let dropped = Count::new();
            let crash = Finally::new(|| crash("in a destructor"));
            let value = dropped.clone();
            let (out, observer) = observed(caught(open(|_: Handle<&'static str>| {
                poll_fn(move |_| {
                    let (_crash, value) = (&crash, value.clone());
                    Poll::Ready(if fails { Err("error") } else { Ok(Finally::new(move || value.up())) })
                })
            })))
            .await;
            assert_eq!(text(&*out.err().expect("it has panicked")), "in a destructor");
            let errors = observer.errors();
            let expected = [(OrphanKind::Panicked, "\"error\"".to_owned())];
            assert_eq!(errors, expected[..usize::from(fails)]);
            assert_eq!(dropped.value(), usize::from(!fails));
        }
    }

    /// B147, L26: inner scopes of a body that panics are lost to its nursery, which finishes them: first their
    /// children, then their finalizers.
    inner_scopes_of_a_panicking_body_are_finished, inner_scopes_of_a_panicking_local_body_are_finished: {
        let log = Log::new();
        let panic = caught(CancelScope::new().run(async {
            let outer = log.clone();
            defer(async move { outer.add("outer finalizer") });
            open(async |n: Handle| {
                let (inner, child) = (log.clone(), log.clone());
                defer(async move {
                    yield_now().await;
                    inner.add("inner finalizer");
                });
                let started = Count::new();
                let up = started.clone();
                n.spawn(async move {
                    defer(async move {
                        sleep(ms(1)).await;
                        child.add("child");
                    });
                    up.up();
                    sleep_forever().await
                });
                started.reaches(1).await;
                crash("deep inside");
            })
            .await
        }))
        .await
        .map(|_| ())
        .unwrap_err();
        assert_eq!(text(&*panic), "deep inside");
        assert_eq!(log.entries(), ["child", "inner finalizer", "outer finalizer"]);
    }

    /// B148, L13: the same for a child that was never polled.
    a_destructor_of_an_unpolled_child_may_panic, a_destructor_of_an_unpolled_local_child_may_panic: {
        let mut scope = CancelScope::new();
        scope.handle().cancel("before");
        let panic = caught(scope.run(open(async |n: Handle| {
            let bad = Finally::new(|| crash("a destructor"));
            n.spawn(async move {
                let _bad = bad;
            });
            sleep_forever().await
        })))
        .await
        .map(|_| ())
        .unwrap_err();
        assert_eq!(text(&*panic), "a destructor");
    }

    /// B148, L35, L36: a value whose destructor panics, and that nobody takes: the panic ends nowhere but in this
    /// process's hook, and disturbs neither the runtime nor the nursery.
    a_value_that_nobody_takes_may_panic_when_it_is_dropped, a_local_value_that_nobody_takes_may_panic_when_it_is_dropped: {
        let ended = Count::new();
        let out = caught(open(async |n: Handle| {
            let bad = Finally::new(|| crash("the destructor of a value"));
            drop(n.spawn(async move { Ok(bad) }));
            let up = ended.clone();
            n.spawn(async move {
                sleep(ms(2)).await;
                up.up();
            });
            Ok(1)
        }))
        .await;
        assert_eq!(ended.value(), 1);
        assert!(matches!(out, Ok(Ok(1))), "it went through the nursery");
    }

    /// B145, L35: an error that panics when it is printed or dropped is an error all the same: the siblings are
    /// cancelled, the first is the outcome, and the others disturb nobody.
    an_error_that_panics_when_it_is_printed_is_an_error_all_the_same,
    an_error_that_panics_when_it_is_printed_is_an_error_of_a_local_nursery_all_the_same: {
        let cleaned = Count::new();
        let (out, observer) = observed(caught(open(async |n: Handle<Unprintable>| {
            let (started, go) = (Count::new(), Count::new());
            n.spawn(lingering(&started, &cleaned));
            for number in 1..=2 {
                let (up, go) = (started.clone(), go.reaches(1));
                n.spawn(async move {
                    up.up();
                    go.await;
                    Err::<(), _>(Unprintable(number))
                });
            }
            started.reaches(3).await;
            go.up();
            sleep_forever().await;
            Ok(())
        })))
        .await;
        let first = out.map_err(|_| "a panic").expect("no panic came out").unwrap_err();
        assert!((1..=2).contains(&first.0));
        std::mem::forget(first);
        assert_eq!(cleaned.value(), 1);
        // The observer of this test prints what it is told; that panicked.
        assert_eq!(observer.orphans(), []);
    }

    /// L32: the payload that resumes is the one that was thrown, whatever its type.
    the_payload_resumes_as_it_was_thrown, the_payload_of_a_local_child_resumes_as_it_was_thrown: {
        let panic = caught(open(async |n: Handle| {
            n.spawn(async { throw(42) });
            sleep_forever().await
        }))
        .await
        .map(|_| ())
        .unwrap_err();
        assert_eq!(panic.downcast_ref::<u64>(), Some(&42));
    }

    /// L32: the process's panic hook hears of a panic when it happens, not when it resumes, and once.
    the_panic_hook_hears_of_a_panic_when_it_happens, the_panic_hook_hears_of_a_local_panic_when_it_happens: {
        let heard = Count::new();
        let _hook = Hook::counting("heard at once", &heard);
        let (clean, before_the_end) = (Count::new(), Count::new());
        let panic = caught(open(async |n: Handle| {
            let (started, seen, wait) = (Count::new(), before_the_end.clone(), heard.reaches(1));
            let (up, done) = (started.clone(), clean.clone());
            n.spawn(async move {
                defer(async move {
                    // The nursery cannot end before this has.
                    wait.await;
                    seen.up();
                    sleep(ms(1)).await;
                    done.up();
                });
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            n.spawn(async { crash("heard at once") });
            sleep_forever().await
        }))
        .await
        .map(|_| ())
        .unwrap_err();
        assert_eq!(text(&*panic), "heard at once");
        assert_eq!((heard.value(), before_the_end.value(), clean.value()), (1, 1, 1));
    }

    /// L32, L6: the request that a panic makes says so; code that is dropped for it can ask.
    a_panic_is_the_reason_of_the_cancel, a_panic_of_a_local_child_is_the_reason_of_the_cancel: {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let panic = caught(open(async |n: Handle| {
            let started = Count::new();
            let (up, reasons) = (started.clone(), seen.clone());
            n.spawn(async move {
                let _local = Finally::new(move || {
                    assert!(is_cancelled());
                    let reason = foster::scope::reason().map(|reason| reason.kind());
                    reasons.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
                });
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            crash("the body");
        }))
        .await;
        assert!(panic.is_err());
        assert_eq!(*seen.lock().unwrap(), [Some(ReasonKind::Panicked)]);
    }

    /// L32, L18: a panic resumes also out of a nursery that is cancelled from outside: it is said before anything
    /// parks.
    a_panic_resumes_out_of_a_cancelled_nursery, a_panic_resumes_out_of_a_cancelled_local_nursery: {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let panic = caught(scope.run(open(async |n: Handle| {
            let started = Count::new();
            let up = started.clone();
            n.spawn(async move {
                up.up();
                until_cancelled().await;
                crash("during the cancel");
            });
            started.reaches(1).await;
            handle.cancel("from outside");
            sleep_forever().await
        })))
        .await
        .map(|_| ())
        .unwrap_err();
        assert_eq!(text(&*panic), "during the cancel");
    }
}

/// L32: the panic of a root's body resumes out of the root, when everything in it has ended.
pub async fn a_panic_of_the_root_resumes_when_everything_has_ended() {
    let (started, cleaned) = (Count::new(), Count::new());
    let panic = caught(root(runtime(), async {
        let mut held = Box::pin(foster::nursery(async |n: foster::Nursery| {
            n.spawn(lingering(&started, &cleaned));
            sleep_forever().await
        }));
        until(held.as_mut(), started.reaches(1)).await;
        crash("the root");
    }))
    .await
    .unwrap_err();
    assert_eq!(text(&*panic), "the root");
    assert_eq!(cleaned.value(), 1);
}

/// L32: a scope without a node, one that panics at its first poll, unwinds like any other.
pub async fn a_panic_at_the_first_poll_unwinds_like_any_other() {
    let dropped = Count::new();
    let panic = caught(move_on_after(ms(60_000), async {
        let _local = dropped.on_drop();
        shield(async { crash("at once") }).await;
    }))
    .await
    .unwrap_err();
    assert_eq!((text(&*panic), dropped.value()), ("at once", 1));
    assert!(!is_virtual() || foster::deadline().is_none());
}

/// An error with which nothing can be done.
struct Unprintable(u32);

impl std::fmt::Debug for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crash("in Debug");
        Ok(())
    }
}

impl Drop for Unprintable {
    fn drop(&mut self) {
        crash("in the destructor of an error");
    }
}

/// Panics with a payload that is no text, and without a word to the panic hook.
fn throw(payload: u64) {
    panic::resume_unwind(Box::new(payload))
}

type PanicHook = Box<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>;

/// Puts a hook before the process's panic hook, until it is dropped.
struct Hook {
    before: Option<Arc<PanicHook>>,
}

impl Hook {
    /// Counts the panics with this text, and passes on all others.
    fn counting(expected: &'static str, heard: &Count) -> Hook {
        let before = Arc::new(panic::take_hook());
        let (heard, other) = (heard.clone(), before.clone());
        panic::set_hook(Box::new(move |info| match text(info.payload()) {
            text if text == expected => heard.up(),
            _ => other(info),
        }));
        Hook { before: Some(before) }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Not while unwinding: the standard library would panic.
        if std::thread::panicking() {
            return;
        }
        drop(panic::take_hook());
        if let Some(before) = self.before.take().and_then(Arc::into_inner) {
            panic::set_hook(before);
        }
    }
}
