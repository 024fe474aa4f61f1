//! Whether what is wanted is written once more where the cluster does not say it although it was
//! written: a server that drops a field would be asked for ever, and two programs that write one
//! status would never come to rest. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::resources::ObjectKey;
use crate::source::Kind;

/// Before what somebody else wrote over is written again, counted from the last write; doubled each
/// time.
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(5 * 60);
/// What stood for so long was let stand: who writes over it then begins anew.
const STOOD: Duration = Duration::from_secs(10 * 60);
/// From the third time on it is no accident, and is told.
const TOLD_FROM: u32 = 3;

/// An object that is written.
pub(super) type Place = (Kind, ObjectKey);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write {
        /// The same was written before: there is nothing new to tell.
        is_repeat: bool,
        /// Who wrote over it is to be asked for.
        asks_who: bool,
    },
    NotBefore(Instant),
    /// Not as long as the server does what it does and the same is wanted.
    Never,
}

/// What was written of each object, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_object: HashMap<Place, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    /// What was wanted, and when it was written.
    content: u64,
    at: Instant,
    /// What the server made of it where that is something else, and the fields that it left out.
    without: Option<(u64, Vec<String>)>,
    /// It was asked for and is not written for that.
    is_held_back: bool,
    /// How often in a row somebody else wrote over it; since when it was seen this time.
    rewrites: u32,
    since: Option<Instant>,
    /// Who that was, if it is known.
    by: Option<String>,
}

/// What keeps a status from saying what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    /// The server leaves out these fields.
    Dropped(Kind, Vec<String>),
    /// Somebody else writes as well, under that name where it is known.
    Rewritten(Kind, Option<String>),
}

impl Attempts {
    /// Whether to write `content` where the cluster says `stored`, which is something else.
    pub(super) fn judge(
        &mut self,
        place: &Place,
        content: u64,
        stored: u64,
        now: Instant,
    ) -> Verdict {
        let fresh = Verdict::Write {
            is_repeat: false,
            asks_who: false,
        };
        let Some(attempt) = self.by_object.get_mut(place) else {
            return fresh;
        };
        if attempt.content != content {
            return fresh;
        }
        if attempt
            .without
            .as_ref()
            .is_some_and(|(is, _)| *is == stored)
        {
            attempt.is_held_back = true;
            return Verdict::Never;
        }
        if attempt.since.is_none() {
            attempt.since = Some(now);
            let stood = now.saturating_duration_since(attempt.at);
            attempt.rewrites = match stood >= STOOD {
                true => 1,
                false => attempt.rewrites.saturating_add(1),
            };
        }
        let doubled = FIRST.saturating_mul(1 << (attempt.rewrites.max(1) - 1).min(20));
        let until = attempt.at + doubled.min(MOST);
        if until > now {
            return Verdict::NotBefore(until);
        }
        Verdict::Write {
            is_repeat: true,
            asks_who: attempt.rewrites + 1 >= TOLD_FROM,
        }
    }

    /// It was written; `without` as in [`Attempt`], `by` who had written over it.
    pub(super) fn wrote(
        &mut self,
        place: Place,
        content: u64,
        without: Option<(u64, Vec<String>)>,
        by: Option<String>,
        now: Instant,
    ) {
        let before = self.by_object.remove(&place);
        let (rewrites, known) = before.map_or((0, None), |before| (before.rewrites, before.by));
        let attempt = Attempt {
            content,
            at: now,
            without,
            is_held_back: false,
            rewrites,
            since: None,
            by: by.or(known),
        };
        self.by_object.insert(place, attempt);
    }

    /// Forgets objects that are gone, and who has not written over anything for long; tells when
    /// there will be more to forget.
    pub(super) fn forget(
        &mut self,
        is_there: impl Fn(&Place) -> bool,
        now: Instant,
    ) -> Option<Instant> {
        self.by_object.retain(|place, _| is_there(place));
        let mut again: Option<Instant> = None;
        for attempt in self.by_object.values_mut() {
            if attempt.rewrites == 0 || attempt.since.is_some() {
                continue;
            }
            let until = attempt.at + STOOD;
            if until <= now {
                (attempt.rewrites, attempt.by) = (0, None);
            } else {
                again = Some(again.map_or(until, |other| other.min(until)));
            }
        }
        again
    }

