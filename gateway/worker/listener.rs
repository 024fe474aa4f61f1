//! Listeners of a worker: accepting, and what each address serves.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinHandle};

use crate::exchange::HttpConnection;
use crate::net::{AcceptError, Listener};
use crate::snapshot::{ClusterId, ServerId, Serves, Snapshot};
use crate::tls::{Chain, Ends, TlsConnection, TlsPort};
use crate::worker::udp::UdpSlot;
use crate::worker::{Key, Opened, Socket, Transport, Worker};

/// The pause after running out of files.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What a connection is counted as whose client is in none of the Service's source ranges.
const NOT_IN_SOURCE_RANGES: &str = "source_ranges";

/// How long a listener that closes goes on taking what already waits in its queue.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);

/// What one address serves; connections look here for each request.
#[derive(Debug)]
pub struct Slot {
    /// The address.
    pub address: SocketAddr,
    serves: Cell<Option<Serves>>,
    sources: RefCell<Option<Arc<[IpNet]>>>,
}

impl Slot {
    fn new(key: &Key, serves: Serves, snapshot: &Snapshot) -> Self {
        Self {
            address: key.0,
            serves: Cell::new(Some(serves)),
            sources: RefCell::new(snapshot.sources.get(key).cloned()),
        }
    }

    /// Whether the Service whose port this is lets the client in (`loadBalancerSourceRanges`).
    pub fn lets_in(&self, client: IpAddr) -> bool {
        match &*self.sources.borrow() {
            None => true,
            Some(sources) => {
                let client = client.to_canonical();
                sources.iter().any(|net| net.contains(&client))
            }
        }
    }

    /// The HTTP server that serves a connection, which came through TLS or not; none once the
    /// listener, or what the connection asked for, was taken away.
    pub fn server(&self, snapshot: &Snapshot, tls: Option<&TlsConnection>) -> Option<ServerId> {
        match (self.serves.get(), tls) {
            (Some(Serves::Http(server)), None) => Some(server),
            (Some(Serves::Tls(_)), Some(tls)) => {
                let chain = self.chain(snapshot, tls.server_name.as_deref())?;
                let is_http = snapshot.server(chain.server).tcp.is_none();
                matches!(chain.ends, Ends::Here(_) | Ends::Nowhere if is_http)
                    .then_some(chain.server)
            }
            _ => None,
        }
    }

    /// Whether HTTP is served, through TLS or without.
    pub fn serves_http(&self, tls: bool) -> bool {
        match self.serves.get() {
            Some(Serves::Http(_)) => !tls,
            Some(Serves::Tls(_)) => tls,
            _ => false,
        }
    }

