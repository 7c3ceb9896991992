//! Tests that need exact times, or errors that no host gives on demand: on the simulator, with scripted programs
//! (N132).
#![cfg(unix)]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foster::combine::join;
use foster::{
    CancelScope, Instant, Nursery, fail_after, graceful, move_on_after, nursery, shield, sleep, sleep_forever, stopping,
};
use foster_process::contract::{processes, with_processes};
use foster_process::{Command, RunError, SignalKind, Stdio, Stopping, TooMuchOutput};
use foster_process_conformance::reports::Reports;
use foster_sim::process::Programs;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs the body on several schedules, among these programs; whatever is reported has to be read.
fn on_sim<F, Fut>(name: &str, body: F)
where
    F: Fn(Arc<Reports>) -> Fut,
    Fut: Future<Output = ()>,
{
    for seed in 0..10 {
        foster_conformance::check(name, || {
            let reports = Arc::<Reports>::default();
            let programs = programs();
            foster_sim::Builder::new(seed).observer(reports.clone()).run(programs.run(body(reports.clone())));
            assert_eq!(reports.take(), [] as [String; 0], "{name} has not read its reports");
        });
    }
}

fn programs() -> Programs {
    Programs::new()
        .program("exit", async |program| program.args()[0].to_str().unwrap().parse().unwrap())
        .program("sleep", async |program| {
            sleep(secs(program.args()[0].to_str().unwrap().parse().unwrap())).await;
            0
        })
        .program("stubborn", async |mut program| {
            program.ignore(SignalKind::TERMINATE);
            match sleep_forever().await {}
        })
        .program("polite", async |mut program| {
            program.handle(SignalKind::TERMINATE);
            assert_eq!(program.signal().await, SignalKind::TERMINATE);
            sleep(secs(2)).await; // closes what is open
            2
        })
        .program("foreign", async |mut program| {
            program.refuse_signals();
            sleep(secs(60)).await;
            0
        })
        .program("chatty", async |mut program| {
            loop {
                if program.print([b'x'; 1000]).await.is_err() {
                    return 141;
                }
                sleep(secs(1)).await;
            }
        })
        .program("compiler", async |mut program| {
            program.print("a.c:1\n").await.unwrap();
            sleep(secs(3)).await;
            program
                .eprint(format!("cannot read `{}`\n", program.env("FILE").unwrap().to_str().unwrap()))
                .await
                .unwrap();
            1
        })
        .program("echo", async |mut program| {
            let mut buf = [0; 1000];
            loop {
                match program.read(&mut buf).await.unwrap() {
                    0 => return 0,
                    length if program.print(&buf[..length]).await.is_err() => return 141,
                    _ => {}
                }
            }
        })
}

/// N111: code or signal is right, and a second wait gives the same.
#[test]
fn n111_the_status_is_right() {
    on_sim("n111", async |_| {
        assert_eq!(Command::new("exit").arg("77").status().await.unwrap().code(), Some(77));
        let mut child = Command::new("sleep").arg("300").spawn().await.unwrap();
        child.signal(SignalKind::USER_DEFINED_1).unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(SignalKind::USER_DEFINED_1.as_raw()));
        assert_eq!(child.wait().await.unwrap(), status);
    });
}

/// N112: a program that is not there.
#[test]
fn n112_a_missing_program() {
    on_sim("n112", async |_| {
        let error = Command::new("nothing").spawn().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "`nothing` could not be started: there is no scripted program of this name");
    });
}

/// N113: `try_wait` sees the exit, whether or not anybody has waited.
#[test]
fn n113_try_wait_sees_the_exit() {
    on_sim("n113", async |_| {
        let mut child = Command::new("sleep").arg("3").spawn().await.unwrap();
        sleep(secs(2)).await;
        assert_eq!(child.try_wait().unwrap(), None);
        sleep(secs(2)).await;
        assert!(child.try_wait().unwrap().unwrap().success());
    });
}

/// N114: a program may handle the request to end; to kill one that has ended is no error, and changes nothing.
#[test]
fn n114_terminate_and_kill() {
    on_sim("n114", async |_| {
        let mut child = Command::new("polite").spawn().await.unwrap();
        sleep(secs(1)).await;
        child.terminate().unwrap();
        let start = Instant::now();
        assert_eq!(child.wait().await.unwrap().code(), Some(2));
        assert_eq!(start.elapsed(), secs(2));
        child.start_kill().unwrap();
        assert_eq!(child.kill().await.unwrap().code(), Some(2));
    });
}

