//! A network that follows a script: when each address answers, and what each `accept` says.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::{Instant, sleep};
use foster_net::Resolve;
use foster_net::contract::{
    Address, ConnectOptions, DatagramOptions, DatagramSocket, ListenOptions, ListenerSocket, Net, NetFuture,
    OptionName, Socket, SocketOption, StreamSocket,
};

/// The answer of an address, after so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Accept(f64),
    Refuse(f64),
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    answers: BTreeMap<SocketAddr, Answer>,
    /// The results of `accept`, in turn: an error by its number, or a connection. Then it waits for ever.
    accepts: Arc<Mutex<VecDeque<Result<(), i32>>>>,
    attempts: Mutex<Vec<(SocketAddr, Instant)>>,
    options: Mutex<Option<ConnectOptions>>,
    lookup_takes: Arc<Mutex<Duration>>,
    open: Arc<AtomicUsize>,
}

impl Script {
    pub(crate) fn connecting(answers: impl IntoIterator<Item = (SocketAddr, Answer)>) -> Arc<Script> {
        Arc::new(Script { answers: answers.into_iter().collect(), ..Script::default() })
    }

    pub(crate) fn accepting(accepts: impl IntoIterator<Item = Result<(), i32>>) -> Arc<Script> {
        Arc::new(Script { accepts: Arc::new(Mutex::new(accepts.into_iter().collect())), ..Script::default() })
    }

    /// Which addresses were tried, and when.
    pub(crate) fn attempts(&self) -> Vec<(SocketAddr, Instant)> {
        lock(&self.attempts).clone()
    }

    pub(crate) fn last_options(&self) -> Option<ConnectOptions> {
        lock(&self.options).clone()
    }

    /// How many sockets are open, those of attempts included.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn resolve_after(&self, time: Duration) {
        *lock(&self.lookup_takes) = time;
    }

    fn socket(&self, address: SocketAddr) -> Open {
        self.open.fetch_add(1, Ordering::SeqCst);
        Open { address, count: self.open.clone(), accepts: self.accepts.clone() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net for Script {
    fn listen(&self, at: &Address, _: &ListenOptions) -> io::Result<Box<dyn ListenerSocket>> {
        Ok(Box::new(self.socket(inet(at)?)))
    }

    fn connect(&self, to: &Address, options: &ConnectOptions) -> NetFuture<'static, Box<dyn StreamSocket>> {
        let to = inet(to).expect("no Unix sockets here");
        lock(&self.attempts).push((to, Instant::now()));
        *lock(&self.options) = Some(options.clone());
        let (socket, answer) = (self.socket(to), self.answers[&to]);
        Box::pin(async move {
            let (Answer::Accept(after) | Answer::Refuse(after)) = answer;
            sleep(Duration::from_nanos((after * 1e9).round() as u64)).await;
            match answer {
                Answer::Accept(_) => Ok(Box::new(socket) as _),
                Answer::Refuse(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }

    fn datagram(&self, _: Option<&Address>, _: &DatagramOptions) -> io::Result<Box<dyn DatagramSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(Names(self.lookup_takes.clone()))
    }
}

fn inet(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Inet(address) => Ok(*address),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Each name is that of 10.0.0.1.
#[derive(Debug)]
struct Names(Arc<Mutex<Duration>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        let takes = *lock(&self.0);
        Box::pin(async move {
            sleep(takes).await;
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        })
    }
}

/// A socket that is open. Nothing ever comes.
#[derive(Debug)]
struct Open {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    accepts: Arc<Mutex<VecDeque<Result<(), i32>>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Socket for Open {
    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Inet(self.address))
    }

    fn set_option(&self, _: SocketOption) -> io::Result<()> {
        Ok(())
    }

    fn option(&self, _: OptionName) -> io::Result<SocketOption> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

thread_local! {
    /// The result of the next read of this thread.
    static READ: Cell<Option<Box<dyn FnOnce() -> io::Result<usize>>>> = const { Cell::new(None) };
}

/// Makes the next read of this thread be ready, with this result.
pub(crate) fn next_read(read: impl FnOnce() -> io::Result<usize> + 'static) {
    READ.set(Some(Box::new(read)));
}

impl StreamSocket for Open {
    fn peer_address(&self) -> io::Result<Address> {
        self.local_address()
    }

    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match READ.take() {
            Some(read) => Poll::Ready(read()),
            None => Poll::Pending,
        }
    }

    fn poll_read_vectored(&self, _: &mut Context<'_>, _: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_peek(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(&self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

impl ListenerSocket for Open {
    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        match lock(&self.accepts).pop_front() {
            None => Poll::Pending,
            Some(Err(number)) => Poll::Ready(Err(io::Error::from_raw_os_error(number))),
            Some(Ok(())) => {
                self.count.fetch_add(1, Ordering::SeqCst);
                let peer = SocketAddr::from(([10, 0, 0, 99], 80));
                let stream = Open { address: peer, count: self.count.clone(), accepts: self.accepts.clone() };
                Poll::Ready(Ok((Box::new(stream), Address::Inet(peer))))
            }
        }
    }
}
