//! The options of sockets of the host.

use std::io;

use socket2::{SockRef, TcpKeepalive};

use crate::contract::{OptionName, SocketOption};

/// Sets an option of a socket of the host.
///
/// # Errors
///
/// As the host says.
pub fn set_option<'s, S>(socket: &'s S, option: SocketOption) -> io::Result<()>
where
    SockRef<'s>: From<&'s S>,
{
    let socket = SockRef::from(socket);
    match option {
        SocketOption::NoDelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::Linger(time) => socket.set_linger(time),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::KeepAlive(Some(time)) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time)),
        SocketOption::Ttl(hops) if is_v6(&socket) => socket.set_unicast_hops_v6(hops),
        SocketOption::Ttl(hops) => socket.set_ttl_v4(hops),
        SocketOption::SendBuffer(size) => socket.set_send_buffer_size(size),
        SocketOption::ReceiveBuffer(size) => socket.set_recv_buffer_size(size),
        SocketOption::Broadcast(on) => socket.set_broadcast(on),
        SocketOption::MulticastLoop(on) if is_v6(&socket) => socket.set_multicast_loop_v6(on),
        SocketOption::MulticastLoop(on) => socket.set_multicast_loop_v4(on),
        SocketOption::JoinMulticastV4(group, on) => socket.join_multicast_v4(&group, &on),
        SocketOption::LeaveMulticastV4(group, on) => socket.leave_multicast_v4(&group, &on),
        SocketOption::JoinMulticastV6(group, on) => socket.join_multicast_v6(&group, on),
        SocketOption::LeaveMulticastV6(group, on) => socket.leave_multicast_v6(&group, on),
    }
}

/// Reads an option of a socket of the host.
///
/// # Errors
///
/// As the host says.
pub fn option<'s, S>(socket: &'s S, name: OptionName) -> io::Result<SocketOption>
where
    SockRef<'s>: From<&'s S>,
{
    let socket = SockRef::from(socket);
    Ok(match name {
        OptionName::NoDelay => SocketOption::NoDelay(socket.tcp_nodelay()?),
        OptionName::Linger => SocketOption::Linger(socket.linger()?),
        OptionName::KeepAlive => SocketOption::KeepAlive(match socket.keepalive()? {
            true => Some(keepalive_time(&socket)?),
            false => None,
        }),
        OptionName::Ttl if is_v6(&socket) => SocketOption::Ttl(socket.unicast_hops_v6()?),
        OptionName::Ttl => SocketOption::Ttl(socket.ttl_v4()?),
        OptionName::SendBuffer => SocketOption::SendBuffer(socket.send_buffer_size()?),
        OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(socket.recv_buffer_size()?),
        OptionName::Broadcast => SocketOption::Broadcast(socket.broadcast()?),
        OptionName::MulticastLoop if is_v6(&socket) => SocketOption::MulticastLoop(socket.multicast_loop_v6()?),
        OptionName::MulticastLoop => SocketOption::MulticastLoop(socket.multicast_loop_v4()?),
    })
}

fn is_v6(socket: &SockRef<'_>) -> bool {
    socket.local_addr().is_ok_and(|address| address.is_ipv6())
}

#[cfg(unix)]
fn keepalive_time(socket: &SockRef<'_>) -> io::Result<std::time::Duration> {
    socket.tcp_keepalive_time()
}

#[cfg(windows)]
fn keepalive_time(_: &SockRef<'_>) -> io::Result<std::time::Duration> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "the time of keep-alive cannot be read here"))
}
