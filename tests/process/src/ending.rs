//! N7: how processes end with their scope.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use foster::combine::join;
use foster::{CancelScope, Instant, Nursery, move_on_after, nursery, sleep, sleep_forever};
use foster_process::{Child, Command, SignalKind, Stdio, Stopping};
use futures_lite::AsyncReadExt;

use crate::left;
use crate::reports::Reports;
use crate::running::sh;
use foster_conformance::harness::ms;

/// Starts a script that says when it is ready, and waits until it has.
async fn ready(command: &mut Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().await.unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).await.unwrap();
    child
}

const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 0.02; done";

/// N115: who ignores the request is killed when the grace is over, which is reported; the scope ends when it is reaped.
pub async fn n115_a_kill_after_the_grace(reports: Arc<Reports>) {
    let grace = ms(300);
    let mut scope = CancelScope::new().grace(grace);
    let stop = scope.handle();
    let id = AtomicUsize::new(0);
    let cut = scope.run(async {
        let mut child = ready(&mut sh(STUBBORN)).await;
        id.store(child.id() as usize, Ordering::SeqCst);
        stop.cancel("enough");
        child.wait().await
    });
    let start = Instant::now();
    assert!(cut.await.is_err());
    assert!(start.elapsed() >= grace, "it was killed early");
    assert_eq!(left::children(), [] as [String; 0]);
    let [report] = <[String; 1]>::try_from(reports.take()).unwrap();
    let start = format!("`sh` (process {}, ", id.into_inner());
    assert!(report.starts_with(&start) && report.ends_with(" of SIGTERM, and is killed"), "{report}");
    assert!(report.contains("ending.rs:") && report.contains(") did not stop within "), "{report}");
}

/// N115, D11: the grace of the command goes before that of the scope; who stops in time is not killed, and nothing is
/// reported.
pub async fn n115_the_grace_of_the_command(reports: Arc<Reports>) {
    for run in [false, true] {
        let mut scope = CancelScope::new().grace(Duration::from_secs(300));
        let stop = scope.handle();
        let mark = std::env::temp_dir().join(format!("foster-n115-{}", std::process::id()));
        // It writes nothing to a pipe that is closed by then.
        let mut command = sh(if run { "trap '' TERM; touch \"$0\"; while :; do sleep 0.02; done" } else { STUBBORN });
        command.arg(&mark).grace(ms(100));
        let mut start = Instant::now();
        let cut = scope.run(async {
            if run {
                let stops = async {
                    while !mark.exists() {
                        sleep(ms(5)).await;
                    }
                    start = Instant::now();
                    stop.cancel("enough");
                };
                drop(join((command.output(), stops)).await);
            } else {
                let mut child = ready(&mut command).await;
                start = Instant::now();
                stop.cancel("enough");
                child.wait().await.unwrap();
            }
        });
        assert!(cut.await.is_err());
        let took = start.elapsed();
        assert!(took >= ms(100) && took < Duration::from_secs(200), "{took:?}, run: {run}");
        assert_eq!(reports.take().len(), 1);
        if run {
            std::fs::remove_file(mark).unwrap();
        }
    }
    let polite = "trap 'sleep 0.1; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let child = ready(&mut sh(polite)).await;
    drop(child);
}

/// N115: who prints while it stops is not ended by that.
pub async fn n115_who_prints_while_it_stops(_: Arc<Reports>) {
    const PRINTS: &str = "trap 'echo bye; echo done > \"$0\"; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    for run in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let [ready, done] = ["ready", "done"].map(|name| directory.path().join(name));
        let script = PRINTS.replace("echo ready", "echo ready; : > \"$1\"");
        let mut command = sh(&script);
        command.arg(&done).arg(&ready).grace(Duration::from_secs(300));
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let cut = scope.run(async {
            let stops = async {
                while !ready.exists() {
                    sleep(ms(5)).await;
                }
                stop.cancel("enough");
            };
            let runs = async {
                if run {
                    drop(command.output().await);
                } else {
                    command.stdout(Stdio::piped()).spawn().await.unwrap().wait().await.unwrap();
                }
            };
            join((runs, stops)).await;
        });
        assert!(cut.await.is_err());
        assert!(done.exists(), "its output was closed before it has ended, run: {run}");
    }
}

