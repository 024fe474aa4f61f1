//! The flow table: found by path, ended by age, never above its bound.
//!
//! Two lists in order of use, as conntrack has them: flows that got a reply, and flows that did
//! not. When room is needed the oldest without a reply goes first, so that a flood of forged
//! sources does not push out clients that are really there. Every operation is O(1).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::net::datagram::Path;

/// A place in the table; stale once its flow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowId {
    slot: u32,
    serial: u32,
}

/// Flows of one listening socket.
#[derive(Debug)]
pub(super) struct Flows<T> {
    index: HashMap<Path, u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// By [`Slot::replied`]: newest first.
    lists: [List; 2],
}

#[derive(Debug)]
struct Slot<T> {
    serial: u32,
    path: Path,
    used: Instant,
    replied: bool,
    newer: Option<u32>,
    older: Option<u32>,
    /// None: the slot is free.
    value: Option<T>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    newest: Option<u32>,
    oldest: Option<u32>,
}

impl<T> Default for Flows<T> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            lists: [List::default(); 2],
        }
    }
}

impl<T> Flows<T> {
    /// Flows that are there.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The flow of a path.
    pub fn find(&self, path: &Path) -> Option<FlowId> {
        let slot = *self.index.get(path)?;
        let serial = self.slot(slot)?.serial;
        Some(FlowId { slot, serial })
    }

    /// What belongs to a flow; none if it has ended.
    pub fn get(&self, id: FlowId) -> Option<&T> {
        let slot = self.slot(id.slot)?;
        (slot.serial == id.serial).then_some(slot.value.as_ref())?
    }

    /// What belongs to each flow, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// The id that the next [`Flows::insert`] gives.
    pub fn next_id(&self) -> FlowId {
        match self.free.last() {
            Some(&slot) => FlowId {
                slot,
                serial: self.slot(slot).map_or(0, |s| s.serial),
            },
            None => FlowId {
                slot: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
                serial: 0,
            },
        }
    }

    /// Adds a flow; the caller has seen that the path has none and that there is room.
    pub fn insert(&mut self, path: Path, value: T, now: Instant) -> FlowId {
        let id = self.next_id();
        if self.free.pop().is_none() {
            self.slots.push(Slot {
                serial: 0,
                path,
                used: now,
                replied: false,
                newer: None,
                older: None,
                value: None,
            });
        }
        if let Some(slot) = self.slot_mut(id.slot) {
            slot.path = path;
            slot.used = now;
            slot.replied = false;
            slot.value = Some(value);
        }
        self.index.insert(path, id.slot);
        self.link(id.slot);
        id
    }

    /// Notes that a flow was used; `replied` once the endpoint answered.
    pub fn touch(&mut self, id: FlowId, replied: bool, now: Instant) {
        if self.get(id).is_none() {
            return;
        }
        self.unlink(id.slot);
        if let Some(slot) = self.slot_mut(id.slot) {
            slot.used = now;
            slot.replied |= replied;
        }
        self.link(id.slot);
    }

    /// Ends a flow.
    pub fn remove(&mut self, id: FlowId) -> Option<T> {
        self.get(id)?;
        self.unlink(id.slot);
        let slot = self.slot_mut(id.slot)?;
        slot.serial = slot.serial.wrapping_add(1);
        let path = slot.path;
        let value = slot.value.take();
        self.index.remove(&path);
        self.free.push(id.slot);
        value
    }

    /// Ends the flow that is to make room: the oldest without a reply, else the oldest.
    pub fn evict(&mut self) -> Option<T> {
        let [unreplied, replied] = self.lists;
        let slot = unreplied.oldest.or(replied.oldest)?;
        let id = self.id(slot)?;
        self.remove(id)
    }

    /// Ends one flow that was not used for `idle`; to be called until it says none.
    pub fn expire(&mut self, idle: Duration, now: Instant) -> Option<T> {
        let expired = self.lists.iter().find_map(|list| {
            let slot = list.oldest?;
            let used = self.slot(slot)?.used;
            (now.saturating_duration_since(used) >= idle).then_some(slot)
        })?;
        let id = self.id(expired)?;
        self.remove(id)
    }

