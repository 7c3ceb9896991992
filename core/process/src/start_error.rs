//! Why a command could not be started.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command could not be started; inside of an [`io::Error`], which has the kind of [`error`](StartError::error).
///
/// # Examples
///
/// ```
/// use foster_process::{Command, StartError};
/// use std::io;
///
/// # #[cfg(unix)]
/// # foster_smol::run(async {
/// let error = Command::new("there-is-no-such-program").spawn().await.unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// assert!(error.to_string().starts_with("`there-is-no-such-program` could not be started: "));
/// let why = error.get_ref().and_then(|why| why.downcast_ref::<StartError>()).unwrap();
/// assert!(why.error.raw_os_error().is_some());
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct StartError {
    /// The program.
    pub program: OsString,
    /// The directory that it was to run in, if that does not exist.
    pub missing_directory: Option<PathBuf>,
    /// The error of the host, with its number.
    pub error: io::Error,
}

impl StartError {
    /// Makes the error of a start. `directory` is the one that the command has set.
    pub(crate) fn wrap(program: OsString, directory: Option<PathBuf>, error: io::Error) -> io::Error {
        // The same number stands for a program that does not exist. An error without one is not the host's, nor is
        // its directory.
        let may_be_missing = error.raw_os_error().is_some()
            && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let missing_directory = directory.filter(|directory| may_be_missing && !directory.is_dir());
        io::Error::new(error.kind(), StartError { program, missing_directory, error })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` could not be started", self.program.to_string_lossy())?;
        if let Some(directory) = &self.missing_directory {
            write!(f, " in the directory `{}`, which does not exist", directory.display())?;
        }
        write!(f, ": {}", self.error)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
