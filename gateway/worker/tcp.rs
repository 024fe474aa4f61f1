//! Carried TCP, of Services and of Gateways' TCP servers: choose an endpoint, connect, carry, count.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatehouse_config::model::{HashPolicy, TransportProtocol, Tunnel};
use tokio::io::AsyncWriteExt as _;

use crate::exchange::{Connection, ResponseFlags};
use crate::l4::http_tunnel::{self, Granted, carry_through};
use crate::l4::{End, Memory, Peer, TcpCounters, TcpSettings, carry};
use crate::net::{ConnectError, Stream, connect};
use crate::observe::Resolved;
use crate::observe::access_log::TcpConnection;
use crate::observe::labels::UNKNOWN_DESTINATION;
use crate::snapshot::{ClusterId, Destination, EndpointId, LabelsId, ServerId, Serves, Snapshot};
use crate::tls::Within;
use crate::upstream::circuit_breaker::{Resource, Slot};
use crate::upstream::hash_table::hash;
use crate::upstream::pool::{Origin, Purpose};
use crate::upstream::{Choice, Outcome, choose, connect_options};
use crate::worker::Worker;
use crate::worker::view::View;

/// How many endpoints are tried (Envoy's `max_connect_attempts` is 1; a LAN has better uses for
/// its other endpoints).
const ATTEMPTS: usize = 3;

/// A carried connection whose bytes are counted while they flow.
#[derive(Debug)]
pub struct LiveTcp {
    labels: LabelsId,
    counters: TcpCounters,
    reported: Cell<(u64, u64)>,
}

impl LiveTcp {
    /// Bytes from the client and to it since the last call.
    fn news(&self) -> (u64, u64) {
        let now = (
            self.counters.received_bytes.get(),
            self.counters.sent_bytes.get(),
        );
        let before = self.reported.replace(now);
        (now.0 - before.0, now.1 - before.1)
    }
}

/// A connection to an endpoint.
struct Connected {
    endpoint: EndpointId,
    stream: Stream,
    /// What its proxy granted.
    tunnel: Option<Granted>,
    /// Where it counts towards a limit.
    slot: Option<Slot>,
}

impl Worker {
    /// Carries one connection. `ahead` is what was read of it already.
    pub(super) async fn carry_tcp(
        self: &Rc<Self>,
        view: &View,
        serves: Serves,
        mut client: Stream,
        ahead: Vec<u8>,
        connection: Connection,
    ) {
        let started = Instant::now();
        let Connection { peer, local, tls } = connection;
        let snapshot = &view.snapshot;
        let cluster = match serves {
            Serves::Tcp(cluster) => Some(cluster),
            Serves::TcpServer(server) => self.share(snapshot, server),
            Serves::Http(_) | Serves::Tls(_) | Serves::Udp(_) => None,
        };
        let cluster = cluster.filter(|id| id.index() < snapshot.clusters.len());
        let mut failure = String::new();
        let (connected, flags) = match cluster {
            Some(cluster) => {
                let ends = (peer, local);
                self.connect_tcp(view, cluster, ends, &ahead, &mut failure)
                    .await
            }
            // Nothing defines the destination.
            None => (None, ResponseFlags::NC),
        };
        let mut line = TcpConnection {
            started_at: self.clock.wall(started),
            duration: started.elapsed(),
            peer,
            local,
            tls: tls.as_deref(),
            upstream_local: None,
            flags,
            details: "",
            transport_failure: &failure,
            downstream_failure: "",
            received: 0,
            sent: 0,
            resolved: Resolved {
                route_name: "",
                cluster: cluster.map_or("", |id| &snapshot.cluster(id).name),
                endpoint: None,
            },
        };
        let labels = match &connected {
            Some(to) => snapshot.endpoint(to.endpoint).labels,
            None => cluster.map_or(UNKNOWN_DESTINATION, |id| {
                snapshot.cluster(id).no_endpoint_labels
            }),
        };
        self.with_metrics(|metrics| metrics.l4_opened(labels, TransportProtocol::Tcp));
        if let (Some(connected), Some(cluster)) = (connected, cluster) {
            let Connected {
                endpoint,
                stream: mut upstream,
                tunnel,
                slot: _slot,
            } = connected;
            line.upstream_local = upstream.local_addr().ok();
            line.resolved.endpoint = Some(&snapshot.endpoint(endpoint).address);
            let active = &view.state(endpoint).active;
            active.set(active.get() + 1);
            let live = Rc::new(LiveTcp {
                labels,
                counters: TcpCounters::default(),
                reported: Cell::default(),
            });
            live.counters.received_bytes.set(ahead.len() as u64);
            let number = self.random.next();
            self.live_tcp.borrow_mut().insert(number, Rc::clone(&live));
            let connections = &snapshot.cluster(cluster).connections;
            let settings = TcpSettings {
                idle_timeout: match connections.tcp_idle_timeout {
                    None => Some(self.settings.tcp_idle_timeout),
                    Some(time) => Some(time).filter(|time| !time.is_zero()),
                },
                max_duration: connections.max_duration,
            };
            let memory = Memory {
                pipes: &self.pipes,
                buffers: &self.buffers,
            };
            let (from, to, counters) = (&mut client, &mut upstream, &live.counters);
            let carried = match tunnel {
                None => carry(from, to, &settings, memory, counters).await,
                Some(granted) => {
                    carry_through(from, to, granted, &settings, memory, counters).await
                }
            };
            drop((client, upstream));
            self.live_tcp.borrow_mut().remove(&number);
            active.set(active.get().saturating_sub(1));
            self.report(&live);
            line.received = carried.received;
            line.sent = carried.sent;
            line.flags.insert(end_flag(carried.end));
        } else {
            // The client sees at once that nobody answers, as it would without us.
            client.reset_on_close();
        }
        self.with_metrics(|metrics| metrics.l4_closed(labels, TransportProtocol::Tcp, line.flags));
        line.duration = started.elapsed();
        if let (Some(plan), Some(log)) = (&snapshot.access_log, &self.access_log) {
            log.borrow_mut().log_tcp(&line, plan);
        }
    }

