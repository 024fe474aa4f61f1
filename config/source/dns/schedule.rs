//! Which name is to be looked up when, and what its answers amount to. No clock, no socket.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::resolved::{NameUse, ResolveFailure, ResolvedName, ResolvedNames};

/// Addresses of one name that are kept.
const MAX_ADDRESSES: usize = 64;

/// The first pause after a failure; doubled with every further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Even a TTL of weeks is not trusted for longer.
const MAX_REFRESH: Duration = Duration::from_secs(24 * 3600);

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// In the order of the answer; not empty.
    pub(super) addresses: Vec<IpAddr>,
    /// How long it holds.
    pub(super) ttl: Duration,
}

/// The names that are wanted.
#[derive(Debug)]
pub(super) struct Schedule {
    min_refresh: Duration,
    max_retry: Duration,
    names: BTreeMap<String, Name>,
    /// When each name that is not being looked up is due.
    due: BTreeSet<(Instant, String)>,
    jitter: RandomState,
}

#[derive(Debug)]
struct Name {
    used: NameUse,
    due: Option<Instant>,
    failures: u32,
    /// None before the first answer.
    known: Option<ResolvedName>,
    /// The first address of the last good answer.
    first: Option<IpAddr>,
}

impl Schedule {
    pub(super) fn new(min_refresh: Duration, max_retry: Duration) -> Self {
        Self {
            min_refresh,
            max_retry,
            names: BTreeMap::new(),
            due: BTreeSet::new(),
            jitter: RandomState::new(),
        }
    }

    /// Wants these names and no others; new ones are due at once. True if the table changes.
    pub(super) fn want(&mut self, wanted: BTreeMap<String, NameUse>, now: Instant) -> bool {
        let mut changed = false;
        self.names.retain(|name, state| {
            let stays = wanted.contains_key(name);
            if !stays && let Some(at) = state.due {
                self.due.remove(&(at, name.clone()));
            }
            stays
        });
        for (name, used) in wanted {
            match self.names.get_mut(&name) {
                Some(state) => {
                    changed |= state.used != used;
                    state.used = used;
                }
                None => {
                    self.due.insert((now, name.clone()));
                    let state = Name {
                        used,
                        due: Some(now),
                        failures: 0,
                        known: None,
                        first: None,
                    };
                    self.names.insert(name, state);
                }
            }
        }
        changed
    }

