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

/// Takes `N` bytes at `offset`; none if the frame ends before.
fn take<const N: usize>(frame: &[u8], offset: usize) -> Option<[u8; N]> {
    frame.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
