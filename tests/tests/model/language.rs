//! The languages of random programs. A seed means one program in each.

use serde_json::Value;

use super::generate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Plain,
    /// Tasks depend on each other.
    Linked,
    /// Tasks take turns, and wait to be told.
    Sync,
    /// Nurseries are local, and started children may fail before they are ready.
    Local,
    /// Code computes.
    Busy,
}

impl Language {
    pub(crate) const ALL: [Language; 5] =
        [Language::Plain, Language::Linked, Language::Sync, Language::Local, Language::Busy];

    /// Returns its name in the model.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::Plain => "plain",
            Language::Linked => "dep",
            Language::Sync => "sync",
            Language::Local => "local",
            Language::Busy => "busy",
        }
    }

    /// Returns the text before the seed in a line of vectors.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Language::Plain => "",
            Language::Linked => "d",
            Language::Sync => "y",
            Language::Local => "l",
            Language::Busy => "b",
        }
    }

    pub(crate) fn program(self, seed: u64) -> Value {
        match self {
            Language::Plain => generate::plain(seed),
            Language::Linked => generate::linked(seed),
            Language::Sync => generate::sync(seed),
            Language::Local => generate::local(seed),
            Language::Busy => generate::busy(seed),
        }
    }

    /// How the counts of a run call a program that comes out otherwise.
    pub(crate) fn mismatches(self) -> &'static str {
        match self {
            Language::Plain => "mismatches: plain",
            Language::Linked => "mismatches: linked",
            Language::Sync => "mismatches: sync",
            Language::Local => "mismatches: local",
            Language::Busy => "mismatches: busy",
        }
    }
}
