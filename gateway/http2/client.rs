//! Connections of HTTP/2 to endpoints: a few for each, shared by the requests of a worker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use tokio::sync::Notify;

use crate::http2::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW};
use crate::net::Stream;
use crate::upstream::pool::Origin;

/// Requests under way on one connection, where neither the endpoint nor a DestinationRule says.
const MAX_STREAMS: u32 = 1024;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub struct Connections {
    all: RefCell<Vec<Rc<Multiplexed>>>,
    /// Somebody makes a connection, which others will share.
    pub connecting: Cell<bool>,
    /// Wakes those who wait for it.
    pub connected: Notify,
}

/// A connection that many requests share.
#[derive(Debug)]
pub struct Multiplexed {
    requests: SendRequest<Bytes>,
    /// Our address.
    pub local: Option<SocketAddr>,
    /// For whom it was made, if a PROXY header said so.
    origin: Option<Origin>,
    active: Cell<u32>,
    served: Cell<u32>,
    closed: Cell<bool>,
    last_used: Cell<Instant>,
}

/// One request's place on a connection.
#[derive(Debug)]
pub struct Place(Rc<Multiplexed>);

impl Connections {
    /// A place on a connection with room for one more request.
    pub fn place(&self, origin: Option<Origin>, most: Option<u32>, requests: u32) -> Option<Place> {
        let mut all = self.all.borrow_mut();
        all.retain(|connection| !connection.closed.get() && connection.served.get() < requests);
        let fitting = all.iter().find(|connection| {
            let said = connection.requests.current_max_send_streams();
            let said = u32::try_from(said).unwrap_or(u32::MAX);
            let room = most.unwrap_or(MAX_STREAMS).min(said);
            connection.origin == origin && connection.active.get() < room
        })?;
        Some(Place::new(Rc::clone(fitting)))
    }

    /// Adds a connection and takes the first place on it.
    ///
    /// # Errors
    ///
    /// The other side speaks no HTTP/2.
    pub async fn add(
        self: &Rc<Self>,
        stream: Stream,
        origin: Option<Origin>,
    ) -> Result<Place, h2::Error> {
        let local = stream.local_addr().ok();
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(64 * 1024)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        let multiplexed = Rc::new(Multiplexed {
            requests,
            local,
            origin,
            active: Cell::new(0),
            served: Cell::new(0),
            closed: Cell::new(false),
            last_used: Cell::new(Instant::now()),
        });
        self.all.borrow_mut().push(Rc::clone(&multiplexed));
        let place = Place::new(Rc::clone(&multiplexed));
        let gone = Rc::downgrade(&multiplexed);
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP/2 connection to an endpoint broke");
            }
            if let Some(multiplexed) = gone.upgrade() {
                multiplexed.closed.set(true);
            }
        });
        Ok(place)
    }

    /// Closes connections that nobody uses and whose time is over.
    pub fn sweep(&self, now: Instant, idle: std::time::Duration) {
        let mut all = self.all.borrow_mut();
        all.retain(|connection| {
            let quiet = now.saturating_duration_since(connection.last_used.get());
            !connection.closed.get() && (connection.active.get() > 0 || quiet < idle)
        });
    }
}

impl Place {
    fn new(connection: Rc<Multiplexed>) -> Self {
        connection.active.set(connection.active.get() + 1);
        connection
            .served
            .set(connection.served.get().saturating_add(1));
        Self(connection)
    }

    /// Our address on the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// Sends a request's head; `ends` where no body follows.
    ///
    /// # Errors
    ///
    /// The connection is closing or gone.
    pub async fn send(
        &self,
        request: http::Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.0.requests.clone();
        let ready = poll_fn(|cx| requests.poll_ready(cx)).await;
        let sent = ready.and_then(|()| requests.send_request(request, ends));
        if sent.is_err() {
            self.0.closed.set(true);
        }
        sent
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let active = &self.0.active;
        active.set(active.get().saturating_sub(1));
        self.0.last_used.set(Instant::now());
    }
}

/// Whether the endpoint has surely not looked at the request (RFC 9113 §8.7).
pub fn was_refused(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || error.is_go_away() && error.is_remote()
}
