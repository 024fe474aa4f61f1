//! The upstream's answer: waiting for its head.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::exchange::forward::{Deadlines, Failure};
use crate::exchange::grpc_web::NotText;
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::{NO_SPLICE, Transfer, TransferError, poll_read};
use crate::exchange::upgrade::accept_key;
use crate::http1::{BodyError, KnownName, ReadBuffer, ResponseLength};
use crate::http2::client::Broken;
use crate::net::Stream;
use crate::tls::failure;
use crate::upstream::Upstream;

/// How much of further requests is taken in while an answer is under way.
const PIPELINED: usize = 16 * 1024;

/// Silence is not looked for more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

impl HttpConnection {
    /// Sends the request and waits for a final head.
    pub(super) async fn await_response(
        &mut self,
        upstream: &mut Upstream,
        request: &mut Transfer,
        deadlines: &mut Deadlines,
    ) -> Result<(), Failure> {
        let limits = self.silence(deadlines);
        let mut progress = Progression::new(limits);
        self.arm(self.exchange.started, deadlines.next(), limits);
        let mut sent_at = None;
        let mut send_failed = false;
        poll_fn(|cx| {
            if !request.is_done() && !send_failed {
                let (from, to) = (&mut self.stream, &mut upstream.stream);
                match request.poll(cx, from, &mut self.input, to, NO_SPLICE) {
                    Poll::Pending | Poll::Ready(Ok(_)) => {}
                    // It may have answered before it closed: see what there is to read.
                    Poll::Ready(Err(TransferError::To)) => send_failed = true,
                    Poll::Ready(Err(TransferError::From)) => {
                        return Poll::Ready(Err(Failure::ClientGone));
                    }
                    Poll::Ready(Err(TransferError::NotText(NotText))) => {
                        return Poll::Ready(Err(Failure::BadText));
                    }
                    Poll::Ready(Err(TransferError::Cut(error))) => {
                        return Poll::Ready(Err(if error == BodyError::Truncated {
                            Failure::ClientGone
                        } else {
                            Failure::BadRequestBody(error)
                        }));
                    }
                }
            }
            if request.is_done() && sent_at.is_none() {
                let now = Instant::now();
                sent_at = Some(now);
                deadlines.complete(now);
                if self.stream.is_frames() {
                    // Hundreds of streams may wait at once, and need none for that.
                    self.give_back_input();
                }
                if let Some(end) = deadlines.next() {
                    self.arm(now, Some(end), limits);
                }
            }
            if let Poll::Ready(done) = self.poll_head(cx, upstream) {
                return Poll::Ready(done);
            }
            if request.is_done() && poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            ready!(self.timer.poll_expired(cx));
            let now = Instant::now();
            if deadlines.next().is_some_and(|end| end <= now) {
                return Poll::Ready(Err(deadlines.failure()));
            }
            if let Some(limit) = progress.is_over(request.is_blocked(), request.wire_bytes, now) {
                self.worker
                    .with_metrics(|metrics| metrics.limit_reached(limit));
                let complete = request.is_done();
                return Poll::Ready(Err(Failure::Stalled { complete }));
            }
            self.arm(now, deadlines.next(), limits);
            // Registers for the new deadline.
            self.timer
                .poll_expired(cx)
                .map(|()| Err(deadlines.failure()))
        })
        .await?;
        let sent_at = sent_at.unwrap_or(self.exchange.started);
        self.exchange.upstream_service_time = Some(sent_at.elapsed());
        Ok(())
    }

    /// How long silence may last.
    pub(super) fn silence(&self, deadlines: &Deadlines) -> Silence {
        Silence {
            stall: self.worker.settings.stall_timeout,
            idle: deadlines.idle,
        }
    }

    /// Sets the timer to the deadline, or to when it is looked whether bytes have moved.
    pub(super) fn arm(&self, now: Instant, end: Option<Instant>, limits: Silence) {
        let look = limits.idle.map_or(limits.stall, |idle| {
            limits.stall.min((idle / 4).max(SHORTEST_LOOK))
        });
        let look = now + look;
        self.timer
            .set_at(Some(end.map_or(look, |end| end.min(look))));
    }

    /// Reads until a final head is complete; informational ones go to the client at once.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Failure>> {
        let limits = self.worker.limits();
        loop {
            // Interim heads first: they were encoded into `output`.
            if !self.output.is_empty()
                && let Poll::Ready(Err(_)) = poll_write_all(cx, &mut self.stream, &mut self.output)
            {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            if let Some(frames) = upstream.stream.frames() {
                if frames.poll_interim(cx, &mut self.exchange.response) {
                    self.pass_interim()?;
                    continue;
                }
                let answer = ready!(frames.poll_answer(cx, &mut self.exchange.response));
                if let Err(error) = answer {
                    return Poll::Ready(Err(Broken::from(&error).into()));
                }
                self.switch_as_http1();
                return Poll::Ready(Ok(()));
            }
            match self.exchange.response.decode(&mut upstream.input, &limits) {
                Err(_) => return Poll::Ready(Err(Failure::BadResponse)),
                Ok(true) => {
                    let switching = self.exchange.response.status() == 101;
                    if switching && !self.may_switch() {
                        return Poll::Ready(Err(Failure::BadResponse));
                    }
                    if switching || !self.exchange.response.is_informational() {
                        return Poll::Ready(Ok(()));
                    }
                    self.pass_interim()?;
                    continue;
                }
                Ok(false) => {}
            }
            let fresh = upstream.input.is_empty();
            if !upstream.input.has_memory() {
                // Lent only now that there is something to read: a request that waits holds none.
                if ready!(upstream.stream.poll_read_ready(cx)).is_ok() {
                    upstream.input = self.worker.buffers.take();
                }
            }
            match ready!(poll_read(cx, &mut upstream.stream, &mut upstream.input)) {
                Ok(read) if read > 0 => {}
                // Closed before a byte of an answer, or in the middle of its head.
                ended => {
                    if let Some(words) = ended.err().and_then(|error| failure::words(&error)) {
                        self.exchange.transport_failure = words;
                    }
                    return Poll::Ready(Err(Failure::Closed {
                        reused: fresh && upstream.reused,
                    }));
                }
            }
        }
    }

