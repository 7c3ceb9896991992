//! N7: the standard streams of a process.

use std::io;
use std::sync::Arc;

use foster::combine::join;
use foster::{CancelScope, Nursery, fail_after, nursery};
use foster_process::{Command, RunError, Stdio, TooMuchOutput};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};

use crate::left;
use crate::reports::Reports;
use crate::running::sh;
use foster_conformance::harness::ms;

/// N122, D4: `status`, `output` and `run` close an input that nobody has taken; `wait` leaves it alone.
pub async fn n122_who_closes_the_input(_: Arc<Reports>) {
    assert!(Command::new("cat").stdin(Stdio::piped()).status().await.unwrap().success());
    assert_eq!(Command::new("cat").stdin(Stdio::piped()).output().await.unwrap().stdout, b"");
    assert_eq!(Command::new("cat").run().await.unwrap().stdout, b"");

    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    assert!(foster::move_on_after(ms(100), child.wait()).await.is_none(), "its input is open");
    let mut stdin = child.stdin.take().unwrap();
    let writes = async {
        stdin.write_all(b"more").await.unwrap();
        drop(stdin);
    };
    let (status, ()) = join((child.wait(), writes)).await;
    assert!(status.unwrap().success());
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "more");
}

/// N123: input and both outputs go through at once, whatever their size, and are complete.
pub async fn n123_much_in_both_directions(_: Arc<Reports>) {
    let input: Vec<u8> = (0..256 * 1024_u32).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
    // `tee` writes each piece to both, as it comes.
    let output = sh("tee /dev/stderr").input(input.clone()).run().await.unwrap();
    assert!(output.stdout == input && output.stderr == input, "{} and {}", output.stdout.len(), output.stderr.len());
    // It is not an error if the process does not want all the input.
    assert!(sh("head -c 1 >/dev/null").input(input).run().await.unwrap().stdout.is_empty());
}

/// N123: errors that go where the output goes keep their order with it.
pub async fn n123_errors_in_order(_: Arc<Reports>) {
    let script = "for n in 1 2 3 4 5 6 7 8 9; do echo out $n; echo err $n >&2; done";
    let expected: String = (1..10).map(|n| format!("out {n}\nerr {n}\n")).collect();
    let output = sh(script).stderr(Stdio::same_as_stdout()).run().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert!(output.stderr.is_empty());
    let path = std::env::temp_dir().join(format!("foster-n123-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    assert!(sh(script).stdout(file).stderr(Stdio::same_as_stdout()).status().await.unwrap().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    // A file as input, and nothing.
    let file = std::fs::File::open(&path).unwrap();
    assert_eq!(Command::new("cat").stdin(file).run().await.unwrap().stdout, expected.as_bytes());
    assert_eq!(Command::new("cat").stdin(Stdio::null()).run().await.unwrap().stdout, b"");
    std::fs::remove_file(path).unwrap();
    assert!(sh(script).stdout(Stdio::null()).stderr(Stdio::same_as_stdout()).status().await.unwrap().success());
}

/// N123: streams that are inherited are those of this process.
pub async fn n123_inherited_streams(_: Arc<Reports>) {
    use std::os::unix::fs::MetadataExt;
    let of = |metadata: std::fs::Metadata| format!("{}:{}", metadata.dev(), metadata.ino());
    let mine = |number: u8| of(std::fs::metadata(format!("/dev/fd/{number}")).unwrap());
    let path = std::env::temp_dir().join(format!("foster-inherited-{}", std::process::id()));
    let script = format!("stat -L -c %d:%i /dev/fd/0 /dev/fd/1 /dev/fd/2 > {} 3>&1", path.display());
    // Of the three, the script itself redirects the second for `stat`: it looks at what it was given by another number.
    let script = script.replace("/dev/fd/1 ", "/dev/fd/4 ").replace("> ", "4>&1 > ");
    assert!(sh(&script).status().await.unwrap().success());
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), [mine(0), mine(1), mine(2)]);
    std::fs::remove_file(path).unwrap();
}

/// N123: no more is captured than the limit, of both streams together. One byte more is an error, and the process has
/// been stopped and reaped when it is returned; one that does not stop, killed.
pub async fn n123_no_more_than_the_limit(reports: Arc<Reports>) {
    let why = |error: io::Error| error.get_ref().and_then(|why| why.downcast_ref::<TooMuchOutput>()).cloned().unwrap();
    let script = "head -c 100000 /dev/zero; head -c 50000 /dev/zero >&2";
    let output = sh(script).max_output(150_000).run().await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (100_000, 50_000));
    let too_much = why(sh(script).max_output(149_999).output().await.unwrap_err());
    assert_eq!(too_much.max_output, 149_999);
    assert_eq!(too_much.to_string(), "`sh` has written more than 149999 bytes, and is stopped");

    let endless = || {
        let mut command = Command::new("yes");
        command.max_output(200_000);
        command
    };
    why(endless().output().await.unwrap_err());
    assert_eq!(left::children(), [] as [String; 0]);
    let Err(RunError::Io(error)) = endless().stderr(Stdio::same_as_stdout()).run().await else { panic!("it fits") };
    why(error);
    assert_eq!(left::children(), [] as [String; 0]);
    CancelScope::new()
        .run(async {
            let child = endless().stdout(Stdio::piped()).spawn().await.unwrap();
            why(child.wait_with_output().await.unwrap_err());
        })
        .await
        .unwrap();
    assert_eq!(left::children(), [] as [String; 0]);
    assert_eq!(reports.take(), [] as [String; 0]);

    let mut stubborn = sh("trap '' TERM; while :; do echo and so on; done");
    why(stubborn.max_output(10_000).grace(ms(100)).output().await.unwrap_err());
    assert_eq!(left::children(), [] as [String; 0]);
    let told = reports.take();
    assert!(told.len() == 1 && told[0].contains("is killed"), "{told:?}");
}

