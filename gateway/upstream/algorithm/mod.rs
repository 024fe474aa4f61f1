//! Choosing with everything that a DestinationRule can ask for.

use std::ops::Range;
use std::time::Instant;

use gatehouse_config::model::Balancing;

use crate::snapshot::{Cluster, ClusterId, EndpointId};
use crate::upstream::balance::{Choice, DRAWS, busier};
use crate::upstream::edf::Edf;
use crate::upstream::locality;
use crate::upstream::selection::{Group, Selection};
use crate::upstream::warmup;
use crate::worker::random::Random;
use crate::worker::view::View;

/// How far a table is walked past endpoints that are not wanted.
const STEPS: usize = 4096;

/// A worker's place in each group of a cluster.
#[derive(Debug, Default)]
pub struct Turns {
    groups: Vec<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// None: not begun.
    next: Option<u32>,
    schedule: Option<Edf>,
}

struct Chooser<'a> {
    view: &'a View,
    cluster: &'a Cluster,
    selection: &'a Selection,
    tried: &'a [EndpointId],
    /// Endpoints that are out may be used.
    panic: bool,
    random: &'a Random,
}

/// Chooses an endpoint of a cluster that has a [`Selection`].
pub(super) fn choose(
    view: &View,
    id: ClusterId,
    cluster: &Cluster,
    selection: &Selection,
    tried: &[EndpointId],
    hash: Option<u64>,
    random: &Random,
) -> Choice {
    let out = |position: u32| is_ejected(selection, position);
    let is_out = is_out(selection, &out);
    let Some(chosen) = locality::priority(selection, is_out, hash, random) else {
        return Choice::Empty;
    };
    let mut chooser = Chooser {
        view,
        cluster,
        selection,
        tried,
        panic: chosen.panic,
        random,
    };
    if let Some(table) = &chosen.priority.table {
        let hash = hash.unwrap_or_else(|| random.next());
        let mut positions = table.walk(hash).take(STEPS);
        if let Some(position) = positions.find(|position| chooser.is_wanted(*position)) {
            return Choice::Endpoint(chooser.id(position));
        }
        return chooser.any_of(chosen.priority.endpoints.clone(), 0);
    }
    if chosen.panic {
        // Without regard to localities, as Envoy.
        let all = chosen.priority.endpoints.clone();
        let first = random.below(all.end - all.start);
        return chooser.any_of(all, first);
    }
    let index = locality::group(selection, chosen.priority, is_out, random);
    let Some(group) = selection.groups.get(index) else {
        return Choice::Empty;
    };
    for _ in 0..DRAWS.max(group.endpoints.len().min(64)) {
        let position = chooser.draw(id, index, group);
        if chooser.is_wanted(position) {
            return Choice::Endpoint(chooser.id(position));
        }
    }
    let first = random.below(group.endpoints.end - group.endpoints.start);
    match chooser.any_of(group.endpoints.clone(), first) {
        // All of the group were tried: others of the priority are better.
        Choice::Endpoint(endpoint) if tried.contains(&endpoint) => {
            chooser.panic = false;
            chooser.any_of(chosen.priority.endpoints.clone(), 0)
        }
        choice => choice,
    }
}

/// The place of the endpoint that a hash leads to, by the tables that [`choose`] looks into; none
/// where the cluster has no table, or nobody is left.
pub fn by_hash(
    selection: &Selection,
    hash: u64,
    random: &Random,
    is_wanted: impl Fn(u32) -> bool,
) -> Option<u32> {
    let out = |position: u32| is_ejected(selection, position);
    let is_out = is_out(selection, &out);
    let chosen = locality::priority(selection, is_out, Some(hash), random)?;
    let mut positions = chosen.priority.table.as_ref()?.walk(hash).take(STEPS);
    positions.find(|position| (chosen.panic || !out(*position)) && is_wanted(*position))
}

fn is_ejected(selection: &Selection, position: u32) -> bool {
    let outliers = selection.outliers.as_deref();
    outliers.is_some_and(|outliers| outliers.is_ejected(position))
}

/// `out`, while anybody is out at all.
fn is_out<'a>(
    selection: &Selection,
    out: &'a dyn Fn(u32) -> bool,
) -> Option<&'a dyn Fn(u32) -> bool> {
    let outliers = selection.outliers.as_deref()?;
    outliers.has_ejected().then_some(out)
}

/// An endpoint of a priority that none of `tried` belongs to, the nearest such one first; none
/// where there is no other, or nobody in it is well (`retryRemoteLocalities`; Envoy: the
/// `previous_priorities` retry plugin).
pub(super) fn choose_elsewhere(
    view: &View,
    cluster: &Cluster,
    selection: &Selection,
    tried: &[EndpointId],
    random: &Random,
) -> Option<Choice> {
    let chooser = Chooser {
        view,
        cluster,
        selection,
        tried,
        panic: false,
        random,
    };
    let was_tried = |endpoints: &Range<u32>| {
        let mut ids = endpoints.clone().map(|position| chooser.id(position));
        ids.any(|id| tried.contains(&id))
    };
    let mut others = selection
        .priorities
        .iter()
        .map(|priority| priority.endpoints.clone())
        .filter(|endpoints| !was_tried(endpoints));
    others.find_map(|endpoints| {
        let first = random.below(endpoints.end - endpoints.start);
        match chooser.any_of(endpoints, first) {
            Choice::Endpoint(endpoint) => Some(Choice::Endpoint(endpoint)),
            Choice::Empty => None,
        }
    })
}

