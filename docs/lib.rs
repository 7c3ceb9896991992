//! The book of foster: compiles and runs its code blocks as documentation tests.
//!
//! The pages are in `src`, for [mdBook](https://rust-lang.github.io/mdBook/). `tests/book.rs` checks what is not code.
#![forbid(unsafe_code)]

/// Each page is a module, so that its name stands in the name of its tests.
macro_rules! pages {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($path)]
            mod $name {}
        )*
    };
}

pages! {
    readme = "../README.md";
    welcome = "src/welcome.md";
    hello_nursery = "src/tutorial/hello-nursery.md";
    timeout = "src/tutorial/timeout.md";
    failure = "src/tutorial/failure.md";
    closing = "src/tutorial/closing.md";
    testing = "src/tutorial/testing.md";
    howto_choose_an_adapter = "src/howto/choose-an-adapter.md";
    howto_run_together = "src/howto/run-together.md";
    howto_limit_time = "src/howto/limit-time.md";
    howto_queues = "src/howto/queues.md";
    howto_streams = "src/howto/streams.md";
    howto_network = "src/howto/network.md";
    howto_http = "src/howto/http.md";
    howto_processes = "src/howto/processes.md";
    howto_files = "src/howto/files.md";
    howto_database = "src/howto/database.md";
    howto_transactions = "src/howto/transactions.md";
    howto_background_jobs = "src/howto/background-jobs.md";
    howto_write_tests = "src/howto/write-tests.md";
    howto_test_time = "src/howto/test-time.md";
    howto_reproduce_a_race = "src/howto/reproduce-a-race.md";
    howto_simulated_network = "src/howto/simulated-network.md";
    howto_stop_well = "src/howto/stop-well.md";
    howto_sync_and_async = "src/howto/sync-and-async.md";
    howto_compiler_errors = "src/howto/compiler-errors.md";
    howto_look_inside = "src/howto/look-inside.md";
    howto_operations = "src/howto/operations.md";
    migration_asyncio = "src/migration/asyncio.md";
    migration_anyio_trio = "src/migration/anyio-trio.md";
    migration_tokio = "src/migration/tokio.md";
    migration_smol = "src/migration/smol.md";
    guarantees = "src/guarantees.md";
    cancel_safety = "src/cancel-safety.md";
    laws = "src/laws.md";
    invariants = "src/invariants.md";
    costs = "src/costs.md";
    why_not_all_three = "src/why-not-all-three.md";
}
