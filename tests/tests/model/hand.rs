//! The hand-written programs about tasks that depend on each other, and about code that computes, with the outcomes that
//! the laws allow.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expect::Expect;
use super::program::Program;
use super::replay::{Setting, for_each, in_turn, run};
use super::show::show;

/// How many schedules each of them is run under.
const SCHEDULES: u64 = 96;

/// The output of `ref_model.py handvectors`.
const HAND: &str = include_str!("../../model/hand.jsonl");

fn find(name: &str) -> Value {
    let all = HAND.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    all.into_iter().find(|json| json["name"] == name).unwrap_or_else(|| panic!("there is no program `{name}`"))
}

/// Runs the program `name`: every schedule has to come out as the model says of it, or of one of the `others`.
pub(crate) fn holds(name: &str, others: &[&str]) {
    let names = [&[name], others].concat();
    let allowed: Vec<Expect> = names.iter().flat_map(|name| outcomes(&find(name))).collect();
    comes_out(name, &find(name)["program"], &allowed);
}

fn outcomes(json: &Value) -> Vec<Expect> {
    json["expect"].as_array().into_iter().flatten().map(Expect::from_json).collect()
}

/// Runs a program: every schedule has to come out in a way that is allowed.
fn comes_out(name: &str, json: &Value, allowed: &[Expect]) {
    let program = Program::read(json);
    in_turn(|| {
        let summary = for_each(0..SCHEDULES, |number, summary| {
            let run = run(&program, Setting::of(number));
            summary.add(&run);
            let differences: BTreeSet<_> = allowed.iter().map(|expect| expect.differences(&run.world)).collect();
            let mut text = run.world.broken.join("\n");
            if !differences.contains("") {
                text += &differences.into_iter().collect::<Vec<_>>().join("or\n");
            }
            if text.is_empty() { text } else { format!("{:?}\n{text}", Setting::of(number)) }
        });
        if !summary.failures.is_empty() {
            println!("{name}:\n{}", show(json));
        }
        summary.verdict(name, &[]);
    });
}

/// The programs in the file that `FOSTER_MODEL_FILE` names, as `ref_model.py judge` writes it.
#[test]
#[ignore = "replays programs of one's own"]
fn the_programs_of_a_file_come_out_as_the_model_says() {
    let path = std::env::var("FOSTER_MODEL_FILE").expect("FOSTER_MODEL_FILE names the file");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    for line in text.lines() {
        let json: Value = serde_json::from_str(line).expect("a line is JSON");
        comes_out(json["name"].as_str().unwrap_or("?"), &json["program"], &outcomes(&json));
    }
}

/// Programs that have one outcome.
macro_rules! programs {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            holds($name, &[]);
        }
    )*};
}

