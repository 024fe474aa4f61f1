//! Carried UDP Services: one carrier per address, endpoints chosen by the balancer.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use gatehouse_config::model::TransportProtocol;

use crate::exchange::ResponseFlags;
use crate::l4::{Carrier, Endpoints, Picked, UdpCounters, UdpSettings};
use crate::net::BoundUdp;
use crate::snapshot::{EndpointId, LabelsId};
use crate::upstream::{Choice, EndpointState, choose};
use crate::worker::Worker;
use crate::worker::listener::Slot;

const UDP: TransportProtocol = TransportProtocol::Udp;

/// A UDP listener.
pub struct UdpSlot {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    carrier: Rc<Carrier>,
    counters: Rc<UdpCounters>,
    reported: Reported,
}

/// What was counted as limits already.
#[derive(Default)]
struct Reported {
    evicted: Cell<u64>,
    busy: Cell<u64>,
    oversize: Cell<u64>,
    no_endpoint: Cell<u64>,
    not_let_in: Cell<u64>,
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
        };
        let counters = Rc::new(UdpCounters::default());
        let carrier = Carrier::new(
            bound,
            Box::new(choice),
            UdpSettings {
                idle_timeout: worker.settings.udp_idle_timeout,
                ..UdpSettings::default()
            },
            Rc::clone(&counters),
            Rc::clone(&worker.pipes),
        )?;
        Ok(Rc::new(Self {
            worker,
            slot,
            carrier,
            counters,
            reported: Reported::default(),
        }))
    }

    /// What is to be run.
    pub fn carrier(&self) -> Rc<Carrier> {
        Rc::clone(&self.carrier)
    }

    /// Counts what was carried and dropped since the last time.
    pub fn report(&self) {
        self.carrier.report();
        let (now, before) = (&self.counters, &self.reported);
        let refused = now.dropped_not_let_in.get();
        let news = refused - before.not_let_in.replace(refused);
        if news > 0 {
            self.worker
                .with_metrics(|metrics| metrics.refused_times("source_ranges", news));
        }
        for (limit, now, before) in [
            ("udp_max_flows", &now.flows_evicted, &before.evicted),
            ("udp_buffer", &now.dropped_busy, &before.busy),
            ("udp_datagram_size", &now.dropped_oversize, &before.oversize),
            (
                "udp_endpoints",
                &now.dropped_no_endpoint,
                &before.no_endpoint,
            ),
        ] {
            let news = now.get() - before.replace(now.get());
            if news > 0 {
                self.worker
                    .with_metrics(|metrics| metrics.limit_reached_times(limit, news));
            }
        }
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
            .filter_map(|i| view.snapshot.endpoint(EndpointId(i)).address.inet())
            .collect();
        self.carrier.retain(|endpoint| known.contains(&endpoint));
    }
}

impl Drop for UdpSlot {
    fn drop(&mut self) {
        self.report();
    }
}

/// Chooses endpoints for flows.
struct Picker {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
}

impl Endpoints for Picker {
    fn lets_in(&self, client: SocketAddr) -> bool {
        self.slot.lets_in(client.ip())
    }

    fn pick(&self, _client: SocketAddr) -> Option<Box<dyn Picked>> {
        let view = self.worker.view();
        let cluster = self
            .slot
            .cluster()
            .filter(|id| id.index() < view.snapshot.clusters.len())?;
        match choose(&view, cluster, &[], None, &self.worker.random) {
            Choice::Endpoint(endpoint) => {
                let state = view.state(endpoint);
                // A socket's path cannot be an endpoint of a UDP Service.
                let address = state.address.inet()?;
                let labels = view.snapshot.endpoint(endpoint).labels;
                state.active.set(state.active.get() + 1);
                self.worker
                    .with_metrics(|metrics| metrics.l4_opened(labels, UDP));
                Some(Box::new(PickedEndpoint {
                    worker: Rc::clone(&self.worker),
                    state: Rc::clone(state),
                    address,
                    labels,
                }))
            }
            Choice::Empty => None,
        }
    }
}

/// The endpoint of one flow, as it was when it was picked.
struct PickedEndpoint {
    worker: Rc<Worker>,
    state: Rc<EndpointState>,
    address: SocketAddr,
    labels: LabelsId,
}

impl Picked for PickedEndpoint {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn refused(&self) {
        self.state.connect_failed();
    }

    fn carried(&self, received: u64, sent: u64) {
        let flags = ResponseFlags::default();
        self.worker
            .with_metrics(|metrics| metrics.l4_carried(self.labels, UDP, flags, received, sent));
    }
}

impl Drop for PickedEndpoint {
    fn drop(&mut self) {
        let active = &self.state.active;
        active.set(active.get().saturating_sub(1));
        let flags = ResponseFlags::default();
        self.worker
            .with_metrics(|metrics| metrics.l4_closed(self.labels, UDP, flags));
    }
}
