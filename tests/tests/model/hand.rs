//! The hand-written programs about tasks that depend on each other, with the outcomes that the laws allow.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expect::Expect;
use super::program::Program;
use super::replay::{Setting, for_each, in_turn, run};
use super::show::show;

/// How many schedules each of them is run under.
const SCHEDULES: u64 = 96;

/// What `ref_model.py handvectors` printed.
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
    a_cancelled_waiter_for_a_permit_is_passed_over: "a cancelled waiter for a permit is passed over";
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
}

/// C3, L15: an operation that is not foster's may complete in cancelled code beside an inner scope that has to be driven through
/// the same body. It need not.
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
