//! Lesson 8: a check-then-act race on a cache. The simulator finds it, says from which seed, and runs it again.
//!
//! ```text
//!   reader  ── cache? no ── reads 10 ───────────────────────── puts 10 ──▶ the cache stays wrong
//!   writer  ───────────────────────── writes 20 ── clears ──▶
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 08_a_stale_cache -- --version broken` (or `mended`). It is what
//! `#[foster::test(sim, seeds = 1000)]` makes of a test, and fails as a test does. `FOSTER_SEED=… cargo run …`, as the
//! failure says, repeats it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foster::{Nursery, nursery, to_thread};
use foster_examples::Version;
use foster_sim::note;

fn main() {
    let version = Version::chosen();
    foster_sim::test("the_cache_is_right", 1_000, || prices(version));
    println!("the cache was right");
}

async fn prices(version: Version) {
    let shop = Arc::new(Shop::new(version));
    let (reader, writer) = (shop.clone(), shop.clone());
    let Ok(()) = nursery(async |n: Nursery| {
        n.child().named("reader").spawn(async move {
            reader.price().await;
        });
        n.child().named("writer").spawn(async move { writer.set_price(20).await });
    })
    .await;
    assert_eq!(shop.price().await, 20, "the cache has an old price");
}

struct Shop {
    /// Stands for a database, which is asked on a thread.
    database: Arc<AtomicU32>,
    cache: Mutex<Cache>,
    version: Version,
}

#[derive(Default)]
struct Cache {
    price: Option<u32>,
    /// How often the cache was cleared.
    cleared: u64,
}

impl Shop {
    fn new(version: Version) -> Self {
        Shop { database: Arc::new(AtomicU32::new(10)), cache: Mutex::default(), version }
    }

    async fn price(&self) -> u32 {
        // Check …
        let (cached, cleared) = self.with_cache(|cache| (cache.price, cache.cleared));
        if let Some(price) = cached {
            return price;
        }
        let database = self.database.clone();
        let price = to_thread(move || database.load(Ordering::SeqCst)).await;
        // … then act, on what may not be true any more.
        self.with_cache(|cache| {
            if self.version == Version::Broken || cache.cleared == cleared {
                note(format_args!("puts {price} into the cache"));
                cache.price = Some(price);
            }
        });
        price
    }

    async fn set_price(&self, price: u32) {
        let database = self.database.clone();
        to_thread(move || database.store(price, Ordering::SeqCst)).await;
        self.with_cache(|cache| {
            note("clears the cache");
            cache.price = None;
            cache.cleared += 1;
        });
    }

    fn with_cache<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
