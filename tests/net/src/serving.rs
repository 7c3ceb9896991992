//! N3: servers.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foster::nursery::Started;
use foster::{CancelScope, Nursery, fail_after, graceful, move_on_after, nursery, sleep, stopping};
use foster_net::{Incident, ServeError, ServeOptions, TcpListener, TcpStream, serve, serve_in};

use crate::kinds::read_to_end;
use foster_conformance::harness::ms;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            read => stream.write_all(&buf[..read]).await?,
        }
    }
}

async fn ask(address: SocketAddr, text: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    stream.write_all(text).await?;
    stream.shutdown(std::net::Shutdown::Write)?;
    read_to_end(&stream).await
}

/// N060: what `start` returns can be connected to at once.
pub async fn n060_a_server_that_has_started_can_be_reached() {
    let served = nursery(async |n: Nursery<io::Error>| {
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let started = n.start(async move |status: Started<SocketAddr>| {
            let (listener, address) = listener().await;
            status.started(address);
            let _ = scope.run(serve(listener, ServeOptions::new(), |stream, _| echo(stream))).await;
            Ok(())
        });
        let address = started.await.expect("it starts");
        assert_eq!(ask(address, b"hello").await?, b"hello");
        stop.cancel("enough");
        Ok(())
    });
    fail_after(ms(10_000), served).await.unwrap().unwrap();
}

/// N061: a connection is closed when its handler has ended; after a cancel the listener is closed, too. Two listeners
/// are two servers.
pub async fn n061_connections_end_with_their_handlers() {
    let mut addresses = Vec::new();
    let served = nursery(async |n: Nursery<io::Error>| {
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let (first, second) = (listener().await, listener().await);
        addresses.extend([first.1, second.1]);
        n.spawn(async move {
            let both = nursery(async |n: Nursery<io::Error>| {
                for (listener, _) in [first, second] {
                    n.spawn(async move {
                        let greet = async |stream: TcpStream, _| stream.write_all(b"bye").await;
                        serve(listener, ServeOptions::new(), greet).await.map_err(io::Error::other)
                    });
                }
                Ok(())
            });
            let _ = scope.run(both).await;
            Ok(())
        });
        for client in 0..6 {
            let stream = TcpStream::connect(addresses[client % 2]).await?;
            assert_eq!(read_to_end(&stream).await?, b"bye");
        }
        stop.cancel("enough");
        Ok(())
    });
    fail_after(ms(10_000), served).await.unwrap().unwrap();
    for address in addresses {
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

/// N062, D9, L35: the error of a handler is told once, and the server lives.
pub async fn n062_errors_of_handlers_are_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let served = nursery(async |n: Nursery<io::Error>| {
        let (listener, address) = listener().await;
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let tell = told.clone();
        n.spawn(async move {
            let options = ServeOptions::new().on_incident(move |incident| {
                if let Incident::Handler { error, .. } = incident {
                    tell.lock().unwrap().push(error);
                }
            });
            let fail = async |stream: TcpStream, _| {
                stream.write_all(b"x").await.map_err(|error| error.to_string())?;
                Err("on purpose".to_owned())
            };
            let _ = scope.run(serve(listener, options, fail)).await;
            Ok(())
        });
        for _ in 0..3 {
            assert_eq!(ask(address, b"").await?, b"x");
        }
        while told.lock().unwrap().len() < 3 {
            sleep(ms(1)).await;
        }
        stop.cancel("enough");
        Ok(())
    });
    fail_after(ms(10_000), served).await.unwrap().unwrap();
    assert_eq!(*told.lock().unwrap(), ["on purpose"; 3]);
}

/// N062, D9: if it is to fail fast, the first error of a handler ends the server, and the others are cancelled.
pub async fn n062_a_server_can_fail_fast() {
    let (listener, address) = listener().await;
    let failing = nursery(async |n: Nursery<ServeError<&'static str>>| {
        n.spawn(async move {
            let options = ServeOptions::new().fail_fast();
            let handler = async |stream: TcpStream, _| match stream.read(&mut [0; 8]).await {
                Ok(0) => Err("on purpose"),
                _ => std::future::pending().await,
            };
            serve(listener, options, handler).await
        });
        let busy = TcpStream::connect(address).await.map_err(ServeError::Accept)?;
        busy.write_all(b"x").await.map_err(ServeError::Accept)?;
        let fails = TcpStream::connect(address).await.map_err(ServeError::Accept)?;
        drop(fails);
        std::future::pending::<Result<(), _>>().await
    });
    let failed: Result<(), _> = fail_after(ms(10_000), failing).await.unwrap();
    assert!(matches!(failed, Err(ServeError::Handler("on purpose"))), "{failed:?}");
}

