//! Servers: a nursery child for each connection.
//!
//! ```text
//!   serve   accept ─┬─ accept ─┬─ (limit reached: nobody accepts) ─┬─ accept ─┬──╳ asked to stop: the listener is closed
//!   child           └─ handler ┼───────────────────────────────────┘          │
//!   child                      └─ handler ───────────────────────── stopping() resolves ── ends ──┤
//!   child                                                                     └─ handler ─────────┼── cut when the grace ends
//!                                                                                                 ▼ serve returns
//! ```

mod options;

use std::any::type_name;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use foster_core::sync::{OwnedSemaphorePermit, Semaphore};
use foster_core::{Nursery, NurseryOptions, graceful, sleep, stopping};

use crate::address::Family;
use crate::listener::{Listener, is_out_of_resources};
use crate::stream::Stream;

pub use options::{Incident, ServeError, ServeOptions};

/// Accepts connections, and runs `handler` for each of them, in a child of its own.
///
/// * **A limit is back-pressure**: with [`limit`](ServeOptions::limit), nobody accepts as long as so many handlers run.
///   A client that connects then waits in the backlog of the host.
/// * **It survives overload.** A connection that was broken before it was accepted is passed over. If the process or
///   the host is out of descriptors or memory, that is [reported](ServeOptions::on_incident), and after a
///   [pause](ServeOptions::pause) it goes on.
/// * **An error of a handler** is reported, and the server lives, unless it is told to [fail
///   fast](ServeOptions::fail_fast). A panic is the end of it (law L32): it cancels the other handlers, and is resumed
///   when they have ended.
/// * **A graceful stop**: when the code around it is cancelled with a grace, it closes the listener at once, so that
///   clients do not wait: those who come later are refused, those in the backlog are reset.
///   [`stopping()`](foster_core::stopping) resolves in all handlers, and it returns when the last of them has ended.
///   Those that go on are cancelled when the grace ends. Without a grace that is at once.
///
/// The connection is closed when its handler has ended, because that owns it.
///
/// In [dumps](foster_core::dump) and reports, the server is the nursery `serve` at the place of this call, and a
/// handler a task at the same place, with the path of the function in which it was written, or as `connection` if that is a
/// closure, or generic.
///
/// For several listeners, spawn it once for each. To spawn the handlers into a nursery of yours, use [`serve_in`].
///
/// # Cancellation
///
/// *Partial effect*: see above. It does not return to code that was cancelled without a grace.
///
/// # Errors
///
/// * [`Accept`](ServeError::Accept): an error of the listener that is not known to pass. The handlers are cancelled.
/// * [`Handler`](ServeError::Handler): of a handler, if it is to fail fast.
///
/// # Panics
///
/// Resumes the first panic of a handler.
///
/// # Examples
///
/// ```
/// use foster::{CancelScope, Nursery, nursery};
/// use foster_net::{ServeOptions, TcpListener, TcpStream, serve};
/// use std::io;
/// use std::time::Duration;
///
/// async fn greet(stream: TcpStream) -> io::Result<()> {
///     stream.write_all(b"hello").await
/// }
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let mut server = CancelScope::new().grace(Duration::from_secs(5));
/// let stop = server.handle();
/// nursery(async |n: Nursery<io::Error>| {
///     n.spawn(async move {
///         let options = ServeOptions::new().limit(100);
///         let _ = server.run(serve(listener, options, |stream, _| greet(stream))).await;
///         Ok(())
///     });
///     let mut greeting = [0; 5];
///     TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
///     assert_eq!(&greeting, b"hello");
///     stop.cancel("enough");
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[track_caller]
pub fn serve<F, H, Fut, E>(
    listener: Listener<F>,
    options: ServeOptions<E>,
    handler: H,
) -> impl Future<Output = Result<(), ServeError<E>>>
where
    F: Family,
    H: Fn(Stream<F>, F::Addr) -> Fut + Send,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Debug + Send + 'static,
{
    let location = Location::caller();
    let serving = NurseryOptions::new().named("serve").run(async move |n: Nursery<ServeError<E>>| {
        let options = Arc::new(options);
        let of_handlers = options.clone();
        // It owns the handler, which need not be `Sync` then.
        let spawn = move |stream, peer: F::Addr, permit| {
            let (options, handling) = (of_handlers.clone(), handler(stream, peer.clone()));
            n.child().named(name_of::<Fut>()).spawned_at(location).spawn(async move {
                let _permit: Option<OwnedSemaphorePermit> = permit;
                match handling.await {
                    Err(error) if options.fails_fast => return Err(ServeError::Handler(error)),
                    Err(error) => options.tell(Incident::Handler { peer: F::pack(peer), error }),
                    Ok(()) => {}
                }
                Ok(())
            });
        };
        accept_all(listener, &options, spawn).await.map_err(ServeError::Accept)
    });
    graceful(serving)
}

