//! Tests that need a process of their own: the standard streams, and a limit on descriptors. The test runs itself once
//! more, as the child.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use foster::{move_on_after, sleep};
use foster_fs::{File, stderr, stdin, stdout};
use futures_lite::AsyncWriteExt;

/// The environment variables of the child: its task, and its runtime.
const TASK: &str = "FOSTER_FS_CHILD";
const RUNTIME: &str = "FOSTER_FS_RUNTIME";

const RUNTIMES: [&str; 4] = ["smol", "tokio-current-thread", "tokio-multi-thread", "tokio-attached"];

/// Longer than anything here takes, and shorter than for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The child. As a test of its own, without a task, it does nothing.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let body = async move {
        match &*task {
            "silent" => silent().await,
            "lines" => lines().await,
            "prints" => prints().await,
            "descriptors" => descriptors().await,
            other => panic!("{other}"),
        }
    };
    match &*std::env::var(RUNTIME).unwrap() {
        "smol" => foster_smol::run(body),
        "tokio-current-thread" => foster_tokio::Builder::new().current_thread().run(body),
        "tokio-multi-thread" => foster_tokio::run(body),
        "tokio-attached" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async { foster_tokio::attach(body).await });
        }
        other => panic!("{other}"),
    }
    println!("\nthe tree has ended");
}

/// A child process: what it prints comes line by line.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(task: &str, runtime: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(TASK, task)
            .env(RUNTIME, runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Process { input: child.stdin.take(), child, lines }
    }

    fn write(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Waits for a line that ends like this.
    fn wait_for(&self, wanted: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.ends_with(wanted) => return,
                Ok(_) => {}
                Err(error) => panic!("{wanted:?} was not printed: {error}"),
            }
        }
    }

    /// Waits for the end of the process, with its input still open.
    fn ends_well(&mut self) {
        self.wait_for("the tree has ended");
        for _ in 0..PATIENCE.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::park_timeout(ms(20));
        }
        panic!("the tree has ended, and the process has not");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// N147: a read of standard input that never gets anything keeps neither the root nor the process from ending.
#[test]
fn n147_a_silent_input_holds_up_nothing() {
    for runtime in RUNTIMES {
        let mut process = Process::start("silent", runtime);
        process.ends_well();
    }
}

async fn silent() {
    assert!(move_on_after(ms(50), stdin().next_line()).await.is_none());
    assert!(move_on_after(ms(50), futures_lite::AsyncReadExt::read(&mut stdin(), &mut [0; 8])).await.is_none());
}

/// N147: what came of a line whose reader was cancelled goes to the next reader.
#[test]
fn n147_a_cancelled_line_is_not_lost() {
    for runtime in RUNTIMES {
        let mut process = Process::start("lines", runtime);
        process.wait_for("one");
        process.write("hello ");
        process.wait_for("two");
        process.write("world\nand more");
        process.wait_for("three");
        drop(process.input.take());
        process.ends_well();
    }
}

async fn lines() {
    println!("one");
    // Some of these see nothing, and one or more the beginning of the line.
    for _ in 0..10 {
        assert!(move_on_after(ms(20), stdin().next_line()).await.is_none());
    }
    println!("two");
    assert_eq!(stdin().next_line().await.unwrap().as_deref(), Some("hello world"));
    println!("three");
    assert_eq!(stdin().next_line().await.unwrap().as_deref(), Some("and more"));
    assert_eq!(stdin().next_line().await.unwrap(), None);
}

/// N142 for the standard streams: what a write has taken in is out when the tree has ended, without a flush.
#[test]
fn n142_all_that_was_printed_comes_out() {
    for runtime in RUNTIMES {
        let mut process = Process::start("prints", runtime);
        let numbers: Vec<String> = (0..2000).map(|number| format!("line {number}")).collect();
        process.wait_for("line 0");
        for number in &numbers[1..] {
            assert_eq!(process.lines.recv_timeout(PATIENCE).as_ref(), Ok(number));
        }
        process.ends_well();
    }
}

async fn prints() {
    println!();
    let mut out = stdout();
    for number in 0..2000 {
        out.write_all(format!("line {number}\n").as_bytes()).await.unwrap();
    }
    stderr().write_all(b"").await.unwrap();
}

/// When there are no descriptors: an error that says so, and later all is well; a replacement changes nothing.
///
/// N145
#[test]
fn n145_no_descriptors() {
    for runtime in RUNTIMES {
        let mut process = Process::start("descriptors", runtime);
        process.ends_well();
    }
}

async fn descriptors() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "old").unwrap();
    sleep(ms(1)).await;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    let mut open = Vec::new();
    let refused = loop {
        match File::open(&path).await {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    let none_left = Some(rustix::io::Errno::MFILE.raw_os_error());
    assert!(open.len() > 20, "{}", open.len());
    assert_eq!(refused.raw_os_error(), none_left);
    assert_eq!(foster_fs::read(&path).await.unwrap_err().raw_os_error(), none_left);
    assert_eq!(foster_fs::read_dir(directory.path()).await.map(drop).unwrap_err().raw_os_error(), none_left);
    assert_eq!(open[0].try_clone().await.map(drop).unwrap_err().raw_os_error(), none_left);
    assert_eq!(foster_fs::atomic_write(&path, "new").await.unwrap_err().kind(), refused.kind());
    // One is enough: the file is closed before the directory is opened.
    drop(open.pop());
    foster_fs::replace(&path, async |file| file.write_all(b"new").await).await.unwrap();
    drop(open);
    let mut all = String::new();
    std::fs::File::open(&path).unwrap().read_to_string(&mut all).unwrap();
    assert_eq!(all, "new");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file was left");
}
