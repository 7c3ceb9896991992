//! Vectors that the model makes on the spot, from a seed that nobody has seen before.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::expect::{Expect, Source};

/// How many vectors to make, and of which seeds the first of either language is. The environment may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub count: u64,
    pub seed: u64,
}

impl Wanted {
    pub(crate) fn from_environment(count: u64) -> Self {
        let variable = |name: &str| std::env::var(name).ok()?.trim_start_matches('d').parse::<u64>().ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wanted {
            count: variable("FOSTER_MODEL_PROGRAMS").unwrap_or(count),
            // The model multiplies it by a thousand.
            seed: variable("FOSTER_SEED").unwrap_or(now.as_micros() as u64 % 1_000_000_000_000),
        }
    }

    /// Half of them plain, half of them linked; `None` if there is no Python.
    pub(crate) fn make(self) -> Option<Vec<(Source, Expect)>> {
        let each = self.count.div_ceil(2);
        let plain = self.run(each, "plain")?;
        let linked = self.run(each, "dep")?;
        Some([plain, linked].concat().iter().map(|line| Expect::from_line(line)).collect())
    }

    fn run(self, count: u64, language: &str) -> Option<Vec<String>> {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("model/ref_model.py");
        let arguments = ["compact".to_owned(), count.to_string(), self.seed.to_string(), language.to_owned()];
        let output = Command::new("python3").arg("-B").arg(model).args(arguments).output().ok()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {}: an invariant is broken in the model itself:\n{errors}", self.seed);
        Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}
