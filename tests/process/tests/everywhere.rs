//! The behaviour of processes on every host, Windows included. The programs are this binary, started again to play a
//! role.

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foster::{Instant, Nursery, fail_after, move_on_after, nursery, sleep, sleep_forever};
use foster_conformance::harness::{ms, watched};
use foster_process::{Command, Output, RunError, StartError, Stdio, TooMuchOutput};
use foster_process_conformance::in_time;
use foster_process_conformance::reports::Reports;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

/// The first line of a program's output; before it comes that of the test harness.
const MARK: &str = "the role begins\n";

/// Returns a command that plays a role.
fn role(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "plays_a_role", "--ignored", "--nocapture"]).env("FOSTER_ROLE", name);
    command
}

#[test]
#[ignore = "the other tests start it, in a process of its own"]
fn plays_a_role() {
    let Ok(name) = std::env::var("FOSTER_ROLE") else { return };
    let (mut out, mut err) = (io::stdout(), io::stderr());
    out.write_all(MARK.as_bytes()).and_then(|()| out.flush()).unwrap();
    match &*name {
        "ends" => {}
        "says" => {
            out.write_all(b"out\n").unwrap();
            err.write_all(b"err\n").unwrap();
            end(7);
        }
        "echoes" => {
            // Whoever reads it may have left.
            let _ = io::copy(&mut io::stdin(), &mut out);
        }
        "echoes lines" => {
            for line in io::stdin().lock().lines() {
                writeln!(out, "{}!", line.unwrap()).and_then(|()| out.flush()).unwrap();
            }
        }
        "alternates" => {
            for n in 1..10 {
                writeln!(out, "out {n}").and_then(|()| out.flush()).unwrap();
                writeln!(err, "err {n}").unwrap();
            }
        }
        "shows" => {
            let var = |name| std::env::var(name).unwrap_or_else(|_| "none".into());
            let directory = std::env::current_dir().unwrap();
            write!(out, "{} {} {}", var("FOSTER_A"), var("FOSTER_B"), directory.display()).unwrap();
        }
        "stays" => {
            let mut alive = TcpStream::connect(std::env::var("FOSTER_ADDRESS").unwrap()).unwrap();
            alive.write_all(b"x").unwrap();
            // Until it is killed.
            let _ = alive.read(&mut [0]);
        }
        other => panic!("there is no role `{other}`"),
    }
    end(0);
}

fn end(code: i32) -> ! {
    io::stdout().flush().unwrap();
    std::process::exit(code);
}

/// Returns what a program has said in its role.
fn said(stdout: &[u8]) -> &str {
    let text = std::str::from_utf8(stdout).unwrap();
    text.split_once(MARK).unwrap_or_else(|| panic!("it plays no role: {text:?}")).1
}

/// Sees whether a process lives that plays "stays": it has a connection.
struct Lives {
    listener: TcpListener,
    connection: Option<TcpStream>,
}

impl Lives {
    fn new(command: &mut Command) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        command.env("FOSTER_ADDRESS", listener.local_addr().unwrap().to_string());
        Lives { listener, connection: None }
    }

    async fn begins(&mut self) {
        let connection = loop {
            match self.listener.accept() {
                Ok((connection, _)) => break connection,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(ms(2)).await,
                Err(error) => panic!("{error}"),
            }
        };
        connection.set_nonblocking(true).unwrap();
        while would_block(&connection) {
            sleep(ms(2)).await;
        }
        assert!(would_block(&connection), "it lives");
        self.connection = Some(connection);
    }

    /// Returns at once if it is dead, and panics if it lives on for ten seconds: a host closes what it had a moment
    /// later.
    async fn is_over(&self) {
        let connection = self.connection.as_ref().expect("it has begun");
        let over = async {
            while would_block(connection) {
                sleep(ms(2)).await;
            }
        };
        fail_after(ms(10_000), over).await.expect("the process lives");
    }
}

