//! A web server and its client: hyper in a tree, with a deadline for each request, and a stop that completes what has
//! begun.
//!
//! ```text
//!   server      serve ─┬──────────────────┬────────────────────── stop: takes nothing in any more ──▶ returns
//!   connection         ├─ POST, GET, GET ─┼─ waits for a request ─╳ closed at once                │
//!   connection         └──────────────────┴─ GET /goodbye ─────── stopping(): is answered ────────┘
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 17_a_web_server -- --runtime smol` (or `tokio`, or `sim`).

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::sync::Event;
use foster::{CancelScope, Elapsed, Nursery, fail_after, nursery, sleep, stopping};
use foster_hyper::{HttpOptions, client, serve};
use foster_net::{ServeOptions, TcpListener};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

type AnyError = Box<dyn Error + Send + Sync>;
type Client = client::Client<client::Connector, String>;

/// How long the answer to a request may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an entry may be, in bytes.
const LONGEST: usize = 1000;

fn main() -> Result<(), AnyError> {
    foster_examples::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let book = Arc::new(GuestBook::default());
        // The grace is for requests that are being answered when the server is to stop.
        let mut scope = CancelScope::new().grace(Duration::from_secs(5));
        let stop = scope.handle();
        nursery(async |n: Nursery<AnyError>| {
            let shared = book.clone();
            let server = n.spawn(async move {
                let service = service_fn(move |request| answer(shared.clone(), request));
                match scope.run(serve(listener, ServeOptions::new().limit(100), HttpOptions::new(), service)).await {
                    Ok(served) => served?,
                    Err(_) => println!("the grace was too short"),
                }
                Ok(())
            });
            let client = client::pool(&n);
            println!("ann writes: {}", ask(&client, Method::POST, address, "/", "hello").await?);
            println!("bob writes: {}", ask(&client, Method::POST, address, "/", "is anybody there?").await?);
            println!("the book says: {}", ask(&client, Method::GET, address, "/", "").await?);
            println!("a page that is too slow: {}", ask(&client, Method::GET, address, "/slow", "").await?);
            let last = client.clone();
            let goodbye = n.spawn(async move { ask(&last, Method::GET, address, "/goodbye", "").await });
            book.leaving.wait().await;
            stop.cancel("closing time");
            println!("in progress at the stop: {}", goodbye.await?);
            server.await?;
            println!("the server has stopped");
            // A client of its own: the other one may still keep a connection whose end it has not seen.
            let fresh: Client = client::pool(&n);
            let late = fresh.get(format!("http://{address}/").parse()?).await;
            println!("a late client is refused: {}", late.is_err_and(|error| error.is_connect()));
            Ok(())
        })
        .await
    })
}

#[derive(Default)]
struct GuestBook {
    entries: Mutex<Vec<String>>,
    /// Somebody asks for a goodbye.
    leaving: Event,
}

/// Answers a request in time, or says that it cannot.
async fn answer(book: Arc<GuestBook>, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let response = match fail_after(PATIENCE, book.answer(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => respond(StatusCode::BAD_REQUEST, error.to_string()),
        Err(Elapsed { .. }) => respond(StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned()),
    };
    Ok(response)
}

impl GuestBook {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, AnyError> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/") => {
                let entry = Limited::new(request.into_body(), LONGEST).collect().await?.to_bytes();
                self.entries.lock().unwrap().push(String::from_utf8(entry.into())?);
                Ok(respond(StatusCode::CREATED, "thank you".to_owned()))
            }
            (&Method::GET, "/") => Ok(respond(StatusCode::OK, self.entries.lock().unwrap().join(", "))),
            (&Method::GET, "/slow") => {
                sleep(10 * PATIENCE).await;
                Ok(respond(StatusCode::OK, "at last".to_owned()))
            }
            (&Method::GET, "/goodbye") => {
                self.leaving.set();
                stopping().await; // the server is to stop
                Ok(respond(StatusCode::OK, "goodbye".to_owned()))
            }
            _ => Ok(respond(StatusCode::NOT_FOUND, String::new())),
        }
    }
}

fn respond(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
}

/// Sends a request, and returns what is worth to be told of the answer.
async fn ask(client: &Client, method: Method, address: SocketAddr, path: &str, body: &str) -> Result<String, AnyError> {
    let request = Request::builder().method(method).uri(format!("http://{address}{path}")).body(body.to_owned())?;
    let response = client.request(request).await?;
    let (status, is_last) = (response.status(), response.headers().contains_key(CONNECTION));
    let body = response.into_body().collect().await?.to_bytes();
    let last = if is_last { ", and the connection is closed" } else { "" };
    Ok(format!("{status}, {:?}{last}", String::from_utf8_lossy(&body)))
}
