//! A request that is cut by a limit, with the client of hyper itself, on runtimes with a real clock.
//!
//! The client drives its connection in a child of a nursery, and awaits the answer beside that; a limit around the
//! nursery cancels both. What becomes of the connection by that is no answer: a request that waits when the limit comes
//! is not polled again, and does not see hyper's error "dispatch task is gone" (L12, L14).
//!
//! A request that is woken when the limit comes, or is being polled, has one more poll, and may see that error in it: the
//! futures of hyper know nothing of scopes (the book's page of guarantees, "Foreign operations"). On several threads it
//! does now and then, when the limit comes in the poll in which the request is made. So two tests make sure that the
//! request waits. In the others the limit comes at any moment.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foster::observer::{HostDropped, ObservedTask, Observer, Orphan, TaskEvent};
use foster::{
    CancelScope, Instant, Nursery, checkpoint_if_cancelled, fail_after, move_on_after, nursery, sleep, sleep_forever,
};
use foster_conformance::seen::{ends, real_rounds};
use foster_hyper::{HttpOptions, Io};
use foster_net::TcpStream;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, Server, test};

/// For each runtime and each asker; `FOSTER_ROUNDS` overrides it.
const ROUNDS: usize = 30;

#[derive(Clone, Copy, Debug)]
enum Host {
    /// On so many threads.
    Smol(usize),
    TokioCurrentThread,
    /// With so many workers.
    TokioMultiThread(usize),
}

const HOSTS: [Host; 5] =
    [Host::Smol(1), Host::Smol(2), Host::Smol(4), Host::TokioCurrentThread, Host::TokioMultiThread(2)];

/// Runs a body on each runtime, in a tree that [`Tells`], and holds that it leaves nothing.
fn on_each_host<F: Future<Output = ()>>(name: &'static str, body: impl Fn(Host) -> F) {
    for host in HOSTS {
        foster_conformance::check(name, || {
            let (tells, body) = (Arc::new(Tells), ends(name, body(host)));
            match host {
                Host::Smol(threads) => foster_smol::Builder::new().threads(threads).observer(tells).run(body),
                Host::TokioCurrentThread => foster_tokio::Builder::new().current_thread().observer(tells).run(body),
                Host::TokioMultiThread(workers) => {
                    foster_tokio::Builder::new().worker_threads(workers).observer(tells).run(body);
                }
            }
        });
    }
}

/// How far a request has come.
#[derive(Default)]
struct Progress {
    /// It waits, and the poll of its task is over.
    rests: AtomicBool,
    /// The code behind it was reached.
    went_on: AtomicBool,
}

thread_local! {
    /// The requests that have begun to wait in the poll of a task that this thread is in.
    static WAITING: RefCell<Vec<Arc<Progress>>> = const { RefCell::new(Vec::new()) };
}

/// Notes that requests rest. They cannot tell from inside: the thread may be taken from them before their poll is over.
struct Tells;

