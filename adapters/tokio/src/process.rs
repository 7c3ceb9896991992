//! Processes, and on Unix signals.

#[cfg(unix)]
mod reactor;

use std::sync::Arc;

use foster_process::contract::Processes;
use foster_process::host::HostProcesses;
use tokio::runtime::Handle;

/// The processes of the trees on one runtime.
#[cfg(unix)]
pub(crate) fn of(handle: Handle) -> Arc<dyn Processes> {
    Arc::new(HostProcesses::new(reactor::Registrar { handle }))
}

/// The processes of the trees on one runtime, from which they need nothing here.
#[cfg(windows)]
pub(crate) fn of(_: Handle) -> Arc<dyn Processes> {
    Arc::new(HostProcesses::new())
}

/// The signals for `foster::app` do not end the process, also when the last stream of them is dropped that
/// `foster_process` has made. To be called before the handler of those signals is installed.
#[cfg(all(unix, feature = "signal"))]
pub(crate) fn keep_from_default() -> foster_process::host::KeepFromDefault {
    use foster_process::SignalKind;
    foster_process::host::keep_from_default(&[SignalKind::INTERRUPT, SignalKind::TERMINATE])
}
