//! What the control thread tells a worker.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_config::model::TransportProtocol;
use tokio::sync::{mpsc, oneshot};

use crate::net::{BoundTcp, BoundUdp};
use crate::observe::MetricsSnapshot;
use crate::snapshot::{Cluster, EndpointId, Serves, Snapshot};
use crate::worker::{Drain, Worker};

/// How long a drained connection may take to begin its first request: a client connects and sends
/// at once, but the two may be a round trip and a lost packet apart.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// Something to do.
#[derive(Debug)]
pub enum Command {
    /// Serve this from now on.
    Update {
        /// The tables.
        snapshot: Arc<Snapshot>,
        /// Sockets for listeners that this worker does not have yet. Listeners of the snapshot
        /// that it has go on; others are closed, and those without a socket may come later.
        opened: Vec<Opened>,
    },
    /// Sockets for listeners of the configuration in force that could not be opened with it, or
    /// were lost.
    Open(Vec<Opened>),
    /// Give a copy of the counters.
    Scrape(oneshot::Sender<MetricsSnapshot>),
    /// Say what is known of the endpoints, in the order of the snapshot's.
    Health(oneshot::Sender<KnownEndpoints>),
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

/// What tells listeners apart.
pub type Key = (SocketAddr, Transport);

/// What a worker knows of the endpoints.
#[derive(Clone, Debug)]
pub struct KnownEndpoints {
    /// The snapshot's that it serves.
    pub generation: u64,
    /// In the order of that snapshot's.
    pub endpoints: Vec<EndpointHealth>,
}

/// What a worker knows of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointHealth {
    /// Whether it may be chosen.
    pub available: bool,
    /// Requests under way.
    pub active: u32,
}

impl Serves {
    /// The transport of what is served.
    pub fn transport(self) -> Transport {
        match self {
            Self::Http(_) | Self::Tcp(_) | Self::TcpServer(_) | Self::Tls(_) => Transport::Tcp,
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
                Command::Open(opened) => self.open_slots(opened),
                Command::Scrape(answer) => self.scrape(answer),
                Command::Health(answer) => {
                    let _ = answer.send(self.health());
                }
                Command::Drain { min, max } => {
                    return self.drain_and_answer(min, max, commands).await;
                }
            }
        }
    }

    /// Drains, and goes on telling what it counts and knows.
    async fn drain_and_answer(
        self: &Rc<Self>,
        min: Duration,
        max: Duration,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut drained = pin!(self.drain(min, max));
        loop {
            let command = tokio::select! {
                () = &mut drained => return,
                command = commands.recv() => command,
            };
            match command {
                Some(Command::Scrape(answer)) => self.scrape(answer),
                Some(Command::Health(answer)) => {
                    let _ = answer.send(self.health());
                }
                // What is served no longer changes, and there is one end only.
                Some(Command::Update { .. } | Command::Open(_) | Command::Drain { .. }) => {}
                None => return drained.await,
            }
        }
    }

    fn scrape(&self, answer: oneshot::Sender<MetricsSnapshot>) {
        self.report_live_tcp();
        self.report_udp();
        // The asker may be gone; then nobody misses the answer.
        let _ = answer.send(self.metrics.borrow().snapshot());
    }

    fn update(self: &Rc<Self>, snapshot: Arc<Snapshot>, opened: Vec<Opened>) {
        let view = Rc::new(
            self.states
                .borrow_mut()
                .view(Arc::clone(&snapshot), &self.random),
        );
        // No await between these: a request sees either the old configuration or the new one.
        self.keep_case.set(snapshot.proxy.headers.preserve_case);
        *self.view.borrow_mut() = view;
        self.assign_slots(&snapshot);
        self.open_slots(opened);
    }

    fn health(&self) -> KnownEndpoints {
        let view = self.view();
        let snapshot = &view.snapshot;
        // One run of endpoints after the other, as the snapshot has them.
        let of_cluster = |cluster: &Cluster| {
            let outliers = cluster.outliers.clone();
            if let Some(outliers) = &outliers {
                outliers.has_ejected(); // lets in those whose time is over
            }
            let endpoints = cluster.endpoints.clone();
            (0..endpoints.len()).zip(endpoints).map(move |(place, id)| {
                let position = u32::try_from(place).unwrap_or(u32::MAX);
                (EndpointId(id), position, outliers.clone())
            })
        };
        let clusters = snapshot.clusters.iter();
        let endpoints = clusters
            .flat_map(of_cluster)
            .map(|(id, position, outliers)| {
                let state = view.state(id);
                EndpointHealth {
                    available: match outliers {
                        Some(outliers) => !outliers.is_ejected(position),
                        None => state.is_available(),
                    },
                    active: state.active.get(),
                }
            })
            .collect();
        KnownEndpoints {
            generation: snapshot.generation,
            endpoints,
        }
    }

    async fn drain(self: &Rc<Self>, min: Duration, max: Duration) {
        let end = Instant::now() + max;
        self.drain.set(Drain::Serving);
        tokio::time::sleep(min.min(max)).await;
        self.drain.set(Drain::Closing);
        self.wheel.wake_all();
        self.close_slots().await;
        let last = async {
            let mut grace = pin!(tokio::time::sleep(FIRST_REQUEST_GRACE));
            while self.connections.get() > 0 {
                tokio::select! {
                    () = self.idle.notified() => {}
                    () = &mut grace, if self.drain.get() == Drain::Closing => {
                        self.drain.set(Drain::Over);
                        self.wheel.wake_all();
                    }
                }
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
