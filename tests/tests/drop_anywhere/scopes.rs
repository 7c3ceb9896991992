//! Cancel scopes, time limits, shields, brackets.

use foster::cleanup::try_bracket;
use foster::{
    CancelScope, Instant, ScopedValue, bracket, checkpoint, defer, fail_after, fail_at, graceful, move_on_after,
    move_on_at, shield, sleep, sleep_forever, stopping,
};
use foster_conformance::harness::ms;

use crate::driver::{Scene, error, nothing};
use crate::inside::{both, busy};
use crate::probe::{Alive, Oops, Resource};

static VALUE: ScopedValue<Alive> = ScopedValue::new();
static INHERITED: ScopedValue<Alive> = ScopedValue::inherited();

cases! {
    cancel_scope_run: run, |scene: Scene| CancelScope::new().named("scope").grace(ms(1)).run(busy(scene.probe)), nothing;
    /// The scope is cancelled from inside while it is busy.
    cancel_scope_run_cancelled: run, |scene: Scene| {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        scope.run(async move {
            let _local = scene.probe.local();
            let later = async {
                sleep(ms(2)).await;
                handle.cancel("on purpose");
                sleep_forever().await;
            };
            both(busy(scene.probe.clone()), later).await;
        })
    }, nothing;
    move_on_after_: run, |scene: Scene| move_on_after(ms(100), busy(scene.probe)), nothing;
    move_on_after_elapsed: run, |scene: Scene| move_on_after(ms(2), busy(scene.probe)), nothing;
    move_on_after_nested: run, |scene: Scene| {
        move_on_after(ms(4), async move {
            let _local = scene.probe.local();
            defer(scene.probe.finalizer());
            move_on_after(ms(2), busy(scene.probe.clone())).await;
            busy(scene.probe.clone()).await;
        })
    }, nothing;
    move_on_at_: run, |scene: Scene| async move { move_on_at(Instant::now() + ms(2), busy(scene.probe)).await }, nothing;
    fail_after_: run, |scene: Scene| fail_after(ms(2), busy(scene.probe)), nothing;
    fail_after_flat: run, |scene: Scene| {
        fail_after(ms(2), async move {
            busy(scene.probe).await;
            std::io::Result::Ok(())
        })
        .flatten()
    }, nothing;
    fail_at_: run, |scene: Scene| async move { fail_at(Instant::now() + ms(2), busy(scene.probe)).await }, nothing;

    shield_: run, |scene: Scene| shield(busy(scene.probe)), nothing;
    graceful_: run, |scene: Scene| graceful(busy(scene.probe)), nothing;
    /// A graceful shield in a cancelled scope: `stopping` resolves, then the hard time comes.
    stopping_: run, |scene: Scene| {
        CancelScope::new().deadline_after(ms(2)).grace(ms(5)).run(graceful(async move {
            let _local = scene.probe.local();
            stopping().await;
            busy(scene.probe.clone()).await;
            sleep(ms(1)).await;
        }))
    }, nothing;

    bracket_: run, |scene: Scene| {
        let probe = scene.probe.clone();
        bracket(
            async move {
                sleep(ms(1)).await;
                let resource = probe.acquire();
                checkpoint().await; // dropped here, the resource is only dropped
                resource.keep()
            },
            async move |_lent| busy(scene.probe).await,
            |resource, _exit| resource.release(),
        )
    }, nothing;
    try_bracket_: run, |scene: Scene| {
        let probe = scene.probe.clone();
        try_bracket(
            async move { Ok::<_, Oops>(probe.acquire().keep()) },
            async move |_lent| {
                busy(scene.probe).await;
                Err::<(), _>(Oops::plain())
            },
            |resource, _exit| resource.release(),
        )
    }, error;
    /// The acquisition fails: there is nothing to release.
    try_bracket_not_acquired: run, |_| {
        try_bracket(
            async move {
                sleep(ms(1)).await;
                Err::<Resource, _>(Oops::plain())
            },
            async |_lent| Ok(()),
            |resource, _exit| resource.release(),
        )
    }, error;
    /// The release outlives its budget, so it is cancelled.
    bracket_over_budget: run, |scene: Scene| {
        bracket(
            async move { scene.probe.acquire().keep() },
            async |_lent| sleep(ms(1)).await,
            |resource, _exit| resource.release_slowly(),
        )
        .budget(ms(3))
    }, nothing;

    /// The value is dropped once, with its scope.
    value_is_dropped: run, |scene: Scene| {
        VALUE.scope(scene.probe.local(), async move {
            busy(scene.probe).await;
            assert!(VALUE.with(|value| value.is_some()));
        })
    }, nothing;
    /// Two values, one around the other, that children and blocking jobs see.
    values_of_children: run, |scene: Scene| {
        INHERITED.scope(scene.probe.local(), async move {
            sleep(ms(1)).await;
            INHERITED.scope(scene.probe.local(), busy(scene.probe)).await;
            assert!(INHERITED.with(|value| value.is_some()));
        })
    }, nothing;
}
