//! Faults that the seed chooses.

use std::time::Duration;

use foster::sleep;

use super::host::Host;
use super::{partition, partition_one_way, repair};
use crate::runtime::Sim;

/// Faults among some hosts, at times that the seed chooses.
///
/// The calmest choice is no fault, so the shortest failing run that the simulator finds has only those faults that it
/// needs.
///
/// # Examples
///
/// ```
/// use foster_sim::net::{Chaos, Host};
/// use std::time::Duration;
///
/// foster_sim::run(7, async {
///     let hosts = ["one", "two", "three"].map(Host::new);
///     let chaos = Chaos::new(&hosts).crashes(true);
///     // In the background of a test: a daemon, or as here for a time.
///     foster::move_on_after(Duration::from_secs(60), chaos.run()).await;
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `run` is awaited"]
pub struct Chaos {
    hosts: Vec<Host>,
    pause: Duration,
    lasts: Duration,
    partitions: bool,
    crashes: bool,
}

/// A fault to be made.
enum Fault {
    Nothing,
    Partition(usize, usize),
    OneWay(usize, usize),
    Isolation(usize),
    Crash(usize),
}

impl Chaos {
    /// Starts with partitions, with pauses of up to a second between them, each for up to a second.
    pub fn new(hosts: &[Host]) -> Self {
        let second = Duration::from_secs(1);
        Chaos { hosts: hosts.to_vec(), pause: second, lasts: second, partitions: true, crashes: false }
    }

    /// Sets the longest pause between two faults.
    pub fn pause(self, longest: Duration) -> Self {
        Chaos { pause: longest, ..self }
    }

    /// Sets how long a fault lasts at most.
    pub fn lasts(self, longest: Duration) -> Self {
        Chaos { lasts: longest, ..self }
    }

    /// Sets whether links are cut.
    pub fn partitions(self, on: bool) -> Self {
        Chaos { partitions: on, ..self }
    }

    /// Sets whether hosts lose their power, and are restarted. Their programs should be started by [`Host::boot`].
    pub fn crashes(self, on: bool) -> Self {
        Chaos { crashes: on, ..self }
    }

    /// Makes faults without end, one after the other, and mends each.
    ///
    /// # Cancellation
    ///
    /// *Strict*. A fault that lasts at that time is not mended: see [`mend`](Chaos::mend).
    ///
    /// # Panics
    ///
    /// Panics where no simulation runs on this thread.
    pub async fn run(&self) {
        loop {
            // Calm is a long pause, and a short fault.
            sleep(self.pause.saturating_sub(Self::draw_time(self.pause))).await;
            self.apply(&self.draw_fault());
            sleep(Duration::from_micros(1) + Self::draw_time(self.lasts)).await;
            self.mend();
        }
    }

    /// Ends all that [`run`](Chaos::run) may have done: connects all of its hosts, and restarts those that are down.
    pub fn mend(&self) {
        for (number, host) in self.hosts.iter().enumerate() {
            self.hosts[..number].iter().for_each(|other| repair(host, other));
            if self.crashes {
                host.restart();
            }
        }
    }

    fn apply(&self, fault: &Fault) {
        let hosts = &self.hosts;
        match *fault {
            Fault::Nothing => {}
            Fault::Partition(one, other) => partition(&hosts[one], &hosts[other]),
            Fault::OneWay(from, to) => partition_one_way(&hosts[from], &hosts[to]),
            Fault::Isolation(host) => super::isolate(&hosts[host], hosts),
            Fault::Crash(host) => hosts[host].crash(),
        }
    }

    #[track_caller]
    fn up_to(most: usize) -> usize {
        let drawn = Sim::current("net::Chaos").network(|network| network.up_to(most as u64));
        usize::try_from(drawn.unwrap_or(0)).unwrap_or(0)
    }

    fn draw_time(longest: Duration) -> Duration {
        let most = usize::try_from(longest.as_micros()).unwrap_or(usize::MAX - 1);
        Duration::from_micros(Self::up_to(most) as u64)
    }

    fn draw_fault(&self) -> Fault {
        let count = self.hosts.len();
        let kinds = 3 * usize::from(self.partitions && count > 1) + usize::from(self.crashes && count > 0);
        let kind = match Self::up_to(kinds) {
            0 => return Fault::Nothing,
            kind if self.partitions && count > 1 => kind,
            _ => 4,
        };
        let host = Self::up_to(count - 1);
        // Any other than that one.
        let other = |first: usize| (first + 1 + Self::up_to(count - 2)) % count;
        match kind {
            1 => Fault::Partition(host, other(host)),
            2 => Fault::OneWay(host, other(host)),
            3 => Fault::Isolation(host),
            _ => Fault::Crash(host),
        }
    }
}
