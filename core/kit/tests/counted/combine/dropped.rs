//! Combinators that foreign code drops while they wait for their losers: the outcome that is settled is not lost.

use super::*;
use foster::combine::future::RaceAll;
use foster::combine::{Emitter, try_produce};
use foster::observer::{Observer, Orphan};

type Branch = Pin<Box<dyn Future<Output = Result<u64, &'static str>>>>;
type Call = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Orphans(Mutex<Vec<String>>);

impl Observer for Orphans {
    fn orphan(&self, orphan: &Orphan<'_>) {
        self.0.lock().unwrap().push(format!("{:?}", orphan.error));
    }
}

/// One that takes 50 ms to clean up, and one that fails or panics after some turns.
fn branches(panics: bool, turns: u32) -> [Branch; 2] {
    let bad = async move {
        for _ in 0..turns {
            yield_now().await;
        }
        if panics { std::panic::resume_unwind(Box::new("bad")) } else { Err("bad") }
    };
    [Box::pin(async { Ok(tidy(1000, 50).await) }), Box::pin(bad)]
}

/// Those that return an error as soon as there is one.
fn failing(panics: bool, turns: u32) -> Vec<(&'static str, Call)> {
    let made = move || branches(panics, turns);
    let [slow, bad] = made();
    vec![
        ("gather", Box::pin(async move { _ = gather(made()).await })),
        ("try_join", Box::pin(async move { _ = try_join((slow, bad)).await })),
        ("map_concurrent", Box::pin(async move { _ = map_concurrent(2, made(), |branch| branch).await })),
        (
            "for_each_concurrent",
            Box::pin(async move { _ = for_each_concurrent(2, made(), async |branch| branch.await.map(drop)).await }),
        ),
        ("quorum", Box::pin(async move { _ = quorum(2, made()).await })),
    ]
}

/// All that wait for losers.
fn panicking(turns: u32) -> Vec<(&'static str, Call)> {
    let made = move || branches(true, turns);
    let [slow, bad] = made();
    let mut calls = failing(true, turns);
    calls.extend::<[(&'static str, Call); 7]>([
        ("race", Box::pin(async move { _ = race((slow, bad)).await })),
        ("race_all", Box::pin(async move { _ = race_all(made()).await })),
        ("gather_results", Box::pin(async move { _ = gather_results(made()).await })),
        ("map_concurrent_results", Box::pin(async move { _ = map_concurrent_results(2, made(), |f| f).await })),
        ("first_ok", Box::pin(async move { _ = first_ok(made()).await })),
        ("staggered", Box::pin(async move { _ = staggered(Duration::ZERO, made()).await })),
        ("as_completed", Box::pin(async move { _ = as_completed(made()).next().await })),
    ]);
    calls
}

/// Runs the call in a scope, where foreign code drops it after 10 ms. Returns the panic of the scope.
async fn dropped_in_a_scope(call: Call) -> Option<&'static str> {
    let around = CancelScope::new().run(futures_lite::future::or(call, sleep(ms(10))));
    let mut around = pin!(around);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| around.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|_| None),
        Err(payload) => Poll::Ready(Some(*payload.downcast::<&str>().unwrap())),
    })
    .await
}

/// L35: an error goes to the observer.
#[test]
fn an_error_of_a_combinator_that_is_dropped_goes_to_the_observer() {
    let _one = one_at_a_time();
    for seed in 0..12 {
        for turns in [0, 1] {
            for at in 0..failing(false, turns).len() {
                let orphans = Arc::new(Orphans::default());
                foster_sim::Builder::new(seed).observer(orphans.clone()).run(async {
                    let (what, call) = failing(false, turns).swap_remove(at);
                    let start = Instant::now();
                    assert_eq!(dropped_in_a_scope(call).await, None, "{what}");
                    assert_eq!(start.elapsed(), ms(50), "{what}");
                    assert_eq!(*orphans.0.lock().unwrap(), ["\"bad\""], "{what}");
                });
            }
        }
    }
}