/// N117: the stop function runs shielded, may do what takes time, and is cancelled when the process has exited.
pub async fn n117_a_stop_function(_: Arc<Reports>) {
    let steps = Arc::new(AtomicUsize::new(0));
    let cut = Arc::new(AtomicBool::new(false));
    struct Cut(Arc<AtomicBool>);
    impl Drop for Cut {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let mut command = sh("trap 'exit 0' USR1; echo ready; while :; do sleep 0.02; done");
    let (counted, noted) = (steps.clone(), cut.clone());
    command.stop_with(move |process: Stopping| {
        let (steps, cut) = (counted.clone(), Cut(noted.clone()));
        async move {
            sleep(ms(50)).await; // not cancelled, although the scope is
            steps.fetch_add(1, Ordering::SeqCst);
            process.signal(SignalKind::USER_DEFINED_1)?;
            sleep_forever().await;
            drop(cut);
            std::io::Result::Ok(())
        }
    });
    let ended = move_on_after(ms(200), async {
        let mut child = ready(&mut command).await;
        child.wait().await.unwrap();
    });
    assert!(ended.await.is_none());
    assert!(cut.load(Ordering::SeqCst));
    assert_eq!(steps.load(Ordering::SeqCst), 1);
}

/// N117: an error of the stop function is reported, and the process ends all the same.
pub async fn n117_a_stop_function_that_fails(reports: Arc<Reports>) {
    let mut command = Command::new("sleep");
    command.arg("300").grace(ms(50)).stop_with(|_| async { Err::<(), _>("the server does not answer") });
    drop(command.spawn().await.unwrap());
    // It is stopped beside this code, and before the root ends.
    while !left::children().is_empty() {
        sleep(ms(5)).await;
    }
    let [failed, killed] = <[String; 2]>::try_from(reports.take()).unwrap();
    assert!(
        failed.contains("the function that stops `sleep`") && failed.ends_with("failed: the server does not answer"),
        "{failed}"
    );
    assert!(killed.ends_with("of its stop function, and is killed"), "{killed}");
}

/// N117: a stop function that panics does not keep the process alive; its panic comes out of the scope.
pub async fn n117_a_stop_function_that_panics(_: Arc<Reports>) {
    let stops = nursery(async |n: Nursery<std::io::Error>| {
        n.spawn(async {
            let mut command = Command::new("sleep");
            command.arg("300").stop_with(|_| async {
                std::panic::panic_any("on purpose");
                #[allow(unreachable_code, reason = "the type of the error")]
                std::io::Result::Ok(())
            });
            drop(command.spawn().await?);
            Ok(())
        });
        Ok(())
    });
    let caught = futures_lite::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(stops)).await;
    assert!(caught.is_err());
    assert_eq!(left::children(), [] as [String; 0]);
}

/// N118, D11: with a group of its own, what a process has started ends with it; without, only the process does.
pub async fn n118_a_process_group(_: Arc<Reports>) {
    for (own, killed_first) in [(true, false), (true, true), (false, false)] {
        let mut command = sh("sleep 300 & echo $!; wait");
        if own {
            command.process_group();
        }
        let mut child = command.stdout(Stdio::piped()).spawn().await.unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut text = [0; 32];
        let length = stdout.read(&mut text).await.unwrap();
        let grandchild: u32 = std::str::from_utf8(&text[..length]).unwrap().trim().parse().unwrap();
        assert!(left::is_alive(grandchild));
        if killed_first {
            child.kill().await.unwrap();
        }
        let id = child.id();
        drop(child);
        left::gone(id).await;
        if own {
            left::gone(grandchild).await;
        } else {
            assert!(left::is_alive(grandchild));
            assert!(Command::new("kill").arg(grandchild.to_string()).status().await.unwrap().success());
            left::gone(grandchild).await;
        }
    }
}

