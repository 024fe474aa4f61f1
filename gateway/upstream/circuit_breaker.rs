//! Limits of connections and requests (Envoy: `ResourceManager`), for the whole process.
//!
//! Workers share nothing but these: four numbers per cluster, in atomics, and only for clusters that
//! set a limit. What is taken is given back when its [`Slot`] is dropped, and so in every case.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gatehouse_config::model::{Limits, RetryBudget};

/// The limits of a cluster and what is in use.
#[derive(Debug)]
pub struct CircuitBreaker {
    limits: Limits,
    usage: Arc<Usage>,
}

/// What is in use; later generations of a cluster go on with it.
#[derive(Debug, Default)]
struct Usage {
    used: [AtomicU32; 4],
    overflows: [AtomicU64; 4],
    recent: Recent,
}

/// Requests of the last interval, for a retry budget that counts those.
///
/// Two intervals are counted, and the older one by the part of it that is still recent. Workers
/// that turn the page at the same moment may lose a few counts, which a budget can bear.
#[derive(Debug)]
struct Recent {
    epoch: Instant,
    /// Which interval `now` counts, from `epoch`.
    page: AtomicU64,
    now: AtomicU32,
    before: AtomicU32,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            page: AtomicU64::new(0),
            now: AtomicU32::new(0),
            before: AtomicU32::new(0),
        }
    }
}

impl Recent {
    /// Turns the page where that is due; gives the part of its interval that is over.
    fn turn(&self, at: Instant, interval: Duration) -> f64 {
        let intervals =
            at.saturating_duration_since(self.epoch).as_secs_f64() / interval.as_secs_f64();
        let page = intervals as u64;
        let seen = self.page.load(Relaxed);
        if page > seen
            && self
                .page
                .compare_exchange(seen, page, Relaxed, Relaxed)
                .is_ok()
        {
            let last = self.now.swap(0, Relaxed);
            let is_next = page == seen + 1;
            self.before.store(if is_next { last } else { 0 }, Relaxed);
        }
        intervals.fract()
    }

    fn note(&self, at: Instant, interval: Duration) {
        self.turn(at, interval);
        self.now.fetch_add(1, Relaxed);
    }

    fn count(&self, at: Instant, interval: Duration) -> f64 {
        let over = self.turn(at, interval);
        let before = f64::from(self.before.load(Relaxed));
        f64::from(self.now.load(Relaxed)) + before * (1.0 - over)
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A connection.
    Connection,
    /// A request that waits for a connection.
    Pending,
    /// A request under way.
    Request,
    /// A retry under way.
    Retry,
}

/// One of something, for as long as the value lives.
#[derive(Debug)]
pub struct Slot {
    usage: Arc<Usage>,
    resource: Resource,
}

impl CircuitBreaker {
    /// The limits of a cluster; `before` is that of the last generation.
    pub fn new(limits: Limits, before: Option<&Self>) -> Self {
        Self {
            limits,
            usage: before.map_or_else(Arc::default, |before| Arc::clone(&before.usage)),
        }
    }

    /// What is limited, and how far.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes one; none where the limit is reached, which is counted.
    pub fn take(&self, resource: Resource) -> Option<Slot> {
        let limit = self.limit(resource);
        let used = &self.usage.used[resource as usize];
        let taken = used.fetch_update(Relaxed, Relaxed, |used| {
            (used < limit).then(|| used.saturating_add(1))
        });
        if taken.is_err() {
            self.usage.overflows[resource as usize].fetch_add(1, Relaxed);
            return None;
        }
        if resource == Resource::Request
            && let Some(RetryBudget {
                interval: Some(interval),
                ..
            }) = self.limits.retry_budget
        {
            self.usage.recent.note(Instant::now(), interval);
        }
        Some(self.slot(resource))
    }

    /// Takes one whatever the limit says.
    pub fn take_anyway(&self, resource: Resource) -> Slot {
        self.usage.used[resource as usize].fetch_add(1, Relaxed);
        self.slot(resource)
    }

    /// How many are in use.
    pub fn used(&self, resource: Resource) -> u32 {
        self.usage.used[resource as usize].load(Relaxed)
    }

    /// How often the limit was reached.
    pub fn overflows(&self, resource: Resource) -> u64 {
        self.usage.overflows[resource as usize].load(Relaxed)
    }