fn would_block(mut connection: &TcpStream) -> bool {
    matches!(connection.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Runs a behaviour on each adapter, and sees that it leaves nothing, and nothing to report.
fn everywhere<F: Future<Output = ()>>(behaviour: impl Fn() -> F) {
    for adapter in ["smol", "smol with two threads", "tokio", "tokio with threads"] {
        foster_conformance::check(adapter, || {
            let reports = Arc::<Reports>::default();
            let (observer, body) = (reports.clone(), watched(in_time(behaviour())));
            match adapter {
                "smol" => foster_smol::Builder::new().observer(observer).run(body),
                "smol with two threads" => foster_smol::Builder::new().threads(2).observer(observer).run(body),
                "tokio" => foster_tokio::Builder::new().current_thread().observer(observer).run(body),
                _ => foster_tokio::Builder::new().observer(observer).run(body),
            }
            assert_eq!(reports.take(), [] as [String; 0], "{adapter}");
        });
    }
}

#[test]
fn both_outputs_and_the_code_are_right() {
    everywhere(|| async {
        let output = role("says").output().await.unwrap();
        assert_eq!((output.status.code(), said(&output.stdout), &*output.stderr), (Some(7), "out\n", &b"err\n"[..]));
        let error = role("says").run().await.unwrap_err();
        assert!(matches!(error, RunError::Failed(_)), "{error}");
        let Output { stdout, stderr, .. } = error.output().unwrap();
        assert_eq!((said(stdout), &**stderr), ("out\n", &b"err\n"[..]));
        let mut command = role("says");
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for _ in 0..2 {
            assert_eq!(quiet.status().await.unwrap().code(), Some(7));
        }
        let mut child = role("ends").stdout(Stdio::null()).spawn().await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(status.success());
        assert_eq!(child.wait().await.unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
    });
}

#[test]
fn input_is_written_while_output_is_read() {
    everywhere(|| async {
        let input: String = (0..300_000_u32).map(|n| char::from(b'a' + u8::try_from(n % 23).unwrap())).collect();
        let output = role("echoes").input(input.clone()).run().await.unwrap();
        assert!(said(&output.stdout) == input, "{} bytes", output.stdout.len());
        let output = role("echoes").run().await.unwrap();
        assert_eq!(said(&output.stdout), "");
        // It is not an error if the process does not want the input.
        assert!(role("ends").input(input).run().await.unwrap().status.success());
    });
}

/// It goes on after one answer has taken too long, and nothing is lost, however little room the next read has.
#[test]
fn a_dialogue_goes_on_after_a_limit() {
    everywhere(|| async {
        let mut command = role("echoes lines");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut read = Vec::new();
        for (line, room) in [("one", 64), ("two", 5), ("three", 2)] {
            // The last of these reads is cut.
            let mut some = vec![0; room];
            while let Some(more) = move_on_after(ms(20), stdout.read(&mut some)).await {
                read.extend_from_slice(&some[..more.unwrap()]);
            }
            stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
            stdin.flush().await.unwrap();
        }
        drop(stdin);
        stdout.read_to_end(&mut read).await.unwrap();
        assert_eq!(said(&read), "one!\ntwo!\nthree!\n");
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn errors_keep_their_order_with_the_output() {
    everywhere(|| async {
        let expected: String = (1..10).map(|n| format!("out {n}\nerr {n}\n")).collect();
        let output = role("alternates").stderr(Stdio::same_as_stdout()).run().await.unwrap();
        assert_eq!(said(&output.stdout), expected);
        assert!(output.stderr.is_empty());
        let mut file = tempfile::tempfile().unwrap();
        let mut command = role("alternates");
        command.stdout(file.try_clone().unwrap()).stderr(Stdio::same_as_stdout());
        assert!(command.status().await.unwrap().success());
        let mut text = Vec::new();
        io::Seek::rewind(&mut file).and_then(|()| file.read_to_end(&mut text)).unwrap();
        assert_eq!(said(&text), expected);
        // A file as input.
        io::Seek::rewind(&mut file).unwrap();
        let output = role("echoes").stdin(file).run().await.unwrap();
        assert_eq!(said(said(&output.stdout).as_bytes()), expected);
        let mut command = role("alternates");
        assert!(command.stdout(Stdio::null()).stderr(Stdio::same_as_stdout()).status().await.unwrap().success());
    });
}

#[test]
fn a_process_has_the_environment_and_the_directory_that_it_is_given() {
    everywhere(|| async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let mut command = role("shows");
        command.env("FOSTER_A", "a").envs([("FOSTER_B", "b")]).env_remove("FOSTER_B").current_dir(&path);
        let output = command.run().await.unwrap();
        let (vars, shown) = said(&output.stdout).rsplit_once(' ').unwrap();
        assert_eq!(vars, "a none");
        assert_eq!(std::path::Path::new(shown).canonicalize().unwrap(), path);
    });
}

#[test]
fn the_output_of_one_is_the_input_of_the_next() {
    everywhere(|| async {
        let mut first = role("echoes").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        let mut second = role("echoes");
        second.stdin(first.stdout.take().unwrap());
        let mut stdin = first.stdin.take().unwrap();
        let writes = async {
            stdin.write_all(&[b'x'; 200_000]).await.unwrap();
            drop(stdin);
        };
        let (output, ()) = foster::combine::join((second.run(), writes)).await;
        let stdout = output.unwrap().stdout;
        assert_eq!(said(said(&stdout).as_bytes()).len(), 200_000);
        assert!(first.wait().await.unwrap().success());
    });
}

#[test]
fn a_program_that_does_not_exist_is_not_found() {
    everywhere(|| async {
        for name in ["there-is-no-such-program", "/nowhere/at/all"] {
            for _ in 0..20 {
                let error = Command::new(name).stdout(Stdio::piped()).spawn().await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
                assert!(error.to_string().starts_with(&format!("`{name}` could not be started: ")), "{error}");
                let why = error.get_ref().and_then(|why| why.downcast_ref::<StartError>()).unwrap();
                assert!(why.missing_directory.is_none() && why.error.kind() == error.kind(), "{why:?}");
                assert!(why.error.raw_os_error().is_some() || cfg!(windows), "{why:?}");
            }
        }
        let missing = role("ends").current_dir("there-is-no-such-directory").spawn().await.unwrap_err();
        assert_eq!(missing.kind(), if cfg!(windows) { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound });
        assert!(missing.to_string().contains("`there-is-no-such-directory`, which does not exist: "), "{missing}");
        // It is the program that is missing, in a directory that is there.
        let missing = Command::new("there-is-no-such-program").current_dir("/").output().await.unwrap_err();
        assert!(!missing.to_string().contains("which does not exist"), "{missing}");
    });
}

#[test]
fn no_more_is_captured_than_the_limit() {
    everywhere(|| async {
        let said = |input: usize| async move {
            role("echoes").input(vec![b'x'; input]).max_output(100_000).stderr(Stdio::null()).output().await
        };
        assert!(said(90_000).await.unwrap().status.success());
        let error = said(200_000).await.unwrap_err();
        assert!(error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooMuchOutput>), "{error}");
    });
}

#[test]
fn a_process_that_outlives_its_limit_is_killed() {
    everywhere(|| async {
        for way in 0..3 {
            let mut command = role("stays");
            command.stdin(Stdio::null()).stderr(Stdio::null());
            let mut lives = Lives::new(&mut command);
            let start = Instant::now();
            let limited = move_on_after(ms(400), async {
                let run = async {
                    match way {
                        0 => drop(command.output().await),
                        1 => drop(command.stdout(Stdio::null()).status().await),
                        _ => drop(command.stdout(Stdio::piped()).spawn().await.unwrap().wait().await),
                    }
                    panic!("it has ended by itself");
                };
                foster::combine::join((run, lives.begins())).await;
            });
            assert!(limited.await.is_none());
            assert!(start.elapsed() < Duration::from_secs(4), "not even the grace has passed");
            lives.is_over().await;
        }
    });
}

#[test]
fn a_process_ends_with_its_scope_and_with_its_child() {
    everywhere(|| async {
        // Its child is dropped; its nursery fails; its scope ends, and somebody has its child.
        for way in 0..3 {
            let mut command = role("stays");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut lives = Lives::new(&mut command);
            match way {
                0 => {
                    let child = command.spawn().await.unwrap();
                    lives.begins().await;
                    drop(child);
                }
                1 => {
                    let fails = nursery(async |n: Nursery<io::Error>| {
                        n.spawn(async move { command.status().await.map(drop) });
                        lives.begins().await;
                        Err::<(), _>(io::Error::other("on purpose"))
                    });
                    assert_eq!(fails.await.unwrap_err().to_string(), "on purpose");
                }
                _ => {
                    let kept = async {
                        let child = command.spawn().await.unwrap();
                        lives.begins().await;
                        child
                    };
                    let mut child = move_on_after(ms(30_000), kept).await.unwrap();
                    let status = child.try_wait().unwrap().expect("it was reaped");
                    assert_eq!(status.code(), if cfg!(windows) { Some(1) } else { None });
                    child.terminate().unwrap();
                }
            }
            lives.is_over().await;
        }
    });
}

#[test]
fn a_process_can_be_killed() {
    everywhere(|| async {
        for terminated in [false, true] {
            let mut command = role("stays");
            command.stdin(Stdio::null()).stderr(Stdio::null());
            let mut lives = Lives::new(&mut command);
            let mut child = command.stdout(Stdio::piped()).spawn().await.unwrap();
            lives.begins().await;
            assert_eq!(child.try_wait().unwrap(), None);
            if terminated {
                child.terminate().unwrap();
                child.wait().await.unwrap();
            }
            let status = child.kill().await.unwrap();
            assert_eq!(status.code(), if cfg!(windows) { Some(1) } else { None });
            child.start_kill().unwrap();
            assert_eq!(child.kill().await.unwrap(), status);
            lives.is_over().await;
            let mut rest = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut rest).await.unwrap();
            assert_eq!(said(&rest), "");
        }
    });
}

/// If the future of a tree is dropped, nothing can wait for its processes: also not for one whose child is elsewhere.
#[test]
fn a_tree_that_is_dropped_kills_its_processes() {
    everywhere(|| async {
        for elsewhere in [false, true] {
            let runtime = foster::runtime::current().unwrap();
            let mut command = role("stays");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut lives = Lives::new(&mut command);
            let mut kept = None;
            {
                let runs = async {
                    if elsewhere {
                        kept = Some(command.spawn().await.unwrap());
                        sleep_forever().await;
                    }
                    drop(command.status().await);
                };
                let mut root = pin!(foster::runtime::root(runtime, runs));
                let polls = async {
                    root.as_mut().await;
                    panic!("it has ended by itself");
                };
                foster::combine::race((polls, lives.begins())).await;
            }
            lives.is_over().await;
            if let Some(child) = &mut kept {
                let status = child.wait().await.unwrap();
                assert_eq!(status.code(), if cfg!(windows) { Some(1) } else { None });
            }
        }
    });
}

#[test]
fn the_pipes_of_a_process_that_has_ended() {
    everywhere(|| async {
        let mut command = role("says");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().await.unwrap();
        child.wait().await.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let written = async {
            stdin.write_all(b"x").await?;
            stdin.flush().await
        };
        assert_eq!(written.await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        stdin.close().await.unwrap();
        assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        for first in [true, false] {
            let (mut rest, mut errors) = (Vec::new(), String::new());
            child.stdout.as_mut().unwrap().read_to_end(&mut rest).await.unwrap();
            child.stderr.as_mut().unwrap().read_to_string(&mut errors).await.unwrap();
            assert_eq!(errors, if first { "err\n" } else { "" });
            assert!(if first { said(&rest) == "out\n" } else { rest.is_empty() });
        }
    });
}

#[test]
fn a_hundred_processes_at_once() {
    everywhere(|| async {
        let start = Instant::now();
        let all = nursery(async |n: Nursery<io::Error>| {
            for number in 0..100 {
                n.spawn(async move {
                    let input = format!("{number}");
                    let output = role("echoes").input(input.clone()).output().await?;
                    assert_eq!((said(&output.stdout), output.status.code()), (&*input, Some(0)));
                    Ok(())
                });
            }
            Ok(())
        });
        all.await.unwrap();
        println!("{:?}", start.elapsed());
    });
}

/// On Windows, bytes of a cancelled read are for the next read, and not for another process.
#[cfg(windows)]
#[test]
fn a_pipe_that_is_being_read_is_not_given_on() {
    everywhere(|| async {
        for cut in [false, true] {
            let mut command = role("echoes lines");
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
            let mut stdout = child.stdout.take().unwrap();
            stdout.read(&mut [0]).await.unwrap();
            while cut && move_on_after(ms(20), stdout.read(&mut [0; 64])).await.is_some() {}
            let mut next = role("echoes");
            next.stdin(stdout);
            drop(child.stdin.take());
            match next.output().await {
                Ok(output) => assert!(!cut && said(&output.stdout).contains(MARK)),
                Err(error) => assert_eq!((cut, error.kind()), (true, io::ErrorKind::ResourceBusy)),
            }
            assert!(child.wait().await.unwrap().success());
        }
    });
}

/// Windows has no signals: only a request to kill.
#[cfg(windows)]
#[test]
fn other_signals_are_unsupported() {
    use foster_process::SignalKind;
    everywhere(|| async {
        let mut command = role("stays");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut lives = Lives::new(&mut command);
        let mut child = command.spawn().await.unwrap();
        lives.begins().await;
        let refused = child.signal(SignalKind::INTERRUPT).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(child.try_wait().unwrap(), None);
        drop(child);
        lives.is_over().await;
        let mut command = role("ends");
        command.stop_signal(SignalKind::HANGUP);
        assert_eq!(command.spawn().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
        command.stop_with(async |_| io::Result::Ok(()));
        assert!(command.run().await.unwrap().status.success());
    });
}
