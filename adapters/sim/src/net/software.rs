//! The software that a host runs by itself.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::thread;

use super::end::RunFailure;
use super::host::{Crashed, Host};
use super::hosts::MAIN;
use super::program::Running;
use crate::runtime::Body;
use crate::test::{Verdict, failure_of};

impl Host {
    /// Runs a program on this host in the background, as what the machine is there for: whenever the host is up, again
    /// after each [`restart`](Host::restart), until it returns.
    ///
    /// Nobody awaits it, so if it returns an error or panics, the run fails, with the error and the name of the host. A
    /// crash is no failure. When the main future of the run has ended, the program is ended as by [`kill`](Host::kill).
    /// It is in no scope: what is to end with a scope, or to give a value back, is for [`run`](Host::run) and
    /// [`boot`](Host::boot). The output is `()` or a `Result` of it, also that of a program that never returns: an
    /// `async fn` that says so is the simplest.
    ///
    /// # Examples
    ///
    /// A server runs in the background of a test:
    ///
    /// ```
    /// use foster_net::UdpSocket;
    /// use foster_sim::net::Host;
    /// use std::io;
    ///
    /// async fn echo() -> io::Result<()> {
    ///     let socket = UdpSocket::bind("0.0.0.0:7").await?;
    ///     let mut buf = [0; 64];
    ///     loop {
    ///         let (length, from) = socket.recv_from(&mut buf).await?;
    ///         socket.send_to(&buf[..length], from).await?;
    ///     }
    /// }
    ///
    /// foster_sim::run(1, async {
    ///     Host::new("server").start(echo);
    ///     foster::sleep(std::time::Duration::from_millis(1)).await; // it is bound by then
    ///     let socket = UdpSocket::bind("0.0.0.0:0").await?;
    ///     socket.send_to(b"hello", "server:7").await?;
    ///     assert_eq!(socket.recv(&mut [0; 64]).await?, 5);
    ///     io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    ///
    /// One that fails lets the run fail:
    ///
    /// ```should_panic
    /// use foster_sim::net::Host;
    ///
    /// foster_sim::run(1, async {
    ///     Host::new("server").start(|| async { Err::<(), _>("no disk") });
    ///     foster::sleep(std::time::Duration::from_secs(1)).await;
    /// });
    /// ```
    pub fn start<P, F>(&self, program: P)
    where
        P: Fn() -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Verdict + Send + 'static,
    {
        let host = self.clone();
        let software = async move {
            let outcome = loop {
                host.is_started().await;
                let started = catch_unwind(AssertUnwindSafe(|| host.run(program())));
                let outcome = match started {
                    Ok(running) => ended(running).await,
                    Err(payload) => Err(payload),
                };
                match outcome {
                    Ok(Err(Crashed)) => {}
                    Ok(Ok(output)) => break Ok(output),
                    Err(payload) => break Err(payload),
                }
            };
            let what = if outcome.is_ok() { "has failed" } else { "has panicked" };
            if let Some(message) = failure_of(outcome) {
                let message = format!("the program of the host `{}` {what}: {message}", host.name());
                host.sim().fail(RunFailure::Program(message));
            }
        };
        // It is of the simulation, and goes on while the host is paused: its program does not.
        let sim = self.sim().on(MAIN);
        // A simulation that is over gives it back; it is dropped here.
        drop(sim.add(Body::Program(Box::pin(software)), |_, _| true));
    }
}

/// Waits for the end of a program, also by a panic.
async fn ended<T: Send>(mut running: Running<T>) -> thread::Result<Result<T, Crashed>> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut running).poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}
