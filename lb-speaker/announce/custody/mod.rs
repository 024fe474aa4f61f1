//! The life of one address: probing, announcing, defending it, giving it up.
//!
//! Driven by time and by what others say of the address (RFC 5227); says what to send. Invariant:
//! nothing is announced or answered on an interface before it was probed there without objection,
//! but for an address that moves between our own nodes where they hear one another. One that is not
//! heard and may be alive stops answering as soon as it sees what we see: it is asked at shorter
//! steps, and again and again for [`HAND_OVER`], until nobody answers any more.
//!
//! Where two of our nodes do not hear one another, both take themselves for the owner. A claim that
//! is known to be of one of ours is therefore no foreign one: the node that comes first in the
//! election keeps the address, the other one leaves it at once, and asks for it every
//! [`RETRY_OURS`], so that it takes over when the first one dies.

mod rival;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use litemap::LiteMap;

use super::Mac;
use super::gratuitous::Schedule;
use super::responder::SightingKind;
use rival::Disputes;
pub use rival::Rival;

/// Probes before a first announcement.
pub const PROBES: u8 = 3;
/// Between two probes, and from the last one to the verdict. RFC 5227 §1.1 takes seconds for hosts
/// that may wait; whoever holds the address answers within a millisecond.
pub const PROBE_STEP: Duration = Duration::from_millis(66);
/// The same where a node of ours is to hand it over, and clients wait: who has it has answered by
/// then, too.
pub const HAND_OVER_STEP: Duration = Duration::from_millis(20);
/// How long after its answer such a node is asked again.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(15);
/// How long such a node may go on to answer before it counts as one that keeps the address.
pub const HAND_OVER: Duration = Duration::from_secs(1);
/// How long after a defence another claim means giving up (RFC 5227 §1.1, DEFEND_INTERVAL).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// From a first claim to the defence. Announcements come in pairs (request and reply form): the
/// second frame of one is not a second claim.
pub const DEFEND_DELAY: Duration = Duration::from_millis(20);
/// Between two defences against a node of ours, which may see things as we do and defend it too.
const DEFEND_STEP: Duration = Duration::from_secs(1);
/// How long a conflict rests before the address is probed again.
pub const RETRY: Duration = Duration::from_secs(30);
/// The same where the other one is, or may be, a node of ours that does not hear us.
pub const RETRY_OURS: Duration = Duration::from_secs(2);
/// How long probing waits where another station is probing too.
pub const YIELD: Duration = Duration::from_secs(1);
/// How often probing waits for others before it goes on regardless.
const YIELDS: u8 = 3;

/// Who had an address before this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Former {
    /// No node of ours, as far as is known: the LAN is asked whether it is free.
    #[default]
    Nobody,
    /// A node of ours that is not heard, and may still answer for it: it is asked until it stops,
    /// which is soon where it sees what this node sees.
    Unheard,
    /// A node of ours that is heard, and knows by the same election that the address moved; or that
    /// was heard until it died. Nobody is asked: clients wait.
    Heard,
}

/// One address in our care.
#[derive(Clone, Debug)]
pub struct Custody {
    interval: Duration,
    interfaces: LiteMap<u32, Phase>,
    /// It was on an interface: who had it before counts no longer.
    placed: bool,
    /// Until then a node of ours may still hand it over.
    hand_over: Option<Instant>,
    /// The last verdict was that somebody else uses it; kept while it is probed again.
    conflict: Option<Conflict>,
    /// Given up until then.
    resting: Option<Instant>,
    /// Somebody claims it, and that is to be answered.
    claimed: Option<Claimed>,
    defended: Option<Instant>,
    /// Nodes of ours that speak of it as if it were not ours.
    disputes: Disputes,
    yields: u8,
}

/// A claim that is to be answered.
#[derive(Clone, Copy, Debug)]
struct Claimed {
    at: Instant,
    interface: u32,
    mac: Mac,
    rival: Rival,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Probing { sent: u8, next: Instant },
    Announcing(Schedule),
}

/// Somebody else uses the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who.
    pub mac: Mac,
    /// On which interface.
    pub interface: u32,
    /// What is known of it.
    pub rival: Rival,
    /// Since when.
    pub since: Instant,
}

