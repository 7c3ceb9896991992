//! The runtimes that programs are run on, with real clocks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foster::observer::{HostDropped, Observer, Orphan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// On so many threads.
    Smol(usize),
    TokioCurrentThread,
    /// With so many workers.
    TokioMultiThread(usize),
}

pub(crate) const HOSTS: [Host; 5] =
    [Host::Smol(1), Host::Smol(2), Host::Smol(4), Host::TokioCurrentThread, Host::TokioMultiThread(2)];

/// Errors without a caller belong to the programs: nobody prints them.
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

    /// A timer of the host, which knows nothing of foster.
    pub(crate) fn plain_sleep(self, duration: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
        match self {
            Host::Smol(_) => Box::pin(async move {
                smol::Timer::after(duration).await;
            }),
            Host::TokioCurrentThread | Host::TokioMultiThread(_) => Box::pin(tokio::time::sleep(duration)),
        }
    }
}
