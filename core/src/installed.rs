//! The installed root: what code outside of every tree stands below, once an adapter was installed.
//!
//! It is never polled and never ends, and nobody cancels it. There is one in a process, and no way back.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::reason::Origin;
use crate::runtime::Runtime;
use crate::tree::{Tree, current};

/// Makes `runtime` the one that serves scopes and operations outside of any tree. For adapters' `install`.
///
/// Such code stands below a root that never ends and is never cancelled. So [`defer`](crate::defer()) panics there
/// outside of any other scope: its finalizer would never run. As the root never ends, nobody is told what is cut off below
/// it when its runtime has ended (law L30): the counts of [`HostDropped`](crate::observer::HostDropped) come with the end
/// of a tree.
///
/// # Errors
///
/// A runtime was installed before; it stays.
#[track_caller]
pub fn install(runtime: Arc<dyn Runtime>) -> Result<(), AlreadyInstalled> {
    let origin = Origin::new("installed root", Location::caller());
    let (_, root) = Tree::with_root(runtime, origin);
    current::DEFAULT_ROOT.set(root).map_err(|_| AlreadyInstalled {
        name: current::DEFAULT_ROOT.get().and_then(|root| root.tree()).map_or("", |tree| tree.runtime.name()),
    })
}

/// A runtime was installed before.
#[derive(Debug)]
#[non_exhaustive]
pub struct AlreadyInstalled {
    /// The name of the runtime that is installed.
    pub name: &'static str,
}

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} runtime is installed already; a process has one default", self.name)
    }
}

impl Error for AlreadyInstalled {}
