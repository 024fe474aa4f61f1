//! Connections to endpoints: the idle ones of a worker, last in, first out.

use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use gatehouse_config::model::EndpointAddress;

use crate::http1::ReadBuffer;
use crate::http2::Frames;
use crate::http2::client::Place;
use crate::net::Stream;
use crate::tls::TlsId;
use crate::upstream::EndpointState;
use crate::upstream::circuit_breaker::{CircuitBreaker, Slot};
use crate::upstream::endpoint::Lifetimes;

/// How many idle connections one worker keeps to one endpoint.
const MAX_IDLE: usize = 1024;

/// A connection to an endpoint, in use by one exchange. Counts as an active request. It is boxed for
/// its whole life: it goes from hand to hand.
#[derive(Debug)]
pub struct Upstream {
    /// The socket.
    pub stream: Stream,
    /// Bytes that were read and not used yet.
    pub input: ReadBuffer,
    /// Our address; none on a socket of this host.
    pub local: Option<SocketAddr>,
    /// Whether it served a request before; if it fails now, the endpoint may just have closed it.
    pub reused: bool,
    /// None while it is idle, for idle connections lie in the endpoint.
    active: Option<Active>,
    life: Life,
    /// A request under way, where those are limited.
    pub request: Option<Slot>,
    /// Its place on a connection of HTTP/2.
    pub place: Option<Place>,
}

/// What a connection is from its beginning to its end.
#[derive(Debug, Default)]
struct Life {
    /// Where it counts towards a limit.
    counted: Option<Counted>,
    /// What it was made for.
    purpose: Purpose,
    /// When it was made; none where nobody asks.
    made: Option<Instant>,
    /// Requests that it served.
    served: u32,
}

/// The two ends of a client's connection, as a PROXY header tells them: such a connection serves
/// no other client.
pub type Origin = (SocketAddr, SocketAddr);

/// What a connection was made for: it serves nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// For whom, if a PROXY header says so.
    pub origin: Option<Origin>,
    /// With which TLS; none: in plain text.
    pub tls: Option<TlsId>,
    /// The Host that the endpoint was asked for, where requests say it.
    pub host: Option<Rc<str>>,
}

impl Purpose {
    /// Whether all connections of the cluster are as good.
    pub fn is_common(&self) -> bool {
        self.origin.is_none() && self.host.is_none()
    }
}

/// A connection that counts towards a limit. Its end wakes a request that waits.
#[derive(Debug)]
pub struct Counted {
    slot: Slot,
    /// Weak, for idle connections lie in the endpoint: they must not keep each other alive once
    /// the endpoint is no longer configured.
    endpoint: Weak<EndpointState>,
}

impl Counted {
    /// A connection to `endpoint` that took `slot`.
    pub fn new(slot: Slot, endpoint: &Rc<EndpointState>) -> Self {
        endpoint.counted.set(endpoint.counted.get() + 1);
        Self {
            slot,
            endpoint: Rc::downgrade(endpoint),
        }
    }

    /// Whether its end makes room in this limit.
    pub fn is_of(&self, breaker: &CircuitBreaker) -> bool {
        self.slot.is_of(breaker)
    }