/// Signals whose default is to do nothing come to a program that handles them; the last word on a signal counts; and
/// what is killed has been killed, whatever it returns, as soon as it is out of its shield.
#[test]
fn n132_signals_of_a_program() {
    on_sim("n132 signals", async |_| {
        let programs = Programs::new()
            .program("window", async |mut program| {
                program.handle(SignalKind::WINDOW_CHANGE);
                assert_eq!(program.signal().await, SignalKind::WINDOW_CHANGE);
                3
            })
            .program("ignores", async |mut program| {
                program.handle(SignalKind::TERMINATE);
                program.ignore(SignalKind::TERMINATE);
                let heard = move_on_after(secs(10), program.signal()).await;
                i32::from(heard.is_some())
            })
            .program("handles", async |mut program| {
                program.ignore(SignalKind::TERMINATE);
                program.handle(SignalKind::TERMINATE);
                assert_eq!(program.signal().await, SignalKind::TERMINATE);
                4
            })
            .program("shielded", async |_| {
                shield(sleep(secs(5))).await;
                5
            });
        let ended = async |name: &str, kind: SignalKind| {
            let mut child = Command::new(name).spawn().await.unwrap();
            let start = Instant::now();
            sleep(secs(1)).await;
            child.signal(SignalKind::CHILD).unwrap();
            child.signal(kind).unwrap();
            (fail_after(secs(100), child.wait()).await.unwrap().unwrap(), start.elapsed())
        };
        let test = async {
            let (status, took) = ended("window", SignalKind::WINDOW_CHANGE).await;
            assert_eq!((status.code(), took), (Some(3), secs(1)));
            let (status, took) = ended("ignores", SignalKind::TERMINATE).await;
            assert_eq!((status.code(), took), (Some(0), secs(10)));
            let (status, took) = ended("handles", SignalKind::TERMINATE).await;
            assert_eq!((status.code(), took), (Some(4), secs(1)));
            let (status, took) = ended("shielded", SignalKind::KILL).await;
            assert_eq!((status.signal(), took), (Some(9), secs(5)));
        };
        programs.run(test).await;
    });
}

/// N115, D11: the request comes in the instant of the cancel, the kill exactly when the grace ends, and one report
/// names the process.
#[test]
fn n115_a_kill_exactly_after_the_grace() {
    on_sim("n115", async |reports| {
        // The grace of the scope, of the command, and what it is without both. Then both.
        for (of_scope, of_command, wanted) in
            [(Some(7), None, 7), (None, Some(3), 3), (None, None, 5), (Some(60), Some(3), 3)]
        {
            for spawned in [false, true] {
                let mut scope = CancelScope::new().deadline_after(secs(10)).grace(secs(of_scope.unwrap_or(0)));
                let stop = scope.handle();
                let start = Instant::now();
                let mut command = Command::new("stubborn");
                of_command.map(|grace| command.grace(secs(grace)));
                let ran = scope.run(async {
                    if spawned {
                        let _child = command.spawn().await;
                        sleep_forever().await;
                    }
                    command.status().await
                });
                assert!(ran.await.is_err());
                assert!(stop.is_closed());
                assert_eq!(start.elapsed(), secs(10 + wanted));
                let [report] = <[String; 1]>::try_from(reports.take()).unwrap();
                let parts =
                    ["`stubborn` (process ", &format!(") did not stop within {wanted}s of SIGTERM, and is killed")];
                assert!(parts.iter().all(|part| report.contains(part)), "{report}");
            }
        }
    });
}

/// N132: other processes around a nursery, in a task: that it compiles is the point.
#[test]
fn n132_processes_around_a_nursery() {
    on_sim("n132 nursery", async |_| {
        let here = processes().unwrap();
        let ran = nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                let inside = nursery(async |n: Nursery<io::Error>| {
                    n.spawn(async { Command::new("exit").arg("0").status().await.map(drop) });
                    Ok(())
                });
                with_processes(here, inside).await
            });
            Ok(())
        });
        ran.await.unwrap();
    });
}

