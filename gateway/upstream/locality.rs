//! Which of a cluster's groups a request goes to (Envoy: priority levels and locality weights).
//!
//! While nobody is left out this is one look at the first priority. Otherwise the endpoints in health
//! are counted anew for each request: clusters have a handful of endpoints, and only those with
//! outlierDetection come here.

use crate::upstream::selection::{Priority, Selection};
use crate::worker::random::Random;

/// Envoy's overprovisioning factor, in percent: a group with 1/1.4 of its endpoints in health still
/// gets its whole share.
const OVERPROVISIONING: u64 = 140;

/// A place to choose an endpoint from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'a> {
    pub(super) priority: &'a Priority,
    /// So few are in health that all are used.
    pub(super) panic: bool,
}

/// Chooses the priority; none if nobody in health is left. `is_out` is none while nobody is out.
pub(super) fn priority<'a>(
    selection: &'a Selection,
    is_out: Option<&dyn Fn(u32) -> bool>,
    hash: Option<u64>,
    random: &Random,
) -> Option<Chosen<'a>> {
    let first = selection.priorities.first()?;
    let Some(is_out) = is_out else {
        return Some(Chosen {
            priority: first,
            panic: false,
        });
    };
    let counts: Vec<(u64, u64)> = selection
        .priorities
        .iter()
        .map(|priority| count(priority.endpoints.clone(), is_out))
        .collect();
    let health: Vec<u64> = counts
        .iter()
        .map(|(healthy, all)| (OVERPROVISIONING * healthy / (*all).max(1)).min(100))
        .collect();
    let total = health.iter().sum::<u64>().min(100);
    let outliers = selection.outliers.as_deref();
    let threshold = outliers.map_or(0, |outliers| u64::from(outliers.panic_threshold()));
    if total == 0 {
        return (threshold > 0).then_some(Chosen {
            priority: first,
            panic: true,
        });
    }
    let panics = |(healthy, all): &(u64, u64)| total < 100 && 100 * healthy < threshold * all;
    let everywhere = counts.iter().all(panics);
    let loads: Vec<u64> = if everywhere {
        // As if all were in health: by their number.
        counts.iter().map(|(_, all)| *all).collect()
    } else {
        let mut left = 100;
        let shares = health.iter().map(|health| {
            let load = (health * 100 / total).min(left);
            left -= load;
            load
        });
        let mut loads: Vec<u64> = shares.collect();
        // What rounding left over.
        if let Some(load) = loads.iter_mut().find(|load| **load > 0) {
            *load += left;
        }
        loads
    };
    let sum = loads.iter().sum::<u64>().max(1);
    let mut share = hash.unwrap_or_else(|| random.next()) % sum;
    for ((priority, load), counts) in selection.priorities.iter().zip(loads).zip(&counts) {
        if share < load {
            return Some(Chosen {
                priority,
                panic: panics(counts),
            });
        }
        share -= load;
    }
    None
}

/// Chooses a group of a priority whose groups have shares; the place among all groups.
pub(super) fn group(
    selection: &Selection,
    priority: &Priority,
    is_out: Option<&dyn Fn(u32) -> bool>,
    random: &Random,
) -> usize {
    let groups = priority.groups.clone();
    if groups.len() < 2 {
        return groups.start;
    }
    // In hundredths, so that a part of a share is not lost.
    let share = |index: usize| -> u64 {
        let group = &selection.groups[index];
        let weight = u64::from(group.weight.unwrap_or(group.total_weight));
        let health = is_out.map_or(100, |is_out| {
            let (healthy, all) = count(group.endpoints.clone(), is_out);
            (OVERPROVISIONING * healthy / all.max(1)).min(100)
        });
        weight * health
    };
    let sum: u64 = groups.clone().map(share).sum();
    let mut left = random.next() % sum.max(1);
    for index in groups.clone() {
        let share = share(index);
        if left < share {
            return index;
        }
        left -= share;
    }
    groups.start
}

/// Endpoints in health, and all.
fn count(endpoints: std::ops::Range<u32>, is_out: &dyn Fn(u32) -> bool) -> (u64, u64) {
    let all = endpoints.len() as u64;
    let out = endpoints.filter(|position| is_out(*position)).count() as u64;
    (all - out, all)
}
