//! Hosts, as programs under test see them.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll};

use foster::leaf::operation;

use super::connection::Phase;
use super::failure::Failure;
use super::hosts::{HostId, HostState};
use super::network::SocketKind;
use super::packet::SocketId;
use super::program::Running;
use crate::note;
use crate::runtime::Sim;

/// A machine in the simulated network: it has a name, addresses, ports of its own, and programs that run on it.
///
/// Code is on the host in whose [`run`](Host::run) it is, with all the tasks that it starts. All other code is on the
/// host `main`.
///
/// # Examples
///
/// ```
/// use foster_sim::net::Host;
///
/// foster_sim::run(1, async {
///     let server = Host::new("server");
///     let addresses = foster_net::lookup_host("server:80").await.unwrap();
///     assert_eq!(addresses[0].ip(), server.ip());
/// });
/// ```
#[derive(Clone)]
pub struct Host {
    sim: Sim,
    id: HostId,
    name: String,
}

impl Host {
    /// Returns the host of this name; makes one if there is none.
    ///
    /// Hosts get the addresses 10.0.0.2, 10.0.0.3 and so on, and fd00::2, fd00::3, in the order in which they are made.
    /// `main` has 10.0.0.1.
    ///
    /// # Panics
    ///
    /// Panics where no simulation runs on this thread.
    #[track_caller]
    pub fn new(name: &str) -> Host {
        let sim = Sim::current("net::Host::new");
        let id = sim.network(|network| {
            let hosts = &mut network.world.hosts;
            let known = hosts.iter().position(|host| host.name == name).map(HostId);
            known.unwrap_or_else(|| {
                let id = HostId(hosts.len());
                hosts.push(HostState::new(name, id));
                id
            })
        });
        let id = id.expect("the simulation that runs on this thread is not over");
        Host { sim, id, name: name.to_owned() }
    }

    pub(super) fn id(&self) -> HostId {
        self.id
    }