/// N118: of a group, those who ignore the request do not outlive the first that has followed it.
pub async fn n118_the_stubborn_in_a_group(_: Arc<Reports>) {
    let script = "sh -c \"trap '' TERM; echo ready; while :; do sleep 0.02; done\" & echo $! >&2; wait";
    let mut command = sh(script);
    let mut child = ready(command.process_group().stderr(Stdio::piped())).await;
    let mut text = [0; 32];
    let length = child.stderr.as_mut().unwrap().read(&mut text).await.unwrap();
    let stubborn: u32 = std::str::from_utf8(&text[..length]).unwrap().trim().parse().unwrap();
    drop(child);
    left::gone(stubborn).await;
}

/// N118: a group ends with its first, however that has ended; without a group the others go on.
pub async fn n118_a_group_ends_with_its_first(_: Arc<Reports>) {
    for (own, script) in [(true, "exit 0"), (true, "exit 3"), (false, "exit 0")] {
        let mut command = sh(&format!("sleep 300 > /dev/null & echo $!; {script}"));
        command.stderr(Stdio::null());
        if own {
            command.process_group();
        }
        let output = command.output().await.unwrap();
        let left: u32 = std::str::from_utf8(&output.stdout).unwrap().trim().parse().unwrap();
        if own {
            left::gone(left).await;
        } else {
            sleep(ms(50)).await;
            assert!(left::is_alive(left));
            assert!(Command::new("kill").arg(left.to_string()).status().await.unwrap().success());
            left::gone(left).await;
        }
    }
}

/// N118: the grace is that of the first of a group. If that waits for the others, they have the time to stop in their own
/// way.
pub async fn n118_a_first_that_waits_for_the_others(_: Arc<Reports>) {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("saved");
    let saves =
        format!("trap 'sleep 0.3; echo > {}; exit' TERM; echo ready; while :; do sleep 0.02; done", saved.display());
    for (waits, is_saved) in [("trap wait TERM;", true), ("", false)] {
        let script = format!("{waits} sh -c \"$0\" & wait");
        let mut command = sh(&script);
        command.arg(&saves).process_group();
        let stops = CancelScope::new().run(async { drop(ready(&mut command).await) });
        stops.await.unwrap();
        if !is_saved {
            // More than it would need.
            sleep(ms(600)).await;
        }
        assert_eq!(saved.exists(), is_saved, "{script}");
        if is_saved {
            std::fs::remove_file(&saved).unwrap();
        }
    }
}

