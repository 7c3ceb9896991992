//! Things that have to do with time: limits and what to do at them, retries, polling, and not too much in a period.
//!
//! ```text
//!   fail_after     ─ body ──╳ Err(Elapsed)        retry          ─ Err ··· Err ······ Ok ▶
//!   move_on_after  ─ body ──╳ None                interval       ─ tick ─── tick ─── tick ─
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin in_time -- --runtime smol` (or `tokio`, or `sim`).

use std::io::{self, ErrorKind};
use std::time::Duration;

use foster::combine::{for_each_concurrent, produce};
use foster::rate::RateLimiter;
use foster::retry::{Backoff, retry};
use foster::{CancelScope, Instant, fail_after, fail_at, interval, move_on_after, remaining, sleep, sleep_forever};

fn main() -> io::Result<()> {
    foster_examples::run(async {
        limits().await?;
        again().await?;
        log_entries().await;
        not_too_many().await;
        Ok(())
    })
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An error at the limit, or a value; for a part, or for all that is left to do.
async fn limits() -> io::Result<()> {
    // `Elapsed` is an `io::Error` of kind `TimedOut`, so `?` is enough.
    fail_after(Duration::from_secs(30), sleep(ms(1))).await?;
    let late = fail_after(ms(20), sleep_forever()).await.map_err(io::Error::from).unwrap_err();
    println!("fail_after: {}", late.kind());
    println!("move_on_after: {:?}", move_on_after(ms(20), sleep_forever()).await);
    println!("or a default: {}", move_on_after(ms(20), slow_answer()).await.unwrap_or("unknown"));
    // A scope with a handle: its deadline can be moved while it runs, and it says why it was cancelled.
    let mut scope = CancelScope::new().named("download").deadline_after(Duration::from_secs(10));
    let progress = scope.handle();
    let outcome = scope.run(async {
        for _part in 0..3 {
            sleep(ms(5)).await;
            progress.set_deadline(Instant::now() + Duration::from_secs(60)); // something came: it lives
        }
        progress.cancel("it is enough");
        sleep_forever().await
    });
    println!("scope: {:?}", outcome.await.unwrap_err().reason().text());
    // The deadlines of all that is around hold inside, and the code can ask what is left of them.
    let budget = Instant::now() + Duration::from_secs(60);
    let left = fail_at(budget, async { remaining().is_some_and(|left| left > Duration::from_secs(50)) }).await?;
    println!("more than 50 s left: {left}");
    Ok(())
}

async fn slow_answer() -> &'static str {
    sleep_forever().await;
    "42"
}

/// Tries again what may be worth it, with pauses that grow and are spread; stops early when the deadline around is near.
async fn again() -> io::Result<()> {
    let mut answers = [Err(ErrorKind::ConnectionRefused), Err(ErrorKind::TimedOut), Ok("page")].into_iter();
    let page = retry(Backoff::new().base(ms(1)), || {
        let answer = answers.next().expect("the third try answers");
        async move { Ok::<_, io::Error>(answer?) }
    })
    .attempts(5)
    .attempt_timeout(Duration::from_secs(10))
    .when(|error| error.kind() != ErrorKind::NotFound)
    .observe(|failure| println!("attempt {}: {}", failure.attempt, failure.error))
    .await?;
    println!("then: {page}");
    let hopeless = retry(Backoff::new(), async || Err::<(), _>(io::Error::from(ErrorKind::NotFound)))
        .when(|error| error.kind() != ErrorKind::NotFound);
    println!("not worth it: {}", hopeless.await.unwrap_err());
    // It does not sleep past a deadline, however far out: the last error comes back, and at once.
    let start = Instant::now();
    let refused = retry([Duration::from_secs(3600)], async || Err::<(), _>("refused"));
    let outcome = fail_after(Duration::from_secs(60), refused).await;
    println!("near a deadline: {outcome:?}, at once: {}", start.elapsed() < Duration::from_secs(30));
    Ok(())
}

/// Looks at a source again and again, and yields what is new: a stream.
async fn log_entries() {
    let mut entries = produce(async |mut out| {
        let (mut ticks, mut seen) = (interval(ms(10)), 0);
        loop {
            ticks.tick().await;
            let log = log_so_far(seen);
            for entry in &log[seen..] {
                out.emit(entry.clone()).await;
            }
            seen = log.len();
        }
    });
    for _ in 0..3 {
        println!("{}", entries.next().await.expect("it goes on for ever"));
    }
    entries.close().await;
}

/// The log grows by two lines between two looks.
fn log_so_far(seen: usize) -> Vec<String> {
    (1..=seen + 2).map(|line| format!("log line {line}")).collect()
}

/// At most five in 100 ms: the first five at once, the other ten need 200 ms.
async fn not_too_many() {
    let limit = RateLimiter::new(5, ms(100));
    let start = Instant::now();
    for_each_concurrent(100, 0..15, async |_| limit.acquire().await).await;
    println!("15 requests took 200 ms or more: {}", start.elapsed() >= ms(200));
}