/// L35: so does one of a branch that has returned it, and has still finalizers to run; and that of a body of a stream.
#[test]
fn an_error_of_a_branch_that_has_not_ended_goes_to_the_observer() {
    async fn bad() -> Result<u64, &'static str> {
        defer(sleep(ms(50)));
        Err("bad")
    }
    fn calls() -> Vec<(&'static str, Call)> {
        let made = || [Box::pin(bad()) as Branch, Box::pin(async { Ok(tidy(1000, 50).await) })];
        vec![
            ("gather", Box::pin(async move { _ = gather(made()).await })),
            ("try_join", Box::pin(async move { _ = try_join((bad(), async { Ok(tidy(1000, 50).await) })).await })),
            ("map_concurrent", Box::pin(async move { _ = map_concurrent(2, made(), |branch| branch).await })),
            (
                "for_each_concurrent",
                Box::pin(async move { _ = for_each_concurrent(2, made(), async |f| f.await.map(drop)).await }),
            ),
            ("quorum", Box::pin(async move { _ = quorum(2, made()).await })),
            ("first_ok", Box::pin(async move { _ = first_ok(made()).await })),
            ("staggered", Box::pin(async move { _ = staggered(Duration::ZERO, made()).await })),
            (
                "try_produce",
                Box::pin(async { _ = try_produce(async |_: Emitter<u64>| bad().await.map(drop)).next().await }),
            ),
        ]
    }
    let _one = one_at_a_time();
    for seed in 0..12 {
        for at in 0..calls().len() {
            let orphans = Arc::new(Orphans::default());
            foster_sim::Builder::new(seed).observer(orphans.clone()).run(async {
                let (what, call) = calls().swap_remove(at);
                assert_eq!(dropped_in_a_scope(call).await, None, "{what}");
                assert_eq!(*orphans.0.lock().unwrap(), ["\"bad\""], "{what}");
            });
        }
    }
}

/// L35: a finalizer that panics takes precedence over the error of its branch, which goes to the observer.
#[test]
fn an_error_of_a_branch_that_panics_at_its_end_goes_to_the_observer() {
    fn crash() {
        std::panic::resume_unwind(Box::new("crash"))
    }
    async fn bad() -> Result<u64, &'static str> {
        defer(async { crash() });
        Err("bad")
    }
    let _one = one_at_a_time();
    for seed in 0..12 {
        let calls: [fn() -> Call; 2] = [
            || Box::pin(async { _ = gather([bad(), bad()]).await }),
            || Box::pin(async { _ = try_join((bad(), bad())).await }),
        ];
        for call in calls {
            let orphans = Arc::new(Orphans::default());
            foster_sim::Builder::new(seed).observer(orphans.clone()).run(async {
                assert_eq!(dropped_in_a_scope(call()).await, Some("crash"));
                let told = orphans.0.lock().unwrap();
                assert!(told.contains(&"\"bad\"".to_owned()), "{told:?}");
            });
        }
    }
}

/// L29: a panic fails the scope around, when all in that has ended.
#[test]
fn a_panic_of_a_combinator_that_is_dropped_fails_the_scope_around() {
    on_seeds(async || {
        for turns in [0, 1] {
            for (what, call) in panicking(turns) {
                let start = Instant::now();
                assert_eq!(dropped_in_a_scope(call).await, Some("bad"), "{what}");
                assert_eq!(start.elapsed(), ms(50), "{what}");
            }
        }
    });
}

/// L29, L37: the combinator is dropped by a thread that is in no scope, or when the scope that it was in has ended: its
/// panic goes to that scope, or further out.
#[test]
fn a_panic_of_a_combinator_that_is_dropped_elsewhere_finds_its_scope() {
    type Sent = Pin<Box<dyn Future<Output = u64> + Send>>;
    async fn bad() -> u64 {
        std::panic::resume_unwind(Box::new("bad"))
    }
    async fn waiting() -> RaceAll<Sent, u64> {
        let mut call = race_all([Box::pin(tidy(1000, 5)) as Sent, Box::pin(bad())]);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx).is_pending())).await);
        call
    }
    on_seeds(async || {
        let by_a_thread = async {
            let call = waiting().await;
            std::thread::spawn(|| drop(call)).join().unwrap();
            sleep_forever().await;
        };
        assert_eq!(dropped_in_a_scope(Box::pin(by_a_thread)).await, Some("bad"));
        let later = async {
            let call = CancelScope::new().run(waiting()).await;
            drop(call);
            sleep_forever().await;
        };
        assert_eq!(dropped_in_a_scope(Box::pin(later)).await, Some("bad"));
    });
}