/// N115: who prints while it stops can do so, more than a pipe holds: nobody has closed its pipes.
#[test]
fn n115_who_prints_while_it_stops() {
    on_sim("n115 prints", async |_| {
        for run in [false, true] {
            let printed = Arc::new(AtomicBool::new(false));
            let seen = printed.clone();
            let programs = Programs::new().program("server", move |mut program| {
                let printed = printed.clone();
                async move {
                    program.handle(SignalKind::TERMINATE);
                    program.print("ready").await.unwrap();
                    program.signal().await;
                    for _ in 0..10 {
                        let text = "x".repeat(100_000);
                        if program.print(&text).await.is_err() || program.eprint(&text).await.is_err() {
                            return 141;
                        }
                    }
                    printed.store(true, Ordering::SeqCst);
                    0
                }
            });
            let mut command = Command::new("server");
            let cut = async {
                if run {
                    drop(command.output().await);
                } else {
                    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await.unwrap();
                    child.wait().await.unwrap();
                }
            };
            let start = Instant::now();
            assert!(programs.run(move_on_after(secs(1), cut)).await.is_none());
            assert!(seen.load(Ordering::SeqCst), "its output was closed before it has ended, run: {run}");
            assert_eq!(start.elapsed(), secs(1));
        }
    });
}

/// N115: a process that stops within the grace is not killed, and holds its scope up no longer than that.
#[test]
fn n115_who_stops_in_time() {
    on_sim("n115 in time", async |_| {
        let start = Instant::now();
        assert!(move_on_after(secs(1), Command::new("polite").status()).await.is_none());
        assert_eq!(start.elapsed(), secs(3));
    });
}

/// N116: a signal that cannot be sent is reported, and the scope waits for the exit.
#[test]
fn n116_a_signal_that_cannot_be_sent() {
    on_sim("n116", async |reports| {
        let start = Instant::now();
        assert!(move_on_after(secs(1), Command::new("foreign").status()).await.is_none());
        assert_eq!(start.elapsed(), secs(60), "until it has ended by itself");
        let [term, killed, kill] = <[String; 3]>::try_from(reports.take()).unwrap();
        assert!(term.starts_with("SIGTERM could not be sent to `foreign` (process "), "{term}");
        assert!(killed.ends_with("did not stop within 5s of SIGTERM, and is killed"), "{killed}");
        assert!(kill.starts_with("SIGKILL could not be sent to `foreign`"), "{kill}");
    });
}

/// N116: a process that cannot be killed prints on after its grace, more than a pipe holds, and ends in its own way.
#[test]
fn n116_who_cannot_be_killed_prints_on() {
    on_sim("n116 prints", async |reports| {
        let programs = Programs::new().program("foreign", async |mut program| {
            program.refuse_signals();
            program.print("ready").await.unwrap();
            sleep(secs(30)).await;
            program.print(&"x".repeat(1_000_000)).await.map_or(141, |()| 0)
        });
        let start = Instant::now();
        let mut command = Command::new("foreign");
        assert!(programs.run(move_on_after(secs(1), command.output())).await.is_none());
        assert_eq!(start.elapsed(), secs(30), "until it has ended by itself");
        assert_eq!(reports.take().len(), 3);
    });
}

/// N117: the stop function is shielded; it is cancelled when the process exits, and when the grace ends; its error is
/// reported.
#[test]
fn n117_a_stop_function() {
    on_sim("n117", async |reports| {
        struct Cut(Arc<std::sync::Mutex<Option<Instant>>>);
        impl Drop for Cut {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = Some(Instant::now());
            }
        }
        for (program, ends, killed) in [("polite", 1 + 3 + 2, false), ("stubborn", 1 + 20, true)] {
            let cut = Arc::new(std::sync::Mutex::new(None));
            let noted = cut.clone();
            let mut command = Command::new(program);
            command.grace(secs(20)).stop_with(move |process: Stopping| {
                let cut = Cut(noted.clone());
                async move {
                    sleep(secs(3)).await;
                    process.signal(SignalKind::TERMINATE)?;
                    let _cut = cut;
                    match sleep_forever().await {}
                    #[allow(unreachable_code, reason = "the type of the error")]
                    io::Result::Ok(())
                }
            });
            let start = Instant::now();
            assert!(move_on_after(secs(1), command.status()).await.is_none());
            assert_eq!(start.elapsed(), secs(ends));
            assert_eq!(*cut.lock().unwrap(), Some(start + secs(ends)));
            assert_eq!(reports.take().len(), usize::from(killed));
        }
        let mut command = Command::new("sleep");
        command.arg("4").stop_with(|_| async { Err::<(), _>("no answer") });
        let start = Instant::now();
        assert!(move_on_after(secs(1), command.status()).await.is_none());
        assert_eq!(start.elapsed(), secs(4));
        let [report] = <[String; 1]>::try_from(reports.take()).unwrap();
        assert!(report.ends_with("failed: no answer"), "{report}");
    });
}

