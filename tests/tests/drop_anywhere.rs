//! Every future of the public API is dropped at each of its polls, and proves that nothing leaks, nothing hangs, every
//! finalizer and release runs exactly once, no error is lost, and nobody panics (L16, L25–L30, L34, L35, L37, L40,
//! L41).
//!
//! The future is polled k times on the simulator, for k = 0, 1, 2, … until it is ready by then, and after the k-th poll
//! it is dropped: at once, when it is woken again, by an unwinding panic, on another thread, with its host; or it is
//! forgotten, held without being polled in a cancelled scope, or delivered. It stands in the body of a nursery, a task,
//! a local child, a scope, a shield, a finalizer, or a root.
//!
//! Read `probe` (the books that are kept), `driver` (what is done), `inside` (to what), then the cases.

use std::collections::BTreeSet;

#[path = "layers/sources.rs"]
mod sources;

#[path = "drop_anywhere/probe.rs"]
mod probe;

#[path = "drop_anywhere/driver.rs"]
mod driver;

#[path = "drop_anywhere/inside.rs"]
mod inside;
#[path = "drop_anywhere/jobs.rs"]
mod jobs;

/// One test per case; the list of their names is what [`every_public_future_has_a_case`] looks at.
macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident: $case:ident$(.$special:ident())*, $make:expr, $told:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                let case = $crate::driver::Case::new(stringify!($name))$(.$special())*;
                foster_conformance::check_beside(stringify!($name), || case.$case($make, $told));
            }
        )*

        pub(crate) const CASES: &[&str] = &[$(stringify!($name)),*];
    };
}

#[path = "drop_anywhere/channels.rs"]
mod channels;
#[path = "drop_anywhere/combining.rs"]
mod combining;
#[path = "drop_anywhere/derived.rs"]
mod derived;
#[path = "drop_anywhere/hosts.rs"]
mod hosts;
#[path = "drop_anywhere/leaves.rs"]
mod leaves;
#[path = "drop_anywhere/lost_handles.rs"]
mod lost_handles;
#[path = "drop_anywhere/nurseries.rs"]
mod nurseries;
#[path = "drop_anywhere/resources.rs"]
mod resources;
#[path = "drop_anywhere/scopes.rs"]
mod scopes;
#[path = "drop_anywhere/streams.rs"]
mod streams;
#[path = "drop_anywhere/sync.rs"]
mod sync;

use sources::{identifier, public_sources};