programs! {
    a_consumer_under_a_deadline_commits_nothing: "consumer/producer under a deadline, foster";
    a_consumer_of_a_foreign_channel_commits_nothing: "consumer/producer under a deadline, foreign";
    c1_a_request_from_a_branch_that_is_polled_later: "C1 request from a join branch polled after it, foster";
    c1_a_request_from_a_branch_that_is_polled_later_foreign: "C1 request from a join branch polled after it, foreign";
    c2_two_deadlines_in_one_instant: "C2 two deadlines in one instant, foster";
    c2_two_deadlines_in_one_instant_foreign: "C2 two deadlines in one instant, foreign";
    c3_an_operation_beside_an_inner_nursery: "C3 beside an inner nursery, foster";
    c3_an_operation_beside_an_inner_shield: "C3b beside an inner shield, foster";
    c4_an_operation_beside_a_timer_of_the_instant: "C4 woken by an unrelated timer of the instant, foster";
    c5_code_after_a_shield: "C5 after a shield: code goes on, foster";
    c5_code_after_a_shield_foreign: "C5 after a shield: code goes on, foreign";
    a_cancelled_worker_is_given_nothing: "workers: first cancelled then send, foster";
    a_cancelled_worker_is_given_nothing_foreign: "workers: first cancelled then send, foreign";
    a_release_that_waits_for_the_end_of_a_channel: "parent with a release: child cleanup waits for the close, foster";
    a_release_that_waits_for_the_end_of_a_channel_foreign: "parent with a release: child cleanup waits for the close, foreign";
    run_here_in_a_scope_that_is_cancelled_at_entry: "run_here in a scope cancelled at entry";
    run_here_then_entered: "run_here, then entered";
    an_operation_that_ends_at_the_deadline_has_ended: "deadline = end of the operation";
    a_child_that_ends_at_the_deadline_has_ended: "deadline = end of a child operation";
    a_daemon_that_waits_for_a_channel: "daemon that waits for a channel";
    f1_the_own_deadline_of_a_shield_in_cancelled_code: "F1 own deadline of a shield in cancelled code";
    a_release_in_cancelled_code: "bracket release";
    permits_go_to_the_waiters_in_order: "permits go to the waiters in order";
    one_who_needs_much_is_not_overtaken: "one who needs much is not overtaken";
    one_who_leaves_lets_those_behind_him_through: "one who leaves lets those behind him through";
    a_cancelled_waiter_for_a_permit_is_skipped: "a cancelled waiter for a permit is skipped";
    a_permit_that_comes_after_the_request_of_its_instant: "a permit that comes after the request of its instant";
    a_permit_that_comes_before_the_request_of_its_instant: "a permit that comes before the request of its instant";
    a_permit_is_not_taken_at_once_in_cancelled_code: "a permit is not taken at once in cancelled code";
    a_permit_that_was_given_to_a_dropped_waiter_goes_on: "a permit that was given to a dropped waiter goes on";
    a_dropped_holder_gives_its_permits_back: "a dropped holder gives its permits back";
    a_permit_is_held_until_the_shield_in_it_has_ended: "a permit is held until the shield in it has ended";
    a_notification_goes_to_the_longest_waiter: "a notification goes to the longest waiter";
    a_cancelled_waiter_is_not_notified: "a cancelled waiter is not notified";
    a_notification_before_the_request_of_its_instant: "a notification before the request of its instant";
    a_notification_of_a_dropped_waiter_goes_on: "a notification of a dropped waiter goes on";
    a_notification_of_one_who_waits_for_the_mutex_goes_on: "a notification of one who waits for the mutex goes on";
    a_mutex_that_was_given_to_a_dropped_waiter_goes_on: "a mutex that was given to a dropped waiter goes on";
    one_who_was_notified_waits_for_the_mutex: "one who was notified waits for the mutex";
    a_child_that_says_that_it_is_ready: "a child that says that it is ready";
    a_child_that_ends_without_a_word: "a child that ends without a word";
    the_caller_of_start_is_cancelled_before_the_child_is_ready: "the caller of start is cancelled before the child is ready";
    the_caller_of_start_is_cancelled_when_the_child_is_ready: "the caller of start is cancelled when the child is ready";
    the_caller_of_start_is_cancelled_in_the_instant_before_the_child_is_ready: "the caller of start is cancelled in the instant before the child is ready";
    the_caller_of_start_is_cancelled_in_the_instant_in_which_the_child_is_ready: "the caller of start is cancelled in the instant in which the child is ready";
    a_nursery_waits_for_a_start: "a nursery waits for a start";
    a_start_into_a_nursery_that_has_ended: "a start into a nursery that has ended";
    a_start_into_a_nursery_whose_children_are_cancelled: "a start into a nursery whose children are cancelled";
    the_error_of_a_child_that_was_ready: "the error of a child that was ready";
    a_caller_of_start_that_is_dropped: "a caller of start that is dropped";
    a_caller_of_start_that_is_dropped_when_the_child_is_ready: "a caller of start that is dropped when the child is ready";
    a_start_in_cancelled_code: "a start in cancelled code";
    the_end_of_a_sleep_that_foreign_code_is_quiet_about: "the end of a sleep that foreign code is quiet about";
    a_send_that_is_let_in_during_the_poll_in_which_it_is_cancelled: "a send that is let in during the poll in which it is cancelled";
    a_notification_during_the_poll_in_which_it_is_cancelled: "a notification during the poll in which it is cancelled";
    a_send_that_is_let_in_refused_and_then_cancelled: "a send that is let in, refused and then cancelled";
    a_send_that_is_let_in_cancelled_and_then_refused: "a send that is let in, cancelled and then refused";
    the_end_of_a_task_wakes_cancelled_code_that_awaits_it: "the end of a task wakes cancelled code that awaits it";
    a_wait_for_an_event_that_is_skipped_is_woken: "a wait for an event that is skipped is woken";
    a_wait_to_be_notified_that_is_skipped_is_woken: "a wait to be notified that is skipped is woken";
    a_receiver_that_is_skipped_is_woken: "a receiver that is skipped is woken";
    a_sender_that_is_skipped_is_woken: "a sender that is skipped is woken";
    local_the_end_of_a_child_that_is_dropped_in_place_is_no_news_for_cancelled_code: "local: the end of a child that is dropped in place is no news for cancelled code";
    local_the_end_of_a_child_that_a_reaper_closes_is_no_news_for_cancelled_code: "local: the end of a child that a reaper closes is no news for cancelled code";
    the_waker_of_a_child_that_has_ended_wakes_nobody: "the waker of a child that has ended wakes nobody";
    local_the_waker_of_a_child_that_has_ended_wakes_nobody: "local: the waker of a child that has ended wakes nobody";
    local_children_are_dropped_in_place_shields_too: "local: children are dropped in place, shields too";
    local_the_finalizer_of_a_dropped_child_is_waited_for: "local: the finalizer of a dropped child is waited for";
    local_the_thread_of_a_dropped_child_is_waited_for: "local: the thread of a dropped child is waited for";
    local_what_a_dropped_child_has_lost_before_is_waited_for: "local: what a dropped child has lost before is waited for";
    local_the_children_of_a_nursery_further_in_are_waited_for: "local: the children of a nursery further in are waited for";
    local_the_children_of_a_local_nursery_further_in_are_dropped: "local: the children of a local nursery further in are dropped";
    local_a_dropped_child_that_was_asked_to_stop_before: "local: a dropped child that was asked to stop before";
    local_a_dropped_child_that_has_failed_and_cleans_up: "local: a dropped child that has failed and cleans up";
    local_a_panic_in_the_finalizer_of_a_dropped_child: "local: a panic in the finalizer of a dropped child";
    local_no_child_is_taken_when_the_future_is_gone: "local: no child is taken when the future is gone";
    local_no_child_is_started_when_the_future_is_gone: "local: no child is started when the future is gone";
    local_children_stand_still_while_the_nursery_is_held: "local: children stand still while the nursery is held";
    local_a_held_nursery_counts_as_undriven_and_its_children_are_dropped: "local: a held nursery counts as undriven, and its children are dropped";
    local_children_are_forgotten_with_their_nursery: "local: children are forgotten with their nursery";
    local_a_finalizer_in_the_body_that_is_held_past_its_budget: "local: a finalizer in the body that is held past its budget";
    local_a_daemon_is_cancelled_when_only_it_is_left: "local: a daemon is cancelled when only it is left";
    local_an_error_of_a_child: "local: an error of a child";
    local_a_panic_of_a_child: "local: a panic of a child";
    local_a_cut_child_voids_the_value: "local: a cut child voids the value";
    local_a_child_that_was_cancelled_by_itself_voids_nothing: "local: a child that was cancelled by itself voids nothing";
    local_a_child_that_is_cancelled_before_its_first_poll: "local: a child that is cancelled before its first poll";
    local_a_later_error_goes_to_the_hook: "local: a later error goes to the hook";
    local_a_panic_of_the_body_waits_for_the_children: "local: a panic of the body waits for the children";
    local_all_errors_of_a_collecting_one: "local: all errors of a collecting one";
    local_a_child_that_spawns_while_the_nursery_waits_for_it: "local: a child that spawns while the nursery waits for it";
    local_locals_around_it_outlive_the_children: "local: locals around it outlive the children";
    local_a_shield_in_a_child_is_waited_for: "local: a shield in a child is waited for";
    local_deadline_end_of_a_child_operation: "local: deadline = end of a child operation";
    local_a_child_in_a_nursery_in_a_local_one: "local: a child in a nursery in a local one";
    a_release_that_goes_on_elsewhere_is_given_its_sleep: "a release that goes on elsewhere is given its sleep, by who polls only what was woken";
    a_release_that_goes_on_with_the_same_waker_is_given_its_sleep: "a release that goes on elsewhere is given its sleep, polled with the same waker";
    what_a_release_is_given_that_goes_on_elsewhere_is_not_for_the_task_of_before: "what a release is given that goes on elsewhere is not for the task of before";
    local_what_those_inside_give_one_another_is_no_news_for_the_code_around: "local: what those inside give one another is no news for the code around";
    local_what_is_given_to_the_body_counts_though_the_code_around_is_blocked: "local: what is given to the body counts, though the code around is blocked";
    local_what_is_given_to_a_scope_in_the_body_counts_though_the_code_around_is_blocked: "local: what is given to a scope in the body counts, though the code around is blocked";
    local_consumer_producer_under_a_deadline_foster: "local: consumer/producer under a deadline, foster";
    local_request_from_a_join_branch_polled_after_it_foster: "local: request from a join branch polled after it, foster";
    local_consumer_producer_under_a_deadline_foreign: "local: consumer/producer under a deadline, foreign";
    local_request_from_a_join_branch_polled_after_it_foreign: "local: request from a join branch polled after it, foreign";
    start_an_error_before_the_child_is_ready_comes_out: "start: an error before the child is ready comes out";
    start_it_does_not_touch_the_nursery: "start: it does not touch the nursery";
    start_the_child_cleans_up_before_the_error_comes_out: "start: the child cleans up before the error comes out";
    start_a_panic_before_the_child_is_ready_comes_out: "start: a panic before the child is ready comes out";
    start_the_error_of_a_child_whose_caller_is_cancelled: "start: the error of a child whose caller is cancelled";
    start_a_child_that_is_ready_behind_a_shield_when_its_caller_is_cancelled: "start: a child that is ready behind a shield, when its caller is cancelled";
    start_an_error_in_the_instant_in_which_the_caller_is_cancelled: "start: an error in the instant in which the caller is cancelled";
    start_the_error_of_a_child_whose_caller_is_dropped: "start: the error of a child whose caller is dropped";
    start_the_panic_of_a_child_whose_caller_is_dropped: "start: the panic of a child whose caller is dropped";
    start_the_nursery_waits_for_a_start_that_fails: "start: the nursery waits for a start that fails";
    start_the_finalizers_of_a_child_that_was_ready_run_as_its_own: "start: the finalizers of a child that was ready run as its own";
    start_no_word_and_something_to_clean_up: "start: no word, and something to clean up";
    start_what_a_child_has_lost_before_it_was_ready_goes_with_it: "start: what a child has lost before it was ready goes with it";
    start_a_child_into_a_nursery_that_has_ended_does_not_fail: "start: a child into a nursery that has ended does not fail";
    local_start_an_error_before_the_child_is_ready_comes_out: "local start: an error before the child is ready comes out";
    local_start_it_does_not_touch_the_nursery: "local start: it does not touch the nursery";
    local_start_the_child_cleans_up_before_the_error_comes_out: "local start: the child cleans up before the error comes out";
    local_start_a_panic_before_the_child_is_ready_comes_out: "local start: a panic before the child is ready comes out";
    local_start_the_error_of_a_child_whose_caller_is_cancelled: "local start: the error of a child whose caller is cancelled";
    local_start_a_child_that_is_ready_behind_a_shield_when_its_caller_is_cancelled: "local start: a child that is ready behind a shield, when its caller is cancelled";
    local_start_an_error_in_the_instant_in_which_the_caller_is_cancelled: "local start: an error in the instant in which the caller is cancelled";
    local_start_the_error_of_a_child_whose_caller_is_dropped: "local start: the error of a child whose caller is dropped";
    local_start_the_panic_of_a_child_whose_caller_is_dropped: "local start: the panic of a child whose caller is dropped";
    local_start_the_nursery_waits_for_a_start_that_fails: "local start: the nursery waits for a start that fails";
    local_start_the_finalizers_of_a_child_that_was_ready_run_as_its_own: "local start: the finalizers of a child that was ready run as its own";
    local_start_no_word_and_something_to_clean_up: "local start: no word, and something to clean up";
    local_start_what_a_child_has_lost_before_it_was_ready_goes_with_it: "local start: what a child has lost before it was ready goes with it";
    local_start_a_child_into_a_nursery_that_has_ended_does_not_fail: "local start: a child into a nursery that has ended does not fail";
    local_start_a_caller_that_is_dropped_before_the_child_is_ready: "local start: a caller that is dropped before the child is ready";
    local_start_a_child_that_was_ready_stays_when_its_caller_is_dropped_and_goes_with_its_nursery: "local start: a child that was ready stays when its caller is dropped, and goes with its nursery";
    local_start_a_child_that_says_that_it_is_ready: "local start: a child that says that it is ready";
    local_start_a_child_that_ends_without_a_word: "local start: a child that ends without a word";
    local_start_the_caller_of_start_is_cancelled_before_the_child_is_ready: "local start: the caller of start is cancelled before the child is ready";
    local_start_the_caller_of_start_is_cancelled_when_the_child_is_ready: "local start: the caller of start is cancelled when the child is ready";
    local_start_the_caller_of_start_is_cancelled_in_the_instant_before_the_child_is_ready: "local start: the caller of start is cancelled in the instant before the child is ready";
    local_start_the_caller_of_start_is_cancelled_in_the_instant_in_which_the_child_is_ready: "local start: the caller of start is cancelled in the instant in which the child is ready";
    local_start_a_nursery_waits_for_a_start: "local start: a nursery waits for a start";
    local_start_a_start_into_a_nursery_that_has_ended: "local start: a start into a nursery that has ended";
    local_start_a_start_into_a_nursery_whose_children_are_cancelled: "local start: a start into a nursery whose children are cancelled";
    local_start_a_caller_of_start_that_is_dropped: "local start: a caller of start that is dropped";
    local_start_a_caller_of_start_that_is_dropped_when_the_child_is_ready: "local start: a caller of start that is dropped when the child is ready";
    local_start_a_start_in_cancelled_code: "local start: a start in cancelled code";
    compute_a_branch_sleeps_past_its_deadline: "compute: a branch sleeps past its deadline";
    compute_a_branch_sleeps_until_before_its_deadline: "compute: a branch sleeps until before its deadline";
    compute_a_branch_sleeps_until_its_deadline: "compute: a branch sleeps until its deadline";
    compute_a_branch_sleeps_in_a_shield_past_the_deadline: "compute: a branch sleeps in a shield past the deadline";
    compute_a_branch_has_two_deadlines_the_inner_one_first: "compute: a branch has two deadlines, the inner one first";
    compute_a_branch_has_two_deadlines_the_outer_one_first: "compute: a branch has two deadlines, the outer one first";
    compute_a_branch_has_two_sleeps_one_before_and_one_after_its_deadline: "compute: a branch has two sleeps, one before and one after its deadline";
    compute_a_branch_sleeps_past_the_hard_time: "compute: a branch sleeps past the hard time";
    compute_a_branch_sleeps_until_before_the_hard_time: "compute: a branch sleeps until before the hard time";
    compute_a_branch_sleeps_until_the_hard_time: "compute: a branch sleeps until the hard time";
    compute_a_task_sleeps_past_its_deadline: "compute: a task sleeps past its deadline";
    compute_a_task_sleeps_until_before_its_deadline: "compute: a task sleeps until before its deadline";
    compute_a_task_sleeps_until_its_deadline: "compute: a task sleeps until its deadline";
    compute_a_task_sleeps_in_a_shield_past_the_deadline: "compute: a task sleeps in a shield past the deadline";
    compute_a_task_has_two_deadlines_the_inner_one_first: "compute: a task has two deadlines, the inner one first";
    compute_a_task_has_two_deadlines_the_outer_one_first: "compute: a task has two deadlines, the outer one first";
    compute_a_task_has_two_sleeps_one_before_and_one_after_its_deadline: "compute: a task has two sleeps, one before and one after its deadline";
    compute_a_task_sleeps_past_the_hard_time: "compute: a task sleeps past the hard time";
    compute_a_task_sleeps_until_before_the_hard_time: "compute: a task sleeps until before the hard time";
    compute_a_task_sleeps_until_the_hard_time: "compute: a task sleeps until the hard time";
    compute_a_finalizer_sleeps_past_its_budget: "compute: a finalizer sleeps past its budget";
    compute_a_finalizer_sleeps_within_its_budget: "compute: a finalizer sleeps within its budget";
    compute_a_finalizer_computes_past_its_budget: "compute: a finalizer computes past its budget";
    compute_a_deadline_is_moved_away_in_time: "compute: a deadline is moved away in time";
    compute_a_deadline_that_has_passed_is_not_moved: "compute: a deadline that has passed is not moved";
    compute_a_deadline_comes_nearer_while_others_are_due: "compute: a deadline comes nearer, while others are due";
    compute_what_is_given_after_the_deadline_is_not_for_its_code: "compute: what is given after the deadline is not for its code";
    compute_what_is_given_before_the_deadline_is_taken: "compute: what is given before the deadline is taken";
    compute_an_item_that_is_sent_after_the_deadline_of_the_receiver: "compute: an item that is sent after the deadline of the receiver";
    compute_code_finds_itself_cancelled_by_its_own_deadline: "compute: code finds itself cancelled by its own deadline";
    compute_code_in_a_shield_goes_on_after_the_deadline: "compute: code in a shield goes on after the deadline";
    compute_a_child_would_be_ready_after_the_deadline_of_its_caller: "compute: a child would be ready after the deadline of its caller";
    compute_a_child_of_a_local_nursery_sleeps_past_its_deadline: "compute: a child of a local nursery sleeps past its deadline";
    compute_the_grace_of_a_deadline_that_passed_unseen: "compute: the grace of a deadline that passed unseen";
    compute_a_hard_time_that_passed_unseen_comes_in_its_turn: "compute: a hard time that passed unseen comes in its turn";
}

/// C3, L15: an operation that is not foster's may complete in cancelled code beside an inner scope that has to be
/// driven through the same body. It need not.
#[test]
fn c3_a_foreign_operation_beside_an_inner_nursery_may_complete() {
    holds("C3 beside an inner nursery, foreign", &["C3 beside an inner nursery, foster"]);
}

/// C3 with a shield, L15: there no core can reach the inner scope but through the body.
#[test]
fn c3_a_foreign_operation_beside_an_inner_shield_may_complete() {
    holds("C3b beside an inner shield, foreign", &["C3b beside an inner shield, foster"]);
}

/// C4, L15: so may one whose task is woken in the instant of the request, for a reason that has nothing to do with it.
#[test]
fn c4_a_foreign_operation_beside_a_timer_of_the_instant_may_complete() {
    holds(
        "C4 woken by an unrelated timer of the instant, foreign",
        &["C4 woken by an unrelated timer of the instant, foster"],
    );
}

/// C6, L16: whether a scope that was woken, and not polled since, hands on a second wake-up.
#[test]
fn c6_a_second_wake_up_of_what_nobody_polls_may_be_handed_on() {
    holds("C6 a second wake-up of what nobody polls", &[]);
}
