//! Rate limits and pools: whoever goes away keeps nothing, neither its turn, nor its place, nor what it has borrowed.

use std::future::Future;
use std::sync::Arc;

use foster::cleanup::BracketExit;
use foster::pool::{Manage, Pool, PoolError};
use foster::rate::RateLimiter;
use foster::{defer, sleep};
use foster_conformance::harness::ms;

use crate::driver::{Scene, nothing};
use crate::inside::{both, busy};
use crate::probe::{Probe, Resource};

cases! {
    rate_acquire_many: run, |_| async {
        let limit = RateLimiter::new(2, ms(3));
        both(limit.acquire_many(2), limit.acquire_many(2)).await;
    }, nothing;
    /// Whoever stands behind the one that is dropped has its turn.
    rate_acquire_beside: run.beside().holds(), |scene: Scene| {
        let (limit, alive) = (Arc::new(RateLimiter::new(1, ms(2))), scene.probe.beside());
        let other = limit.clone();
        scene.nursery.spawn(async move {
            for _ in 0..3 {
                other.acquire().await;
            }
            assert_eq!(other.waiting(), 0, "whoever was before it has gone, or had its turn");
            drop(alive);
        });
        async move {
            for _ in 0..2 {
                limit.acquire().await;
            }
        }
    }, nothing;

    /// Two uses of a pool with one place: the second has the connection of the first.
    pool_use_again: run, |scene: Scene| async move {
        let pool = Pool::new(1, Connections::new(&scene.probe));
        let using = || pool.run(async |connection| work(&scene.probe, &connection).await);
        let (one, other) = both(using(), using()).await;
        assert!(one.is_ok() && other.is_ok());
        assert_eq!((pool.statistics().idle, pool.statistics().opened), (1, 1));
    }, nothing;
    /// The second use needs another connection, for the first has spoilt its own.
    pool_use_fails: run, |scene: Scene| async move {
        let pool = Pool::new(1, Connections::new(&scene.probe));
        let failed = pool.run(async |_connection| {
            busy(scene.probe.clone()).await;
            Err::<(), _>(Refused)
        });
        assert!(failed.await.is_err());
        let again = pool.run(async |connection| work(&scene.probe, &connection).await);
        assert!(again.await.is_ok());
        assert_eq!((pool.statistics().discarded, pool.statistics().opened), (1, 2));
    }, nothing;
    /// The second use closes the connection of the first, which is not alive, and has another one.
    pool_use_stale: run, |scene: Scene| async move {
        let pool = Pool::new(1, Connections { probe: scene.probe.clone(), alive: false });
        for _ in 0..2 {
            assert!(pool.run(async |connection| work(&scene.probe, &connection).await).await.is_ok());
        }
        assert_eq!((pool.statistics().discarded, pool.statistics().opened), (1, 2));
    }, nothing;
    /// The place of whoever is dropped goes to the next, and its connection is accounted for.
    pool_use_beside: run.beside().holds(), |scene: Scene| {
        let (probe, alive) = (scene.probe.clone(), scene.probe.beside());
        let opens = move || {
            let connection = probe.beside();
            async move {
                sleep(ms(1)).await;
                Ok::<_, Refused>(connection)
            }
        };
        let pool = Pool::new(1, opens);
        let others = pool.clone();
        scene.nursery.spawn(async move {
            sleep(ms(1)).await;
            let used = others.run(async |_connection| {
                sleep(ms(2)).await;
                Ok::<_, Refused>(())
            });
            assert!(used.await.is_ok());
            assert_eq!(others.close(ms(100)).await, 0, "there is time enough for all");
            let now = others.statistics();
            assert_eq!((now.idle, now.in_use, now.waiting, now.discarded), (0, 0, 0, now.opened));
            drop(alive);
        });
        async move {
            let used = pool.run(async |_connection| {
                busy(scene.probe).await;
                Ok::<_, Refused>(())
            });
            assert!(used.await.is_ok());
        }
    }, nothing;
    /// The pool closes what is idle, waits for a use, and cuts it off.
    pool_close_idle: run, |scene: Scene| async move {
        let pool = Pool::new(2, Connections::new(&scene.probe));
        let short = pool.run(async |connection| work(&scene.probe, &connection).await);
        assert!(short.await.is_ok());
        let long = pool.run(async |_connection| {
            loop {
                busy(scene.probe.clone()).await;
            }
            #[expect(unreachable_code, reason = "the type of what never comes")]
            Ok::<(), Refused>(())
        });
        let closing = async {
            sleep(ms(2)).await;
            pool.close(ms(3)).await
        };
        let (used, cut) = both(long, closing).await;
        assert!(used.is_err());
        assert_eq!((cut, pool.statistics().in_use), (1, 0));
    }, nothing;
}

/// Opens connections, and closes them, in their time.
struct Connections {
    probe: Probe,
    /// Whether those that are idle can be used again.
    alive: bool,
}

impl Connections {
    fn new(probe: &Probe) -> Self {
        Connections { probe: probe.clone(), alive: true }
    }
}

#[derive(Debug)]
struct Refused;

impl From<PoolError<Refused>> for Refused {
    fn from(_: PoolError<Refused>) -> Self {
        Refused
    }
}

impl Manage for Connections {
    type Resource = Resource;
    type Error = Refused;

    async fn open(&self) -> Result<Resource, Refused> {
        let _local = self.probe.local();
        sleep(ms(1)).await;
        Ok(self.probe.acquire().keep())
    }

    async fn is_alive(&self, resource: &mut Resource) -> bool {
        sleep(ms(1)).await;
        resource.keep_again();
        self.alive
    }

    fn reset(&self, resource: &mut Resource, exit: &BracketExit) -> impl Future<Output = bool> + Send {
        let clean = exit.is_success().then(|| resource.give_back());
        async move {
            match clean {
                Some(give_back) => give_back.await,
                None => return false,
            }
            true
        }
    }

    async fn close(&self, resource: Resource) {
        if resource.is_lent() {
            return resource.release().await;
        }
        defer(self.probe.finalizer());
        sleep(ms(1)).await;
        drop(resource);
    }
}

/// Takes a while, with the connection.
async fn work(probe: &Probe, _connection: &Resource) -> Result<(), Refused> {
    let _local = probe.local();
    defer(probe.finalizer());
    sleep(ms(2)).await;
    Ok(())
}
