//! A misuse that panics at once says where the misuse is: in the code of the caller, not in foster's.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::time::Duration;

use foster::channel::{Lag, broadcast};
use foster::combine::map_concurrent;
use foster::pool::PoolOptions;
use foster::rate::RateLimiter;
use foster::retry::{Backoff, RetryBudget};
use foster::sync::{Barrier, Semaphore};
use foster::{
    CancelScope, Instant, LocalNursery, Nursery, NurseryOptions, defer, interval, local_nursery, nursery, thread,
};

const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    /// Where this thread has panicked last.
    static BLAMED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs each of these, which have to panic, and says which of them blame a line that is not in this file.
#[track_caller]
fn blames_others(misuses: Vec<(&'static str, Box<dyn FnOnce() + '_>)>) -> Vec<String> {
    let mut others = Vec::new();
    for (name, misuse) in misuses {
        assert!(catch_unwind(AssertUnwindSafe(misuse)).is_err(), "`{name}` does not panic");
        let place = BLAMED.take().expect("the hook was called");
        if !place.starts_with(file!()) {
            others.push(format!("`{name}` blames {place}"));
        }
    }
    others
}

/// The misuses, each with its own text.
macro_rules! misuses {
    ($($misuse:expr;)*) => {
        blames_others(vec![$((stringify!($misuse), Box::new(|| { let _dropped = $misuse; }))),*])
    };
}

#[test]
fn a_misuse_blames_its_caller() {
    set_hook(Box::new(|info| {
        BLAMED.set(info.location().map(ToString::to_string));
    }));
    let (limiter, budget, semaphore) =
        (RateLimiter::new(1, SECOND), RetryBudget::new(1, SECOND), Semaphore::new(Semaphore::MAX_PERMITS));
    let mut others = misuses! {
        // Outside of any tree.
        Instant::now();
        thread::limiter();
        thread::is_cancelled();
        thread::caller();
        thread::from_thread(async {});
        defer(async {});
        limiter.try_acquire();
        limiter.try_acquire_many(1);
        limiter.available();
        budget.try_take();
        budget.available();
        // Arguments that make no sense.
        limiter.try_acquire_many(2);
        limiter.acquire_many(2);
        interval(Duration::ZERO);
        RateLimiter::new(0, SECOND);
        RateLimiter::new(1, SECOND).burst(0);
        Barrier::new(0);
        Semaphore::new(Semaphore::MAX_PERMITS + 1);
        semaphore.add_permits(1);
        broadcast::<u8>(0, Lag::Wait);
        NurseryOptions::new().limit(0);
        PoolOptions::new().size(0);
        Backoff::new().factor(0.5);
        map_concurrent(0, [1], async |n: i32| Ok::<_, ()>(n));
        {
            let mut scope = CancelScope::new();
            let _handle = scope.handle();
            scope.named("too late")
        };
        foster_smol::Builder::new().threads(0);
        foster_tokio::Builder::new().worker_threads(0);
        foster_tokio::attach(async {});
    };
    others.extend(foster_sim::run(1, async {
        let nursery = nursery(async |n: Nursery| Ok(n)).await.expect("it has no errors");
        let local = local_nursery(async |n: LocalNursery<'_>| Ok(n)).await.expect("it has no errors");
        let (_sender, receiver) = foster::channel::bounded::<u8>(1);
        let mut taken = None;
        let _all = foster::nursery(async |n: Nursery| {
            let mut task = n.spawn(async { Ok(1) });
            let _status = task.wait().await;
            let _value = task.try_join();
            taken = Some(task);
            Ok(())
        })
        .await;
        misuses! {
            nursery.spawn(async {});
            nursery.spawn_daemon(async {});
            nursery.child().named("late").spawn(async {});
            local.spawn(async {});
            taken.take().expect("a task").try_join();
            receiver.recv_blocking();
            thread::block_on(async {});
        }
    }));
    drop(take_hook());
    assert!(others.is_empty(), "{others:#?}");
}
