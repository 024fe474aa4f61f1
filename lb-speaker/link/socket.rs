//! A raw socket of one interface and protocol, with its BPF filter.

use std::io;
use std::net::Ipv6Addr;

use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::sys;
use crate::announce::{arp, ndp};

/// Which frames a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// All of EtherType ARP, malformed ones too: they are counted.
    Arp,
    /// ICMPv6 Neighbor Solicitations and Advertisements.
    Ndp,
}

/// A packet socket of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: AsyncFd<Socket>,
}

impl PacketSocket {
    /// Opens a socket on the interface; needs CAP_NET_RAW and a tokio runtime.
    ///
    /// # Errors
    /// No permission, or the interface is gone or down.
    pub fn open(index: u32, protocol: Protocol) -> io::Result<Self> {
        // Protocol 0 receives nothing: the filter is in place before the first frame comes.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        let ethertype = match protocol {
            Protocol::Arp => {
                socket.attach_filter(&arp_filter())?;
                arp::ETHERTYPE
            }
            Protocol::Ndp => {
                socket.attach_filter(&ndp_filter())?;
                ndp::ETHERTYPE
            }
        };
        sys::bind_packet(&socket, index, ethertype)?;
        Ok(Self {
            fd: sys::register(socket)?,
        })
    }

    /// Waits for a frame; returns its true length and how much of it is in `buffer`.
    ///
    /// # Errors
    /// The interface went down or away (ENETDOWN); the socket works again when it is up.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            match ready.try_io(|fd| {
                let (_, length) = rustix::net::recv(
                    fd.get_ref(),
                    &mut *buffer,
                    RecvFlags::DONTWAIT | RecvFlags::TRUNC,
                )?;
                Ok(length)
            }) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Sends a frame, or fails at once: a full queue loses a frame, as the wire may.
    ///
    /// # Errors
    /// As send(2).
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(self.fd.get_ref(), frame, SendFlags::DONTWAIT)?;
        Ok(())
    }
}

/// Membership of solicited-node groups on one interface, so that its filter and snooping switches
/// let solicitations through.
#[derive(Debug)]
pub struct Groups {
    socket: Socket,
    index: u32,
}

impl Groups {
    /// For the interface of that number.
    ///
    /// # Errors
    /// The host has no IPv6.
    pub fn new(index: u32) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(Domain::IPV6, Type::DGRAM, None)?,
            index,
        })
    }

    /// Joins a group.
    ///
    /// # Errors
    /// As setsockopt(2); joining twice is an error too.
    pub fn join(&self, group: Ipv6Addr) -> io::Result<()> {
        self.socket.join_multicast_v6(&group, self.index)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn leave(&self, group: Ipv6Addr) -> io::Result<()> {
        self.socket.leave_multicast_v6(&group, self.index)
    }
}

// Classic BPF, linux/bpf_common.h and linux/filter.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// SKF_AD_OFF + SKF_AD_PKTTYPE.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// PACKET_OTHERHOST of linux/if_packet.h: to another station, or of a VLAN that has no interface
/// here. The kernel takes the tag off before such a socket sees the frame, so that nothing else
/// tells, and an untagged answer would go to the wrong LAN. (A priority tag, VLAN 0, is of this LAN.)
const OTHER_HOST: u32 = 3;
const WHOLE_FRAME: u32 = 0x0004_0000;

const fn op(code: u16, jump_true: u8, jump_false: u8, k: u32) -> SockFilter {
    SockFilter::new(code, jump_true, jump_false, k)
}

/// ARP to this host or to a group.
fn arp_filter() -> [SockFilter; 6] {
    [
        op(LOAD_WORD, 0, 0, PACKET_TYPE),
        op(JUMP_EQUAL, 3, 0, OTHER_HOST),
        op(LOAD_HALF, 0, 0, 12),
        op(JUMP_EQUAL, 0, 1, arp::ETHERTYPE as u32),
        op(RETURN, 0, 0, WHOLE_FRAME),
        op(RETURN, 0, 0, 0),
    ]
}

/// The same of ICMPv6 types 135 and 136 directly after the IPv6 header.
fn ndp_filter() -> [SockFilter; 9] {
    [
        op(LOAD_WORD, 0, 0, PACKET_TYPE),
        op(JUMP_EQUAL, 6, 0, OTHER_HOST),
        op(LOAD_BYTE, 0, 0, 20),
        op(JUMP_EQUAL, 0, 4, 58),
        op(LOAD_BYTE, 0, 0, 54),
        op(JUMP_EQUAL, 1, 0, 135),
        op(JUMP_EQUAL, 0, 1, 136),
        op(RETURN, 0, 0, WHOLE_FRAME),
        op(RETURN, 0, 0, 0),
    ]
}
