//! Objects that are not tried again for a while. No I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Between tries of one object, whichever version it has: somebody may change it all the time.
const LEAST: Duration = Duration::from_millis(200);

/// Which, by their places, and until when.
#[derive(Debug)]
pub(super) struct Later<P> {
    by_object: HashMap<P, Held>,
}

impl<P> Default for Later<P> {
    fn default() -> Self {
        Self {
            by_object: HashMap::new(),
        }
    }
}

#[derive(Debug)]
struct Held {
    since: Instant,
    until: Instant,
    /// In this version alone; none: in any.
    version: Option<String>,
}

impl<P: Eq + Hash> Later<P> {
    /// Not before `wait` is over; in this version, where one is given.
    pub(super) fn add(&mut self, place: P, version: Option<&str>, now: Instant, wait: Duration) {
        let held = Held {
            since: now,
            until: now + wait,
            version: version.map(str::to_owned),
        };
        self.by_object.insert(place, held);
    }

    /// Whether an object that is seen in this version has to wait; where it need not, or not for
    /// long, it is forgotten, or [`next`](Self::next) says when.
    pub(super) fn holds(&mut self, place: &P, version: &str, now: Instant) -> bool {
        let Some(held) = self.by_object.get_mut(place) else {
            return false;
        };
        let is_other = held.version.as_ref().is_some_and(|held| held != version);
        if is_other {
            held.until = held.until.min(held.since + LEAST);
        }
        held.until > now
    }

    /// Forgets what is over.
    pub(super) fn forget(&mut self, now: Instant) {
        self.by_object.retain(|_, held| held.until > now);
    }

    /// When the first of them may be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_object.values().map(|held| held.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::ObjectKey;
    use crate::source::Kind;

    #[test]
    fn what_was_refused_holds_up_no_other_version() {
        let (mut later, start) = (Later::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let place = (Kind::Service, ObjectKey::new("default", "web"));
        later.add(place.clone(), Some("3"), start, Duration::from_secs(30));
        assert!(later.holds(&place, "3", at(29_000)));
        // Deleted and made again, or changed.
        assert!(later.holds(&place, "4", at(10)), "not at once");
        assert_eq!(later.next(), Some(start + LEAST));
        assert!(!later.holds(&place, "4", at(200)));
        later.forget(at(200));
        assert_eq!(later.next(), None);
        // The server takes nothing at all: versions are no matter.
        later.add(place.clone(), None, start, Duration::from_secs(1));
        assert!(later.holds(&place, "5", at(900)));
        assert!(!later.holds(&place, "5", at(1000)));
    }
}
