//! Heartbeats between nodes: a UDP socket, and a thread of its own, so that nothing else on this
//! node delays them. Who is alive is decided in [`members`](crate::members).

mod counters;
mod destinations;
mod keys;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc as threads};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::announce::Mac;
use crate::members::wire::MAX_LENGTH;
use crate::members::{Detector, Key, Own, PeerState, Timing, View};
use counters::{Counters, Reason};
use destinations::Destinations;
use keys::Keys;

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
    /// The other nodes, and what all of them have and nobody else.
    pub peers: Peers,
    /// How fast things go.
    pub timing: Timing,
}

/// Who the other nodes are.
#[derive(Clone, Debug)]
pub enum Peers {
    /// These, with this key.
    Named(Vec<SocketAddr>, Box<Key>),
    /// They are told later ([`Members::set_peers`], [`Members::set_key`]); until then nothing is
    /// sent, and this node owns nothing. A port that cannot be had is then no failure but
    /// [`View::trouble`], and is tried again.
    Found,
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
    CarrierLost,
    Peers(BTreeMap<String, SocketAddr>),
    Key(Box<Key>),
    Macs(Vec<Mac>),
    Leave(threads::SyncSender<()>),
}

/// How often the last word is said, and the time between.
const GOODBYES: u32 = 3;
const GOODBYE_STEP: Duration = Duration::from_millis(5);
/// So many datagrams are read between two looks at the time: whoever floods the port must not keep us
/// from being heard.
const AT_ONCE: usize = 256;
/// How often a port is tried that another process has.
const BIND_AGAIN: Duration = Duration::from_secs(2);

