//! How the observer of a tree is told of what fails in a server.

use std::sync::{Arc, Mutex};

use foster::observer::{Observer, Orphan, OrphanKind};
use foster::{Nursery, nursery};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve, serve_in};

#[derive(Default)]
struct Reports(Mutex<Vec<(OrphanKind, String)>>);

impl Observer for Reports {
    fn orphan(&self, orphan: &Orphan<'_>) {
        self.0.lock().unwrap().push((orphan.kind, orphan.to_string()));
    }
}

/// With a kind of its own, a short name, and the place where the server was started.
#[test]
fn an_error_of_a_handler_is_told_with_the_place_of_the_server() {
    for in_own_nursery in [false, true] {
        let reports = Arc::new(Reports::default());
        foster_sim::Builder::new(1).observer(reports.clone()).run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let Ok(()) = nursery(async |n: Nursery| {
                let handlers = n.clone();
                n.child().daemon().spawn(async move {
                    let fail = async |_: TcpStream, _| Err("no answer");
                    match in_own_nursery {
                        true => serve(listener, ServeOptions::new(), fail).await.unwrap(),
                        false => serve_in(&handlers, listener, ServeOptions::new(), fail).await.unwrap(),
                    }
                });
                assert_eq!(TcpStream::connect(address).await.unwrap().read(&mut [0]).await.unwrap(), 0);
            })
            .await;
        });
        let reports = reports.0.lock().unwrap();
        let [(OrphanKind::Incident, text)] = &reports[..] else { panic!("{reports:?}") };
        assert!(text.starts_with("error in `connection` ("), "{text}");
        assert!(text.contains("incidents.rs:"), "{text}");
        assert!(text.ends_with("no answer\" }"), "{text}");
    }
}
