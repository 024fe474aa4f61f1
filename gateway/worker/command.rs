//! What the control thread tells a worker.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_config::model::TransportProtocol;
use tokio::sync::{mpsc, oneshot};

use crate::net::{BoundTcp, BoundUdp};
use crate::observe::MetricsSnapshot;
use crate::snapshot::{Serves, Snapshot};
use crate::worker::Worker;

/// Something to do.
#[derive(Debug)]
pub enum Command {
    /// Serve this from now on.
    Update {
        /// The tables.
        snapshot: Arc<Snapshot>,
        /// Sockets for listeners that this worker does not have yet. Listeners of the snapshot
        /// that it has go on; others are closed.
        opened: Vec<Opened>,
    },
    /// Give a copy of the counters.
    Scrape(oneshot::Sender<MetricsSnapshot>),
    /// Say what is known of the endpoints, in the order of the snapshot's.
    Health(oneshot::Sender<Vec<EndpointHealth>>),
    /// Come to an end: answer for at least `min` with `connection: close`, then stop accepting,
    /// and end when the last connection did, or after `max`.
    Drain {
        /// Accept for so long.
        min: Duration,
        /// End after so long.
        max: Duration,
    },
}

/// A listening socket for one worker.
#[derive(Debug)]
pub struct Opened {
    /// The address.
    pub address: SocketAddr,
    /// The socket.
    pub socket: Socket,
}

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP, for HTTP or carried.
    Tcp(BoundTcp),
    /// UDP.
    Udp(BoundUdp),
}

/// An address's transport: TCP and UDP have ports of their own.
pub type Transport = TransportProtocol;

/// What a worker knows of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointHealth {
    /// Where.
    pub address: SocketAddr,
    /// Whether it may be chosen.
    pub available: bool,
    /// Requests under way.
    pub active: u32,
}

impl Serves {
    /// The transport of what is served.
    pub fn transport(self) -> Transport {
        match self {
            Self::Http(_) | Self::Tcp(_) => Transport::Tcp,
            Self::Udp(_) => Transport::Udp,
        }
    }
}

impl Worker {
    /// Does what it is told until it has drained, or nobody is left to tell it.
    pub(super) async fn obey(self: &Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Update { snapshot, opened } => self.update(snapshot, opened),
                Command::Scrape(answer) => {
                    self.report_live_tcp();
                    // The asker may be gone; then nobody misses the answer.
                    let _ = answer.send(self.metrics.borrow().snapshot());
                }
                Command::Health(answer) => {
                    let _ = answer.send(self.health());
                }
                Command::Drain { min, max } => return self.drain(min, max).await,
            }
        }
    }

    fn update(self: &Rc<Self>, snapshot: Arc<Snapshot>, opened: Vec<Opened>) {
        let view = Rc::new(self.states.borrow_mut().view(Arc::clone(&snapshot)));
        // No await between these: a request sees either the old configuration or the new one.
        *self.view.borrow_mut() = view;
        self.assign_slots(&snapshot, opened);
    }

    fn health(&self) -> Vec<EndpointHealth> {
        let view = self.view();
        view.states()
            .iter()
            .map(|state| EndpointHealth {
                address: state.address,
                available: state.is_available(),
                active: state.active.get(),
            })
            .collect()
    }

    async fn drain(self: &Rc<Self>, min: Duration, max: Duration) {
        let end = Instant::now() + max;
        self.draining.set(true);
        self.wheel.wake_all();
        tokio::time::sleep(min).await;
        self.close_slots().await;
        let last = async {
            while self.connections.get() > 0 {
                self.idle.notified().await;
            }
        };
        let left = end.saturating_duration_since(Instant::now());
        tokio::select! {
            () = last => {}
            () = tokio::time::sleep(left) => {
                tracing::warn!(connections = self.connections.get(), "drained too slowly; closing");
            }
        }
    }
}
