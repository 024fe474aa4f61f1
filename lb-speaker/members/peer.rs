//! What is known of one other node.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::announce::Mac;

use super::{Heartbeat, PeerState, Refusal};

/// How many ended incarnations of a node are remembered.
const RETIRED: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The incarnation that was proven to be of our time.
    current: Option<Heard>,
    /// Another one that has not yet named us; it may be a replay.
    candidate: Option<Heard>,
    alive: bool,
    /// The last that was heard of it is that it stops.
    left: bool,
    /// Since when it may own addresses.
    able: Option<Instant>,
    retired: VecDeque<u64>,
    /// Its MAC addresses, as it said last.
    macs: Vec<Mac>,
    heard_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    incarnation: u64,
    sequence: u64,
    at: Instant,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            current: None,
            candidate: None,
            alive: false,
            left: false,
            able: None,
            retired: VecDeque::new(),
            macs: Vec::new(),
            heard_at: now,
        }
    }

    /// Takes in a heartbeat of this node; true if it is of an incarnation that was not heard yet.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        heartbeat: &Heartbeat,
        ours: u64,
    ) -> Result<bool, Refusal> {
        let heard = Heard {
            incarnation: heartbeat.incarnation,
            sequence: heartbeat.sequence,
            at: now,
        };
        if self.retired.contains(&heard.incarnation) {
            return Err(Refusal::Replayed);
        }
        let known = [self.current, self.candidate]
            .into_iter()
            .flatten()
            .find(|known| known.incarnation == heard.incarnation);
        if known.is_some_and(|known| heard.sequence <= known.sequence) {
            return Err(Refusal::Replayed);
        }
        let current = self.current.map(|current| current.incarnation) == Some(heard.incarnation);
        if current || heartbeat.heard.contains(&ours) {
            if !current {
                self.retire();
                self.candidate = None;
            }
            self.current = Some(heard);
            self.heard_at = now;
            self.alive = true;
            self.left = heartbeat.leaving;
            self.macs.clone_from(&heartbeat.macs);
            let able_for = Duration::from_millis(heartbeat.able_for.into());
            let since = now.checked_sub(able_for).unwrap_or(now);
            // The first word tells best: later ones were under way for longer or shorter.
            self.able = heartbeat.able.then(|| self.able.unwrap_or(since));
            if heartbeat.leaving {
                self.retire();
            }
        } else {
            self.candidate = Some(heard);
        }
        Ok(known.is_none())
    }

    /// Nothing more is believed of the current incarnation.
    fn retire(&mut self) {
        self.alive = false;
        self.able = None;
        if let Some(current) = self.current.take() {
            self.retired.push_back(current.incarnation);
            if self.retired.len() > RETIRED {
                self.retired.pop_front();
            }
        }
    }

    /// We did not listen for a while.
    pub(super) fn excuse(&mut self, held_up: Duration, now: Instant) {
        if held_up.is_zero() {
            return;
        }
        self.heard_at = (self.heard_at + held_up).min(now);
        for heard in [&mut self.current, &mut self.candidate]
            .into_iter()
            .flatten()
        {
            heard.at = (heard.at + held_up).min(now);
        }
    }

    pub(super) fn tick(&mut self, now: Instant, timeout: Duration) {
        if self.alive && now >= self.heard_at + timeout {
            self.alive = false;
            self.able = None;
        }
        if self
            .candidate
            .is_some_and(|heard| now >= heard.at + timeout)
        {
            self.candidate = None;
        }
    }

    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.alive.then(|| self.heard_at + timeout)
    }

    /// The incarnation to name, so that the node knows that it is heard.
    pub(super) fn incarnation(&self) -> Option<u64> {
        let current = self.current.filter(|_| self.alive);
        let heard = self.candidate.or(current)?;
        Some(heard.incarnation)
    }

    pub(super) fn is_current(&self, incarnation: u64) -> bool {
        self.alive && self.current.map(|heard| heard.incarnation) == Some(incarnation)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Whether it said that it stops, and is not back.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// Nothing at all is heard of it.
    pub(super) fn is_silent(&self) -> bool {
        !self.alive && self.candidate.is_none()
    }

    /// Its incarnations, and up to which sequence each was heard; of those that ended nothing more is
    /// believed.
    pub(super) fn incarnations(&self) -> impl Iterator<Item = (u64, u64)> {
        let retired = self
            .retired
            .iter()
            .map(|incarnation| (*incarnation, u64::MAX));
        let current = self.current.iter();
        retired.chain(current.map(|heard| (heard.incarnation, heard.sequence)))
    }

    pub(super) fn is_able(&self) -> bool {
        self.alive && self.able.is_some()
    }

    /// Whether it serves since before a time.
    pub(super) fn serves_since(&self, time: Instant) -> bool {
        self.alive && self.able.is_some_and(|since| since < time)
    }

    /// Its MAC addresses; kept when it is gone.
    pub(super) fn macs(&self) -> &[Mac] {
        &self.macs
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    pub(super) fn state(&self) -> PeerState {
        match (self.alive, self.able.is_some()) {
            (true, true) => PeerState::Able,
            (true, false) => PeerState::Waiting,
            (false, _) => PeerState::Gone,
        }
    }
}
