//! What choosing an endpoint needs beyond "the less busy of two": tables, localities, warm-up,
//! endpoints that are left out. Compiled; most clusters have none of it.

use std::ops::Range;
use std::sync::Arc;

use gatehouse_config::model::{Balancing, Cluster, LocalityGroup, Warmup};

use crate::upstream::Outliers;
use crate::upstream::hash_table::{HashTable, Member};

/// How endpoints are chosen.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Groups of endpoints, by priority; at least one, and none is empty.
    pub groups: Box<[Group]>,
    /// Runs of `groups`, one for each priority, the first to be used first.
    pub priorities: Box<[Priority]>,
    /// How new endpoints are spared.
    pub warmup: Option<Warmup>,
    /// Who is left out.
    pub outliers: Option<Arc<Outliers>>,
}

/// Endpoints that are equally near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Places in the cluster.
    pub endpoints: Range<u32>,
    /// The share within the priority; none: chosen by endpoint, not by group.
    pub weight: Option<u32>,
    /// Whether all endpoints have the same weight.
    pub even: bool,
    /// The sum of their weights.
    pub total_weight: u32,
}

/// Groups that are used before others.
#[derive(Clone, Debug)]
pub struct Priority {
    /// Which groups.
    pub groups: Range<usize>,
    /// Places in the cluster.
    pub endpoints: Range<u32>,
    /// By hash; none where the algorithm is another.
    pub table: Option<Arc<HashTable>>,
}

impl Selection {
    /// Whether an endpoint is found by a hash.
    pub fn hashes(&self) -> bool {
        self.priorities
            .first()
            .is_some_and(|first| first.table.is_some())
    }

    /// What a cluster needs; none where the plain way does. Tables of `before` that are still
    /// right are taken over.
    pub fn new(
        cluster: &Cluster,
        outliers: Option<Arc<Outliers>>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let weights: Vec<u32> = cluster.endpoints.iter().map(|e| e.weight).collect();
        let hashes = matches!(
            cluster.balancing,
            Balancing::RingHash { .. } | Balancing::Maglev { .. }
        );
        let uneven = !is_even(&weights) && cluster.balancing != Balancing::Random;
        let localities = &cluster.policy.localities;
        let warmup = cluster.policy.warmup;
        let plain =
            !hashes && !uneven && outliers.is_none() && warmup.is_none() && localities.is_empty();
        if plain || weights.is_empty() {
            return None;
        }
        let all = LocalityGroup {
            endpoints: u32::try_from(weights.len()).ok()?,
            priority: 0,
            weight: None,
        };
        let written = if localities.is_empty() {
            std::slice::from_ref(&all)
        } else {
            localities
        };
        let groups = groups(written, &weights);
        let mut priorities: Vec<Priority> = Vec::new();
        let runs = groups.chunk_by(|a, b| a.0 == b.0);
        let mut first = 0;
        for run in runs {
            let endpoints = run[0].1.endpoints.start..run[run.len() - 1].1.endpoints.end;
            priorities.push(Priority {
                groups: first..first + run.len(),
                endpoints,
                table: None,
            });
            first += run.len();
        }
        let groups: Box<[Group]> = groups.into_iter().map(|(_, group)| group).collect();
        if hashes {
            for priority in &mut priorities {
                let members = members(cluster, &groups[priority.groups.clone()]);
                let known = before.iter().flat_map(|before| &before.priorities);
                let mut known = known.filter_map(|priority| priority.table.as_ref());
                let same = known.find(|table| table.is_of(cluster.balancing, &members));
                priority.table = match same {
                    Some(table) => Some(Arc::clone(table)),
                    None => HashTable::new(cluster.balancing, members).map(Arc::new),
                };
            }
        }
        Some(Self {
            groups,
            priorities: priorities.into(),
            warmup,
            outliers,
        })
    }
}

/// With the priority that each was written with.
fn groups(written: &[LocalityGroup], weights: &[u32]) -> Vec<(u32, Group)> {
    let mut start = 0_u32;
    let mut groups = Vec::with_capacity(written.len());
    for group in written {
        let end = start + group.endpoints;
        let own = weights
            .get(start as usize..end as usize)
            .unwrap_or_default();
        if !own.is_empty() {
            let sum = own.iter().fold(0_u32, |sum, w| w.saturating_add(sum));
            groups.push((
                group.priority,
                Group {
                    endpoints: start..end,
                    weight: group.weight,
                    even: is_even(own),
                    total_weight: sum.max(1),
                },
            ));
        }
        start = end;
    }
    groups
}

/// The endpoints of a priority, with shares that heed those of the groups.
fn members(cluster: &Cluster, groups: &[Group]) -> Vec<Member> {
    let mut members = Vec::new();
    for group in groups {
        for position in group.endpoints.clone() {
            let Some(endpoint) = cluster.endpoints.get(position as usize) else {
                continue;
            };
            let of_group = group.weight.map_or(1.0, |weight| {
                f64::from(weight) / f64::from(group.total_weight)
            });
            members.push(Member {
                position,
                key: endpoint.address.to_string().into(),
                weight: f64::from(endpoint.weight) * of_group,
            });
        }
    }
    // The same endpoints in another order are the same table.
    members.sort_by(|a, b| a.key.cmp(&b.key));
    members
}

fn is_even(weights: &[u32]) -> bool {
    weights.windows(2).all(|pair| pair[0] == pair[1])
}
