//! A heartbeat on the wire, UDP port 7946. Numbers are big-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `GHB2` |
//! | 4 | 1 | bit 0: may own addresses; bit 1: leaving |
//! | 5 | 1 | length of the name, 1 to 253 |
//! | 6 | 1 | how many incarnations follow it |
//! | 7 | 1 | how many MAC addresses follow those |
//! | 8 | 8 | incarnation: by chance, another one with each start of the process |
//! | 16 | 8 | sequence: greater with each heartbeat |
//! | 24 | 4 | for how many milliseconds it may own addresses by now |
//! | 28 | n | the node's name |
//! | 28+n | 8 each | the incarnations that it hears |
//! | then | 6 each | the MAC addresses that it announces with |
//! | end | 32 | HMAC-SHA256 of all before it |

use aws_lc_rs::hmac;

use crate::announce::Mac;

/// The most incarnations in a heartbeat; with the longest name it fits into an Ethernet frame.
pub const MAX_HEARD: usize = 128;
/// The most MAC addresses in a heartbeat; a host has some few.
pub const MAX_MACS: usize = 16;
/// The longest heartbeat.
pub const MAX_LENGTH: usize = HEAD + MAX_NAME + 8 * MAX_HEARD + 6 * MAX_MACS + TAG;
/// The shortest key.
pub const MIN_KEY: usize = 16;

const MAGIC: &[u8; 4] = b"GHB2";
const HEAD: usize = 28;
const TAG: usize = 32;
const MAX_NAME: usize = 253;
const ABLE: u8 = 1;
const LEAVING: u8 = 2;

/// What nodes prove their heartbeats with.
#[derive(Clone, Debug)]
pub struct Key(hmac::Key);

impl Key {
    /// A key; none if it is too short.
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= MIN_KEY).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

/// A node says that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The node.
    pub name: String,
    /// The start of its process.
    pub incarnation: u64,
    /// Greater with each one.
    pub sequence: u64,
    /// Whether it may own addresses.
    pub able: bool,
    /// For how many milliseconds it may by now.
    pub able_for: u32,
    /// It stops; this is its last word.
    pub leaving: bool,
    /// Whom it hears. Who finds its own incarnation here knows that this was written after its
    /// start, so that nothing recorded before can pass for it.
    pub heard: Vec<u64>,
    /// The stations on the LAN that are this node, so that an address which it claims is known to
    /// be claimed by one of ours.
    pub macs: Vec<Mac>,
}

/// Why a datagram is no heartbeat of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Another format, or cut short.
    Foreign,
    /// Another key.
    Key,
}

impl Heartbeat {
    /// As bytes. A longer name is cut, further incarnations and MAC addresses are left out.
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let name = self.name.as_bytes();
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let heard = self.heard.get(..MAX_HEARD).unwrap_or(&self.heard);
        let macs = self.macs.get(..MAX_MACS).unwrap_or(&self.macs);
        let mut bytes = Vec::with_capacity(MAX_LENGTH);
        bytes.extend_from_slice(MAGIC);
        bytes.push((u8::from(self.able) * ABLE) | (u8::from(self.leaving) * LEAVING));
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.push(u8::try_from(heard.len()).unwrap_or(u8::MAX));
        bytes.push(u8::try_from(macs.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.able_for.to_be_bytes());
        bytes.extend_from_slice(name);
        for incarnation in heard {
            bytes.extend_from_slice(&incarnation.to_be_bytes());
        }
        for mac in macs {
            bytes.extend_from_slice(&mac.0);
        }
        let tag = hmac::sign(&key.0, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    /// From bytes that anybody may have sent.
    ///
    /// # Errors
    /// They are not a heartbeat, or not under this key.
    pub fn decode(bytes: &[u8], key: &Key) -> Result<Self, Malformed> {
        let body = bytes
            .len()
            .checked_sub(TAG)
            .filter(|length| *length > HEAD && bytes.starts_with(MAGIC))
            .ok_or(Malformed::Foreign)?;
        let (body, tag) = bytes.split_at(body);
        hmac::verify(&key.0, body, tag).map_err(|_| Malformed::Key)?;
        let (head, rest) = body.split_at(HEAD);
        let &[_, _, _, _, flags, name, heard, macs, ..] = head else {
            return Err(Malformed::Foreign);
        };
        let (name, heard, macs) = (name.into(), usize::from(heard), usize::from(macs));
        if name == 0 || name > MAX_NAME || rest.len() != name + 8 * heard + 6 * macs {
            return Err(Malformed::Foreign);
        }
        let (name, rest) = rest.split_at(name);
        let (heard, macs) = rest.split_at(8 * heard);
        let name = std::str::from_utf8(name).map_err(|_| Malformed::Foreign)?;
        Ok(Self {
            name: name.to_owned(),
            incarnation: number(head, 8),
            sequence: number(head, 16),
            able_for: u32::try_from(number(head, 20) & u64::from(u32::MAX)).unwrap_or(u32::MAX),
            able: flags & ABLE != 0,
            leaving: flags & LEAVING != 0,
            heard: heard
                .chunks_exact(8)
                .map(|bytes| number(bytes, 0))
                .collect(),
            macs: macs
                .chunks_exact(6)
                .filter_map(|bytes| bytes.try_into().ok().map(Mac))
                .collect(),
        })
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_be_bytes(bytes.unwrap_or_default())
}
