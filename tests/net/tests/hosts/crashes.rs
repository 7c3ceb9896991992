//! Hosts that lose their power, programs that are killed, and both anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use foster::combine::join;
use foster::{Nursery, bracket, nursery, sleep};
use foster_sim::net::Crashed;

use super::*;

/// Counts what is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// N160: when `crash` returns, all values of its tasks have been dropped, its sockets are gone, no finalizer has run
/// and none of its timers fires. To do it again does nothing.
#[test]
fn n160_a_crash_ends_everything_at_once() {
    on_sim("n160", || async {
        let server = Host::new("server");
        let (dropped, released, late) = <(Arc<AtomicU32>, Arc<AtomicU32>, Arc<AtomicU32>)>::default();
        let (drops, releases, comes_late) = (dropped.clone(), released.clone(), late.clone());
        let program = server.run(async move {
            let _listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let used = nursery(async move |n: Nursery<io::Error>| {
                for _ in 0..3 {
                    let (value, late) = (Dropped(drops.clone()), comes_late.clone());
                    n.spawn(async move {
                        let _value = value;
                        sleep(ms(2000)).await;
                        late.fetch_add(1, SeqCst);
                        Ok(())
                    });
                }
                let release = move |(), _| async move {
                    releases.fetch_add(1, SeqCst);
                };
                bracket(async {}, async |_| std::future::pending::<Result<(), io::Error>>().await, release).await
            });
            used.await.unwrap();
        });
        let crashes = async {
            sleep(ms(1000)).await;
            assert_eq!(net::sockets().len(), 1);
            server.crash();
            assert_eq!((dropped.load(SeqCst), net::sockets().len()), (3, 0));
            assert!(!server.is_up());
            server.crash();
            sleep(ms(5000)).await;
        };
        let (ended, ()) = join((program, crashes)).await;
        assert_eq!((ended, released.load(SeqCst), late.load(SeqCst)), (Err(Crashed), 0, 0));
    });
}

/// N160: a host that crashes itself goes on until its next `await`, and no further.
#[test]
fn n160_a_host_can_crash_itself() {
    on_sim("n160 itself", || async {
        let server = Host::new("server");
        for from_a_task in [false, true] {
            server.restart();
            let (own, steps) = (server.clone(), Arc::new(AtomicU32::new(0)));
            let counts = steps.clone();
            let crashes = async move {
                sleep(ms(1)).await;
                own.crash();
                counts.fetch_add(1, SeqCst);
                sleep(ms(1)).await;
                counts.fetch_add(1, SeqCst);
            };
            let program = server.run(async move {
                if !from_a_task {
                    return crashes.await;
                }
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(crashes);
                })
                .await;
            });
            assert_eq!(program.await, Err(Crashed));
            sleep(ms(10)).await;
            assert_eq!(steps.load(SeqCst), 1);
        }
    });
}

/// N161, N162: after a restart the software starts anew at the same address with its ports free, and the clock went on.
/// The run goes on meanwhile.
#[test]
fn n161_a_restarted_host_starts_anew() {
    on_sim("n161", || async {
        let (client, server) = two_hosts(ms(5));
        let address = server.ip();
        let (crashes, starts) = (server.clone(), Arc::new(AtomicU32::new(0)));
        let counts = starts.clone();
        let serves = server.boot(move || {
            counts.fetch_add(1, SeqCst);
            echo_server()
        });
        let asks = client.run(async move {
            sleep(ms(1)).await;
            for round in 1..=3 {
                ask(b"hello").await.unwrap();
                crashes.crash();
                sleep(ms(1000)).await;
                crashes.restart();
                sleep(ms(10)).await;
                assert_eq!((starts.load(SeqCst), crashes.ip()), (round + 1, address));
            }
            foster_sim::clock().elapsed()
        });
        let raced = foster::combine::race((async { Err(serves.await) }, async { Ok(asks.await) })).await;
        // Each round a round trip to connect and one for the answer, beside the sleeps.
        assert_eq!(raced.unwrap(), Ok(ms(1) + 3 * ms(20 + 1000 + 10)));
        server.crash();
    });
}