    /// The cluster of a new connection, by the shares of a server's route; none where that share
    /// leads to nothing, or where a policy guards everything that comes and nobody enforces it.
    fn share(&self, snapshot: &Snapshot, server: ServerId) -> Option<ClusterId> {
        let guards = snapshot.guards.as_ref();
        if guards.is_some_and(|guards| guards.guard_everything()) {
            return None;
        }
        let route = snapshot.servers.get(server.index())?.tcp.as_ref()?;
        let mut left = match &*route.destinations {
            [_] => 0,
            _ => self.random.below(route.total_weight),
        };
        let (chosen, _) = route.destinations.iter().find(|(_, weight)| {
            let falls_here = left < *weight;
            left = left.saturating_sub(*weight);
            falls_here
        })?;
        match chosen {
            Destination::Cluster(cluster) => Some(*cluster),
            Destination::Unknown { .. } => None,
        }
    }

    async fn connect_tcp(
        &self,
        view: &View,
        cluster: ClusterId,
        ends: Origin,
        ahead: &[u8],
        failure: &mut String,
    ) -> (Option<Connected>, ResponseFlags) {
        let mut tried = Vec::new();
        let to = view.snapshot.cluster(cluster);
        if let Some(why) = to.tls.impossible() {
            *failure = ConnectError::NoTls(why.into()).to_string();
            return (None, ResponseFlags::UF);
        }
        // Of what can be hashed, a connection has the client's address alone (Istio).
        let hash = matches!(to.hash, Some(HashPolicy::SourceAddress))
            .then(|| hash(ends.0.ip().to_canonical().to_string().as_bytes()));
        let purpose = Purpose::new(to, ends, None);
        let report = |endpoint: EndpointId, outcome| {
            if let Some(outliers) = &to.outliers {
                outliers.report(endpoint.0 - to.endpoints.start, outcome);
            }
        };
        let slot = match &to.breaker {
            None => None,
            Some(breaker) => match breaker.take(Resource::Connection) {
                None => {
                    self.with_metrics(|metrics| metrics.limit_reached("maxConnections"));
                    return (None, ResponseFlags::UO);
                }
                slot => slot,
            },
        };
        for _ in 0..ATTEMPTS {
            let endpoint = match choose(view, cluster, &tried, hash, &self.random) {
                Choice::Endpoint(endpoint) if tried.contains(&endpoint) => break,
                Choice::Endpoint(endpoint) => endpoint,
                Choice::Empty => return (None, ResponseFlags::UH),
            };
            let state = view.state(endpoint);
            let (timeout, address) = (to.connect_timeout, &state.address);
            let options = connect_options(to, timeout, &purpose, Within::Bytes, address);
            let connected = match options {
                Ok(options) => connect(address, &options).await,
                Err(error) => Err(error),
            };
            let connected = match connected {
                Ok(stream) => Some(stream),
                Err(error) => {
                    tracing::debug!(%error, "carried connection: endpoint cannot be reached");
                    if matches!(
                        error,
                        ConnectError::Tls(..) | ConnectError::HandshakeCut(..)
                    ) {
                        *failure = error.to_string();
                    }
                    if !error.is_endpoint() {
                        tried.push(endpoint);
                        continue;
                    }
                    None
                }
            };
            let connected = match (connected, &to.tunnel) {
                (Some(stream), Some(tunnel)) => through(stream, tunnel, to.connect_timeout).await,
                (stream, _) => stream.map(|stream| (stream, None)),
            };
            let connected = match connected {
                Some((mut stream, tunnel)) if !ahead.is_empty() => {
                    let sent = send_ahead(&mut stream, ahead, to.connect_timeout).await;
                    sent.then_some((stream, tunnel))
                }
                connected => connected,
            };
            match connected {
                Some((stream, tunnel)) => {
                    state.connected();
                    report(endpoint, Outcome::Connected);
                    // A connection is all that is asked for (Envoy: a final success).
                    report(endpoint, Outcome::Status(200));
                    let connected = Connected {
                        endpoint,
                        stream,
                        tunnel,
                        slot,
                    };
                    return (Some(connected), ResponseFlags::default());
                }
                None => {
                    state.connect_failed();
                    report(endpoint, Outcome::Failed);
                    tried.push(endpoint);
                }
            }
        }
        (None, ResponseFlags::UF.given_up())
    }

