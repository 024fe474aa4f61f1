//! Who is alive: heartbeats in, the nodes that may own addresses out. No socket and no clock.
//!
//! Every node sends to every other one, ten times a second. A node that was not heard for four
//! heartbeats is gone; one that stops says so. Replays are refused: a heartbeat counts only with a
//! greater sequence than the last one of its incarnation, and a new incarnation only when its
//! heartbeat names ours, which nobody could know before we started.
//!
//! A node that starts, or whose link comes back, waits before it may own anything: a second to
//! hear others; and where one of them served before, [`Timing::hold_down`] from when it was heard.
//! Nodes that start together do not hold one another up.

mod forgotten;
mod peer;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::announce::Mac;

use forgotten::Forgotten;
use peer::Peer;
pub use wire::{Heartbeat, Key, Malformed};

/// The most peers that are known; a further one takes the place of one that is gone. A heartbeat has
/// room to name so many.
pub const MAX_PEERS: usize = wire::MAX_HEARD;
/// A node that is gone for so long is forgotten, unless it is to be there: its name, and what its
/// MAC addresses were.
pub const FORGET: Duration = Duration::from_secs(600);
/// Others that fall silent within this time of a lost carrier were heard by way of that interface.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How often a node looks at the time that nobody listens to.
const UNHEARD: Duration = Duration::from_secs(2);

/// Of all nodes that would announce, this one among them, those that do: [`MAX_PEERS`] and one, the
/// first by name, so that all nodes that know the same names leave out the same ones.
pub fn taking_part(all: &BTreeSet<String>) -> BTreeSet<String> {
    all.iter().take(MAX_PEERS + 1).cloned().collect()
}

/// How fast things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub interval: Duration,
    /// How long a silent node counts as alive.
    pub timeout: Duration,
    /// How long a node that starts waits for others to be heard.
    pub settle: Duration,
    /// How long a node that comes back leaves addresses with those who serve them.
    pub hold_down: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(400),
            settle: Duration::from_secs(1),
            hold_down: Duration::from_secs(5),
        }
    }
}

/// Who is there, as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    /// The nodes that may own addresses; this one is among them unless [`own`](Self::own) says why
    /// not.
    pub able: BTreeSet<String>,
    /// How it stands with this node.
    pub own: Own,
    /// All others that are known.
    pub peers: BTreeMap<String, PeerState>,
    /// Those of them that said that they stop, and are not back.
    pub left: BTreeSet<String>,
    /// Greater each time that a node comes (back): others may have spoken for our addresses
    /// meanwhile, so that they are to be announced again.
    pub arrivals: u64,
    /// The MAC addresses of all others that were ever heard.
    pub macs: BTreeMap<Mac, String>,
    /// Why no heartbeat can be sent or heard.
    pub trouble: Option<String>,
    /// Nodes that are heard under a former key only, a minute after it was changed or longer.
    pub behind: BTreeSet<String>,
}

/// How it stands with this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// It waits to hear others.
    #[default]
    Settling,
    /// Others serve; it waits until its network forwards for sure.
    HoldDown,
    /// No interface can announce.
    LinkDown,
    /// It stops.
    Leaving,
    /// It may own addresses.
    Able,
}

/// Another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It is heard, and may own addresses.
    Able,
    /// It is heard, and may not: it starts, or has no link.
    Waiting,
    /// It is not heard any more.
    Gone,
}

/// Why a heartbeat does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Our own.
    Reflected,
    /// Another node has our name.
    SameName,
    /// It was heard before, or is older than the last one.
    Replayed,
    /// There are too many nodes.
    TooMany,
}

/// The state of one node's view.
#[derive(Clone, Debug)]
pub struct Detector {
    name: String,
    incarnation: u64,
    sequence: u64,
    timing: Timing,
    macs: Vec<Mac>,
    expected: usize,
    /// The names of those that are to be there, where they are known.
    names: Option<BTreeSet<String>>,
    /// Since when it is known who the others are.
    told: Option<Instant>,
    peers: BTreeMap<String, Peer>,
    forgotten: Forgotten,
    ticked: Instant,
    /// When it was to be ticked again at the latest.
    due: Instant,
    beat_at: Instant,
    /// Since when an interface can announce; none: none can.
    link: Option<Instant>,
    /// When a peer was heard first since the link is there.
    met: Option<Instant>,
    /// When an interface of several lost its carrier last.
    carrier_lost: Option<Instant>,
    /// When the last peer that was alive fell silent; none: one is alive, or none was yet.
    alone: Option<Instant>,
    own: Own,
    /// Since when it is so.
    own_since: Instant,
    arrivals: u64,
}

impl View {
    /// Whether somebody takes over when this node says that it stops: who is heard, and waits only
    /// because this node serves, does so at once.
    pub fn has_heirs(&self) -> bool {
        let mut states = self.peers.values();
        states.any(|state| *state != PeerState::Gone)
    }
}