/// D13: who is connected with a host that lost its power hears nothing; if it sends, the host resets the connection
/// once it is up again.
#[test]
fn n160_peers_of_a_crashed_host_see_silence_then_a_reset() {
    on_sim("n160 silence", || async {
        let (client, server) = two_hosts(ms(5));
        let crashes = server.clone();
        let seen = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            crashes.crash();
            let silence = foster::move_on_after(ms(100_000), stream.read(&mut [0])).await;
            assert!(silence.is_none(), "{silence:?}");
            // It is handed to the own kernel, and nobody answers.
            stream.write_all(b"x").await.unwrap();
            let silence = foster::move_on_after(ms(100_000), stream.read(&mut [0])).await;
            assert!(silence.is_none(), "{silence:?}");
            crashes.restart();
            stream.read(&mut [0]).await.unwrap_err().kind()
        });
        assert_eq!(seen.await, io::ErrorKind::ConnectionReset);
    });
}

/// D13: it resets a connection that it does not know any more also when the client only reads, and so sends nothing but
/// that there is room.
#[test]
fn n160_a_reader_is_reset_too() {
    on_sim("n160 reader", || async {
        let (client, server) = two_hosts(ms(5));
        let serves = server.run(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[0; 64 * 1024]).await.unwrap();
            std::future::pending::<()>().await;
        });
        let crashes = server.clone();
        let reads = client.run(async move {
            sleep(ms(1)).await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            sleep(ms(100)).await;
            crashes.crash();
            crashes.restart();
            stream.read_exact(&mut vec![0; 64 * 1024]).await.unwrap();
            let (read, took) = timed(stream.read(&mut [0])).await;
            (read.unwrap_err().kind(), took)
        });
        let reset = (io::ErrorKind::ConnectionReset, ms(10));
        assert_eq!(join((serves, reads)).await, (Err(Crashed), Ok(reset)));
    });
}

/// D13: if only the programs die, the kernel closes their sockets: an idle connection ends, one with unread data is
/// reset, and the port is closed.
#[test]
fn n160_a_killed_program_leaves_a_kernel() {
    on_sim("n160 kill", || async {
        let (client, server) = two_hosts(ms(5));
        let serves = server.run(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let _open = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
            std::future::pending::<()>().await;
        });
        let kills = server.clone();
        let asks = client.run(async move {
            sleep(ms(1)).await;
            let idle = TcpStream::connect("server:80").await.unwrap();
            let unread = TcpStream::connect("server:80").await.unwrap();
            unread.write_all(b"nobody reads this").await.unwrap();
            sleep(ms(100)).await;
            kills.kill();
            assert_eq!(timed(async { idle.read(&mut [0]).await.unwrap() }).await, (0, ms(5)));
            assert_eq!(unread.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let refused = TcpStream::connect("server:80").await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
        let (served, asked) = join((serves, asks)).await;
        assert_eq!((served, asked), (Err(Crashed), Ok(())));
        assert_eq!(server.run(async {}).await, Err(Crashed), "it is down");
    });
}

/// A program that nobody awaits any more dies with its future; what it returns and what it panics with comes out.
#[test]
fn n162_programs_and_their_futures() {
    on_sim("n162", || async {
        let server = Host::new("server");
        let cut = foster::move_on_after(ms(10), server.run(std::future::pending::<()>())).await;
        assert!(cut.is_none());
        let failed = server.run(async { Err::<(), _>(io::Error::other("on purpose")) }).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "on purpose");
        let panics = std::panic::AssertUnwindSafe(server.run(async { std::panic::resume_unwind(Box::new(7)) }));
        let panics = futures_lite::FutureExt::catch_unwind(panics).await;
        assert_eq!(panics.unwrap_err().downcast_ref(), Some(&7));
        assert_eq!(server.run(async { 42 }).await, Ok(42), "it is up");
    });
}
