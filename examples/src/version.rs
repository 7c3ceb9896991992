//! The choice of the version, in the programs that show a bug.

use std::process;

/// With the bug, or without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// With the bug.
    Broken,
    /// Without it.
    Mended,
}

impl Version {
    /// Returns the version that the command line names: `--version broken`, which is the default, or `mended`.
    ///
    /// Anything else on the command line ends the process with a message and exit code 2.
    #[must_use]
    pub fn chosen() -> Version {
        Version::read().unwrap_or_else(|error| {
            eprintln!("{error}\n\nThe one option is --version broken|mended");
            process::exit(2);
        })
    }

    fn read() -> Result<Version, lexopt::Error> {
        use lexopt::prelude::*;

        let mut version = Version::Broken;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("version") => {
                    version = arguments.value()?.parse_with(|name| match name {
                        "broken" => Ok(Version::Broken),
                        "mended" => Ok(Version::Mended),
                        _ => Err("use broken or mended"),
                    })?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(version)
    }
}
