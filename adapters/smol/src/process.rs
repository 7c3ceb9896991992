//! Processes, and on Unix signals.

#[cfg(unix)]
mod reactor;

use std::any::Any;
use std::sync::{Arc, LazyLock};

use foster_process::contract::Processes;
use foster_process::host::HostProcesses;

/// The processes of all trees on smol: async-io has one reactor in this process, and Windows needs none.
pub(crate) fn of_the_process() -> &'static (dyn Any + Send + Sync) {
    static PROCESSES: LazyLock<Arc<dyn Processes>> = LazyLock::new(|| {
        #[cfg(unix)]
        let processes = HostProcesses::new(reactor::AsyncIo);
        #[cfg(windows)]
        let processes = HostProcesses::new();
        Arc::new(processes)
    });
    &*PROCESSES
}

/// The signals for `foster::app` do not end the process, also when the last stream of them is dropped that
/// `foster_process` has made. To be called before the handler of those signals is installed.
#[cfg(all(unix, feature = "signal"))]
pub(crate) fn keep_from_default() -> foster_process::host::KeepFromDefault {
    use foster_process::SignalKind;
    foster_process::host::keep_from_default(&[SignalKind::INTERRUPT, SignalKind::TERMINATE])
}
