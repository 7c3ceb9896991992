//! N025: sockets whose runtime, or whose tree, is torn down under them (L30).
//!
//! Operations that wait end with it, nothing panics, and every descriptor is closed. A socket that was moved out before
//! says so, or works on: async-io has one reactor for the process, and it outlives all trees.
#![expect(clippy::disallowed_methods, reason = "the thread waits outside of all runtimes")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::observer::{HostDropped, Observer};
use foster::{Nursery, checkpoint, nursery};
use foster_conformance::check;
use foster_net::{TcpListener, TcpStream, UdpSocket};

const ROUNDS: usize = 50;
const WAITING: usize = 5;

/// They count descriptors, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Counts how many operations wait, and how many of their bodies have been dropped.
#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    dropped: AtomicUsize,
}

/// Runs an operation that never ends by itself, and counts its drop.
async fn wait(counts: Arc<Counts>, operation: impl Future<Output = ()>) {
    struct Dropped(Arc<Counts>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
    let _dropped = Dropped(counts.clone());
    counts.waiting.fetch_add(1, Ordering::SeqCst);
    operation.await;
    unreachable!("nobody sends, and nobody connects");
}

/// A tree with an operation of each sort that waits for ever; it gives away a stream.
async fn waits_for_ever(counts: Arc<Counts>, give_away: impl FnOnce(TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let [reader, writer, given] = {
        let mut streams = Vec::new();
        for _ in 0..3 {
            let (client, accepted) = foster::combine::join((TcpStream::connect(address), listener.accept())).await;
            streams.push((client.unwrap(), accepted.unwrap().0));
        }
        <[_; 3]>::try_from(streams).unwrap()
    };
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Its other end stays in the tree.
    let (given, _kept) = given;
    give_away(given);
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(wait(counts.clone(), async move { drop(reader.0.read(&mut [0]).await.map(drop)) }));
        let (waits, peer) = writer;
        n.spawn(wait(counts.clone(), async move {
            let _peer = peer;
            while waits.write(&[0; 65536]).await.is_ok() {}
        }));
        n.spawn(wait(counts.clone(), async move { drop(listener.accept().await.map(drop)) }));
        n.spawn(wait(counts.clone(), async move { drop(udp.recv_from(&mut [0]).await.map(drop)) }));
        wait(counts, async {
            let _open = reader.1;
            loop {
                checkpoint().await;
            }
        })
        .await;
        Ok(())
    })
    .await;
}

/// The open descriptors of this process.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> usize {
    0
}

/// Waits until all operations wait.
fn until_all_wait(counts: &Counts, mut step: impl FnMut()) {
    for _ in 0..10_000 {
        step();
        if counts.waiting.load(Ordering::SeqCst) == WAITING {
            return;
        }
    }
    panic!("only {} operations have begun", counts.waiting.load(Ordering::SeqCst));
}

/// Uses a stream whose runtime is gone, outside of all trees that know it. Returns what the read says.
fn use_again(stream: TcpStream) -> Option<io::Result<usize>> {
    let mut answer = None;
    foster_smol::run(async {
        let mut buf = [0; 8];
        let read = stream.read(&mut buf);
        answer = foster::move_on_after(Duration::from_secs(10), read).await;
    });
    answer
}

/// Has async-io open the descriptors that it keeps for the process: its thread does that at some time after the first
/// use.
fn open_the_reactor() {
    foster_smol::run(foster::sleep(Duration::from_millis(1)));
}

