//! Behaviours: programs that once lost something, ran on although they were cancelled, starved, or never ended.
//!
//! Most of them repeat one small situation in [rounds](rounds::rounds), because only some schedules show the fault. On
//! the simulator the seeds choose the schedules, so a few rounds do. Each runs under an [alarm](alarm::ends) that turns
//! a hang into a failure.
//!
//! On threads a usual run has few rounds. A release has ten thousand of each program, and says how long they took:
//!
//! ```text
//! FOSTER_ROUNDS=10000 cargo test -p foster-conformance --test smol --test tokio_current_thread --test tokio_multi_thread --test real \
//!     -- --nocapture seen::
//! ```

pub(crate) mod alarm;
mod commits;
mod edges;
mod gifts;
mod held;
mod losers;
pub(crate) mod rounds;
mod starving;
mod timers;
mod unpolled;

pub use alarm::ends;
pub use commits::*;
pub use edges::*;
pub use gifts::*;
pub use held::*;
pub use losers::*;
pub use rounds::{real_rounds, rounds};
pub use starving::*;
pub use timers::*;
pub use unpolled::*;

use foster::yield_now;

/// Gives way until the condition holds.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        yield_now().await;
    }
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! seen_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; seen {
            short_sleeps_under_short_deadlines_end,
            a_sleep_survives_the_drop_of_another,
            sleeps_that_are_dropped_take_no_other_along,
            sleeps_that_cancelled_code_has_missed_end_in_other_code,
            partial_work_of_a_bounded_channel_is_never_committed,
            partial_work_of_an_unbounded_channel_is_never_committed,
            partial_work_of_a_rendezvous_is_never_committed,
            children_that_are_cancelled_together_commit_nothing,
            daemons_that_are_dismissed_commit_nothing,
            scopes_that_are_cancelled_together_commit_nothing,
            losers_that_are_stopped_together_commit_nothing,
            nothing_is_committed_at_the_hard_time,
            a_failed_join_is_never_taken_for_a_result,
            what_is_sent_after_a_cancel_goes_to_the_next_receiver,
            what_is_handed_over_after_a_cancel_goes_to_the_next_receiver,
            the_message_of_a_cancelled_sender_is_skipped,
            the_rendezvous_of_a_cancelled_sender_is_skipped,
            a_oneshot_gives_nothing_to_a_cancelled_receiver,
            what_is_sent_after_a_cancel_is_not_found,
            what_was_taken_from_a_held_sender_was_sent,
            what_was_handed_over_by_a_held_sender_was_sent,
            a_permit_goes_past_a_cancelled_waiter,
            a_notification_goes_past_a_cancelled_waiter,
            an_event_wakes_all_but_the_cancelled,
            a_mutex_goes_past_a_cancelled_waiter,
            a_write_lock_goes_past_a_cancelled_waiter,
            a_race_loses_nothing_that_the_loser_was_given,
            a_race_of_a_list_loses_nothing_that_the_loser_was_given,
            a_join_that_fails_loses_nothing_that_another_branch_was_given,
            a_race_that_is_cancelled_loses_nothing_that_the_winner_was_given,
            a_limit_around_a_race_loses_nothing_that_the_winner_was_given,
            a_scope_cancelled_before_it_is_entered_ends_with_a_stream_held_unpolled,
            a_scope_cancelled_before_it_is_entered_ends_with_a_producer_held_unpolled,
            a_scope_cancelled_before_it_is_entered_ends_with_a_placed_scope_held_unpolled,
            a_channel_that_is_always_ready_stops_no_timer_beside_it,
            checkpoints_stop_no_timer_beside_them,
            a_mutex_that_is_always_free_stops_no_timer_beside_it,
            a_waker_that_panics_loses_nobody_elses_cancellation,
            a_parked_scope_that_healthy_code_shares_panics,
            a_scope_that_has_escaped_and_is_dropped_holds_up_nobody,
            the_length_of_a_nursery_is_known_without_counting,
        });
    };
}
