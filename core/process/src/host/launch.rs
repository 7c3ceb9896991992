//! From a description of a process to a command of the standard library.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use process_wrap::std::{ProcessSession, StdCommandWrap, StdCommandWrapper};

use crate::contract::{Group, Launch, Target};

/// Returns the command, and our end of the pipe that its output and its errors share, if they do.
pub(super) fn prepare(launch: Launch) -> io::Result<(Command, Option<OwnedFd>)> {
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
    if let Some(arg0) = &launch.unix.arg0 {
        command.arg0(arg0);
    }
    // The group first: who has become another user may not leave it.
    if let Some(gid) = launch.unix.gid {
        command.gid(gid);
    }
    if let Some(uid) = launch.unix.uid {
        command.uid(uid);
    }
    match launch.unix.group {
        Group::Inherited => {}
        Group::Own => {
            command.process_group(0);
        }
        Group::Session => {
            // The wrapper only adds the call that makes the session.
            let unused = StdCommandWrap::from(Command::new(&launch.program));
            ProcessSession.pre_spawn(&mut command, &unused)?;
        }
    }
    command.stdin(stdio(launch.stdin)?);
    let mut joined = None;
    match (launch.stdout, launch.stderr) {
        (Target::Piped, Target::SameAsStdout) => {
            let (ours, theirs) = pipe()?;
            command.stdout(theirs.try_clone()?).stderr(theirs);
            joined = Some(ours);
        }
        (Target::Inherited, Target::SameAsStdout) => {
            command.stderr(io::stdout().as_fd().try_clone_to_owned()?);
        }
        (Target::Null, Target::SameAsStdout) => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        (Target::File(file), Target::SameAsStdout) => {
            command.stderr(file.try_clone()?).stdout(file);
        }
        (stdout, stderr) => {
            command.stdout(stdio(stdout)?).stderr(stdio(stderr)?);
        }
    }
    Ok((command, joined))
}

fn stdio(target: Target) -> io::Result<Stdio> {
    Ok(match target {
        Target::Inherited => Stdio::inherit(),
        Target::Null => Stdio::null(),
        Target::Piped => Stdio::piped(),
        Target::File(file) => file.into(),
        Target::Pipe(pipe) => File::into(pipe.into_host()?),
        Target::SameAsStdout => return Err(io::ErrorKind::InvalidInput.into()),
    })
}

/// Returns a pipe that other processes which are started meanwhile do not get.
#[cfg(not(target_vendor = "apple"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Returns a pipe that other processes do not get, unless one is started between the two steps that this takes here.
#[cfg(target_vendor = "apple")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe()?;
    // A copy is closed on exec from the beginning.
    Ok((ours.try_clone()?, theirs.try_clone()?))
}
