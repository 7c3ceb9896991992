//! Tasks that hyper spawns.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use foster::Nursery;

/// Spawns what hyper spawns into a nursery, as children: they are cancelled with it, it does not end before them, and
/// the panic of one is a panic in it.
///
/// A nursery that has ended takes no task: that is dropped, and hyper tells whoever waits for it.
///
/// A request for an upgrade (with such a header, or a `CONNECT`) that is answered by
/// [`serve_connection`](crate::serve_connection) has the executor of its connection in its extensions: see there.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery};
/// use foster_hyper::Executor;
/// use hyper::rt::Executor as _;
///
/// # foster_sim::run(1, async {
/// let Ok(()) = nursery(async |n: Nursery| {
///     Executor::new(&n).execute(async { println!("a child of the nursery") });
/// })
/// .await;
/// # });
/// ```
pub struct Executor<E = Infallible> {
    nursery: Nursery<E>,
    daemons: bool,
    /// Each task keeps a clone as long as it runs: so the connection knows of it.
    open: Option<Arc<()>>,
}

impl<E> Executor<E> {
    /// Spawns into `nursery`, which waits for the tasks.
    pub fn new(nursery: &Nursery<E>) -> Self {
        Executor { nursery: nursery.clone(), daemons: false, open: None }
    }

    /// Spawns into `nursery`, which does not wait for the tasks: they are daemons, and are cancelled when only daemons
    /// are left.
    pub fn daemons(nursery: &Nursery<E>) -> Self {
        Executor { nursery: nursery.clone(), daemons: true, open: None }
    }

    /// Returns one whose tasks keep `open`, and that keeps it itself.
    pub(crate) fn keeping(&self, open: Arc<()>) -> Self {
        Executor { nursery: self.nursery.clone(), daemons: self.daemons, open: Some(open) }
    }
}

impl<E, F> hyper::rt::Executor<F> for Executor<E>
where
    E: fmt::Debug + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let child = self.nursery.child();
        // The names of the types of those of hyper are of no use to anybody.
        let child = if self.daemons { child.daemon().named("hyper task") } else { child };
        let open = self.open.clone();
        let task = async move {
            future.await;
            drop(open);
        };
        // Refused by a nursery that has ended: to drop the future is how hyper learns of it.
        drop(child.try_spawn(task));
    }
}

impl<E> Clone for Executor<E> {
    fn clone(&self) -> Self {
        Executor { nursery: self.nursery.clone(), daemons: self.daemons, open: self.open.clone() }
    }
}

impl<E> fmt::Debug for Executor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("daemons", &self.daemons).finish_non_exhaustive()
    }
}
