//! N194, as far as it is about hyper: what goes through `Io`, there and back, is unchanged.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use foster_hyper::Io;
use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::Write;

/// Notes what is called.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl AsyncRead for Notes {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.push(format!("read {}", buf.len()));
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncWrite for Notes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.push(format!("write {}", buf.len()));
        Poll::Ready(Ok(1))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.push(format!("write {} buffers", bufs.len()));
        Poll::Ready(Ok(3))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.push("flush".to_owned());
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.push("close".to_owned());
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

#[test]
fn n194_calls_are_passed_on_with_their_outcomes() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut io = Io::new(Io::new(Notes::default()));
    let (buffer, two) = ([1, 2], [IoSlice::new(&[1, 2]), IoSlice::new(&[3])]);
    {
        // Through both: `futures_io` to hyper, and back.
        let mut io = pin!(&mut io);
        let Poll::Ready(read) = io.as_mut().poll_read(&mut cx, &mut [0; 10]) else { panic!("it is ready") };
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(AsyncWrite::poll_write(io.as_mut(), &mut cx, &buffer), Poll::Ready(Ok(1))));
        assert!(matches!(AsyncWrite::poll_write_vectored(io.as_mut(), &mut cx, &two), Poll::Ready(Ok(3))));
        assert!(AsyncWrite::poll_flush(io.as_mut(), &mut cx).is_pending());
        let Poll::Ready(closed) = io.poll_close(&mut cx) else { panic!("it is ready") };
        assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
    let io = io.into_inner();
    assert!(io.is_write_vectored());
    assert_eq!(io.into_inner().0, ["read 10", "write 2", "write 2 buffers", "flush", "close"]);
}

/// No more is read than there is room for, and the end is the end.
#[cfg(unix)]
#[test]
fn n194_reads_fit() {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    use hyper::rt::{Read, ReadBuf};

    foster_smol::run(async {
        let (one, other) = foster_net::UnixStream::pair().unwrap();
        one.write_all(&[7; 10_000]).await.unwrap();
        drop(one);
        let mut io = Io::new(other);
        let mut memory = [0; 100];
        let mut buf = ReadBuf::new(&mut memory);
        std::future::poll_fn(|cx| Read::poll_read(Pin::new(&mut io), cx, buf.unfilled())).await.unwrap();
        assert_eq!(buf.filled(), [7; 100]);
        let mut back = Io::new(io);
        let mut rest = Vec::new();
        assert_eq!(back.read_to_end(&mut rest).await.unwrap(), 9_900);
        assert_eq!(back.read(&mut [0]).await.unwrap(), 0);
        assert!(back.close().await.is_ok());
        assert_eq!(back.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

/// All streams of a thread are read by way of one piece of memory: what one has read is nothing that another one sees,
/// and one may be read in the read of another.
#[test]
fn n194_a_read_finds_nothing_of_others() {
    use hyper::rt::{Read, ReadBuf};

    /// Reads all that there is room for, after the stream inside; notes whether the memory had something in it.
    struct Fills<'a>(Option<Pin<Box<Io<Fills<'a>>>>>, &'a std::cell::Cell<bool>);

    impl AsyncRead for Fills<'_> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            self.1.set(self.1.get() || buf.iter().any(|byte| *byte != 0));
            if let Some(inner) = &mut self.0 {
                assert_eq!(filled(inner.as_mut(), cx), [9; 50]);
            }
            buf.fill(9);
            Poll::Ready(Ok(buf.len()))
        }
    }

    fn filled<S: AsyncRead>(io: Pin<&mut Io<S>>, cx: &mut Context<'_>) -> Vec<u8> {
        let mut memory = [0; 50];
        let mut buf = ReadBuf::new(&mut memory);
        assert!(io.poll_read(cx, buf.unfilled()).is_ready());
        buf.filled().to_vec()
    }

    let seen = std::cell::Cell::new(false);
    let mut cx = Context::from_waker(Waker::noop());
    let inside = Box::pin(Io::new(Fills(None, &seen)));
    let mut io = pin!(Io::new(Fills(Some(inside), &seen)));
    for _ in 0..3 {
        assert_eq!(filled(io.as_mut(), &mut cx), [9; 50]);
    }
    assert!(!seen.get());
}