/// N117: a stop function that cannot be cut does not keep its process beyond the grace.
#[test]
fn n117_a_stop_function_that_cannot_be_cut() {
    struct Killed(Arc<std::sync::Mutex<Option<Instant>>>);
    impl Drop for Killed {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(Instant::now());
        }
    }
    on_sim("n117", async |reports| {
        let killed = Arc::new(std::sync::Mutex::new(None));
        let noted = killed.clone();
        let programs = Programs::new().program("stubborn", move |mut program| {
            let killed = Killed(noted.clone());
            async move {
                let _killed = killed;
                program.ignore(SignalKind::TERMINATE);
                match sleep_forever().await {}
            }
        });
        let start = Instant::now();
        let run = async {
            let mut command = Command::new("stubborn");
            command.grace(secs(20)).stop_with(|_| async {
                shield(sleep(secs(100))).await;
                io::Result::Ok(())
            });
            assert!(move_on_after(secs(1), command.status()).await.is_none());
        };
        programs.run(run).await;
        assert_eq!((*killed.lock().unwrap(), start.elapsed()), (Some(start + secs(21)), secs(101)));
        let [report] = <[String; 1]>::try_from(reports.take()).unwrap();
        assert!(report.contains("did not stop within 20s"), "{report}");
    });
}

/// N123: no more is captured than the limit.
#[test]
fn n123_no_more_than_the_limit() {
    on_sim("n123", async |_| {
        let start = Instant::now();
        let error = Command::new("chatty").max_output(9_999).output().await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<TooMuchOutput>(), "{error}");
        assert_eq!(start.elapsed(), secs(9));
        let whole = Command::new("compiler").env("FILE", "b.c").max_output(24).output().await.unwrap();
        assert_eq!(whole.stdout.len() + whole.stderr.len(), 24);
        assert!(Command::new("compiler").env("FILE", "b.c").max_output(23).output().await.is_err());
    });
}

/// N125: a command in the background of a nursery fails it, with status and output.
#[test]
fn n125_a_failure_in_the_background() {
    on_sim("n125", async |_| {
        let start = Instant::now();
        let build = nursery(async |n: Nursery<RunError>| {
            n.spawn(async { Command::new("compiler").env("FILE", "b.c").run().await.map(drop) });
            n.spawn(async { Command::new("sleep").arg("300").run().await.map(drop) });
            Ok(())
        });
        let error = build.await.unwrap_err();
        let output = error.output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b"a.c:1\n"[..]));
        assert_eq!(error.to_string(), "`compiler` has failed with exit status: 1, and the errors `cannot read `b.c``");
        assert_eq!(start.elapsed(), secs(3));
        let unchecked = nursery(async |n: Nursery<io::Error>| {
            n.spawn(async { Command::new("compiler").env("FILE", "b.c").output().await.map(drop) });
            Ok(())
        });
        unchecked.await.unwrap();
    });
}

