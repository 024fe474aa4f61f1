//! Connections of HTTP/2 clients: each request becomes an exchange in a task that serves one at a
//! time, and then takes a seat (`seats`) until the next one comes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::{Connection, HttpConnection, Served};
use crate::http1::{ReadBuffer, RequestError};
use crate::http2::flood::Flood;
use crate::http2::seats::{Asked, Seat, Seats};
use crate::http2::{CONNECTION_WINDOW, Frames, SEND_BUFFER, STREAM_WINDOW, heads};
use crate::net::Stream;
use crate::worker::Worker;
use crate::worker::listener::Slot;
use crate::worker::timer::Timer;
use crate::worker::view::View;

/// Requests under way on one connection (RFC 9113 §6.5.2 advises at least 100).
const MAX_STREAMS: u32 = 256;
/// The time in which streams that the client resets are counted.
const RESET_WINDOW: Duration = Duration::from_secs(10);
/// How long a client that was told to go may keep a connection on which nothing is under way.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the streams of a connection have in common.
#[derive(Debug)]
pub struct Shared {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    connection: Rc<Connection>,
    scheme: &'static str,
    /// Exchanges under way.
    active: Cell<u32>,
    /// Exchanges that the client gave up, since `counted_from`.
    resets: Cell<u32>,
    counted_from: Cell<Instant>,
    last_used: Cell<Instant>,
    /// Tasks that have nothing to serve.
    seats: Seats,
    /// Frames that carry nothing.
    flood: RefCell<Flood>,
}

/// Serves until the connection ends. `ahead` is what was read of it already.
pub async fn serve(
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    stream: Stream,
    ahead: ReadBuffer,
    connection: Rc<Connection>,
    scheme: &'static str,
) {
    let now = Instant::now();
    let shared = Rc::new(Shared {
        slot,
        connection,
        scheme,
        active: Cell::new(0),
        resets: Cell::new(0),
        counted_from: Cell::new(now),
        last_used: Cell::new(now),
        seats: Seats::default(),
        flood: RefCell::new(Flood::new(worker.settings.http2_idle_frames, now)),
        worker: Rc::clone(&worker),
    });
    let limits = worker.limits();
    let settings = worker.view().snapshot.proxy.connections;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.max_streams.unwrap_or(MAX_STREAMS))
        .initial_window_size(settings.stream_window.unwrap_or(STREAM_WINDOW))
        .initial_connection_window_size(settings.connection_window.unwrap_or(CONNECTION_WINDOW))
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .enable_connect_protocol();
    let handshake = builder.handshake::<_, Bytes>(Io {
        ahead,
        stream,
        shared: Rc::clone(&shared),
    });
    #[expect(clippy::disallowed_methods, reason = "once per connection")]
    let handshake = tokio::time::timeout(worker.settings.head_timeout, handshake).await;
    let Ok(Ok(mut connection)) = handshake else {
        worker.with_metrics(|metrics| metrics.refused("http2.preface"));
        return;
    };
    let _closing = shared.seats.closed_at_the_end();
    let timer = worker.wheel.timer();
    // Since when the client knows that it has to go.
    let mut ending = None;
    shared.look_again(&timer, ending);
    loop {
        let event = poll_fn(|cx| shared.poll(cx, &mut connection, &timer, ending)).await;
        match event {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => {
                tracing::debug!(peer = %shared.connection.peer, %error, "HTTP/2 connection broke");
                worker.with_metrics(|metrics| match error.reason() {
                    // A limit of h2's own: header lists, CONTINUATION, empty DATA, resets.
                    Some(Reason::ENHANCE_YOUR_CALM) => metrics.limit_reached("http2_flood"),
                    _ if error.is_io() || error.is_remote() => {}
                    _ => metrics.refused("http2.protocol_error"),
                });
                return;
            }
            Event::Flood(limit) => {
                worker.with_metrics(|metrics| metrics.limit_reached(limit));
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                ending = Some(Instant::now());
                shared.look_again(&timer, ending);
            }
            // GOAWAY; what is under way is served to its end.
            Event::Over => {
                connection.graceful_shutdown();
                ending = Some(Instant::now());
                shared.look_again(&timer, ending);
            }
        }
    }
}

