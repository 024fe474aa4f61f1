//! Connections of HTTP/2 to endpoints: a few for each, shared by the requests of a worker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use tokio::sync::Notify;

use crate::http2::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW};
use crate::net::Stream;
use crate::tls::TlsId;
use crate::upstream::CircuitBreaker;
use crate::upstream::endpoint::Lifetimes;
use crate::upstream::pool::{Counted, Purpose};
use crate::worker::Worker;

/// Requests under way on one connection, where neither the endpoint nor a DestinationRule says.
const MAX_STREAMS: u32 = 1024;
/// The same while the endpoint has not said anything yet: as many as it should allow (RFC 9113
/// §6.5.2).
const MAX_FIRST_STREAMS: u32 = 100;
/// What h2 says of the endpoint's limit until it has read SETTINGS. No SETTINGS can say so: their
/// numbers have 32 bits, and where they give none, h2 says `usize::MAX`.
const UNSAID: usize = usize::MAX - 1;

/// How connections are made and kept.
#[derive(Debug)]
pub struct Making {
    /// What for.
    pub purpose: Purpose,
    /// Where the connection counts towards a limit.
    pub counted: Option<Counted>,
    /// Pings: how often, and how long an answer may take (`http2KeepAlive`).
    pub keepalive: Option<(Duration, Duration)>,
}

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub struct Connections {
    all: RefCell<Vec<Rc<Multiplexed>>>,
    /// Somebody makes a connection, which others will share.
    pub connecting: Cell<bool>,
    /// Wakes those who wait for it, or for a place on one that is full.
    pub changed: Notify,
    /// How many wait.
    pub waiting: Cell<u32>,
}

/// A connection that many requests share.
#[derive(Debug)]
pub struct Multiplexed {
    requests: SendRequest<Bytes>,
    /// Our address.
    pub local: Option<SocketAddr>,
    /// What it was made for.
    purpose: Purpose,
    active: Cell<u32>,
    served: Cell<u32>,
    closed: Cell<bool>,
    made: Instant,
    last_used: Cell<Instant>,
    /// The endpoint's SETTINGS were read.
    settled: Cell<bool>,
    /// Wakes those who wait for them.
    heard: Notify,
    /// How many requests the endpoint allowed when one last looked for a place.
    allowed_then: Cell<u32>,
    /// Where it counts towards a limit.
    counted: RefCell<Option<Counted>>,
    /// Who shares it, to be told of each place that becomes free.
    home: Weak<Connections>,
}

/// One request's place on a connection.
#[derive(Debug)]
pub struct Place(Rc<Multiplexed>);

impl Connections {
    /// A place on a connection with room for one more request.
    pub fn place(
        &self,
        purpose: &Purpose,
        most: Option<u32>,
        lifetimes: &Lifetimes,
    ) -> Option<Place> {
        let mut all = self.all.borrow_mut();
        all.retain(|connection| connection.is_usable(lifetimes));
        let fitting = all.iter().find(|connection| {
            if connection.purpose != *purpose {
                return false;
            }
            let allowed = connection.allowed();
            connection.allowed_then.set(allowed);
            connection.active.get() < most.unwrap_or(MAX_STREAMS).min(allowed)
        })?;
        Some(Place::new(Rc::clone(fitting)))
    }

    /// Whether there is none that could be used.
    pub fn is_empty(&self) -> bool {
        self.all.borrow().iter().all(|one| one.closed.get())
    }

