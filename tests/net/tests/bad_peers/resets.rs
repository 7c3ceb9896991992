//! Peers that reset the connection (`SO_LINGER` 0), in each state that it may be in.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foster::sleep;
use foster::sync::Event;
use foster_net::TcpStream;

use super::{Told, ms, on_each_host, serving, wait_for};

/// A handler that does what the first byte asks. If it is to write late, it does so when `late` has come.
async fn handle(stream: TcpStream, late: Arc<Event>) -> io::Result<()> {
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    match &first {
        b"r" => stream.read(&mut [0]).await.map(drop),
        b"w" => stream.write_all(&vec![0; 50_000_000]).await,
        b"l" => {
            late.wait().await;
            // The host may deliver the reset a moment later.
            let first = loop {
                match stream.write_all(b"x").await {
                    Ok(()) => sleep(ms(1)).await,
                    Err(error) => break error,
                }
            };
            stream.write_all(b"x").await.expect_err("each later one fails as well");
            Err(first)
        }
        _ => stream.write_all(b"good").await,
    }
}

async fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

/// N015, N016: the handler that waits, or writes later, learns of it by an error of one of two kinds, with the number
/// of the host in it.
#[test]
fn n016_a_reset_is_an_error_of_its_connection() {
    on_each_host("n016_a_reset_is_an_error_of_its_connection", || async {
        let was_reset = Arc::new(Event::new());
        let late = was_reset.clone();
        let handler = move |stream| handle(stream, late.clone());
        let clients = async |server: SocketAddr, told: Told| {
            // While the handler waits for more; for the first byte; to write; and when it writes later.
            for (number, first) in [&b"r"[..], b"", b"w", b"l"].into_iter().enumerate() {
                let stream = TcpStream::connect(server).await?;
                stream.write_all(first).await?;
                if first == b"w" {
                    stream.read_exact(&mut [0]).await?;
                }
                sleep(ms(20)).await;
                reset(stream).await?;
                if first == b"l" {
                    was_reset.set();
                }
                wait_for(&told, number + 1).await;
            }
            // When its own direction has ended, and the other has not.
            let stream = TcpStream::connect(server).await?;
            stream.write_all(b"w").await?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_exact(&mut [0]).await?;
            reset(stream).await?;
            wait_for(&told, 5).await;

            let good = TcpStream::connect(server).await?;
            good.write_all(b"g").await?;
            let mut answer = [0; 4];
            good.read_exact(&mut answer).await?;
            assert_eq!(&answer, b"good");
            Ok(())
        };
        let ((), told) = serving(4, handler, clients).await;
        assert_eq!(told.len(), 5, "{told:?}");
        for error in told {
            assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error:?}");
            assert!(error.raw_os_error().is_some(), "{error:?}");
        }
    });
}

/// One that has reset before it was accepted: the server goes on, whatever the host makes of it.
#[test]
fn a_reset_in_the_backlog_is_survived() {
    on_each_host("a_reset_in_the_backlog_is_survived", || async {
        let clients = async |server: SocketAddr, told: Told| {
            // The one place is taken, so that the next ones wait in the backlog.
            let busy = TcpStream::connect(server).await?;
            busy.write_all(b"r").await?;
            sleep(ms(20)).await;
            for _ in 0..10 {
                let stream = TcpStream::connect(server).await?;
                stream.write_all(b"r").await?;
                reset(stream).await?;
            }
            drop(busy);
            let good = TcpStream::connect(server).await?;
            good.write_all(b"g").await?;
            let mut answer = [0; 4];
            good.read_exact(&mut answer).await?;
            assert_eq!(&answer, b"good");
            Ok(told.lock().unwrap().len())
        };
        let handler = |stream| handle(stream, Arc::default());
        let (_, told) = serving(1, handler, clients).await;
        assert!(told.iter().all(|error| error.kind() == io::ErrorKind::ConnectionReset), "{told:?}");
    });
}
