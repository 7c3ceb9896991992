//! N10: a runtime that has no threads for a while: who asks is told, and nothing is lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foster::Instant;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, current, root};
use foster_fs::File;
use futures_lite::{AsyncSeekExt, AsyncWriteExt};

use crate::place;

/// As good as the runtime of the test, but for its threads.
struct Refuses {
    inner: Arc<dyn Runtime>,
    now: Arc<AtomicBool>,
}

impl Runtime for Refuses {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn spawn(&self, job: Job) {
        self.inner.spawn(job);
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        if self.now.load(Ordering::SeqCst) {
            return Err(BlockingError::new(work, io::Error::from(io::ErrorKind::OutOfMemory)));
        }
        self.inner.blocking(work)
    }
}

/// N140: a write, a seek or a sync that got no thread says so, and has lost nothing: the file can be used when there
/// are threads again.
pub async fn n140_a_refused_thread_loses_nothing() {
    let (_directory, path) = place("file");
    let now = Arc::new(AtomicBool::new(false));
    let inner = current().expect("a test has a runtime");
    let body = async {
        let mut file = File::create(&path).await.unwrap();
        for _ in 0..3 {
            now.store(true, Ordering::SeqCst);
            assert_eq!(file.write(b"lost").await.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
            assert_eq!(file.seek(io::SeekFrom::Start(0)).await.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
            assert_eq!(file.sync_all().await.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
            file.flush().await.expect("there is nothing to write");
            now.store(false, Ordering::SeqCst);
            file.write_all(b"kept").await.unwrap();
            file.flush().await.unwrap();
            file.sync_all().await.unwrap();
        }
        file.close().await.unwrap();
    };
    root(Arc::new(Refuses { inner, now: now.clone() }), body).await;
    assert_eq!(std::fs::read(&path).unwrap(), b"keptkeptkept");
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! refusals_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; refusals {
            n140_a_refused_thread_loses_nothing,
        });
    };
}
