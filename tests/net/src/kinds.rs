//! The sorts of streams that a behaviour is tested with, and what the tests share.

use std::future::Future;
use std::io;

use foster::ScopedValue;
use foster::sync::Event;
use foster_net::{Family, Stream};
use futures_lite::future::poll_once;

/// A sort of streams.
pub trait Kind: 'static {
    /// Its family.
    type Family: Family;

    /// Two streams that are connected with each other.
    fn pair() -> impl Future<Output = (Stream<Self::Family>, Stream<Self::Family>)>;
}

/// TCP over loopback.
#[derive(Debug)]
pub enum Tcp {}

impl Kind for Tcp {
    type Family = foster_net::Inet;

    async fn pair() -> (foster_net::TcpStream, foster_net::TcpStream) {
        let listener = foster_net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let connect = foster_net::TcpStream::connect(address);
        let (one, other) = foster::combine::join((connect, listener.accept())).await;
        (one.expect("it listens"), other.expect("it connects").0)
    }
}

/// Unix sockets. N092: all behaviours of streams are tried with them, too.
#[cfg(unix)]
#[derive(Debug)]
pub enum Unix {}

#[cfg(unix)]
impl Kind for Unix {
    type Family = foster_net::Unix;

    async fn pair() -> (foster_net::UnixStream, foster_net::UnixStream) {
        foster_net::UnixStream::pair().expect("the host has room")
    }
}

/// Reads to the end of the stream.
///
/// # Errors
///
/// As the stream says.
pub async fn read_to_end<F: Family>(stream: &Stream<F>) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            read => all.extend_from_slice(&buf[..read]),
        }
    }
}

/// Polls a future, which has to wait, and sets `waits`; then awaits it. By then the future has all that it claims.
pub(crate) async fn waiting<F: Future>(future: F, waits: &Event) -> F::Output {
    let mut future = std::pin::pin!(future);
    assert!(poll_once(future.as_mut()).await.is_none(), "it was to wait");
    waits.set();
    future.await
}

/// Bytes that show what is missing or out of order.
#[must_use]
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Numbers that look random, and are the same in each run.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 0 to below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// Counts the sockets of a network that has no descriptors.
static COUNT: ScopedValue<fn() -> usize> = ScopedValue::inherited();

/// Runs a behaviour on a network that has no descriptors, and counts its sockets so.
pub fn counting_by<F: Future>(count: fn() -> usize, behaviour: F) -> impl Future<Output = F::Output> {
    COUNT.scope(count, behaviour)
}

/// How many descriptors the process has open; none where that cannot be counted.
#[must_use]
pub fn open_descriptors() -> Option<usize> {
    if let Some(count) = COUNT.get() {
        return Some(count());
    }
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}
