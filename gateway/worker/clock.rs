//! The wall clock of a worker, read once a second, and the Date header made of it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

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
        clock.set(Instant::now());
        clock
    }

    /// The wall clock at `instant`, right to about a second's drift.
    pub fn wall(&self, instant: Instant) -> SystemTime {
        self.refresh(instant);
        let (base, wall) = self.base.get();
        wall + instant.saturating_duration_since(base)
    }

    /// Calls `with` with the Date header (RFC 9110 §6.6.1) at `instant`.
    pub fn with_date<T>(&self, instant: Instant, with: impl FnOnce(&[u8]) -> T) -> T {
        self.refresh(instant);
        with(self.date.borrow().as_bytes())
    }

    fn refresh(&self, instant: Instant) {
        if instant.saturating_duration_since(self.base.get().0) >= Duration::from_millis(500) {
            self.set(instant);
        }
    }

    fn set(&self, instant: Instant) {
        let wall = SystemTime::now();
        self.base.set((instant, wall));
        let mut date = self.date.borrow_mut();
        date.clear();
        // Writing to a String cannot fail.
        let _ = write!(date, "{}", httpdate::HttpDate::from(wall));
    }
}
