//! Limits of connections and requests (Envoy: `ResourceManager`), for the whole process.
//!
//! Workers share nothing but these: four numbers per cluster, in atomics, and only for clusters that
//! set a limit. What is taken is given back when its [`Slot`] is dropped, and so in every case.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use gatehouse_config::model::Limits;

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
                    let under_way = self.used(Resource::Request) + self.used(Resource::Pending);
                    let share = budget.percent / 100.0 * f64::from(under_way);
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

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.used[self.resource as usize].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::RetryBudget;

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
    fn a_retry_budget_grows_with_the_requests() {
        let limits = Limits {
            retry_budget: Some(RetryBudget {
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
