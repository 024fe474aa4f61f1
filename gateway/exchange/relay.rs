//! Relaying an answer: head, body, trailers; what goes wrong on the way, and whose fault it is.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::exchange::forward::{Deadlines, Next};
use crate::exchange::grpc_web::Conversion;
use crate::exchange::response::{Progression, as_read, poll_client_gone, poll_hung_up};
use crate::exchange::serve::{HttpConnection, frame_response};
use crate::exchange::transfer::{Framing, NO_SPLICE, Progress, Transfer, TransferError};
use crate::exchange::{GrpcCall, ResponseFlags, grpc};
use crate::filter::headers;
use crate::http1::{BodyDecoder, BodyError, ReadBuffer, ResponseLength};
use crate::http2::client::Broken;
use crate::net::Stream;
use crate::net::splice::{Side, splice_exact};
use crate::snapshot::{Edit, Route, Snapshot, WeightedDestination};
use crate::upstream::Upstream;
use crate::worker::timer::Timer;
use crate::worker::view::View;

/// From here on a body of known length is moved by the kernel.
const SPLICE_FROM: u64 = 128 * 1024;

impl HttpConnection {
    /// Relays the answer whose head is in `exchange.response`.
    pub(super) async fn relay(
        &mut self,
        view: &View,
        route: &Route,
        to: &WeightedDestination,
        upstream: Box<Upstream>,
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
    upstream: Box<Upstream>,
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
        let Upstream { stream, input, .. } = &mut **upstream;
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