/// The public futures, and the cases that drop each.
const COVERED: &[(&str, &[&str])] = &[
    ("BarrierWait", &["barrier_wait"]),
    ("ConditionWait", &["condition_wait"]),
    ("ConditionWaitFor", &["condition_wait_for"]),
    ("EventWait", &["event_wait"]),
    ("MutexLock", &["mutex_lock"]),
    ("MutexLockOwned", &["mutex_lock_owned"]),
    ("OnceCellGetOrInit", &["once_cell_get_or_init"]),
    ("OnceCellGetOrTryInit", &["once_cell_get_or_try_init"]),
    ("PoisonMutexLock", &["poison_mutex_lock"]),
    ("PromiseWait", &["promise_wait", "promise_broken"]),
    ("RwLockRead", &["rw_lock_read"]),
    ("RwLockWrite", &["rw_lock_write"]),
    (
        "Bracket",
        &[
            "bracket_",
            "mutex_run",
            "semaphore_run",
            "limiter_run",
            "try_bracket_",
            "try_bracket_not_acquired",
            "bracket_over_budget",
        ],
    ),
    ("Checkpoint", &["checkpoint_"]),
    ("CheckpointIfCancelled", &["checkpoint_if_cancelled_"]),
    ("FailAfter", &["fail_after_", "fail_at_"]),
    ("FailAfterFlatten", &["fail_after_flat"]),
    ("Interval", &["interval_stream"]),
    ("Job", &["job"]),
    ("Limited", &["nursery_spawn_limited"]),
    ("LimiterAcquire", &["limiter_acquire"]),
    ("LimiterAcquireOnBehalfOf", &["limiter_acquire_on_behalf_of"]),
    ("LimiterAcquireOwned", &["limiter_acquire_owned"]),
    ("LimiterAcquireOwnedOnBehalfOf", &["limiter_acquire_on_behalf_of"]),
    (
        "LocalNurseryFuture",
        &[
            "local_nursery_",
            "local_nursery_child_fails",
            "collecting_local_nursery_",
            "local_nursery_unsend_",
            "collecting_local_nursery_unsend_",
        ],
    ),
    ("MoveOnAfter", &["move_on_after_", "move_on_after_elapsed", "move_on_after_nested", "move_on_at_"]),
    ("NurseryFuture", &["nursery_", "nursery_child_fails", "nursery_body_fails", "collecting_nursery_"]),
    ("Operation", &["operation_", "operation_never"]),
    ("Park", &["wait_queue_park"]),
    ("Root", &["root_"]),
    ("CancelScopeFuture", &["cancel_scope_run", "cancel_scope_run_cancelled"]),
    ("SemaphoreAcquire", &["semaphore_acquire", "semaphore_acquire_many"]),
    ("SemaphoreAcquireOwned", &["semaphore_acquire_owned"]),
    ("Shield", &["shield_", "graceful_"]),
    ("Sleep", &["sleep_", "sleep_zero", "sleep_until_"]),
    ("SleepForever", &["sleep_forever_"]),
    ("Task", &["task", "local_task"]),
    ("ToThread", &["to_thread_", "to_thread_limited"]),
    ("ToThreadAbandon", &["to_thread_abandon_", "to_thread_abandon_limited"]),
    ("TryToThread", &["try_to_thread_"]),
    ("WithMut", &["unblock_with_mut", "unblock_with_mut_beside"]),
    ("YieldNow", &["yield_now_"]),
    ("spawn_limited", &["spawn_limited", "local_spawn_limited", "nursery_spawn_limited"]),
    ("start", &["start", "start_fails", "start_never_ready", "local_start"]),
    ("start_task", &["start_task", "local_start_task"]),
    ("stopping", &["stopping_", "stopping_never"]),
    ("tick", &["interval_tick"]),
    ("wait", &["task_wait"]),
    // Channels.
    ("BroadcastClosed", &["broadcast_closed"]),
    ("BroadcastReceiver", &["broadcast_stream"]),
    ("BroadcastRecv", &["broadcast_recv", "broadcast_send"]),
    ("BroadcastSend", &["broadcast_send"]),
    ("ChannelClosed", &["channel_closed"]),
    ("ChannelRecv", &["channel_recv", "channel_recv_beside", "channel_send_rendezvous"]),
    ("ChannelReserve", &["channel_reserve", "channel_reserve_beside"]),
    ("ChannelSend", &["channel_send", "channel_send_rendezvous"]),
    ("OneshotClosed", &["oneshot_closed"]),
    ("OneshotReceiver", &["oneshot_recv", "oneshot_disconnected"]),
    ("Receiver", &["channel_stream"]),
    ("WatchClosed", &["watch_closed"]),
    ("WatchReceiver", &["watch_stream"]),
    ("WatchRecv", &["watch_recv"]),
    ("WatchWaitFor", &["watch_wait_for"]),
    // Combinators. Those that a macro makes, one for each length of a tuple, go by its parameter.
    ("$join", &["join_", "join_of_eight"]),
    ("$race", &["race_", "race_of_eight"]),
    ("$try_join", &["try_join_", "try_join_fails"]),
    ("AsCompleted", &["as_completed_stream"]),
    ("FirstOk", &["first_ok_", "first_ok_fails"]),
    ("ForEachConcurrent", &["for_each_concurrent_", "for_each_concurrent_fails"]),
    ("Gather", &["gather_", "gather_fails"]),
    ("GatherResults", &["gather_settled_"]),
    ("Indexed", &["indexed_stream"]),
    ("MapConcurrent", &["map_concurrent_"]),
    ("MapConcurrentResults", &["map_concurrent_settled_"]),
    ("Quorum", &["quorum_", "no_quorum"]),
    ("RaceAll", &["race_all_"]),
    ("RaceArray", &["race_array"]),
    ("Retry", &["retry_", "retry_gives_up", "retry_attempt_timeout"]),
    ("Staggered", &["staggered_"]),
    (
        "close",
        &[
            "as_completed_close",
            "indexed_next",
            "pool_close",
            "produce_close",
            "produce_close_shielded",
            "try_produce_close",
            "pool_close_idle",
        ],
    ),
    ("next", &["as_completed_next", "indexed_next", "produce_next", "try_produce_next", "throttle_stream"]),
    // Streams, rate limits, pools, scoped values.
    ("Batch", &["batch_stream", "batch_given_up"]),
    ("Emit", &["produce_aside", "produce_next", "emit_given_up"]),
    ("Merge", &["merge_stream", "merge_given_up"]),
    ("Produce", &["produce_stream"]),
    ("RateAcquire", &["rate_acquire", "rate_acquire_many", "rate_acquire_beside"]),
    ("Throttle", &["throttle_stream", "throttle_given_up"]),
    ("TryProduce", &["try_produce_stream"]),
    ("Use", &["pool_use", "pool_use_again", "pool_use_fails", "pool_use_stale", "pool_use_beside", "pool_close"]),
    ("InfallibleNursery", &["infallible_nursery", "infallible_local_nursery"]),
    ("ScopedValueFuture", &["value_scope", "value_is_dropped", "values_of_children"]),
];

