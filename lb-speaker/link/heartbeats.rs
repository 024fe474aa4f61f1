//! Heartbeats between nodes: a UDP socket, and a thread of its own, so that nothing else on this
//! node delays them. Who is alive is decided in [`members`](crate::members).

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc as threads};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::members::wire::MAX_LENGTH;
use crate::members::{Detector, Heartbeat, Key, Malformed, Own, PeerState, Refusal, Timing, View};

/// The port that MetalLB's speakers use among themselves, too.
pub const PORT: u16 = 7946;

/// How a node finds the others.
#[derive(Clone, Debug)]
pub struct MembersSettings {
    /// This node's name, as its Node object has it.
    pub node: String,
    /// The address to bind to; none: the one that this host has on the way to the first peer.
    pub bind: Option<IpAddr>,
    /// The port to bind to.
    pub port: u16,
    /// The other nodes.
    pub peers: Vec<SocketAddr>,
    /// What all of them have and nobody else.
    pub key: Key,
    /// How fast things go.
    pub timing: Timing,
}

/// The running heartbeats. Dropping it falls silent without a word; [`leave`](Self::leave) says it.
#[derive(Debug)]
pub struct Members {
    commands: mpsc::UnboundedSender<Command>,
    views: watch::Receiver<Arc<View>>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Command {
    Link(bool),
    Peers(Vec<SocketAddr>),
    Leave(threads::SyncSender<()>),
}

/// How often the last word is said, and the time between.
const GOODBYES: u32 = 3;
const GOODBYE_STEP: Duration = Duration::from_millis(5);

impl Members {
    /// Binds the socket and starts the thread.
    ///
    /// # Errors
    /// The address cannot be bound, or there is no thread to be had.
    pub fn start(settings: MembersSettings) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let address = SocketAddr::new(
            settings
                .bind
                .unwrap_or_else(|| own_address(&settings.peers)),
            settings.port,
        );
        let socket = std::net::UdpSocket::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("UDP {address}: {error}")))?;
        socket.set_nonblocking(true)?;
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
        let detector = Detector::new(
            settings.node.clone(),
            u64::from_be_bytes(random),
            settings.timing,
            settings.peers.len(),
            Instant::now(),
        );
        let (commands, orders) = mpsc::unbounded_channel();
        let (publish, views) = watch::channel(Arc::new(detector.view()));
        let counters = Arc::new(Counters::default());
        let counting = Arc::clone(&counters);
        info!(%address, peers = settings.peers.len(), "heartbeats");
        std::thread::Builder::new()
            .name("members".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match UdpSocket::from_std(socket) {
                        Ok(socket) => {
                            let beating = Beating {
                                socket,
                                detector,
                                key: settings.key,
                                peers: settings.peers,
                                publish,
                                counters: counting,
                            };
                            beating.run(orders).await;
                        }
                        Err(error) => warn!("no heartbeats: {error}"),
                    }
                });
            })?;
        Ok(Self {
            commands,
            views,
            counters,
        })
    }

    /// Who is there, and each change of it.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Whether an interface of this node can announce; without one it owns nothing.
    pub fn set_link(&self, up: bool) {
        // An ended thread has nothing to own for.
        let _ = self.commands.send(Command::Link(up));
    }

    /// The other nodes are these now.
    pub fn set_peers(&self, peers: Vec<SocketAddr>) {
        let _ = self.commands.send(Command::Peers(peers));
    }

    /// Says that this node stops. Blocks until it is said, some 10 ms; others act on the first
    /// word. Afterwards this node owns nothing.
    pub fn leave(&self) {
        let (said, done) = threads::sync_channel(1);
        if self.commands.send(Command::Leave(said)).is_ok() {
            // An error means that the thread ended.
            let _ = done.recv_timeout(GOODBYE_STEP * GOODBYES * 20);
        }
    }

    /// Appends metrics in Prometheus text form.
    pub fn write_prometheus(&self, out: &mut String) {
        let view = Arc::clone(&self.views.borrow());
        let _ = writeln!(
            out,
            "# HELP gatehouse_members Other nodes, by what they are heard to be.\n\
             # TYPE gatehouse_members gauge"
        );
        for (state, label) in [
            (PeerState::Able, "able"),
            (PeerState::Waiting, "waiting"),
            (PeerState::Gone, "gone"),
        ] {
            let count = view.peers.values().filter(|peer| **peer == state).count();
            let _ = writeln!(out, "gatehouse_members{{state=\"{label}\"}} {count}");
        }
        let able = u8::from(view.own == Own::Able);
        let _ = writeln!(
            out,
            "# HELP gatehouse_member_able Whether this node may own addresses.\n\
             # TYPE gatehouse_member_able gauge\n\
             gatehouse_member_able {able}"
        );
        self.counters.write_prometheus(out);
    }
}

