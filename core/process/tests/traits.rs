//! The types that may go to other threads, and be shared with them.

use foster_process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, CommandFailed, Output, RunError, SignalKind, Stdio, Stopping,
};

fn shared<T: Send + Sync + Unpin>() {}

fn sent<T: Send>(_: T) {}

#[test]
fn types_are_send_and_sync() {
    shared::<Child>();
    shared::<ChildStderr>();
    shared::<ChildStdin>();
    shared::<ChildStdout>();
    shared::<Command>();
    shared::<CommandFailed>();
    shared::<Output>();
    shared::<RunError>();
    shared::<SignalKind>();
    #[cfg(unix)]
    shared::<foster_process::Signals>();
    shared::<Stdio>();
    shared::<Stopping>();
}

#[test]
fn futures_are_send() {
    let mut command = Command::new("true");
    sent(command.run());
    sent(command.output());
    sent(command.status());
    sent(command.spawn());
    sent(async {
        let mut child = Command::new("true").spawn().await?;
        child.wait().await?;
        child.kill().await
    });
}
