//! Who deals addresses: a Lease, and the rules by which one node at a time holds it. No I/O.
//!
//! Nobody's clock is believed: a Lease is over when it was not seen to change for as long as it
//! lasts, by the watcher's own monotonic clock. Its holder stops before that, counted from the
//! moment at which its last renewal was *sent*; and a request that may be under way then ends
//! before another can begin.

use std::time::{Duration, Instant};

/// How long a Lease lasts that is not renewed.
pub const DURATION: Duration = Duration::from_secs(15);
/// The holder renews it this often.
pub const RENEW: Duration = Duration::from_secs(4);
/// Who holds it acts for so long after a renewal was sent.
pub const ACT: Duration = Duration::from_secs(10);
/// A request takes no longer than this: with [`ACT`] less than [`DURATION`].
pub const REQUEST: Duration = Duration::from_secs(4);
/// Who waits looks this often.
pub const LOOK: Duration = Duration::from_secs(2);

/// A Lease as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `spec.holderIdentity`; empty when it was given up.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// `metadata.resourceVersion`: another one whenever anything changed.
    pub version: String,
    /// `spec.leaseTransitions`.
    pub transitions: i32,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create,
    /// It is free, over, or ours: write it against this version.
    Take {
        /// What it was.
        before: Record,
        /// How many holders there were before us.
        transitions: i32,
    },
    /// Somebody else has it.
    Wait,
}

/// A node that would hold the Lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    me: String,
    /// The version last seen, and when it was seen first.
    observed: Option<(String, Instant)>,
    acts_until: Option<Instant>,
}

impl Candidate {
    /// By its node's name.
    pub fn new(me: impl Into<String>) -> Self {
        Self {
            me: me.into(),
            observed: None,
            acts_until: None,
        }
    }

    /// Judges what is there.
    pub fn judge(&mut self, seen: Option<&Record>, now: Instant) -> Step {
        let Some(record) = seen else {
            return Step::Create;
        };
        let since = match &self.observed {
            Some((version, since)) if *version == record.version => *since,
            _ => {
                self.observed = Some((record.version.clone(), now));
                now
            }
        };
        let is_mine = record.holder == self.me;
        // What cannot be true (0, a year) is not believed either.
        let lasts = record.duration.clamp(Duration::from_secs(1), DURATION * 4);
        let is_over = now.saturating_duration_since(since) >= lasts;
        if is_mine || record.holder.is_empty() || is_over {
            return Step::Take {
                before: record.clone(),
                transitions: record.transitions.saturating_add(i32::from(!is_mine)),
            };
        }
        self.acts_until = None;
        Step::Wait
    }

    /// The server took what was sent at that moment.
    pub fn took(&mut self, version: &str, sent: Instant) {
        self.observed = Some((version.to_owned(), sent));
        self.acts_until = Some(sent + ACT);
    }

    /// Until when it may act; none while another does.
    pub fn acts_until(&self, now: Instant) -> Option<Instant> {
        self.acts_until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, version: u32) -> Record {
        Record {
            holder: holder.to_owned(),
            duration: DURATION,
            version: version.to_string(),
            transitions: 3,
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_request_that_is_under_way_ends_before_another_node_begins() {
        assert!(ACT + REQUEST < DURATION);
        assert!(RENEW + REQUEST < ACT, "one renewal may fail");
    }

    #[test]
    fn none_is_made_and_a_free_one_is_taken_at_once() {
        let now = Instant::now();
        let mut a = Candidate::new("a");
        assert_eq!(a.judge(None, now), Step::Create);
        let free = record("", 1);
        let take = Step::Take {
            before: free.clone(),
            transitions: 4,
        };
        assert_eq!(a.judge(Some(&free), now), take);
    }

    #[test]
    fn a_dead_holder_is_waited_for_whatever_its_clock_said() {
        let start = Instant::now();
        let mut b = Candidate::new("b");
        let held = record("a", 1);
        assert_eq!(b.judge(Some(&held), start), Step::Wait);
        assert_eq!(b.judge(Some(&held), after(start, 14)), Step::Wait);
        // It was renewed meanwhile: all of it begins anew.
        let renewed = record("a", 2);
        assert_eq!(b.judge(Some(&renewed), after(start, 14)), Step::Wait);
        assert_eq!(b.judge(Some(&renewed), after(start, 28)), Step::Wait);
        let step = b.judge(Some(&renewed), after(start, 29));
        assert!(
            matches!(step, Step::Take { transitions: 4, .. }),
            "{step:?}"
        );
    }

    #[test]
    fn a_lease_that_says_it_lasts_for_years_is_not_believed() {
        let start = Instant::now();
        let mut b = Candidate::new("b");
        let held = Record {
            duration: Duration::from_secs(1 << 30),
            ..record("a", 1)
        };
        assert_eq!(b.judge(Some(&held), start), Step::Wait);
        assert!(matches!(
            b.judge(Some(&held), after(start, 61)),
            Step::Take { .. }
        ));
    }

    #[test]
    fn the_holder_stops_by_itself_when_it_cannot_renew() {
        let start = Instant::now();
        let mut a = Candidate::new("a");
        assert_eq!(a.acts_until(start), None);
        a.took("1", start);
        assert_eq!(a.acts_until(after(start, 9)), Some(after(start, 10)));
        assert_eq!(a.acts_until(after(start, 10)), None);
        // Its own Lease is its own, also after a restart: no wait, and no new holder.
        let step = Candidate::new("a").judge(Some(&record("a", 1)), start);
        assert!(
            matches!(step, Step::Take { transitions: 3, .. }),
            "{step:?}"
        );
    }

    #[test]
    fn who_sees_another_holder_stops_at_once() {
        let start = Instant::now();
        let mut a = Candidate::new("a");
        a.took("1", start);
        assert_eq!(a.judge(Some(&record("b", 2)), after(start, 1)), Step::Wait);
        assert_eq!(a.acts_until(after(start, 1)), None);
    }
}
