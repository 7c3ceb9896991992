//! What others see of a server: its names in a dump and in a report of an error that has no caller, and what its type
//! asks for.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::observer::{Observer, Orphan};
use foster::{CancelScope, Nursery, dump, fail_after, nursery, sleep};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve, serve_in};

#[derive(Default)]
struct Reports(Mutex<Vec<String>>);

impl Observer for Reports {
    fn orphan(&self, orphan: &Orphan<'_>) {
        let (name, error) = (orphan.origin.name(), format!("{:?}", orphan.error));
        self.0.lock().unwrap().push(format!("{name}: {error}"));
    }
}

/// A handler with a name.
async fn fails_when_it_is_told_to(stream: TcpStream) -> io::Result<()> {
    stream.read(&mut [0]).await?;
    Err(io::Error::other("on purpose"))
}

/// D9: both name the handler, and the dump has the place where the server was started; not code of foster-net.
#[test]
fn a_server_and_its_handlers_have_names() {
    let reports = Arc::new(Reports::default());
    let observed = foster_smol::Builder::new().observer(reports.clone());
    let seen = observed.run(fail_after(Duration::from_secs(60), async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                let handler = |stream, _: SocketAddr| fails_when_it_is_told_to(stream);
                let _ = scope.run(serve(listener, ServeOptions::new(), handler)).await;
                Ok(())
            });
            let client = TcpStream::connect(address).await?;
            let seen = loop {
                let seen = dump().to_string();
                if seen.contains("fails_when") {
                    break seen;
                }
                sleep(Duration::from_millis(1)).await;
            };
            client.write_all(b"!").await?;
            client.read(&mut [0]).await?;
            stop.cancel("enough");
            Ok(seen)
        })
        .await
    }));
    let seen = seen.unwrap().unwrap();
    let line = seen.lines().find(|line| line.contains("serve")).unwrap_or_else(|| panic!("{seen}"));
    assert!(line.contains("tests/seen.rs") || line.contains(r"tests\seen.rs"), "{seen}");
    let reports = reports.0.lock().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("seen::fails_when_it_is_told_to: Handler"), "{reports:?}");
    assert!(reports[0].contains("on purpose"), "{reports:?}");
}

/// A server can be spawned if its handler is `Send`: as the bound says, it need not be `Sync`.
#[test]
fn a_handler_need_not_be_sync() {
    fn is_send(_: &impl Send) {}

    let handler = || {
        let connections = Cell::new(0);
        move |_: TcpStream, _: SocketAddr| {
            connections.set(connections.get() + 1);
            async { io::Result::Ok(()) }
        }
    };
    foster_smol::run(async {
        let (one, other) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        is_send(&serve(one, ServeOptions::new(), handler()));
        nursery(async |n: Nursery<io::Error>| {
            is_send(&serve_in(&n, other, ServeOptions::new(), handler()));
            Ok(())
        })
        .await
    })
    .unwrap();
}
