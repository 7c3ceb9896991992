//! Lesson 6: tests in virtual time, a deadlock that is a message, and a bug that only some schedules show.
//!
//! Run it with `cargo run -p foster-examples --bin 06_testing_in_no_time`, and its tests with `cargo test` instead of
//! `cargo run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foster::sync::Event;
use foster::{Nursery, move_on_after, nursery, sleep, to_thread};
use foster_sim::{Builder, explore, note};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits a day for the answer; reminds after half of it.
async fn ask(answer: impl Future<Output = bool>) -> Option<bool> {
    let asking = nursery(async |n: Nursery| {
        n.child().named("reminder").daemon().spawn(async {
            sleep(12 * HOUR).await;
            note("reminds");
        });
        Ok(answer.await)
    });
    move_on_after(24 * HOUR, asking).await.map(|Ok(answer)| answer)
}

#[foster::test(sim)]
async fn an_answer_after_twenty_hours_ends_the_wait() {
    let start = foster::Instant::now();
    let late = async {
        sleep(20 * HOUR).await;
        true
    };
    assert_eq!(ask(late).await, Some(true));
    assert_eq!(start.elapsed(), 20 * HOUR); // exactly
}

/// Each of the two waits for the other.
async fn two_who_wait() {
    let (ready, steady) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let Ok(()) = nursery(async |n: Nursery| {
        let (mine, other) = (ready.clone(), steady.clone());
        n.child().named("Ada").spawn(async move {
            other.wait().await;
            mine.set();
        });
        n.child().named("Grace").spawn(async move {
            ready.wait().await;
            steady.set();
        });
    })
    .await;
}

/// Two buyers, one seat. Grace asks for the price first.
async fn last_seat() {
    let (seats, sold) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicU32::new(0)));
    let Ok(()) = nursery(async |n: Nursery| {
        for (name, asks) in [("Ada", false), ("Grace", true)] {
            let (seats, sold) = (seats.clone(), sold.clone());
            n.child().named(name).spawn(async move {
                if asks {
                    to_thread(|| note("40, please")).await;
                }
                if seats.load(Ordering::SeqCst) > 0 {
                    to_thread(move || note(format_args!("{name} pays"))).await;
                    seats.store(0, Ordering::SeqCst);
                    sold.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    })
    .await;
    assert_eq!(sold.load(Ordering::SeqCst), 1, "seats sold");
}

fn main() {
    println!("# A day");
    let run = Builder::new(0).record_trace().observe(ask(std::future::pending()));
    println!("{:?} after {:?}\n{}", run.outcome.unwrap(), run.elapsed, run.trace);

    println!("# A deadlock");
    let failure = explore(0..1, two_who_wait).failure.expect("nobody begins");
    println!("{}\n", failure.message);

    println!("# A thousand schedules");
    println!("{}", explore(0..1000, last_seat));
}