    /// Ends every flow that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        let unwanted: Vec<u32> = (0u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.value.as_ref().is_some_and(|value| !keep(value)))
            .map(|(at, _)| at)
            .collect();
        unwanted
            .into_iter()
            .filter_map(|slot| {
                let id = self.id(slot)?;
                self.remove(id)
            })
            .collect()
    }

    fn id(&self, slot: u32) -> Option<FlowId> {
        let serial = self.slot(slot)?.serial;
        Some(FlowId { slot, serial })
    }

    fn slot(&self, at: u32) -> Option<&Slot<T>> {
        self.slots.get(at as usize)
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(at as usize)
    }

    fn list_mut(&mut self, replied: bool) -> &mut List {
        let [without, with] = &mut self.lists;
        if replied { with } else { without }
    }

    /// Puts a slot at the newest end of its list.
    fn link(&mut self, at: u32) {
        let Some(replied) = self.slot(at).map(|slot| slot.replied) else {
            return;
        };
        let list = self.list_mut(replied);
        let second = list.newest.replace(at);
        list.oldest.get_or_insert(at);
        if let Some(slot) = self.slot_mut(at) {
            slot.newer = None;
            slot.older = second;
        }
        if let Some(second) = second.and_then(|second| self.slot_mut(second)) {
            second.newer = Some(at);
        }
    }

    /// Takes a slot out of its list.
    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else {
            return;
        };
        let (newer, older, replied) = (slot.newer, slot.older, slot.replied);
        match newer.and_then(|newer| self.slot_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.list_mut(replied).newest = older,
        }
        match older.and_then(|older| self.slot_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.list_mut(replied).oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(client: u16) -> Path {
        Path {
            client: ([192, 0, 2, 1], client).into(),
            local: [198, 51, 100, 1].into(),
            interface: 0,
        }
    }

    #[test]
    fn the_oldest_without_a_reply_makes_room_first() {
        let start = Instant::now();
        let mut flows = Flows::default();
        let first = flows.insert(path(1), 1, start);
        flows.insert(path(2), 2, start);
        flows.insert(path(3), 3, start);
        flows.touch(first, true, start);
        assert_eq!(flows.evict(), Some(2));
        assert_eq!(flows.evict(), Some(3));
        assert_eq!(flows.evict(), Some(1));
        assert_eq!(flows.evict(), None);
        assert_eq!(flows.len(), 0);
    }

    #[test]
    fn flows_expire_by_last_use() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut flows = Flows::default();
        let first = flows.insert(path(1), 1, start);
        flows.insert(path(2), 2, start);
        flows.touch(first, false, start + 5 * second);
        assert_eq!(flows.expire(10 * second, start + 9 * second), None);
        assert_eq!(flows.expire(10 * second, start + 10 * second), Some(2));
        assert_eq!(flows.expire(10 * second, start + 14 * second), None);
        assert_eq!(flows.expire(10 * second, start + 15 * second), Some(1));
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let now = Instant::now();
        let mut flows = Flows::default();
        let old = flows.insert(path(1), 1, now);
        assert_eq!(flows.remove(old), Some(1));
        let new = flows.insert(path(2), 2, now);
        assert_eq!(flows.get(old), None);
        assert_eq!(flows.remove(old), None);
        flows.touch(old, true, now);
        assert_eq!(flows.get(new), Some(&2));
        assert_eq!(flows.find(&path(2)), Some(new));
        assert_eq!(flows.find(&path(1)), None);
    }

    /// The lists hold what a plain model holds, after any sequence of operations.
    #[test]
    fn the_lists_agree_with_a_plain_model() {
        let start = Instant::now();
        let mut flows = Flows::default();
        let mut model: Vec<(u16, bool)> = Vec::new(); // oldest first
        let mut seed = 7u32;
        for step in 0..20_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let client = (seed >> 16) as u16 % 32;
            let now = start + Duration::from_millis(step.into());
            let at = model.iter().position(|(c, _)| *c == client);
            match (flows.find(&path(client)), seed >> 8 & 7) {
                (None, 0..6) => {
                    assert_eq!(at, None);
                    flows.insert(path(client), client, now);
                    model.push((client, false));
                }
                (Some(id), 0..5) => {
                    let (_, had) = model.remove(at.unwrap());
                    let reply = seed & 1 == 1;
                    flows.touch(id, reply, now);
                    model.push((client, had || reply));
                }
                (Some(id), 5) => {
                    model.remove(at.unwrap());
                    assert_eq!(flows.remove(id), Some(client));
                }
                _ => {
                    let oldest = model.iter().position(|(_, replied)| !replied);
                    let oldest = oldest.or((!model.is_empty()).then_some(0));
                    let expected = oldest.map(|at| model.remove(at).0);
                    assert_eq!(flows.evict(), expected);
                }
            }
            assert_eq!(flows.len(), model.len());
        }
    }
}
