//! Earliest deadline first (Envoy: `EdfScheduler`): turns in proportion to weights that may differ
//! from turn to turn, spread as evenly as can be.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Who is next.
#[derive(Debug, Default)]
pub struct Edf {
    queue: BinaryHeap<Entry>,
    /// Tells entries of the same deadline apart, first come first.
    order: u64,
}

#[derive(Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    index: u32,
}

impl Edf {
    /// A schedule of `count` members with these weights, above zero.
    pub fn new(count: u32, weight: impl Fn(u32) -> f64) -> Self {
        let mut edf = Self::default();
        for index in 0..count {
            edf.add(0.0, index, weight(index));
        }
        edf
    }

    /// The next one; it comes again by the weight that it has now.
    pub fn pick(&mut self, weight: impl Fn(u32) -> f64) -> Option<u32> {
        let Entry {
            deadline, index, ..
        } = self.queue.pop()?;
        self.add(deadline, index, weight(index));
        Some(index)
    }

    fn add(&mut self, now: f64, index: u32, weight: f64) {
        let order = self.order;
        self.order += 1;
        self.queue.push(Entry {
            deadline: now + 1.0 / weight.max(f64::MIN_POSITIVE),
            order,
            index,
        });
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: the heap gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_deadline = other.deadline.total_cmp(&self.deadline);
        by_deadline.then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