/// N062, D9, L32: a panic of a handler is the end of the server, and is resumed.
pub async fn n062_a_panic_of_a_handler_ends_the_server() {
    let (listener, address) = listener().await;
    let client = TcpStream::connect(address);
    let handler = async |_: TcpStream, _: SocketAddr| -> io::Result<()> { panic!("on purpose, in a handler") };
    let server = serve(listener, ServeOptions::new(), handler);
    let ends = futures_lite::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(join2(server, client)));
    assert!(fail_after(ms(10_000), ends).await.unwrap().is_err());
}

async fn join2<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    foster::combine::join((one, other)).await
}

/// N063: with two handlers busy a third client gets nothing, and is served as soon as one of them has ended.
pub async fn n063_a_limit_is_back_pressure() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let served = nursery(async |n: Nursery<io::Error>| {
        let (listener, address) = listener().await;
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let (running, most) = (running.clone(), most.clone());
        n.spawn(async move {
            let handler = move |stream: TcpStream, _| {
                let (running, most) = (running.clone(), most.clone());
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    stream.write_all(b"x").await?;
                    let read = stream.read(&mut [0; 8]).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    read.map(drop)
                }
            };
            let _ = scope.run(serve(listener, ServeOptions::new().limit(2), handler)).await;
            Ok(())
        });
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(TcpStream::connect(address).await?);
        }
        let mut buf = [0; 8];
        for served in 0..5 {
            assert_eq!(fail_after(ms(5000), clients[served].read(&mut buf)).await.unwrap()?, 1);
            if (1..4).contains(&served) {
                let early = move_on_after(ms(20), clients[served + 1].read(&mut buf)).await;
                assert!(early.is_none(), "a third one is served");
                clients[served - 1].shutdown(std::net::Shutdown::Write)?;
            }
        }
        stop.cancel("enough");
        Ok(())
    });
    fail_after(ms(20_000), served).await.unwrap().unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// N064: handlers in a nursery of their own go on when only the loop is cancelled.
pub async fn n064_handlers_in_a_nursery_of_their_own_live_on() {
    let (listener, address) = listener().await;
    let served = nursery(async |n: Nursery<io::Error>| {
        let client = nursery(async |clients: Nursery<io::Error>| {
            let mut scope = CancelScope::new();
            let stop = scope.handle();
            let client = clients.spawn(async move {
                let stream = TcpStream::connect(address).await?;
                stream.write_all(b"a").await?;
                stream.read_exact(&mut [0]).await?;
                stop.cancel("it is being served");
                Ok(stream)
            });
            let serving = serve_in(&n, listener, ServeOptions::new(), |stream, _| echo(stream));
            assert!(scope.run(serving).await.is_err());
            Ok(client.await.unwrap())
        });
        let client = client.await?;
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        client.write_all(b"still there").await?;
        let mut buf = [0; 11];
        client.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"still there");
        Ok(())
    });
    fail_after(ms(10_000), served).await.unwrap().unwrap();
}

