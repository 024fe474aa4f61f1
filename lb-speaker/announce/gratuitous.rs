//! When an address is announced without being asked for.
//!
//! MetalLB's rounds: at once, then every 1.1 s until 5 s after the last trigger. After that ours:
//! once an interval, since switches forget a silent address (300 s) long before routers do.

use std::time::{Duration, Instant};

/// Between the rounds of a burst (MetalLB's; some stacks ignore more than one a second).
pub const STEP: Duration = Duration::from_millis(1100);
/// How long a burst lasts after its last trigger.
pub const BURST: Duration = Duration::from_secs(5);

/// The rounds of one address on one interface.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    burst_until: Instant,
    next: Option<Instant>,
    interval: Duration,
}

impl Schedule {
    /// Begins with a burst; then once an `interval`, or never again if it is zero.
    pub fn new(now: Instant, interval: Duration) -> Self {
        Self {
            burst_until: now + BURST,
            next: Some(now),
            interval,
        }
    }

    /// A reason to announce again (carrier is back, ownership regained): a burst, at once.
    pub fn trigger(&mut self, now: Instant) {
        *self = Self::new(now, self.interval);
    }

    /// When the next round is due; none: never.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether a round is due; if so it counts as done.
    pub fn due(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let step = now + STEP;
        self.next = if step < self.burst_until {
            Some(step)
        } else {
            (!self.interval.is_zero()).then(|| now + self.interval)
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(schedule: &mut Schedule, start: Instant, until: Duration) -> Vec<u128> {
        let mut rounds = Vec::new();
        while let Some(next) = schedule.next() {
            if next > start + until {
                break;
            }
            assert!(schedule.due(next));
            rounds.push((next - start).as_millis());
        }
        rounds
    }

    #[test]
    fn a_burst_then_the_interval() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Duration::from_secs(60));
        let rounds = rounds(&mut schedule, start, Duration::from_secs(130));
        assert_eq!(rounds, [0, 1100, 2200, 3300, 4400, 64_400, 124_400]);
    }

    #[test]
    fn no_interval_no_more_rounds() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Duration::ZERO);
        assert_eq!(
            rounds(&mut schedule, start, Duration::from_secs(3600)).len(),
            5
        );
        assert!(!schedule.due(start + Duration::from_secs(3600)));
    }

    #[test]
    fn a_trigger_begins_anew() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Duration::from_secs(60));
        rounds(&mut schedule, start, Duration::from_secs(10));
        let later = start + Duration::from_secs(20);
        schedule.trigger(later);
        assert!(schedule.due(later));
        assert_eq!(schedule.next(), Some(later + STEP));
    }
}
