//! A snapshot with this worker's own state beside it. Not `Send`; a request borrows it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gatehouse_config::model::EndpointAddress;

use crate::snapshot::{Cluster, ClusterId, EndpointId, Snapshot};
use crate::upstream::endpoint::Lifetimes;
use crate::upstream::{EndpointState, Selection, Turns};
use crate::worker::random::Random;

/// What a request sees.
#[derive(Debug)]
pub struct View {
    /// The tables.
    pub snapshot: Arc<Snapshot>,
    /// By [`EndpointId`].
    endpoints: Vec<Rc<EndpointState>>,
    /// By [`ClusterId`].
    balancers: Vec<Rc<Balancer>>,
}

/// A worker's place in a cluster.
#[derive(Debug)]
pub struct Balancer {
    /// Round robin, the plain way.
    turn: Cell<u32>,
    /// Round robin and least requests, with groups and weights.
    pub turns: RefCell<Turns>,
    /// Until then an endpoint is new; none: all have been here for long.
    warm_at: Cell<Option<Instant>>,
    /// What `turns` was made for.
    made_for: Cell<u64>,
}

impl Balancer {
    /// Whether an endpoint is new.
    pub fn is_warming(&self) -> bool {
        let Some(warm_at) = self.warm_at.get() else {
            return false;
        };
        let warming = Instant::now() < warm_at;
        if !warming {
            self.warm_at.set(None);
            self.turns.borrow_mut().clear();
        }
        warming
    }
}

/// Endpoint states by cluster name and address, and balancers by cluster name: they survive a reload.
#[derive(Debug, Default)]
pub struct EndpointStates {
    known: HashMap<(Arc<str>, EndpointAddress), Rc<EndpointState>>,
    balancers: HashMap<Arc<str>, Rc<Balancer>>,
}

impl View {
    /// The view of nothing.
    pub fn empty() -> Self {
        Self {
            snapshot: Arc::default(),
            endpoints: Vec::new(),
            balancers: Vec::new(),
        }
    }

    /// An endpoint's state.
    pub fn state(&self, id: EndpointId) -> &Rc<EndpointState> {
        &self.endpoints[id.index()]
    }

    /// All endpoints' states, in the order of the snapshot.
    pub fn states(&self) -> &[Rc<EndpointState>] {
        &self.endpoints
    }

    /// The next turn of a cluster.
    pub fn next_turn(&self, id: ClusterId) -> u32 {
        let turn = &self.balancers[id.index()].turn;
        turn.replace(turn.get().wrapping_add(1))
    }

    /// This worker's place in a cluster.
    pub fn balancer(&self, id: ClusterId) -> &Balancer {
        &self.balancers[id.index()]
    }
}

/// The places of a cluster's endpoints.
fn range(cluster: &Cluster) -> std::ops::Range<usize> {
    cluster.endpoints.start as usize..cluster.endpoints.end as usize
}

impl Balancer {
    /// Begins anew if the endpoints or their weights are others, and notes how long one is new.
    fn adapt(
        &self,
        snapshot: &Snapshot,
        cluster: &Cluster,
        selection: &Selection,
        states: &[Rc<EndpointState>],
    ) {
        let mut hasher = DefaultHasher::new();
        for endpoint in snapshot.endpoints.get(range(cluster)).unwrap_or_default() {
            (&endpoint.address, endpoint.weight).hash(&mut hasher);
        }
        let made_for = hasher.finish();
        let newest = states.iter().map(|state| state.since).max();
        let warm_at = selection
            .warmup
            .and_then(|warmup| newest?.checked_add(warmup.duration));
        let before = self.warm_at.replace(warm_at);
        if self.made_for.replace(made_for) != made_for || before != warm_at {
            self.turns.borrow_mut().clear();
        }
    }
}

