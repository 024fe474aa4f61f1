//! What one worker knows of one endpoint; it survives a reload as long as the endpoint does.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use gatehouse_config::model::EndpointAddress;

use crate::upstream::pool::Idle;

/// The first time out after a failed connect; doubled with every further one.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// The longest time out.
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// An endpoint's connections and health in one worker.
#[derive(Debug)]
pub struct EndpointState {
    /// Where.
    pub address: EndpointAddress,
    /// Requests under way.
    pub active: Cell<u32>,
    /// Idle connections, the most recently used last.
    pub idle: RefCell<Vec<Idle>>,
    /// Connects that failed in a row.
    failures: Cell<u32>,
    ejected_until: Cell<Option<Instant>>,
}

impl EndpointState {
    /// An endpoint that nothing is known of.
    pub fn new(address: EndpointAddress) -> Self {
        Self {
            address,
            active: Cell::new(0),
            idle: RefCell::default(),
            failures: Cell::new(0),
            ejected_until: Cell::new(None),
        }
    }

    /// Whether it may be chosen. Reads the clock only while the endpoint is ejected.
    pub fn is_available(&self) -> bool {
        self.ejected_until
            .get()
            .is_none_or(|until| Instant::now() >= until)
    }

    /// A connect failed: leave it alone for a while.
    pub fn connect_failed(&self) {
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let pause = FIRST_EJECTION
            .saturating_mul(1 << failures.min(5))
            .min(LONGEST_EJECTION);
        self.ejected_until.set(Some(Instant::now() + pause));
    }

    /// A connect succeeded.
    pub fn connected(&self) {
        self.failures.set(0);
        self.ejected_until.set(None);
    }
}
