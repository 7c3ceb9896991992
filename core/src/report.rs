//! The public entrance to the observer: one function, by which combinators outside of the core hand over errors that
//! have no caller (L35).

use std::fmt::Debug;
use std::panic::Location;

use crate::events::{Observer, Orphan, OrphanKind, PrintOrphans};
use crate::reason::Origin;
use crate::tree::current;

/// Hands an error that no caller can receive to the [`Observer`] of the tree; the innermost scope is its origin.
/// Outside of any tree it is printed.
///
/// For combinators that have one place for an error, and more errors: each ends in exactly one place (law L35), so what
/// is handed to this is to be dropped.
///
/// # Examples
///
/// ```
/// use foster::observer::{OrphanKind, report};
///
/// # foster_sim::run(1, async {
/// async fn both_fail() -> Result<(), &'static str> {
///     let (first, second) = foster::combine::join((async { Err::<(), _>("no route") }, async { Err::<(), _>("no name") })).await;
///     if let (Err(_), Err(later)) = (first, second) {
///         report(&later, OrphanKind::Later);
///     }
///     first.and(second)
/// }
/// assert_eq!(both_fail().await, Err("no route"));
/// # });
/// ```
#[track_caller]
pub fn report(error: &dyn Debug, kind: OrphanKind) {
    let scope = current::try_scope();
    let tree = scope.as_ref().and_then(|scope| scope.tree());
    match (&scope, tree) {
        (Some(scope), Some(tree)) => tree.report(&Orphan { kind, error, origin: &scope.origin }),
        _ => PrintOrphans.orphan(&Orphan {
            kind,
            error,
            origin: &Origin::new("code without a scope", Location::caller()),
        }),
    }
}
