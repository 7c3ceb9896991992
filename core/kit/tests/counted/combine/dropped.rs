//! Combinators that foreign code drops while they wait for their losers: the outcome that is settled is not lost.

use super::*;
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

/// L29, L37: the scope around has ended, or the combinator is dropped by a thread that is in no scope: the panic goes
/// to the scope that it was in, or further out.
#[test]
fn a_panic_of_a_combinator_that_is_dropped_elsewhere_finds_its_scope() {
    let poll_once = async |call: &mut Pin<Box<dyn Future<Output = Option<u32>> + Send>>| {
        poll_fn(|cx| Poll::Ready(assert!(call.as_mut().poll(cx).is_pending()))).await;
    };
    type Sent = Pin<Box<dyn Future<Output = u32> + Send>>;
    let call = || {
        let slow = Box::pin(shield(async {
            sleep(ms(50)).await;
            0u32
        }));
        async fn fails() -> u32 {
            std::panic::resume_unwind(Box::new("bad"))
        }
        let bad = Box::pin(fails());
        Box::pin(race_all([slow as Sent, bad as Sent])) as Pin<Box<dyn Future<Output = _> + Send>>
    };
    let fails: [&dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>; 2] = [
        &|| {
            Box::pin(async move {
                let mut call = call();
                poll_once(&mut call).await;
                std::thread::spawn(|| drop(call)).join().unwrap();
                sleep_forever().await;
            })
        },
        &|| {
            Box::pin(async move {
                let mut kept = call();
                _ = CancelScope::new().run(poll_once(&mut kept)).await;
                drop(kept);
                sleep_forever().await;
            })
        },
    ];
    for (at, fail) in fails.iter().enumerate() {
        let call = fail();
        let run = async move {
            let around = CancelScope::new().run(call);
            let mut around = pin!(around);
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| around.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|_| None),
                Err(payload) => Poll::Ready(Some(*payload.downcast::<&str>().unwrap())),
            })
            .await
        };
        let _one = one_at_a_time();
        assert_eq!(foster_sim::run(1, run), Some("bad"), "{at}");
    }
}
