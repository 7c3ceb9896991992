//! The walk: a child for each directory and each file, threads for what blocks, a limiter before the threads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foster::checkpoint_if_cancelled;
use foster::retry::retry;
use foster::retry::{Backoff, Jitter};
use foster::sync::{CapacityLimiter, OwnedLimiterPermit};
use foster::{Nursery, nursery, to_thread};

use crate::hash::{hash, list};
use crate::journal::{Journal, Outcome};
use crate::options::Options;

/// Walks the tree below the directory, and writes what it finds into the journal.
pub(crate) async fn walk(options: &Options, journal: Arc<Journal>) {
    let walk = Walk {
        limiter: Arc::new(CapacityLimiter::new(options.limit)),
        tries: options.tries,
        backoff: options.backoff,
        journal,
    };
    let root = options.directory.clone();
    let Ok(()) = nursery(async |n: Nursery| walk.enter(&n, root)).await;
}

/// The state that the children of the walk share.
#[derive(Clone)]
struct Walk {
    /// A permit stands for a thread that reads; nobody holds one while waiting for another.
    limiter: Arc<CapacityLimiter>,
    tries: u32,
    backoff: Duration,
    journal: Arc<Journal>,
}

impl Walk {
    /// Begins a child for a directory.
    ///
    /// Not in `directory` itself: an async function that spawns itself has a type that the compiler cannot finish.
    fn enter(&self, n: &Nursery, path: PathBuf) {
        self.journal.directory_found();
        n.spawn(self.clone().directory(n.clone(), path));
    }

    async fn directory(self, n: Nursery, path: PathBuf) {
        let permit = self.limiter.clone().acquire_owned().await;
        let listing = match self.attempt(permit, &path, list).await {
            Ok(listing) => listing,
            Err((error, tries)) => return self.journal.directory_unreadable(path, error, tries),
        };
        for directory in listing.directories {
            self.enter(&n, directory);
        }
        self.journal.directory_listed(listing.files.len());
        for file in listing.files {
            // The permit comes before the child: so there are never many more children than permits.
            let permit = self.limiter.clone().acquire_owned().await;
            n.spawn(self.clone().file(permit, file));
        }
    }

    async fn file(self, permit: OwnedLimiterPermit, path: PathBuf) {
        let outcome = match self.attempt(permit, &path, hash).await {
            Ok(Some(hashed)) => Outcome::Hashed(hashed),
            Ok(None) => {
                // Where the hash was cut short, this child ends here, and the file stays among those that are left. Not
                // `return`: a child that returns has completed, and so would the tour that had it as its last one.
                checkpoint_if_cancelled().await;
                Outcome::Skipped
            }
            Err((error, tries)) => Outcome::Unreadable { error, tries },
        };
        self.journal.file(path, outcome);
    }

    /// Reads on a thread; after an error again, until it works, there were enough tries, or the deadline is too near for more.
    async fn attempt<T: Send + 'static>(
        &self,
        permit: OwnedLimiterPermit,
        path: &Path,
        read: fn(&Path) -> io::Result<T>,
    ) -> Result<T, (io::Error, u32)> {
        let mut first = Some(permit);
        let mut tries = 0;
        let pauses = Backoff::new().base(self.backoff).jitter(Jitter::None);
        let outcome = retry(pauses, || {
            tries += 1;
            let (permit, path) = (first.take(), path.to_owned());
            async move {
                // Nobody holds a permit during a pause.
                let _permit = match permit {
                    Some(permit) => permit,
                    None => {
                        self.journal.trying_again();
                        self.limiter.clone().acquire_owned().await
                    }
                };
                to_thread(move || read(&path)).await
            }
        })
        .attempts(self.tries)
        .await;
        outcome.map_err(|error| (error, tries))
    }
}
