//! Outlier detection (Envoy: `DetectorImpl`): an endpoint that fails again and again is left out for
//! a while, by every worker.
//!
//! Workers share one counter set per endpoint, in atomics, and only for clusters that have an
//! outlierDetection: an answer that is no error costs three loads, an error one addition. Ejecting
//! and letting in again are rare and go through a mutex, so that the limit on ejections is exact.
//! There is no timer: who looks for an endpoint after the time lets it in. The moment is that of
//! Envoy's next interval.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_config::model::{EndpointAddress, OutlierDetection};

/// Envoy's `max_ejection_time`.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// Nothing is to be let in.
const NEVER: u64 = u64::MAX;

/// The detector of one cluster.
#[derive(Debug)]
pub struct Outliers {
    settings: OutlierDetection,
    /// In the order of the cluster's endpoints.
    hosts: Box<[Arc<Host>]>,
    cluster: Arc<ClusterHealth>,
}

/// What all generations of a cluster share.
#[derive(Debug)]
struct ClusterHealth {
    /// Times are counted from here, in nanoseconds.
    epoch: Instant,
    /// Endpoints that are out now.
    ejected: AtomicU32,
    /// When the first of them may come in.
    next_due: AtomicU64,
    changing: Mutex<()>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    consecutive_5xx: AtomicU64,
    consecutive_gateway_errors: AtomicU64,
    consecutive_local_origin_failures: AtomicU64,
    overflow: AtomicU64,
}

/// How often a cluster's endpoints were ejected, by what was noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    /// For 5xx in a row.
    pub consecutive_5xx: u64,
    /// For 502, 503 and 504 in a row.
    pub consecutive_gateway_errors: u64,
    /// For failures of the connection in a row.
    pub consecutive_local_origin_failures: u64,
    /// Not ejected, for too many were out.
    pub overflow: u64,
    /// Out now.
    pub active: u32,
}

#[derive(Debug)]
struct Host {
    address: EndpointAddress,
    ejected: AtomicBool,
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
    // Written under the cluster's mutex.
    /// The multiplier of the ejection time.
    backoff: AtomicU32,
    /// When it may come in; or, while it is in, the interval at which it came in.
    due: AtomicU64,
    let_in_at: AtomicU64,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// A connection came about.
    Connected,
    /// No connection, or it was lost before an answer.
    Failed,
    /// No answer in time.
    TimedOut,
}

#[derive(Clone, Copy, Debug)]
enum Detector {
    Errors,
    GatewayErrors,
    LocalFailures,
}

impl Outliers {
    /// The detector of these endpoints; what `before` knows of them is kept.
    pub fn new(
        settings: OutlierDetection,
        addresses: impl Iterator<Item = EndpointAddress>,
        before: Option<&Self>,
    ) -> Self {
        let known: HashMap<&EndpointAddress, &Arc<Host>> = before
            .iter()
            .flat_map(|before| &before.hosts)
            .map(|host| (&host.address, host))
            .collect();
        let host = |address: EndpointAddress| match known.get(&address) {
            Some(host) => Arc::clone(host),
            None => Arc::new(Host::new(address)),
        };
        let hosts: Box<[_]> = addresses.map(host).collect();
        let cluster = match before {
            Some(before) => Arc::clone(&before.cluster),
            None => Arc::new(ClusterHealth {
                epoch: Instant::now(),
                ejected: AtomicU32::new(0),
                next_due: AtomicU64::new(NEVER),
                changing: Mutex::default(),
                counts: Counts::default(),
            }),
        };
        let outliers = Self {
            settings,
            hosts,
            cluster,
        };
        if before.is_some() {
            // An endpoint that was out may be gone.
            outliers.let_in(outliers.nanos(Instant::now()));
        }
        outliers
    }

    /// Whether any endpoint is out; lets in those whose time is over.
    pub fn has_ejected(&self) -> bool {
        if self.cluster.ejected.load(Relaxed) == 0 {
            return false;
        }
        let now = self.nanos(Instant::now());
        if self.cluster.next_due.load(Relaxed) <= now {
            self.let_in(now);
        }
        self.cluster.ejected.load(Relaxed) > 0
    }

    /// Whether the endpoint at this place is out.
    pub fn is_ejected(&self, position: u32) -> bool {
        let host = self.hosts.get(position as usize);
        host.is_some_and(|host| host.ejected.load(Relaxed))
    }

    /// The share of endpoints below which all are used, in percent; 0: never.
    pub fn panic_threshold(&self) -> u32 {
        self.settings.min_health_percent
    }

    /// What was counted.
    pub fn ejections(&self) -> Ejections {
        self.has_ejected();
        let Counts {
            consecutive_5xx,
            consecutive_gateway_errors,
            consecutive_local_origin_failures,
            overflow,
        } = &self.cluster.counts;
        Ejections {
            consecutive_5xx: consecutive_5xx.load(Relaxed),
            consecutive_gateway_errors: consecutive_gateway_errors.load(Relaxed),
            consecutive_local_origin_failures: consecutive_local_origin_failures.load(Relaxed),
            overflow: overflow.load(Relaxed),
            active: self.cluster.ejected.load(Relaxed),
        }
    }

    /// Takes note of what a try at the endpoint at this place came to.
    pub fn report(&self, position: u32, outcome: Outcome) {
        self.report_at(position, outcome, Instant::now);
    }

