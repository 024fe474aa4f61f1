//! The upstream's answer: waiting for its head, and relaying it to the client.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::exchange::forward::{Deadlines, Failure, Next};
use crate::exchange::grpc_web::{Conversion, NotText};
use crate::exchange::serve::{HttpConnection, frame_response};
use crate::exchange::transfer::{Framing, NO_SPLICE, Progress, Transfer, TransferError, poll_read};
use crate::exchange::upgrade::accept_key;
use crate::exchange::{Exchange, GrpcCall, ResponseFlags, grpc};
use crate::filter::headers;
use crate::http1::{BodyDecoder, BodyError, KnownName, ReadBuffer, ResponseLength};
use crate::http2::client::Broken;
use crate::net::Stream;
use crate::net::splice::{Side, splice_exact};
use crate::snapshot::{Edit, Route, Snapshot, WeightedDestination};
use crate::tls::failure;
use crate::upstream::Upstream;
use crate::worker::timer::Timer;
use crate::worker::view::View;

/// How much of further requests is taken in while an answer is under way.
const PIPELINED: usize = 16 * 1024;

/// Silence is not looked for more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// From here on a body of known length is moved by the kernel.
const SPLICE_FROM: u64 = 128 * 1024;

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
    fn silence(&self, deadlines: &Deadlines) -> Silence {
        Silence {
            stall: self.worker.settings.stall_timeout,
            idle: deadlines.idle,
        }
    }

    /// Sets the timer to the deadline, or to when it is looked whether bytes have moved.
    fn arm(&self, now: Instant, end: Option<Instant>, limits: Silence) {
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

    /// Relays the answer whose head is in `exchange.response`.
    pub(super) async fn relay(
        &mut self,
        view: &View,
        route: &Route,
        to: &WeightedDestination,
        upstream: Upstream,
        request: Transfer,
        deadlines: &Deadlines,
    ) -> Next {
        let is_head = self.exchange.request.is_head();
        let mut length = self.exchange.response.body(is_head, false);
        let mut upstream_keeps =
            self.exchange.response.keep_alive() && !matches!(length, ResponseLength::UntilClose);
        let mut conversion = None;
        if let Some(web) = self.exchange.grpc_web {
            if web.answer(&mut self.exchange.response) {
                let text = web.text_answer;
                conversion = Some(Conversion::Answer { text });
            } else if length != ResponseLength::Empty {
                (length, upstream_keeps) = (ResponseLength::Empty, false);
            }
        }
        let switching = self.exchange.response.status() == 101;
        // An answer that came before the whole request was read: the rest is not waited for.
        let keep = self.keep_alive() && request.is_done();
        self.exchange.request_body_bytes = request.body_bytes;
        // What comes behind a converted body makes it longer than was said.
        let said = match length {
            ResponseLength::Length(_) if conversion.is_some() => ResponseLength::Chunked,
            length => length,
        };
        self.prepare_response(&view.snapshot, route, to, said, keep, switching, is_head);

        let framing = match said {
            ResponseLength::Empty => Framing::Raw,
            _ if self.stream.is_frames() => Framing::Frames,
            ResponseLength::Chunked | ResponseLength::UntilClose => Framing::Chunked,
            ResponseLength::Length(_) => Framing::Raw,
        };
        let mut out = std::mem::take(&mut self.output);
        let ends = length == ResponseLength::Empty && !switching;
        if self.put_head(&mut out, ends).is_err() {
            self.exchange.flags.insert(ResponseFlags::DC);
            return Next::Close;
        }
        let length = as_read(length, &upstream.stream);
        let mut response = Transfer::new(
            BodyDecoder::with_limits(length, &self.worker.settings.limits),
            framing,
            out,
        );
        if let Some(conversion) = conversion {
            response.convert(conversion);
        }
        let mut upstream = upstream;
        if upstream.stream.is_frames() && length != ResponseLength::Empty {
            upstream.input = self.worker.buffers.take();
        }
        if grpc::is_call(self.exchange.request.fields()) {
            response.count_messages();
            self.exchange.grpc = Some(GrpcCall::default());
        }
        if switching {
            return self.switch(upstream, request, response).await;
        }
        self.exchange.details = "via_upstream";
        let mut relay = Relay {
            upstream,
            request,
            response,
            send_failed: false,
        };
        let outcome = self.run(&mut relay, deadlines).await;
        let Relay {
            mut upstream,
            request,
            response,
            ..
        } = relay;
        self.exchange.request_body_bytes = request.body_bytes;
        self.exchange.request_wire_bytes += request.body_bytes;
        self.give_back_input();
        self.exchange.response_body_bytes = response.body_bytes;
        self.exchange.response_wire_bytes = response.wire_bytes;
        if let Some(call) = &mut self.exchange.grpc {
            // Said in the trailers, or in the head where there is nothing else.
            let head = self.exchange.response.fields();
            let last = response.trailers().unwrap_or(head);
            call.status = grpc::status(last).or_else(|| grpc::status(head));
            call.request_messages = request.messages();
            call.response_messages = response.messages();
        }
        let request_done = request.is_done();
        self.output = response.into_buffer();
        if let Err(end) = outcome {
            self.exchange.flags.insert(end.flag);
            self.exchange.details = end.details;
            return Next::Close;
        }
        let leftover = !upstream.input.is_empty();
        self.worker
            .buffers
            .give(std::mem::take(&mut upstream.input));
        // Bytes that nobody asked for: such a connection is never used again.
        if upstream_keeps && request_done && !leftover {
            upstream.release(Instant::now());
        }
        // `connection: close` was said already where the connection is not kept.
        if keep { Next::Keep } else { Next::Linger }
    }

    #[allow(clippy::too_many_arguments)] // each is a word of its own
    fn prepare_response(
        &mut self,
        snapshot: &Snapshot,
        route: &Route,
        to: &WeightedDestination,
        length: ResponseLength,
        keep: bool,
        switching: bool,
        is_head: bool,
    ) {
        self.exchange.status = self.exchange.response.status();
        let exchange = &mut self.exchange;
        let fields = exchange.response.fields_mut();
        if switching {
            fields.remove_hop_by_hop_but_upgrade();
        } else {
            fields.remove_hop_by_hop();
        }
        for cookie in &exchange.set_cookies {
            fields.append("set-cookie", cookie.as_bytes());
        }
        let edits: [&[Edit]; 2] = [&to.response_edits, &route.response_edits];
        headers::edit_answer(exchange, snapshot, &edits, "via_upstream");
        let fields = exchange.response.fields_mut();
        for (name, value) in &exchange.imposed {
            fields.set(name, value);
        }
        let took = exchange
            .upstream_service_time
            .unwrap_or_default()
            .as_millis();
        if snapshot.proxy.headers.debug {
            let mut number = itoa::Buffer::new();
            fields.set(
                "x-envoy-upstream-service-time",
                number.format(took).as_bytes(),
            );
        }
        // Framing is said last, so that no edit can contradict the bytes that follow. A body that
        // is not sent keeps the length that the upstream gave it.
        let status = exchange.status;
        let bodiless = is_head || matches!(status, 204 | 304) || (100..200).contains(&status);
        let framed = (!bodiless).then_some(length);
        // Frames say themselves where a body ends.
        let framed = framed.filter(|length| !self.stream.is_frames() || length.is_known());
        frame_response(fields, framed, switching);
        self.finish_response_head(keep || switching);
    }

    /// Moves the response, and what is left of the request, until the response is done. The time
    /// of a single try is over once its answer has begun.
    async fn run(&mut self, relay: &mut Relay, deadlines: &Deadlines) -> Result<(), End> {
        let limits = self.silence(deadlines);
        let mut progress = Progression::new(limits);
        self.arm(self.exchange.started, deadlines.route, limits);
        loop {
            let moved =
                poll_fn(|cx| relay.poll(cx, &mut self.stream, &mut self.input, &self.timer));
            match moved.await? {
                Moved::Done => return Ok(()),
                Moved::Splice(length) => {
                    self.splice(relay, length, deadlines, &mut progress).await?;
                }
                Moved::Expired => self.expired(relay, deadlines, &mut progress)?,
            }
        }
    }

    /// The timer has run out: the route's time is over, or somebody may have stalled.
    fn expired(
        &self,
        relay: &Relay,
        deadlines: &Deadlines,
        progress: &mut Progression,
    ) -> Result<(), End> {
        let now = Instant::now();
        if deadlines.route.is_some_and(|end| end <= now) {
            return Err(End::TIMEOUT);
        }
        let (request, response) = (&relay.request, &relay.response);
        let blocked = request.is_blocked() || response.is_blocked();
        let moved = request.wire_bytes + response.wire_bytes;
        if let Some(limit) = progress.is_over(blocked, moved, now) {
            self.worker
                .with_metrics(|metrics| metrics.limit_reached(limit));
            return Err(End::STALLED);
        }
        self.arm(now, deadlines.route, progress.limits);
        Ok(())
    }

    /// Moves `length` bytes of the body from socket to socket, and notices a client that leaves.
    async fn splice(
        &mut self,
        relay: &mut Relay,
        length: u64,
        deadlines: &Deadlines,
        progress: &mut Progression,
    ) -> Result<(), End> {
        let worker = Rc::clone(&self.worker);
        let counter = Cell::new(0);
        let before = relay.request.wire_bytes + relay.response.wire_bytes;
        let (Some(from), Some(to)) = (relay.upstream.stream.tcp(), self.stream.tcp()) else {
            // Asked for only where both are.
            return Err(End::UPSTREAM_CUT);
        };
        let mut moving = std::pin::pin!(splice_exact(&worker.pipes, from, to, length, &counter));
        let deadline = deadlines.route;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(moved) = moving.as_mut().poll(cx) {
                return Poll::Ready(moved.map_err(|error| match error.side {
                    Side::From => End::UPSTREAM_CUT,
                    Side::To => End::CLIENT_GONE,
                }));
            }
            if poll_hung_up(cx, to) {
                return Poll::Ready(Err(End::CLIENT_GONE));
            }
            ready!(self.timer.poll_expired(cx));
            let now = Instant::now();
            if deadline.is_some_and(|end| end <= now) {
                return Poll::Ready(Err(End::TIMEOUT));
            }
            // Only a client that takes nothing has stalled; an upstream may take its time.
            let blocked = self.stream.poll_write_ready(cx).is_pending();
            if let Some(limit) = progress.is_over(blocked, before + counter.get(), now) {
                worker.with_metrics(|metrics| metrics.limit_reached(limit));
                return Poll::Ready(Err(End::STALLED));
            }
            self.arm(now, deadline, progress.limits);
            self.timer.poll_expired(cx).map(|()| Err(End::TIMEOUT))
        })
        .await;
        relay.response.spliced(counter.get());
        outcome
    }
}

