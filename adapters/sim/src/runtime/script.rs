//! The choices of a run, written out.

/// Choices that are not 0, in the order of their positions. All others are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) entries: Vec<(u64, u64)>,
    cursor: usize,
}

impl Script {
    pub(crate) fn new(entries: Vec<(u64, u64)>) -> Self {
        Script { entries, cursor: 0 }
    }

    pub(crate) fn push(&mut self, position: u64, choice: u64) {
        self.entries.push((position, choice));
    }

    /// The choice at `position`; positions are asked in rising order.
    pub(crate) fn at(&mut self, position: u64) -> u64 {
        while self.entries.get(self.cursor).is_some_and(|(next, _)| *next < position) {
            self.cursor += 1;
        }
        self.entries.get(self.cursor).filter(|(next, _)| *next == position).map_or(0, |(_, choice)| *choice)
    }
}