impl EndpointStates {
    /// The view of a new snapshot. Endpoints that are no longer there are forgotten; exchanges
    /// that still use one keep it until they end. The first turn of a cluster is left to chance,
    /// so that workers do not all begin with the same endpoint.
    pub fn view(&mut self, snapshot: Arc<Snapshot>, random: &Random) -> View {
        let mut kept = HashMap::with_capacity(snapshot.endpoints.len());
        let mut endpoints = Vec::with_capacity(snapshot.endpoints.len());
        for cluster in &snapshot.clusters {
            for i in cluster.endpoints.clone() {
                let address = snapshot.endpoint(EndpointId(i)).address.clone();
                let key = (Arc::clone(&cluster.name), address.clone());
                let state = kept
                    .entry(key)
                    .or_insert_with_key(|key| {
                        self.known
                            .remove(key)
                            .unwrap_or_else(|| Rc::new(EndpointState::new(address)))
                    })
                    .clone();
                state.lifetimes.set(Lifetimes::of(&cluster.connections));
                state.speak(cluster.tls.id());
                endpoints.push(state);
            }
        }
        self.known = kept;
        let mut kept = HashMap::with_capacity(snapshot.clusters.len());
        let mut balancers = Vec::with_capacity(snapshot.clusters.len());
        for cluster in &snapshot.clusters {
            let balancer = kept
                .entry(Arc::clone(&cluster.name))
                .or_insert_with_key(|name| {
                    let first = || {
                        Rc::new(Balancer {
                            turn: Cell::new(random.below(cluster.total_weight)),
                            turns: RefCell::default(),
                            warm_at: Cell::new(None),
                            made_for: Cell::new(0),
                        })
                    };
                    self.balancers.remove(name).unwrap_or_else(first)
                });
            if let Some(selection) = &cluster.selection {
                let states = endpoints.get(range(cluster)).unwrap_or_default();
                balancer.adapt(&snapshot, cluster, selection, states);
            }
            balancers.push(Rc::clone(balancer));
        }
        self.balancers = kept;
        View {
            snapshot,
            endpoints,
            balancers,
        }
    }

    /// All states that are in force.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<EndpointState>> {
        self.known.values()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use gatehouse_config::model::{
        Balancing, Cluster, DestinationLabels, Model, UpstreamProtocol, WorkloadLabels,
    };

    use super::*;
    use crate::compile::{Placement, RouteLists, compile};
    use crate::observe::LabelTable;

    fn snapshot(endpoints: u8) -> Arc<Snapshot> {
        let name = || "one".to_owned();
        let workload = WorkloadLabels {
            workload: name(),
            namespace: name(),
            app: name(),
            version: name(),
            canonical_service: name(),
            canonical_revision: name(),
        };
        let destination = DestinationLabels {
            service: name(),
            service_name: name(),
            service_namespace: name(),
        };
        let endpoints = (1..=endpoints).map(|last| gatehouse_config::model::Endpoint {
            address: std::net::SocketAddr::from(([127, 0, 0, last], 80)).into(),
            weight: 1,
            workload: Arc::new(workload.clone()),
        });
        let cluster = Cluster {
            name: "one".to_owned(),
            labels: Arc::new(destination),
            endpoints: endpoints.collect(),
            balancing: Balancing::RoundRobin,
            protocol: UpstreamProtocol::Http1,
            grpc_web: false,
            connect_timeout: Duration::from_secs(1),
            policy: Arc::default(),
        };
        let model = Model {
            clusters: vec![cluster.into()],
            ..Model::default()
        };
        let (places, mut labels) = (Placement::default(), LabelTable::new());
        let (mut lists, before) = (RouteLists::default(), Snapshot::default());
        Arc::new(compile(&model, &places, &mut labels, &mut lists, &before))
    }

    #[test]
    fn turns_go_on_with_the_next_configuration() {
        let (mut states, random) = (EndpointStates::default(), Random::new());
        let before = states.view(snapshot(5), &random);
        let turns = [
            before.next_turn(ClusterId(0)),
            before.next_turn(ClusterId(0)),
        ];
        assert_eq!(turns[0] + 1, turns[1]);
        let after = states.view(snapshot(5), &random);
        assert_eq!(after.next_turn(ClusterId(0)), turns[1] + 1);
        // Exchanges that still have the old view take turns with the others.
        assert_eq!(before.next_turn(ClusterId(0)), turns[1] + 2);
    }

    #[test]
    fn workers_do_not_all_begin_with_the_same_endpoint() {
        let random = Random::from_seed(3);
        let firsts: BTreeSet<u32> = (0..50)
            .map(|_| {
                let view = EndpointStates::default().view(snapshot(3), &random);
                view.next_turn(ClusterId(0))
            })
            .collect();
        assert_eq!(firsts, BTreeSet::from([0, 1, 2]));
    }
}
