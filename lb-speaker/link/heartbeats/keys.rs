//! The key of heartbeats, and those before it while nodes change over.
//!
//! A new key reaches the nodes at different moments: one may not see it for long, if its watch of
//! the API server hangs. So heartbeats are sent under the former key too, and believed under it, for
//! a minute; and then as long as a node is heard that is not heard under a newer one, so that nobody
//! is taken for dead because of a change. But not for ever ([`LONGEST`]): a key is changed because
//! somebody else may know it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::members::{Heartbeat, Key, MAX_PEERS, Malformed};

/// How long a former key counts at least: nodes that start meanwhile are not known yet.
pub(super) const CHANGE_OVER: Duration = Duration::from_secs(60);
/// How long a former key counts at most. A node that has not seen the Secret for ten minutes does not
/// see its Lease either, which others take for abandoned then; and who has got hold of the key can
/// use it no longer than this.
pub(super) const LONGEST: Duration = Duration::from_secs(600);
/// How long after the last heartbeat of a node that has only a former key that key goes on to count:
/// many heartbeats may be lost in a row, and it must not be lost with them.
const STILL_NEEDED: Duration = Duration::from_secs(10);
/// How many former keys are kept, for who changes them again and again.
const MOST_FORMER: usize = 3;

/// Which key of this process's life; greater is newer.
pub(super) type Generation = u64;

#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    current: Option<Key>,
    generation: Generation,
    /// Newest first.
    former: Vec<Former>,
    /// The newest key that each node was heard under.
    heard: BTreeMap<String, (Generation, Instant)>,
}

#[derive(Clone, Debug)]
struct Former {
    key: Key,
    generation: Generation,
    /// When it was replaced.
    since: Instant,
}

impl Keys {
    pub(super) fn new(key: Option<Key>) -> Self {
        Self {
            current: key,
            ..Self::default()
        }
    }

    /// Another one from now on.
    pub(super) fn change(&mut self, now: Instant, key: Key) {
        if let Some(key) = self.current.replace(key) {
            let former = Former {
                key,
                generation: self.generation,
                since: now,
            };
            self.former.insert(0, former);
            self.former.truncate(MOST_FORMER);
            self.generation += 1;
        }
    }

    /// No key was told yet.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    /// Those to sign with; none: nothing can be sent.
    pub(super) fn signing(&self, now: Instant) -> impl Iterator<Item = &Key> {
        self.counting(now).map(|(key, _)| key)
    }

    fn counting(&self, now: Instant) -> impl Iterator<Item = (&Key, Generation)> {
        let current = self.current.iter().map(|key| (key, self.generation));
        let former = self.former.iter();
        let former = former.filter(move |former| self.counts(now, former));
        current.chain(former.map(|former| (&former.key, former.generation)))
    }

    fn counts(&self, now: Instant, former: &Former) -> bool {
        let age = now.saturating_duration_since(former.since);
        let needed = || {
            let mut heard = self.heard.values();
            heard.any(|(generation, at)| {
                *generation == former.generation && now < *at + STILL_NEEDED
            })
        };
        age < CHANGE_OVER || (age < LONGEST && needed())
    }

    /// Reads what somebody sent, and says under which key it is.
    pub(super) fn decode(
        &self,
        now: Instant,
        bytes: &[u8],
    ) -> Result<(Heartbeat, Generation), Malformed> {
        let mut refused = Malformed::Key;
        for (key, generation) in self.counting(now) {
            match Heartbeat::decode(bytes, key) {
                Ok(heartbeat) => return Ok((heartbeat, generation)),
                Err(malformed) => refused = malformed,
            }
        }
        Err(refused)
    }

    /// A heartbeat of this node under that key was proven to be one of now.
    pub(super) fn heard(&mut self, now: Instant, node: &str, generation: Generation) {
        let room = self.heard.len() < MAX_PEERS;
        match self.heard.get_mut(node) {
            Some((newest, at)) if *newest <= generation => (*newest, *at) = (generation, now),
            None if room => {
                self.heard.insert(node.to_owned(), (generation, now));
            }
            Some(_) | None => {}
        }
    }

    /// Forgets nodes that are not heard any more: one that comes back may have an older key.
    pub(super) fn forget(&mut self, now: Instant) {
        self.heard.retain(|_, (_, at)| now < *at + STILL_NEEDED);
    }