impl Observer for Tells {
    // Errors without a caller are part of what is tested: nobody prints them.
    fn orphan(&self, _: &Orphan<'_>) {}
    fn host_dropped(&self, _: &HostDropped) {}

    fn follows_tasks(&self) -> bool {
        true
    }

    fn task(&self, _: &ObservedTask<'_>, event: TaskEvent) {
        if matches!(event, TaskEvent::PollEnds { .. }) {
            for request in WAITING.take() {
                request.rests.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// Who awaits the answer, beside the child that drives the connection.
#[derive(Clone, Copy, Debug)]
enum Asker {
    Body,
    SecondChild,
}

const ASKERS: [Asker; 2] = [Asker::Body, Asker::SecondChild];

/// A client for one request, over a connection of its own.
struct Client {
    server: SocketAddr,
    asker: Asker,
    /// Whether it asks, behind each operation of hyper, if it was cancelled.
    asks: bool,
    progress: Arc<Progress>,
}

impl Client {
    fn new(server: SocketAddr, asker: Asker) -> Self {
        Client { server, asker, asks: false, progress: Arc::default() }
    }

    /// Makes the request, and returns the body of the answer.
    async fn run(self, n: Nursery<AnyError>) -> Result<Bytes, AnyError> {
        let stream = TcpStream::connect(self.server).await?;
        let (mut sender, connection) = http1::handshake(Io::new(stream)).await?;
        n.spawn(async move { Ok(connection.await?) });
        let request = Request::get("/").header("host", "test").body(Body::default())?;
        let asker = self.asker;
        let asked = async move {
            let response = self.wait_for(sender.send_request(request)).await;
            self.ask().await;
            let body = response?.into_body().collect().await;
            self.ask().await;
            Ok(body?.to_bytes())
        };
        match asker {
            Asker::Body => asked.await,
            Asker::SecondChild => Ok(n.spawn(asked).await?),
        }
    }

    /// Waits for a response, and holds that nothing else is taken for one by a request that has waited.
    async fn wait_for<T>(&self, response: impl Future<Output = hyper::Result<T>>) -> hyper::Result<T> {
        let mut response = pin!(response);
        let response = poll_fn(|cx| {
            let poll = response.as_mut().poll(cx);
            if poll.is_pending() {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.progress.clone()));
            }
            poll
        })
        .await;
        // A nursery with a child that was cut has no value (L33): what it gives does not tell whether this was reached.
        self.progress.went_on.store(true, Ordering::SeqCst);
        let waited = self.progress.rests.load(Ordering::SeqCst);
        assert!(response.is_ok() || !waited, "{:?}: a request that waited was given {:?}", self.asker, response.err());
        response
    }

    async fn ask(&self) {
        if self.asks {
            checkpoint_if_cancelled().await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    FailAfter,
    MoveOnAfter,
    /// That of a scope, set while the request waits.
    Deadline,
}

const LIMITS: [Limit; 3] = [Limit::FailAfter, Limit::MoveOnAfter, Limit::Deadline];

/// Cuts a request that nobody answers, and returns whether it is known that it waited when the limit came: then it has
/// ended by that, and has seen nothing.
///
/// Each request is made in a task of its own. One that had waited for other children before might be woken by a thread
/// that was held up as it told of the end of one of those; and code that is woken is not blocked.
async fn cut(n: &Nursery<AnyError>, client: Client, limit: Limit, after: Duration) -> Result<bool, AnyError> {
    let (asker, progress) = (client.asker, client.progress.clone());
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let begin = Instant::now();
    let task = n.spawn(async move {
        let request = nursery(|n| client.run(n));
        Ok(match limit {
            Limit::FailAfter => fail_after(after, request).await.ok(),
            Limit::MoveOnAfter => move_on_after(after, request).await,
            Limit::Deadline => scope.run(request).await.ok(),
        })
    });
    while !progress.rests.load(Ordering::SeqCst) && !task.is_finished() {
        sleep(Duration::from_micros(50)).await;
    }
    let waited = match limit {
        Limit::FailAfter | Limit::MoveOnAfter => Instant::now() < begin + after,
        Limit::Deadline => handle.set_deadline(Instant::now() + Duration::from_micros(200)),
    };
    let outcome = task.await?;
    if waited {
        assert!(outcome.is_none(), "{asker:?}, {limit:?}: the request was not cut: {outcome:?}");
        let went_on = progress.went_on.load(Ordering::SeqCst);
        assert!(!went_on, "{asker:?}, {limit:?}: the request has seen what became of its connection");
    }
    Ok(waited)
}

async fn requests_that_wait(host: Host, asker: Asker) {
    test(async |n| {
        let never = async |_| -> Answer { match sleep_forever().await {} };
        let server = Server::start_with_grace(Duration::ZERO, &n, HttpOptions::new(), never).await?;
        let (mut rounds, mut too_early) = (0, 0);
        let mut after = Duration::from_millis(5);
        for round in real_rounds(ROUNDS) {
            // Until it is long enough for this machine, and what else runs on it.
            while !cut(&n, Client::new(server.address, asker), LIMITS[round % 3], after).await? {
                too_early += 1;
                after *= 2;
            }
            rounds += 1;
        }
        println!(
            "{host:?}, {asker:?}: {rounds} requests were cut while they waited, {too_early} before that, {after:?}"
        );
        assert!(rounds > 0, "nothing was tried");
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

#[test]
fn a_body_whose_request_is_cut_does_not_see_that_its_connection_is_gone() {
    on_each_host("a_body_whose_request_is_cut", |host| requests_that_wait(host, Asker::Body));
}

#[test]
fn a_child_whose_request_is_cut_does_not_see_that_its_connection_is_gone() {
    on_each_host("a_child_whose_request_is_cut", |host| requests_that_wait(host, Asker::SecondChild));
}

/// Cuts requests before, while and after they are answered. Those that ask end by their limit, or with their answer. Some
/// of the others may end with an error of hyper, but none that has waited: see [`Client::wait_for`].
async fn requests_at_any_moment(host: Host, asks: bool) {
    test(async |n| {
        let late = async |_| -> Answer {
            sleep(Duration::from_millis(1)).await;
            Ok(Response::new(Body::from("hello")))
        };
        let server = Server::start_with_grace(Duration::ZERO, &n, HttpOptions::new(), late).await?;
        for asker in ASKERS {
            let (mut waiting, mut cut, mut answered, mut failed) = (0, 0, 0, 0);
            // So long that about half of the requests are answered.
            let mut longest = Duration::from_millis(4);
            for (round, part) in real_rounds(ROUNDS).zip((0..=10).map(|part| part * 7 % 11).cycle()) {
                let client = Client { asks, ..Client::new(server.address, asker) };
                let progress = client.progress.clone();
                let limit = longest * part / 10;
                let task = n.spawn(async move { Ok(fail_after(limit, nursery(|n| client.run(n))).await) });
                match task.await? {
                    Err(_) => {
                        let waited = progress.rests.load(Ordering::SeqCst) && !progress.went_on.load(Ordering::SeqCst);
                        waiting += usize::from(waited);
                        cut += 1;
                        longest = longest * 5 / 4;
                    }
                    Ok(Ok(body)) => {
                        assert_eq!(body, "hello");
                        answered += 1;
                        longest = longest * 4 / 5;
                    }
                    Ok(Err(error)) => {
                        assert!(!asks && error.is::<hyper::Error>(), "{host:?}, {asker:?}: {error:?} in round {round}");
                        failed += 1;
                    }
                }
            }
            let whole =
                format!("{cut} requests were cut, {waiting} of them while they waited, and {answered} answered");
            println!("{host:?}, {asker:?}: {whole}; {failed} have failed; {longest:?}");
            let enough = cut + answered + failed >= ROUNDS;
            assert!(!enough || cut > 0 && answered > 0, "{host:?}, {asker:?}: {whole}");
        }
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

#[test]
fn a_request_that_asks_is_cut_at_any_moment_or_answered() {
    on_each_host("a_request_that_asks", |host| requests_at_any_moment(host, true));
}

#[test]
fn a_request_that_has_waited_does_not_see_that_its_connection_is_gone() {
    on_each_host("a_request_that_has_waited", |host| requests_at_any_moment(host, false));
}
