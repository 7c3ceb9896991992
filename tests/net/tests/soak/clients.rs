//! The acts of a client, and how it is cut short.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foster::combine::try_join;
use foster::{move_on_after, nursery, sleep};
use foster_net::{TcpListener, TcpStream, UdpSocket};
use foster_net_conformance::kinds::{Numbers, pattern, read_to_end};

/// The first byte of a connection: what its handler does.
pub(crate) const KEEP: u8 = b'k';
pub(crate) const CUT: u8 = b'c';
pub(crate) const RESET: u8 = b'r';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Writes, and reads the same.
    Echo,
    /// Writes so much that both must go on at once, from two tasks, and ends its side.
    Halves,
    /// Resets the connection while its answer is on its way.
    Reset,
    /// Closes without reading its answer.
    Leave,
    /// Writes nothing.
    Silence,
    /// Connects where nobody accepts.
    Backlog,
    /// Two UDP sockets, and one more receive than there are datagrams.
    Datagrams,
}

pub(crate) const ACTS: [Act; 7] =
    [Act::Echo, Act::Halves, Act::Reset, Act::Leave, Act::Silence, Act::Backlog, Act::Datagrams];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// A deadline.
    Time(Duration),
    /// Foreign code drops the future where it is Pending for so many times.
    Drop(usize),
    /// Its task is cancelled after so long.
    Handle(Duration),
    /// The handler on the other side is cut at a random time, or resets the connection.
    Other(u8),
}

pub(crate) fn cut(dice: &mut Numbers) -> Cut {
    match dice.below(6) {
        0 => Cut::Time(moment(dice)),
        1 => Cut::Drop(dice.below(12)),
        2 => Cut::Handle(moment(dice)),
        3 => Cut::Other(if dice.below(2) == 0 { CUT } else { RESET }),
        _ => Cut::Never,
    }
}

/// Up to 3 ms: that is about as long as a client takes.
pub(crate) fn moment(dice: &mut Numbers) -> Duration {
    Duration::from_micros(dice.below(3000) as u64)
}

/// Does it to the end, and checks what comes. An error that the other side has caused is passed on.
pub(crate) async fn act(act: Act, server: SocketAddr, first: u8, mut dice: Numbers) -> io::Result<()> {
    let mut text = pattern(1 + dice.below(3000));
    text[0] = first;
    match act {
        Act::Echo => {
            let stream = TcpStream::connect(server).await?;
            let mut answer = vec![0; text.len()];
            stream.write_all(&text).await?;
            stream.read_exact(&mut answer).await?;
            assert_eq!(answer, text, "an echo that was changed");
            Ok(())
        }
        Act::Halves => {
            let mut text = pattern(300_000);
            text[0] = first;
            let stream = TcpStream::connect(server).await?;
            let write = async {
                stream.write_all(&text).await?;
                stream.shutdown(Shutdown::Write)
            };
            let ((), answer) = try_join((write, read_to_end(&stream))).await?;
            if first == KEEP {
                assert!(answer == text, "an echo that was changed");
            }
            Ok(())
        }
        Act::Reset => {
            let stream = TcpStream::connect(server).await?;
            stream.write_all(&text).await?;
            stream.set_linger(Some(Duration::ZERO))?;
            sleep(moment(&mut dice)).await;
            Ok(())
        }
        Act::Leave => TcpStream::connect(server).await?.write_all(&text).await,
        Act::Silence => {
            let stream = TcpStream::connect(server).await?;
            let silence = move_on_after(moment(&mut dice), stream.read(&mut [0])).await;
            assert!(!matches!(silence, Some(Ok(1..))), "an answer to nothing");
            Ok(())
        }
        Act::Backlog => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let stream = TcpStream::connect(listener.local_addr()?).await?;
            drop(listener);
            // A client in the backlog is reset, or learns that it is over.
            let over = stream.read(&mut [0]).await;
            assert!(!matches!(over, Ok(1..)), "an answer from nobody");
            Ok(())
        }
        Act::Datagrams => {
            let (one, other) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
            let to = other.local_addr()?;
            let mut buf = [0; 8];
            nursery(async |n| {
                n.spawn(async move { one.send_to(b"hello", to).await.map(drop) });
                assert_eq!(other.recv_from(&mut buf).await?.0, 5);
                io::Result::Ok(())
            })
            .await?;
            assert!(move_on_after(moment(&mut dice), other.recv_from(&mut buf)).await.is_none());
            Ok(())
        }
    }
}

/// Drops a future where it is Pending for the n-th time, as foreign code may.
pub(crate) struct DropAt<F> {
    future: Option<Pin<Box<F>>>,
    left: usize,
}

impl<F> DropAt<F> {
    pub(crate) fn new(future: F, left: usize) -> Self {
        DropAt { future: Some(Box::pin(future)), left }
    }
}

impl<F: Future> Future for DropAt<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("it is not polled after its end");
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.left -= 1;
                Poll::Pending
            }
        }
    }
}
