//! A reason given by hand is an explicit one; deadlines and failures speak for themselves.

use foster::scope::Reason;

pub fn run() -> Reason {
    #[cfg(misuse)]
    drop(Reason::new(foster::scope::ReasonKind::Deadline)); //~ E0624
    Reason::from("by hand")
}