impl Detector {
    /// A node that just started. `incarnation` is drawn by chance; `expected` is how many peers
    /// there are to be; none: that will be told ([`expect`](Self::expect)), and this node waits
    /// for it.
    pub fn new(
        name: impl Into<String>,
        incarnation: u64,
        timing: Timing,
        expected: Option<usize>,
        now: Instant,
    ) -> Self {
        Self {
            name: name.into(),
            incarnation,
            sequence: 0,
            timing,
            macs: Vec::new(),
            expected: expected.unwrap_or_default(),
            names: None,
            told: expected.map(|_| now),
            peers: BTreeMap::new(),
            forgotten: Forgotten::default(),
            ticked: now,
            due: now + timing.interval,
            beat_at: now,
            link: Some(now),
            met: None,
            carrier_lost: None,
            alone: None,
            own: Own::Settling,
            own_since: now,
            arrivals: 0,
        }
    }

    /// There are to be these peers now.
    pub fn expect(&mut self, now: Instant, peers: BTreeSet<String>) {
        self.told.get_or_insert(now);
        self.expected = peers.len();
        self.names = Some(peers);
        self.judge(now);
    }

    /// Nobody could be heard until now: the time to hear others begins.
    pub fn hears_from_now_on(&mut self, now: Instant) {
        self.told = self.told.map(|_| now);
    }

    /// This node announces with these MAC addresses.
    pub fn set_macs(&mut self, macs: Vec<Mac>) {
        self.macs = macs;
    }

    /// Whether an interface of this node can announce.
    pub fn set_link(&mut self, now: Instant, up: bool) {
        if self.own == Own::Leaving || up == self.link.is_some() {
            return;
        }
        self.link = up.then_some(now);
        self.met = None;
        self.set_own(now, if up { Own::Settling } else { Own::LinkDown });
    }

    /// An interface that could announce lost its carrier, or is gone, while another one still can:
    /// who falls silent now lives on behind it, perhaps.
    pub fn lose_carrier(&mut self, now: Instant) {
        self.carrier_lost = Some(now);
    }

    /// Whether all others fell silent because an interface of this node lost its carrier.
    fn was_cut_off(&self) -> bool {
        let (Some(alone), Some(lost)) = (self.alone, self.carrier_lost) else {
            return false;
        };
        self.own == Own::Able && lost <= alone + CUT_OFF && alone <= lost + CUT_OFF
    }

    /// This node stops: it may own nothing any more, and its heartbeats say so.
    pub fn leave(&mut self, now: Instant) {
        self.set_own(now, Own::Leaving);
    }

    fn set_own(&mut self, now: Instant, own: Own) {
        if self.own != own {
            self.own = own;
            self.own_since = now;
            // Others have to know at once.
            self.beat_at = now;
        }
    }

    /// Takes in a heartbeat that was proven to be under our key.
    ///
    /// # Errors
    /// It does not count.
    pub fn receive(&mut self, now: Instant, heartbeat: &Heartbeat) -> Result<(), Refusal> {
        if heartbeat.name == self.name {
            return Err(if heartbeat.incarnation == self.incarnation {
                Refusal::Reflected
            } else {
                Refusal::SameName
            });
        }
        // Also of a node that is back: what it said before it was forgotten is no news of it.
        if self.forgotten.holds(heartbeat) {
            return Err(Refusal::Replayed);
        }
        if !self.peers.contains_key(&heartbeat.name) && self.peers.len() >= MAX_PEERS {
            let oldest = self.longest_gone(|_| true).ok_or(Refusal::TooMany)?;
            self.forget(&oldest);
        }
        let peer = self
            .peers
            .entry(heartbeat.name.clone())
            .or_insert_with(|| Peer::new(now));
        let was_alive = peer.is_alive();
        let new = peer.receive(now, heartbeat, self.incarnation)?;
        let arrives = !was_alive && peer.is_alive();
        // One that was dead, or stopped, has not served meanwhile; one that was only not heard has.
        let served_on = self.alone.is_some_and(|alone| peer.serves_since(alone));
        if arrives {
            self.arrivals += 1;
            self.met = self.met.or(Some(now));
            if served_on && self.was_cut_off() {
                // The cable is back: as for any link that comes back.
                (self.link, self.met) = (Some(now), Some(now));
                self.set_own(now, Own::Settling);
            }
            self.alone = None;
        }
        if new {
            // It waits for its incarnation in one of ours.
            self.beat_at = now;
        }
        self.judge(now);
        Ok(())
    }

    /// Of the peers that are gone and `may` be forgotten, the one that is gone for longest.
    fn longest_gone(&self, may: impl Fn(&str) -> bool) -> Option<String> {
        let gone = self.peers.iter().filter(|(_, peer)| peer.is_silent());
        let gone = gone.filter(|(name, _)| may(name));
        let oldest = gone.min_by_key(|(_, peer)| peer.heard_at());
        oldest.map(|(name, _)| name.clone())
    }

    fn forget(&mut self, name: &str) {
        if let Some(peer) = self.peers.remove(name) {
            self.forgotten.note(peer.incarnations());
        }
    }

