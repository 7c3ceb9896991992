//! The host's monotonic clock as [`Instant`]s, for the adapters whose clock it is (R5).
//!
//! One origin for all of them in a process, so that their instants compare: a pool may be used from trees on two adapters,
//! and a deadline be set from one tree for a scope of the other.

use std::sync::OnceLock;
use std::time;

use crate::Instant;

/// How long before the first look at the clock the instants begin. A clock that a test has paused may have stopped before
/// that; and so may be an instant which other code has made.
const ROOM: time::Duration = time::Duration::from_secs(3_600);

/// Where the first instant stands on the host's clock. One that runs only since the host was started may not reach back so
/// far; then there is no room.
#[expect(clippy::disallowed_methods, reason = "the origin of what adapters read")]
fn origin() -> time::Instant {
    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| {
        let now = time::Instant::now();
        now.checked_sub(ROOM).unwrap_or(now)
    })
}

/// Returns the point that this is on the clock of such an adapter; the origin, for one that is before it.
#[must_use]
pub fn from_std(at: time::Instant) -> Instant {
    Instant::from_nanos(0) + at.saturating_duration_since(origin())
}

/// Returns the point on the host's clock; `None` if it is never, or further away than that clock reaches.
#[must_use]
pub fn to_std(at: Instant) -> Option<time::Instant> {
    if at == Instant::NEVER {
        return None;
    }
    origin().checked_add(at - Instant::from_nanos(0))
}
