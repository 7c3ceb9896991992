//! The runtimes with sockets of the host.

use std::sync::Arc;

use foster::observer::{HostDropped, Observer, Orphan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// On so many threads.
    Smol(usize),
    TokioCurrentThread,
    /// With so many workers.
    TokioMultiThread(usize),
}

pub(crate) const HOSTS: [Host; 4] = [Host::Smol(1), Host::Smol(2), Host::TokioCurrentThread, Host::TokioMultiThread(2)];

/// Errors without a caller are part of what is tested: nobody prints them.
struct Silent;

impl Observer for Silent {
    fn orphan(&self, _: &Orphan<'_>) {}
    fn host_dropped(&self, _: &HostDropped) {}
}

impl Host {
    /// Runs a future as a tree of its own.
    pub(crate) fn run<F: Future>(self, future: F) -> F::Output {
        let silent = Arc::new(Silent);
        match self {
            Host::Smol(threads) => foster_smol::Builder::new().threads(threads).observer(silent).run(future),
            Host::TokioCurrentThread => foster_tokio::Builder::new().current_thread().observer(silent).run(future),
            Host::TokioMultiThread(workers) => {
                foster_tokio::Builder::new().worker_threads(workers).observer(silent).run(future)
            }
        }
    }
}
