//! Signals to this process, as streams. Tests of the end of a process run in a process of their own: this binary,
//! started again.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foster::app::Signal;
use foster::{fail_after, move_on_after, sleep};
use foster_conformance::harness::ms;
use foster_process::{Command, SignalKind, Signals, signals};
use foster_process_conformance::reports::Reports;
use futures_lite::{Stream, StreamExt};

const ADAPTERS: [&str; 3] = ["smol", "tokio", "tokio with threads"];

fn run<T>(adapter: &str, body: impl Future<Output = T>) -> T {
    let reports = Arc::<Reports>::default();
    match adapter {
        "smol" => foster_smol::Builder::new().threads(2).observer(reports).run(body),
        "tokio" => foster_tokio::Builder::new().current_thread().observer(reports).run(body),
        _ => foster_tokio::Builder::new().observer(reports).run(body),
    }
}

/// Sends a signal to this process. A thread has still to handle it.
async fn send(kind: SignalKind) {
    let (name, me) = (format!("-{}", kind.as_raw()), std::process::id().to_string());
    Command::new("kill").args([name, me]).run().await.unwrap();
}

/// Sends a signal to this process, and gives a thread some time to handle it. The code that follows is right even if it
/// has not been handled.
async fn raise(kind: SignalKind) {
    send(kind).await;
    sleep(ms(50)).await;
}

/// Any signal is heard, by each stream, once however often it came before it was read; a stream that is dropped hears
/// no more.
#[test]
fn signals_are_heard() {
    let kinds = [
        SignalKind::HANGUP,
        SignalKind::TERMINATE,
        SignalKind::USER_DEFINED_1,
        SignalKind::USER_DEFINED_2,
        SignalKind::ALARM,
    ];
    for adapter in ADAPTERS {
        foster_conformance::check(adapter, || {
            run(adapter, async {
                let (mut all, mut one) = (signals(kinds).unwrap(), signals([SignalKind::ALARM]).unwrap());
                // The last one hears a signal when the others have.
                let mut last = signals(kinds).unwrap();
                for kind in kinds {
                    for _ in 0..3 {
                        send(kind).await;
                        assert_eq!(fail_after(ms(10_000), last.recv()).await.unwrap().unwrap(), kind);
                    }
                    assert_eq!(fail_after(ms(10_000), all.recv()).await.unwrap().unwrap(), kind);
                }
                assert_eq!(fail_after(ms(10_000), one.next()).await.unwrap().unwrap().unwrap(), SignalKind::ALARM);
                assert!(move_on_after(ms(50), all.recv()).await.is_none());
                assert!(move_on_after(ms(50), one.recv()).await.is_none());
                drop(one);
                let waits = async { all.recv().await.unwrap() };
                let (heard, ()) = foster::combine::join((waits, raise(SignalKind::ALARM))).await;
                assert_eq!(heard, SignalKind::ALARM);
            });
        });
    }
}

/// A signal that comes again each time before it is read does not keep the others from being read.
#[test]
fn a_frequent_signal_starves_no_other() {
    // No other test in this process sends these.
    let kinds = [SignalKind::QUIT, SignalKind::WINDOW_CHANGE, SignalKind::CONTINUE];
    for adapter in ADAPTERS {
        foster_conformance::check(adapter, || {
            run(adapter, async {
                for frequent in kinds {
                    let mut stream = signals(kinds).unwrap();
                    // The last one hears a signal when the other has.
                    let mut last = signals(kinds).unwrap();
                    let mut left = kinds.to_vec();
                    for kind in kinds {
                        send(kind).await;
                        assert_eq!(fail_after(ms(10_000), last.recv()).await.unwrap().unwrap(), kind);
                    }
                    for _ in 0..3 {
                        let kind = fail_after(ms(10_000), stream.recv()).await.unwrap().unwrap();
                        left.retain(|other| *other != kind);
                        send(frequent).await;
                        assert_eq!(fail_after(ms(10_000), last.recv()).await.unwrap().unwrap(), frequent);
                    }
                    assert!(left.is_empty(), "{frequent} is read again and again, and {left:?} not");
                }
            });
        });
    }
}

