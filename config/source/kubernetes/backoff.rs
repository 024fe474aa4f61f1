//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles from try to try, up to a limit; by chance between half of that and all of it, so that
/// not every node comes back at once.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// From `first` to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            tries: 0,
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.tries.min(20));
        self.tries = self.tries.saturating_add(1);
        let whole = doubled.min(self.most);
        // Seeded by the system anew each time.
        let chance = RandomState::new().hash_one(self.tries);
        #[allow(clippy::cast_precision_loss)] // one of a few thousand steps
        let part = (chance % 4096) as f64 / 4096.0;
        whole.mul_f64(0.5 + part / 2.0)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_anew() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, most);
        let pauses: Vec<_> = (0..40).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= first / 2 && pauses[0] <= first, "{pauses:?}");
        assert!(
            pauses[3] >= first * 4 && pauses[3] <= first * 8,
            "{pauses:?}"
        );
        assert!(
            pauses[6..]
                .iter()
                .all(|pause| *pause >= most / 2 && *pause <= most)
        );
        assert_ne!(pauses[38], pauses[39], "by chance");
        backoff.reset();
        assert!(backoff.pause() <= first);
    }
}
