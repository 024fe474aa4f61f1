//! UDP carried: one upstream socket per client, ended by silence.
//!
//! A datagram is sent on whole or not at all, and never waited for: where a buffer is full it is
//! dropped and counted, as a router would.

mod flows;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use crate::l4::counters::{UdpCounters, add};
use crate::net::datagram::{DatagramListener, Path};
use crate::net::listen::BoundUdp;
use crate::net::splice::Pipes;
use flows::{FlowId, Flows};

/// Datagrams taken in a row; then others get their turn.
const BATCH: usize = 64;
/// After an error of the listening socket that says nothing about its cause.
const PAUSE: Duration = Duration::from_millis(100);

/// What an upstream socket waits for: an ICMP error is no datagram, and wakes no mere reader.
const HEARD: Interest = Interest::READABLE.add(Interest::ERROR);

/// How UDP is carried.
#[derive(Clone, Debug)]
pub struct UdpSettings {
    /// A flow ends after so long without a datagram either way (Envoy's udp_proxy: 60 s); it
    /// may take up to a quarter longer.
    pub idle_timeout: Duration,
    /// Flows of one listening socket, each an open file; beyond it the oldest one ends.
    pub max_flows: usize,
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            max_flows: 8192,
        }
    }
}

/// Where flows go; the worker's choice.
pub trait Endpoints {
    /// Whether the client may send at all; else its datagrams are dropped.
    fn lets_in(&self, client: SocketAddr) -> bool {
        let _ = client;
        true
    }

    /// The endpoint for a new flow; none: its datagram is dropped.
    fn pick(&self, client: SocketAddr) -> Option<Box<dyn Picked>>;
}

/// The endpoint of one flow. Dropped when the flow ends.
pub trait Picked {
    /// Where.
    fn address(&self) -> SocketAddr;

    /// The endpoint's host said that nobody listens there, or cannot be reached.
    fn refused(&self);

    /// Bytes since the last call: from the client to the endpoint, and back.
    fn carried(&self, received: u64, sent: u64);
}

/// Carries the datagrams of one listening socket.
pub struct Carrier {
    listener: DatagramListener,
    endpoints: Box<dyn Endpoints>,
    settings: UdpSettings,
    counters: Rc<UdpCounters>,
    pipes: Rc<Pipes>,
    flows: RefCell<Flows<Flow>>,
}

struct Flow {
    socket: Rc<UdpSocket>,
    endpoint: Box<dyn Picked>,
    replies: AbortHandle,
    /// Bytes that the endpoint was sent, not reported yet.
    received: Cell<u64>,
    /// Bytes that the client was sent, not reported yet.
    sent: Cell<u64>,
}

impl Flow {
    fn report(&self) {
        let (received, sent) = (self.received.take(), self.sent.take());
        if (received, sent) != (0, 0) {
            self.endpoint.carried(received, sent);
        }
    }
}