    /// Nodes that are heard, and have not got the current key a minute after the change.
    pub(super) fn behind(&self, now: Instant) -> BTreeSet<String> {
        let late = |generation: &Generation| {
            let mut former = self.former.iter();
            former
                .any(|former| former.generation == *generation && now >= former.since + CHANGE_OVER)
        };
        let heard = self.heard.iter();
        let behind = heard.filter(|(_, (generation, _))| late(generation));
        behind.map(|(node, _)| node.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes()).expect("it is long enough")
    }

    fn beat(key: &Key) -> Vec<u8> {
        let heartbeat = Heartbeat {
            name: "a".to_owned(),
            incarnation: 1,
            sequence: 1,
            able: true,
            able_for: 0,
            leaving: false,
            heard: Vec::new(),
            macs: Vec::new(),
        };
        heartbeat.encode(key)
    }

    /// Whether heartbeats under a key are believed, and under which one.
    fn under(keys: &Keys, now: Instant, key: &Key) -> Result<Generation, Malformed> {
        let (_, generation) = keys.decode(now, &beat(key))?;
        Ok(generation)
    }

    #[test]
    fn both_keys_count_for_a_minute_where_nobody_needs_the_former_one() {
        let now = Instant::now();
        let (old, new) = (key("the old key of all"), key("the new key of all"));
        let mut keys = Keys::default();
        assert_eq!(keys.signing(now).count(), 0);
        keys.change(now, old.clone());
        assert_eq!(keys.signing(now).count(), 1);
        keys.heard(now, "b", 0);
        keys.change(now, new.clone());
        assert_eq!(under(&keys, now, &old), Ok(0));
        assert_eq!(under(&keys, now, &new), Ok(1));
        // It signs with both, and is heard under both.
        keys.heard(now + after(59), "b", 1);
        keys.heard(now + after(59), "b", 0);
        let later = now + CHANGE_OVER;
        assert_eq!(under(&keys, later, &old), Err(Malformed::Key));
        assert_eq!(under(&keys, later, &new), Ok(1));
        assert_eq!(keys.signing(later).count(), 1);
        assert!(keys.behind(later).is_empty());
    }

    #[test]
    fn who_does_not_see_the_new_key_is_heard_under_its_own_until_it_does_but_not_for_ever() {
        let start = Instant::now();
        let (old, new) = (key("the old key of all"), key("the new key of all"));
        let mut keys = Keys::new(Some(old.clone()));
        keys.change(start, new);
        let mut now = start;
        while now < start + after(120) {
            now += after(1);
            let generation = under(&keys, now, &old).expect("it is believed");
            keys.heard(now, "b", generation);
            assert_eq!(keys.signing(now).count(), 2, "so that it hears us");
        }
        assert_eq!(keys.behind(now), ["b".to_owned()].into());
        // Now it has the new one: the old one ends, although it still signs with both.
        let mut changed = keys.clone();
        changed.heard(now, "b", 1);
        changed.heard(now, "b", 0);
        assert_eq!(under(&changed, now, &old), Err(Malformed::Key));
        assert!(changed.behind(now).is_empty());
        // It dies instead: the same, once it is certain.
        let (mut died, mut rest) = (now, keys.clone());
        while under(&rest, died, &old).is_ok() {
            died += after(1);
            rest.forget(died);
        }
        assert_eq!(died, now + STILL_NEEDED);
        // It goes on with the old one: that ends in the end.
        while under(&keys, now, &old).is_ok() {
            assert!(now <= start + LONGEST, "for ever");
            keys.heard(now, "b", 0);
            now += after(1);
        }
        assert_eq!(now, start + LONGEST);
    }

    #[test]
    fn changes_in_a_row_leave_nobody_behind() {
        let now = Instant::now();
        let all: Vec<Key> = (0..6)
            .map(|n| key(&format!("key number {n} of all")))
            .collect();
        let mut keys = Keys::new(Some(all[0].clone()));
        for key in &all[1..3] {
            keys.change(now, key.clone());
        }
        assert_eq!(under(&keys, now, &all[0]), Ok(0));
        for key in &all[3..] {
            keys.change(now, key.clone());
        }
        assert_eq!(keys.signing(now).count(), 1 + MOST_FORMER);
        assert_eq!(under(&keys, now, &all[1]), Err(Malformed::Key));
    }
}
