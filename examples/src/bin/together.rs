//! Things that go on at the same time: all of them, the first of them, as they come, so many at a time; and when some fail.
//!
//! ```text
//!   nursery, gather   ─┬─▶┄┄┐          race, first_ok  ─┬─▶ first        map_concurrent(2, …)  ─┬─ 1 ─▶─ 3 ─▶┄┄┐
//!                      └────┴▶ all                      └───╳                                   └─ 2 ──▶─ 4 ───┴▶
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin together -- --runtime smol` (or `tokio`, or `sim`).

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::combine::{as_completed, first_ok, gather, gather_results, join, map_concurrent, partition_results, race};
use foster::error::ErrorGroup;
use foster::{Nursery, NurseryOptions, fail_after, move_on_after, nursery, sleep, sleep_forever, yield_now};

fn main() -> io::Result<()> {
    foster_examples::run(async {
        all().await?;
        the_first().await?;
        as_they_come().await;
        so_many_at_a_time().await?;
        when_some_fail().await;
        or_something_else().await;
        Ok(())
    })
}

/// The temperature there. Oslo answers at once, Cairo soon, Atlantis never.
async fn ask(city: &'static str) -> io::Result<i32> {
    match city {
        "Oslo" => Ok(-3),
        "Cairo" => {
            sleep(Duration::from_millis(50)).await;
            Ok(31)
        }
        "Atlantis" => match sleep_forever().await {},
        _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("no city is called {city}"))),
    }
}

/// Wait for all. An error cancels the others; they have ended when it comes back.
async fn all() -> io::Result<()> {
    // Children run in parallel, from the spawn on. The handle is for their value.
    let difference = nursery(async |n| {
        let (oslo, cairo) = (n.spawn(ask("Oslo")), n.spawn(ask("Cairo")));
        io::Result::Ok(cairo.await? - oslo.await?)
    });
    println!("nursery: {}", difference.await?);
    // These take turns in one task, and may borrow: of one type, in the order of the input; or of several types.
    println!("gather: {:?}", gather(["Cairo", "Oslo"].map(ask)).await?);
    let (cairo, word) = join((ask("Cairo"), async { "degrees" })).await;
    println!("join: {} {word}", cairo?);
    let failed = gather(["Atlantis", "Utopia"].map(ask)).await.unwrap_err();
    println!("fail fast: {failed}");
    Ok(())
}

/// Take the first, or those that are there in time. The others are cancelled, and have cleaned up.
async fn the_first() -> io::Result<()> {
    println!("race: {}", race((ask("Atlantis"), ask("Oslo"))).await?);
    let answer = first_ok(["Utopia", "Atlantis", "Cairo"].map(ask)).await;
    println!("first_ok: {}", answer.expect("Cairo answers"));
    // Answers that came before the deadline stay.
    let mut known = Vec::new();
    let in_time = move_on_after(Duration::from_millis(100), async {
        let mut answers = as_completed(["Atlantis", "Oslo"].map(ask));
        while let Some(answer) = answers.next().await {
            known.extend(answer);
        }
    });
    let all = in_time.await.is_some();
    println!("in time: {known:?}, all: {all}");
    Ok(())
}

/// Whoever is ready is next; `indexed` says which input it was.
async fn as_they_come() {
    let cities = ["Cairo", "Oslo"];
    let mut answers = as_completed(cities.map(ask)).indexed();
    while let Some((index, answer)) = answers.next().await {
        println!("as completed: {} {}", cities[index], answer.expect("both answer"));
    }
}

/// At most three at once, and the values in the order of the inputs.
async fn so_many_at_a_time() -> io::Result<()> {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let squares = map_concurrent(3, 1..=10, async |number: u32| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        yield_now().await;
        now.fetch_sub(1, Ordering::SeqCst);
        io::Result::Ok(number * number)
    });
    println!("map_concurrent: {:?}", squares.await?);
    println!("at most {} at once", most.into_inner());
    Ok(())
}

/// Go on when some fail, and sort it out later.
async fn when_some_fail() {
    // Each result, in the order of the input; failures become `None` here.
    let settled = gather_results(["Oslo", "Utopia", "Cairo"].map(ask)).await;
    println!("settled: {:?}", settled.iter().map(|result| result.as_ref().ok()).collect::<Vec<_>>());
    let (answers, errors) = partition_results(settled);
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    println!("answers: {answers:?}, errors: {errors:?}");
    // All errors as one group, with the child that each comes from; then by type.
    let failed = NurseryOptions::new().collect_errors().run(async |n: Nursery<Box<dyn Error + Send + Sync>>| {
        for city in ["Oslo", "Utopia"] {
            n.child().named(city).spawn(async move { Ok(ask(city).await?) });
        }
        n.child().named("parser").spawn(async { Ok("31 °C".parse::<i32>()?) });
        Ok(())
    });
    let (unknown, others) = failed.await.unwrap_err().split_type::<io::Error>();
    for (what, group) in [("io", unknown), ("other", others)] {
        for member in group.into_iter().flat_map(ErrorGroup::into_iter) {
            println!("{what} error of {}: {}", member.child.expect("no body fails").name(), member.error);
        }
    }
}

/// Degrade: the primary; if it fails or is too slow, the fallback.
async fn or_something_else() {
    for city in ["Oslo", "Atlantis", "Utopia"] {
        let live = fail_after(Duration::from_millis(20), ask(city)).flatten().await;
        let degrees = live.unwrap_or(15); // what the almanac says
        println!("{city} or else: {degrees}");
    }
}