/// Does as [`serve`], with the handlers in a nursery of yours: when the code around this is cancelled, with a grace or
/// without, nothing is accepted any more, and the handlers go on as long as that nursery lets them.
///
/// Whether it should fail fast makes no difference here: errors of handlers are reported.
///
/// # Cancellation
///
/// *Strict*: the listener is closed, and the handlers go on.
///
/// # Errors
///
/// An error of the listener that is not known to pass. The handlers go on.
///
/// # Panics
///
/// When a connection comes and the nursery has ended, as [`Nursery::spawn`] does: so it is to be awaited inside. The
/// panic of a handler goes to the nursery.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, move_on_after, nursery};
/// use foster_net::{ServeOptions, TcpListener, TcpStream, serve_in};
/// use std::io;
/// use std::time::Duration;
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// nursery(async |n: Nursery<io::Error>| {
///     let handler = async |stream: TcpStream, _| stream.write_all(b"hello").await;
///     let serving = serve_in(&n, listener, ServeOptions::new(), handler);
///     move_on_after(Duration::from_millis(10), serving).await; // accepts for so long
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[track_caller]
pub fn serve_in<F, H, Fut, E, N>(
    nursery: &Nursery<N>,
    listener: Listener<F>,
    options: ServeOptions<E>,
    handler: H,
) -> impl Future<Output = io::Result<()>>
where
    F: Family,
    H: Fn(Stream<F>, F::Addr) -> Fut + Send,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Debug + Send + 'static,
    N: Debug + Send + 'static,
{
    let location = Location::caller();
    let options = Arc::new(options);
    let of_handlers = options.clone();
    // It owns the handler, which need not be `Sync` then.
    let spawn = move |stream, peer: F::Addr, permit| {
        let (options, handling) = (of_handlers.clone(), handler(stream, peer.clone()));
        nursery.child().named(name_of::<Fut>()).spawned_at(location).spawn(async move {
            let _permit: Option<OwnedSemaphorePermit> = permit;
            if let Err(error) = handling.await {
                options.tell(Incident::Handler { peer: F::pack(peer), error });
            }
        });
    };
    async move { accept_all(listener, &options, spawn).await }
}

/// The name of the task of a handler: the function in which its future was written. The types of closures and of generic
/// functions say nothing to people, at length.
fn name_of<Fut>() -> &'static str {
    let name = type_name::<Fut>();
    match name.trim_end_matches("::{{closure}}").contains(['<', '{']) {
        true => "connection",
        false => name,
    }
}

/// The loop of a server. Returns when it has been asked to stop, which only code in a graceful shield ever learns.
async fn accept_all<F: Family, E>(
    listener: Listener<F>,
    options: &ServeOptions<E>,
    spawn: impl Fn(Stream<F>, F::Addr, Option<OwnedSemaphorePermit>),
) -> io::Result<()> {
    let limit = options.limit.map(|limit| Arc::new(Semaphore::new(limit)));
    let mut stopping = pin!(stopping());
    loop {
        let next = async {
            let permit = match &limit {
                Some(limit) => Some(limit.clone().acquire_owned().await),
                None => None,
            };
            (permit, listener.accept().await)
        };
        let Some((permit, accepted)) = before(stopping.as_mut(), next).await else { return Ok(()) };
        match accepted {
            Ok((stream, peer)) => spawn(stream, peer, permit),
            Err(error) if is_out_of_resources(&error) => {
                drop(permit);
                options.tell(Incident::Accept { error, pause: options.pause });
                if before(stopping.as_mut(), sleep(options.pause)).await.is_none() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The output of `future`, or none if `end` comes first; also if both come at once.
async fn before<T>(mut end: impl Future<Output = ()> + Unpin, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if pin!(&mut end).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