/// N127: the output of one process is the input of the next, which has all of it, and then the end.
pub async fn n127_a_pipeline(_: Arc<Reports>) {
    let mut first = sh("head -c 300000 /dev/zero | tr '\\0' x; echo end");
    let mut first = first.stdout(Stdio::piped()).spawn().await.unwrap();
    let mut second = Command::new("wc");
    second.arg("-c").stdin(first.stdout.take().unwrap());
    let counted = second.run().await.unwrap();
    assert_eq!(String::from_utf8(counted.stdout).unwrap().trim(), "300004");
    assert!(first.wait().await.unwrap().success());
    assert_eq!(second.run().await.unwrap_err().to_string(), "the command could not be run", "the pipe was given away");

    // No copy is open here: the first gets a signal when the second has ended, while the command is still there.
    let mut first = sh("exec yes").stdout(Stdio::piped()).spawn().await.unwrap();
    let mut second = sh("head -n 1");
    let output = second.stdin(first.stdout.take().unwrap()).run().await.unwrap();
    assert_eq!(output.stdout, b"y\n");
    assert!(!first.wait().await.unwrap().success());
    drop(second);
}

/// N129: the pipes of a process that has ended: writes fail, and the rest can be read, and then the end.
pub async fn n129_pipes_after_the_end(_: Arc<Reports>) {
    let mut child = sh("echo rest; echo of errors >&2");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await.unwrap();
    child.wait().await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    stdin.close().await.unwrap();
    assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(stdin);
    for first in [true, false] {
        let (mut rest, mut errors) = (String::new(), String::new());
        child.stdout.as_mut().unwrap().read_to_string(&mut rest).await.unwrap();
        child.stderr.as_mut().unwrap().read_to_string(&mut errors).await.unwrap();
        assert_eq!([&*rest, &*errors], if first { ["rest\n", "of errors\n"] } else { ["", ""] });
    }
}

/// N129: a reader wakes when the process ends.
pub async fn n129_the_end_wakes_a_reader(_: Arc<Reports>) {
    let mut child = Command::new("sleep").arg("300").stdout(Stdio::piped()).spawn().await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reads = async { stdout.read(&mut [0; 8]).await.unwrap() };
    let kills = async {
        foster::sleep(ms(30)).await;
        child.kill().await.unwrap()
    };
    let (read, _) = join((reads, kills)).await;
    assert_eq!(read, 0);
}

/// N129: a dialogue by lines goes on after one answer has taken too long, and nothing is lost.
pub async fn n129_a_dialogue(_: Arc<Reports>) {
    let script = "while read line; do [ $line = slow ] && read go; echo $line!; done";
    let mut child = sh(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut answers = stdout.lines();
    stdin.write_all(b"one\n").await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap(), "one!");
    stdin.write_all(b"slow\n").await.unwrap();
    assert!(fail_after(ms(30), answers.next()).await.is_err());
    stdin.write_all(b"go\n").await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap(), "slow!");
    stdin.write_all(b"three\n").await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap(), "three!");
    drop(stdin);
    assert!(answers.next().await.is_none());
    assert!(child.wait().await.unwrap().success());
}

/// L14: cancelled code reads and writes nothing, and starts nothing.
pub async fn cancelled_code_does_nothing(_: Arc<Reports>) {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(b"first\n").await.unwrap();
    let mark = std::env::temp_dir().join(format!("foster-l14-{}", std::process::id()));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cancelled = scope.run(async {
        foster::shield(async {
            handle.cancel("enough");
            foster::sleep(ms(1)).await;
        })
        .await;
        let starts = async { drop(Command::new("touch").arg(&mark).status().await) };
        let reads = async { drop(stdout.read(&mut [0; 8]).await) };
        let writes = async { drop(stdin.write_all(b"second\n").await) };
        let waits = async { drop(child.wait().await) };
        futures_lite::future::or(futures_lite::future::or(starts, reads), futures_lite::future::or(writes, waits))
            .await;
        panic!("cancelled code goes on");
    });
    assert!(cancelled.await.is_err());
    drop(stdin);
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "first\n");
    assert!(child.wait().await.unwrap().success());
    assert!(!mark.exists());
}

/// The halves of a child can go to tasks of their own.
pub async fn pipes_in_tasks(_: Arc<Reports>) {
    let echoes = nursery(async |n: Nursery<io::Error>| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        n.spawn(async move { stdin.write_all(&[7; 200_000]).await });
        let reader = n.spawn(async move {
            let mut read = Vec::new();
            stdout.read_to_end(&mut read).await?;
            Ok(read)
        });
        assert_eq!(reader.await.unwrap(), [7; 200_000]);
        assert!(child.wait().await?.success());
        Ok(())
    });
    echoes.await.unwrap();
}

#[doc(hidden)]
#[macro_export]
macro_rules! streams_suite {
    ($runner:ident) => {
        $crate::behaviours! { $runner; streams {
            n122_who_closes_the_input,
            n123_much_in_both_directions,
            n123_errors_in_order,
            n123_inherited_streams,
            n123_no_more_than_the_limit,
            n127_a_pipeline,
            n129_pipes_after_the_end,
            n129_the_end_wakes_a_reader,
            n129_a_dialogue,
            cancelled_code_does_nothing,
            pipes_in_tasks,
        } }
    };
}
