//! Who else speaks of an address, and how long two of our nodes go on to differ about it.

use std::time::{Duration, Instant};

use crate::announce::Mac;

/// Who else speaks of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Nobody that is known.
    Stranger,
    /// Nobody that is known; but there are nodes of ours whose MAC addresses are not.
    PerhapsOurs,
    /// A node of ours that comes before this one in the election.
    First,
    /// A node of ours that comes after it.
    Second,
}

impl Rival {
    /// Whether it is known to be a node of ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }
}

/// How long words of one of ours must go on before they are more than an address that moves.
const LASTING: Duration = Duration::from_secs(1);
/// How long after its last word it is over.
const OVER: Duration = Duration::from_secs(10);

/// A node of ours speaks of an address that this one announces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispute {
    mac: Mac,
    interface: u32,
    since: Instant,
    last: Instant,
}

impl Dispute {
    pub(super) fn note(dispute: &mut Option<Self>, now: Instant, interface: u32, mac: Mac) {
        let since = match dispute {
            Some(before) if before.mac == mac && now < before.ends() => before.since,
            _ => now,
        };
        *dispute = Some(Self {
            mac,
            interface,
            since,
            last: now,
        });
    }

    pub(super) fn ends(self) -> Instant {
        self.last + OVER
    }

    /// Who and where, once it lasts.
    pub(super) fn lasting(self) -> Option<(Mac, u32)> {
        (self.last >= self.since + LASTING).then_some((self.mac, self.interface))
    }
}