/// A response under way, and the rest of its request.
#[derive(Debug)]
struct Relay {
    upstream: Upstream,
    request: Transfer,
    response: Transfer,
    send_failed: bool,
}

/// How a relay broke off after the head was sent.
#[derive(Clone, Copy, Debug)]
struct End {
    flag: ResponseFlags,
    details: &'static str,
}

impl End {
    const CLIENT_GONE: Self = Self {
        flag: ResponseFlags::DC,
        details: "downstream_remote_disconnect",
    };
    const UPSTREAM_CUT: Self = Self {
        flag: ResponseFlags::UC,
        details: "upstream_reset_after_response_started{connection_termination}",
    };
    const UPSTREAM_RESET: Self = Self {
        flag: ResponseFlags::UR,
        details: "upstream_reset_after_response_started{remote_reset}",
    };
    const UPSTREAM_GARBLED: Self = Self {
        flag: ResponseFlags::UPE,
        details: "upstream_reset_after_response_started{protocol_error}",
    };
    const STALLED: Self = Self {
        flag: ResponseFlags::SI,
        details: "stream_idle_timeout",
    };
    const TIMEOUT: Self = Self {
        flag: ResponseFlags::UT,
        details: "response_timeout",
    };
}

impl Relay {
    /// Ready when the response is done, or so much of it is left that the kernel should move it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        client_input: &mut ReadBuffer,
        timer: &Timer,
    ) -> Poll<Result<Moved, End>> {
        let Self {
            upstream,
            request,
            response,
            send_failed,
        } = self;
        if !request.is_done() && !*send_failed {
            match request.poll(cx, client, client_input, &mut upstream.stream, NO_SPLICE) {
                Poll::Ready(Err(
                    TransferError::From | TransferError::Cut(_) | TransferError::NotText(_),
                )) => {
                    return Poll::Ready(Err(End::CLIENT_GONE));
                }
                Poll::Ready(Err(TransferError::To)) => *send_failed = true,
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
        }
        let bare = client.tcp().is_some() && upstream.stream.tcp().is_some();
        let splice_from = if bare && request.is_done() {
            SPLICE_FROM
        } else {
            NO_SPLICE
        };
        let Upstream { stream, input, .. } = upstream;
        match response.poll(cx, stream, input, client, splice_from) {
            Poll::Ready(Ok(Progress::Done)) => return Poll::Ready(Ok(Moved::Done)),
            Poll::Ready(Ok(Progress::Splice(left))) => return Poll::Ready(Ok(Moved::Splice(left))),
            Poll::Ready(Err(TransferError::To)) => return Poll::Ready(Err(End::CLIENT_GONE)),
            Poll::Ready(Err(TransferError::From)) => {
                let broken = stream.frames().and_then(|frames| frames.broken());
                return Poll::Ready(Err(match broken {
                    Some(Broken::Reset | Broken::Refused) => End::UPSTREAM_RESET,
                    Some(Broken::Garbled) => End::UPSTREAM_GARBLED,
                    Some(Broken::Closed | Broken::Unseen) | None => End::UPSTREAM_CUT,
                }));
            }
            // Text is made of answers, not read.
            Poll::Ready(Err(TransferError::NotText(_))) => {
                return Poll::Ready(Err(End::UPSTREAM_GARBLED));
            }
            Poll::Ready(Err(TransferError::Cut(error))) => {
                return Poll::Ready(Err(if error == BodyError::Truncated {
                    End::UPSTREAM_CUT
                } else {
                    End::UPSTREAM_GARBLED
                }));
            }
            Poll::Pending => {}
        }
        if request.is_done() && poll_client_gone(cx, client, client_input) {
            return Poll::Ready(Err(End::CLIENT_GONE));
        }
        timer.poll_expired(cx).map(|()| Ok(Moved::Expired))
    }
}

/// How far a relay came.
#[derive(Clone, Copy, Debug)]
enum Moved {
    /// The response is done.
    Done,
    /// So many bytes are left that the kernel should move them.
    Splice(u64),
    /// The timer has run out.
    Expired,
}

/// How long nothing may move.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// While a side takes nothing that waits for it.
    stall: Duration,
    /// In any case; none: as long as it takes.
    idle: Option<Duration>,
}

/// Whether bytes move, from one look to the next.
#[derive(Debug)]
struct Progression {
    limits: Silence,
    seen: u64,
    /// When it was last seen that bytes had moved.
    since: Option<Instant>,
}

impl Progression {
    fn new(limits: Silence) -> Self {
        Self {
            limits,
            seen: u64::MAX,
            since: None,
        }
    }

    /// The limit that is reached, if one is: somebody is waited for and took nothing, or nothing
    /// moved for too long.
    fn is_over(&mut self, blocked: bool, moved: u64, now: Instant) -> Option<&'static str> {
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
fn poll_hung_up(cx: &mut Context<'_>, client: &tokio::net::TcpStream) -> bool {
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
