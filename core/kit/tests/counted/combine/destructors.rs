//! Destructors that panic, of branches and of what they return: the panic cancels the others and resumes when they have
//! ended, as any other of a branch.

use super::*;

/// Panics as it is dropped, if it is armed.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            std::panic::resume_unwind(Box::new("bomb"));
        }
    }
}

/// An error with one inside, which can be printed.
#[derive(Debug)]
struct Failed(#[expect(dead_code, reason = "is dropped")] Bomb);

impl std::fmt::Debug for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bomb")
    }
}

type Branch = Pin<Box<dyn Future<Output = Result<Bomb, Failed>>>>;
type Call = Pin<Box<dyn Future<Output = ()>>>;

/// Takes 50 ms to clean up.
fn slow() -> Branch {
    Box::pin(async {
        tidy(1000, 50).await;
        Ok(Bomb(false))
    })
}

/// Is the first to return.
fn first(ok: bool) -> Branch {
    Box::pin(async move { if ok { Ok(Bomb(false)) } else { Err(Failed(Bomb(false))) } })
}

/// Panics as it is dropped, and is not polled before.
fn unpolled() -> Branch {
    let bomb = Bomb(true);
    Box::pin(async move { Ok(bomb) })
}

/// Returns something that panics as it is dropped, when it has been cancelled.
fn late(ok: bool) -> Branch {
    Box::pin(shield(async move {
        yield_now().await;
        if ok { Ok(Bomb(true)) } else { Err(Failed(Bomb(true))) }
    }))
}

/// Expects the panic of a bomb, 50 ms later.
async fn caught(what: &str, mut call: Call) {
    let start = Instant::now();
    let payload = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => panic!("{what} has returned"),
        Err(payload) => Poll::Ready(payload),
    })
    .await;
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"bomb"), "{what}");
    assert_eq!(start.elapsed(), ms(50), "{what}");
}

/// L32: of a branch that was not begun.
#[test]
fn a_destructor_of_a_branch_that_panics_does_not_cut_off_the_others() {
    on_seeds(async || {
        caught("race", Box::pin(async { _ = race((slow(), first(true), unpolled())).await })).await;
        caught("race_all", Box::pin(async { _ = race_all([slow(), first(true), unpolled()]).await })).await;
        caught("gather", Box::pin(async { _ = gather([slow(), first(false), unpolled()]).await })).await;
        caught("try_join", Box::pin(async { _ = try_join((slow(), first(false), unpolled())).await })).await;
        caught("first_ok", Box::pin(async { _ = first_ok([slow(), first(true), unpolled()]).await })).await;
        // Of several, the first resumes.
        caught("two", Box::pin(async { _ = race_all([slow(), first(true), unpolled(), unpolled()]).await })).await;
        // Of an iterator that is no longer needed.
        struct Inputs(Vec<Branch>, #[expect(dead_code, reason = "is dropped")] Bomb);
        impl Iterator for Inputs {
            type Item = Branch;
            fn next(&mut self) -> Option<Branch> {
                self.0.pop()
            }
        }
        let inputs = || Inputs(vec![first(true), slow()], Bomb(true));
        caught("staggered", Box::pin(async move { _ = staggered(Duration::ZERO, inputs()).await })).await;
    });
}

/// L32: of what a loser returns.
#[test]
fn a_destructor_of_a_value_that_panics_does_not_cut_off_the_others() {
    on_seeds(async || {
        // `late` has begun before the first returns.
        caught("race", Box::pin(async { _ = race((slow(), late(true), first(true))).await })).await;
        caught("race_all", Box::pin(async { _ = race_all([slow(), late(true), first(true)]).await })).await;
        caught("first_ok", Box::pin(async { _ = first_ok([slow(), late(true), first(true)]).await })).await;
        caught("quorum", Box::pin(async { _ = quorum(3, [slow(), late(false), first(false)]).await })).await;
        caught("gather", Box::pin(async { _ = gather([slow(), late(false), first(false)]).await })).await;
        caught("try_join", Box::pin(async { _ = try_join((slow(), late(false), first(false))).await })).await;
        let branches = || [slow(), late(false), first(false)];
        caught("map", Box::pin(async move { _ = map_concurrent(3, branches(), |branch| branch).await })).await;
        let work = async |branch: Branch| branch.await.map(drop);
        caught("for_each", Box::pin(async move { _ = for_each_concurrent(3, branches(), work).await })).await;
        let attempts = || [slow(), late(true), first(true)];
        caught("staggered", Box::pin(async move { _ = staggered(Duration::ZERO, attempts()).await })).await;
        let close = async {
            let mut results = as_completed([slow(), late(true), first(true)]);
            assert!(results.next().await.is_some());
            results.close().await;
        };
        caught("as_completed", Box::pin(close)).await;
    });
}
