//! Capabilities that only some runtimes have: looked up by type.

use std::any::{Any, TypeId};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::{Runtime, current};

/// Looks up what the runtime of the current tree, or the installed one, offers as `C` (R14). `what` is its name in
/// messages.
///
/// For crates that bring an interface which adapters implement, as a network is. The trait is theirs, and object-safe;
/// the adapter answers [`Runtime::capability`] with an `Arc` of it.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported), with a [`MissingCapability`] inside: the runtime does not have it, or
/// there is none.
///
/// # Examples
///
/// ```
/// use foster::runtime::capability;
/// use std::io;
///
/// trait Printer: Send + Sync {}
///
/// # foster_sim::run(1, async {
/// let missing = capability::<dyn Printer>("printer").err().unwrap();
/// assert_eq!(missing.kind(), io::ErrorKind::Unsupported);
/// assert!(missing.to_string().starts_with("the runtime `sim` has no printer"));
/// # });
/// ```
pub fn capability<C: ?Sized + Send + Sync + 'static>(what: &'static str) -> io::Result<Arc<C>> {
    let runtime = current();
    let found = runtime.as_deref().and_then(|runtime| offered_by::<C>(runtime));
    found.ok_or_else(|| {
        let missing = MissingCapability { runtime: runtime.map(|runtime| runtime.name()), what };
        io::Error::new(io::ErrorKind::Unsupported, missing)
    })
}

fn offered_by<C: ?Sized + Send + Sync + 'static>(runtime: &dyn Runtime) -> Option<Arc<C>> {
    let offered: &dyn Any = runtime.capability(TypeId::of::<Arc<C>>())?;
    let offered = offered.downcast_ref::<Arc<C>>();
    debug_assert!(offered.is_some(), "R14: the value that a runtime offers is of the type that was asked for");
    offered.cloned()
}

/// The runtime does not have what an operation needs; inside of an [`io::Error`] of the kind
/// [`Unsupported`](io::ErrorKind::Unsupported). See [`capability`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingCapability {
    /// The name of the adapter. None if the code runs outside of any tree, and no adapter was installed.
    pub runtime: Option<&'static str>,
    /// The capability that was asked for.
    pub what: &'static str,
}

impl fmt::Display for MissingCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match self.runtime {
            Some(runtime) => write!(
                f,
                "the runtime `{runtime}` has no {what}: build its adapter with the cargo feature for it, or run on an adapter \
                 that has one"
            ),
            None => write!(
                f,
                "there is no foster runtime here that could have a {what}: call this inside of `run` or `attach` of an \
                 adapter, or call `install` of the adapter once at start-up"
            ),
        }
    }
}

impl Error for MissingCapability {}
