//! Runs the programs on every adapter, and on several schedules of the simulator: each prints the same.

use std::process::Command;

/// The adapters that run on real threads, with a real clock and with sockets.
const REAL: [&str; 3] = ["smol", "tokio", "tokio-current-thread"];

#[track_caller]
fn prints(program: &str, expected: &str) {
    let simulated = (0..16).map(|seed| ("sim", seed));
    prints_on(REAL.map(|adapter| (adapter, 0)).into_iter().chain(simulated), program, expected);
}

#[track_caller]
fn prints_on(adapters: impl IntoIterator<Item = (&'static str, u64)>, program: &str, expected: &str) {
    for (adapter, seed) in adapters {
        let mut command = Command::new(program);
        let output = command.args(["--runtime", adapter]).env("FOSTER_SEED", seed.to_string()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert_eq!(printed, expected, "on {adapter}, seed {seed}, which says: {complaints}");
        assert_eq!(complaints, "", "on {adapter}, seed {seed}");
        assert!(output.status.success(), "on {adapter}, seed {seed}: {}", output.status);
    }
}

#[test]
fn hello_nursery_waits_for_all_children() {
    prints(
        env!("CARGO_BIN_EXE_01_hello_nursery"),
        "the body spawns three children\n\
         the late child ends\n\
         the nursery returns 8\n",
    );
}

#[test]
fn a_timeout_leaves_nothing_running() {
    prints(
        env!("CARGO_BIN_EXE_02_a_timeout_that_means_it"),
        "None, and 0 children are running\n\
         the cleanup was waited for: true\n\
         timed out\n",
    );
}

#[test]
fn a_failing_child_cancels_its_siblings_unless_errors_are_collected() {
    prints(
        env!("CARGO_BIN_EXE_03_when_a_child_fails"),
        "the sibling is dropped\n\
         fail-fast: invalid digit found in string\n\
         collected from \"\": cannot parse integer from empty string\n\
         collected from \"x\": invalid digit found in string\n\
         collected from \"y\": invalid digit found in string\n",
    );
}

#[test]
fn closing_well_commits_or_rolls_back_before_the_finalizers() {
    prints(
        env!("CARGO_BIN_EXE_04_closing_well"),
        "in time:\n  from: -10\n  to: +10\n  commit\n  shield: write the receipt\n  \
         finalizer: flush\n  finalizer: disconnect\n  Some(())\n\
         too late:\n  from: -10\n  roll back\n  \
         finalizer: flush\n  finalizer: disconnect\n  None\n",
    );
}

#[test]
fn children_of_a_local_nursery_borrow() {
    prints(env!("CARGO_BIN_EXE_05_local_nursery"), "[9, 0, 9]\nfailed: [\"b.example\"]\n");
}

#[test]
fn an_operation_of_your_own_gives_nothing_to_cancelled_code() {
    prints(
        env!("CARGO_BIN_EXE_09_an_operation_of_your_own"),
        "the answer: Some(42)\n\
         no answer in time: None\n\
         cancelled: not wanted any more\n\
         ann holds the baton\n\
         bob was cancelled: true\n\
         cat holds the baton\n\
         the baton is free: true\n",
    );
}

#[test]
fn an_echo_server_has_deadlines_and_stops_well() {
    prints(
        env!("CARGO_BIN_EXE_10_an_echo_server"),
        "ann hears \"hello\"\n\
         ann hears \"is anybody there?\"\n\
         bob says nothing, and hears \"too slow\"\n\
         ann is back, and hears \"hello\"\n\
         ann hears \"goodbye\"\n\
         the server has stopped\n",
    );
}

#[test]
fn a_chat_room_drops_who_does_not_read_and_closes_well() {
    // Not on the simulator: there a message takes no time, and nobody is too slow.
    prints_on(
        REAL.map(|adapter| (adapter, 0)),
        env!("CARGO_BIN_EXE_11_a_chat_room"),
        "ann hears \"* bob has joined\"\n\
         bob hears \"bob: hello\"\n\
         ann hears \"bob: hello\"\n\
         ann hears \"* bob has left\"\n\
         ann hears \"* carl has joined\"\n\
         carl does not read; ann hears \"* carl has left\"\n\
         ann hears \"* the room is closed\"\n\
         the server has stopped\n",
    );
}

#[test]
fn a_port_scanner_has_limits() {
    prints(
        env!("CARGO_BIN_EXE_12_a_port_scanner"),
        "mail: Says(\"220 mail.example is ready\")\n\
         silent: Silent\n\
         shell: Says(\"SSH-2.0-example\")\n\
         closed: 20 of 23\n\
         at most 4 at once\n\
         as fast as is allowed, and not faster: true\n",
    );
}

#[test]
fn a_proxy_passes_on_the_end_of_each_way_and_stops_well() {
    prints(
        env!("CARGO_BIN_EXE_13_a_proxy"),
        "through the proxy: \"hello\"\n\
         after the stop a client is refused\n\
         a transfer that has begun: \"having begun, i finish\"\n\
         one that does not end is cut: true\n\
         all ended in time: false\n",
    );
}

#[test]
fn a_name_server_is_asked_again_when_a_datagram_is_lost() {
    prints(
        env!("CARGO_BIN_EXE_14_a_name_server"),
        "router.example, attempt 1: timed out\n\
         router.example: [192.0.2.1]\n\
         nobody.example: []\n\
         router.example, attempt 1: timed out\n\
         router.example, attempt 2: timed out\n\
         router.example, attempt 3: timed out\n\
         a server that is silent: timed out\n\
         printer.example is at 127.0.0.1\n\
         nobody.example: cannot look up the host \"nobody.example\"\n",
    );
}

#[test]
fn a_build_tool_leaves_no_compiler() {
    prints(
        env!("CARGO_BIN_EXE_15_a_build_tool"),
        "built a.o b.o c.o\n\
         not built: `sh` has failed with exit status: 1, and the errors `bad.c:7: this is no type`\n\
         not built in time, and no compiler is left\n",
    );
}

#[test]
fn a_web_server_has_deadlines_and_completes_what_has_begun() {
    prints(
        env!("CARGO_BIN_EXE_17_a_web_server"),
        "ann writes: 201 Created, \"thank you\"\n\
         bob writes: 201 Created, \"thank you\"\n\
         the book says: 200 OK, \"hello, is anybody there?\"\n\
         a page that is too slow: 503 Service Unavailable, \"try again later\"\n\
         in progress at the stop: 200 OK, \"goodbye\", and the connection is closed\n\
         the server has stopped\n\
         a late client is refused: true\n",
    );
}

#[test]
fn together_waits_for_all_or_the_first_and_sorts_out_failures() {
    prints(
        env!("CARGO_BIN_EXE_together"),
        "nursery: 34\n\
         gather: [31, -3]\n\
         join: 31 degrees\n\
         fail fast: no city is called Utopia\n\
         race: -3\n\
         first_ok: 31\n\
         in time: [-3], all: false\n\
         as completed: Oslo -3\n\
         as completed: Cairo 31\n\
         map_concurrent: [1, 4, 9, 16, 25, 36, 49, 64, 81, 100]\n\
         at most 3 at once\n\
         settled: [Some(-3), None, Some(31)]\n\
         answers: [-3, 31], errors: [\"no city is called Utopia\"]\n\
         io error of Utopia: no city is called Utopia\n\
         other error of parser: invalid digit found in string\n\
         Oslo or else: -3\n\
         Atlantis or else: 15\n\
         Utopia or else: 15\n",
    );
}

#[test]
fn in_time_limits_retries_polls_and_throttles() {
    prints(
        env!("CARGO_BIN_EXE_in_time"),
        "fail_after: timed out\n\
         move_on_after: None\n\
         or a default: unknown\n\
         scope: Some(\"it is enough\")\n\
         more than 50 s left: true\n\
         attempt 1: connection refused\n\
         attempt 2: timed out\n\
         then: page\n\
         not worth it: entity not found\n\
         near a deadline: Ok(Err(\"refused\")), at once: true\n\
         log line 1\n\
         log line 2\n\
         log line 3\n\
         15 requests took 200 ms or more: true\n",
    );
}

#[test]
fn queues_end_when_their_producers_have_ended() {
    prints(
        env!("CARGO_BIN_EXE_queues"),
        "received 1\n\
         received 2\n\
         received 3\n\
         received 4\n\
         the channel is closed\n\
         sum of the squares: 2870\n\
         five jobs were done, the workers are sent home\n\
         semaphore: at most 3 of 20\n\
         limiter: 1 of 2, held by [Borrower(\"the backup\")]\n\
         bought three, 0 are left\n\
         the latest price: 12\n",
    );
}

#[test]
fn streams_fetch_what_is_read_and_lose_nothing() {
    prints(
        env!("CARGO_BIN_EXE_streams"),
        "fetches page 1\n\
         fetches page 2\n\
         three even rows: [12, 14, 22]\n\
         fetches page 1\n\
         fetches page 2\n\
         fetches page 3\n\
         12 rows\n\
         batch [1, 2, 3]\n\
         batch [4, 5, 6]\n\
         batch [7]\n\
         batch [8]\n\
         [\"simple streams are.\", \"so it is.\", \"…\"]\n\
         at most 2 sessions at once, 0 are open\n\
         merged: 100\n\
         throttled: [0, 1, 2, 3], 30 ms or more: true\n",
    );
}

#[test]
fn threads_are_waited_for_and_can_be_asked_to_stop() {
    prints(
        env!("CARGO_BIN_EXE_threads"),
        "the manifest names the package: true\n\
         primes: [4, 25, 168]\n\
         sum: 49995000\n\
         stopped by the deadline: None\n\
         not even started: None\n\
         looked up: Ok(6)\n",
    );
}

#[test]
fn the_ledger_balances_after_transfers_were_cancelled_half_way() {
    prints(
        env!("CARGO_BIN_EXE_ledger"),
        "opened: 1050 rows in 6 transactions\n\
         opened again: 1050 rows in 6 transactions\n\
         read: 1050 accounts, sum 105000\n\
         in time: Ok(())\n\
         too much: CHECK constraint failed: balance >= 0\n\
         too late: None\n\
         balances: [70, 130], sum: 105000\n\
         storm: 25 done, 25 cut off\n\
         balances: [90, 80, 120, 110], sum: 105000\n\
         connections: 0 in use, at most 4 idle: true\n\
         closed: 0 uses cut off\n\
         removed: true\n",
    );
}

#[test]
fn the_service_tells_what_fails_lives_and_holds_up_others() {
    prints(
        env!("CARGO_BIN_EXE_service"),
        "mail is done\n\
         mail has ended\n\
         audit has ended\n\
         audit has failed: the disk is full\n\
         alive: metrics\n\
         the service ends\n\
         metrics has ended\n\
         feed begins life 1\n\
         feed begins life 2\n\
         feed begins life 3\n\
         held up the others: careless\n",
    );
}

#[test]
fn an_unknown_adapter_is_refused_with_the_list_of_adapters() {
    for (arguments, complaint) in [
        (&["--runtime", "trio"][..], "there is no adapter `trio`: use smol, tokio, tokio-current-thread or sim"),
        (&["--runtime"][..], "missing argument for option '--runtime'"),
        (&["fast"][..], "unexpected argument \"fast\""),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_01_hello_nursery")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(complaint), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
