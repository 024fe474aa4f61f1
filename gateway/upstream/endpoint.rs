//! What one worker knows of one endpoint; it survives a reload as long as the endpoint does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatehouse_config::model::{Connections, EndpointAddress};
use tokio::sync::Notify;

use crate::http2::client::Connections as Connections2;
use crate::tls::TlsId;
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
    /// Connections of HTTP/2.
    pub http2: Rc<Connections2>,
    /// How long its connections live.
    pub lifetimes: Cell<Lifetimes>,
    /// With which TLS they are made; none: in plain text.
    pub tls: Cell<Option<TlsId>>,
    /// When it was first seen; warm-up counts from here.
    pub since: Instant,
    /// Connections that count towards a limit, those that come about included.
    pub counted: Cell<u32>,
    /// Requests that wait for a connection to it because of a limit.
    pub waiting: Cell<u32>,
    /// Wakes one of them.
    pub freed: Notify,
    /// Connects that failed in a row.
    failures: Cell<u32>,
    ejected_until: Cell<Option<Instant>>,
}

/// How long connections live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Unused (Istio: one hour).
    pub idle: Duration,
    /// In all; none: for ever.
    pub total: Option<Duration>,
    /// Requests of one connection.
    pub requests: u32,
    /// Whether the times are looked at before each use, and not only now and then.
    pub exact: bool,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::of(&Connections::default())
    }
}

impl Lifetimes {
    /// What a DestinationRule says.
    pub fn of(connections: &Connections) -> Self {
        Self {
            idle: match connections.idle_timeout {
                None => Duration::from_secs(3600),
                Some(Duration::ZERO) => Duration::MAX,
                Some(time) => time,
            },
            total: connections.max_duration,
            requests: connections.max_requests.unwrap_or(u32::MAX),
            exact: connections.idle_timeout.is_some() || connections.max_duration.is_some(),
        }
    }

    /// The shortest of the times.
    pub fn shortest(&self) -> Duration {
        self.total.map_or(self.idle, |total| total.min(self.idle))
    }
}

impl EndpointState {
    /// An endpoint that nothing is known of.
    pub fn new(address: EndpointAddress) -> Self {
        Self {
            address,
            active: Cell::new(0),
            idle: RefCell::default(),
            http2: Rc::default(),
            lifetimes: Cell::default(),
            tls: Cell::new(None),
            since: Instant::now(),
            counted: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
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

    /// From now on connections are made like this. Those that were made otherwise are closed as
    /// soon as they are idle; and what failed before may succeed now.
    pub fn speak(&self, tls: Option<TlsId>) {
        if self.tls.replace(tls) != tls {
            let old = std::mem::take(&mut *self.idle.borrow_mut());
            // Their ends may wake requests that wait.
            drop(old);
            self.http2.retire(tls);
            self.connected();
        }
    }

    /// A connect succeeded.
    pub fn connected(&self) {
        self.failures.set(0);
        self.ejected_until.set(None);
    }
}
