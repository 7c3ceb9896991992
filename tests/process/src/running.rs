//! N7: how processes are started, and how they end by themselves.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use foster::{CancelScope, Nursery, move_on_after, nursery, sleep};
use foster_process::{Command, RunError, SignalKind, Stdio};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::left;
use crate::reports::Reports;
use foster_conformance::harness::ms;

/// Returns a command that runs a script.
#[track_caller]
pub(crate) fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// N111: code or signal is right, `Debug` shows program and state, and a second wait gives the same.
pub async fn n111_the_status_is_right(_: Arc<Reports>) {
    for code in [0, 1, 77] {
        let mut child = sh(&format!("exit {code}")).spawn().await.unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(child.wait().await.unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        let shown = format!("{child:?}");
        assert!(shown.contains("\"sh\"") && shown.contains(&format!("exit status: {code}")), "{shown}");
    }
    let mut child = Command::new("sleep").arg("300").spawn().await.unwrap();
    let shown = format!("{child:?}");
    assert!(shown.contains("\"sleep\"") && shown.contains("running"), "{shown}");
    child.signal(SignalKind::USER_DEFINED_1).unwrap();
    let status = child.wait().await.unwrap();
    assert_eq!((status.code(), status.signal()), (None, Some(SignalKind::USER_DEFINED_1.as_raw())));
    assert_eq!(sh("kill -KILL $$").status().await.unwrap().signal(), Some(9));
}

/// N111: a child that is waited for with its output: all of both streams, more than pipes hold, and its input is closed. What
/// was taken is somebody else's. Cancelled, it is stopped.
pub async fn n111_a_child_with_its_output(_: Arc<Reports>) {
    let piped = |script: &str| {
        let mut command = sh(script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let script = "cat; head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 5";
    let mut child = piped(script).spawn().await.unwrap();
    child.stdin.as_mut().unwrap().write_all(b"input").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len(), output.status.code()), (300_005, 200_000, Some(5)));
    assert!(output.stdout.starts_with(b"input") && output.checked().is_err());

    let mut child = piped("echo taken; echo error >&2").spawn().await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let mut taken = String::new();
    stdout.read_to_string(&mut taken).await.unwrap();
    assert_eq!((&*taken, &*output.stdout, &*output.stderr), ("taken\n", &b""[..], &b"error\n"[..]));

    let cut = CancelScope::new().run(async {
        let child = piped("exec sleep 300").spawn().await.unwrap();
        assert!(move_on_after(ms(20), child.wait_with_output()).await.is_none());
    });
    cut.await.unwrap();
    assert_eq!(left::children(), [] as [String; 0]);
}

/// N112: a start that fails says why, each time, and leaves nothing.
pub async fn n112_failed_starts_leave_nothing(_: Arc<Reports>) {
    let refused = || async {
        let missing = Command::new("/nowhere/at/all").spawn().await.unwrap_err().kind();
        let not_executable = Command::new("/etc/passwd").output().await.unwrap_err().kind();
        let directory =
            Command::new("true").current_dir("/nowhere").stdout(Stdio::piped()).spawn().await.unwrap_err().kind();
        [missing, not_executable, directory]
    };
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound];
    assert_eq!(refused().await, kinds);
    let (open, threads) = (left::descriptors().len(), left::threads());
    for _ in 0..200 {
        assert_eq!(refused().await, kinds);
    }
    assert_eq!(left::children(), [] as [String; 0]);
    assert!(left::descriptors().len() <= open, "descriptors are left: {:?}", left::descriptors());
    // Some are those of the test harness, which come and go; but not so many of them.
    assert!(left::threads() < threads + 100, "threads are left: {}, before {threads}", left::threads());
}

/// N113: `try_wait` sees the exit although nobody has waited for the child.
pub async fn n113_try_wait_sees_the_exit(_: Arc<Reports>) {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().await.unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    drop(child.stdin.take());
    let mut seen = child.try_wait().unwrap();
    while seen.is_none() {
        sleep(ms(5)).await;
        seen = child.try_wait().unwrap();
    }
    assert!(seen.unwrap().success());
}

