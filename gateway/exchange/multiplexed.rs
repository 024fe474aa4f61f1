//! A try over HTTP/2: a place on a connection that is there, or on one that is made for all who
//! wait for it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::exchange::forward::{Deadlines, Failure};
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::http1::BodyLength;
use crate::http2::client::{Connections, Place};
use crate::http2::{Frames, heads};
use crate::snapshot::ClusterId;
use crate::upstream::circuit_breaker::Resource;
use crate::upstream::pool::Origin;
use crate::upstream::{EndpointState, Upstream};
use crate::worker::view::View;

impl HttpConnection {
    /// Sends the request's head on a stream of its own.
    pub(super) async fn open_stream(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        origin: Option<Origin>,
        deadlines: &Deadlines,
    ) -> Result<Upstream, Failure> {
        let to = view.snapshot.cluster(cluster);
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
        let place = self.place(view, cluster, state, origin, deadlines).await?;
        let request = &self.exchange.request;
        // A head that HTTP/2 cannot say is not the endpoint's fault, nor was anything sent.
        let head = heads::to_request(request, "http").map_err(|_| Failure::BadResponse)?;
        let ends = request.body() == BodyLength::Empty && request.upgrade().is_none();
        let sent = place.send(head, ends).await;
        // A connection that was closing took nothing: another one is as good as new.
        let (answer, send) = sent.map_err(|_| Failure::Closed { reused: true })?;
        let frames = Frames::to_upstream(answer, send);
        let mut upstream = Upstream::of_stream(frames, place, state);
        upstream.request = slot;
        Ok(upstream)
    }

    async fn place(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        origin: Option<Origin>,
        deadlines: &Deadlines,
    ) -> Result<Place, Failure> {
        let connections = Rc::clone(&state.http2);
        let to = view.snapshot.cluster(cluster);
        loop {
            let requests = state.lifetimes.get().requests;
            if let Some(place) = connections.place(origin, to.max_streams, requests) {
                return Ok(place);
            }
            if connections.connecting.get() {
                self.wait_for_stream(&connections, deadlines).await?;
                continue;
            }
            let _connecting = Connecting::new(&connections);
            let connected = self.connect(view, cluster, state, origin, deadlines);
            let (stream, _) = connected.await?.into_stream();
            let added = connections.add(stream, origin).await;
            return added.map_err(|_| Failure::Closed { reused: false });
        }
    }

    async fn wait_for_stream(
        &mut self,
        connections: &Connections,
        deadlines: &Deadlines,
    ) -> Result<(), Failure> {
        let mut connected = pin!(connections.connected.notified());
        self.timer.set_at(deadlines.next());
        poll_fn(|cx| {
            if connected.as_mut().poll(cx).is_ready() {
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

/// Somebody makes a connection; whatever comes of it, those who wait look again.
struct Connecting(Rc<Connections>);

impl Connecting {
    fn new(connections: &Rc<Connections>) -> Self {
        connections.connecting.set(true);
        Self(Rc::clone(connections))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.connected.notify_waiters();
    }
}
