//! ARP over Ethernet (RFC 826): parse and build frames.

use std::net::Ipv4Addr;

use super::{Mac, take};

/// The EtherType of ARP.
pub const ETHERTYPE: u16 = 0x0806;

/// Ethernet header and ARP packet, without padding.
pub const LENGTH: usize = 14 + 28;

/// The shortest frame that Ethernet carries, without its checksum; what is sent is this long.
pub const PADDED: usize = 60;

/// The longest frame taken for ARP. Padding beyond the minimum is legal (hypervisors and switches
/// add some), but a frame much longer than that is no ARP of anybody's.
pub const LONGEST: usize = 128;

/// What an ARP packet says it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Who has?
    Request,
    /// Is at.
    Reply,
    /// Anything else (RARP, InARP, …), by its number.
    Other(u16),
}

/// An ARP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpFrame {
    /// Ethernet destination.
    pub destination: Mac,
    /// Ethernet source.
    pub source: Mac,
    /// The operation.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address; 0.0.0.0 in a probe (RFC 5227 §1.1).
    pub sender: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target: Ipv4Addr,
}

/// Why bytes are no ARP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Cut short.
    Truncated,
    /// Longer than any ARP frame ([`LONGEST`]).
    Oversized,
    /// Not Ethernet addresses for IPv4 ones, or not ARP at all.
    Foreign,
}

impl ArpFrame {
    /// Reads a frame as it came from the wire, padding included.
    ///
    /// # Errors
    /// It is cut short, too long, or not ARP for IPv4 over Ethernet.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        if frame.len() > LONGEST {
            return Err(Malformed::Oversized);
        }
        let bytes: &[u8; LENGTH] = frame.first_chunk().ok_or(Malformed::Truncated)?;
        // EtherType; hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
        if bytes[12..20] != [0x08, 0x06, 0, 1, 0x08, 0, 6, 4] {
            return Err(Malformed::Foreign);
        }
        let mac = |at| take(bytes, at).map(Mac).ok_or(Malformed::Truncated);
        let ip = |at| {
            take::<4>(bytes, at)
                .map(Ipv4Addr::from)
                .ok_or(Malformed::Truncated)
        };
        Ok(Self {
            destination: mac(0)?,
            source: mac(6)?,
            operation: match u16::from_be_bytes([bytes[20], bytes[21]]) {
                1 => Operation::Request,
                2 => Operation::Reply,
                other => Operation::Other(other),
            },
            sender_mac: mac(22)?,
            sender: ip(28)?,
            target_mac: mac(32)?,
            target: ip(38)?,
        })
    }

    /// The bytes to send, padded to Ethernet's minimum.
    pub fn encode(&self) -> [u8; PADDED] {
        let mut frame = [0; PADDED];
        let operation = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
            Operation::Other(other) => other,
        };
        frame[0..6].copy_from_slice(&self.destination.0);
        frame[6..12].copy_from_slice(&self.source.0);
        frame[12..20].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4]);
        frame[20..22].copy_from_slice(&operation.to_be_bytes());
        frame[22..28].copy_from_slice(&self.sender_mac.0);
        frame[28..32].copy_from_slice(&self.sender.octets());
        frame[32..38].copy_from_slice(&self.target_mac.0);
        frame[38..42].copy_from_slice(&self.target.octets());
        frame
    }

    /// The answer to a request, from an interface; it goes to the request's sender.
    pub fn reply(&self, interface: Mac) -> Self {
        Self {
            destination: self.sender_mac,
            source: interface,
            operation: Operation::Reply,
            sender_mac: interface,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// An announcement (gratuitous ARP) in the form of a request or of a reply, as MetalLB sends
    /// both: some stacks learn from the one, some from the other.
    pub fn gratuitous(interface: Mac, address: Ipv4Addr, operation: Operation) -> Self {
        Self {
            destination: Mac::BROADCAST,
            source: interface,
            operation,
            sender_mac: interface,
            sender: address,
            target_mac: Mac::BROADCAST,
            target: address,
        }
    }

    /// A probe (RFC 5227 §2.1.1): does anybody use the address?
    pub fn probe(interface: Mac, address: Ipv4Addr) -> Self {
        Self {
            destination: Mac::BROADCAST,
            source: interface,
            operation: Operation::Request,
            sender_mac: interface,
            sender: Ipv4Addr::UNSPECIFIED,
            target_mac: Mac::default(),
            target: address,
        }
    }
}