    /// Nobody uses the connection: a request that waits may have it, or its place in the limit.
    pub fn offer(&self) {
        if let Some(endpoint) = self.endpoint.upgrade() {
            wake_one(&endpoint);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.upgrade() {
            let counted = &endpoint.counted;
            counted.set(counted.get().saturating_sub(1));
            wake_one(&endpoint);
        }
    }
}

/// Something came free at the endpoint. Requests of both protocols share its limit, and each has
/// its own queue.
fn wake_one(endpoint: &EndpointState) {
    if endpoint.waiting.get() > 0 {
        endpoint.freed.notify_one();
    }
    if endpoint.http2.waiting.get() > 0 {
        endpoint.http2.changed.notify_one();
    }
}

/// A request that waited got what nobody was woken for: an idle connection that it left is for the
/// next.
pub fn pass_on(endpoint: &EndpointState) {
    if !endpoint.idle.borrow().is_empty() {
        wake_one(endpoint);
    }
}

/// One active request of an endpoint, for as long as it lives.
#[derive(Debug)]
pub struct Active(Rc<EndpointState>);

impl Active {
    fn new(endpoint: &Rc<EndpointState>) -> Self {
        endpoint.active.set(endpoint.active.get() + 1);
        Self(Rc::clone(endpoint))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}

/// An idle connection. It has no unread bytes.
#[derive(Debug)]
pub struct Idle {
    since: Instant,
    upstream: Box<Upstream>,
}

impl Upstream {
    /// The most recently used idle connection that is still open, of those that were made for
    /// this.
    pub fn idle(endpoint: &Rc<EndpointState>, purpose: &Purpose) -> Option<Box<Self>> {
        let lifetimes = endpoint.lifetimes.get();
        loop {
            let idle = {
                let mut all = endpoint.idle.borrow_mut();
                if purpose.is_common() {
                    all.pop()?
                } else {
                    let own = |idle: &Idle| idle.upstream.life.purpose == *purpose;
                    let place = all.iter().rposition(own)?;
                    all.remove(place)
                }
            };
            if idle.upstream.life.purpose != *purpose {
                continue; // made for what the cluster was before
            }
            let fresh = !lifetimes.exact || idle.is_young(&lifetimes, Instant::now());
            if fresh && idle.is_open() {
                let mut upstream = idle.upstream;
                upstream.reused = true;
                upstream.active = Some(Active::new(endpoint));
                return Some(upstream);
            }
        }
    }

    /// Closes the idle connection that was unused for longest, so that another one may take its
    /// place in the limit; none that was made for `spared`.
    ///
    /// The place goes from hand to hand: were it given back, it would wake others for nothing.
    pub fn give_up_idle(
        endpoint: &EndpointState,
        breaker: &CircuitBreaker,
        spared: Option<&Purpose>,
    ) -> Option<Counted> {
        let mut all = endpoint.idle.borrow_mut();
        let place = all.iter().position(|idle| {
            let life = &idle.upstream.life;
            let counts = life.counted.as_ref().is_some_and(|one| one.is_of(breaker));
            counts && spared != Some(&life.purpose)
        })?;
        all.remove(place).upstream.life.counted.take()
    }

    /// A new connection.
    pub fn new(stream: Stream, endpoint: &Rc<EndpointState>) -> io::Result<Box<Self>> {
        let local = match endpoint.address {
            EndpointAddress::Inet(_) => Some(stream.local_addr()?),
            EndpointAddress::Unix(_) => None,
        };
        let made = endpoint.lifetimes.get().total.map(|_| Instant::now());
        Ok(Box::new(Self {
            stream,
            input: ReadBuffer::new(),
            local,
            reused: false,
            active: Some(Active::new(endpoint)),
            life: Life {
                made,
                ..Life::default()
            },
            request: None,
            place: None,
        }))
    }

    /// A request on a connection of HTTP/2, whose head was sent.
    pub fn of_stream(frames: Frames, place: Place, endpoint: &Rc<EndpointState>) -> Box<Self> {
        Box::new(Self {
            stream: Stream::Http2(Box::new(frames)),
            input: ReadBuffer::new(),
            local: place.local(),
            reused: false,
            active: Some(Active::new(endpoint)),
            life: Life::default(),
            request: None,
            place: Some(place),
        })
    }

    /// Notes the limit that a new connection counts towards, and what it was made for.
    pub fn mark(&mut self, counted: Option<Counted>, purpose: Purpose) {
        self.life.counted = counted;
        self.life.purpose = purpose;
    }

    /// Gives the connection back. The caller says that the last response was read to its end and
    /// that both sides want to keep the connection.
    pub fn release(mut self: Box<Self>, now: Instant) {
        self.life.served = self.life.served.saturating_add(1);
        self.put_back(now);
    }

