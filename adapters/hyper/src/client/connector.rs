//! Connections of a pool.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use foster_net::TcpStream;
use hyper::Uri;
use hyper_util::client::legacy::connect::{self, Connected};
use tower_service::Service;

use crate::io::Io;

/// Connects the pool of a client by TCP, for `http` addresses.
///
/// # Errors
///
/// * [`InvalidInput`](io::ErrorKind::InvalidInput): it is no `http` address, or has no host.
/// * The errors of [`TcpStream::connect`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Connector;

impl Service<Uri> for Connector {
    type Response = Io<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Io<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not an http address: {uri}")));
            };
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await.map(Io::new)
        })
    }
}

impl connect::Connection for Io<TcpStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