/// Modules that stand on the public API alone, and whose futures are hosts of a whole tree: the tests beside them drop
/// these.
const PROVED_ELSEWHERE: &[&str] = &["app", "portal", "supervise", "test_limit"];

/// Every public future, stream and async function of the core's sources is in [`COVERED`], with cases that exist.
#[test]
fn every_public_future_has_a_case() {
    let mut found = BTreeSet::new();
    let sources = public_sources();
    // A type may be declared in one file, and be made a future in another one.
    let lines = || sources.iter().flat_map(|source| source.code.lines().map(str::trim));
    let types: BTreeSet<&str> = lines().filter_map(public_type).collect();
    for source in sources.iter().filter(|source| !PROVED_ELSEWHERE.contains(&source.top())) {
        found.extend(public_futures(&source.code, &types));
    }
    println!("{} public futures: {found:?}", found.len());
    assert!(found.len() > 20, "the sources were not found");
    let covered: BTreeSet<_> = COVERED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = found.difference(&covered).collect();
    assert!(missing.is_empty(), "futures without a case: {missing:?}; add cases, and a row to COVERED");
    let gone: Vec<_> = covered.difference(&found).collect();
    assert!(gone.is_empty(), "rows of COVERED for what is not there any more: {gone:?}");
    let of_modules = [leaves::CASES, scopes::CASES, nurseries::CASES, hosts::CASES, sync::CASES, channels::CASES];
    let all =
        [&of_modules.concat(), combining::CASES, derived::CASES, resources::CASES, streams::CASES, &["job"]].concat();
    for (name, cases) in COVERED {
        assert!(!cases.is_empty(), "{name}");
        for case in *cases {
            assert!(all.contains(case), "{name}: there is no case `{case}`");
        }
    }
}

/// The names of the public types in this source that are futures or streams, and of the public async functions.
fn public_futures(source: &str, types: &BTreeSet<&str>) -> Vec<String> {
    let mut names = Vec::new();
    let mut function = String::new();
    for line in source.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("Future for ").or_else(|| line.split_once("Stream for ")) {
            let name = type_name(rest);
            if line.starts_with("impl") && types.contains(name) {
                names.push(name.to_owned());
            }
        }
        if let Some(rest) = line.strip_prefix("pub async fn ") {
            names.push(identifier(rest).to_owned());
        }
        if let Some((_, rest)) = line.split_once("fn ") {
            function = if line.starts_with("pub ") { identifier(rest).to_owned() } else { String::new() };
        }
        if line.contains("-> impl Future<") && !function.is_empty() {
            names.push(function.clone());
        }
    }
    names
}

fn public_type(line: &str) -> Option<&str> {
    ["pub struct ", "pub enum "].iter().find_map(|kind| line.strip_prefix(kind)).map(type_name)
}

/// The identifier at the beginning, with its `$` if it is the parameter of a macro.
fn type_name(text: &str) -> &str {
    let dollar = usize::from(text.starts_with('$'));
    &text[..dollar + identifier(&text[dollar..]).len()]
}
