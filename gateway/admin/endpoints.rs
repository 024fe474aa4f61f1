//! What the workers know of the endpoints, asked for when somebody looks.

use super::EndpointRow;
use crate::snapshot::{Endpoint, Snapshot};
use crate::worker::EndpointHealth;

/// Whether each endpoint may be chosen: by any worker.
pub(super) fn available(snapshot: &Snapshot, states: &[Vec<EndpointHealth>]) -> Vec<bool> {
    let endpoints = snapshot.endpoints.iter().enumerate();
    endpoints
        .map(|(i, endpoint)| {
            let mut seen = seen(states, i, endpoint).peekable();
            seen.peek().is_none() || seen.any(|state| state.available)
        })
        .collect()
}

/// What each worker knows of an endpoint; one that has another configuration knows nothing.
fn seen<'s>(
    states: &'s [Vec<EndpointHealth>],
    place: usize,
    endpoint: &'s Endpoint,
) -> impl Iterator<Item = &'s EndpointHealth> {
    states
        .iter()
        .filter_map(move |worker| worker.get(place))
        .filter(|state| state.address == endpoint.address)
}

/// The health of the endpoints of a DYNAMIC_DNS entry: there are none to look at.
const AT_REQUEST_TIME: &str = "resolved at request time";

/// Every endpoint, with what the workers know of it.
pub(super) fn rows(snapshot: &Snapshot, states: &[Vec<EndpointHealth>]) -> Vec<EndpointRow> {
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
            let seen = || seen(states, i as usize, endpoint);
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
