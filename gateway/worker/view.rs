//! A snapshot with this worker's own state beside it. Not `Send`; a request borrows it.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use gatehouse_config::model::EndpointAddress;

use crate::snapshot::{ClusterId, EndpointId, Snapshot};
use crate::upstream::EndpointState;
use crate::worker::random::Random;

/// What a request sees.
#[derive(Debug)]
pub struct View {
    /// The tables.
    pub snapshot: Arc<Snapshot>,
    /// By [`EndpointId`].
    endpoints: Vec<Rc<EndpointState>>,
    /// Round-robin turns, by [`ClusterId`].
    turns: Vec<Rc<Cell<u32>>>,
}

/// Endpoint states by cluster name and address, and turns by cluster name: they survive a reload.
#[derive(Debug, Default)]
pub struct EndpointStates {
    known: HashMap<(Arc<str>, EndpointAddress), Rc<EndpointState>>,
    turns: HashMap<Arc<str>, Rc<Cell<u32>>>,
}

impl View {
    /// The view of nothing.
    pub fn empty() -> Self {
        Self {
            snapshot: Arc::default(),
            endpoints: Vec::new(),
            turns: Vec::new(),
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
        let turn = &self.turns[id.index()];
        turn.replace(turn.get().wrapping_add(1))
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
                endpoints.push(state);
            }
        }
        self.known = kept;
        let mut kept = HashMap::with_capacity(snapshot.clusters.len());
        let mut turns = Vec::with_capacity(snapshot.clusters.len());
        for cluster in &snapshot.clusters {
            let turn = kept
                .entry(Arc::clone(&cluster.name))
                .or_insert_with_key(|name| {
                    let first = || Rc::new(Cell::new(random.below(cluster.total_weight)));
                    self.turns.remove(name).unwrap_or_else(first)
                });
            turns.push(Rc::clone(turn));
        }
        self.turns = kept;
        View {
            snapshot,
            endpoints,
            turns,
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
            connect_timeout: Duration::from_secs(1),
        };
        let model = Model {
            clusters: vec![cluster],
            ..Model::default()
        };
        let (places, mut labels) = (Placement::default(), LabelTable::new());
        let mut lists = RouteLists::default();
        Arc::new(compile(&model, &places, &mut labels, &mut lists, 1))
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
