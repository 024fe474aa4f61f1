//! Choosing an endpoint of a cluster.
//!
//! The plain way, for clusters without a [`Selection`](crate::upstream::Selection), comes first and
//! looks at nothing else; `locality` and `algorithm` are for the others.

use gatehouse_config::model::Balancing;

use crate::snapshot::{Cluster, ClusterId, EndpointId};
use crate::upstream::algorithm;
use crate::worker::random::Random;
use crate::worker::view::View;

/// How often chance may fall on an unwanted endpoint before all are looked at.
pub(super) const DRAWS: usize = 5;

/// What came of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Endpoint(EndpointId),
    /// The cluster has none that may be used: 503 UH.
    Empty,
}

/// Chooses an endpoint. Ejected ones and those in `tried` are avoided as long as there are others;
/// `hash` is that of the request, where it has one.
pub fn choose(
    view: &View,
    id: ClusterId,
    tried: &[EndpointId],
    hash: Option<u64>,
    random: &Random,
) -> Choice {
    let cluster = view.snapshot.cluster(id);
    if let Some(selection) = &cluster.selection {
        return algorithm::choose(view, id, cluster, selection, tried, hash, random);
    }
    match cluster.endpoints.len() {
        0 => Choice::Empty,
        1 => Choice::Endpoint(EndpointId(cluster.endpoints.start)),
        _ => Choice::Endpoint(among(view, id, cluster, tried, random)),
    }
}

/// Chooses for a retry that may go to other localities: first of all in those where none of
/// `tried` stands.
pub fn choose_elsewhere(
    view: &View,
    id: ClusterId,
    tried: &[EndpointId],
    hash: Option<u64>,
    random: &Random,
) -> Choice {
    let cluster = view.snapshot.cluster(id);
    let elsewhere = match &cluster.selection {
        Some(selection) if !tried.is_empty() => {
            algorithm::choose_elsewhere(view, cluster, selection, tried, random)
        }
        _ => None,
    };
    elsewhere.unwrap_or_else(|| choose(view, id, tried, hash, random))
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
            Balancing::Random | Balancing::RingHash { .. } | Balancing::Maglev { .. } => {
                by_weight(view, cluster, random)
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

/// `a.active > b.active`.
pub(super) fn busier(view: &View, a: EndpointId, b: EndpointId) -> bool {
    view.state(a).active.get() > view.state(b).active.get()
}

fn in_turn(view: &View, id: ClusterId, cluster: &Cluster) -> EndpointId {
    let count = cluster.endpoints.end - cluster.endpoints.start;
    EndpointId(cluster.endpoints.start + view.next_turn(id) % count)
}

/// By chance, in proportion to the weights.
fn by_weight(view: &View, cluster: &Cluster, random: &Random) -> EndpointId {
    let count = cluster.endpoints.end - cluster.endpoints.start;
    if cluster.even {
        return EndpointId(cluster.endpoints.start + random.below(count));
    }
    let mut left = random.below(cluster.total_weight);
    for i in cluster.endpoints.clone() {
        let weight = view.snapshot.endpoint(EndpointId(i)).weight;
        if left < weight {
            return EndpointId(i);
        }
        left -= weight;
    }
    EndpointId(cluster.endpoints.start)
}