/// The address that this host has on the way to the first peer; without a way, all of the family.
fn own_address(peers: &[SocketAddr]) -> IpAddr {
    let v6 = peers.first().is_some_and(SocketAddr::is_ipv6);
    let any: IpAddr = if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let way = |peer: &SocketAddr| {
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect(peer).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    peers.first().and_then(way).unwrap_or(any)
}

struct Beating {
    socket: UdpSocket,
    detector: Detector,
    key: Key,
    peers: Vec<SocketAddr>,
    publish: watch::Sender<Arc<View>>,
    counters: Arc<Counters>,
}

impl Beating {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Command>) {
        // One more than the longest, so that a longer one is not cut to fit.
        let mut buffer = vec![0; MAX_LENGTH + 1];
        loop {
            // What others sent is read before their silence is judged.
            while let Ok((length, from)) = self.socket.try_recv_from(&mut buffer) {
                self.take(buffer.get(..length).unwrap_or_default(), from);
            }
            if self.detector.tick(Instant::now()) {
                self.beat();
            }
            self.publish();
            let next = self.detector.next();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Command::Link(up)) => self.detector.set_link(Instant::now(), up),
                    Some(Command::Peers(peers)) => {
                        self.detector.expect(peers.len());
                        self.peers = peers;
                    }
                    Some(Command::Leave(said)) => {
                        self.detector.leave(Instant::now());
                        for goodbye in 0..GOODBYES {
                            if goodbye > 0 {
                                tokio::time::sleep(GOODBYE_STEP).await;
                            }
                            self.beat();
                        }
                        self.publish();
                        // Nobody may be waiting any more.
                        let _ = said.send(());
                    }
                    None => return,
                },
                ready = self.socket.readable() => if let Err(error) = ready {
                    warn!("heartbeats end: {error}");
                    return;
                },
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        let heartbeat = match Heartbeat::decode(bytes, &self.key) {
            Ok(heartbeat) => heartbeat,
            Err(malformed) => {
                let reason = match malformed {
                    Malformed::Foreign => Reason::Foreign,
                    Malformed::Key => Reason::Key,
                };
                if self.counters.refuse(reason) == 0 {
                    warn!(%from, "a datagram is not a heartbeat under our key; is it the same on all nodes?");
                }
                return;
            }
        };
        match self.detector.receive(Instant::now(), &heartbeat) {
            Ok(()) => {
                self.counters.received.fetch_add(1, Relaxed);
            }
            Err(refusal) => {
                let reason = match refusal {
                    Refusal::Reflected => Reason::Reflected,
                    Refusal::SameName => Reason::SameName,
                    Refusal::Replayed => Reason::Replayed,
                    Refusal::TooMany => Reason::TooMany,
                };
                if self.counters.refuse(reason) == 0 {
                    warn!(%from, node = heartbeat.name, "a heartbeat is refused: {}", reason.text());
                }
            }
        }
    }

    fn beat(&mut self) {
        let bytes = self.detector.heartbeat(Instant::now()).encode(&self.key);
        for peer in &self.peers {
            match self.socket.try_send_to(&bytes, *peer) {
                Ok(_) => self.counters.sent.fetch_add(1, Relaxed),
                Err(error) => {
                    debug!(%peer, "a heartbeat is not sent: {error}");
                    self.counters.unsent.fetch_add(1, Relaxed)
                }
            };
        }
    }

    fn publish(&self) {
        let view = self.detector.view();
        self.publish.send_if_modified(|current| {
            let changed = **current != view;
            if changed {
                if current.able != view.able || current.own != view.own {
                    info!(able = ?view.able, own = ?view.own, "nodes");
                }
                *current = Arc::new(view);
            }
            changed
        });
    }
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    unsent: AtomicU64,
    received: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

/// Why a datagram does not count.
#[derive(Clone, Copy, Debug)]
enum Reason {
    Foreign,
    Key,
    Reflected,
    SameName,
    Replayed,
    TooMany,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Foreign,
        Self::Key,
        Self::Reflected,
        Self::SameName,
        Self::Replayed,
        Self::TooMany,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Key => "key",
            Self::Reflected => "reflected",
            Self::SameName => "same_name",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Foreign => "it has another format",
            Self::Key => "it is under another key",
            Self::Reflected => "it is our own; is this node among its own peers?",
            Self::SameName => "another node has our name; give each its own with --node",
            Self::Replayed => "it was heard before",
            Self::TooMany => "there are more nodes than are kept",
        }
    }
}

impl Counters {
    /// Counts; returns how many there were before.
    fn refuse(&self, reason: Reason) -> u64 {
        let counter = self.refused.get(reason as usize);
        counter.map_or(0, |counter| counter.fetch_add(1, Relaxed))
    }

    fn write_prometheus(&self, out: &mut String) {
        for (name, help, counter) in [
            ("sent", "Heartbeats to other nodes", &self.sent),
            (
                "unsent",
                "Heartbeats that the kernel did not take",
                &self.unsent,
            ),
            ("received", "Heartbeats of other nodes", &self.received),
        ] {
            let _ = writeln!(
                out,
                "# HELP gatehouse_heartbeats_{name}_total {help}.\n\
                 # TYPE gatehouse_heartbeats_{name}_total counter\n\
                 gatehouse_heartbeats_{name}_total {}",
                counter.load(Relaxed)
            );
        }
        let _ = writeln!(
            out,
            "# HELP gatehouse_heartbeats_refused_total Datagrams that do not count.\n\
             # TYPE gatehouse_heartbeats_refused_total counter"
        );
        for (reason, counter) in Reason::ALL.into_iter().zip(&self.refused) {
            let _ = writeln!(
                out,
                "gatehouse_heartbeats_refused_total{{reason=\"{}\"}} {}",
                reason.label(),
                counter.load(Relaxed)
            );
        }
    }
}