    pub(super) fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its IPv4 address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.look(|host| host.v4).unwrap_or(Ipv4Addr::UNSPECIFIED).into()
    }

    /// Returns its IPv6 address.
    #[must_use]
    pub fn ip_v6(&self) -> IpAddr {
        self.look(|host| host.v6).unwrap_or(Ipv6Addr::UNSPECIFIED).into()
    }

    /// Returns whether programs can run on it: it was not crashed or killed, or has been restarted.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.look(|host| host.running).unwrap_or(false)
    }

    fn look<R>(&self, look: impl FnOnce(&HostState) -> R) -> Option<R> {
        self.sim.network(|network| look(network.host(self.id)))
    }

    /// Runs a program on this host, and returns its output.
    ///
    /// The program is a tree of its own: what it starts is on this host, and has ended when it returns. It sees no
    /// scope and no [scoped value](foster::ScopedValue) of the code around.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*. A request to cancel outside does not go into the program, which is on another machine. When
    /// the future is dropped, as it is in cancelled code, the program dies as by [`kill`](Host::kill), and its
    /// finalizers do not run. To end it well, tell it over the network, or put a scope inside.
    ///
    /// # Errors
    ///
    /// [`Crashed`]: the host is down, or was crashed or killed before the program had returned.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_sim::net::Host;
    ///
    /// foster_sim::run(1, async {
    ///     let answer = Host::new("computer").run(async { 42 }).await;
    ///     assert_eq!(answer, Ok(42));
    /// });
    /// ```
    #[track_caller]
    pub fn run<F>(&self, program: F) -> Running<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Running::new(self.sim.clone(), self.id, program)
    }

    /// Runs a program on this host whenever that is up, again after each [`restart`](Host::restart), until it returns.
    ///
    /// # Cancellation
    ///
    /// As [`run`](Host::run).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the program.
    pub async fn boot<F, P>(&self, program: P) -> F::Output
    where
        P: Fn() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        loop {
            self.up().await;
            if let Ok(output) = self.run(program()).await {
                return output;
            }
        }
    }

    /// Waits until the host is up.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn up(&self) {
        operation("start of a host", self.is_started()).await;
    }

    /// As [`up`](Host::up), also for code that is in no tree.
    pub(super) async fn is_started(&self) {
        let mut start = Start { host: self, number: None };
        poll_fn(|cx| start.poll(cx)).await;
    }

    /// Takes its power away. Its programs do not run on: when this returns, all that they had was dropped, and no
    /// finalizer has run (law L30). Nobody is told: who was connected with it finds out when it sends and no answer
    /// comes, or when the host is up again and resets what it does not know.
    ///
    /// A program that crashes its own host goes on until its next `await`. Does nothing to a host that is down.
    pub fn crash(&self) {
        if self.is_up() {
            note(format_args!("{} loses its power", self.name));
        }
        self.forget_pause();
        let programs = self.sim.network(|network| {
            let host = network.host(self.id);
            (host.powered, host.running) = (false, false);
            host.forget_ports();
            let programs = std::mem::take(&mut host.programs);
            // First the sockets, so that the programs close none as they are dropped.
            for socket in network.sockets_of(self.id) {
                network.remove(socket);
            }
            #[cfg(unix)]
            network.forget_paths(self.id);
            network.lose_sockets(self.id);
            programs
        });
        programs.into_iter().flatten().for_each(|program| program.end());
    }

    /// Ends its programs, as `SIGKILL` does: no finalizer runs. Its kernel lives, and closes their sockets: connections
    /// end, or are reset if there is something that nobody has read; ports are closed. A host that was
    /// [paused](Host::pause) goes on.
    pub fn kill(&self) {
        if self.is_up() {
            note(format_args!("the programs on {} are killed", self.name));
        }
        self.resume();
        let programs = self.sim.network(|network| {
            let host = network.host(self.id);
            host.running = false;
            std::mem::take(&mut host.programs)
        });
        programs.into_iter().flatten().for_each(|program| program.end());
    }

    /// Lets it run again, with the same name and addresses, and nothing of what was there before. Programs are started
    /// by [`run`](Host::run) or [`boot`](Host::boot). Does nothing to a host that is up.
    pub fn restart(&self) {
        if !self.is_up() {
            note(format_args!("{} is restarted", self.name));
        }
        self.sim.network(|network| {
            let host = network.host(self.id);
            (host.powered, host.running) = (true, true);
            let waiting = std::mem::take(&mut host.waiting);
            network.wake_all(waiting.into_values().collect());
        });
    }

    /// Breaks all connections of the host with others: both ends get `ConnectionReset`.
    pub fn reset_connections(&self) {
        self.sim.network(|network| {
            let sockets: Vec<SocketId> =
                network.world.sockets.iter().map(|(key, one)| SocketId { key, serial: one.serial() }).collect();
            for id in sockets {
                let Some(socket) = network.socket(id) else { continue };
                let here = socket.host;
                let SocketKind::Stream(connection) = &socket.kind else { continue };
                let Some(peer) = connection.peer_host.filter(|peer| *peer != here) else { continue };
                if here == self.id || peer == self.id {
                    match connection.phase {
                        // Nobody has a handle to it that could be told.
                        Phase::Accepting(_) => network.forget_half_open(id),
                        _ => network.break_off(id, Failure::Reset),
                    }
                }
            }
        });
    }
}

/// A wait until a host runs.
struct Start<'a> {
    host: &'a Host,
    /// Its own among those who wait.
    number: Option<u64>,
}

impl Start<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the lock is taken, and dropped after it is released: it may run code of the user.
        let mut waker = Some(cx.waker().clone());
        let running = self.host.sim.network(|network| {
            let host = network.host(self.host.id);
            if !host.running {
                let number = *self.number.get_or_insert_with(|| {
                    host.last_waiting += 1;
                    host.last_waiting
                });
                waker = waker.take().and_then(|waker| host.waiting.insert(number, waker));
            }
            host.running
        });
        if running.unwrap_or(true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        drop(self.host.sim.network(|network| network.host(self.host.id).waiting.remove(&number)));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name).finish()
    }
}

/// The host of a program was down, or has gone down before the program had returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated host of the program has crashed")
    }
}

impl std::error::Error for Crashed {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Idle;

    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_wait_for_a_host_that_is_dropped_leaves_no_waker() {
        crate::run(1, async {
            let host = Host::new("down");
            host.crash();
            let idle = Arc::new(Idle);
            let waker = idle.clone().into();
            let mut up = Box::pin(host.up());
            assert!(up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop((up, waker));
            assert_eq!(Arc::strong_count(&idle), 1);
        });
    }
}
