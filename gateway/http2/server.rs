//! Connections of HTTP/2 clients: each request becomes an exchange in a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::{Connection, HttpConnection};
use crate::http1::ReadBuffer;
use crate::http2::{CONNECTION_WINDOW, Frames, SEND_BUFFER, STREAM_WINDOW, heads};
use crate::net::Stream;
use crate::worker::Worker;
use crate::worker::listener::Slot;
use crate::worker::timer::Timer;

/// Requests under way on one connection (RFC 9113 §6.5.2 advises at least 100).
const MAX_STREAMS: u32 = 256;
/// Streams that a client may reset before they are answered, in each [`RESET_WINDOW`]: browsers
/// cancel what they scroll past, attackers (CVE-2023-44487) do it by the thousand.
const MAX_RESETS: u32 = 200;
/// The time in which they are counted.
const RESET_WINDOW: Duration = Duration::from_secs(10);

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
    let handshake = builder.handshake::<_, Bytes>(Io { ahead, stream });
    #[expect(clippy::disallowed_methods, reason = "once per connection")]
    let handshake = tokio::time::timeout(worker.settings.head_timeout, handshake).await;
    let Ok(Ok(mut connection)) = handshake else {
        worker.with_metrics(|metrics| metrics.refused("http2.preface"));
        return;
    };
    let timer = worker.wheel.timer();
    let mut ending = false;
    shared.look_again(&timer);
    loop {
        let event = poll_fn(|cx| shared.poll(cx, &mut connection, &timer, ending)).await;
        match event {
            Event::Request(request, respond) => shared.begin(request, respond),
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => {
                tracing::debug!(peer = %shared.connection.peer, %error, "HTTP/2 connection broke");
                if !error.is_io() {
                    worker.with_metrics(|metrics| metrics.refused("http2.protocol_error"));
                }
                return;
            }
            Event::Flood => {
                worker.with_metrics(|metrics| metrics.limit_reached("http2_resets"));
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                ending = true;
            }
            // GOAWAY; what is under way is served to its end.
            Event::Over => {
                connection.graceful_shutdown();
                ending = true;
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "never kept")]
enum Event {
    Request(Request<RecvStream>, SendResponse<Bytes>),
    /// Too many requests were given up.
    Flood,
    /// Idle for too long, or drained.
    Over,
    Ended(Result<(), h2::Error>),
}

impl Shared {
    fn poll(
        &self,
        cx: &mut Context<'_>,
        connection: &mut h2::server::Connection<Io, Bytes>,
        timer: &Timer,
        ending: bool,
    ) -> Poll<Event> {
        if !ending && self.resets.get() > MAX_RESETS {
            self.resets.set(0);
            return Poll::Ready(Event::Flood);
        }
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                return Poll::Ready(Event::Request(request, respond));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Ended(Err(error))),
            Poll::Ready(None) => return Poll::Ready(Event::Ended(Ok(()))),
            Poll::Pending => {}
        }
        while timer.poll_expired(cx).is_ready() {
            let quiet = self.last_used.get().elapsed();
            if !ending && self.active.get() == 0 && quiet >= self.idle_timeout() {
                return Poll::Ready(Event::Over);
            }
            self.look_again(timer);
        }
        if !ending && self.worker.poll_drain(cx, false).is_ready() {
            return Poll::Ready(Event::Over);
        }
        Poll::Pending
    }

    fn idle_timeout(&self) -> Duration {
        let configured = self.worker.view().snapshot.proxy.connections.idle_timeout;
        configured.unwrap_or(self.worker.settings.idle_timeout)
    }

    fn look_again(&self, timer: &Timer) {
        timer.set_at(Some(Instant::now() + self.idle_timeout()));
    }

    fn begin(self: &Rc<Self>, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let mut head = heads::request(&parts, body.is_end_stream(), &self.worker.limits());
        if let Ok(head) = &mut head
            && head.upgrade().is_some()
        {
            heads::add_websocket_key(head, || self.worker.random.below(64));
        }
        let frames = Box::new(Frames::from_client(body, respond));
        self.active.set(self.active.get() + 1);
        let shared = Rc::clone(self);
        let exchange = HttpConnection::of_stream(
            Rc::clone(&self.worker),
            Rc::clone(&self.slot),
            frames,
            &self.connection,
            self.scheme,
        );
        tokio::task::spawn_local(async move {
            let was_left = exchange.serve_stream(head).await;
            shared.ended(was_left);
        });
    }

    /// An exchange is over; `was_left` where the client did not wait for its end.
    fn ended(&self, was_left: bool) {
        self.active.set(self.active.get().saturating_sub(1));
        let now = Instant::now();
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
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(self.ahead.filled().get(..count).unwrap_or_default());
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
