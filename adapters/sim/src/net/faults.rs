//! The faults that a test makes on the links between hosts.

use super::host::Host;
use super::link::{Link, Way};
use crate::note;
use crate::runtime::Sim;

/// Sets what all ways between hosts are like that have no link of their own, for packets sent from now on.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
#[track_caller]
pub fn set_default_link(link: Link) {
    Sim::current("net::set_default_link").network(|network| network.world.links.set_default(link));
}

/// Sets what the ways between two hosts are like, in both directions, for packets sent from now on.
pub fn set_link(one: &Host, other: &Host, link: Link) {
    set_link_one_way(one, other, link.clone());
    set_link_one_way(other, one, link);
}

/// Sets what the way from one host to another is like, for packets sent from now on.
pub fn set_link_one_way(from: &Host, to: &Host, link: Link) {
    from.sim().network(|network| network.world.links.set(from.id(), to.id(), link));
}

/// Cuts the ways between two hosts. Packets that are on them, or are sent into them, are lost. No operation fails at
/// once: code that waits continues to wait, and TCP continues to send lost data again.
///
/// # Examples
///
/// ```
/// use foster_net::TcpStream;
/// use foster_sim::net::{self, Host};
/// use std::io;
/// use std::time::Duration;
///
/// foster_sim::run(1, async {
///     let (client, server) = (Host::new("client"), Host::new("server"));
///     net::partition(&client, &server);
///     let error = client.run(async { TcpStream::connect("server:80").await.unwrap_err() }).await.unwrap();
///     assert_eq!(error.kind(), io::ErrorKind::TimedOut);
///     assert!(foster_sim::clock().elapsed() >= Duration::from_secs(127));
/// });
/// ```
pub fn partition(one: &Host, other: &Host) {
    partition_one_way(one, other);
    partition_one_way(other, one);
}

/// Cuts the way from one host to another. The way back is left as it is.
pub fn partition_one_way(from: &Host, to: &Host) {
    let was_cut = on_way(from, to, |way| {
        way.cuts += 1;
        std::mem::replace(&mut way.cut, true)
    });
    if was_cut == Some(false) {
        note(format_args!("cuts the way from {} to {}", from.name(), to.name()));
    }
}

/// Ends a [`partition`], in both directions.
pub fn repair(one: &Host, other: &Host) {
    repair_one_way(one, other);
    repair_one_way(other, one);
}

/// Ends a [`partition_one_way`].
pub fn repair_one_way(from: &Host, to: &Host) {
    let was_cut = on_way(from, to, |way| std::mem::take(&mut way.cut));
    if was_cut == Some(true) {
        note(format_args!("repairs the way from {} to {}", from.name(), to.name()));
    }
}

/// Cuts a host off from these others, as [`partition`] does with each.
pub fn isolate<'a>(host: &Host, others: impl IntoIterator<Item = &'a Host>) {
    others.into_iter().filter(|other| other.id() != host.id()).for_each(|other| partition(host, other));
}

/// Keeps all packets from one host to another, at the end of their way, until [`release`].
pub fn hold(from: &Host, to: &Host) {
    on_way(from, to, |way| way.held = true);
}

/// Delivers all packets that were kept by [`hold`], in their order, now.
pub fn release(from: &Host, to: &Host) {
    from.sim().network(|network| network.release(from.id(), to.id()));
}

fn on_way<R>(from: &Host, to: &Host, act: impl FnOnce(&mut Way) -> R) -> Option<R> {
    from.sim().network(|network| act(network.world.links.way(from.id(), to.id())))
}

/// Returns how many packets were sent so far, on loopback, too.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
#[must_use]
#[track_caller]
pub fn packets_sent() -> u64 {
    Sim::current("net::packets_sent").network(|network| network.world.packets).unwrap_or(0)
}