/// What to send, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Send {
    /// A probe on this interface.
    Probe(u32),
    /// An announcement on this interface.
    Announce(u32),
}

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No interface.
    Nowhere,
    /// Not yet announced on any.
    Probing,
    /// Announced on at least one.
    Announcing,
    /// Given up, for the time being.
    Conflict(Conflict),
}

impl Custody {
    /// An address without interfaces; announced again once an `interval` (zero: never).
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            interfaces: LiteMap::new(),
            placed: false,
            hand_over: None,
            conflict: None,
            resting: None,
            claimed: None,
            defended: None,
            disputes: Disputes::default(),
            yields: 0,
        }
    }

    /// Sets where it is to be announced; new interfaces are probed first, unless a node of
    /// ours had the address that this one hears; others go on.
    pub fn set_interfaces(&mut self, now: Instant, interfaces: &[u32], former: Former) {
        // Of an interface that comes later nothing is known.
        let former = if self.placed { Former::Nobody } else { former };
        self.placed |= !interfaces.is_empty();
        if former == Former::Unheard && self.placed {
            self.hand_over = Some(now + HAND_OVER);
        }
        self.interfaces
            .retain(|interface, _| interfaces.contains(interface));
        if self.interfaces.is_empty() {
            self.interfaces = LiteMap::with_capacity(interfaces.len());
        }
        for &interface in interfaces {
            let interval = self.interval;
            self.interfaces.entry(interface).or_insert_with(|| {
                if former == Former::Heard {
                    Phase::Announcing(Schedule::new(now, interval))
                } else {
                    Phase::Probing { sent: 0, next: now }
                }
            });
        }
    }

    /// Another node of ours is heard again, and may have spoken for the address meanwhile: a burst,
    /// wherever it is announced; and where it was given up, perhaps to that node, it is asked for.
    pub fn announce_again(&mut self, now: Instant) {
        if self.resting.is_some() {
            self.resting = Some(now);
        }
        for (_, phase) in &mut self.interfaces {
            if let Phase::Announcing(schedule) = phase {
                schedule.trigger(now);
            }
        }
    }

    /// The interface has its carrier back: neighbours may have forgotten, or sit behind another
    /// switch now.
    pub fn carrier_up(&mut self, now: Instant, interface: u32) {
        if let Some(Phase::Announcing(schedule)) = self.interfaces.get_mut(&interface) {
            schedule.trigger(now);
        }
    }

    /// Another station speaks of the address. `ours` is the interface's MAC address.
    pub fn sighted(
        &mut self,
        now: Instant,
        interface: u32,
        ours: Mac,
        mac: Mac,
        kind: SightingKind,
        rival: Rival,
    ) {
        if self.resting.is_some() {
            if let (Some(conflict), SightingKind::Claim) = (&mut self.conflict, kind) {
                conflict.mac = mac;
                conflict.interface = interface;
                conflict.rival = rival;
            }
            return;
        }
        let Some(phase) = self.interfaces.get_mut(&interface) else {
            return;
        };
        if matches!(phase, Phase::Announcing(_)) && rival.is_ours() {
            self.disputes.note(now, interface, mac);
        }
        match (phase, kind) {
            (Phase::Announcing(_), SightingKind::Probe) => {} // answering it is the defence
            (Phase::Announcing(_), SightingKind::Claim) => {
                let again = self
                    .defended
                    .is_some_and(|defended| now < defended + DEFEND_INTERVAL);
                if again && !rival.is_ours() {
                    self.give_up(now, interface, mac, rival);
                } else if self.claimed.is_none_or(|claimed| {
                    // It gives us up at once; a pending answer to another one must not hide it.
                    rival == Rival::First && claimed.rival != Rival::First
                }) {
                    let soonest = now + DEFEND_DELAY;
                    let step = self.defended.filter(|_| rival == Rival::Second);
                    let at = step.map_or(soonest, |defended| soonest.max(defended + DEFEND_STEP));
                    self.claimed = Some(Claimed {
                        at,
                        interface,
                        mac,
                        rival,
                    });
                }
            }
            // Ours by the election, which it is about to see.
            (Phase::Probing { sent, next }, SightingKind::Claim)
                if rival == Rival::Second && self.hand_over.is_some_and(|until| now < until) =>
            {
                *sent = 0;
                *next = now + HAND_OVER_PAUSE;
            }
            // Who has it keeps it, one of ours too: it is there, and serves.
            (Phase::Probing { .. }, SightingKind::Claim) => {
                self.give_up(now, interface, mac, rival);
            }
            // Both ask at the same time: the lower MAC address goes on, the other waits to see
            // whether it is taken then. Somebody who asks for ever does not hold us up for ever.
            (Phase::Probing { sent, next }, SightingKind::Probe) => {
                if mac < ours && self.yields < YIELDS {
                    self.yields += 1;
                    *sent = 0;
                    *next = now + YIELD;
                }
            }
        }
    }

    fn give_up(&mut self, now: Instant, interface: u32, mac: Mac, rival: Rival) {
        self.conflict = Some(Conflict {
            mac,
            interface,
            rival,
            since: self.conflict.map_or(now, |conflict| conflict.since),
        });
        self.resting = Some(match rival {
            Rival::Stranger => now + RETRY,
            Rival::PerhapsOurs | Rival::First | Rival::Second => now + RETRY_OURS,
        });
        self.claimed = None;
        self.defended = None;
        self.hand_over = None;
        self.disputes.clear();
    }

    /// Moves time on; returns what is to be sent now.
    pub fn tick(&mut self, now: Instant) -> Vec<Send> {
        let mut send = Vec::new();
        if let Some(retry) = self.resting {
            if now < retry {
                return send;
            }
            self.resting = None;
            for (_, phase) in &mut self.interfaces {
                *phase = Phase::Probing { sent: 0, next: now };
            }
        }
        self.disputes.forget(now);
        if let Some(claimed) = self.claimed.filter(|claimed| claimed.at <= now) {
            if claimed.rival == Rival::First {
                self.give_up(now, claimed.interface, claimed.mac, claimed.rival);
                return send;
            }
            self.claimed = None;
            self.defended = Some(now);
            for (&interface, phase) in &mut self.interfaces {
                if let Phase::Announcing(_) = phase {
                    send.push(Send::Announce(interface));
                }
            }
        }
        let step = self.hand_over.map_or(PROBE_STEP, |_| HAND_OVER_STEP);
        let mut announced = false;
        for (&interface, phase) in &mut self.interfaces {
            match phase {
                Phase::Probing { sent, next } if *next <= now => {
                    if *sent < PROBES {
                        *sent += 1;
                        *next = now + step;
                        send.push(Send::Probe(interface));
                    } else {
                        let mut schedule = Schedule::new(now, self.interval);
                        schedule.due(now);
                        *phase = Phase::Announcing(schedule);
                        send.push(Send::Announce(interface));
                        self.yields = 0;
                        self.conflict = None;
                        announced = true;
                    }
                }
                Phase::Announcing(schedule) => {
                    if schedule.due(now) {
                        send.push(Send::Announce(interface));
                    }
                }
                Phase::Probing { .. } => {}
            }
        }
        if announced {
            self.hand_over = None;
        }
        send
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next(&self) -> Option<Instant> {
        if self.resting.is_some() {
            return self.resting;
        }
        self.interfaces
            .values()
            .filter_map(|phase| match phase {
                Phase::Probing { next, .. } => Some(*next),
                Phase::Announcing(schedule) => schedule.next(),
            })
            .chain(self.claimed.map(|claimed| claimed.at))
            .chain(self.disputes.next())
            .min()
    }

    /// The interfaces on which requests are answered.
    pub fn answering(&self) -> Vec<u32> {
        if self.resting.is_some() {
            return Vec::new();
        }
        self.interfaces
            .iter()
            .filter(|(_, phase)| matches!(phase, Phase::Announcing(_)))
            .map(|(interface, _)| *interface)
            .collect()
    }

    /// Whether it is probed or announced on an interface.
    pub fn is_on(&self, interface: u32) -> bool {
        self.interfaces.contains_key(&interface)
    }

    /// The nodes of ours that go on to speak of the address as if it were not ours, and where.
    pub fn disputed(&self) -> Vec<(Mac, u32)> {
        self.disputes.lasting()
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let announcing = |phase: &Phase| matches!(phase, Phase::Announcing(_));
        let announced = self.interfaces.values().any(announcing);
        match self.conflict {
            _ if self.interfaces.is_empty() => Standing::Nowhere,
            _ if announced && self.resting.is_none() => Standing::Announcing,
            Some(conflict) => Standing::Conflict(conflict),
            None => Standing::Probing,
        }
    }
}
