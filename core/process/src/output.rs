//! The result of a command that has run to its end.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use crate::process::Process;

/// The result of a command: how it has ended, and the output that was captured.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How it has ended.
    pub status: ExitStatus,
    /// The bytes of its standard output; empty if that went somewhere else.
    pub stdout: Vec<u8>,
    /// The bytes of its standard error; empty if that went somewhere else.
    pub stderr: Vec<u8>,
    program: String,
}

impl Output {
    pub(crate) fn new(program: String, status: ExitStatus, stdout: Vec<u8>, stderr: Vec<u8>) -> Self {
        Output { status, stdout, stderr, program }
    }

    /// Returns it, if the command has succeeded: its exit code is 0.
    ///
    /// # Errors
    ///
    /// [`CommandFailed`], with all of the output: it has another code, or was ended by a signal.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::Command;
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// let output = Command::new("sh").args(["-c", "echo no room >&2; exit 28"]).output().await?;
    /// let failed = output.checked().unwrap_err();
    /// assert_eq!(failed.output.status.code(), Some(28));
    /// assert_eq!(failed.to_string(), "`sh` has failed with exit status: 28, and the errors `no room`");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn checked(self) -> Result<Output, CommandFailed> {
        if self.status.success() { Ok(self) } else { Err(CommandFailed { output: self }) }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("program", &self.program)
            .field("status", &self.status)
            .field("stdout", &String::from_utf8_lossy(&self.stdout))
            .field("stderr", &String::from_utf8_lossy(&self.stderr))
            .finish()
    }
}

/// A command has ended with another code than 0, or by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandFailed {
    /// The result.
    pub output: Output,
}

/// How much of the standard error is part of the message, from its end.
const SHOWN: usize = 400;

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output { status, stderr, program, .. } = &self.output;
        write!(f, "`{program}` has failed with {status}")?;
        let errors = stderr.trim_ascii();
        match errors.len().checked_sub(SHOWN) {
            _ if errors.is_empty() => Ok(()),
            None | Some(0) => write!(f, ", and the errors `{}`", String::from_utf8_lossy(errors)),
            Some(cut) => write!(f, ", and the errors `…{}`", String::from_utf8_lossy(&errors[cut..])),
        }
    }
}

impl Error for CommandFailed {}

impl From<CommandFailed> for io::Error {
    fn from(failed: CommandFailed) -> Self {
        io::Error::other(failed)
    }
}

/// A command has written more than its [`max_output`](crate::Command::max_output); inside of an [`io::Error`] of the kind
/// [`Other`](io::ErrorKind::Other).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooMuchOutput {
    /// The limit, in bytes.
    pub max_output: usize,
    program: String,
}

impl TooMuchOutput {
    pub(crate) fn of(process: &Process) -> Self {
        TooMuchOutput { max_output: process.max_output(), program: process.program().to_owned() }
    }
}

impl fmt::Display for TooMuchOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has written more than {} bytes, and is stopped", self.program, self.max_output)
    }
}

impl Error for TooMuchOutput {}

impl From<TooMuchOutput> for io::Error {
    fn from(too_much: TooMuchOutput) -> Self {
        io::Error::other(too_much)
    }
}

/// A command could not be run, or has failed; of [`Command::run`](crate::Command::run).
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// It could not be started, or its pipes could not be read or written; or there was more to read than
    /// [`max_output`](crate::Command::max_output).
    Io(io::Error),
    /// It has ended with another code than 0, or by a signal.
    Failed(CommandFailed),
}

impl RunError {
    /// Returns what came of the command, if it has run.
    #[must_use]
    pub fn output(&self) -> Option<&Output> {
        match self {
            RunError::Failed(failed) => Some(&failed.output),
            RunError::Io(_) => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Io(_) => f.write_str("the command could not be run"),
            RunError::Failed(failed) => failed.fmt(f),
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RunError::Io(error) => Some(error),
            RunError::Failed(_) => None,
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        RunError::Io(error)
    }
}

impl From<CommandFailed> for RunError {
    fn from(failed: CommandFailed) -> Self {
        RunError::Failed(failed)
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Io(error) => error,
            RunError::Failed(failed) => failed.into(),
        }
    }
}
