//! The wall clock of a worker, read once a second, and the Date header made of it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

/// How old the pair of clocks may be.
const REFRESH: Duration = Duration::from_millis(500);

/// Converts between the clocks without a system call per request.
#[derive(Debug)]
pub struct Clock {
    base: Cell<(Instant, SystemTime)>,
    date: RefCell<String>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock set now.
    pub fn new() -> Self {
        let clock = Self {
            base: Cell::new((Instant::now(), SystemTime::now())),
            date: RefCell::default(),
        };
        clock.set();
        clock
    }

    /// The wall clock at `instant`, which may be past; right to about a second's drift.
    pub fn wall(&self, instant: Instant) -> SystemTime {
        self.refresh(instant);
        let (base, wall) = self.base.get();
        let at = match instant.checked_duration_since(base) {
            Some(since) => wall.checked_add(since),
            None => wall.checked_sub(base.duration_since(instant)),
        };
        at.unwrap_or(wall)
    }

    /// Calls `with` with the Date header (RFC 9110 §6.6.1) of the present: a message's date is
    /// that of its origination, not of the request that it answers.
    pub fn with_date<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        self.refresh(Instant::now());
        with(self.date.borrow().as_bytes())
    }

    fn refresh(&self, instant: Instant) {
        if instant.saturating_duration_since(self.base.get().0) >= REFRESH {
            self.set();
        }
    }

    /// Reads both clocks together: the pair is what all conversions hang on.
    fn set(&self) {
        let wall = SystemTime::now();
        self.base.set((Instant::now(), wall));
        let mut date = self.date.borrow_mut();
        date.clear();
        // Writing to a String cannot fail.
        let _ = write!(date, "{}", httpdate::HttpDate::from(wall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: SystemTime, b: SystemTime) -> Duration {
        a.duration_since(b)
            .or_else(|_| b.duration_since(a))
            .unwrap()
    }

    #[test]
    fn a_past_instant_has_its_own_wall_clock_and_spoils_no_later_one() {
        let clock = Clock::new();
        let (now, wall) = (Instant::now(), SystemTime::now());
        let hour = Duration::from_secs(3600);
        // As if the clock was set two hours ago and a request of an hour ago is looked at now.
        let long_ago = now.checked_sub(2 * hour).unwrap();
        clock.base.set((long_ago, wall - 2 * hour));
        let past = clock.wall(now - hour);
        assert!(
            apart(past, wall - hour) < Duration::from_secs(60),
            "{past:?}"
        );
        let present = clock.wall(now);
        assert!(
            apart(present, wall) < Duration::from_secs(60),
            "{present:?}"
        );
    }

    #[test]
    fn the_date_is_that_of_the_present() {
        let clock = Clock::new();
        clock.date.borrow_mut().clear();
        clock.base.set((
            Instant::now().checked_sub(REFRESH).unwrap(),
            SystemTime::UNIX_EPOCH,
        ));
        let date = clock.with_date(|date| String::from_utf8(date.to_vec()).unwrap());
        let date = httpdate::parse_http_date(&date).unwrap();
        assert!(apart(date, SystemTime::now()) < Duration::from_secs(60));
    }
}
