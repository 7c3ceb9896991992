//! There may be further reasons and ways to end: a match says what it does with those.

use foster::error::JoinError;
use foster::scope::ReasonKind;

pub fn run(error: JoinError) -> u8 {
    #[cfg(misuse)]
    return match error {
        //~^ E0004
        JoinError::Cancelled => 1,
        JoinError::Failed(_) => 2,
        JoinError::Panicked => 3,
    };
    #[cfg(not(misuse))]
    match error {
        JoinError::Cancelled => 1,
        _ => 2,
    }
}

pub fn explicit(kind: ReasonKind) -> bool {
    kind == ReasonKind::Explicit
}
