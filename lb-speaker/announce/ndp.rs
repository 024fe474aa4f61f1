//! Neighbor Solicitation and Advertisement over Ethernet (RFC 4861 §4.3, §4.4): parse and build.

use std::net::Ipv6Addr;

use super::{Mac, take};

/// The EtherType of IPv6.
pub const ETHERTYPE: u16 = 0x86dd;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ICMPV6: u8 = 58;
const IP: usize = 14;
const ICMP: usize = IP + 40;
/// Type, code, checksum, flags or reserved, target.
const BODY: usize = 24;
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

/// What is sent: headers, body and one option with an Ethernet address.
pub const LENGTH: usize = ICMP + BODY + 8;
/// The same without the option (a probe has no source to tell).
pub const PROBE_LENGTH: usize = ICMP + BODY;

/// A solicitation or an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdpFrame {
    /// Ethernet destination.
    pub destination: Mac,
    /// Ethernet source.
    pub source: Mac,
    /// IPv6 source; unspecified in duplicate address detection.
    pub from: Ipv6Addr,
    /// IPv6 destination.
    pub to: Ipv6Addr,
    /// Which of the two.
    pub kind: Kind,
    /// The address that is asked for or told.
    pub target: Ipv6Addr,
    /// The source link-layer address of a solicitation, the target one of an advertisement.
    pub link_layer: Option<Mac>,
}

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who has?
    Solicitation,
    /// Is at.
    Advertisement {
        /// It answers a solicitation.
        solicited: bool,
    },
}

/// Why bytes are no valid solicitation or advertisement (RFC 4861 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Cut short, or lengths that do not fit.
    Truncated,
    /// Not ICMPv6 of these two types directly after the IPv6 header.
    Foreign,
    /// The hop limit is not 255: it crossed a router, so it is forged.
    HopLimit,
    /// The checksum is wrong.
    Checksum,
    /// A rule of RFC 4861 §7.1.1 or §7.1.2 is broken (multicast target, a link-layer address with
    /// an unspecified source, …).
    Invalid,
}

