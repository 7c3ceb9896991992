//! N026, as a soak: connections are opened and closed, many of them cut short in random places, and afterwards the
//! process holds what it held before: descriptors, threads, scopes, tasks, timers.
//!
//! The other test opens and closes as many connections as `FOSTER_CONNECTIONS` says, one after the other, and also looks at the
//! memory.
//!
//! Each run has a fresh seed, which it prints; `FOSTER_SEED` repeats one, `FOSTER_SECONDS` says how long it goes on, and
//! `FOSTER_CLIENTS` how many clients it has at least. As threads and clocks have their part in it, a seed makes the
//! same clients again, but not always the same failure.

mod clients;
mod held;
mod hosts;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use foster::nursery::TaskStatus;
use foster::{CancelScope, Nursery, move_on_after, nursery, sleep};
use foster_net::{Incident, ServeOptions, TcpListener, TcpStream, serve};
use foster_net_conformance::in_time;
use foster_net_conformance::kinds::{Numbers, open_descriptors};

use clients::{ACTS, CUT, Cut, DropAt, KEEP, RESET, act, cut, moment};
use held::Held;
use hosts::HOSTS;

/// How long it goes on, in seconds, all hosts together.
const SECONDS: u64 = 4;
/// How many clients a round has; more than the server takes at once.
const CLIENTS: usize = 60;
const AT_ONCE: usize = 40;
/// How many rounds it goes on at most, if something has not happened yet.
const ENOUGH: usize = 100;

/// How many connections are opened and closed one after the other, on all hosts together.
const CONNECTIONS: u64 = 8_000;
/// How much more memory the process may have after them, in KiB: what allocators keep, and nothing of each connection.
const MORE_MEMORY: u64 = 4 << 10;

/// The tests look at what the whole process holds.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The counts of all rounds.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    finished: AtomicUsize,
    deadlines: AtomicUsize,
    dropped: AtomicUsize,
    cancelled: AtomicUsize,
    failed: AtomicUsize,
    incidents: AtomicUsize,
    stopped_early: AtomicUsize,
    handlers_cut: AtomicUsize,
}

impl Seen {
    /// Whether each thing has happened.
    fn is_all(&self) -> bool {
        let Seen {
            connections,
            finished,
            deadlines,
            dropped,
            cancelled,
            failed,
            incidents,
            stopped_early,
            handlers_cut,
        } = self;
        let all =
            [connections, finished, deadlines, dropped, cancelled, failed, incidents, stopped_early, handlers_cut];
        all.iter().all(|counter| counter.load(Ordering::Relaxed) > 0)
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "foster's clock is part of what is tested")]
fn n026_nothing_is_left_of_connections_that_were_cut() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos().into();
    let seed = number("FOSTER_SEED").unwrap_or_else(fresh);
    let limit = Duration::from_secs(number("FOSTER_SECONDS").unwrap_or(SECONDS));
    let at_least = number("FOSTER_CLIENTS").unwrap_or(0);
    println!("seed {seed}: repeat with FOSTER_SEED={seed}");
    let (seen, mut dice) = (Arc::new(Seen::default()), Numbers::new(seed));
    // Things that a runtime keeps for the next one, such as a reactor, are there then.
    for host in HOSTS {
        host.run(in_time(round(Numbers::new(1), Arc::default())));
    }
    let (before, begin, mut rounds) = (Held::at_rest(), Instant::now(), 0);
    // Each thing happens in many rounds, but some not in each: in so many, all of them do.
    let is_long = limit >= Duration::from_secs(SECONDS) || at_least > 0;
    while begin.elapsed() < limit
        || ((rounds * CLIENTS) as u64) < at_least
        || (is_long && rounds < ENOUGH && !seen.is_all())
    {
        let host = HOSTS[rounds % HOSTS.len()];
        let of_the_round = Numbers::new(dice.below(1 << 30) as u64);
        host.run(in_time(round(of_the_round, seen.clone())));
        rounds += 1;
        assert!(
            before.is_held_again(),
            "seed {seed}, after round {rounds}, on {host:?}: {:?}, not {before:?}",
            Held::now()
        );
    }
    println!("{rounds} rounds of {CLIENTS} clients: {seen:?}");
    assert!(!is_long || seen.is_all(), "seed {seed}: something never happened: {seen:?}");
}

#[test]
fn n026_nothing_is_left_of_connections_that_come_and_go() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let each = number("FOSTER_CONNECTIONS").unwrap_or(CONNECTIONS) / HOSTS.len() as u64;
    for host in HOSTS {
        host.run(come_and_go(1_000)).expect("loopback is there");
        let (before, memory) = (Held::at_rest(), resident());
        host.run(come_and_go(each)).expect("loopback is there");
        assert!(before.is_held_again(), "{host:?}: {:?}, not {before:?}", Held::now());
        let (Some(memory), Some(after)) = (memory, resident()) else { continue };
        println!("{host:?}: {each} connections, {memory} KiB before and {after} KiB after");
        assert!(after <= memory + MORE_MEMORY, "{host:?}: {memory} KiB before, {after} KiB after");
    }
}

