//! Programs that the model makes on the spot, from a seed that nobody has seen before.
//!
//! The model runs each of them under few schedules, which is not enough to know that its outcome is fixed by the laws.
//! Where the replay differs, the model is asked again: [`Wanted::settle`].

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::expect::{Expect, Source};
use super::language::Language;

/// How many programs to make, and of which seeds the first of each language is. The environment may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub count: u64,
    pub seed: u64,
}

impl Wanted {
    pub(crate) fn from_environment(count: u64) -> Self {
        let variable = |name: &str| std::env::var(name).ok()?.trim_start_matches(char::is_alphabetic).parse().ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wanted {
            count: variable("FOSTER_MODEL_PROGRAMS").unwrap_or(count),
            // The model multiplies it by a thousand.
            seed: variable("FOSTER_SEED").unwrap_or(now.as_micros() as u64 % 1_000_000_000_000),
        }
    }

    /// The programs of one language, as the model makes them; `None` if there is no Python.
    pub(crate) fn make(self, language: Language) -> Option<Fresh> {
        let each = self.count.div_ceil(Language::ALL.len() as u64);
        let arguments = ["fresh".to_owned(), each.to_string(), self.seed.to_string(), language.name().to_owned()];
        let mut model = model(&arguments).stdout(Stdio::piped()).spawn().ok()?;
        let lines = BufReader::new(model.stdout.take()?).lines();
        Some(Fresh { model, lines, left_out: None })
    }

    /// Which of these programs have one outcome under as many schedules as a vector.
    pub(crate) fn settle(language: Language, seeds: &[u64]) -> BTreeSet<u64> {
        if seeds.is_empty() {
            return BTreeSet::new();
        }
        let mut arguments = vec!["settle".to_owned(), language.name().to_owned()];
        arguments.extend(seeds.iter().map(u64::to_string));
        let output = model(&arguments).stderr(Stdio::inherit()).output().expect("python3 was there before");
        assert!(output.status.success(), "an invariant is broken in the model itself");
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().map(|line| Expect::from_line(line).0.seed).collect()
    }
}

fn model(arguments: &[String]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("model/ref_model.py")).args(arguments);
    command
}

/// The programs that the model is making.
pub(crate) struct Fresh {
    model: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// How many programs the model left out by itself; known at the end.
    pub left_out: Option<u64>,
}

impl Iterator for Fresh {
    type Item = (Source, Expect);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?.expect("the model writes text");
        match line.strip_prefix("left out ") {
            Some(count) => {
                self.left_out = count.parse().ok();
                None
            }
            None => Some(Expect::from_line(&line)),
        }
    }
}

impl Fresh {
    /// Waits for the end of the model.
    pub(crate) fn end(&mut self) {
        let status = self.model.wait().expect("the model was started");
        assert!(status.success(), "an invariant is broken in the model itself");
    }
}