impl NdpFrame {
    /// Reads and validates a frame.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let byte = |at: usize| frame.get(at).copied().ok_or(Malformed::Truncated);
        let address = |at| {
            take::<16>(frame, at)
                .map(Ipv6Addr::from)
                .ok_or(Malformed::Truncated)
        };
        let mac = |at| take(frame, at).map(Mac).ok_or(Malformed::Truncated);
        if take(frame, 12) != Some(ETHERTYPE.to_be_bytes()) || byte(IP)? >> 4 != 6 {
            return Err(Malformed::Foreign);
        }
        let length = usize::from(u16::from_be_bytes([byte(IP + 4)?, byte(IP + 5)?]));
        let kind = byte(ICMP)?;
        if byte(IP + 6)? != ICMPV6 || !(kind == SOLICITATION || kind == ADVERTISEMENT) {
            return Err(Malformed::Foreign);
        }
        if byte(IP + 7)? != 255 {
            return Err(Malformed::HopLimit);
        }
        // What follows the message is Ethernet padding.
        let message = frame
            .get(ICMP..ICMP + length)
            .filter(|message| message.len() >= BODY)
            .ok_or(Malformed::Truncated)?;
        let (from, to) = (address(IP + 8)?, address(IP + 24)?);
        if checksum(from, to, message) != 0 {
            return Err(Malformed::Checksum);
        }
        let target = address(ICMP + 8)?;
        if byte(ICMP + 1)? != 0 || target.is_multicast() {
            return Err(Malformed::Invalid);
        }
        let wanted = if kind == SOLICITATION {
            SOURCE_ADDRESS
        } else {
            TARGET_ADDRESS
        };
        let link_layer = option(message.get(BODY..).unwrap_or_default(), wanted)?;
        let solicited = byte(ICMP + 4)? & 0x40 != 0;
        let kind = if kind == SOLICITATION {
            // §7.1.1: from nobody goes to the solicited-node group, without a link-layer address.
            if from.is_unspecified() && (link_layer.is_some() || to != solicited_node(target)) {
                return Err(Malformed::Invalid);
            }
            Kind::Solicitation
        } else {
            // §7.1.2.
            if solicited && to.is_multicast() {
                return Err(Malformed::Invalid);
            }
            Kind::Advertisement { solicited }
        };
        Ok(Self {
            destination: mac(0)?,
            source: mac(6)?,
            from,
            to,
            kind,
            target,
            link_layer,
        })
    }

    /// The answer to a solicitation, from an interface.
    ///
    /// It comes from the address itself, so no link-local address is needed. Duplicate address
    /// detection is answered to all nodes (RFC 4861 §7.2.4), which defends the address. Override is
    /// set: after a change of owner the asker should believe the new one.
    pub fn answer(&self, interface: Mac) -> Self {
        let anonymous = self.from.is_unspecified();
        Self {
            destination: if anonymous {
                group_mac(ALL_NODES)
            } else {
                self.link_layer.unwrap_or(self.source)
            },
            source: interface,
            from: self.target,
            to: if anonymous { ALL_NODES } else { self.from },
            kind: Kind::Advertisement {
                solicited: !anonymous,
            },
            target: self.target,
            link_layer: Some(interface),
        }
    }

    /// An unsolicited advertisement to all nodes (RFC 4861 §7.2.6).
    pub fn unsolicited(interface: Mac, address: Ipv6Addr) -> Self {
        Self {
            destination: group_mac(ALL_NODES),
            source: interface,
            from: address,
            to: ALL_NODES,
            kind: Kind::Advertisement { solicited: false },
            target: address,
            link_layer: Some(interface),
        }
    }

    /// A probe: duplicate address detection (RFC 4862 §5.4.2).
    pub fn probe(interface: Mac, address: Ipv6Addr) -> Self {
        let group = solicited_node(address);
        Self {
            destination: group_mac(group),
            source: interface,
            from: Ipv6Addr::UNSPECIFIED,
            to: group,
            kind: Kind::Solicitation,
            target: address,
            link_layer: None,
        }
    }

    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let length = if self.link_layer.is_some() {
            LENGTH
        } else {
            PROBE_LENGTH
        };
        let (kind, flags) = match self.kind {
            Kind::Solicitation => (SOLICITATION, 0),
            // Override, and Solicited where it is.
            Kind::Advertisement { solicited: false } => (ADVERTISEMENT, 0x20),
            Kind::Advertisement { solicited: true } => (ADVERTISEMENT, 0x60),
        };
        let mut frame = Vec::with_capacity(length);
        frame.extend(self.destination.0);
        frame.extend(self.source.0);
        frame.extend(ETHERTYPE.to_be_bytes());
        frame.extend([0x60, 0, 0, 0, 0]);
        frame.push(u8::try_from(length - ICMP).unwrap_or(u8::MAX));
        frame.extend([ICMPV6, 255]);
        frame.extend(self.from.octets());
        frame.extend(self.to.octets());
        frame.extend([kind, 0, 0, 0, flags, 0, 0, 0]);
        frame.extend(self.target.octets());
        if let Some(mac) = self.link_layer {
            let option = match self.kind {
                Kind::Solicitation => SOURCE_ADDRESS,
                Kind::Advertisement { .. } => TARGET_ADDRESS,
            };
            frame.extend([option, 1]);
            frame.extend(mac.0);
        }
        let sum = checksum(self.from, self.to, frame.get(ICMP..).unwrap_or_default());
        if let Some(field) = frame.get_mut(ICMP + 2..ICMP + 4) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        frame
    }
}

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The solicited-node group of an address (RFC 4291 §2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = u128::from(address) & 0x00ff_ffff;
    Ipv6Addr::from(u128::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0)) | low)
}

/// The Ethernet group of an IPv6 group (RFC 2464 §7).
fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The Ethernet address in the first option of a type.
fn option(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, Malformed> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if length == 0 {
            return Err(Malformed::Invalid);
        }
        let (this, rest) = options
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        if kind == wanted && found.is_none() {
            found = take(this, 2).map(Mac);
        }
        options = rest;
    }
    Ok(found)
}

/// The ICMPv6 checksum with the pseudo header (RFC 8200 §8.1); zero over a message that has its own.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum: u64 = u64::from(ICMPV6) + message.len() as u64;
    for octets in [from.octets(), to.octets()] {
        for pair in octets.chunks_exact(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
    }
    for pair in message.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}