#[test]
fn what_cannot_be_handled_is_refused() {
    for adapter in ADAPTERS {
        foster_conformance::check(adapter, || {
            run(adapter, async {
                for kind in [SignalKind::KILL, SignalKind::STOP, SignalKind::from_raw(11)] {
                    let refused = signals([SignalKind::USER_DEFINED_1, kind]).unwrap_err();
                    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
                }
                for number in [4000, 0, -1, i32::MIN, i32::MAX] {
                    assert!(signals([SignalKind::from_raw(number)]).is_err(), "{number}");
                }
            });
        });
    }
}

/// Real-time signals, which have no names, are heard.
#[cfg(target_os = "linux")]
#[test]
fn real_time_signals_are_heard() {
    let kind = SignalKind::from_raw(40);
    for adapter in ADAPTERS {
        foster_conformance::check(adapter, || {
            run(adapter, async {
                let mut stream = signals([kind]).unwrap();
                send(kind).await;
                assert_eq!(fail_after(ms(10_000), stream.recv()).await.unwrap().unwrap(), kind);
                drop(stream);
                // Does nothing: this test goes on.
                raise(kind).await;
            });
        });
    }
}

/// A command is not started which could not be asked to stop.
#[test]
fn a_stop_signal_that_cannot_be_sent_is_refused() {
    for adapter in ADAPTERS {
        foster_conformance::check(adapter, || {
            run(adapter, async {
                for number in [0, 40, 4000, i32::MIN] {
                    let mut command = Command::new("true");
                    command.stop_signal(SignalKind::from_raw(number));
                    assert_eq!(command.spawn().await.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
                    assert_eq!(command.status().await.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
                    command.stop_with(async |_| std::io::Result::Ok(()));
                    assert!(command.status().await.unwrap().success());
                }
            });
        });
    }
}

/// Starts this binary again, to play a role on an adapter, and returns how it has ended: its code, or a signal.
fn role(name: &str, adapter: &str, before: &str) -> Result<i32, SignalKind> {
    let mut status = None;
    foster_conformance::check(name, || {
        let output = foster_smol::run(async {
            let script = format!("{before} exec \"$0\" --exact plays_a_role --ignored --nocapture");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).arg(std::env::current_exe().unwrap());
            command.env("FOSTER_ROLE", name).env("FOSTER_ADAPTER", adapter);
            fail_after(Duration::from_secs(60), command.output()).await.unwrap().unwrap()
        });
        assert!(output.status.code().is_none_or(|code| code == SURVIVES), "{output:?}");
        status = Some(output.status);
    });
    let status = status.unwrap();
    status.code().ok_or_else(|| SignalKind::from_raw(status.signal().unwrap()))
}

/// The code of a process that has survived.
const SURVIVES: i32 = 7;

/// When the last stream is dropped, the signal does what it did before the first one: ends the process, does nothing,
/// or goes to another handler.
#[test]
fn the_old_behaviour_is_restored() {
    for adapter in ADAPTERS {
        assert_eq!(role("default", adapter, ""), Err(SignalKind::TERMINATE));
        assert_eq!(role("again", adapter, ""), Err(SignalKind::TERMINATE));
        if cfg!(target_os = "linux") {
            assert_eq!(role("default", adapter, "trap '' TERM;"), Ok(SURVIVES));
        }
    }
    if cfg!(target_os = "linux") {
        assert_eq!(role("beside tokio", "tokio", ""), Ok(SURVIVES));
    }
}

/// A signal that nobody has read is raised again, with the old behaviour, when the last stream is dropped; one that
/// any stream has read is not, in whatever order they are dropped.
#[test]
fn an_unread_signal_is_not_lost() {
    for adapter in ADAPTERS {
        assert_eq!(role("unread", adapter, ""), Err(SignalKind::TERMINATE));
        assert_eq!(role("unread by one", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("exchanged", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("exchanged in a storm", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("read by another", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("read, reader goes first", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("read, reader goes last", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("read by one that is gone", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("read, and came again, reader goes first", adapter, ""), Err(SignalKind::TERMINATE));
        assert_eq!(role("read, and came again, reader goes last", adapter, ""), Err(SignalKind::TERMINATE));
        if cfg!(target_os = "linux") {
            assert_eq!(role("unread", adapter, "trap '' TERM;"), Ok(SURVIVES));
        }
    }
}

fn drop_both(reader: Signals, other: Signals, reader_goes_first: bool) {
    let (first, last) = if reader_goes_first { (reader, other) } else { (other, reader) };
    drop(first);
    drop(last);
}

/// From the call of an adapter's `signals` on, those signals do not end the process: whatever streams there were before,
/// and however they end. One that had come before is heard.
#[test]
fn signals_of_an_app_do_not_end_the_process() {
    for adapter in ADAPTERS {
        assert_eq!(role("app, stream held", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("app, stream gone", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("app, stream made later", adapter, ""), Ok(SURVIVES));
        assert_eq!(role("app, came before", adapter, ""), Ok(SURVIVES));
    }
}

/// Signals of one sort that come before an app reads the first are one, on each adapter.
#[test]
fn signals_of_an_app_are_one_until_they_are_read() {
    for adapter in ADAPTERS {
        assert_eq!(role("app, several of a sort", adapter, ""), Ok(SURVIVES));
    }
}

fn app_signals(adapter: &str) -> Pin<Box<dyn Stream<Item = Signal>>> {
    match adapter {
        "smol" => Box::pin(foster_smol::signals().unwrap()),
        _ => Box::pin(foster_tokio::signals().unwrap()),
    }
}

/// Each kind is heard by the app once, in any order, as other threads may handle them; and none of them ends the process.
async fn app_hears<const N: usize>(app: &mut Pin<Box<dyn Stream<Item = Signal>>>, kinds: [SignalKind; N]) {
    let mut heard = Vec::new();
    for _ in kinds {
        let signal = fail_after(ms(10_000), app.next()).await.unwrap().unwrap();
        heard.push(signal.number().map(i32::from));
    }
    heard.sort_unstable();
    assert_eq!(heard, kinds.map(|kind| Some(kind.as_raw())));
    assert!(move_on_after(ms(50), app.next()).await.is_none());
}

#[test]
#[ignore = "the other tests start it, in a process of its own"]
fn plays_a_role() {
    let (Ok(name), Ok(adapter)) = (std::env::var("FOSTER_ROLE"), std::env::var("FOSTER_ADAPTER")) else { return };
    let term = SignalKind::TERMINATE;
    let both = [SignalKind::INTERRUPT, term];
    run(&adapter, async {
        match &*name {
            "default" | "again" => {
                for _ in 0..if name == "again" { 3 } else { 1 } {
                    let mut stream = signals([term, SignalKind::HANGUP]).unwrap();
                    raise(term).await;
                    assert_eq!(stream.recv().await.unwrap(), term);
                }
                raise(term).await;
            }
            "unread" => {
                let stream = signals([SignalKind::HANGUP, term]).unwrap();
                raise(term).await;
                drop(stream);
            }
            "unread by one" => {
                let (one, mut other) = (signals([term]).unwrap(), signals([term]).unwrap());
                raise(term).await;
                drop(one);
                assert_eq!(other.recv().await.unwrap(), term);
                // Each has been told of it, and this one has read it.
                drop(other);
            }
            "exchanged" => {
                let mut stream = signals([term]).unwrap();
                raise(term).await;
                for _ in 0..3 {
                    let next = signals([SignalKind::HANGUP, term]).unwrap();
                    drop(std::mem::replace(&mut stream, next));
                }
                assert_eq!(fail_after(ms(10_000), stream.recv()).await.unwrap().unwrap(), term);
                assert!(move_on_after(ms(50), stream.recv()).await.is_none());
            }
            "exchanged in a storm" => {
                let stream = signals([term]).unwrap();
                raise(term).await;
                let mut next = signals([SignalKind::HANGUP, term]).unwrap();
                // More than there is room for in what wakes it.
                let storm = "i=0; while [ $i -lt 3000 ]; do kill -HUP \"$0\"; i=$((i + 1)); done";
                Command::new("sh").args(["-c", storm, &std::process::id().to_string()]).run().await.unwrap();
                drop(stream);
                let heard = [next.recv().await.unwrap(), next.recv().await.unwrap()];
                assert_eq!(heard, [SignalKind::HANGUP, term]);
            }
            "read by another" => {
                let (one, mut other) = (signals([term]).unwrap(), signals([term]).unwrap());
                send(term).await;
                assert_eq!(other.recv().await.unwrap(), term);
                let mut third = signals([term]).unwrap();
                // One of those that are left has got it.
                drop(one);
                assert!(move_on_after(ms(50), other.recv()).await.is_none());
                assert!(move_on_after(ms(50), third.recv()).await.is_none());
            }
            "read, reader goes first" | "read, reader goes last" => {
                let (mut reader, other) = (signals([term]).unwrap(), signals([term, SignalKind::HANGUP]).unwrap());
                // Those that come before the other one has read are one there.
                for _ in 0..3 {
                    send(term).await;
                    assert_eq!(fail_after(ms(10_000), reader.recv()).await.unwrap().unwrap(), term);
                }
                drop_both(reader, other, name == "read, reader goes first");
            }
            "read by one that is gone" => {
                let (mut reader, other) = (signals([term]).unwrap(), signals([term]).unwrap());
                send(term).await;
                assert_eq!(fail_after(ms(10_000), reader.recv()).await.unwrap().unwrap(), term);
                drop(reader);
                let mut third = signals([term]).unwrap();
                drop(other);
                assert!(move_on_after(ms(50), third.recv()).await.is_none());
            }
            "read, and came again, reader goes first" | "read, and came again, reader goes last" => {
                let (mut reader, other) = (signals([term]).unwrap(), signals([term]).unwrap());
                send(term).await;
                assert_eq!(fail_after(ms(10_000), reader.recv()).await.unwrap().unwrap(), term);
                raise(term).await;
                drop_both(reader, other, name == "read, and came again, reader goes first");
            }
            "app, stream held" => {
                let stream = signals(both).unwrap();
                let mut app = app_signals(&adapter);
                for kind in both {
                    raise(kind).await;
                }
                drop(stream);
                app_hears(&mut app, both).await;
                drop(app);
                for kind in both {
                    raise(kind).await;
                }
            }
            "app, stream gone" | "app, stream made later" => {
                let is_gone = name == "app, stream gone";
                if is_gone {
                    drop(signals(both).unwrap());
                }
                let mut app = app_signals(&adapter);
                if !is_gone {
                    drop(signals(both).unwrap());
                }
                for kind in both {
                    raise(kind).await;
                }
                app_hears(&mut app, both).await;
                // A second one changes nothing.
                let again = (signals(both).unwrap(), app_signals(&adapter));
                for kind in both {
                    raise(kind).await;
                }
                drop(again);
                app_hears(&mut app, both).await;
            }
            "app, came before" => {
                // SIGINT is ignored in what a shell has started in the background: then it is not left to anybody.
                let stream = signals(both).unwrap();
                raise(term).await;
                let mut app = app_signals(&adapter);
                assert!(move_on_after(ms(50), app.next()).await.is_none());
                // The last stream that has got them leaves them to those who listen now.
                drop(stream);
                app_hears(&mut app, [term]).await;
            }
            "app, several of a sort" => {
                let mut app = app_signals(&adapter);
                // It hears a signal when the app's handler has.
                let mut last = signals(both).unwrap();
                for _ in 0..2 {
                    for kind in [term, term, SignalKind::INTERRUPT] {
                        send(kind).await;
                        assert_eq!(last.recv().await.unwrap(), kind);
                    }
                    // When a timer fires, the driver of the runtime has seen what came before.
                    sleep(ms(1)).await;
                    app_hears(&mut app, both).await;
                }
            }
            "beside tokio" => {
                let mut first = foster_tokio::signals().unwrap();
                let mut stream = signals([term]).unwrap();
                raise(term).await;
                assert_eq!(stream.recv().await.unwrap(), term);
                assert_eq!(first.next().await.unwrap().number(), Some(15));
                drop(stream);
                raise(term).await;
                assert_eq!(first.next().await.unwrap().number(), Some(15));
            }
            other => panic!("there is no role `{other}`"),
        }
        sleep(ms(200)).await;
        std::process::exit(SURVIVES);
    });
}