    /// The chain of a name at a port that speaks TLS.
    pub fn chain<'s>(&self, snapshot: &'s Snapshot, name: Option<&str>) -> Option<&'s Chain> {
        self.tls_port(snapshot)?.chain(name)
    }

    /// Whether a request that came by a connection of the server `own` belongs on another one.
    pub fn is_misdirected(
        &self,
        snapshot: &Snapshot,
        tls: &TlsConnection,
        own: ServerId,
        authority: &[u8],
    ) -> bool {
        let name = tls.server_name.as_deref();
        let port = self.tls_port(snapshot);
        port.is_some_and(|port| port.is_misdirected(name, own, authority))
    }

    fn tls_port<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s TlsPort> {
        match self.serves.get() {
            Some(Serves::Tls(server)) => snapshot.servers.get(server.index())?.tls.as_deref(),
            _ => None,
        }
    }

    /// The cluster to carry datagrams to; none once the listener was taken away.
    pub fn cluster(&self) -> Option<ClusterId> {
        match self.serves.get() {
            Some(Serves::Udp(cluster)) => Some(cluster),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Slot {
    /// An address that nobody listens at.
    pub(super) fn unheard(address: SocketAddr, serves: Serves) -> Rc<Self> {
        let key = (address, serves.transport());
        Rc::new(Self::new(&key, serves, &Snapshot::default()))
    }
}

/// All listeners of a worker.
pub type Slots = HashMap<Key, Open>;

/// An open listener.
#[derive(Debug)]
pub struct Open {
    slot: Rc<Slot>,
    task: JoinHandle<()>,
    udp: Option<Rc<UdpSlot>>,
}

impl Worker {
    /// Gives each listener its new meaning and closes those that are gone.
    pub(super) fn assign_slots(&self, snapshot: &Snapshot) {
        let wanted = wanted(snapshot);
        let mut slots = self.slots.borrow_mut();
        slots.retain(|key, open| {
            let serves = wanted.get(key).copied();
            open.slot.serves.set(serves);
            *open.slot.sources.borrow_mut() = snapshot.sources.get(key).cloned();
            match (&open.udp, serves) {
                (_, None) => close_soon(open.task.abort_handle()),
                (Some(udp), Some(_)) => udp.forget_lost_endpoints(),
                (None, Some(_)) => {}
            }
            serves.is_some()
        });
    }

    /// Opens listeners of the configuration in force; one that is there already is replaced.
    pub(super) fn open_slots(self: &Rc<Self>, opened: Vec<Opened>) {
        if opened.is_empty() {
            return;
        }
        let view = self.view();
        let wanted = wanted(&view.snapshot);
        let mut slots = self.slots.borrow_mut();
        for Opened { address, socket } in opened {
            let transport = match socket {
                Socket::Tcp(_) => Transport::Tcp,
                Socket::Udp(_) => Transport::Udp,
            };
            let key = (address, transport);
            let Some(serves) = wanted.get(&key).copied() else {
                continue;
            };
            // A slot that is there has connections that look into it.
            let slot = match slots.get(&key) {
                Some(open) => Rc::clone(&open.slot),
                None => Rc::new(Slot::new(&key, serves, &view.snapshot)),
            };
            match self.open(slot, socket) {
                Ok(open) => {
                    if let Some(before) = slots.insert(key, open) {
                        close_soon(before.task.abort_handle());
                    }
                }
                Err(error) => {
                    tracing::error!(%address, %error, "listener cannot be used");
                    self.lose(key);
                }
            }
        }
    }

    /// The HTTP server at an address of ours now, for a connection whose own listener has moved:
    /// the address itself, or else every address with its port.
    pub fn server_at(
        &self,
        snapshot: &Snapshot,
        local: SocketAddr,
        tls: Option<&TlsConnection>,
    ) -> Option<ServerId> {
        let any = match local {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let slots = self.slots.borrow();
        [local, SocketAddr::new(any, local.port())]
            .iter()
            .find_map(|address| {
                let open = slots.get(&(*address, Transport::Tcp))?;
                open.slot.server(snapshot, tls)
            })
    }

    fn open(self: &Rc<Self>, slot: Rc<Slot>, socket: Socket) -> std::io::Result<Open> {
        match socket {
            Socket::Tcp(bound) => {
                let listener = bound.listener()?;
                let worker = Rc::clone(self);
                let accepting = Rc::clone(&slot);
                let task = tokio::task::spawn_local(async move {
                    worker.accept(&listener, &accepting).await;
                });
                Ok(Open {
                    slot,
                    task,
                    udp: None,
                })
            }
            Socket::Udp(bound) => {
                let udp = UdpSlot::new(Rc::clone(self), Rc::clone(&slot), bound)?;
                let carrier = udp.carrier();
                let task = tokio::task::spawn_local(carrier.run());
                Ok(Open {
                    slot,
                    task,
                    udp: Some(udp),
                })
            }
        }
    }

    /// Has a listener opened anew.
    fn lose(&self, key: Key) {
        // Without a control thread nobody opens anything.
        let _ = self.lost.send(key);
    }

    async fn accept(self: &Rc<Self>, listener: &Listener, slot: &Rc<Slot>) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.serve(slot, stream, peer),
                Err(AcceptError::Connection(_)) => {}
                Err(error @ AcceptError::Exhausted(_)) => {
                    tracing::warn!(address = %slot.address, %error, "cannot accept");
                    self.with_metrics(|metrics| metrics.limit_reached("open_files"));
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                Err(error @ AcceptError::Listener(_)) => {
                    tracing::error!(address = %slot.address, %error, "listener is lost");
                    return self.lose((slot.address, Transport::Tcp));
                }
            }
        }
    }

    /// The slot of a connection that `slot`'s listener accepted. Once the listener was taken away,
    /// another one may serve the address: a server moved between an address and the wildcard.
    fn slot_in_force(&self, slot: &Rc<Slot>, stream: &TcpStream) -> Rc<Slot> {
        if slot.serves.get().is_none()
            && let Ok(local) = stream.local_addr()
        {
            let wildcard = match local {
                SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            };
            let slots = self.slots.borrow();
            let find = |ip| slots.get(&(SocketAddr::new(ip, local.port()), Transport::Tcp));
            if let Some(open) = find(local.ip()).or_else(|| find(wildcard)) {
                return Rc::clone(&open.slot);
            }
        }
        Rc::clone(slot)
    }

    fn serve(self: &Rc<Self>, slot: &Rc<Slot>, stream: TcpStream, peer: SocketAddr) {
        let slot = self.slot_in_force(slot, &stream);
        if !slot.lets_in(peer.ip()) {
            tracing::debug!(%peer, address = %slot.address, "connection refused: not in loadBalancerSourceRanges");
            return self.with_metrics(|metrics| metrics.refused(NOT_IN_SOURCE_RANGES));
        }
        let Some(admitted) = self.admit() else { return };
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut stream = stream;
            let serves = slot.serves.get();
            let Some(connection) = worker.client(serves, &slot, &mut stream, peer).await else {
                return;
            };
            match slot.serves.get() {
                Some(Serves::Http(_)) => {
                    HttpConnection::new(worker, slot, stream.into(), connection, admitted)
                        .serve()
                        .await
                }
                Some(serves @ (Serves::Tcp(_) | Serves::TcpServer(_))) => {
                    let view = worker.view();
                    let client = stream.into();
                    worker
                        .carry_tcp(&view, serves, client, Vec::new(), connection)
                        .await;
                }
                Some(Serves::Tls(_)) => worker.serve_tls(slot, stream, connection, admitted).await,
                Some(Serves::Udp(_)) | None => {}
            }
        });
    }

    /// Counts what UDP listeners carried since the last scrape.
    pub(super) fn report_udp(&self) {
        for udp in self.slots.borrow().values().filter_map(|s| s.udp.as_ref()) {
            udp.report();
        }
    }

    /// Stops accepting. What waits in the queues already is taken first: closing a listener
    /// resets it.
    pub(super) async fn close_slots(&self) {
        tokio::time::sleep(LAST_ACCEPTS).await;
        for (_, open) in self.slots.borrow_mut().drain() {
            open.task.abort();
        }
    }
}

/// Closes a listener once what waits in its queue was taken: closing resets it.
fn close_soon(listener: AbortHandle) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(LAST_ACCEPTS).await;
        listener.abort();
    });
}

fn wanted(snapshot: &Snapshot) -> HashMap<Key, Serves> {
    let listeners = snapshot.listeners.iter();
    listeners
        .map(|listener| {
            let transport = listener.serves.transport();
            ((listener.address, transport), listener.serves)
        })
        .collect()
}
