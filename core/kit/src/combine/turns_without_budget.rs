//! Turns of a group that begin when the task's budget is used up.

/// How many are polled per turn without budget, on average over the turns.
const POLLS: usize = 32;

/// The turns that begin without any budget, and in which most are polled in vain: they wake themselves, and come again.
///
/// Such a turn polls all that are ready, or nobody. If it polled some of them, these would go to the end of the queue
/// with nothing; and if every other turn were such a one, because something beside the group comes first in it, it
/// might always be the same ones. It must poll all now and then, because what needs no budget, such as the end of a
/// sleep, would else never be seen beside code that uses up the budget in every poll. It does so when enough turns
/// have passed that it comes to a fixed number of polls for each of them: so what is done in vain does not grow with
/// the group.
pub(super) struct TurnsWithoutBudget {
    /// How many turns have begun without budget since one of them has polled all.
    turns: usize,
}

impl TurnsWithoutBudget {
    pub(super) fn new() -> Self {
        TurnsWithoutBudget { turns: 0 }
    }

    /// Whether the turn that now begins without budget polls nobody, though so many are ready. The group has to be
    /// polled again then.
    pub(super) fn passes(&mut self, ready: usize) -> bool {
        self.turns += 1;
        let passes = ready > self.turns * POLLS;
        if !passes {
            self.turns = 0;
        }
        passes
    }
}