    /// Sends the interim head on.
    fn pass_interim(&mut self) -> Result<(), Failure> {
        if self.output.len() > PIPELINED {
            return Err(Failure::BadResponse);
        }
        self.exchange.response.fields_mut().remove_hop_by_hop();
        match self.stream.frames() {
            None => self.exchange.response.encode(&mut self.output),
            Some(frames) => {
                let sent = frames.inform(&self.exchange.response);
                sent.map_err(|_| Failure::ClientGone)?;
            }
        }
        Ok(())
    }

    /// An endpoint of HTTP/2 grants another protocol with a plain success (RFC 8441 §5), and says
    /// nothing of the key that a client of HTTP/1.1 wants to see answered.
    fn switch_as_http1(&mut self) {
        let Exchange {
            request, response, ..
        } = &mut self.exchange;
        let Some(protocol) = request.upgrade() else {
            return;
        };
        if !(200..300).contains(&response.status()) {
            return;
        }
        let protocol = String::from_utf8_lossy(protocol).into_owned();
        response.grant_upgrade(&protocol);
        let fields = response.fields_mut();
        fields.remove_known(KnownName::ContentLength);
        if let Some(key) = request.fields().get("sec-websocket-key") {
            fields.set("sec-websocket-accept", &accept_key(key));
        }
    }

    /// Whether the answer switches to the very protocol that was asked for.
    fn may_switch(&self) -> bool {
        match (
            self.exchange.request.upgrade(),
            self.exchange.response.upgrade(),
        ) {
            (Some(asked), Some(granted)) => asked.eq_ignore_ascii_case(granted),
            _ => false,
        }
    }
}

/// How long nothing may move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// While a side takes nothing that waits for it.
    stall: Duration,
    /// In any case; none: as long as it takes.
    idle: Option<Duration>,
}

/// Whether bytes move, from one look to the next.
#[derive(Debug)]
pub(super) struct Progression {
    pub(super) limits: Silence,
    seen: u64,
    /// When it was last seen that bytes had moved.
    since: Option<Instant>,
}

impl Progression {
    pub(super) fn new(limits: Silence) -> Self {
        Self {
            limits,
            seen: u64::MAX,
            since: None,
        }
    }

    /// The limit that is reached, if one is: somebody is waited for and took nothing, or nothing
    /// moved for too long.
    pub(super) fn is_over(
        &mut self,
        blocked: bool,
        moved: u64,
        now: Instant,
    ) -> Option<&'static str> {
        if std::mem::replace(&mut self.seen, moved) != moved {
            self.since = Some(now);
            return None;
        }
        let quiet = now.saturating_duration_since(self.since.unwrap_or(now));
        // The look comes at most once in the time, so that it is over with the second one.
        if self.limits.idle.is_some_and(|idle| quiet >= idle) {
            return Some("httpStreamIdleTimeout");
        }
        (blocked && quiet >= self.limits.stall).then_some("stall_timeout")
    }
}

/// How a body is read: frames say themselves where it ends, and what else is said of its length
/// was held against them already.
pub(super) fn as_read(length: ResponseLength, from: &Stream) -> ResponseLength {
    if length != ResponseLength::Empty && from.is_frames() {
        ResponseLength::UntilClose
    } else {
        length
    }
}

/// Whether the client closed while it waits; a pipelined request is taken in meanwhile.
pub(super) fn poll_client_gone(
    cx: &mut Context<'_>,
    client: &mut Stream,
    input: &mut ReadBuffer,
) -> bool {
    if let Some(frames) = client.frames() {
        return frames.poll_gone(cx);
    }
    while input.len() < PIPELINED {
        // No buffer before there are bytes.
        match client.poll_read_ready(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return true,
        }
        match poll_read(cx, client, input) {
            Poll::Pending => return false,
            Poll::Ready(Ok(read)) if read > 0 => {}
            Poll::Ready(_) => return true,
        }
    }
    false
}

/// The same without taking anything, for a client whose socket is being written to.
pub(super) fn poll_hung_up(cx: &mut Context<'_>, client: &tokio::net::TcpStream) -> bool {
    let mut byte = [0_u8; 1];
    let mut buffer = tokio::io::ReadBuf::new(&mut byte);
    matches!(
        client.poll_peek(cx, &mut buffer),
        Poll::Ready(Ok(0) | Err(_))
    )
}

fn poll_write_all(
    cx: &mut Context<'_>,
    to: &mut Stream,
    output: &mut Vec<u8>,
) -> Poll<std::io::Result<()>> {
    while !output.is_empty() {
        let wrote = ready!(tokio::io::AsyncWrite::poll_write(
            std::pin::Pin::new(&mut *to),
            cx,
            output
        ))?;
        output.drain(..wrote);
    }
    tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(to), cx)
}
