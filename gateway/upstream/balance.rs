//! Choosing an endpoint of a cluster.

use gatehouse_config::model::Balancing;

use crate::snapshot::{Cluster, ClusterId, EndpointId};
use crate::worker::random::Random;
use crate::worker::view::View;

/// How often chance may fall on an unwanted endpoint before all are looked at.
const DRAWS: usize = 5;

/// What came of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Endpoint(EndpointId),
    /// The cluster has none: 503 UH.
    Empty,
}

/// Chooses an endpoint. Ejected ones and those in `tried` are avoided as long as there are others.
pub fn choose(view: &View, id: ClusterId, tried: &[EndpointId], random: &Random) -> Choice {
    let cluster = view.snapshot.cluster(id);
    match cluster.endpoints.len() {
        0 => Choice::Empty,
        1 => Choice::Endpoint(EndpointId(cluster.endpoints.start)),
        _ => Choice::Endpoint(among(view, id, cluster, tried, random)),
    }
}

fn among(
    view: &View,
    id: ClusterId,
    cluster: &Cluster,
    tried: &[EndpointId],
    random: &Random,
) -> EndpointId {
    let wanted =
        |endpoint: EndpointId| !tried.contains(&endpoint) && view.state(endpoint).is_available();
    for _ in 0..DRAWS {
        let endpoint = match cluster.balancing {
            Balancing::RoundRobin => in_turn(view, id, cluster),
            Balancing::Random => by_weight(view, cluster, random),
            Balancing::LeastRequest => {
                let (a, b) = (
                    by_weight(view, cluster, random),
                    by_weight(view, cluster, random),
                );
                if !wanted(a) || (wanted(b) && busier(view, a, b)) {
                    b
                } else {
                    a
                }
            }
        };
        if wanted(endpoint) {
            return endpoint;
        }
    }
    // Chance was against us: take the first good one from a random start, or else one that was
    // not tried, or else any. A cluster with every endpoint ejected is better tried than refused.
    let all = || {
        let count = cluster.endpoints.end - cluster.endpoints.start;
        let first = random.below(count);
        (0..count).map(move |i| EndpointId(cluster.endpoints.start + (first + i) % count))
    };
    all()
        .find(|endpoint| wanted(*endpoint))
        .or_else(|| all().find(|endpoint| !tried.contains(endpoint)))
        .unwrap_or(EndpointId(cluster.endpoints.start))
}

/// Requests per weight: `a.active / a.weight > b.active / b.weight`.
fn busier(view: &View, a: EndpointId, b: EndpointId) -> bool {
    let load = |endpoint| u64::from(view.state(endpoint).active.get());
    let weight = |endpoint| u64::from(view.snapshot.endpoint(endpoint).weight);
    load(a) * weight(b) > load(b) * weight(a)
}

fn in_turn(view: &View, id: ClusterId, cluster: &Cluster) -> EndpointId {
    nth(view, cluster, view.next_turn(id) % cluster.total_weight)
}

fn by_weight(view: &View, cluster: &Cluster, random: &Random) -> EndpointId {
    let count = cluster.endpoints.end - cluster.endpoints.start;
    if cluster.even {
        return EndpointId(cluster.endpoints.start + random.below(count));
    }
    nth(view, cluster, random.below(cluster.total_weight))
}

/// The endpoint on which share number `share` falls.
fn nth(view: &View, cluster: &Cluster, share: u32) -> EndpointId {
    if cluster.even {
        let count = cluster.endpoints.end - cluster.endpoints.start;
        return EndpointId(cluster.endpoints.start + share % count);
    }
    let mut left = share;
    for i in cluster.endpoints.clone() {
        let weight = view.snapshot.endpoint(EndpointId(i)).weight;
        if left < weight {
            return EndpointId(i);
        }
        left -= weight;
    }
    EndpointId(cluster.endpoints.start)
}