/// Tears down a tokio runtime under a tree that is polled by one of its own tasks.
fn tokio_is_shut_down(new: fn() -> tokio::runtime::Builder) {
    open_the_reactor();
    // Counted after the first round, for what tokio opens once in a process.
    let mut before = 0;
    for round in 0..ROUNDS {
        if round == 1 {
            before = descriptors();
        }
        let (counts, given) = (Arc::new(Counts::default()), Arc::new(Mutex::new(None)));
        let runtime = new().enable_all().build().unwrap();
        let (inside, keep) = (counts.clone(), given.clone());
        let tree = runtime.spawn(async {
            foster_tokio::attach(waits_for_ever(inside, move |stream| *keep.lock().unwrap() = Some(stream))).await;
        });
        until_all_wait(&counts, || {
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        });
        drop(runtime);
        assert!(tree.is_finished());
        drop(tree);
        assert_eq!(counts.dropped.load(Ordering::SeqCst), WAITING, "round {round}");
        let stream = given.lock().unwrap().take().unwrap();
        // Its other end has been dropped with the tree; its reactor is gone, and says so.
        let said = use_again(stream).expect("an operation on a socket without a reactor must not wait for ever");
        println!("{said:?}");
        assert!(matches!(said, Ok(0) | Err(_)));
    }
    assert_eq!(descriptors(), before, "descriptors are left open");
}

#[test]
fn n025_tokio_is_shut_down_under_its_sockets() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    check("net::n025_tokio_is_shut_down_under_its_sockets", || {
        tokio_is_shut_down(tokio::runtime::Builder::new_current_thread);
        tokio_is_shut_down(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        });
    });
}

/// The root's future is dropped by whoever polls it, with all operations pending.
#[test]
fn n025_a_root_is_dropped_under_its_sockets() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    check("net::n025_a_root_is_dropped_under_its_sockets", || {
        open_the_reactor();
        let mut before = 0;
        for round in 0..ROUNDS {
            if round == 1 {
                before = descriptors();
            }
            let (counts, given) = (Arc::new(Counts::default()), Arc::new(Mutex::new(None)));
            let (inside, keep) = (counts.clone(), given.clone());
            let body = waits_for_ever(inside, move |stream| *keep.lock().unwrap() = Some(stream));
            let mut root: Pin<Box<dyn Future<Output = ()>>> = Box::pin(foster_smol::attach(body));
            until_all_wait(&counts, || {
                let poll = root.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(poll, Poll::Pending));
                std::thread::sleep(Duration::from_millis(1));
            });
            drop(root);
            // A task that a thread is polling at this moment is dropped when that poll ends; it sees nothing of what
            // the drop does.
            for _ in 0..10_000 {
                if counts.dropped.load(Ordering::SeqCst) == WAITING {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(counts.dropped.load(Ordering::SeqCst), WAITING, "round {round}");
            let stream = given.lock().unwrap().take().unwrap();
            let said = use_again(stream).expect("the other end is closed");
            assert!(matches!(said, Ok(0) | Err(_)), "{said:?}");
        }
        assert_eq!(descriptors(), before, "descriptors are left open");
    });
}

/// L30.1: tasks that another thread polls to their end, while the body of a dropped root is being dropped, are counted
/// as cut off, too.
#[test]
fn tasks_that_end_while_their_root_is_dropped_are_counted() {
    const TASKS: usize = 3;

    /// Takes its time to be dropped: until the tasks are gone, or ten seconds.
    struct Waits(Arc<Counts>);
    impl Drop for Waits {
        fn drop(&mut self) {
            for _ in 0..10_000 {
                if self.0.dropped.load(Ordering::SeqCst) == TASKS {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    struct Counted(AtomicUsize);
    impl Observer for Counted {
        fn host_dropped(&self, dropped: &HostDropped) {
            self.0.fetch_add(dropped.tasks, Ordering::SeqCst);
        }
    }

    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    check("tasks_that_end_while_their_root_is_dropped_are_counted", || {
        let (counts, told) = (Arc::new(Counts::default()), Arc::new(Counted(AtomicUsize::new(0))));
        let inside = counts.clone();
        let body = async move {
            let _waits = Waits(inside.clone());
            let Ok(()) = nursery(async |n: Nursery| {
                for _ in 0..TASKS {
                    n.spawn(wait(inside.clone(), foster::sleep(Duration::MAX)));
                }
            })
            .await;
        };
        let mut root = Box::pin(foster_smol::attach(body).observe(told.clone()));
        while counts.waiting.load(Ordering::SeqCst) < TASKS {
            assert!(root.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(root);
        assert_eq!(told.0.load(Ordering::SeqCst), TASKS);
    });
}
