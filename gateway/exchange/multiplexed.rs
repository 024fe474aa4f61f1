//! A try over HTTP/2: a place on a connection that is there, or on one that is made for all who
//! wait for it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use gatehouse_config::model::UpstreamProtocol;

use crate::exchange::Protocol;
use crate::exchange::forward::{Deadlines, Failure};
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::http1::BodyLength;
use crate::http2::client::{Broken, Connections, Making, Place};
use crate::http2::{Frames, heads};
use crate::snapshot::{Cluster, ClusterId, EndpointTls};
use crate::upstream::circuit_breaker::Resource;
use crate::upstream::pool::{Counted, Purpose};
use crate::upstream::{EndpointState, Upstream};
use crate::worker::view::View;

/// Whether a cluster is spoken to in HTTP/2, for a client that speaks this.
pub(super) fn speaks_http2(to: &Cluster, client: Protocol) -> bool {
    match to.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::H2c => true,
        UpstreamProtocol::Client => client == Protocol::Http2,
    }
}

/// The scheme that an endpoint of HTTP/2 is told: endpoints compare it with what they speak.
pub(super) fn scheme<'s>(to: &Cluster, of_request: &'s str) -> &'s str {
    match to.tls {
        EndpointTls::Plain => of_request,
        EndpointTls::Spoken(_) | EndpointTls::Impossible(_) => "https",
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unseen => Self::Unseen,
            Broken::Refused => Self::Reset { refused: true },
            Broken::Reset => Self::Reset { refused: false },
            Broken::Garbled => Self::BadResponse,
            Broken::Closed => Self::Closed { reused: false },
        }
    }
}

impl HttpConnection {
    /// Sends the request's head on a stream of its own.
    pub(super) async fn open_stream(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        purpose: &Purpose,
        deadlines: &Deadlines,
    ) -> Result<Box<Upstream>, Failure> {
        let to = view.snapshot.cluster(cluster);
        let place = self.place(view, cluster, state, purpose, deadlines).await?;
        let slot = match &to.breaker {
            None => None,
            Some(breaker) => match breaker.take(Resource::Request) {
                None => {
                    self.count("http2MaxRequests");
                    return Err(Failure::Overflow);
                }
                slot => slot,
            },
        };
        if self.exchange.request.upgrade().is_some() {
            self.await_settings(to, &place, deadlines).await?;
        }
        let request = &self.exchange.request;
        // A head that HTTP/2 cannot say is not the endpoint's fault, nor was anything sent.
        let head = heads::to_request(request, scheme(to, self.exchange.scheme));
        let head = head.map_err(|_| Failure::BadResponse)?;
        let ends = request.body() == BodyLength::Empty && request.upgrade().is_none();
        let sent = place.send(head, ends).await;
        // A connection that was closing took nothing: another one is as good as new.
        let (answer, send) = sent.map_err(|_| Failure::Unseen)?;
        let frames = Frames::to_upstream(answer, send);
        let mut upstream = Upstream::of_stream(frames, place, state);
        upstream.request = slot;
        Ok(upstream)
    }

    /// A place within the cluster's limits, as Envoy's pool gives them out: on a connection with
    /// room, or a new one, or the next that becomes free. An unused one that was made for something
    /// else gives way to a new one. An endpoint that this worker has no connection to gets one
    /// whatever the limit says, for nothing would ever become free there.
    async fn place(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        purpose: &Purpose,
        deadlines: &Deadlines,
    ) -> Result<Place, Failure> {
        let connections = Rc::clone(&state.http2);
        let to = view.snapshot.cluster(cluster);
        let lifetimes = state.lifetimes.get();
        // Held while the request waits.
        let mut pending = None;
        loop {
            if let Some(place) = connections.place(purpose, to.max_streams, &lifetimes) {
                return Ok(place);
            }
            if let Some(breaker) = &to.breaker
                && pending.is_none()
            {
                pending = breaker.take(Resource::Pending);
                if pending.is_none() {
                    self.count("http1MaxPendingRequests");
                    return Err(Failure::Overflow);
                }
            }
            if connections.connecting.get() {
                self.wait_for_stream(&connections, deadlines).await?;
                continue;
            }
            let counted = match &to.breaker {
                None => None,
                Some(breaker) => {
                    let slot = if connections.is_empty() {
                        Some(breaker.take_anyway(Resource::Connection))
                    } else {
                        breaker.take(Resource::Connection)
                    };
                    let counted = match slot {
                        Some(slot) => Some(Counted::new(slot, state)),
                        None => {
                            self.count("maxConnections");
                            connections
                                .give_up_unused(breaker, Some(purpose))
                                .or_else(|| Upstream::give_up_idle(state, breaker, None))
                        }
                    };
                    if counted.is_none() {
                        self.wait_for_stream(&connections, deadlines).await?;
                        continue;
                    }
                    counted
                }
            };
            let _connecting = Connecting::new(&connections);
            let connected = self.connect(view, cluster, state, purpose, deadlines);
            let stream = connected.await?.into_stream();
            let making = Making {
                purpose: purpose.clone(),
                counted,
                keepalive: to.keepalive,
            };
            let added = connections.add(stream, making, &self.worker).await;
            return added.map_err(|_| Failure::Closed { reused: false });
        }
    }

    /// A protocol is switched by an extended CONNECT, which not every endpoint takes. Such a
    /// request would be reset by it (RFC 8441 §3), so it is not even sent.
    async fn await_settings(
        &mut self,
        to: &Cluster,
        place: &Place,
        deadlines: &Deadlines,
    ) -> Result<(), Failure> {
        let limit = Instant::now().checked_add(to.connect_timeout);
        let end = [limit, deadlines.next()].into_iter().flatten().min();
        let mut takes = pin!(place.takes_upgrades());
        self.timer.set_at(end);
        let takes = poll_fn(|cx| {
            if let Poll::Ready(takes) = takes.as_mut().poll(cx) {
                return Poll::Ready(Ok(takes));
            }
            if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            self.timer.poll_expired(cx).map(|()| {
                if deadlines.next().is_some_and(|end| end <= Instant::now()) {
                    Err(deadlines.failure())
                } else {
                    Ok(false)
                }
            })
        })
        .await?;
        if takes {
            return Ok(());
        }
        let reason = "the endpoint takes no extended CONNECT (RFC 8441)";
        reason.clone_into(&mut self.exchange.transport_failure);
        Err(Failure::Reset { refused: false })
    }

    async fn wait_for_stream(
        &mut self,
        connections: &Connections,
        deadlines: &Deadlines,
    ) -> Result<(), Failure> {
        let _waiting = Waiting::new(connections);
        let mut changed = pin!(connections.changed.notified());
        self.timer.set_at(deadlines.next());
        poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            self.timer
                .poll_expired(cx)
                .map(|()| Err(deadlines.failure()))
        })
        .await
    }
}

/// A request that waits for a place.
pub(super) struct Waiting<'a>(&'a Connections);

impl<'a> Waiting<'a> {
    pub(super) fn new(connections: &'a Connections) -> Self {
        let waiting = &connections.waiting;
        waiting.set(waiting.get() + 1);
        Self(connections)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = &self.0.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

/// Somebody makes a connection; whatever comes of it, those who wait look again.
pub(super) struct Connecting(Rc<Connections>);

impl Connecting {
    pub(super) fn new(connections: &Rc<Connections>) -> Self {
        connections.connecting.set(true);
        Self(Rc::clone(connections))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.changed.notify_waiters();
    }
}