    /// Gives back a connection that served nothing.
    pub fn put_back(mut self: Box<Self>, now: Instant) {
        if !self.input.is_empty() || self.place.is_some() {
            return; // bytes that nobody asked for: never used again
        }
        // Before a request that waits is woken.
        drop(self.request.take());
        let Some(active) = self.active.take() else {
            return; // it is idle, and lies where it belongs
        };
        let endpoint = &active.0;
        self.input = ReadBuffer::new();
        let idle = Idle {
            since: now,
            upstream: self,
        };
        let lifetimes = endpoint.lifetimes.get();
        let life = &idle.upstream.life;
        if life.served >= lifetimes.requests
            || !idle.is_young(&lifetimes, now)
            || life.purpose.tls != endpoint.tls.get()
        {
            return;
        }
        let limited = life.counted.is_some();
        let mut all = endpoint.idle.borrow_mut();
        if all.len() < MAX_IDLE {
            all.push(idle);
        }
        drop(all);
        if limited {
            wake_one(endpoint);
        }
    }

    /// The socket, for a connection that becomes one of HTTP/2: what goes over it is counted there.
    pub fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Idle {
    /// Whether its time is not over.
    fn is_young(&self, lifetimes: &Lifetimes, now: Instant) -> bool {
        let made = self.upstream.life.made.zip(lifetimes.total);
        now.duration_since(self.since) < lifetimes.idle
            && made.is_none_or(|(made, total)| now.duration_since(made) < total)
    }

    /// Nothing arrived and the other side did not close. Makes a system call only where the poller
    /// has reported something.
    fn is_open(&self) -> bool {
        self.upstream.stream.is_quiet()
    }
}

/// Closes idle connections that ended or whose time is over.
pub fn sweep(endpoint: &EndpointState, now: Instant) {
    let lifetimes = endpoint.lifetimes.get();
    endpoint.http2.sweep(now, lifetimes.idle);
    let mut all = endpoint.idle.borrow_mut();
    all.retain(|idle| idle.is_young(&lifetimes, now) && idle.is_open());
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::Limits;

    use tokio::net::TcpStream;

    use super::*;
    use crate::upstream::CircuitBreaker;
    use crate::upstream::circuit_breaker::Resource;

    #[tokio::test]
    async fn an_endpoint_that_goes_takes_its_idle_connections_with_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            max_connections: Some(1),
            ..Limits::default()
        };
        let breaker = CircuitBreaker::new(limits, None);
        let endpoint = Rc::new(EndpointState::new(EndpointAddress::Inet(address)));
        let stream = TcpStream::connect(address).await.unwrap();
        let mut upstream = Upstream::new(stream.into(), &endpoint).unwrap();
        let slot = breaker.take(Resource::Connection).unwrap();
        upstream.mark(Some(Counted::new(slot, &endpoint)), Purpose::default());
        upstream.release(Instant::now());
        assert_eq!(endpoint.idle.borrow().len(), 1);
        assert_eq!(breaker.used(Resource::Connection), 1);

        let gone = Rc::downgrade(&endpoint);
        drop(endpoint);
        assert!(gone.upgrade().is_none());
        assert_eq!(breaker.used(Resource::Connection), 0);
    }

    #[tokio::test]
    async fn the_end_of_a_connection_wakes_those_who_wait_in_either_protocol() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint = Rc::new(EndpointState::new(EndpointAddress::Inet(address)));
        let breaker = CircuitBreaker::new(Limits::default(), None);
        let slot = breaker.take(Resource::Connection).unwrap();
        let counted = Counted::new(slot, &endpoint);
        endpoint.waiting.set(1);
        endpoint.http2.waiting.set(1);
        let both = async {
            endpoint.freed.notified().await;
            endpoint.http2.changed.notified().await;
        };
        let mut both = std::pin::pin!(both);
        let woken = std::future::poll_fn(|cx| std::task::Poll::Ready(both.as_mut().poll(cx)));
        assert!(woken.await.is_pending());
        drop(counted);
        let woken = std::future::poll_fn(|cx| std::task::Poll::Ready(both.as_mut().poll(cx)));
        assert!(woken.await.is_ready());
    }
}
