//! The input of one run: a seed, or a seed with a script that shrinking left of its choices.

use std::fmt;
use std::str::FromStr;

use crate::runtime::Script;

/// Names one schedule of a program, so that it can be run again: what `FOSTER_SEED` holds.
///
/// Written as the seed (`7`), or, for a schedule that [`explore`](crate::explore) has shrunk, as the seed and the
/// choices that are not the calm one, each with its position (`7/12=1,40=2`). A schedule means the same only for the
/// same program under the same settings.
///
/// # Examples
///
/// ```
/// use foster_sim::Schedule;
///
/// let shrunk: Schedule = "7/12=1,40=2".parse()?;
/// assert_eq!(shrunk.seed(), 7);
/// assert_eq!(shrunk.to_string(), "7/12=1,40=2");
/// assert_eq!(Schedule::from(7).to_string(), "7");
/// # Ok::<(), foster_sim::ParseScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) seed: u64,
    pub(crate) script: Option<Script>,
}

impl Schedule {
    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl From<u64> for Schedule {
    fn from(seed: u64) -> Self {
        Schedule { seed, script: None }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        let entries = self.script.iter().flat_map(|script| &script.entries);
        for (index, (position, choice)) in entries.enumerate() {
            write!(f, "{}{position}={choice}", if index == 0 { '/' } else { ',' })?;
        }
        if self.script.as_ref().is_some_and(|script| script.entries.is_empty()) { f.write_str("/") } else { Ok(()) }
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let number =
            |digits: &str| digits.trim().parse::<u64>().map_err(|_| ParseScheduleError { text: text.to_owned() });
        let Some((seed, list)) = text.split_once('/') else { return Ok(Schedule::from(number(text)?)) };
        let mut script = Script::default();
        for entry in list.split(',').filter(|entry| !entry.trim().is_empty()) {
            let (position, choice) = entry.split_once('=').unwrap_or((entry, ""));
            script.push(number(position)?, number(choice)?);
        }
        script.entries.sort_unstable();
        Ok(Schedule { seed: number(seed)?, script: Some(script) })
    }
}

/// The text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseScheduleError {
    /// The text.
    pub text: String,
}

impl fmt::Display for ParseScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a schedule: write a seed (`7`) or a shrunk schedule (`7/12=1,40=2`)", self.text)
    }
}

impl std::error::Error for ParseScheduleError {}
