//! Where the standard streams of a process come from, and go to.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem;

use crate::contract::Target;
use crate::pipe::{ChildStderr, ChildStdout};

/// Where one of the standard streams of a process comes from, or goes to; as [`std::process::Stdio`].
///
/// A [`File`], or on Unix anything that has a descriptor, is one, and is duplicated for each process that a command
/// spawns. The output of another child is one, too; it can be given to one process only, so that no copy of it stays
/// open here. On Windows that is [`ResourceBusy`](io::ErrorKind::ResourceBusy) after a read of it that was cancelled, or
/// that got less room than another before: what was read ahead would be lost.
pub struct Stdio(Kind);

enum Kind {
    Target(Target),
    /// A pipe that the first process has got.
    Spent,
}

impl Stdio {
    /// The stream of this process.
    #[must_use]
    pub fn inherit() -> Self {
        Stdio(Kind::Target(Target::Inherited))
    }

    /// Nothing comes, and what goes is lost.
    #[must_use]
    pub fn null() -> Self {
        Stdio(Kind::Target(Target::Null))
    }

    /// A pipe, whose other end the [`Child`](crate::Child) has.
    #[must_use]
    pub fn piped() -> Self {
        Stdio(Kind::Target(Target::Piped))
    }

    /// For errors: they go where the output goes, in the order in which they are written.
    #[must_use]
    pub fn same_as_stdout() -> Self {
        Stdio(Kind::Target(Target::SameAsStdout))
    }

    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Target(Target::Piped))
    }

    pub(crate) fn is_same_as_stdout(&self) -> bool {
        matches!(self.0, Kind::Target(Target::SameAsStdout))
    }

    /// Returns the target for one process.
    pub(crate) fn for_one(&mut self) -> io::Result<Target> {
        Ok(match &self.0 {
            Kind::Target(Target::Inherited) => Target::Inherited,
            Kind::Target(Target::Null) => Target::Null,
            Kind::Target(Target::Piped) => Target::Piped,
            Kind::Target(Target::SameAsStdout) => Target::SameAsStdout,
            Kind::Target(Target::File(file)) => Target::File(file.try_clone()?),
            Kind::Target(Target::Pipe(_)) => match mem::replace(&mut self.0, Kind::Spent) {
                Kind::Target(target) => target,
                Kind::Spent => unreachable!("it was a target a moment ago"),
            },
            Kind::Spent => {
                let message = "the output of a child was given to the first process of this command, or spent on one that could not be started: it can be given once";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        })
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Stdio(Kind::Target(Target::File(file)))
    }
}

#[cfg(unix)]
impl From<std::os::fd::OwnedFd> for Stdio {
    fn from(descriptor: std::os::fd::OwnedFd) -> Self {
        File::from(descriptor).into()
    }
}

#[cfg(windows)]
impl From<std::os::windows::io::OwnedHandle> for Stdio {
    fn from(handle: std::os::windows::io::OwnedHandle) -> Self {
        File::from(handle).into()
    }
}

impl From<ChildStdout> for Stdio {
    fn from(stdout: ChildStdout) -> Self {
        Stdio(Kind::Target(Target::Pipe(stdout.into_pipe())))
    }
}

impl From<ChildStderr> for Stdio {
    fn from(stderr: ChildStderr) -> Self {
        Stdio(Kind::Target(Target::Pipe(stderr.into_pipe())))
    }
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Target(target) => target.fmt(f),
            Kind::Spent => f.write_str("Spent"),
        }
    }
}