    /// When the next lookup is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes a name that is due; it is not given again before it was answered.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<String> {
        if self.next_at()? > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        if let Some(state) = self.names.get_mut(&name) {
            state.due = None;
        }
        Some(name)
    }

    /// Takes note of an answer. True if the table changes.
    pub(super) fn answered(
        &mut self,
        name: &str,
        answer: Result<Answer, String>,
        now: Instant,
        wall: SystemTime,
    ) -> bool {
        let jitter = self.jitter.hash_one((name, now)) % 100;
        let Some(state) = self.names.get_mut(name) else {
            return false; // no longer wanted
        };
        let before = (state.known.clone(), state.first);
        let known = state.known.get_or_insert_default();
        let pause = match answer {
            Ok(Answer { addresses, ttl }) => {
                state.failures = 0;
                state.first = addresses.first().copied();
                let sorted: BTreeSet<IpAddr> = addresses.into_iter().collect();
                known.addresses = sorted.into_iter().take(MAX_ADDRESSES).collect();
                known.failure = None;
                ttl.clamp(self.min_refresh, MAX_REFRESH.max(self.min_refresh))
            }
            Err(error) => {
                // What the last good answer said stays in use.
                let since = known.failure.as_ref().map_or(wall, |failure| failure.since);
                known.failure = Some(ResolveFailure { since, error });
                let pause = FIRST_RETRY.saturating_mul(1 << state.failures.min(16));
                state.failures += 1;
                pause.min(self.max_retry)
            }
        };
        // Up to a tenth later, so that names do not keep step.
        let at = now + pause + pause * u32::try_from(jitter).unwrap_or(0) / 1000;
        if let Some(before) = state.due.replace(at) {
            self.due.remove(&(before, name.to_owned()));
        }
        self.due.insert((at, name.to_owned()));
        let first_counts = state.used == NameUse::AlsoFirst;
        state.known != before.0 || (first_counts && state.first != before.1)
    }

    /// A lookup was lost without an answer, nobody knows which: all that run are due again.
    pub(super) fn forget_running(&mut self, now: Instant) {
        for (name, state) in &mut self.names {
            if state.due.is_none() {
                state.due = Some(now + FIRST_RETRY);
                self.due.insert((now + FIRST_RETRY, name.clone()));
            }
        }
    }

    /// What is known.
    pub(super) fn table(&self) -> ResolvedNames {
        let mut table = ResolvedNames::default();
        for (name, state) in &self.names {
            if let Some(known) = &state.known {
                let first = state.first.filter(|_| state.used == NameUse::AlsoFirst);
                let known = ResolvedName {
                    first,
                    ..known.clone()
                };
                table.insert(name.clone(), known);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(Duration::from_secs(5), Duration::from_secs(60))
    }

    fn wanted(names: &[(&str, NameUse)]) -> BTreeMap<String, NameUse> {
        let names = names.iter();
        names
            .map(|(name, used)| ((*name).to_owned(), *used))
            .collect()
    }

    fn answer(addresses: &[&str], ttl: u64) -> Result<Answer, String> {
        Ok(Answer {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ttl: Duration::from_secs(ttl),
        })
    }

    const WALL: SystemTime = SystemTime::UNIX_EPOCH;

    /// The pause until the next lookup, to the next lower tenth.
    fn pause(schedule: &Schedule, now: Instant) -> Duration {
        schedule.next_at().unwrap() - now
    }

    #[test]
    fn the_ttl_says_when_a_name_is_asked_for_again() {
        let mut schedule = schedule();
        let now = Instant::now();
        schedule.want(wanted(&[("a.lan", NameUse::All)]), now);
        for (ttl, least) in [(0, 5), (7, 7), (300, 300), (u64::from(u32::MAX), 24 * 3600)] {
            let now = schedule.next_at().unwrap();
            assert_eq!(schedule.next_due(now).as_deref(), Some("a.lan"));
            assert_eq!(schedule.next_due(now), None, "it is being looked up");
            schedule.answered("a.lan", answer(&["10.0.0.1"], ttl), now, WALL);
            let least = Duration::from_secs(least);
            let pause = pause(&schedule, now);
            assert!(
                pause >= least && pause <= least + least / 10,
                "{ttl}: {pause:?}"
            );
        }
    }

    #[test]
    fn failures_keep_the_addresses_and_back_off() {
        let mut schedule = schedule();
        let now = Instant::now();
        schedule.want(wanted(&[("a.lan", NameUse::All)]), now);
        assert!(schedule.answered(
            "a.lan",
            answer(&["10.0.0.2", "10.0.0.1", "10.0.0.2"], 9),
            now,
            WALL
        ));
        let failed = || Err("no answer".to_owned());
        assert!(schedule.answered("a.lan", failed(), now, WALL));
        let later = WALL + Duration::from_secs(9);
        for least in [2, 4, 8, 16, 32, 60, 60] {
            assert!(
                !schedule.answered("a.lan", failed(), now, later),
                "nothing new"
            );
            let least = Duration::from_secs(least);
            assert!((least..=least + least / 10).contains(&pause(&schedule, now)));
        }
        let table = schedule.table();
        let known = table.get("a.lan").unwrap();
        let text: Vec<_> = known.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(known.failure.as_ref().map(|f| f.since), Some(WALL));
        assert!(schedule.answered("a.lan", answer(&["10.0.0.3"], 9), now, later));
        assert_eq!(schedule.table().get("a.lan").unwrap().failure, None);
    }

    #[test]
    fn another_order_counts_only_where_one_address_is_used() {
        let mut schedule = schedule();
        let now = Instant::now();
        schedule.want(
            wanted(&[("all.lan", NameUse::All), ("one.lan", NameUse::AlsoFirst)]),
            now,
        );
        for name in ["all.lan", "one.lan"] {
            schedule.answered(name, answer(&["10.0.0.1", "10.0.0.2"], 9), now, WALL);
        }
        let turned = || answer(&["10.0.0.2", "10.0.0.1"], 9);
        assert!(!schedule.answered("all.lan", turned(), now, WALL));
        assert!(schedule.answered("one.lan", turned(), now, WALL));
        let table = schedule.table();
        assert_eq!(table.get("all.lan").unwrap().first, None);
        let first = table.get("one.lan").unwrap().first.unwrap();
        assert_eq!(first.to_string(), "10.0.0.2");
    }

    #[test]
    fn what_is_not_wanted_is_forgotten() {
        let mut schedule = schedule();
        let now = Instant::now();
        schedule.want(
            wanted(&[("a.lan", NameUse::All), ("b.lan", NameUse::All)]),
            now,
        );
        assert_eq!(schedule.next_due(now).as_deref(), Some("a.lan"));
        schedule.want(BTreeMap::new(), now);
        assert_eq!(schedule.next_at(), None);
        assert!(!schedule.answered("a.lan", answer(&["10.0.0.1"], 9), now, WALL));
        assert_eq!(schedule.table(), ResolvedNames::default());
    }

    #[test]
    fn a_name_has_a_bounded_number_of_addresses() {
        let mut schedule = schedule();
        let now = Instant::now();
        schedule.want(wanted(&[("a.lan", NameUse::All)]), now);
        let many: Vec<String> = (0..=255).map(|i| format!("10.0.0.{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        schedule.answered("a.lan", answer(&many, 9), now, WALL);
        assert_eq!(
            schedule.table().get("a.lan").unwrap().addresses.len(),
            MAX_ADDRESSES
        );
    }
}