/// Opens and closes connections, half of them with a reset.
async fn come_and_go(connections: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move {
            for _ in 0..connections {
                drop(listener.accept().await?);
            }
            Ok(())
        });
        for number in 0..connections {
            let stream = TcpStream::connect(address).await?;
            if number % 2 == 0 {
                stream.set_linger(Some(Duration::ZERO))?;
            }
        }
        Ok(())
    })
    .await
}

/// The memory that this process has, in KiB; none where the host does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A server and its clients, until all have ended or all are stopped. Descriptors are closed when it ends, not some
/// time later.
async fn round(mut dice: Numbers, seen: Arc<Seen>) {
    // The runtime's own are there then.
    drop(TcpListener::bind("127.0.0.1:0").await.expect("loopback is there"));
    let before = open_descriptors();
    let early = (dice.below(3) == 0).then(|| moment(&mut dice) * 3);
    let mut scope = CancelScope::new();
    if dice.below(2) == 0 {
        scope = scope.grace(Duration::from_millis(5));
    }
    let all = server_and_clients(scope, &mut dice, seen.clone());
    let ended = match early {
        Some(early) => move_on_after(early, all).await,
        None => Some(all.await),
    };
    match ended {
        Some(ended) => ended.expect("no client fails that was not cut"),
        None => count(&seen.stopped_early),
    }
    assert_eq!(open_descriptors(), before);
}

async fn server_and_clients(mut scope: CancelScope, dice: &mut Numbers, seen: Arc<Seen>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = scope.handle();
    let of_the_server = dice.below(1 << 30);
    nursery(async |n: Nursery<io::Error>| {
        let tell = seen.clone();
        n.spawn(async move {
            let options = ServeOptions::new().limit(AT_ONCE).on_incident({
                let seen = tell.clone();
                move |incident| match incident {
                    Incident::Handler { .. } => count(&seen.incidents),
                    other => panic!("{other:?}"),
                }
            });
            let handlers = AtomicUsize::new(of_the_server);
            let handler = move |stream: TcpStream, _| {
                count(&tell.connections);
                let seed = handlers.fetch_add(1, Ordering::Relaxed);
                handle(stream, Numbers::new(seed as u64), tell.clone())
            };
            match scope.run(serve(listener, options, handler)).await {
                Ok(served) => served.map_err(io::Error::other),
                // Cut when the grace was over.
                Err(_) => Ok(()),
            }
        });
        let clients = nursery(async |n: Nursery<io::Error>| {
            for _ in 0..CLIENTS {
                client(&n, address, dice, &seen);
            }
            Ok(())
        });
        clients.await?;
        stop.cancel("all clients have ended");
        Ok(())
    })
    .await
}

/// Spawns a client, and whoever cuts it short.
fn client(n: &Nursery<io::Error>, server: std::net::SocketAddr, dice: &mut Numbers, seen: &Arc<Seen>) {
    let (what, how, seen) = (ACTS[dice.below(ACTS.len())], cut(dice), seen.clone());
    let first = if let Cut::Other(first) = how { first } else { KEEP };
    let acting = act(what, server, first, Numbers::new(dice.below(1 << 30) as u64));
    let mut task = n.spawn({
        let seen = seen.clone();
        async move {
            let ended = match how {
                Cut::Time(limit) => move_on_after(limit, acting).await,
                Cut::Drop(times) => DropAt::new(acting, times).await,
                Cut::Never | Cut::Handle(_) | Cut::Other(_) => Some(acting.await),
            };
            match (ended, how) {
                (Some(Ok(())), _) => count(&seen.finished),
                (None, Cut::Drop(_)) => count(&seen.dropped),
                (None, _) => count(&seen.deadlines),
                // The other side has ended it.
                (Some(Err(_)), Cut::Other(_)) => count(&seen.failed),
                (Some(Err(error)), _) => {
                    return Err(io::Error::new(error.kind(), format!("{what:?}, {how:?}: {error}")));
                }
            }
            Ok(())
        }
    });
    if let Cut::Handle(after) = how {
        n.spawn(async move {
            sleep(after).await;
            task.cancel("in a random place");
            if task.wait().await == TaskStatus::Cancelled {
                count(&seen.cancelled);
            }
            Ok(())
        });
    }
}

/// Echoes, as long as its client lets it.
async fn handle(stream: TcpStream, mut dice: Numbers, seen: Arc<Seen>) -> io::Result<()> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(());
    }
    match first[0] {
        CUT => {
            if move_on_after(moment(&mut dice), echo(&stream)).await.is_none() {
                count(&seen.handlers_cut);
            }
            Ok(())
        }
        RESET => {
            stream.set_linger(Some(Duration::ZERO))?;
            sleep(moment(&mut dice)).await;
            Ok(())
        }
        _ => echo(&stream).await,
    }
}

async fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            read => stream.write_all(&buf[..read]).await?,
        }
    }
}
