//! A host that goes away under a tree whose root is polled elsewhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use foster::runtime::root;
use foster::{Nursery, nursery, sleep_forever};
use foster_tokio::Tokio;

/// L30: the root returns or panics; it does not wait for children that nobody will ever poll.
#[test]
fn a_root_whose_host_is_shut_down_ends() {
    foster_conformance::check("a_root_whose_host_is_shut_down_ends", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("tokio starts");
        let handle = runtime.handle().clone();
        let ((ended, is_ended), (runs, is_running)) = (mpsc::channel(), mpsc::channel());
        let outside = std::thread::spawn(move || {
            let tree = root(Arc::new(Tokio::on(handle)), async {
                nursery(async |n: Nursery| {
                    n.spawn(async move {
                        let _ = runs.send(());
                        sleep_forever().await;
                    });
                    Ok(())
                })
                .await
            });
            let end = catch_unwind(AssertUnwindSafe(|| futures_lite::future::block_on(tree).is_ok()));
            let _ = ended.send(end.is_err());
        });
        is_running.recv().expect("the child begins");
        runtime.shutdown_timeout(Duration::from_secs(10));
        // It is far more than it needs, and only a failure takes so long. The thread is left behind then.
        let panicked = is_ended.recv_timeout(Duration::from_secs(10));
        let panicked = panicked.expect("the root waits for ever, though its host is gone");
        println!("the root has {}", if panicked { "panicked" } else { "returned" });
        outside.join().expect("it catches what its tree throws");
    });
}
