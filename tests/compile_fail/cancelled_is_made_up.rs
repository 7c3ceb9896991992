//! L18: only a scope says that it was cancelled, to its owner. Nobody can make that up and pass it on.

use foster::Cancelled;

pub fn passes(cancelled: Cancelled) -> Cancelled {
    cancelled
}

#[cfg(misuse)]
pub fn makes(reason: foster::scope::Reason, scope: foster::scope::Origin) -> Cancelled {
    Cancelled { reason, scope } //~ E0451
}