/// N119: a child whose handle, or whose future, is dropped by foreign code ends, and is reaped, though nobody starts or
/// awaits another.
pub async fn n119_dropped_by_foreign_code(_: Arc<Reports>) {
    let child = Command::new("sleep").arg("300").spawn().await.unwrap();
    let id = child.id();
    // On a thread that knows no tree.
    std::thread::spawn(move || drop(child)).join().unwrap();
    left::gone(id).await;
    // No zombie either.
    while !left::children().is_empty() {
        sleep(ms(5)).await;
    }

    let mut command = Command::new("sleep");
    command.arg("300");
    {
        let mut runs = pin!(command.output());
        assert!(matches!(poll_once(runs.as_mut()).await, Poll::Pending));
        assert_eq!(left::children().len(), 1);
    }
    while !left::children().is_empty() {
        sleep(ms(5)).await;
    }
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// N119: likewise if the child is kept where nobody thinks of it: it ends with its scope.
pub async fn n119_forgotten(_: Arc<Reports>) {
    let mut kept = None;
    let scope = move_on_after(ms(5000), async {
        kept = Some(Command::new("sleep").arg("300").spawn().await.unwrap());
    });
    scope.await.unwrap();
    assert!(!left::is_alive(kept.as_ref().unwrap().id()));
    assert_eq!(left::children(), [] as [String; 0]);
}

/// A child that is taken out of its scope was stopped when that ended. It can still be asked how.
pub async fn a_child_ends_with_the_scope_that_has_spawned_it(_: Arc<Reports>) {
    let mut child = move_on_after(ms(5000), Command::new("sleep").arg("300").spawn()).await.unwrap().unwrap();
    assert_eq!(left::children(), [] as [String; 0]);
    let status = child.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    child.terminate().unwrap();
}

/// A task that holds the child of a nursery's body, and waits for it, is told of its end when the body is over.
pub async fn a_waiter_elsewhere_is_told(_: Arc<Reports>) {
    let waits = nursery(async |n: Nursery<std::io::Error>| {
        let mut child = Command::new("sleep").arg("300").spawn().await?;
        n.spawn(async move {
            assert!(!child.wait().await?.success());
            Ok(())
        });
        sleep(ms(30)).await;
        Ok(())
    });
    waits.await.unwrap();
}

/// `run`, `output` and `status` are inside-out: the process has ended when what surrounds them is dropped.
pub async fn a_run_is_inside_out(_: Arc<Reports>) {
    struct Outlives(Arc<AtomicUsize>);
    impl Drop for Outlives {
        fn drop(&mut self) {
            self.0.store(left::children().len() + 1, Ordering::SeqCst);
        }
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let cut = move_on_after(ms(100), async {
        let _directory = Outlives(seen.clone());
        sh("trap 'sleep 0.1; exit' TERM; while :; do sleep 0.02; done").run().await.map(drop).unwrap();
    });
    assert!(cut.await.is_none());
    assert_eq!(seen.load(Ordering::SeqCst), 1, "1 and the children that were left");
}

/// A panic beside it ends a process, too.
pub async fn a_panic_ends_the_process(_: Arc<Reports>) {
    let panics = nursery(async |n: Nursery<std::io::Error>| {
        n.spawn(async { Command::new("sleep").arg("300").status().await.map(drop) });
        sleep(ms(30)).await;
        std::panic::panic_any("on purpose");
        #[allow(unreachable_code, reason = "the type of the body")]
        Ok(())
    });
    let caught = futures_lite::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(panics)).await;
    assert!(caught.is_err());
    assert_eq!(left::children(), [] as [String; 0]);
}

/// A process whose tree is dropped with its host is killed and reaped.
pub async fn a_host_that_is_dropped(_: Arc<Reports>) {
    let runtime = foster::runtime::current().unwrap();
    {
        let is_ready = AtomicBool::new(false);
        let mut root = pin!(foster::runtime::root(runtime, async {
            let mut child = ready(&mut sh(STUBBORN)).await;
            is_ready.store(true, Ordering::SeqCst);
            child.wait().await.unwrap();
        }));
        while !is_ready.load(Ordering::SeqCst) {
            let polls = std::future::poll_fn(|cx| root.as_mut().poll(cx));
            assert!(move_on_after(ms(20), polls).await.is_none());
        }
        assert_eq!(left::children().len(), 1);
    }
    while !left::children().is_empty() {
        sleep(ms(5)).await;
    }
}

/// Likewise if its child is held outside of the tree. It can still be asked how it has ended.
pub async fn a_host_that_is_dropped_without_the_child(_: Arc<Reports>) {
    let runtime = foster::runtime::current().unwrap();
    let kept = Mutex::new(None);
    {
        let mut root = pin!(foster::runtime::root(runtime, async {
            let child = ready(&mut sh(STUBBORN)).await;
            *kept.lock().unwrap() = Some(child);
            match sleep_forever().await {}
        }));
        while kept.lock().unwrap().is_none() {
            let polls = std::future::poll_fn(|cx| root.as_mut().poll(cx));
            assert!(move_on_after(ms(20), polls).await.is_none());
        }
    }
    while !left::children().is_empty() {
        sleep(ms(5)).await;
    }
    let mut child = kept.into_inner().unwrap().unwrap();
    let status = child.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    child.terminate().unwrap();
}

#[doc(hidden)]
#[macro_export]
macro_rules! ending_suite {
    ($runner:ident) => {
        $crate::behaviours! { $runner; ending {
            n115_a_kill_after_the_grace,
            n115_the_grace_of_the_command,
            n115_who_prints_while_it_stops,
            n117_a_stop_function,
            n117_a_stop_function_that_fails,
            n117_a_stop_function_that_panics,
            n118_a_process_group,
            n118_the_stubborn_in_a_group,
            n118_a_group_ends_with_its_first,
            n118_a_first_that_waits_for_the_others,
            n119_dropped_by_foreign_code,
            n119_forgotten,
            a_child_ends_with_the_scope_that_has_spawned_it,
            a_waiter_elsewhere_is_told,
            a_run_is_inside_out,
            a_panic_ends_the_process,
            a_host_that_is_dropped,
            a_host_that_is_dropped_without_the_child,
        } }
    };
}