/// N114: a child may handle the request to end; to kill one that has ended is no error.
pub async fn n114_terminate_and_kill(_: Arc<Reports>) {
    let mut child = sh("trap 'exit 2' TERM; echo ready; while :; do sleep 0.02; done")
        .stdout(Stdio::piped())
        .spawn()
        .await
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).await.unwrap();
    child.terminate().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(2));
    for _ in 0..2 {
        child.start_kill().unwrap();
        assert_eq!(child.kill().await.unwrap().code(), Some(2));
    }
    let mut child = Command::new("sleep").arg("300").spawn().await.unwrap();
    child.start_kill().unwrap();
    child.start_kill().unwrap();
    assert_eq!(child.kill().await.unwrap().signal(), Some(9));
}

/// N114: no signal reaches another process that has got the number of one that was reaped. Where the test may not
/// choose numbers, there is only the rest of N114.
pub async fn n114_no_signal_to_a_stranger(_: Arc<Reports>) {
    for _ in 0..50 {
        let mut child = Command::new("true").spawn().await.unwrap();
        child.wait().await.unwrap();
        if std::fs::write("/proc/sys/kernel/ns_last_pid", (child.id() - 1).to_string()).is_err() {
            return;
        }
        let mut stranger = Command::new("sleep").arg("300").process_group().spawn().await.unwrap();
        if stranger.id() != child.id() {
            // Somebody else was faster.
            continue;
        }
        child.start_kill().unwrap();
        assert!(child.kill().await.unwrap().success());
        drop(child);
        sleep(ms(50)).await;
        assert_eq!(stranger.try_wait().unwrap(), None, "it was killed in place of another");
        return;
    }
}

/// N120: of exits that come together, none is spent on another process.
pub async fn n120_each_wait_ends(_: Arc<Reports>) {
    let waits = nursery(async |n: Nursery<io::Error>| {
        for task in 0..10 {
            n.spawn(async move {
                let mut children = Vec::new();
                for number in 0..10 {
                    let code = task * 10 + number;
                    let mut child = sh(&format!("read line; exit {code}"));
                    children.push((code, child.stdin(Stdio::piped()).spawn().await?));
                }
                for (_, child) in &mut children {
                    drop(child.stdin.take());
                }
                for (code, mut child) in children.into_iter().rev() {
                    assert_eq!(child.wait().await?.code(), Some(code));
                }
                Ok(())
            });
        }
        Ok(())
    });
    waits.await.unwrap();
}

/// N124: options that contradict each other are refused, and no process is started.
pub async fn n124_contradictions_are_refused(_: Arc<Reports>) {
    let mark = std::env::temp_dir().join(format!("foster-n124-{}", std::process::id()));
    let command = || {
        let mut command = Command::new("touch");
        command.arg(&mark);
        command
    };
    let refused = [
        command().input("x").stdin(Stdio::null()).run().await.map_err(io::Error::from).map(drop),
        command().input("x").stdin(Stdio::piped()).output().await.map(drop),
        command().input("x").spawn().await.map(drop),
        command().stdout(Stdio::piped()).status().await.map(drop),
        command().stderr(Stdio::piped()).status().await.map(drop),
        command().stdout(Stdio::null()).stderr(Stdio::inherit()).output().await.map(drop),
        command().stdout(Stdio::null()).stderr(Stdio::same_as_stdout()).output().await.map(drop),
        command().stdout(Stdio::same_as_stdout()).status().await.map(drop),
        command().stdin(Stdio::same_as_stdout()).spawn().await.map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput, "number {number}");
    }
    assert!(!mark.exists(), "a process was started");
    // The same without the contradiction does.
    command().stdout(Stdio::null()).output().await.unwrap();
    assert!(mark.exists());
    std::fs::remove_file(mark).unwrap();
}

