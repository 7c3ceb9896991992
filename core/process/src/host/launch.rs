//! From a description of a process to a command of the standard library.

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};
#[cfg(unix)]
use std::os::unix::process::CommandExt;
#[cfg(windows)]
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::process::{Command, Stdio};

#[cfg(unix)]
use process_wrap::std::{ProcessSession, StdCommandWrap, StdCommandWrapper};

#[cfg(unix)]
use crate::contract::{Group, UnixOptions};
use crate::contract::{Launch, Target};

/// Our ends of the pipes of a process.
pub(super) struct Ours {
    pub(super) stdin: Option<File>,
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
}

/// Returns the command, which keeps the ends of the process until it is dropped, and ours.
pub(super) fn prepare(launch: Launch) -> io::Result<(Command, Ours)> {
    let mut command = Command::new(&launch.program);
    command.args(&launch.args);
    if launch.clear_env {
        command.env_clear();
    }
    for (key, value) in &launch.env {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    if let Some(directory) = &launch.directory {
        command.current_dir(directory);
    }
    #[cfg(unix)]
    apply(&launch.unix, &mut command)?;
    let mut ours = Ours { stdin: None, stdout: None, stderr: None };
    command.stdin(match launch.stdin {
        Target::Piped => {
            let (theirs, to) = pipe()?;
            ours.stdin = Some(to);
            theirs.into()
        }
        stdin => stdio(stdin, &mut None)?,
    });
    match (launch.stdout, launch.stderr) {
        (Target::Piped, Target::SameAsStdout) => {
            let (from, theirs) = pipe()?;
            command.stdout(theirs.try_clone()?).stderr(theirs);
            ours.stdout = Some(from);
        }
        (Target::Inherited, Target::SameAsStdout) => {
            command.stderr(own_stdout()?);
        }
        (Target::Null, Target::SameAsStdout) => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        (Target::File(file), Target::SameAsStdout) => {
            command.stderr(file.try_clone()?).stdout(file);
        }
        (stdout, stderr) => {
            command.stdout(stdio(stdout, &mut ours.stdout)?).stderr(stdio(stderr, &mut ours.stderr)?);
        }
    }
    Ok((command, ours))
}

/// Returns the stream of the process; of a pipe that it writes, our end goes to `ours`.
fn stdio(target: Target, ours: &mut Option<File>) -> io::Result<Stdio> {
    Ok(match target {
        Target::Inherited => Stdio::inherit(),
        Target::Null => Stdio::null(),
        Target::Piped => {
            let (from, theirs) = pipe()?;
            *ours = Some(from);
            theirs.into()
        }
        Target::File(file) => file.into(),
        Target::Pipe(pipe) => pipe.into_host()?.into(),
        Target::SameAsStdout => return Err(io::ErrorKind::InvalidInput.into()),
    })
}

#[cfg(unix)]
fn apply(options: &UnixOptions, command: &mut Command) -> io::Result<()> {
    if let Some(arg0) = &options.arg0 {
        command.arg0(arg0);
    }
    // The group first: who has become another user may not leave it.
    if let Some(gid) = options.gid {
        command.gid(gid);
    }
    if let Some(uid) = options.uid {
        command.uid(uid);
    }
    match options.group {
        Group::Inherited => {}
        Group::Own => {
            command.process_group(0);
        }
        Group::Session => {
            // The wrapper only adds the call that makes the session.
            let unused = StdCommandWrap::from(Command::new(command.get_program()));
            ProcessSession.pre_spawn(command, &unused)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn own_stdout() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

#[cfg(windows)]
fn own_stdout() -> io::Result<OwnedHandle> {
    io::stdout().as_handle().try_clone_to_owned()
}

/// Returns a pipe, the end that is read first, that other processes which are started meanwhile do not get.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn pipe() -> io::Result<(File, File)> {
    let (read, written) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), written.into()))
}

/// Returns a pipe that other processes do not get, unless one is started between the two steps that this takes here.
#[cfg(target_vendor = "apple")]
fn pipe() -> io::Result<(File, File)> {
    let (read, written) = rustix::pipe::pipe()?;
    // A copy is closed on exec from the beginning.
    Ok((read.try_clone()?.into(), written.try_clone()?.into()))
}

/// Returns a pipe that other processes do not get. Not the standard library's: our ends of those cannot be handed to
/// another process.
#[cfg(windows)]
fn pipe() -> io::Result<(File, File)> {
    let (read, written) = os_pipe::pipe()?;
    Ok((OwnedHandle::from(read).into(), OwnedHandle::from(written).into()))
}