    /// How many there may be; a retry budget grows with the requests.
    pub fn limit(&self, resource: Resource) -> u32 {
        let limit = match resource {
            Resource::Connection => self.limits.max_connections,
            Resource::Pending => self.limits.max_pending_requests,
            Resource::Request => self.limits.max_requests,
            Resource::Retry => match self.limits.retry_budget {
                Some(budget) => {
                    let requests = match budget.interval {
                        None => {
                            f64::from(self.used(Resource::Request) + self.used(Resource::Pending))
                        }
                        Some(interval) => self.usage.recent.count(Instant::now(), interval),
                    };
                    let share = budget.percent / 100.0 * requests;
                    Some((share as u32).max(budget.minimum))
                }
                None => self.limits.max_retries,
            },
        };
        limit.unwrap_or(u32::MAX)
    }

    fn slot(&self, resource: Resource) -> Slot {
        Slot {
            usage: Arc::clone(&self.usage),
            resource,
        }
    }
}

impl Slot {
    /// Whether it is one of this limit, of any generation.
    pub fn is_of(&self, breaker: &CircuitBreaker) -> bool {
        Arc::ptr_eq(&self.usage, &breaker.usage)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.used[self.resource as usize].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_until_something_is_given_back() {
        let limits = Limits {
            max_requests: Some(2),
            ..Limits::default()
        };
        let breaker = CircuitBreaker::new(limits.clone(), None);
        let first = breaker.take(Resource::Request);
        let second = breaker.take(Resource::Request);
        assert!(first.is_some() && second.is_some());
        assert!(breaker.take(Resource::Request).is_none());
        assert_eq!(breaker.overflows(Resource::Request), 1);
        // The next generation knows what is under way.
        let next = CircuitBreaker::new(limits, Some(&breaker));
        assert!(next.take(Resource::Request).is_none());
        drop(first);
        assert!(next.take(Resource::Request).is_some());
        assert!(next.take(Resource::Connection).is_some(), "unlimited");
    }

    #[test]
    fn workers_together_never_take_more_than_the_limit() {
        let limits = Limits {
            max_connections: Some(7),
            ..Limits::default()
        };
        let breaker = Arc::new(CircuitBreaker::new(limits, None));
        let most = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (breaker, most) = (Arc::clone(&breaker), Arc::clone(&most));
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        let slots: Vec<_> =
                            (0..3).map(|_| breaker.take(Resource::Connection)).collect();
                        most.fetch_max(breaker.used(Resource::Connection), Relaxed);
                        drop(slots);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(most.load(Relaxed) <= 7);
        assert_eq!(breaker.used(Resource::Connection), 0);
    }

    #[test]
    fn a_retry_budget_may_count_the_requests_of_an_interval() {
        let recent = Recent::default();
        let second = Duration::from_secs(1);
        let at = |millis| recent.epoch + Duration::from_millis(millis);
        for millis in (0..1_000).step_by(10) {
            recent.note(at(millis), second);
        }
        assert_eq!(recent.count(at(999), second), 100.0);
        assert_eq!(
            recent.count(at(1_500), second),
            50.0,
            "half of them are old"
        );
        recent.note(at(1_500), second);
        assert_eq!(recent.count(at(1_750), second), 26.0);
        assert_eq!(recent.count(at(9_000), second), 0.0);

        let budget = RetryBudget {
            percent: 50.0,
            interval: Some(Duration::from_secs(600)),
            minimum: 1,
        };
        let limits = Limits {
            retry_budget: Some(budget),
            ..Limits::default()
        };
        let breaker = CircuitBreaker::new(limits, None);
        for _ in 0..10 {
            drop(breaker.take(Resource::Request));
        }
        assert_eq!(breaker.used(Resource::Request), 0);
        let limit = breaker.limit(Resource::Retry);
        // All of the interval but for the moment that has gone by.
        assert!((4..=5).contains(&limit), "{limit}");
    }

    #[test]
    fn a_retry_budget_grows_with_the_requests() {
        let limits = Limits {
            retry_budget: Some(RetryBudget {
                interval: None,
                percent: 20.0,
                minimum: 3,
            }),
            max_retries: Some(0),
            ..Limits::default()
        };
        let breaker = CircuitBreaker::new(limits, None);
        assert_eq!(breaker.limit(Resource::Retry), 3);
        let _requests: Vec<_> = (0..50).map(|_| breaker.take(Resource::Request)).collect();
        assert_eq!(breaker.limit(Resource::Retry), 10);
    }
}