/// The pipes of scripted programs: much in both directions, from one to the next, and their ends.
#[test]
fn pipes_of_programs() {
    on_sim("pipes", async |_| {
        let input: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let output = Command::new("echo").input(input.clone()).run().await.unwrap();
        assert!(output.stdout == input);

        let mut first = Command::new("echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        let mut second = Command::new("echo");
        second.stdin(first.stdout.take().unwrap());
        let mut stdin = first.stdin.take().unwrap();
        let writes = async {
            stdin.write_all(&input).await.unwrap();
            drop(stdin);
        };
        let (output, ()) = join((second.run(), writes)).await;
        assert!(output.unwrap().stdout == input);
        assert!(first.wait().await.unwrap().success());

        let mut child = Command::new("echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        child.kill().await.unwrap();
        assert_eq!(child.stdin.as_mut().unwrap().write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut [0; 8]).await.unwrap(), 0);
    });
}

/// N132, D13: when the host of a program dies, the program does, and whoever talks with it reads the rest, and then the
/// end.
#[test]
fn n132_a_program_dies_with_its_host() {
    for seed in 0..10 {
        foster_conformance::check("n132", || {
            let dropped = Arc::new(AtomicBool::new(false));
            struct Noted(Arc<AtomicBool>);
            impl Drop for Noted {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }
            let noted = dropped.clone();
            let programs = Programs::new().program("server", move |mut program: foster_sim::process::Running| {
                let noted = Noted(noted.clone());
                async move {
                    program.ignore(SignalKind::TERMINATE);
                    program.print("hello").await.unwrap();
                    let _noted = noted;
                    match sleep_forever().await {}
                }
            });
            foster_sim::run(seed, async {
                let start = Instant::now();
                let body = async {
                    let mut child = Command::new("server").stdout(Stdio::piped()).spawn().await.unwrap();
                    let crashes = async {
                        sleep(secs(1)).await;
                        programs.crash();
                    };
                    let (status, ()) = join((child.wait(), crashes)).await;
                    assert_eq!(status.unwrap().signal(), Some(9));
                    let mut text = String::new();
                    child.stdout.as_mut().unwrap().read_to_string(&mut text).await.unwrap();
                    assert_eq!(text, "hello");
                };
                programs.run(body).await;
                assert_eq!(start.elapsed(), secs(1));
            });
            assert!(dropped.load(Ordering::SeqCst));
        });
    }
}

/// Code in a graceful shield may stop its process itself, in its own way and time.
#[test]
fn a_graceful_stop() {
    on_sim("graceful", async |_| {
        let start = Instant::now();
        let scope = CancelScope::new().deadline_after(secs(10)).grace(secs(30));
        let ran = scope.run(graceful(async {
            let mut child = Command::new("polite").spawn().await.unwrap();
            stopping().await;
            child.terminate().unwrap();
            child.wait().await.unwrap().code()
        }));
        // It has returned in the grace.
        assert_eq!(ran.await.unwrap(), Some(2));
        assert_eq!(start.elapsed(), secs(12));
    });
}

/// L14: cancelled code starts no process: the host gives them numbers in turn, and none is left out.
#[test]
fn cancelled_code_starts_nothing() {
    on_sim("L14", async |_| {
        let first = Command::new("exit").arg("0").spawn().await.unwrap().id();
        for way in 0..4 {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let cancelled = scope.run(async {
                handle.cancel("enough");
                let mut command = Command::new("stubborn");
                match way {
                    0 => drop(command.spawn().await),
                    1 => drop(command.status().await),
                    2 => drop(command.output().await),
                    _ => drop(command.run().await),
                }
            });
            assert!(cancelled.await.is_err());
        }
        assert_eq!(Command::new("exit").arg("0").spawn().await.unwrap().id(), first + 1);
    });
}

/// A timeout around the use of a child leaves the child to whoever goes on.
#[test]
fn a_wait_that_is_cut() {
    on_sim("cut", async |_| {
        let mut child = Command::new("sleep").arg("10").spawn().await.unwrap();
        for _ in 0..3 {
            assert!(fail_after(secs(2), child.wait()).await.is_err());
        }
        let start = Instant::now();
        assert!(child.wait().await.unwrap().success());
        assert_eq!(start.elapsed(), secs(4));
    });
}

/// A process whose tree is dropped is killed, though its child is held outside of the tree.
#[test]
fn a_tree_that_is_dropped_without_the_child() {
    on_sim("dropped", async |_| {
        let start = Instant::now();
        let (host, runtime) = (processes().unwrap(), foster::runtime::current().unwrap());
        let mut kept = None;
        let runs = with_processes(host, async {
            kept = Some(Command::new("stubborn").spawn().await.unwrap());
            match sleep_forever().await {}
        });
        assert!(move_on_after(secs(1), foster::runtime::root(runtime, runs)).await.is_none());
        assert_eq!(kept.unwrap().wait().await.unwrap().signal(), Some(9));
        assert_eq!(start.elapsed(), secs(1));
    });
}

/// Without processes each call says so, and names the runtime and the fix.
#[test]
fn missing_processes_are_an_error() {
    foster_conformance::check("missing", || {
        foster_sim::run(1, async {
            for error in [
                Command::new("true").spawn().await.map(drop).unwrap_err(),
                Command::new("true").status().await.map(drop).unwrap_err(),
                foster_process::signals([SignalKind::HANGUP]).map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                assert!(error.to_string().contains("the runtime `sim` has no processes"), "{error}");
            }
        });
    });
}