impl Chooser<'_> {
    fn id(&self, position: u32) -> EndpointId {
        EndpointId(self.cluster.endpoints.start + position)
    }

    /// Whether an endpoint may be used at all.
    fn is_usable(&self, position: u32) -> bool {
        let outliers = self.selection.outliers.as_deref();
        self.panic || outliers.is_none_or(|outliers| !outliers.is_ejected(position))
    }

    /// Whether an endpoint is as good as any. With outlierDetection nothing else counts; without,
    /// one that just refused a connection is left alone for a moment.
    fn is_wanted(&self, position: u32) -> bool {
        let id = self.id(position);
        self.is_usable(position)
            && !self.tried.contains(&id)
            && (self.selection.outliers.is_some() || self.view.state(id).is_available())
    }

    /// The first that is wanted from the `first` on; else one that was not tried; else any.
    fn any_of(&self, endpoints: Range<u32>, first: u32) -> Choice {
        let count = endpoints.end - endpoints.start;
        let start = endpoints.start;
        let all = || (0..count).map(|i| start + (first + i) % count);
        let untried =
            |position: &u32| self.is_usable(*position) && !self.tried.contains(&self.id(*position));
        let found = all()
            .find(|position| self.is_wanted(*position))
            .or_else(|| all().find(untried))
            .or_else(|| all().find(|position| self.is_usable(*position)));
        found.map_or(Choice::Empty, |position| {
            Choice::Endpoint(self.id(position))
        })
    }

    /// One endpoint of a group by the cluster's algorithm, wanted or not.
    fn draw(&self, id: ClusterId, index: usize, group: &Group) -> u32 {
        let count = group.endpoints.end - group.endpoints.start;
        let start = group.endpoints.start;
        if count == 1 {
            return start;
        }
        let warming = self.selection.warmup.is_some() && self.view.balancer(id).is_warming();
        let scheduled = !group.even || warming;
        match self.cluster.balancing {
            Balancing::RoundRobin if !scheduled => {
                let mut turns = self.view.balancer(id).turns.borrow_mut();
                let turn = turns.of(index);
                let next = turn.next.unwrap_or_else(|| self.random.below(count));
                turn.next = Some(next.wrapping_add(1));
                start + next % count
            }
            Balancing::LeastRequest if !scheduled => {
                let (a, b) = (
                    start + self.random.below(count),
                    start + self.random.below(count),
                );
                let worse = !self.is_wanted(a)
                    || (self.is_wanted(b) && busier(self.view, self.id(a), self.id(b)));
                if worse { b } else { a }
            }
            Balancing::RoundRobin | Balancing::LeastRequest => {
                let now = Instant::now();
                let weight = |i: u32| self.weight(start + i, warming, now);
                let mut turns = self.view.balancer(id).turns.borrow_mut();
                let turn = turns.of(index);
                let schedule = turn.schedule.get_or_insert_with(|| {
                    let mut schedule = Edf::new(count, weight);
                    // Workers do not all begin with the same endpoint.
                    for _ in 0..self.random.below(count) {
                        schedule.pick(weight);
                    }
                    schedule
                });
                start + schedule.pick(weight).unwrap_or_default()
            }
            Balancing::Random | Balancing::RingHash { .. } | Balancing::Maglev { .. } => {
                if group.even {
                    return start + self.random.below(count);
                }
                let mut left = self.random.below(group.total_weight);
                for position in group.endpoints.clone() {
                    let weight = self.view.snapshot.endpoint(self.id(position)).weight;
                    if left < weight {
                        return position;
                    }
                    left -= weight;
                }
                start
            }
        }
    }

    /// The share that an endpoint has now.
    fn weight(&self, position: u32, warming: bool, now: Instant) -> f64 {
        let id = self.id(position);
        let state = self.view.state(id);
        let mut weight = f64::from(self.view.snapshot.endpoint(id).weight);
        if let (true, Some(settings)) = (warming, &self.selection.warmup) {
            weight *= warmup::factor(settings, state.since, now);
        }
        if self.cluster.balancing == Balancing::LeastRequest {
            weight /= f64::from(state.active.get()) + 1.0;
        }
        weight
    }
}

impl Turns {
    /// Begins anew: the endpoints are others.
    pub fn clear(&mut self) {
        self.groups.clear();
    }

    fn of(&mut self, index: usize) -> &mut Turn {
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, Turn::default);
        }
        &mut self.groups[index]
    }
}

#[cfg(test)]
mod tests;
