//! The one unsafe corner: packet socket addresses, which no safe crate offers, and tokio's
//! registration of a file descriptor.
#![allow(unsafe_code)]

use std::io;

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// `struct sockaddr_ll` of packet(7), as far as bind(2) reads it.
#[repr(C)]
struct PacketAddress {
    family: u16,
    /// Network byte order.
    protocol: u16,
    index: i32,
    hardware_type: u16,
    packet_type: u8,
    address_length: u8,
    address: [u8; 8],
}

// SAFETY: the pointer is to a live value of the size that is passed, laid out as the kernel's
// sockaddr_ll, and its family says so.
unsafe impl SocketAddrArg for PacketAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        const LENGTH: SocketAddrLen = size_of::<PacketAddress>() as SocketAddrLen;
        f(std::ptr::from_ref(self).cast(), LENGTH)
    }
}

/// Binds a packet socket to one interface and EtherType; it receives nothing before that.
///
/// # Errors
/// The interface is gone or down.
pub(super) fn bind_packet(
    socket: impl std::os::fd::AsFd,
    index: u32,
    ethertype: u16,
) -> io::Result<()> {
    let address = PacketAddress {
        family: rustix::net::AddressFamily::PACKET.as_raw(),
        protocol: ethertype.to_be(),
        index: i32::try_from(index).map_err(io::Error::other)?,
        hardware_type: 0,
        packet_type: 0,
        address_length: 0,
        address: [0; 8],
    };
    Ok(rustix::net::bind(socket, &address)?)
}

/// Registers a nonblocking socket with the runtime of this thread.
///
/// # Errors
/// No runtime, or no file descriptor left in it.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a Socket owns its descriptor, always returns the same one, and closes it only when
    // it is dropped, which AsyncFd does after deregistering.
    let registered = unsafe { AsyncFd::register(socket) };
    Ok(registered?)
}
