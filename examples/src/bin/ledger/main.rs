//! Books that balance: a real SQLite file, a pool of connections, bulk upserts, readers with a limit, and transfers that are
//! cancelled half-way.
//!
//! ```text
//!   in time    BEGIN ─▶ debit ─▶ approval ─▶ credit ─▶ COMMIT ─────────────▶ back to the pool
//!   too late   BEGIN ─▶ debit ─▶ approval ──╳ ───────────────▶ ROLLBACK ───▶ back to the pool
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin ledger -- --runtime smol` (or `tokio`, or `sim`).

mod database;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use database::{Database, Result};
use foster::combine::{batch, gather, map_concurrent, produce};
use foster::{Nursery, bracket, move_on_after, nursery, sleep, sleep_forever, to_thread};

const ACCOUNTS: u32 = 1050;

fn main() -> Result<()> {
    foster_examples::run(async {
        // The directory is removed on every path, when the last connection is closed.
        let path = bracket(
            to_thread(scratch),
            async |directory| {
                let database = Database::new(directory.join("ledger.db"));
                let kept = keep(&database).await;
                let cut = database.close().await;
                println!("closed: {cut} uses cut off");
                kept.map(|()| directory.clone())
            },
            |directory, _exit| to_thread(move || std::fs::remove_dir_all(directory)),
        )
        .await?;
        println!("removed: {}", !path.exists());
        Ok(())
    })
}

/// A directory for this process alone.
fn scratch() -> PathBuf {
    let path = std::env::temp_dir().join(format!("foster-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a temporary directory");
    path
}

async fn keep(database: &Database) -> Result<()> {
    open_accounts(database).await?;
    read_all(database).await?;
    println!("in time: {:?}", transfer(database, 1, 2, 30, Approval::At(Duration::ZERO)).await);
    println!("too much: {}", transfer(database, 1, 2, 5000, Approval::At(Duration::ZERO)).await.unwrap_err());
    let late = transfer(database, 1, 2, 30, Approval::Never);
    println!("too late: {:?}", move_on_after(Duration::from_millis(50), late).await);
    println!("balances: {:?}, sum: {}", balances(database, 1..3).await?, sum(database).await?);
    storm(database).await?;
    println!("balances: {:?}, sum: {}", balances(database, 0..4).await?, sum(database).await?);
    let statistics = database.statistics();
    println!("connections: {} in use, at most 4 idle: {}", statistics.in_use, statistics.idle <= 4);
    Ok(())
}

/// Bulk upsert: rows come one by one, and are written two hundred at a time, in one transaction each.
async fn open_accounts(database: &Database) -> Result<()> {
    let table = "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER CHECK (balance >= 0))";
    database.transaction(async |session| Ok(session.with_mut(|c| c.execute_batch(table)).await?)).await?;
    for opening in ["opened", "opened again"] {
        let rows = produce(async |mut out| {
            for id in 0..ACCOUNTS {
                out.emit((id, 100)).await;
            }
        });
        let mut batches = batch(rows, 200, Duration::from_millis(500));
        let (mut written, mut transactions) = (0, 0);
        while let Some(rows) = batches.next().await {
            written +=
                database.transaction(async |session| Ok(session.with_mut(move |c| upsert(c, &rows)).await?)).await?;
            transactions += 1;
        }
        println!("{opening}: {written} rows in {transactions} transactions");
    }
    Ok(())
}

fn upsert(connection: &rusqlite::Connection, rows: &[(u32, i64)]) -> rusqlite::Result<usize> {
    let sql = "INSERT INTO account VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET balance = excluded.balance";
    let mut statement = connection.prepare_cached(sql)?;
    rows.iter().map(|row| statement.execute(*row)).sum()
}

/// Twenty readers, eight at a time, on the connections of the pool.
async fn read_all(database: &Database) -> Result<()> {
    let pages = (0..20).map(|page| page * 53..(page + 1) * 53);
    let pages = map_concurrent(8, pages, |ids| balances(database, ids)).await?;
    let read = pages.concat();
    println!("read: {} accounts, sum {}", read.len(), read.iter().sum::<i64>());
    Ok(())
}

/// When the second half of a transfer may be done.
#[derive(Clone, Copy)]
enum Approval {
    At(Duration),
    Never,
}

/// Both updates or none, whatever happens between them.
async fn transfer(database: &Database, from: u32, to: u32, amount: i64, approval: Approval) -> Result<()> {
    database
        .transaction(async |session| {
            let update = "UPDATE account SET balance = balance + ?2 WHERE id = ?1";
            let add = |id, amount| session.with_mut(move |c| c.execute(update, (id, amount)));
            add(from, -amount).await?;
            match approval {
                Approval::At(delay) => sleep(delay).await,
                Approval::Never => match sleep_forever().await {},
            }
            add(to, amount).await?;
            Ok(())
        })
        .await
}

/// Fifty transfers at once. Half of them are approved; the others are cancelled, in line for the database or half-way.
async fn storm(database: &Database) -> Result<()> {
    let done = nursery(async |n: Nursery<_>| -> Result<Vec<Option<()>>> {
        let transfers: Vec<_> = (0..50)
            .map(|from| {
                let database = database.clone();
                let (approval, patience) = match from % 2 {
                    0 => (Approval::At(Duration::from_millis(2)), Duration::MAX),
                    _ => (Approval::Never, Duration::from_millis(u64::from(from))),
                };
                n.spawn(async move {
                    move_on_after(patience, transfer(&database, from, from + 1, 10, approval)).await.transpose()
                })
            })
            .collect();
        Ok(gather(transfers).await?)
    })
    .await?;
    let finished = done.iter().flatten().count();
    println!("storm: {finished} done, {} cut off", done.len() - finished);
    Ok(())
}

async fn balances(database: &Database, ids: Range<u32>) -> Result<Vec<i64>> {
    let read = move |c: &mut rusqlite::Connection| {
        let mut statement = c.prepare_cached("SELECT balance FROM account WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
        statement.query_map((ids.start, ids.end), |row| row.get(0))?.collect()
    };
    database.read(read).await
}

async fn sum(database: &Database) -> Result<i64> {
    database.read(|c| c.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use foster::CancelScope;
    use futures_lite::future::or;

    /// A database with ten accounts, for `test`; removed after it. Each call takes up to two virtual milliseconds.
    fn with_accounts<F: Future<Output = Result<()>>>(seed: u64, test: impl FnOnce(Database) -> F) {
        let name = std::thread::current().name().expect("a test has a name").replace(':', "_");
        let path = std::env::temp_dir().join(format!("foster-ledger-{}-{name}-{seed}.db", std::process::id()));
        foster_sim::Builder::new(seed).blocking_time(Duration::ZERO, Duration::from_millis(2)).run(async {
            let database = Database::new(path.clone());
            let setup = "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER CHECK (balance >= 0))";
            let opened = database.transaction(async |session| {
                session.with_mut(|c| c.execute_batch(setup)).await?;
                let rows: Vec<_> = (0..10).map(|id| (id, 1000)).collect();
                Ok(session.with_mut(move |c| upsert(c, &rows)).await?)
            });
            assert_eq!(opened.await.unwrap(), 10);
            test(database.clone()).await.unwrap();
            assert_eq!(database.statistics().in_use, 0);
            assert_eq!(database.close().await, 0);
        });
        std::fs::remove_file(path).unwrap();
    }

    /// Whenever the deadline comes, also while a thread works: the transfer is there if its caller was told so, and only then.
    #[test]
    fn a_transfer_that_is_cancelled_anywhere_is_whole_or_not_there() {
        let (mut whole, mut nothing) = (0, 0);
        for seed in 0..20 {
            with_accounts(seed, async |database| {
                for deadline in 0..20 {
                    let before = balances(&database, 0..10).await?;
                    let transfer = transfer(&database, 1, 2, 1, Approval::At(Duration::from_millis(2)));
                    let done = move_on_after(Duration::from_millis(deadline), transfer).await.transpose()?;
                    let moved = before[1] - balances(&database, 1..2).await?[0];
                    assert_eq!(moved, i64::from(done.is_some()), "seed {seed}, after {deadline} ms");
                    assert_eq!(sum(&database).await?, 10_000);
                    *(if done.is_some() { &mut whole } else { &mut nothing }) += 1;
                }
                Ok(())
            });
        }
        assert!(whole > 50 && nothing > 50, "{whole} transfers were made, {nothing} were not");
    }

    /// A `select!` that drops the transfer half-way does not know what became of it; but it is whole or not there, and the next
    /// one can begin.
    #[test]
    fn a_transfer_that_is_dropped_anywhere_is_whole_or_not_there() {
        for seed in 0..20 {
            with_accounts(seed, async |database| {
                let (scope, mut others) = (CancelScope::new(), 0);
                let dropped = scope.run(async {
                    for patience in 0..20 {
                        let transfer = transfer(&database, 1, 2, 1, Approval::At(Duration::from_millis(2)));
                        let patience = sleep(Duration::from_millis(patience));
                        or(async { transfer.await.unwrap() }, patience).await;
                        // A dropped transfer may still be rolled back now; this one waits in line for it.
                        transfer_at_once(&database).await?;
                        others += 1;
                    }
                    Result::Ok(())
                });
                dropped.await??;
                let after = balances(&database, 0..10).await?;
                assert_eq!(after.iter().sum::<i64>(), 10_000);
                assert_eq!((after[3], after[4]), (1000 - others, 1000 + others));
                assert_eq!(1000 - after[1], after[2] - 1000);
                Ok(())
            });
        }
    }

    async fn transfer_at_once(database: &Database) -> Result<()> {
        transfer(database, 3, 4, 1, Approval::At(Duration::ZERO)).await
    }
}