impl Members {
    /// Binds the socket and starts the thread.
    ///
    /// # Errors
    /// The address cannot be bound, or there is no thread to be had.
    pub fn start(settings: MembersSettings) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (destinations, key) = match settings.peers {
            Peers::Named(peers, key) => (Destinations::Named(peers), Some(*key)),
            Peers::Found => (
                Destinations::Found {
                    told: BTreeMap::new(),
                    heard: BTreeMap::new(),
                },
                None,
            ),
        };
        let bind = settings.bind;
        let address = bind.unwrap_or_else(|| own_address(&destinations.all()));
        let address = SocketAddr::new(address, settings.port);
        let socket = match bind_to(address) {
            Err(_) if key.is_none() => None,
            socket => Some(socket?),
        };
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
        let detector = Detector::new(
            settings.node.clone(),
            u64::from_be_bytes(random),
            settings.timing,
            destinations.expected(),
            Instant::now(),
        );
        let (commands, orders) = mpsc::unbounded_channel();
        let (publish, views) = watch::channel(Arc::new(detector.view()));
        let counters = Arc::new(Counters::default());
        let counting = Arc::clone(&counters);
        info!(%address, "heartbeats");
        let mut beating = Beating {
            address,
            detector,
            keys: Keys::new(key),
            destinations,
            trouble: None,
            publish,
            counters: counting,
        };
        std::thread::Builder::new()
            .name("members".to_owned())
            .spawn(move || {
                let ended = runtime.block_on(beating.run(socket, orders));
                if let Err(error) = ended {
                    warn!("heartbeats end: {error}");
                }
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

    /// An interface of several that can announce lost its carrier.
    pub fn lose_carrier(&self) {
        let _ = self.commands.send(Command::CarrierLost);
    }

    /// The other nodes are these now, by their names.
    pub fn set_peers(&self, peers: BTreeMap<String, SocketAddr>) {
        let _ = self.commands.send(Command::Peers(peers));
    }

    /// Heartbeats are signed with this key from now on; the one before counts for another minute, and
    /// up to ten minutes while a node is heard that has only that.
    pub fn set_key(&self, key: Key) {
        let _ = self.commands.send(Command::Key(Box::new(key)));
    }

    /// The MAC addresses that this node announces with; others are told.
    pub fn set_macs(&self, macs: Vec<Mac>) {
        let _ = self.commands.send(Command::Macs(macs));
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

fn bind_to(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("UDP {address}: {error}"));
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(told)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Whatever the host's default is: nodes of both families are heard.
        socket.set_only_v6(false).map_err(told)?;
    }
    socket.bind(&address.into()).map_err(told)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// An address as a socket of IPv6 sends to it.
fn as_v6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

struct Beating {
    address: SocketAddr,
    detector: Detector,
    keys: Keys,
    destinations: Destinations,
    trouble: Option<String>,
    publish: watch::Sender<Arc<View>>,
    counters: Arc<Counters>,
}

impl Beating {
    /// Until nobody gives orders any more.
    async fn run(
        &mut self,
        socket: Option<std::net::UdpSocket>,
        mut orders: mpsc::UnboundedReceiver<Command>,
    ) -> io::Result<()> {
        let socket = match socket {
            Some(socket) => socket,
            None => match self.wait_for_port(&mut orders).await {
                Some(socket) => socket,
                None => return Ok(()),
            },
        };
        let socket = UdpSocket::from_std(socket)?;
        // One more than the longest, so that a longer one is not cut to fit.
        let mut buffer = vec![0; MAX_LENGTH + 1];
        loop {
            // What others sent is read before their silence is judged.
            for _ in 0..AT_ONCE {
                let Ok((length, from)) = socket.try_recv_from(&mut buffer) else {
                    break;
                };
                self.take(buffer.get(..length).unwrap_or_default(), from);
            }
            if self.detector.tick(Instant::now()) {
                self.beat(&socket);
            }
            self.publish();
            let next = self.detector.next(!self.destinations.are_none());
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Command::Leave(said)) => {
                        self.detector.leave(Instant::now());
                        for goodbye in 0..GOODBYES {
                            if goodbye > 0 {
                                tokio::time::sleep(GOODBYE_STEP).await;
                            }
                            self.beat(&socket);
                        }
                        self.publish();
                        // Nobody may be waiting any more.
                        let _ = said.send(());
                    }
                    Some(order) => self.obey(order),
                    None => return Ok(()),
                },
                ready = socket.readable() => ready?,
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Waits until whoever has our port leaves it; none: nobody gives orders any more.
    async fn wait_for_port(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Option<std::net::UdpSocket> {
        // Told when somebody can be heard: until then silence says nothing.
        let mut told = None;
        loop {
            match bind_to(self.address) {
                Ok(socket) => {
                    self.trouble = None;
                    self.detector.hears_from_now_on(Instant::now());
                    if let Some(peers) = told {
                        self.obey(peers);
                    }
                    return Some(socket);
                }
                Err(error) => self.trouble = Some(error.to_string()),
            }
            self.publish();
            tokio::select! {
                order = orders.recv() => match order? {
                    Command::Leave(said) => {
                        self.detector.leave(Instant::now());
                        self.publish();
                        // Nobody may be waiting any more.
                        let _ = said.send(());
                    }
                    peers @ Command::Peers(_) => told = Some(peers),
                    order => self.obey(order),
                },
                () = tokio::time::sleep(BIND_AGAIN) => {}
            }
        }
    }

    fn obey(&mut self, order: Command) {
        let now = Instant::now();
        match order {
            Command::Link(up) => self.detector.set_link(now, up),
            Command::CarrierLost => self.detector.lose_carrier(now),
            Command::Peers(peers) => {
                self.detector.expect(now, peers.keys().cloned().collect());
                self.destinations.tell(peers);
            }
            Command::Key(key) => {
                info!("heartbeats have a new key");
                self.keys.change(now, *key);
            }
            Command::Macs(macs) => self.detector.set_macs(macs),
            // Whoever has a socket says it.
            Command::Leave(_) => self.detector.leave(now),
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let now = Instant::now();
        if self.keys.is_empty() {
            return;
        }
        let (heartbeat, key) = match self.keys.decode(now, bytes) {
            Ok(read) => read,
            Err(malformed) => {
                if self.counters.refuse(malformed.into()) == 0 {
                    warn!(%from, "a datagram is not a heartbeat under our key; is it the same on all nodes?");
                }
                return;
            }
        };
        match self.detector.receive(now, &heartbeat) {
            Ok(()) => {
                self.counters.received.fetch_add(1, Relaxed);
                if self.detector.hears(&heartbeat) {
                    self.keys.heard(now, &heartbeat.name, key);
                    self.destinations.heard(&heartbeat.name, from);
                }
            }
            Err(refusal) => {
                let reason = Reason::from(refusal);
                if self.counters.refuse(reason) == 0 {
                    warn!(%from, node = heartbeat.name, "a heartbeat is refused: {}", reason.text());
                }
            }
        }
    }

    fn beat(&mut self, socket: &UdpSocket) {
        let now = Instant::now();
        let peers = self.destinations.all();
        if peers.is_empty() {
            return;
        }
        for key in self.keys.signing(now) {
            let bytes = self.detector.heartbeat(now).encode(key);
            for peer in &peers {
                let to = if self.address.is_ipv6() {
                    as_v6(*peer)
                } else {
                    *peer
                };
                match socket.try_send_to(&bytes, to) {
                    Ok(_) => self.counters.sent.fetch_add(1, Relaxed),
                    Err(error) => {
                        debug!(%peer, "a heartbeat is not sent: {error}");
                        self.counters.unsent.fetch_add(1, Relaxed)
                    }
                };
            }
        }
    }

    fn publish(&mut self) {
        let now = Instant::now();
        self.keys.forget(now);
        let view = View {
            trouble: self.trouble.clone(),
            behind: self.keys.behind(now),
            ..self.detector.view()
        };
        self.destinations.forget_gone(&view);
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
