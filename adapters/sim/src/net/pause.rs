//! Hosts that stand still for a while.
//!
//! A paused host keeps all that it has, and does nothing with it: its tasks are not in the queue of the simulation, its
//! timers not among the timers, what arrives waits, and what it would send again is not sent.

use foster::Instant;

use super::host::Host;
use super::hosts::{HostId, MAIN};
use super::network::Network;
use super::packet::{Packet, SocketId};
use crate::note;
use crate::runtime::{Alarm, Sim, State};
use crate::trace::Loss;

/// The events that wait until a host goes on.
#[derive(Default)]
pub(super) struct Paused {
    /// The packets that have arrived, in their order.
    pub(super) packets: Vec<Packet>,
    /// The connections whose time has come to send again, and which of their times it was.
    pub(super) retries: Vec<(SocketId, u64)>,
    /// Its timers, with the keys by which they are disarmed.
    alarms: Vec<((Instant, u64), Alarm)>,
}

impl Host {
    /// Lets it stand still until [`resume`](Host::resume), as a machine does whose virtual machine is suspended: none
    /// of its code runs, and it answers nobody.
    ///
    /// Its peers see silence, send again what is not answered, and give up at last, as with a host that has no power.
    /// But nothing is lost: packets that arrive meanwhile are there when it goes on. Packets that it had sent before
    /// are on their way.
    ///
    /// The clock goes on, and does not stop for the timers of the host. A program that pauses its own host goes on
    /// until its next `await`. With [`Builder::real_threads`](crate::Builder::real_threads), closures that run on
    /// threads of their own go on. Does nothing to a host that is down, or paused.
    ///
    /// # Panics
    ///
    /// Panics if it is the host `main`: that is where the test itself runs, which has to resume it.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_sim::net::Host;
    /// use std::time::Duration;
    ///
    /// foster_sim::run(1, async {
    ///     let server = Host::new("server");
    ///     let sleeps = server.run(async {
    ///         foster::sleep(Duration::from_secs(1)).await;
    ///         foster_sim::clock().elapsed()
    ///     });
    ///     let pauses = async {
    ///         server.pause();
    ///         foster::sleep(Duration::from_secs(60)).await;
    ///         server.resume();
    ///     };
    ///     let (woken, ()) = foster::combine::join((sleeps, pauses)).await;
    ///     assert_eq!(woken, Ok(Duration::from_secs(60)));
    /// });
    /// ```
    #[track_caller]
    pub fn pause(&self) {
        assert!(
            self.id() != MAIN,
            "the host `main` cannot be paused: the test itself runs there, and nobody could resume it"
        );
        let id = self.id();
        let paused = self.sim().simulation(|state| {
            let host = &mut state.world.hosts[id.0];
            let pauses = host.running && host.paused.is_none();
            if pauses {
                state.set_aside(id);
            }
            pauses
        });
        if paused == Some(true) {
            note(format_args!("{} is paused", self.name()));
        }
    }

    /// Lets it go on after a [`pause`](Host::pause): what has arrived is there, and timers whose time has come fire,
    /// once. Does nothing to a host that is not paused.
    pub fn resume(&self) {
        let id = self.id();
        let programs = self.sim().simulation(|state| {
            let paused = state.take_back(id)?;
            let mut network = Network::of(state);
            paused.packets.into_iter().for_each(|packet| network.deliver(id, Box::new(packet)));
            paused.retries.into_iter().for_each(|(connection, number)| network.retry(connection, number));
            // After what has arrived, as in each instant.
            let mut due = Vec::new();
            state.move_to(state.now, &mut due);
            state.world.later.wake.append(&mut due);
            Some(state.world.hosts[id.0].programs.clone())
        });
        if let Some(programs) = programs.flatten() {
            note(format_args!("{} goes on", self.name()));
            programs.iter().for_each(|program| program.wake());
        }
    }

    /// Returns whether it is [paused](Host::pause).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.sim().network(|network| network.host(self.id()).paused.is_some()).unwrap_or(false)
    }

    /// It loses its power while it is paused, and with it what has arrived.
    pub(super) fn forget_pause(&self) {
        self.sim().simulation(|state| {
            let Some(paused) = state.take_back(self.id()) else { return };
            let mut network = Network::of(state);
            paused.packets.iter().for_each(|packet| network.lose(packet, Loss::HostIsDown));
        });
    }
}

impl Sim {
    /// The same simulation, for tasks and timers that are paused with this host.
    pub(super) fn on(&self, host: HostId) -> Sim {
        let mut sim = self.clone();
        sim.group = host.0;
        sim
    }
}

impl State {
    /// Takes the tasks of a host out of the queue, and its timers out of the timers.
    fn set_aside(&mut self, host: HostId) {
        let is_of_host =
            |alarm: &Alarm| matches!(alarm, Alarm::Wake(_, group) | Alarm::Tree(_, group) if *group == host.0);
        let of_host = self.timers.alarms.iter().filter(|(_, alarm)| is_of_host(alarm));
        let keys: Vec<_> = of_host.map(|(key, _)| *key).collect();
        let alarms = keys.into_iter().filter_map(|key| Some((key, self.timers.remove(&key)?))).collect();
        self.world.hosts[host.0].paused = Some(Paused { alarms, ..Paused::default() });
        let tasks = &self.tasks;
        let (aside, ready) = self.ready.drain(..).partition(|ready| tasks[ready.key].group == host.0);
        self.ready = ready;
        self.paused.insert(host.0, aside);
    }

    /// Puts both back; and returns the rest of what waits.
    fn take_back(&mut self, host: HostId) -> Option<Paused> {
        let mut paused = self.world.hosts[host.0].paused.take()?;
        self.ready.extend(self.paused.remove(&host.0).into_iter().flatten());
        self.timers.alarms.extend(paused.alarms.drain(..));
        Some(paused)
    }
}