/// N065, N066: a graceful stop closes the listener at once; `stopping()` resolves in the handlers, which finish; then
/// `serve` returns.
pub async fn n065_a_graceful_stop_refuses_clients_and_lets_handlers_finish() {
    let served = nursery(async |n: Nursery<io::Error>| {
        let (listener, address) = listener().await;
        let mut scope = CancelScope::new().grace(ms(60_000));
        let stop = scope.handle();
        let server = n.spawn(async move {
            let mut returned = false;
            let ended = scope.run(async {
                let handler = async |stream: TcpStream, _| {
                    stream.write_all(b"x").await?;
                    stopping().await;
                    // As long as the client likes.
                    stream.read_exact(&mut [0]).await?;
                    stream.write_all(b"goodbye").await
                };
                // A client that got in late has gone: an error of its own.
                serve(listener, ServeOptions::new().on_incident(drop), handler).await.unwrap();
                returned = true;
            });
            let _ = ended.await;
            Ok(returned)
        });
        let client = TcpStream::connect(address).await?;
        client.read_exact(&mut [0]).await?;
        let start = foster::Instant::now();
        stop.cancel("stop well");
        // As soon as the server has run. One that comes before may still get in, or is reset with the backlog.
        while !matches!(TcpStream::connect(address).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
        {
            sleep(ms(1)).await;
        }
        assert!(!server.is_finished());
        client.write_all(b"x").await?;
        assert_eq!(read_to_end(&client).await?, b"goodbye");
        assert!(fail_after(ms(5000), server).await.unwrap().unwrap(), "`serve` has returned");
        assert!(start.elapsed() < ms(30_000), "it waits for the end of the grace");
        Ok(())
    });
    fail_after(ms(20_000), served).await.unwrap().unwrap();
}

/// N066: with no connection a graceful stop is over at once.
pub async fn n066_an_idle_server_stops_at_once() {
    let (listener, _) = listener().await;
    let mut scope = CancelScope::new().grace(ms(60_000));
    let stop = scope.handle();
    let start = foster::Instant::now();
    let (ended, ()) =
        foster::combine::join((scope.run(serve(listener, ServeOptions::new(), |stream, _| echo(stream))), async {
            sleep(ms(20)).await;
            stop.cancel("stop well");
        }))
        .await;
    ended.unwrap().unwrap();
    assert!(start.elapsed() < ms(10_000));
}

/// N067: a handler that does not care is cut when the grace ends.
pub async fn n067_the_grace_ends() {
    let (listener, address) = listener().await;
    let mut scope = CancelScope::new().grace(ms(100));
    let stop = scope.handle();
    let finished = Arc::new(AtomicUsize::new(0));
    let finishes = finished.clone();
    let handler = move |stream: TcpStream, _| {
        let finishes = finishes.clone();
        async move {
            let end = echo(stream).await;
            finishes.fetch_add(1, Ordering::SeqCst);
            end
        }
    };
    let client = async {
        let client = TcpStream::connect(address).await?;
        client.write_all(b"x").await?;
        client.read_exact(&mut [0]).await?;
        let start = foster::Instant::now();
        stop.cancel("stop well");
        // In the shield of nobody: this is not part of the scope.
        let rest = read_to_end(&client).await;
        io::Result::Ok((rest, start.elapsed()))
    };
    let (ended, client) =
        foster::combine::join((scope.run(serve(listener, ServeOptions::new(), handler)), client)).await;
    assert!(ended.is_err(), "it was cut");
    let (rest, took) = client.unwrap();
    assert_eq!(rest.unwrap(), b"");
    assert!(took >= ms(100) && took < ms(10_000), "{took:?}");
    assert_eq!(finished.load(Ordering::SeqCst), 0);
}

/// N065: a server inside of a graceful shield of the program stops well, too.
pub async fn n065_a_server_in_a_shield_stops_with_it() {
    let (listener, address) = listener().await;
    let mut scope = CancelScope::new().grace(ms(60_000));
    let stop = scope.handle();
    let stops = async {
        assert_eq!(ask(address, b"hello").await?, b"hello");
        stop.cancel("stop well");
        io::Result::Ok(())
    };
    let server = graceful(serve(listener, ServeOptions::new(), |stream, _| echo(stream)));
    let both = foster::combine::join((scope.run(server), stops));
    let (ended, asked) = fail_after(ms(10_000), both).await.unwrap();
    asked.unwrap();
    ended.unwrap().unwrap();
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! serving_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; serving, serving [] {
            n060_a_server_that_has_started_can_be_reached,
            n061_connections_end_with_their_handlers,
            n062_errors_of_handlers_are_told,
            n062_a_server_can_fail_fast,
            n062_a_panic_of_a_handler_ends_the_server,
            n063_a_limit_is_back_pressure,
            n064_handlers_in_a_nursery_of_their_own_live_on,
            n065_a_graceful_stop_refuses_clients_and_lets_handlers_finish,
            n065_a_server_in_a_shield_stops_with_it,
            n066_an_idle_server_stops_at_once,
            n067_the_grace_ends,
        });
    };
}