    /// Adds a connection and takes the first place on it.
    ///
    /// # Errors
    ///
    /// The other side speaks no HTTP/2.
    pub async fn add(
        self: &Rc<Self>,
        stream: Stream,
        making: Making,
        worker: &Rc<Worker>,
    ) -> Result<Place, h2::Error> {
        let Making {
            purpose,
            counted,
            keepalive,
        } = making;
        let local = stream.local_addr().ok();
        let (requests, mut connection) = h2::client::Builder::new()
            .initial_max_send_streams(UNSAID)
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
            purpose,
            active: Cell::new(0),
            served: Cell::new(0),
            closed: Cell::new(false),
            made: Instant::now(),
            last_used: Cell::new(Instant::now()),
            settled: Cell::new(false),
            heard: Notify::new(),
            allowed_then: Cell::new(MAX_FIRST_STREAMS),
            counted: RefCell::new(counted),
            home: Rc::downgrade(self),
        });
        self.all.borrow_mut().push(Rc::clone(&multiplexed));
        let place = Place::new(Rc::clone(&multiplexed));
        let shared = Rc::downgrade(&multiplexed);
        let pings = keepalive.zip(connection.ping_pong());
        let worker = Rc::clone(worker);
        let home = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            match drive(connection, &shared, &home, pings).await {
                Ended::Over(Ok(())) => {}
                Ended::Over(Err(error)) => {
                    tracing::debug!(%error, "HTTP/2 connection to an endpoint broke");
                }
                Ended::Silent => {
                    tracing::debug!("an endpoint answers no ping; its connection is closed");
                    worker.with_metrics(|metrics| metrics.limit_reached("http2KeepAlive"));
                }
            }
            if let Some(multiplexed) = shared.upgrade() {
                multiplexed.close();
            }
        });
        Ok(place)
    }

    /// Closes a connection that nobody uses, so that another one may take its place in the limit;
    /// none that was made for `spared`.
    pub fn give_up_unused(
        &self,
        breaker: &CircuitBreaker,
        spared: Option<&Purpose>,
    ) -> Option<Counted> {
        let mut all = self.all.borrow_mut();
        let place = all.iter().position(|one| {
            let counted = one.counted.borrow();
            let counts = counted
                .as_ref()
                .is_some_and(|counted| counted.is_of(breaker));
            counts && one.active.get() == 0 && spared != Some(&one.purpose)
        })?;
        all.remove(place).counted.take()
    }

    /// No request begins any more on connections that were made with other TLS; they close once
    /// those under way have ended.
    pub fn retire(&self, tls: Option<TlsId>) {
        let mut all = self.all.borrow_mut();
        all.retain(|connection| connection.purpose.tls == tls);
        // Where none is left, each may have a new one.
        self.changed.notify_waiters();
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

/// How a connection ended.
#[derive(Debug)]
enum Ended {
    Over(Result<(), h2::Error>),
    /// A ping was not answered in time.
    Silent,
}

/// Keeps a connection going until it ends.
async fn drive(
    mut connection: Connection<Stream, Bytes>,
    shared: &Weak<Multiplexed>,
    home: &Weak<Connections>,
    pings: Option<((Duration, Duration), PingPong)>,
) -> Ended {
    let mut silent = std::pin::pin!(async {
        match pings {
            Some(((interval, timeout), pings)) => until_silent(pings, interval, timeout).await,
            None => std::future::pending().await,
        }
    });
    let mut settled = false;
    poll_fn(|cx| {
        let over = std::pin::Pin::new(&mut connection).poll(cx);
        if !settled
            && let Some(shared) = shared.upgrade()
            && shared.requests.current_max_send_streams() != UNSAID
        {
            settled = true;
            shared.settled.set(true);
            shared.heard.notify_waiters();
        }
        // Only those who wait ask for the endpoint's limit each time.
        if let Some(home) = home.upgrade()
            && home.waiting.get() > 0
            && let Some(shared) = shared.upgrade()
            && shared.allows_more()
        {
            home.changed.notify_waiters();
        }
        if let Poll::Ready(result) = over {
            return Poll::Ready(Ended::Over(result));
        }
        silent.as_mut().poll(cx).map(|()| Ended::Silent)
    })
    .await
}

/// Sends pings until one is not answered in time.
#[expect(
    clippy::disallowed_methods,
    reason = "once per connection and interval"
)]
async fn until_silent(mut pings: PingPong, interval: Duration, timeout: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        match tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection is over, which shows itself.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

impl Multiplexed {
    fn is_usable(&self, lifetimes: &Lifetimes) -> bool {
        let is_young = || {
            let total = lifetimes
                .total
                .is_none_or(|most| self.made.elapsed() < most);
            let is_idle = self.active.get() == 0;
            total && !(is_idle && self.last_used.get().elapsed() >= lifetimes.idle)
        };
        !self.closed.get()
            && self.served.get() < lifetimes.requests
            && (!lifetimes.exact || is_young())
    }

    /// How many requests the endpoint allows at once.
    fn allowed(&self) -> u32 {
        match self.requests.current_max_send_streams() {
            UNSAID => MAX_FIRST_STREAMS,
            said => u32::try_from(said).unwrap_or(u32::MAX),
        }
    }

    /// Whether the endpoint allows more than when one last looked for a place.
    fn allows_more(&self) -> bool {
        let allowed = self.allowed();
        self.allowed_then.replace(allowed) < allowed
    }

    /// Something came free.
    fn wake(&self) {
        if self.active.get() == 0
            && let Some(counted) = &*self.counted.borrow()
        {
            counted.offer();
        } else if let Some(home) = self.home.upgrade()
            && home.waiting.get() > 0
        {
            if self.purpose.is_common() {
                home.changed.notify_one();
            } else {
                // The first who waits may wait for another connection.
                home.changed.notify_waiters();
            }
        }
    }

    fn close(&self) {
        self.closed.set(true);
        self.heard.notify_waiters();
        self.wake();
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

    /// Whether the endpoint takes an extended CONNECT (RFC 8441), which its SETTINGS say.
    pub async fn takes_upgrades(&self) -> bool {
        let connection = &self.0;
        while !connection.settled.get() && !connection.closed.get() {
            connection.heard.notified().await;
        }
        connection.requests.is_extended_connect_protocol_enabled()
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
        self.0.wake();
    }
}

/// How a request failed that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The endpoint goes away and has surely not looked at the request (RFC 9113 §6.8).
    Unseen,
    /// The endpoint would not have this one (REFUSED_STREAM).
    Refused,
    /// The endpoint gave up on this one.
    Reset,
    /// What it sent is no HTTP/2.
    Garbled,
    /// The connection is gone.
    Closed,
}

impl From<&h2::Error> for Broken {
    fn from(error: &h2::Error) -> Self {
        match (error.is_remote(), error.reason()) {
            (true, _) if error.is_go_away() => Self::Unseen,
            (true, Some(Reason::REFUSED_STREAM)) => Self::Refused,
            (true, Some(_)) => Self::Reset,
            (false, Some(_)) => Self::Garbled,
            (_, None) => Self::Closed,
        }
    }
}
