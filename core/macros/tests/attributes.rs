//! The arguments that the attributes accept, and their expansions.

use std::cell::Cell;
use std::future::pending;
use std::num::ParseIntError;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Private to this module; the tests that are made of the functions below see it all the same.
#[derive(Debug)]
struct Failure;

impl From<ParseIntError> for Failure {
    fn from(_: ParseIntError) -> Self {
        Failure
    }
}

#[foster::main(smol)]
async fn on_smol() -> usize {
    "smol".len()
}

#[foster::main(tokio)]
pub(crate) async fn on_tokio() -> Result<u32, Failure> {
    Ok("17".parse::<u32>()? + "x".parse::<u32>()?)
}

/// A comment, and an attribute below it.
#[foster::main(tokio, flavor = "current_thread")]
#[inline]
async fn on_one_thread() -> Rc<Cell<u32>> {
    Rc::new(Cell::new(3))
}

#[foster::main(tokio, worker_threads = 2)]
async fn on_two_workers() -> usize {
    tokio::runtime::Handle::current().metrics().num_workers()
}

/// Runs children that block until all of them have begun, each on a thread of its own.
#[foster::main(smol, threads = 3)]
async fn on_three_threads() -> bool {
    let begun = Arc::new(AtomicU32::new(0));
    foster::nursery(async |n: foster::Nursery| {
        for _ in 0..3 {
            let begun = begun.clone();
            n.spawn(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let begin = foster::Instant::now();
                while begun.load(Ordering::SeqCst) < 3 {
                    assert!(begin.elapsed() < Duration::from_secs(60), "there are no three threads");
                    std::thread::yield_now();
                }
            });
        }
    })
    .await;
    begun.load(Ordering::SeqCst) == 3
}

#[test]
fn main_runs_on_as_many_threads_as_it_says() {
    assert_eq!(on_two_workers(), 2);
    assert!(on_three_threads());
}

#[test]
fn main_returns_what_the_function_returns() {
    assert_eq!(on_smol(), 4);
    assert!(on_tokio().is_err());
    assert_eq!(on_one_thread().get(), 3);
}

#[foster::test(smol, tokio, tokio_current_thread)]
async fn passes_on_each_adapter() {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    assert!(["::smol", "::tokio", "::tokio_current_thread"].iter().any(|adapter| name.ends_with(adapter)), "{name}");
}

#[foster::test(smol, tokio)]
async fn returns_a_result() -> Result<(), Failure> {
    let number: u32 = "17".parse()?;
    assert_eq!(number, 17);
    Ok(())
}

#[foster::test(smol, tokio, timeout = "10s")]
async fn returns_a_result_within_its_limit() -> Result<(), Failure> {
    let _local = Rc::new(3);
    Ok(())
}

/// The attributes below are the tests', whatever their order.
#[foster::test(smol, tokio)]
#[should_panic(expected = "on purpose")]
#[allow(unreachable_code, reason = "goes to the function")]
async fn panics() {
    panic!("on purpose");
    unreachable!();
}

#[foster::test(smol)]
#[ignore = "and it would fail"]
async fn is_ignored() {
    panic!("it runs");
}

#[foster::test(smol)]
#[cfg(not(test))]
async fn is_configured_away() {
    this_does_not_exist();
}

#[foster::test(smol, timeout = "20ms")]
#[should_panic(
    expected = "attributes::hangs::smol did not end within its limit of 20ms. When it was out of time there was:\n\
                           root `root`"
)]
async fn hangs() {
    pending::<()>().await;
}

/// The body cannot be cancelled, and passes: but too late.
#[foster::test(smol, tokio, sim, timeout = "20ms")]
#[should_panic(expected = "did not end within its limit of 20ms. When it was out of time there was:")]
async fn passes_too_late_in_a_shield() {
    foster::shield(foster::sleep(Duration::from_millis(40))).await;
}

#[foster::test(smol, tokio, timeout = "20ms")]
#[should_panic(expected = "did not end within its limit of 20ms: it took ")]
#[expect(clippy::disallowed_methods, reason = "this is what one should not do")]
async fn passes_too_late_in_one_poll() {
    std::thread::sleep(Duration::from_millis(40));
}

#[foster::test(sim, timeout = "1h")]
async fn ends_at_its_limit() {
    foster::sleep(Duration::from_secs(3600)).await;
}

#[foster::test(sim, seeds = 3, timeout = "2h")]
async fn passes_on_the_simulator() -> Result<(), Failure> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    assert!(RUNS.fetch_add(1, Ordering::Relaxed) < 3);
    foster::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

#[foster::test(sim, timeout = "1h")]
#[should_panic(expected = "attributes::hangs_on_the_simulator::sim did not end within its limit of 1h")]
async fn hangs_on_the_simulator() {
    pending::<()>().await;
}

/// The failure of some seeds only: its message names the test with its adapter, and the seed.
#[foster::test(sim, seeds = 50)]
#[should_panic(expected = "test `attributes::fails_on_some_seeds::sim` failed on the simulator with seed ")]
async fn fails_on_some_seeds() {
    let turn = AtomicU32::new(0);
    let orders = foster::combine::join((
        async {
            foster::to_thread(|| ()).await;
            turn.fetch_add(1, Ordering::Relaxed)
        },
        async {
            foster::to_thread(|| ()).await;
            turn.fetch_add(1, Ordering::Relaxed)
        },
    ));
    assert_eq!(orders.await, (0, 1));
}

macro_rules! test_of {
    ($visibility:vis $name:ident, $body:block) => {
        #[foster::test(smol)]
        $visibility async fn $name() $body
    };
}

test_of!(made_by_a_macro, {
    foster::yield_now().await;
});
test_of!(pub(crate) made_public_by_a_macro, {});

#[foster::test(tokio, timeout = "10ms")]
#[ignore = "it takes longer than it may: see `a_test_that_does_not_end_says_so`"]
async fn ends_late() {
    foster::shield(foster::sleep(Duration::from_secs(3))).await;
    pending::<()>().await;
}

/// A test that does not end when it is out of time prints its name and what is left, past the harness.
#[test]
fn a_test_that_does_not_end_says_so() {
    let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
    let output = tests.args(["--exact", "ends_late::tokio", "--ignored"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        err.starts_with("foster: attributes::ends_late::tokio has not ended 1s after its limit of 10ms:\n"),
        "{err}"
    );
    assert!(err.contains("shield `shield`"), "{err}");
    assert!(out.contains("attributes::ends_late::tokio did not end within its limit of 10ms"), "{out}");
}
