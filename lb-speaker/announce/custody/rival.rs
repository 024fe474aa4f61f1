//! Who else speaks of an address, and how long two of our nodes go on to differ about it.

use std::collections::BTreeMap;
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

/// More nodes than this at once are not told apart.
const MOST: usize = 16;

/// The nodes of ours that speak of an address that this one announces.
#[derive(Clone, Debug, Default)]
pub(super) struct Disputes(BTreeMap<Mac, Dispute>);

#[derive(Clone, Copy, Debug)]
struct Dispute {
    interface: u32,
    since: Instant,
    last: Instant,
}

impl Disputes {
    pub(super) fn note(&mut self, now: Instant, interface: u32, mac: Mac) {
        self.forget(now);
        if let Some(dispute) = self.0.get_mut(&mac) {
            dispute.last = now;
            dispute.interface = interface;
        } else if self.0.len() < MOST {
            let dispute = Dispute {
                interface,
                since: now,
                last: now,
            };
            self.0.insert(mac, dispute);
        }
    }

    /// Those that are over go.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, dispute| now < dispute.last + OVER);
    }

    /// When the next one may be over.
    pub(super) fn next(&self) -> Option<Instant> {
        let disputes = self.0.values();
        disputes.map(|dispute| dispute.last + OVER).min()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Who and where, of those that last.
    pub(super) fn lasting(&self) -> Vec<(Mac, u32)> {
        let lasting = self.0.iter();
        let lasting = lasting.filter(|(_, dispute)| dispute.last >= dispute.since + LASTING);
        lasting
            .map(|(mac, dispute)| (*mac, dispute.interface))
            .collect()
    }
}
