//! Frame in, answer or drop out; and who else claims an address.
//!
//! Pure: the table says what is answered where. MetalLB's rules, with validation added; every
//! frame that is not answered has a reason that is counted.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Mac;
use super::arp::{self, ArpFrame, Operation};
use super::ndp::{self, Kind, NdpFrame};

/// An interface that frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lan {
    /// The kernel's number of the interface.
    pub index: u32,
    /// Its MAC address.
    pub mac: Mac,
}

/// What is answered where, and what is watched.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: HashMap<IpAddr, Vec<u32>>,
    own: Vec<Mac>,
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The frame to send back, or why there is none.
    pub answer: Result<Answer, DropReason>,
    /// Somebody else speaks of an address of the table.
    pub sighting: Option<Sighting>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For which address.
    pub address: IpAddr,
    /// The frame.
    pub frame: AnswerFrame,
}

/// The bytes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerFrame {
    /// ARP: always of one size.
    Arp([u8; arp::PADDED]),
    /// A Neighbor Advertisement.
    Ndp(Vec<u8>),
}

impl AnswerFrame {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Arp(frame) => frame,
            Self::Ndp(frame) => frame,
        }
    }
}

/// Another station speaks of an address that is ours, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The address.
    pub address: IpAddr,
    /// Who.
    pub mac: Mac,
    /// What it does.
    pub kind: SightingKind,
}

/// What another station does with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SightingKind {
    /// It uses it.
    Claim,
    /// It asks whether anybody does, before it will (RFC 5227 §2.1.1, RFC 4862 §5.4.3).
    Probe,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a frame is not answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The value of the metric's label `reason`.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

reasons! {
    /// Cut short.
    Truncated = "truncated",
    /// Longer than any ARP frame.
    Oversized = "oversized",
    /// Another protocol, or addresses of other kinds.
    Foreign = "foreign",
    /// An NDP message that RFC 4861 §7.1 tells to ignore.
    Invalid = "invalid",
    /// ARP but no request (MetalLB's `ARPReply`).
    NotRequest = "arp_reply",
    /// NDP but no solicitation.
    NotSolicitation = "not_solicitation",
    /// To somebody else's Ethernet address (MetalLB's `EthernetDestination`).
    EthernetDestination = "ethernet_destination",
    /// The sender gives a group or no address to answer to.
    Sender = "sender",
    /// An address that this node does not announce (MetalLB's `AnnounceIP`).
    NotAnnounced = "not_announced",
    /// Announced, but not on this interface (MetalLB's `NotMatchInterface`).
    NotOnInterface = "not_on_interface",
}

