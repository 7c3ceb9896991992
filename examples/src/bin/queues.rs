//! Producers and consumers: a channel between them, workers on a queue, and what guards what they share.
//!
//! ```text
//!   producer ──┐          ┌──▶ worker ─┐
//!   producer ──┴▶ ▒▒▒▒▒ ──┼──▶ worker ─┼──▶ results         closed, when the last producer has ended;
//!                         └──▶ worker ─┘                    then the workers end, then the results
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin queues -- --runtime smol` (or `tokio`, or `sim`).

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::channel::{SendError, bounded, watch};
use foster::combine::for_each_concurrent;
use foster::sync::{CapacityLimiter, Condition, Event, Mutex, Semaphore};
use foster::{Nursery, nursery, sleep, yield_now};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    foster_examples::run(async {
        producer_and_consumer().await?;
        workers().await?;
        workers_that_are_kept().await?;
        so_many_at_once().await;
        what_is_shared().await?;
        Ok(())
    })
}

/// The producer is never more than two ahead. When it has ended, the channel is closed, and so ends the loop of the consumer.
async fn producer_and_consumer() -> Outcome {
    let (sender, receiver) = bounded(2);
    nursery(async |n: Nursery<SendError<u32>>| {
        n.spawn(async move {
            for number in 1..=4 {
                sender.send(number).await?;
            }
            Ok(())
        });
        while let Ok(number) = receiver.recv().await {
            println!("received {number}");
        }
        Ok(())
    })
    .await?;
    println!("the channel is closed");
    Ok(())
}

/// Three workers on one queue. Nobody counts jobs or sends a sentinel: closing is enough.
async fn workers() -> Outcome {
    let (jobs, queue) = bounded(10);
    let (results, finished) = bounded(10);
    let squares = nursery(async |n: Nursery<Box<dyn Error + Send + Sync>>| {
        for _worker in 0..3 {
            let (queue, results) = (queue.clone(), results.clone());
            n.spawn(async move {
                while let Ok(job) = queue.recv().await {
                    results.send(job * job).await?;
                }
                Ok(())
            });
        }
        drop(results); // the workers have theirs
        n.spawn(async move {
            for job in 1..=20_u32 {
                jobs.send(job).await?;
            }
            Ok(())
        });
        let mut sum = 0;
        while let Ok(square) = finished.recv().await {
            sum += square;
        }
        Ok(sum)
    });
    println!("sum of the squares: {}", squares.await?);
    Ok(())
}

/// Workers for as long as there is something to do elsewhere. They are daemons: when all else has ended they are cancelled.
async fn workers_that_are_kept() -> Outcome {
    let (jobs, queue) = bounded::<Arc<Event>>(10);
    nursery(async |n: Nursery<SendError<Arc<Event>>>| {
        for number in 0..3 {
            let queue = queue.clone();
            n.child().named(format!("worker {number}")).daemon().spawn(async move {
                while let Ok(done) = queue.recv().await {
                    done.set();
                }
            });
        }
        for _job in 0..5 {
            let done = Arc::new(Event::new());
            jobs.send(done.clone()).await?;
            done.wait().await;
        }
        println!("five jobs were done, the workers are sent home");
        Ok(())
    })
    .await?;
    Ok(())
}

/// A semaphore around each use; a limiter that also knows who has its permits, and can be resized.
async fn so_many_at_once() {
    let semaphore = Semaphore::new(3);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_each_concurrent(100, 0..20, async |_| {
        let _permit = semaphore.acquire().await;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        yield_now().await;
        now.fetch_sub(1, Ordering::SeqCst);
    })
    .await;
    println!("semaphore: at most {} of 20", most.into_inner());

    let limiter = CapacityLimiter::new(5);
    let _held = limiter.acquire_on_behalf_of("the backup").await;
    limiter.set_total(2);
    let statistics = limiter.statistics();
    let holders = statistics.holders.into_iter().filter_map(|holder| holder.borrower).collect::<Vec<_>>();
    println!("limiter: {} of {}, held by {holders:?}", statistics.borrowed, statistics.total);
}

/// A lock and a condition, an event, and the latest value for whoever wants it.
async fn what_is_shared() -> Outcome {
    let stock = Arc::new((Mutex::new(0), Condition::new()));
    let opened = Arc::new(Event::new());
    let (price, mut prices) = watch(10);
    nursery(async |n: Nursery| {
        let (shelf, door) = (stock.clone(), opened.clone());
        n.spawn(async move {
            door.wait().await;
            let (count, filled) = &*shelf;
            let mut count = filled.wait_for(count.lock().await, |count| *count >= 3).await;
            *count -= 3;
            println!("bought three, {count} are left");
        });
        opened.set();
        for _delivery in 0..3 {
            let (count, filled) = &*stock;
            let mut count = count.lock().await;
            *count += 1;
            filled.notify_all(&count);
        }
        n.spawn(async move {
            sleep(Duration::from_millis(5)).await;
            for new in [11, 12] {
                price.send(new).expect("somebody looks at it");
            }
        });
    })
    .await?;
    println!("the latest price: {}", prices.recv().await?);
    Ok(())
}
