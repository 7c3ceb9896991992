//! Programs that once went wrong and need more than foster's interface: plain tasks of the host beside foster's,
//! channels and join handles of others, a host that goes away, a process of its own.
//!
//! Programs are compared by counts, not by times.

mod depth;
mod fairness;
mod idle;
mod peers;
mod rests;
mod teardown;

use std::sync::Arc;

use foster::observer::{Observer, PrintOrphans};
use foster::runtime::root;
use foster_conformance::seen::ends;
use foster_smol::Smol;
use foster_tokio::Tokio;
use tokio::runtime::Handle;

use super::hosts::Host;

/// Starts plain tasks of the host, which foster knows nothing of.
#[derive(Clone)]
enum Plain {
    Smol(Arc<smol::Executor<'static>>),
    Tokio(Handle),
}

impl Plain {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match self {
            Plain::Smol(executor) => executor.spawn(future).detach(),
            Plain::Tokio(handle) => drop(handle.spawn(future)),
        }
    }
}

/// Runs a tree on a host that offers plain tasks, too. Those that are left at the end are dropped.
fn on_host<T, F: Future<Output = T>>(host: Host, name: &'static str, body: impl FnOnce(Plain) -> F) -> T {
    on_observed_host(host, name, Arc::new(PrintOrphans), body)
}

/// As [`on_host`], with an observer of the tree.
fn on_observed_host<T, F: Future<Output = T>>(
    host: Host,
    name: &'static str,
    observer: Arc<dyn Observer>,
    body: impl FnOnce(Plain) -> F,
) -> T {
    match host {
        Host::Smol(threads) => {
            let executor = Arc::new(smol::Executor::new());
            let (stop, stopped) = smol::channel::bounded::<()>(1);
            let body = ends(name, body(Plain::Smol(executor.clone())));
            let tree = rests::tells(root(Arc::new(Smol::on(&executor)), body).observe(observer));
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| smol::block_on(executor.run(stopped.recv())).is_err());
                }
                let _stop = stop;
                smol::block_on(executor.run(tree))
            })
        }
        Host::TokioCurrentThread | Host::TokioMultiThread(_) => {
            let mut builder = match host {
                Host::TokioMultiThread(workers) => {
                    let mut builder = tokio::runtime::Builder::new_multi_thread();
                    builder.worker_threads(workers);
                    builder
                }
                _ => tokio::runtime::Builder::new_current_thread(),
            };
            let runtime = builder.enable_all().build().expect("tokio starts");
            let handle = runtime.handle().clone();
            let tokio = Arc::new(Tokio::on(handle.clone()));
            let body = ends(name, body(Plain::Tokio(handle)));
            runtime.block_on(rests::tells(root(tokio, body).observe(observer)))
        }
    }
}