    /// Counts what flowed since the last scrape.
    pub(super) fn report_live_tcp(&self) {
        for live in self.live_tcp.borrow().values() {
            self.report(live);
        }
    }

    fn report(&self, live: &LiveTcp) {
        let (received, sent) = live.news();
        self.with_metrics(|metrics| {
            let flags = ResponseFlags::default();
            metrics.l4_carried(live.labels, TransportProtocol::Tcp, flags, received, sent);
        });
    }
}

/// Asks the proxy behind a new connection for the tunnel.
async fn through(
    mut stream: Stream,
    tunnel: &Tunnel,
    timeout: Duration,
) -> Option<(Stream, Option<Granted>)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "once per connection that is carried"
    )]
    let granted = tokio::time::timeout(timeout, http_tunnel::open(&mut stream, tunnel)).await;
    match granted {
        Ok(Ok(granted)) => Some((stream, Some(granted))),
        Ok(Err(error)) => {
            tracing::debug!(%error, target = tunnel.target, "the proxy opens no tunnel");
            None
        }
        Err(_) => {
            tracing::debug!(target = tunnel.target, "the proxy opens no tunnel in time");
            None
        }
    }
}

/// Sends what was read of the client before it was known where it wants to go.
async fn send_ahead(stream: &mut Stream, ahead: &[u8], timeout: Duration) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "once per connection that is carried"
    )]
    let sent = tokio::time::timeout(timeout, async {
        stream.write_all(ahead).await?;
        stream.flush().await
    })
    .await;
    matches!(sent, Ok(Ok(())))
}

fn end_flag(end: End) -> ResponseFlags {
    match end {
        End::Closed(_) => ResponseFlags::default(),
        End::Reset(Peer::Client) | End::Lost(Peer::Client, _) => ResponseFlags::DR,
        End::Reset(Peer::Upstream) | End::Lost(Peer::Upstream, _) => ResponseFlags::UC,
        // Envoy has a flag for the duration, and none for the silence.
        End::Idle => ResponseFlags::default(),
        End::Old => ResponseFlags::DT,
    }
}