enum Event {
    /// Too much of what a client may do within this limit.
    Flood(&'static str),
    /// Idle for too long, or drained.
    Over,
    Ended(Result<(), h2::Error>),
}

impl Shared {
    /// Begins what is asked for, until something else happens.
    fn poll(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        connection: &mut h2::server::Connection<Io, Bytes>,
        timer: &Timer,
        ending: Option<Instant>,
    ) -> Poll<Event> {
        loop {
            if ending.is_none()
                && let Some(limit) = self.flooded()
            {
                return Poll::Ready(Event::Flood(limit));
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(asked))) => self.begin(asked),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Ended(Err(error))),
                Poll::Ready(None) => return Poll::Ready(Event::Ended(Ok(()))),
                Poll::Pending => break,
            }
        }
        if ending.is_none()
            && let Some(limit) = self.flooded()
        {
            return Poll::Ready(Event::Flood(limit));
        }
        while timer.poll_expired(cx).is_ready() {
            let is_quiet = self.active.get() == 0;
            match ending {
                // It neither goes nor reads that it should.
                Some(since)
                    if is_quiet
                        && since.elapsed() >= FAREWELL
                        && (!connection.has_streams() || self.has_stalled()) =>
                {
                    return Poll::Ready(Event::Ended(Ok(())));
                }
                None if is_quiet && self.last_used.get().elapsed() >= self.idle_timeout() => {
                    return Poll::Ready(Event::Over);
                }
                _ => self.look_again(timer, ending),
            }
        }
        if ending.is_none() && self.worker.poll_drain(cx, false).is_ready() {
            return Poll::Ready(Event::Over);
        }
        Poll::Pending
    }

    fn idle_timeout(&self) -> Duration {
        let configured = self.worker.view().snapshot.proxy.connections.idle_timeout;
        configured.unwrap_or(self.worker.settings.idle_timeout)
    }

    /// The limit that the client is over, if it is.
    fn flooded(&self) -> Option<&'static str> {
        if self.resets.get() > self.worker.settings.http2_resets {
            return Some("http2_resets");
        }
        self.flood.borrow().is_over().then_some("http2_idle_frames")
    }

    /// Whether the client has taken its time to read what was sent last.
    fn has_stalled(&self) -> bool {
        self.last_used.get().elapsed() >= self.worker.settings.write_timeout
    }

    fn look_again(&self, timer: &Timer, ending: Option<Instant>) {
        let pause = match ending {
            None => self.idle_timeout(),
            Some(_) => FAREWELL,
        };
        timer.set_at(Some(Instant::now() + pause));
    }

    fn begin(self: &Rc<Self>, asked: Asked) {
        self.active.set(self.active.get() + 1);
        if let Some(asked) = self.seats.ask(asked) {
            let (shared, seat) = (Rc::clone(self), Seat::with(asked));
            tokio::task::spawn_local(async move { shared.serve_in(seat).await });
        }
    }

    /// Serves what is asked for in this seat, one stream after the other.
    async fn serve_in(self: Rc<Self>, seat: Rc<Seat>) {
        let mut connection = HttpConnection::of_streams(
            Rc::clone(&self.worker),
            Rc::clone(&self.slot),
            &self.connection,
            self.scheme,
        );
        while let Some(head) = self.take(&seat, &mut connection) {
            match connection.serve_stream(head).await {
                Served::Over { left, again } => {
                    let now = connection.ended_at();
                    connection.end_stream();
                    self.ended(left, now);
                    if !again {
                        return;
                    }
                    let timer = connection.timer();
                    if !self.seats.wait(&seat, &self.worker, timer, now).await {
                        return;
                    }
                }
                Served::Switched(view) => return self.carry(connection, view),
            }
        }
    }

    /// Makes `connection` one of the stream that is asked for, if one is.
    fn take(
        &self,
        seat: &Seat,
        connection: &mut HttpConnection,
    ) -> Option<Result<(), RequestError>> {
        let (request, respond) = seat.take()?;
        let ends = request.body().is_end_stream();
        let head = connection.next_request();
        let outcome = heads::request(&request, ends, &self.worker.limits(), head);
        if outcome.is_ok() && head.upgrade().is_some() {
            heads::add_websocket_key(head, || self.worker.random.below(64));
        }
        connection.begin_stream(Frames::from_client(request.into_body(), respond));
        Some(outcome)
    }

    /// Carries what a stream switched to, in a task that has nothing of an exchange's.
    fn carry(self: Rc<Self>, connection: HttpConnection, view: Rc<View>) {
        let Some(tunnel) = connection.into_tunnel(view) else {
            return self.ended(false, Instant::now());
        };
        tokio::task::spawn_local(async move {
            let left = tunnel.carry().await;
            self.ended(left, Instant::now());
        });
    }

    /// An exchange is over; `was_left` where the client did not wait for its end.
    fn ended(&self, was_left: bool, now: Instant) {
        self.active.set(self.active.get().saturating_sub(1));
        self.last_used.set(now);
        if was_left {
            if now.duration_since(self.counted_from.get()) > RESET_WINDOW {
                self.counted_from.set(now);
                self.resets.set(0);
            }
            self.resets.set(self.resets.get() + 1);
        }
    }
}

/// A client's connection, with what was read of it ahead.
#[derive(Debug)]
struct Io {
    ahead: ReadBuffer,
    stream: Stream,
    shared: Rc<Shared>,
}

impl Io {
    /// Takes note of what was read; a flood is dealt with before more is.
    fn received(&self, cx: &mut Context<'_>, bytes: &[u8]) {
        let mut flood = self.shared.flood.borrow_mut();
        flood.received(bytes, Instant::now);
        if flood.is_over() {
            cx.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shared.flood.borrow().is_over() {
            return Poll::Pending;
        }
        if self.ahead.is_empty() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            self.received(cx, buffer.filled().get(before..).unwrap_or_default());
            return Poll::Ready(Ok(()));
        }
        let count = self.ahead.len().min(buffer.remaining());
        let bytes = self.ahead.filled().get(..count).unwrap_or_default();
        buffer.put_slice(bytes);
        self.received(cx, bytes);
        self.ahead.consume(count);
        if self.ahead.is_empty() {
            self.ahead = ReadBuffer::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        let mut flood = self.shared.flood.borrow_mut();
        flood.sent(bytes.get(..wrote).unwrap_or_default());
        drop(flood);
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        let mut flood = self.shared.flood.borrow_mut();
        let mut left = wrote;
        for slice in slices {
            let count = left.min(slice.len());
            flood.sent(slice.get(..count).unwrap_or_default());
            left -= count;
        }
        drop(flood);
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
