//! The runtimes, with foster and without.

use foster_smol::Smol;
use futures_lite::future::block_on;
use smol::{Executor, channel};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::thread;

/// A runtime with a number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Smol1,
    Smol2,
    TokioCt,
    TokioMt2,
    /// None: one task on a thread that parks. For work that needs no runtime's tasks or timers; its counts repeat
    /// exactly.
    Plain,
}

impl Host {
    /// All runtimes.
    pub const ALL: [Host; 4] = [Host::Smol1, Host::Smol2, Host::TokioCt, Host::TokioMt2];

    /// As it is called in names of cases.
    pub fn name(self) -> &'static str {
        match self {
            Host::Smol1 => "smol1",
            Host::Smol2 => "smol2",
            Host::TokioCt => "tokio-ct",
            Host::TokioMt2 => "tokio-mt2",
            Host::Plain => "one task",
        }
    }

    /// More than one thread: instructions say little.
    pub fn is_parallel(self) -> bool {
        matches!(self, Host::Smol2 | Host::TokioMt2)
    }

    /// As the root of a tree.
    pub fn foster<F: Future>(self, future: F) -> F::Output {
        match self {
            Host::Smol1 => foster_smol::run(future),
            Host::Smol2 => foster_smol::Builder::new().threads(2).run(future),
            Host::TokioCt => foster_tokio::Builder::new().current_thread().run(future),
            Host::TokioMt2 => foster_tokio::Builder::new().worker_threads(2).run(future),
            Host::Plain => {
                // Nobody runs the executor, and nobody needs it.
                let executor = Arc::new(Executor::new());
                block_on(foster::runtime::root(Arc::new(Smol::on(&executor)), future))
            }
        }
    }

    /// On nothing at all.
    pub fn alone<F: Future>(self, future: F) -> F::Output {
        block_on(future)
    }

    /// On tokio alone.
    pub fn tokio<F: Future>(self, future: F) -> F::Output {
        let mut builder = match self {
            Host::TokioMt2 => tokio::runtime::Builder::new_multi_thread(),
            _ => tokio::runtime::Builder::new_current_thread(),
        };
        if self == Host::TokioMt2 {
            builder.worker_threads(2);
        }
        builder.enable_all().build().unwrap().block_on(future)
    }

    /// On smol alone, with an executor on one or two threads.
    pub fn smol<F: Future>(self, work: impl FnOnce(Arc<Executor<'static>>) -> F) -> F::Output {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = channel::bounded::<Infallible>(1);
        thread::scope(|scope| {
            let _stop = stop;
            if self == Host::Smol2 {
                scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
            }
            smol::block_on(executor.run(work(executor.clone())))
        })
    }
}
