//! What is said on the LAN about an address, decided without a socket and without a clock.
//!
//! * [`arp`] and [`ndp`]: bytes to packets and back;
//! * [`responder`]: frame in, answer or counted drop out, and who else claims an address;
//! * [`custody`]: the life of one address: probing, announcing, defending, giving up;
//! * [`gratuitous`]: when to announce again.

pub mod arp;
pub mod custody;
pub mod gratuitous;
pub mod ndp;
pub mod responder;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group (multicast or broadcast), so nobody can own it.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// All zero, as in "not known".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMac;

impl FromStr for Mac {
    type Err = NoMac;

    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NoMac)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMac)?;
        }
        parts.next().is_none().then_some(Self(bytes)).ok_or(NoMac)
    }
}

/// Takes `N` bytes at `offset`; none if the frame ends before.
fn take<const N: usize>(frame: &[u8], offset: usize) -> Option<[u8; N]> {
    frame.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
