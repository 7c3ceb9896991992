//! N2, N6: names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foster::{Nursery, fail_after, nursery, sleep, to_thread};
use foster_net::contract::NetFuture;
use foster_net::{LookupError, Resolve, TcpListener, TcpStream, lookup_host, with_resolver};

use foster_conformance::harness::ms;

/// Names of a test. `slow` takes a second, and `never` has no end.
#[derive(Debug, Default)]
struct Names {
    asked: Mutex<Vec<String>>,
    dropped: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        Box::pin(async move {
            let [first, second] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
            match host {
                "twice" => Ok(vec![second, first, second, first]),
                "local" => Ok(vec![first]),
                "none" => Ok(Vec::new()),
                "slow" => {
                    sleep(ms(200)).await;
                    Ok(vec![first])
                }
                "never" => {
                    struct Dropped<'a>(&'a AtomicUsize);
                    impl Drop for Dropped<'_> {
                        fn drop(&mut self) {
                            self.0.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    let _dropped = Dropped(&self.dropped);
                    std::future::pending().await
                }
                _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            }
        })
    }
}

/// N100: what is an address is returned as it is, and nobody is asked.
pub async fn n100_addresses_are_not_looked_up() {
    let names = Arc::new(Names::default());
    let lookups = with_resolver(names.clone(), async {
        let address: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        assert_eq!(lookup_host(address).await.unwrap(), [address]);
        assert_eq!(lookup_host("127.0.0.1:8000").await.unwrap(), [address]);
        assert_eq!(lookup_host("[::1]:80").await.unwrap(), ["[::1]:80".parse::<SocketAddr>().unwrap()]);
    });
    lookups.await;
    assert!(names.asked.lock().unwrap().is_empty());
}

/// N100: in a task, around a nursery: that it compiles is the point.
pub async fn n100_a_resolver_around_a_nursery() {
    let names = Arc::new(Names::default());
    let looked_up = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move {
            let inside = nursery(async |n: Nursery<io::Error>| {
                n.spawn(async { lookup_host("twice:80").await.map(drop) });
                Ok(())
            });
            with_resolver(names, inside).await
        });
        Ok(())
    });
    looked_up.await.unwrap();
}

/// N101: the order of the resolver, each address once; `localhost` is loopback.
pub async fn n101_the_order_is_kept() {
    let twice = with_resolver(Arc::new(Names::default()), lookup_host("twice:80")).await.unwrap();
    assert_eq!(twice, ["127.0.0.2:80".parse().unwrap(), "127.0.0.1:80".parse::<SocketAddr>().unwrap()]);
    let local = lookup_host("localhost:80").await.unwrap();
    assert!(!local.is_empty() && local.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
}

/// N038, N102: a name that is unknown, or has no address, is an error that names it; of one kind, from the host's
/// resolver as well.
pub async fn n102_unknown_names_are_errors() {
    let names = Arc::new(Names::default());
    let unknown = with_resolver(names, async { [lookup_host("none:80").await, lookup_host("other:80").await] }).await;
    let [none, other] = unknown;
    let systems = lookup_host("no-such-host.invalid:80").await;
    for (result, host) in [(none, "none"), (other, "other"), (systems, "no-such-host.invalid")] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(host), "{error}");
        assert!(error.get_ref().is_some_and(|error| error.is::<LookupError>()));
    }
    let error = TcpStream::connect(("no-such-host.invalid", 80)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// N103: other tasks go on while the host's resolver is busy.
pub async fn n103_a_lookup_blocks_nobody() {
    let lookups = async { lookup_host("localhost:80").await.map(drop) };
    let counts = async {
        let start = foster::Instant::now();
        sleep(ms(5)).await;
        start.elapsed()
    };
    let (found, took) = foster::combine::join((lookups, counts)).await;
    found.unwrap();
    assert!(took < ms(2000), "{took:?}");
}

/// N104, D2: a deadline is kept, however long the resolver takes.
pub async fn n104_a_lookup_keeps_its_deadline() {
    let names = Arc::new(Names::default());
    let start = foster::Instant::now();
    let connects = with_resolver(names.clone(), fail_after(ms(50), TcpStream::connect("never:80")));
    assert!(connects.await.is_err());
    assert!(start.elapsed() < ms(5000));
    assert_eq!(names.dropped.load(Ordering::SeqCst), 1, "the lookup was dropped");
}

/// N105: any number of lookups at once, and other blocking work is done beside them. How many threads they have is
/// tested where that is decided.
pub async fn n105_many_lookups_at_once() {
    let lookups = nursery(async |n: Nursery<io::Error>| {
        for _ in 0..1000 {
            n.spawn(async {
                let found = lookup_host("localhost:80").await?;
                assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
                Ok(())
            });
        }
        to_thread(|| ()).await;
        Ok(())
    });
    fail_after(ms(60_000), lookups).await.unwrap().unwrap();
}

/// N106: a resolver is that of the code inside, also of the tasks that are spawned there, and of no other.
pub async fn n106_a_resolver_is_installed_for_a_subtree() {
    let names = Arc::new(Names::default());
    let connects = with_resolver(names.clone(), async {
        let listener = TcpListener::bind("local:0").await?;
        let port = listener.local_addr()?.port();
        nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move { TcpStream::connect(("slow", port)).await.map(drop) });
            listener.accept().await.map(drop)
        })
        .await
    });
    connects.await.unwrap();
    assert_eq!(*names.asked.lock().unwrap(), ["local", "slow"]);
    assert!(lookup_host("local.invalid:80").await.is_err());
    assert_eq!(names.asked.lock().unwrap().len(), 2);
}

/// N107: what can be no name is refused, and nobody is asked.
pub async fn n107_what_cannot_be_a_name_is_refused() {
    let names = Arc::new(Names::default());
    let refused = with_resolver(names.clone(), async {
        for text in [":80", "host", "host:65536", "a\0b:80", "bücher.example:80"] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text:?}");
        }
    });
    refused.await;
    assert!(names.asked.lock().unwrap().is_empty());
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! names_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; names, names [] {
            n100_addresses_are_not_looked_up,
            n100_a_resolver_around_a_nursery,
            n101_the_order_is_kept,
            n102_unknown_names_are_errors,
            n103_a_lookup_blocks_nobody,
            n104_a_lookup_keeps_its_deadline,
            n105_many_lookups_at_once,
            n106_a_resolver_is_installed_for_a_subtree,
            n107_what_cannot_be_a_name_is_refused,
        });
    };
}