    fn report_at(&self, position: u32, outcome: Outcome, now: impl Fn() -> Instant) {
        let Some(host) = self.hosts.get(position as usize) else {
            return;
        };
        let split = self.settings.split_local_origin;
        let status = match outcome {
            Outcome::Status(status) => status,
            Outcome::Connected => {
                if split {
                    reset(&host.local_failures);
                }
                return;
            }
            Outcome::Failed | Outcome::TimedOut if split => {
                let limit = self.settings.consecutive_local_origin_failures;
                if is_reached(&host.local_failures, limit) {
                    self.eject(host, Detector::LocalFailures, now());
                }
                return;
            }
            // Where they are not split off, they count as what the client is told.
            Outcome::Failed => 503,
            Outcome::TimedOut => 504,
        };
        let of_answer = matches!(outcome, Outcome::Status(_));
        let codes = &self.settings.error_codes;
        let is_error = if of_answer && !codes.is_empty() {
            codes.contains(&status)
        } else {
            (500..600).contains(&status)
        };
        if !is_error {
            reset(&host.errors);
            reset(&host.gateway_errors);
            return;
        }
        if matches!(status, 502..=504) {
            let limit = self.settings.consecutive_gateway_errors;
            if is_reached(&host.gateway_errors, limit) {
                self.eject(host, Detector::GatewayErrors, now());
            }
        } else {
            reset(&host.gateway_errors);
        }
        if is_reached(&host.errors, self.settings.consecutive_5xx) {
            self.eject(host, Detector::Errors, now());
        }
    }

    fn eject(&self, host: &Host, detector: Detector, now: Instant) {
        let now = self.nanos(now);
        let changing = self.cluster.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        host.counter(detector).store(0, Relaxed);
        if host.ejected.load(Relaxed) {
            return;
        }
        let ejected = self.cluster.ejected.load(Relaxed);
        let percent = 100.0 * f64::from(ejected + 1) / self.hosts.len() as f64;
        if ejected > 0 && percent > f64::from(self.settings.max_ejection_percent) {
            self.cluster.counts.overflow.fetch_add(1, Relaxed);
            return;
        }
        let count = match detector {
            Detector::Errors => &self.cluster.counts.consecutive_5xx,
            Detector::GatewayErrors => &self.cluster.counts.consecutive_gateway_errors,
            Detector::LocalFailures => &self.cluster.counts.consecutive_local_origin_failures,
        };
        count.fetch_add(1, Relaxed);
        let interval = as_nanos(self.settings.interval).max(1);
        let base = as_nanos(self.settings.base_ejection_time);
        let longest = as_nanos(LONGEST_EJECTION).max(base);
        // The multiplier goes down by one with each interval in health.
        let in_health =
            now / interval - (host.let_in_at.load(Relaxed) / interval).min(now / interval);
        let in_health = u32::try_from(in_health).unwrap_or(u32::MAX);
        let mut backoff = host.backoff.load(Relaxed).saturating_sub(in_health);
        if base.saturating_mul(backoff.into()) < longest.saturating_add(base) {
            backoff += 1;
        }
        let time = base.saturating_mul(backoff.into()).min(longest);
        let due = now.saturating_add(time).div_ceil(interval);
        let due = due.saturating_mul(interval);
        host.backoff.store(backoff, Relaxed);
        host.due.store(due, Relaxed);
        host.ejected.store(true, Relaxed);
        let next = self.cluster.next_due.load(Relaxed).min(due);
        self.cluster.next_due.store(next, Relaxed);
        self.cluster.ejected.store(ejected + 1, Relaxed);
        // Not louder: this runs on a worker, and the clusters' counters tell it as well.
        tracing::debug!(
            endpoint = %host.address,
            seconds = time / 1_000_000_000,
            reason = detector.reason(),
            "endpoint left out"
        );
    }

    /// Lets in those whose time is over, and counts the others.
    fn let_in(&self, now: u64) {
        let changing = self.cluster.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let (mut ejected, mut next) = (0, NEVER);
        for host in self.hosts.iter().filter(|host| host.ejected.load(Relaxed)) {
            let due = host.due.load(Relaxed);
            if due > now {
                ejected += 1;
                next = next.min(due);
                continue;
            }
            for counter in [&host.errors, &host.gateway_errors, &host.local_failures] {
                counter.store(0, Relaxed);
            }
            host.let_in_at.store(due, Relaxed);
            host.ejected.store(false, Relaxed);
            tracing::debug!(endpoint = %host.address, "endpoint let in again");
        }
        self.cluster.next_due.store(next, Relaxed);
        self.cluster.ejected.store(ejected, Relaxed);
    }

    fn nanos(&self, now: Instant) -> u64 {
        as_nanos(now.saturating_duration_since(self.cluster.epoch))
    }
}

impl Host {
    fn new(address: EndpointAddress) -> Self {
        Self {
            address,
            ejected: AtomicBool::new(false),
            errors: AtomicU32::new(0),
            gateway_errors: AtomicU32::new(0),
            local_failures: AtomicU32::new(0),
            backoff: AtomicU32::new(0),
            due: AtomicU64::new(0),
            let_in_at: AtomicU64::new(0),
        }
    }

    fn counter(&self, detector: Detector) -> &AtomicU32 {
        match detector {
            Detector::Errors => &self.errors,
            Detector::GatewayErrors => &self.gateway_errors,
            Detector::LocalFailures => &self.local_failures,
        }
    }
}

impl Detector {
    fn reason(self) -> &'static str {
        match self {
            Self::Errors => "5xx in a row",
            Self::GatewayErrors => "502, 503 or 504 in a row",
            Self::LocalFailures => "failed connections in a row",
        }
    }
}

/// Counts one more; whether that is the limit. 0: never.
fn is_reached(counter: &AtomicU32, limit: u32) -> bool {
    let count = counter.fetch_add(1, Relaxed).saturating_add(1);
    limit > 0 && count >= limit
}

/// Writes only what is not zero already, so that good answers leave other cores' caches alone.
fn reset(counter: &AtomicU32) {
    if counter.load(Relaxed) != 0 {
        counter.store(0, Relaxed);
    }
}

fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests;
