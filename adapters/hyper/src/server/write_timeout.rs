//! Clients that do not take what is written to them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::future::Sleep;
use foster::{Instant, sleep, sleep_until};
use pin_project_lite::pin_project;

use super::ConnectionError;
use crate::io::Transfers;

pin_project! {
    /// A connection that ends with an error if its client takes nothing of what is written for too long. While nothing
    /// waits to be written there is no timer.
    ///
    /// The stream itself does not know the limit: an upgraded connection, which keeps the stream, has none, and may be
    /// written to outside of the tree.
    pub(super) struct WriteTimeout<C> {
        #[pin]
        connection: C,
        // None: there is no limit.
        transfers: Option<Arc<Transfers>>,
        limit: Duration,
        stall: Option<Stall>,
    }
}

/// A write that waits.
struct Stall {
    /// How often something had been written when it began.
    written: usize,
    since: Instant,
    /// Wakes the connection when the limit may have passed: it is not set anew each time that the client takes a part.
    sleep: Sleep,
}

impl<C> WriteTimeout<C> {
    /// Limits the writes of a connection whose stream notes its transfers; [`Duration::MAX`] is no limit.
    pub(super) fn new(connection: C, transfers: Option<Arc<Transfers>>, limit: Duration) -> Self {
        WriteTimeout { connection, transfers: transfers.filter(|_| limit != Duration::MAX), limit, stall: None }
    }

    pub(super) fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.project().connection
    }
}

impl<C: Future<Output = hyper::Result<()>>> Future for WriteTimeout<C> {
    type Output = Result<(), ConnectionError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(ended) = this.connection.poll(cx) {
            *this.stall = None;
            return Poll::Ready(ended.map_err(ConnectionError::Http));
        }
        let Some(transfers) = this.transfers.as_ref().filter(|transfers| transfers.writer_waits()) else {
            *this.stall = None;
            return Poll::Pending;
        };
        let (written, limit) = (transfers.written(), *this.limit);
        let begin = || Stall { written, since: Instant::now(), sleep: sleep(limit) };
        let stall = this.stall.get_or_insert_with(begin);
        if stall.written != written {
            (stall.written, stall.since) = (written, Instant::now());
        }
        loop {
            ready!(Pin::new(&mut stall.sleep).poll(cx));
            let end = stall.since + limit;
            if end <= Instant::now() {
                return Poll::Ready(Err(ConnectionError::WriteTimeout(limit)));
            }
            stall.sleep = sleep_until(end);
        }
    }
}
