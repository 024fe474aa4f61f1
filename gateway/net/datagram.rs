//! The listening side of UDP: every reply leaves from the address that was asked.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use rustix::net::{SendFlags, sendto};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::net::listen::BoundUdp;

/// Who asked, and at which of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The client.
    pub client: SocketAddr,
    /// Our address that it sent to.
    pub local: IpAddr,
    /// The interface it came in by; set only where `local` means nothing without (link-local).
    pub interface: u32,
}

/// A UDP socket that clients send to.
///
/// Bound to one address the kernel answers from it; bound to a wildcard, IP_PKTINFO tells which
/// address was asked.
#[derive(Debug)]
pub struct DatagramListener {
    socket: UdpSocket,
    address: SocketAddr,
    /// Room for one control message; none for a socket bound to one address.
    control: Option<RefCell<Vec<u8>>>,
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length.
    pub length: usize,
    /// Whether it was longer than the buffer.
    pub truncated: bool,
    /// Where it came from and where it went.
    pub path: Path,
}

impl DatagramListener {
    /// Joins the runtime of the calling worker.
    pub fn new(bound: BoundUdp) -> io::Result<Self> {
        let address = bound.local_addr();
        let socket = bound.socket()?;
        let mut control = None;
        if address.ip().is_unspecified() {
            if address.is_ipv4() {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            control = Some(RefCell::new(nix::cmsg_space!(in6_pktinfo)));
        }
        Ok(Self {
            socket,
            address,
            control,
        })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a datagram. Cancellation safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes a datagram; `WouldBlock` where there is none.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(Interest::READABLE, || {
            let mut control = self.control.as_ref().map(RefCell::borrow_mut);
            let mut pieces = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut pieces,
                control.as_mut().map(|c| c.as_mut_slice()),
                MsgFlags::empty(),
            )?;
            let client = message.address.as_ref().and_then(to_std);
            let client = client.ok_or(io::ErrorKind::InvalidData)?;
            let mut path = Path {
                client,
                local: self.address.ip(),
                interface: 0,
            };
            if self.control.is_some() {
                for control in message.cmsgs()? {
                    note_local(&control, &mut path);
                }
            }
            Ok(Received {
                length: message.bytes,
                truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
                path,
            })
        })
    }

    /// Sends to the client, from the address it asked. Never waits: `WouldBlock` where the
    /// socket's buffer is full.
    pub fn try_send(&self, datagram: &[u8], path: &Path) -> io::Result<usize> {
        if self.control.is_none() {
            // Not through tokio's readiness: sends are rare events for it, and never awaited.
            let sent = sendto(&self.socket, datagram, SendFlags::DONTWAIT, &path.client)?;
            return Ok(sent);
        }
        let to = SockaddrStorage::from(path.client);
        let pieces = [IoSlice::new(datagram)];
        let send = |control: &[ControlMessage<'_>]| {
            let flags = MsgFlags::MSG_DONTWAIT;
            sendmsg(self.socket.as_raw_fd(), &pieces, control, flags, Some(&to))
        };
        let sent = match path.local {
            IpAddr::V4(local) => send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from(local).to_be(),
                },
                ipi_addr: in_addr { s_addr: 0 },
            })]),
            IpAddr::V6(local) => send(&[ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: local.octets(),
                },
                ipi6_ifindex: path.interface,
            })]),
        }?;
        Ok(sent)
    }
}

fn note_local(control: &ControlMessageOwned, path: &mut Path) {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            path.local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into();
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            path.local = local.into();
            if local.is_unicast_link_local() {
                path.interface = info.ipi6_ifindex;
            }
        }
        _ => {}
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(*a));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from(*a)))
}
