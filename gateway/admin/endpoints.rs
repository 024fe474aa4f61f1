//! What the workers know of the endpoints, asked for when somebody looks.

use super::EndpointRow;
use crate::snapshot::Snapshot;
use crate::worker::{EndpointHealth, KnownEndpoints};

/// Whether each endpoint may be chosen: by any worker.
pub(super) fn available(snapshot: &Snapshot, states: &[KnownEndpoints]) -> Vec<bool> {
    (0..snapshot.endpoints.len())
        .map(|i| {
            let mut seen = seen(snapshot, states, i).peekable();
            seen.peek().is_none() || seen.any(|state| state.available)
        })
        .collect()
}

/// What each worker knows of an endpoint; one that serves another configuration knows nothing.
fn seen<'s>(
    snapshot: &Snapshot,
    states: &'s [KnownEndpoints],
    place: usize,
) -> impl Iterator<Item = &'s EndpointHealth> {
    let generation = snapshot.generation;
    states
        .iter()
        .filter(move |worker| worker.generation == generation)
        .filter_map(move |worker| worker.endpoints.get(place))
}

/// The health of the endpoints of a DYNAMIC_DNS entry: there are none to look at.
const AT_REQUEST_TIME: &str = "resolved at request time";

/// Every endpoint, with what the workers know of it.
pub(super) fn rows(snapshot: &Snapshot, states: &[KnownEndpoints]) -> Vec<EndpointRow> {
    let mut rows = Vec::new();
    for cluster in &snapshot.clusters {
        rows.extend(cluster.dynamic_dns.as_deref().map(|dynamic| EndpointRow {
            cluster: cluster.name.to_string(),
            address: format!("*{}:{}", dynamic.suffix, dynamic.port),
            health: AT_REQUEST_TIME.to_owned(),
            weight: 1,
            ..EndpointRow::default()
        }));
        for i in cluster.endpoints.clone() {
            let Some(endpoint) = snapshot.endpoints.get(i as usize) else {
                continue;
            };
            let seen = || seen(snapshot, states, i as usize);
            let ejected = seen().any(|health| !health.available);
            rows.push(EndpointRow {
                cluster: cluster.name.to_string(),
                address: endpoint.address.to_string(),
                health: if ejected {
                    "ejected: connects fail"
                } else {
                    "healthy"
                }
                .to_owned(),
                workload: endpoint.workload.workload.clone(),
                weight: endpoint.weight,
                active: Some(seen().map(|health| u64::from(health.active)).sum()),
                requests: None,
            });
        }
    }
    rows
}