impl Table {
    /// A table: each address with the interfaces that answer for it (none: it is only watched),
    /// and the MAC addresses of this host, which are nobody else's.
    pub fn new(rows: impl IntoIterator<Item = (IpAddr, Vec<u32>)>, own: Vec<Mac>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            own,
        }
    }

    /// Decides on an ARP frame.
    pub fn arp(&self, frame: &[u8], lan: Lan) -> Handled {
        let packet = match ArpFrame::parse(frame) {
            Ok(packet) => packet,
            Err(malformed) => {
                return Handled {
                    answer: Err(match malformed {
                        arp::Malformed::Truncated => DropReason::Truncated,
                        arp::Malformed::Oversized => DropReason::Oversized,
                        arp::Malformed::Foreign => DropReason::Foreign,
                    }),
                    sighting: None,
                };
            }
        };
        Handled {
            sighting: self.arp_sighting(&packet),
            answer: self.arp_answer(&packet, lan).map(|reply| Answer {
                address: IpAddr::V4(packet.target),
                frame: AnswerFrame::Arp(reply.encode()),
            }),
        }
    }

    fn arp_answer(&self, packet: &ArpFrame, lan: Lan) -> Result<ArpFrame, DropReason> {
        if packet.operation != Operation::Request {
            return Err(DropReason::NotRequest);
        }
        if packet.destination != Mac::BROADCAST && packet.destination != lan.mac {
            return Err(DropReason::EthernetDestination);
        }
        self.answers(IpAddr::V4(packet.target), lan)?;
        if packet.sender_mac.is_group() || packet.sender_mac.is_zero() {
            return Err(DropReason::Sender);
        }
        Ok(packet.reply(lan.mac))
    }

    /// RFC 5227 §2.4: a conflict is an ARP packet, request or reply, whose sender address is ours
    /// and whose sender hardware address is not.
    fn arp_sighting(&self, packet: &ArpFrame) -> Option<Sighting> {
        let probe =
            packet.sender == Ipv4Addr::UNSPECIFIED && packet.operation == Operation::Request;
        let (address, kind) = if probe {
            (packet.target, SightingKind::Probe)
        } else {
            (packet.sender, SightingKind::Claim)
        };
        self.sighting(IpAddr::V4(address), packet.sender_mac, kind)
    }

    /// Decides on an IPv6 frame that may be a solicitation or an advertisement.
    pub fn ndp(&self, frame: &[u8], lan: Lan) -> Handled {
        let packet = match NdpFrame::parse(frame) {
            Ok(packet) => packet,
            Err(malformed) => {
                return Handled {
                    answer: Err(match malformed {
                        ndp::Malformed::Truncated => DropReason::Truncated,
                        ndp::Malformed::Foreign => DropReason::Foreign,
                        ndp::Malformed::HopLimit
                        | ndp::Malformed::Checksum
                        | ndp::Malformed::Invalid => DropReason::Invalid,
                    }),
                    sighting: None,
                };
            }
        };
        Handled {
            sighting: self.ndp_sighting(&packet),
            answer: self.ndp_answer(&packet, lan).map(|answer| Answer {
                address: IpAddr::V6(packet.target),
                frame: AnswerFrame::Ndp(answer.encode()),
            }),
        }
    }

    fn ndp_answer(&self, packet: &NdpFrame, lan: Lan) -> Result<NdpFrame, DropReason> {
        if packet.kind != Kind::Solicitation {
            return Err(DropReason::NotSolicitation);
        }
        let group = packet.destination.0.starts_with(&[0x33, 0x33]);
        if packet.destination != lan.mac && !group {
            return Err(DropReason::EthernetDestination);
        }
        self.answers(IpAddr::V6(packet.target), lan)?;
        let answer = packet.answer(lan.mac);
        let to_one = !packet.from.is_unspecified();
        if to_one && (answer.destination.is_group() || answer.destination.is_zero()) {
            return Err(DropReason::Sender);
        }
        Ok(answer)
    }

    fn ndp_sighting(&self, packet: &NdpFrame) -> Option<Sighting> {
        let mac = packet.link_layer.unwrap_or(packet.source);
        let (address, kind) = match packet.kind {
            Kind::Advertisement { .. } => (packet.target, SightingKind::Claim),
            Kind::Solicitation if packet.from.is_unspecified() => {
                (packet.target, SightingKind::Probe)
            }
            Kind::Solicitation => (packet.from, SightingKind::Claim),
        };
        self.sighting(IpAddr::V6(address), mac, kind)
    }

    fn answers(&self, address: IpAddr, lan: Lan) -> Result<(), DropReason> {
        match self.rows.get(&address) {
            Some(interfaces) if interfaces.contains(&lan.index) => Ok(()),
            Some(interfaces) if !interfaces.is_empty() => Err(DropReason::NotOnInterface),
            _ => Err(DropReason::NotAnnounced),
        }
    }

    fn sighting(&self, address: IpAddr, mac: Mac, kind: SightingKind) -> Option<Sighting> {
        let other = !self.own.contains(&mac) && !mac.is_zero() && !mac.is_group();
        (other && self.rows.contains_key(&address)).then_some(Sighting { address, mac, kind })
    }
}