    /// What there is to tell, with the objects that it is the same for.
    pub(super) fn obstacles(&self) -> BTreeMap<Obstacle, Vec<ObjectKey>> {
        let mut all: BTreeMap<_, Vec<ObjectKey>> = BTreeMap::new();
        for ((kind, key), attempt) in &self.by_object {
            let obstacle = match &attempt.without {
                Some((_, fields)) if attempt.is_held_back => {
                    Obstacle::Dropped(*kind, fields.clone())
                }
                _ if attempt.rewrites >= TOLD_FROM => {
                    Obstacle::Rewritten(*kind, attempt.by.clone())
                }
                _ => continue,
            };
            all.entry(obstacle).or_default().push(key.clone());
        }
        for keys in all.values_mut() {
            keys.sort();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Verdict = Verdict::Write {
        is_repeat: false,
        asks_who: false,
    };

    fn place() -> Place {
        (Kind::Service, ObjectKey::new("default", "web"))
    }

    #[test]
    fn what_the_server_drops_is_not_written_again_before_something_else_is_wanted() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(attempts.judge(&place(), 1, 10, now), WRITE);
        let without = || Some((11, vec!["ipMode".to_owned()]));
        attempts.wrote(place(), 1, without(), None, now);
        assert!(attempts.obstacles().is_empty(), "nobody asked for more");
        for seconds in [0, 1, 60, 3600] {
            assert_eq!(attempts.judge(&place(), 1, 11, at(seconds)), Verdict::Never);
        }
        let obstacles = attempts.obstacles();
        let dropped = Obstacle::Dropped(Kind::Service, vec!["ipMode".to_owned()]);
        assert_eq!(
            obstacles.into_iter().collect::<Vec<_>>(),
            [(dropped, vec![place().1])]
        );
        // Something else is wanted; then the first thing again.
        assert_eq!(attempts.judge(&place(), 2, 11, at(1)), WRITE);
        attempts.wrote(place(), 2, None, None, at(1));
        assert!(attempts.obstacles().is_empty());
        assert_eq!(attempts.judge(&place(), 1, 12, at(1)), WRITE);
        // Somebody else wrote: that is put right.
        attempts.wrote(place(), 1, without(), None, at(2));
        assert!(matches!(
            attempts.judge(&place(), 1, 99, at(60)),
            Verdict::Write {
                is_repeat: true,
                ..
            }
        ));
    }

    #[test]
    fn who_writes_over_it_again_and_again_is_answered_less_and_less_often() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        attempts.wrote(place(), 1, None, None, start);
        // Somebody who writes back within a moment, for an hour.
        let (mut now, mut writes, mut pauses) = (start, 0, Vec::new());
        while now < start + Duration::from_secs(3600) {
            now += Duration::from_millis(10);
            match attempts.judge(&place(), 1, 99, now) {
                Verdict::Write {
                    is_repeat,
                    asks_who,
                } => {
                    assert!(is_repeat);
                    assert_eq!(asks_who, writes >= 1, "{writes}");
                    writes += 1;
                    let by = asks_who.then(|| "k3s".to_owned());
                    attempts.wrote(place(), 1, None, by, now);
                }
                Verdict::NotBefore(until) => {
                    pauses.push(until - now);
                    now = until - Duration::from_millis(10);
                }
                Verdict::Never => panic!("it is kept"),
            }
            assert!(writes >= 2 || attempts.obstacles().is_empty());
        }
        assert!((15..25).contains(&writes), "{writes}");
        assert!(pauses.iter().all(|pause| *pause <= MOST));
        let who = Obstacle::Rewritten(Kind::Service, Some("k3s".to_owned()));
        assert!(attempts.obstacles().contains_key(&who));
        // Something else is wanted: written at once, and who it was is still known.
        assert_eq!(attempts.judge(&place(), 2, 99, now), WRITE);
        attempts.wrote(place(), 2, None, None, now);
        assert!(attempts.obstacles().contains_key(&who));
        // It stops.
        let again = attempts.forget(|_| true, now);
        assert_eq!(again, Some(now + STOOD));
        assert_eq!(attempts.forget(|_| true, now + STOOD), None);
        assert!(attempts.obstacles().is_empty());
    }

    #[test]
    fn an_edit_now_and_then_is_put_right_at_once() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            attempts.wrote(place(), 1, None, None, now);
            now += STOOD;
            let verdict = attempts.judge(&place(), 1, 99, now);
            assert!(matches!(verdict, Verdict::Write { .. }), "{verdict:?}");
            assert!(attempts.obstacles().is_empty());
        }
        attempts.forget(|_| false, now);
        assert_eq!(attempts.judge(&place(), 1, 99, now), WRITE);
    }
}