impl Carrier {
    /// Joins the runtime of the calling worker; [`Carrier::run`] then carries.
    ///
    /// `pipes` lends its buffer; the callbacks of `endpoints` must not move bytes themselves.
    pub fn new(
        bound: BoundUdp,
        endpoints: Box<dyn Endpoints>,
        settings: UdpSettings,
        counters: Rc<UdpCounters>,
        pipes: Rc<Pipes>,
    ) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            listener: DatagramListener::new(bound)?,
            endpoints,
            settings,
            counters,
            pipes,
            flows: RefCell::default(),
        }))
    }

    /// The address listened at.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Flows that are there.
    pub fn flows(&self) -> usize {
        self.flows.borrow().len()
    }

    /// Ends the flows whose endpoint is no more.
    pub fn retain(&self, keep: impl Fn(SocketAddr) -> bool) {
        let ended = self
            .flows
            .borrow_mut()
            .retain(|flow| keep(flow.endpoint.address()));
        for flow in ended {
            self.finish(&flow);
        }
    }

    /// Tells each flow's endpoint what was carried since the last time.
    pub fn report(&self) {
        for flow in self.flows.borrow().iter() {
            flow.report();
        }
    }

    /// Carries until dropped, on the worker's local set. The flows end with the last `Rc`.
    pub async fn run(self: Rc<Self>) {
        let check = (self.settings.idle_timeout / 4).clamp(PAUSE / 10, Duration::from_secs(5));
        let mut expiry = tokio::time::interval(check);
        loop {
            tokio::select! {
                readable = self.listener.readable() => {
                    let received = match readable {
                        Ok(()) => self.receive(),
                        Err(error) => Err(error),
                    };
                    match received {
                        Ok(()) => tokio::task::yield_now().await,
                        Err(error) => {
                            let at = self.local_addr();
                            tracing::warn!(%at, %error, "UDP listener: receiving failed");
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
                _ = expiry.tick() => self.expire(),
            }
        }
    }

    fn expire(&self) {
        let now = Instant::now();
        loop {
            let expired = self
                .flows
                .borrow_mut()
                .expire(self.settings.idle_timeout, now);
            match expired {
                Some(flow) => self.finish(&flow),
                None => return,
            }
        }
    }

    /// Takes what clients sent, up to a batch.
    fn receive(self: &Rc<Self>) -> io::Result<()> {
        let now = Instant::now();
        self.pipes.with_scratch(|buffer| {
            for _ in 0..BATCH {
                let received = match self.listener.try_receive(buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                if received.truncated {
                    add(&self.counters.dropped_oversize, 1);
                } else if let Some(datagram) = buffer.get(..received.length) {
                    self.forward(datagram, &received.path, now);
                }
            }
            Ok(())
        })
    }

    /// Sends a client's datagram to its flow's endpoint.
    fn forward(self: &Rc<Self>, datagram: &[u8], path: &Path, now: Instant) {
        if !self.endpoints.lets_in(path.client) {
            return add(&self.counters.dropped_not_let_in, 1);
        }
        // A refusal that waited in the socket is about an earlier datagram; this one was not
        // sent, and has one more try, with another endpoint.
        for _ in 0..2 {
            let Some((id, socket)) = self.flow(path, now) else {
                return;
            };
            // Not through tokio's readiness, which a fresh socket does not have yet.
            match rustix::net::send(&socket, datagram, SendFlags::DONTWAIT) {
                Ok(_) => {
                    let mut flows = self.flows.borrow_mut();
                    flows.touch(id, false, now);
                    if let Some(flow) = flows.get(id) {
                        add(&flow.received, datagram.len() as u64);
                    }
                    add(&self.counters.received_datagrams, 1);
                    add(&self.counters.received_bytes, datagram.len() as u64);
                    return;
                }
                Err(error) if is_unreachable(&error.into()) => self.refuse(id),
                Err(rustix::io::Errno::MSGSIZE) => {
                    add(&self.counters.dropped_oversize, 1);
                    return;
                }
                Err(_) => {
                    add(&self.counters.dropped_busy, 1);
                    return;
                }
            }
        }
        add(&self.counters.dropped_no_endpoint, 1);
    }

    /// The path's flow, or a new one.
    fn flow(self: &Rc<Self>, path: &Path, now: Instant) -> Option<(FlowId, Rc<UdpSocket>)> {
        {
            let flows = self.flows.borrow();
            if let Some(id) = flows.find(path)
                && let Some(flow) = flows.get(id)
            {
                return Some((id, Rc::clone(&flow.socket)));
            }
        }
        while self.flows() >= self.settings.max_flows.max(1) {
            self.evict();
        }
        let Some(endpoint) = self.endpoints.pick(path.client) else {
            add(&self.counters.dropped_no_endpoint, 1);
            return None;
        };
        let opened = open(endpoint.address()).or_else(|error| {
            if is_unreachable(&error) {
                endpoint.refused();
                return Err(error);
            }
            // Out of files, most likely: an old flow gives way.
            self.evict();
            open(endpoint.address())
        });
        let Ok(socket) = opened.map(Rc::new) else {
            add(&self.counters.dropped_busy, 1);
            return None;
        };
        let mut flows = self.flows.borrow_mut();
        let replies = Replies {
            carrier: Rc::downgrade(self),
            socket: Rc::clone(&socket),
            path: *path,
            id: flows.next_id(),
        };
        let flow = Flow {
            socket: Rc::clone(&socket),
            endpoint,
            replies: tokio::task::spawn_local(replies.run()).abort_handle(),
            received: Cell::new(0),
            sent: Cell::new(0),
        };
        add(&self.counters.flows_opened, 1);
        Some((flows.insert(*path, flow, now), socket))
    }

    fn evict(&self) {
        let evicted = self.flows.borrow_mut().evict();
        if let Some(flow) = evicted {
            add(&self.counters.flows_evicted, 1);
            self.finish(&flow);
        }
    }

    /// Ends a flow whose endpoint is not there.
    fn refuse(&self, id: FlowId) {
        let refused = self.flows.borrow_mut().remove(id);
        if let Some(flow) = refused {
            add(&self.counters.flows_refused, 1);
            flow.endpoint.refused();
            self.finish(&flow);
        }
    }

    fn finish(&self, flow: &Flow) {
        flow.replies.abort();
        flow.report();
        add(&self.counters.flows_closed, 1);
    }

    /// Sends an endpoint's datagram to the client.
    fn reply(&self, id: FlowId, datagram: &[u8], path: &Path) {
        match self.listener.try_send(datagram, path) {
            Ok(_) => {
                if let Some(flow) = self.flows.borrow().get(id) {
                    add(&flow.sent, datagram.len() as u64);
                }
                add(&self.counters.sent_datagrams, 1);
                add(&self.counters.sent_bytes, datagram.len() as u64);
            }
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
            {
                add(&self.counters.dropped_oversize, 1);
            }
            Err(_) => add(&self.counters.dropped_busy, 1),
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

/// What the endpoint of one flow says.
struct Replies {
    carrier: Weak<Carrier>,
    socket: Rc<UdpSocket>,
    path: Path,
    id: FlowId,
}

impl Replies {
    /// Runs until the flow ends: whoever ends it aborts this task.
    async fn run(self) {
        loop {
            let ready = self.socket.ready(HEARD).await;
            let Some(carrier) = self.carrier.upgrade() else {
                return;
            };
            // One interest at a time: tokio's try_io never runs for two.
            let received = ready.and_then(|ready| {
                let interest = if ready.is_readable() {
                    Interest::READABLE
                } else {
                    Interest::ERROR
                };
                self.receive(&carrier, interest)
            });
            if received.is_err() {
                return carrier.refuse(self.id);
            }
            drop(carrier);
            tokio::task::yield_now().await;
        }
    }

    /// Takes what the endpoint sent, up to a batch; an error ends the flow.
    fn receive(&self, carrier: &Carrier, interest: Interest) -> io::Result<()> {
        let now = Instant::now();
        carrier.pipes.with_scratch(|buffer| {
            for _ in 0..BATCH {
                let received = self.socket.try_io(interest, || {
                    Ok(rustix::net::recv(
                        &self.socket,
                        &mut *buffer,
                        RecvFlags::TRUNC,
                    )?)
                });
                match received {
                    // With TRUNC the second length is the datagram's own.
                    Ok((held, whole)) if held < whole => {
                        add(&carrier.counters.dropped_oversize, 1);
                    }
                    Ok((held, _)) => {
                        carrier.flows.borrow_mut().touch(self.id, true, now);
                        let datagram = buffer.get(..held).unwrap_or_default();
                        carrier.reply(self.id, datagram, &self.path);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}

/// A socket that sends to the endpoint and hears only it.
fn open(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(endpoint),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    socket.connect(&SockAddr::from(endpoint))?;
    UdpSocket::from_std(socket.into())
}

/// Whether an error tells that the endpoint, not this host, is at fault.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests;
