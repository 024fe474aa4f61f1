//! A snapshot with this worker's own state beside it. Not `Send`; a request borrows it.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::snapshot::{ClusterId, EndpointId, Snapshot};
use crate::upstream::EndpointState;

/// What a request sees.
#[derive(Debug)]
pub struct View {
    /// The tables.
    pub snapshot: Arc<Snapshot>,
    /// By [`EndpointId`].
    endpoints: Vec<Rc<EndpointState>>,
    /// Round-robin turns, by [`ClusterId`].
    turns: Vec<Cell<u32>>,
}

/// Endpoint states by cluster name and address: they survive a reload.
#[derive(Debug, Default)]
pub struct EndpointStates {
    known: HashMap<(Arc<str>, SocketAddr), Rc<EndpointState>>,
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
    /// that still use one keep it until they end.
    pub fn view(&mut self, snapshot: Arc<Snapshot>) -> View {
        let mut kept = HashMap::with_capacity(snapshot.endpoints.len());
        let mut endpoints = Vec::with_capacity(snapshot.endpoints.len());
        for cluster in &snapshot.clusters {
            for i in cluster.endpoints.clone() {
                let address = snapshot.endpoint(EndpointId(i)).address;
                let key = (Arc::clone(&cluster.name), address);
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
        let turns = snapshot.clusters.iter().map(|_| Cell::new(0)).collect();
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