    /// Forgets who is gone for long: everybody who is not to be there; where only the number is known,
    /// those that are more.
    fn forget_gone(&mut self, now: Instant) {
        loop {
            let may = |name: &str| match &self.names {
                Some(names) => !names.contains(name),
                None => self.peers.len() > self.expected,
            };
            let Some(name) = self.longest_gone(may) else {
                return;
            };
            let heard = self.peers.get(&name).map(Peer::heard_at);
            if heard.is_none_or(|heard| now < heard + FORGET) {
                return;
            }
            self.forget(&name);
        }
    }

    /// Whether a heartbeat that was just [received](Self::receive) is of an incarnation that is
    /// proven to be alive now.
    pub fn hears(&self, heartbeat: &Heartbeat) -> bool {
        let peer = self.peers.get(&heartbeat.name);
        peer.is_some_and(|peer| peer.is_current(heartbeat.incarnation))
    }

    /// Moves time on; call it no later than [`next`](Self::next). True: a heartbeat is due.
    pub fn tick(&mut self, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.due);
        (self.ticked, self.due) = (now, now + self.timing.interval);
        // This process was held up: silence meanwhile says nothing of others. What they sent is
        // still to be read.
        let held_up = late.saturating_sub(self.timing.interval);
        let had_company = self.peers.values().any(Peer::is_alive);
        for peer in self.peers.values_mut() {
            peer.excuse(held_up, now);
            peer.tick(now, self.timing.timeout);
        }
        if had_company && !self.peers.values().any(Peer::is_alive) {
            self.alone = Some(now);
        }
        self.forget_gone(now);
        self.judge(now);
        let due = self.beat_at <= now;
        if due {
            self.beat_at = now + self.timing.interval;
        }
        due
    }

    /// Whether this node may own addresses by now. Once it may, it may as long as it has a link.
    fn judge(&mut self, now: Instant) {
        let (Some(since), Some(told)) = (self.link, self.told) else {
            return;
        };
        if matches!(self.own, Own::Able | Own::Leaving) {
            return;
        }
        let alive = self.peers.values().filter(|peer| peer.is_alive()).count();
        let served = self.peers.values().any(|peer| peer.serves_since(since));
        let own = if served {
            let from = self.met.map_or(since, |met| met.max(since));
            if now >= from + self.timing.hold_down {
                Own::Able
            } else {
                Own::HoldDown
            }
        } else if alive >= self.expected || now >= since.max(told) + self.timing.settle {
            Own::Able
        } else {
            Own::Settling
        };
        self.set_own(now, own);
    }

    /// When [`tick`](Self::tick) has something to do next. `speaks`: there is somebody to send
    /// heartbeats to; else a node whose own state waits for nothing has time.
    pub fn next(&mut self, speaks: bool) -> Instant {
        let waits = matches!(self.own, Own::Settling | Own::HoldDown);
        let own = match speaks || waits {
            true => self.beat_at,
            false => self.ticked + UNHEARD,
        };
        // Whoever is alive is judged by how long it is silent, and silence while this process is held
        // up begins with the next tick of a node that speaks.
        if !self.peers.values().any(Peer::is_alive) {
            self.due = self.due.max(own);
        }
        let deadlines = self
            .peers
            .values()
            .filter_map(|peer| peer.deadline(self.timing.timeout));
        deadlines.fold(own, Instant::min)
    }

    /// The heartbeat to send to everybody.
    pub fn heartbeat(&mut self, now: Instant) -> Heartbeat {
        self.sequence += 1;
        let heard = self.peers.values().filter_map(Peer::incarnation);
        Heartbeat {
            name: self.name.clone(),
            incarnation: self.incarnation,
            sequence: self.sequence,
            able: self.own == Own::Able,
            able_for: u32::try_from(now.saturating_duration_since(self.own_since).as_millis())
                .unwrap_or(u32::MAX),
            leaving: self.own == Own::Leaving,
            heard: heard.take(wire::MAX_HEARD).collect(),
            macs: self.macs.clone(),
        }
    }

    /// Who is there.
    pub fn view(&self) -> View {
        let able = self.peers.iter().filter(|(_, peer)| peer.is_able());
        let mut able: BTreeSet<String> = able.map(|(name, _)| name.clone()).collect();
        if self.own == Own::Able {
            able.insert(self.name.clone());
        }
        let peers = self.peers.iter();
        let left = self.peers.iter().filter(|(_, peer)| peer.has_left());
        let macs = self.peers.iter().flat_map(|(name, peer)| {
            let macs = peer.macs().iter();
            macs.map(|mac| (*mac, name.clone()))
        });
        View {
            able,
            own: self.own,
            peers: peers
                .map(|(name, peer)| (name.clone(), peer.state()))
                .collect(),
            left: left.map(|(name, _)| name.clone()).collect(),
            arrivals: self.arrivals,
            macs: macs.collect(),
            trouble: None,
            behind: BTreeSet::new(),
        }
    }
}
