//! N176: exchanges.

use foster::combine::gather;
use foster_hyper::{HttpOptions, client};
use foster_net::TcpStream;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, Server, test};

/// Answers with the body of the request, backwards.
pub(crate) async fn reverse(request: Request<Incoming>) -> Answer {
    let mut body = request.into_body().collect().await?.to_bytes().to_vec();
    body.reverse();
    Ok(Response::new(Body::new(Bytes::from(body))))
}

/// Larger than buffers are.
pub(crate) fn payload(number: usize) -> Vec<u8> {
    (0..100_000).map(|byte| (byte * 31 + number) as u8).collect()
}

fn post(path: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(path).header("host", "test").body(Body::from(body)).expect("a request")
}

async fn check(response: Response<Incoming>, mut sent: Vec<u8>) -> Result<(), AnyError> {
    sent.reverse();
    assert!(response.into_body().collect().await?.to_bytes() == sent, "it was not what was sent");
    Ok(())
}

/// N176: HTTP/1, with bodies both ways, one request after the other over one connection.
pub(crate) async fn n176_http1_in_both_directions_over_keep_alive() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), reverse).await?;
        let mut sender = client::http1(&n, TcpStream::connect(server.address).await?).await?;
        for number in 0..5 {
            sender.ready().await?;
            check(sender.send_request(post("/", payload(number))).await?, payload(number)).await?;
        }
        drop(sender);
        assert_eq!(server.ended().await?, [""; 0]);
        Ok(())
    })
    .await;
}

/// N176: HTTP/2, several requests at once over one connection.
pub(crate) async fn n176_http2_in_both_directions_at_once() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), reverse).await?;
        let sender = client::http2(&n, TcpStream::connect(server.address).await?).await?;
        let requests = (0..5).map(|number| {
            let mut sender = sender.clone();
            let request = post(&server.uri("/").to_string(), payload(number));
            async move { check(sender.send_request(request).await?, payload(number)).await }
        });
        gather(requests).await?;
        drop(sender);
        assert_eq!(server.ended().await?, [""; 0]);
        Ok(())
    })
    .await;
}
