//! Runs the tour on generated trees: the same table on both runtimes, clean ends, and an exit code for each end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const RUNTIMES: [&str; 2] = ["smol", "tokio"];

/// The known hash of an empty file, and of one that says `abc`.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A directory of one test, made anew.
fn directory(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// 120 directories, three deep, with two files in each.
fn grow(root: &Path) -> usize {
    let mut files = 0;
    for a in 0..4 {
        for b in 0..5 {
            for c in 0..6 {
                let leaf = root.join(format!("{a}/{b}/{c}"));
                fs::create_dir_all(&leaf).unwrap();
                fs::write(leaf.join("abc"), "abc").unwrap();
                fs::write(leaf.join("long"), vec![b'x'; 1000 * (a + b + c)]).unwrap();
                files += 2;
            }
        }
    }
    files
}

fn tour(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tour"));
    command.args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The last lines, which say how it ended.
fn summary(table: &str) -> Vec<&str> {
    let lines = table.lines().collect::<Vec<_>>();
    lines[lines.len() - 2..].to_vec()
}

#[test]
fn the_table_is_the_same_on_both_runtimes_and_in_order() {
    let root = directory("same");
    let files = grow(&root);
    fs::write(root.join("empty"), "").unwrap();
    let tables = RUNTIMES.map(|runtime| {
        let output = tour(&["--runtime", runtime, root.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("on {runtime}, 0 files open")), "{}", stderr(&output));
        stdout(&output)
    });
    assert_eq!(tables[0], tables[1]);

    let lines = tables[0].lines().collect::<Vec<_>>();
    let rows = &lines[1..lines.len() - 3];
    assert_eq!(rows.len(), files + 1);
    assert_eq!(rows.iter().filter(|row| row.starts_with(ABC)).count(), files / 2);
    assert_eq!(*rows.last().unwrap(), format!("{EMPTY}  {:>12}  empty", 0));
    assert!(rows[..files].is_sorted_by_key(|row| row.rsplit(' ').next()));
    // The long files have 1000 × (a + b + c) bytes each.
    let bytes = 3 * 120 + 1000 * (30 * (1 + 2 + 3) + 24 * (1 + 2 + 3 + 4) + 20 * (1 + 2 + 3 + 4 + 5));
    let counts = format!("hashed: {}, bytes: {bytes}, unreadable: 0, skipped: 0", files + 1);
    assert_eq!(summary(&tables[0]), [&counts, "complete"]);
}

#[test]
fn one_permit_is_enough_and_a_summary_has_two_lines() {
    let root = directory("one_permit");
    let files = grow(&root);
    for runtime in RUNTIMES {
        let arguments = ["--limit", "1", "--summary", "--quiet", "--runtime", runtime, root.to_str().unwrap()];
        let output = tour(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        let table = stdout(&output);
        assert_eq!(table.lines().count(), 2);
        assert!(table.starts_with(&format!("hashed: {files}, ")), "{table}");
    }
}

#[test]
fn a_deadline_of_zero_starts_nothing() {
    let root = directory("zero");
    grow(&root);
    for runtime in RUNTIMES {
        let output = tour(&["--deadline", "0s", "--runtime", runtime, root.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(124), "{}", stderr(&output));
        let table = stdout(&output);
        let end = "stopped at the deadline; files not hashed: 0, directories not listed: 1";
        assert_eq!(summary(&table), ["hashed: 0, bytes: 0, unreadable: 0, skipped: 0", end]);
    }
}

#[test]
fn a_directory_that_is_missing_or_none_is_an_error_of_its_own() {
    let root = directory("missing");
    fs::write(root.join("file"), "").unwrap();
    for name in ["nowhere", "file"] {
        let path = root.join(name);
        let output = tour(&[path.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(stdout(&output), "");
        let complaint = format!("tour: cannot read the directory {}: ", path.display());
        assert!(stderr(&output).starts_with(&complaint), "{}", stderr(&output));
    }
}

#[test]
fn bad_arguments_are_refused_each_with_its_reason() {
    for (arguments, complaint) in [
        (&[][..], "no directory is given"),
        (&["."; 2], "unexpected argument \".\""),
        (&["--fast", "."], "invalid option '--fast'"),
        (&["--deadline"], "missing argument for option '--deadline'"),
        (&["--deadline", "soon", "."], "\"soon\": expected a time such as 500ms, 30s, 1.5m or 2h"),
        (&["--deadline", "5", "."], "\"5\": expected a time such as 500ms, 30s, 1.5m or 2h"),
        (&["--deadline=-5s", "."], "\"-5s\": expected a time such as 500ms, 30s, 1.5m or 2h"),
        (&["--deadline", "NaNs", "."], "\"NaNs\": expected a time such as 500ms, 30s, 1.5m or 2h"),
        (&["--deadline", "é", "."], "\"é\": expected a time such as 500ms, 30s, 1.5m or 2h"),
        (&["--limit", "0", "."], "\"0\": expected a whole number from 1 on"),
        (&["--tries", "many", "."], "\"many\": expected a whole number from 1 on"),
        (&["--runtime", "trio", "."], "there is no runtime `trio`: use smol or tokio"),
        (&["--runtime", "sim", "."], "a simulation has no files and no ctrl-C: use smol or tokio"),
    ] {
        let output = tour(arguments).output().unwrap();
        let said = stderr(&output);
        assert!(said.contains(complaint), "{arguments:?}: {said}");
        assert!(said.contains("`tour --help` lists the options"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn help_is_no_error_and_lists_the_exit_codes() {
    let output = tour(&["--help"]).output().unwrap();
    assert!(output.status.success());
    for code in ["0", "1", "2", "3", "4", "124", "130"] {
        assert!(stdout(&output).lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}");
    }
}

/// Needs links, signals or files with holes.
#[cfg(unix)]
mod unix {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::fs::symlink;
    use std::process::{Child, ChildStderr, Stdio};

    use super::*;

    /// A file that takes long to hash, and next to no space.
    fn endless(root: &Path) {
        fs::File::create(root.join("endless")).unwrap().set_len(1 << 34).unwrap();
    }

    #[test]
    fn the_deadline_cuts_a_file_in_the_middle_and_keeps_what_is_finished() {
        let root = directory("deadline");
        fs::write(root.join("abc"), "abc").unwrap();
        endless(&root);
        for runtime in RUNTIMES {
            let arguments = ["--deadline", "500ms", "--runtime", runtime, root.to_str().unwrap()];
            let output = tour(&arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(124), "{}", stderr(&output));
            let table = stdout(&output);
            let rows = table.lines().filter(|line| line.len() > 64 && !line.starts_with("SHA")).collect::<Vec<_>>();
            assert_eq!(rows.len(), 2, "the row of `abc` and the end: {table}");
            assert_eq!(rows[0], format!("{ABC}  {:>12}  abc", 3));
            let end = "stopped at the deadline; files not hashed: 1, directories not listed: 0";
            assert_eq!(summary(&table), ["hashed: 1, bytes: 3, unreadable: 0, skipped: 0", end]);
            assert!(stderr(&output).contains(", 0 files open"), "{}", stderr(&output));
        }
        fs::remove_dir_all(&root).unwrap();
    }

    /// A tour that runs beside its test, and not longer.
    struct Running {
        tour: Child,
        progress: BufReader<ChildStderr>,
    }

    impl Running {
        fn start(arguments: &[&str]) -> Self {
            let mut tour = tour(arguments);
            let mut tour =
                tour.args(["--deadline", "60s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let progress = BufReader::new(tour.stderr.take().unwrap());
            Running { tour, progress }
        }

        fn wait_for_progress(&mut self, enough: impl Fn(&str) -> bool) {
            let mut line = String::new();
            while !enough(&line) {
                line.clear();
                assert_ne!(self.progress.read_line(&mut line).unwrap(), 0, "the tour has ended early");
            }
        }

        /// Its exit code, its table, and what it has said since.
        fn end(mut self) -> (Option<i32>, String, String) {
            let mut table = String::new();
            self.tour.stdout.take().unwrap().read_to_string(&mut table).unwrap();
            let mut said = String::new();
            self.progress.read_to_string(&mut said).unwrap();
            (self.tour.wait().unwrap().code(), table, said)
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.tour.kill();
            let _ = self.tour.wait();
        }
    }

    #[test]
    fn ctrl_c_stops_in_the_middle_of_a_file_and_keeps_what_is_finished() {
        let root = directory("ctrl_c");
        fs::write(root.join("abc"), "abc").unwrap();
        endless(&root);
        for runtime in RUNTIMES {
            let mut running = Running::start(&["--runtime", runtime, root.to_str().unwrap()]);
            running.wait_for_progress(|line| line.contains("1 of 2 files done"));
            let sent = Command::new("kill").args(["-INT", &running.tour.id().to_string()]).status().unwrap();
            assert!(sent.success());
            let (code, table, said) = running.end();
            assert_eq!(code, Some(130), "{said}");
            assert!(table.contains(&format!("{ABC}  {:>12}  abc", 3)), "{table}");
            let end = "stopped by ctrl-C; files not hashed: 1, directories not listed: 0";
            assert_eq!(summary(&table), ["hashed: 1, bytes: 3, unreadable: 0, skipped: 0", end]);
            assert!(said.contains(", 0 files open"), "{said}");
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_and_stands_in_the_table() {
        let root = directory("unreadable");
        fs::write(root.join("abc"), "abc").unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("..", root.join("above")).unwrap();
        fs::write(root.join("odd\u{1b}[31m"), "abc").unwrap();
        // Nobody will ever write into it.
        assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        for runtime in RUNTIMES {
            let arguments = ["--tries", "4", "--backoff", "10ms", "--runtime", runtime, root.to_str().unwrap()];
            let output = tour(&arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            let skipped = "skipped: it is no file";
            let expected = format!(
                "{:64}  {:>12}  FILE\n\
                 {ABC}  {:>12}  abc\n\
                 {:64}  {:>12}  above\n\
                 {:64}  {:>12}  dangling: No such file or directory (os error 2)\n\
                 {ABC}  {:>12}  odd\\u{{1b}}[31m\n\
                 {:64}  {:>12}  pipe\n\n\
                 hashed: 2, bytes: 6, unreadable: 1, skipped: 2\n\
                 complete\n",
                "SHA-256", "BYTES", 3, skipped, "-", "unreadable in 4 tries", "-", 3, skipped, "-"
            );
            assert_eq!(stdout(&output), expected);
        }
    }

    #[test]
    fn a_file_that_can_be_read_at_a_later_try_counts_as_hashed() {
        for runtime in RUNTIMES {
            let root = directory(&format!("later_{runtime}"));
            symlink("appears", root.join("link")).unwrap();
            let arguments = ["--tries", "10000", "--backoff", "20ms", "--runtime", runtime, root.to_str().unwrap()];
            let mut running = Running::start(&arguments);
            running.wait_for_progress(|line| line.contains("0 of 1 files done") && !line.contains(" 0 tried again"));
            // Beside the tree at first, so that the name is never seen with half of the contents.
            let whole = root.with_extension("whole");
            fs::write(&whole, "abc").unwrap();
            fs::rename(&whole, root.join("appears")).unwrap();
            let (code, table, said) = running.end();
            assert_eq!(code, Some(0), "{said}");
            assert!(table.contains(&format!("{ABC}  {:>12}  link", 3)), "{table}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_table_that_cannot_be_written_is_an_error_but_a_reader_that_leaves_is_none() {
        let root = directory("output");
        // More than fits into a pipe.
        for n in 0..2000 {
            fs::write(root.join(format!("{n}")), "").unwrap();
        }
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = tour(&["--quiet", root.to_str().unwrap()]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert!(stderr(&output).starts_with("tour: cannot write to standard output: "), "{}", stderr(&output));

        let mut running =
            tour(&["--quiet", root.to_str().unwrap()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(running.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with("SHA-256"));
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stderr(&output), "");
    }
}
