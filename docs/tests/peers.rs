//! Checks that the migration pages are right about tokio and smol. When a peer changes, a test here fails, and the page
//! is to be changed.
#![expect(clippy::disallowed_methods, reason = "this is about the peers, in their own words")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Records that the future it is in was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future that is never ready, and a flag that is set when it is dropped.
fn endless() -> (impl Future<Output = ()> + Send + 'static, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(flag.clone());
    let future = async move {
        let _dropped = dropped;
        pending::<()>().await;
    };
    (future, flag)
}

/// Runs on tokio, on this thread, with a clock that jumps.
fn on_tokio<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

#[test]
fn tokio_timeout_leaves_the_tasks_that_were_started_inside() {
    on_tokio(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let limited = async move {
            tokio::spawn(async move {
                tokio::time::sleep(50 * MS).await;
                tell.send("still there")
            });
            pending::<()>().await;
        };
        assert!(tokio::time::timeout(MS, limited).await.is_err());
        assert_eq!(told.await, Ok("still there"));
    });
}

#[test]
fn tokio_spawn_blocking_goes_on_when_its_handle_is_dropped() {
    on_tokio(async {
        let (begin, begins) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let blocking = tokio::task::spawn_blocking(move || {
            begins.recv().unwrap();
            tell.send("still there").unwrap();
        });
        // Dropped at the next turn, as at a deadline.
        let dropped = futures_lite::future::or(async { blocking.await.is_ok() }, async {
            tokio::task::yield_now().await;
            false
        });
        assert!(!dropped.await);
        begin.send(()).unwrap();
        assert_eq!(told.recv(), Ok("still there"));
    });
}

#[test]
fn tokio_join_set_aborts_when_dropped_and_does_not_wait() {
    on_tokio(async {
        let (future, dropped) = endless();
        let mut set = tokio::task::JoinSet::new();
        set.spawn(future);
        tokio::task::yield_now().await;
        drop(set);
        assert!(!dropped.load(Ordering::SeqCst), "aborted, and not gone yet");
        tokio::task::yield_now().await;
        assert!(dropped.load(Ordering::SeqCst));
    });
}

#[test]
fn tokio_interval_catches_up_and_smol_interval_too() {
    on_tokio(async {
        let mut ticks = tokio::time::interval(10 * MS);
        ticks.tick().await; // the first one at once
        tokio::time::advance(35 * MS).await;
        let start = tokio::time::Instant::now();
        for _missed in 0..3 {
            ticks.tick().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
    smol::block_on(async {
        use smol::stream::StreamExt;

        let start = std::time::Instant::now();
        let mut ticks = smol::Timer::interval_at(start, MS);
        smol::Timer::at(start + 20 * MS).await;
        for number in 0..20 {
            assert_eq!(ticks.next().await, Some(start + number * MS)); // each one, in spite of being late
        }
        let mut first = smol::Timer::interval(MS);
        assert!(first.next().await.unwrap() >= start + 21 * MS); // not at once
    });
}

#[test]
fn smol_task_that_is_dropped_is_cancelled_when_its_executor_comes_to_it() {
    let executor = smol::Executor::new();
    let (future, dropped) = endless();
    let task = executor.spawn(future);
    assert!(executor.try_tick());
    drop(task);
    assert!(!dropped.load(Ordering::SeqCst), "cancelled, and not gone yet");
    assert!(executor.try_tick());
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn smol_task_that_is_detached_goes_on_and_a_cancelled_one_panics_whoever_awaits_it() {
    let executor = smol::LocalExecutor::new();
    let (tell, told) = mpsc::channel();
    executor.spawn(async move { tell.send("still there").unwrap() }).detach();
    assert!(executor.try_tick());
    assert_eq!(told.recv(), Ok("still there"));

    let (future, _) = endless();
    let task = executor.spawn(future);
    drop(executor); // cancels it
    let awaited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| smol::block_on(task)));
    assert!(awaited.is_err());
}

#[test]
fn smol_unblock_goes_on_when_its_task_is_dropped() {
    let (begin, begins) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let task = smol::unblock(move || {
        begun.send(()).unwrap();
        begins.recv().unwrap();
        tell.send("still there").unwrap();
    });
    has_begun.recv().unwrap();
    drop(task);
    begin.send(()).unwrap();
    assert_eq!(told.recv(), Ok("still there"));
}

#[test]
fn sockets_of_smol_and_tokio_send_small_writes_late() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let on_smol = async { smol::net::TcpStream::connect(address).await.unwrap().nodelay().unwrap() };
    assert!(!smol::block_on(on_smol));
    let on_tokio = async { tokio::net::TcpStream::connect(address).await.unwrap().nodelay().unwrap() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    assert!(!runtime.unwrap().block_on(on_tokio));
}

/// Where the other side has gone already, a shutdown of async-net's is an error.
#[test]
fn a_second_shutdown_of_smol_can_be_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    smol::block_on(async {
        let stream = smol::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(listener); // and resets what is in the backlog
        while stream.peer_addr().is_ok() {
            smol::Timer::after(MS).await;
        }
        let failed = stream.shutdown(std::net::Shutdown::Write).unwrap_err();
        assert_eq!(failed.kind(), std::io::ErrorKind::NotConnected);
    });
}
