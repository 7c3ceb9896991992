//! A process whose runtime is shut down while it runs.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};

use foster_conformance::harness::{comes_true, watched};
use foster_process::Command;
use foster_process::contract::{processes, with_processes};
use foster_process_conformance::in_time;
use foster_process_conformance::reports::Reports;

/// It belongs to a tree on another runtime, and so lives on. To wait for it is an error, which does not say that it has
/// exited; it ends with its tree.
#[test]
fn a_process_without_its_runtime() {
    foster_conformance::check("without its runtime", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = runtime.block_on(async { foster_tokio::attach(async { processes().unwrap() }).await });
        let reports = Arc::<Reports>::default();
        let mut kept = None;
        let body = with_processes(host, async {
            let child = kept.insert(Command::new("sleep").arg("300").spawn().await.unwrap());
            drop(runtime);
            for _ in 0..2 {
                let error = child.wait().await.unwrap_err().to_string();
                assert!(error.starts_with("the process cannot be waited for, and may be alive: "), "{error}");
                assert_eq!(child.try_wait().unwrap(), None);
            }
        });
        foster_smol::Builder::new().observer(reports.clone()).run(watched(in_time(body)));
        // Nobody could wait for its end, which was reported; a thread reaps it.
        let reports = reports.take();
        assert!(!reports.is_empty() && reports.iter().all(|report| report.contains("may be alive")), "{reports:?}");
        let kept = Mutex::new(kept.unwrap());
        assert!(comes_true(|| kept.lock().unwrap().try_wait().unwrap().is_some()), "it lives on");
        let status = kept.lock().unwrap().try_wait().unwrap();
        assert!([Some(15), Some(9)].contains(&status.unwrap().signal()), "{status:?}");
    });
}
