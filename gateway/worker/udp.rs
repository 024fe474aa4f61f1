//! Carried UDP Services: one carrier per address, endpoints chosen by the balancer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use gatehouse_config::model::TransportProtocol;

use crate::exchange::ResponseFlags;
use crate::l4::{Carrier, Endpoints, UdpCounters, UdpSettings};
use crate::net::BoundUdp;
use crate::snapshot::{EndpointId, LabelsId};
use crate::upstream::{Choice, EndpointState, choose};
use crate::worker::Worker;
use crate::worker::listener::Slot;

/// A UDP listener.
pub struct UdpSlot {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    carrier: Rc<Carrier>,
}

impl std::fmt::Debug for UdpSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSlot")
            .field("address", &self.slot.address)
            .finish_non_exhaustive()
    }
}

impl UdpSlot {
    /// Opens the carrier.
    pub fn new(worker: Rc<Worker>, slot: Rc<Slot>, bound: BoundUdp) -> io::Result<Rc<Self>> {
        let choice = Picker {
            worker: Rc::clone(&worker),
            slot: Rc::clone(&slot),
            picked: RefCell::default(),
        };
        let carrier = Carrier::new(
            bound,
            Box::new(choice),
            UdpSettings {
                idle_timeout: worker.settings.udp_idle_timeout,
                ..UdpSettings::default()
            },
            Rc::new(UdpCounters::default()),
            Rc::clone(&worker.pipes),
        )?;
        Ok(Rc::new(Self {
            worker,
            slot,
            carrier,
        }))
    }

    /// What is to be run.
    pub fn carrier(&self) -> Rc<Carrier> {
        Rc::clone(&self.carrier)
    }

    /// Ends the flows to endpoints that the configuration no longer has.
    pub fn forget_lost_endpoints(&self) {
        let Some(cluster) = self.slot.cluster() else {
            return;
        };
        let view = self.worker.view();
        let Some(cluster) = view.snapshot.clusters.get(cluster.index()) else {
            return;
        };
        let known: Vec<SocketAddr> = cluster
            .endpoints
            .clone()
            .map(|i| view.snapshot.endpoint(EndpointId(i)).address)
            .collect();
        self.carrier.retain(|endpoint| known.contains(&endpoint));
    }
}

/// Chooses endpoints for flows.
struct Picker {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    picked: RefCell<HashMap<SocketAddr, (Rc<EndpointState>, LabelsId)>>,
}

impl Endpoints for Picker {
    fn pick(&self, _client: SocketAddr) -> Option<SocketAddr> {
        let view = self.worker.view();
        let cluster = self
            .slot
            .cluster()
            .filter(|id| id.index() < view.snapshot.clusters.len())?;
        match choose(&view, cluster, &[], &self.worker.random) {
            Choice::Endpoint(endpoint) => {
                let state = view.state(endpoint);
                let labels = view.snapshot.endpoint(endpoint).labels;
                state.active.set(state.active.get() + 1);
                self.picked
                    .borrow_mut()
                    .insert(state.address, (Rc::clone(state), labels));
                self.worker
                    .with_metrics(|metrics| metrics.l4_opened(labels, TransportProtocol::Udp));
                Some(state.address)
            }
            Choice::Empty => None,
        }
    }

    fn refused(&self, endpoint: SocketAddr) {
        if let Some((state, _)) = self.picked.borrow().get(&endpoint) {
            state.connect_failed();
        }
    }

    fn ended(&self, endpoint: SocketAddr) {
        if let Some((state, labels)) = self.picked.borrow().get(&endpoint) {
            state.active.set(state.active.get().saturating_sub(1));
            self.worker.with_metrics(|metrics| {
                metrics.l4_closed(*labels, TransportProtocol::Udp, ResponseFlags::default());
            });
        }
    }
}