/// N125: a command in the background of a nursery fails it, with status and output; without the check it does not.
pub async fn n125_a_failure_in_the_background(_: Arc<Reports>) {
    let script = "echo out; echo err >&2; exit 7";
    let checked = nursery(async |n: Nursery<RunError>| {
        n.spawn(async move { sh(script).run().await.map(drop) });
        n.spawn(async { Command::new("sleep").arg("300").run().await.map(drop) });
        sleep(Duration::from_secs(300)).await;
        Ok(())
    });
    let error = checked.await.unwrap_err();
    let output = error.output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(7), &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(error.to_string(), "`sh` has failed with exit status: 7, and the errors `err`");
    let unchecked = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move { sh(script).output().await.map(drop) });
        Ok(())
    });
    unchecked.await.unwrap();
}

/// N126: environment, directory, name, session, user and group are those that were set; a command can be run many
/// times.
pub async fn n126_what_a_child_is_given(_: Arc<Reports>) {
    let stdout = |mut command: Command| async move {
        String::from_utf8(command.run().await.unwrap().stdout).unwrap().trim_end().to_owned()
    };
    let mut command = sh("echo $FOSTER_A-$FOSTER_B-${PATH:+path}");
    command.env("FOSTER_A", "a").envs([("FOSTER_B", "b")]);
    assert_eq!(stdout(command).await, "a-b-path");
    let mut command = sh("echo $FOSTER_A-$FOSTER_B");
    command.envs([("FOSTER_A", "a"), ("FOSTER_B", "b")]).env("FOSTER_A", "other").env_remove("FOSTER_B");
    assert_eq!(stdout(command).await, "other-");
    let mut command = Command::new("/usr/bin/env");
    command.env("FOSTER_A", "a").env_clear().env("FOSTER_B", "b");
    assert_eq!(stdout(command).await, "FOSTER_B=b");
    let mut command = sh("pwd");
    command.current_dir("/");
    assert_eq!(stdout(command).await, "/");
    let mut command = sh("echo $0");
    command.arg0("another name");
    assert_eq!(stdout(command).await, "another name");

    groups_and_sessions(stdout).await;
    // Only root may become somebody else; the others may become themselves.
    let (uid, gid) = (stdout(sh("id -u")).await, stdout(sh("id -g")).await);
    let other = if uid == "0" { (65_534, 65_533) } else { (uid.parse().unwrap(), gid.parse().unwrap()) };
    let mut command = sh("echo $(id -u) $(id -g)");
    command.uid(other.0).gid(other.1);
    assert_eq!(stdout(command).await, format!("{} {}", other.0, other.1));
    if uid != "0" {
        assert_eq!(sh("true").uid(0).status().await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    let mut command = sh("cat; echo -n more >&2");
    let path = std::env::temp_dir().join(format!("foster-n126-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    command.input("same").stderr(file);
    for _ in 0..3 {
        assert_eq!(command.run().await.unwrap().stdout, b"same");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"moremoremore");
    std::fs::remove_file(path).unwrap();
}

/// Each may be that of this process, or one of its own.
async fn groups_and_sessions<F: Future<Output = String>>(stdout: impl Fn(Command) -> F) {
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let mine = ids(&own);
    for (grouped, session) in [(false, false), (true, false), (true, true)] {
        let mut command = sh("echo $$; exec cat /proc/$$/stat");
        match (grouped, session) {
            (_, true) => command.new_session(),
            (true, _) => command.process_group(),
            _ => &mut command,
        };
        let text = stdout(command).await;
        let (id, stat) = text.split_once('\n').unwrap();
        let (group, of_session) = ids(stat);
        assert_eq!((group == id, of_session == id), (grouped, session), "{text}");
        assert_eq!((group == mine.0, of_session == mine.1), (!grouped, !session), "{text}");
    }
}

/// The group and the session, of the fields behind the name: state, parent, group, session, …
fn ids(stat: &str) -> (&str, &str) {
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[2], fields[3])
}

#[doc(hidden)]
#[macro_export]
macro_rules! running_suite {
    ($runner:ident) => {
        $crate::behaviours! { $runner; running {
            n111_the_status_is_right,
            n111_a_child_with_its_output,
            n112_failed_starts_leave_nothing,
            n113_try_wait_sees_the_exit,
            n114_terminate_and_kill,
            n114_no_signal_to_a_stranger,
            n120_each_wait_ends,
            n124_contradictions_are_refused,
            n125_a_failure_in_the_background,
            n126_what_a_child_is_given,
        } }
    };
}
