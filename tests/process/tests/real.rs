//! The behaviours of processes on all runtimes that have real ones.
#![cfg(target_os = "linux")]

use std::sync::Arc;

use foster_process_conformance::reports::Reports;

/// The executor on the calling thread.
mod smol {
    use super::*;

    fn run<T>(reports: Arc<Reports>, body: impl Future<Output = T>) -> T {
        foster_smol::Builder::new().observer(reports).run(body)
    }

    foster_process_conformance::suite!(run);
}

/// Behaviour that only several threads show.
mod smol_two_threads {
    use super::*;

    fn run<T>(reports: Arc<Reports>, body: impl Future<Output = T>) -> T {
        foster_smol::Builder::new().threads(2).observer(reports).run(body)
    }

    foster_process_conformance::suite!(run);
}

mod tokio_current_thread {
    use super::*;

    fn run<T>(reports: Arc<Reports>, body: impl Future<Output = T>) -> T {
        foster_tokio::Builder::new().current_thread().observer(reports).run(body)
    }

    foster_process_conformance::suite!(run);
}

mod tokio_multi_thread {
    use super::*;

    fn run<T>(reports: Arc<Reports>, body: impl Future<Output = T>) -> T {
        foster_tokio::Builder::new().observer(reports).run(body)
    }

    foster_process_conformance::suite!(run);
}
