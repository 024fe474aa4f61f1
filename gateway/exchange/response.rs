//! The upstream's answer: waiting for its head, and relaying it to the client.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::net::TcpStream;

use crate::exchange::ResponseFlags;
use crate::exchange::forward::{Deadlines, Failure, Next};
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::{Framing, NO_SPLICE, Progress, Transfer, TransferError, poll_read};
use crate::filter::headers;
use crate::http1::{BodyDecoder, BodyError, ReadBuffer, ResponseLength};
use crate::net::splice::{Side, splice_exact};
use crate::snapshot::{Route, WeightedDestination};
use crate::upstream::Upstream;
use crate::worker::timer::Timer;

/// How much of a response is read at once.
const READ: usize = 16 * 1024;

/// How much of further requests is taken in while an answer is under way.
const PIPELINED: usize = 16 * 1024;

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
        self.timer.set_at(deadlines.next());
        let mut sent_at = None;
        // A response head that is not complete yet keeps its place in `exchange.response`.
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
                if let (None, Some(timeout)) = (deadlines.route, deadlines.timeout) {
                    deadlines.route = Some(now + timeout);
                    self.timer.set_at(deadlines.next());
                }
            }
            if let Poll::Ready(done) = self.poll_head(cx, upstream) {
                return Poll::Ready(done);
            }
            if request.is_done() && poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            self.timer
                .poll_expired(cx)
                .map(|()| Err(deadlines.failure()))
        })
        .await?;
        let sent_at = sent_at.unwrap_or(self.exchange.started);
        self.exchange.request_body_bytes = request.body_bytes;
        self.exchange.upstream_service_time = Some(sent_at.elapsed());
        Ok(())
    }

    /// Reads until a final head is complete; informational ones go to the client at once.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let limits = &self.worker.settings.limits;
            // Interim heads first: they were encoded into `output`.
            if !self.output.is_empty()
                && let Poll::Ready(Err(_)) = poll_write_all(cx, &mut self.stream, &mut self.output)
            {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            match self.exchange.response.decode(&mut upstream.input, limits) {
                Err(_) => return Poll::Ready(Err(Failure::BadResponse)),
                Ok(true) => {
                    let switching = self.exchange.response.status() == 101;
                    if switching && self.exchange.request.upgrade().is_none() {
                        return Poll::Ready(Err(Failure::BadResponse));
                    }
                    if switching || !self.exchange.response.is_informational() {
                        return Poll::Ready(Ok(()));
                    }
                    if self.output.len() > PIPELINED {
                        return Poll::Ready(Err(Failure::BadResponse));
                    }
                    self.exchange.response.fields_mut().remove_hop_by_hop();
                    self.exchange.response.encode(&mut self.output);
                    continue;
                }
                Ok(false) => {}
            }
            let fresh = upstream.input.is_empty();
            match ready!(poll_read(
                cx,
                &mut upstream.stream,
                &mut upstream.input,
                READ
            )) {
                Ok(read) if read > 0 => {}
                // Closed before a byte of an answer, or in the middle of its head.
                _ => {
                    return Poll::Ready(Err(Failure::Closed {
                        reused: fresh && upstream.reused,
                    }));
                }
            }
        }
    }

    /// Relays the answer whose head is in `exchange.response`.
    pub(super) async fn relay(
        &mut self,
        route: &Route,
        to: &WeightedDestination,
        upstream: Upstream,
        request: Transfer,
        deadlines: &Deadlines,
    ) -> Next {
        let is_head = self.exchange.request.is_head();
        let length = self.exchange.response.body(is_head, false);
        let upstream_keeps =
            self.exchange.response.keep_alive() && !matches!(length, ResponseLength::UntilClose);
        let switching = self.exchange.response.status() == 101;
        // An answer that came before the whole request was read: the rest is not waited for.
        let keep = self.keep_alive() && request.is_done();
        self.prepare_response(route, to, length, keep, switching);

        let framing = match length {
            ResponseLength::Chunked | ResponseLength::UntilClose => Framing::Chunked,
            ResponseLength::Empty | ResponseLength::Length(_) => Framing::Raw,
        };
        let mut out = std::mem::take(&mut self.output);
        self.exchange.response.encode(&mut out);
        let response = Transfer::new(BodyDecoder::new(length), framing, out);
        if switching {
            return self.switch(upstream, response).await;
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
            upstream,
            request,
            response,
            ..
        } = relay;
        self.exchange.request_body_bytes = request.body_bytes;
        self.exchange.response_body_bytes = response.body_bytes;
        self.exchange.response_wire_bytes = response.wire_bytes;
        let request_done = request.is_done();
        self.output = response.into_buffer();
        if let Err(end) = outcome {
            self.exchange.flags.insert(end.flag);
            self.exchange.details = end.details;
            return Next::Close;
        }
        if upstream_keeps && request_done {
            upstream.release(Instant::now());
        }
        // `connection: close` was said already where the connection is not kept.
        if keep {
            Next::Keep
        } else if request_done {
            Next::Close
        } else {
            Next::Linger
        }
    }

    fn prepare_response(
        &mut self,
        route: &Route,
        to: &WeightedDestination,
        length: ResponseLength,
        keep: bool,
        switching: bool,
    ) {
        self.exchange.status = self.exchange.response.status();
        let exchange = &mut self.exchange;
        let fields = exchange.response.fields_mut();
        if switching {
            fields.remove_hop_by_hop_but_upgrade();
        } else {
            fields.remove_hop_by_hop();
        }
        if matches!(length, ResponseLength::Chunked | ResponseLength::UntilClose) {
            fields.append("transfer-encoding", b"chunked");
        }
        let facts = headers::Facts {
            request: &exchange.request,
            connection: &exchange.connection,
            protocol: exchange.protocol,
            status: exchange.status,
        };
        headers::edit_response(fields, &to.response_edits, facts);
        headers::edit_response(fields, &route.response_edits, facts);
        let took = exchange
            .upstream_service_time
            .unwrap_or_default()
            .as_millis();
        let mut number = itoa::Buffer::new();
        fields.set(
            "x-envoy-upstream-service-time",
            number.format(took).as_bytes(),
        );
        self.finish_response_head(keep || switching);
    }

    /// Moves the response, and what is left of the request, until the response is done.
    async fn run(&mut self, relay: &mut Relay, deadlines: &Deadlines) -> Result<(), End> {
        self.timer.set_at(deadlines.next());
        loop {
            let progress =
                poll_fn(|cx| relay.poll(cx, &mut self.stream, &mut self.input, &self.timer))
                    .await?;
            match progress {
                Progress::Done => return Ok(()),
                Progress::Splice(length) => self.splice(relay, length).await?,
            }
        }
    }

    /// Moves `length` bytes of the body from socket to socket.
    async fn splice(&mut self, relay: &mut Relay, length: u64) -> Result<(), End> {
        let worker = Rc::clone(&self.worker);
        let counter = Cell::new(0);
        let moved = {
            let from = &relay.upstream.stream;
            let moving = splice_exact(&worker.pipes, from, &self.stream, length, &counter);
            let mut moving = std::pin::pin!(moving);
            poll_fn(|cx| {
                if let Poll::Ready(moved) = moving.as_mut().poll(cx) {
                    return Poll::Ready(moved.map_err(|error| match error.side {
                        Side::From => End::UPSTREAM_CUT,
                        Side::To => End::CLIENT_GONE,
                    }));
                }
                self.timer.poll_expired(cx).map(|()| Err(End::TIMEOUT))
            })
            .await
        };
        relay.response.spliced(counter.get());
        moved
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
    const UPSTREAM_GARBLED: Self = Self {
        flag: ResponseFlags::UPE,
        details: "upstream_reset_after_response_started{protocol_error}",
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
        client: &mut TcpStream,
        client_input: &mut ReadBuffer,
        timer: &Timer,
    ) -> Poll<Result<Progress, End>> {
        let Self {
            upstream,
            request,
            response,
            send_failed,
        } = self;
        if !request.is_done() && !*send_failed {
            match request.poll(cx, client, client_input, &mut upstream.stream, NO_SPLICE) {
                Poll::Ready(Err(TransferError::From | TransferError::Cut(_))) => {
                    return Poll::Ready(Err(End::CLIENT_GONE));
                }
                Poll::Ready(Err(TransferError::To)) => *send_failed = true,
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
        }
        let splice_from = if request.is_done() {
            SPLICE_FROM
        } else {
            NO_SPLICE
        };
        let Upstream { stream, input, .. } = upstream;
        match response.poll(cx, stream, input, client, splice_from) {
            Poll::Ready(Ok(progress)) => return Poll::Ready(Ok(progress)),
            Poll::Ready(Err(TransferError::To)) => return Poll::Ready(Err(End::CLIENT_GONE)),
            Poll::Ready(Err(TransferError::From)) => {
                return Poll::Ready(Err(End::UPSTREAM_CUT));
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
        timer.poll_expired(cx).map(|()| Err(End::TIMEOUT))
    }
}

/// Whether the client closed while it waits; a pipelined request is taken in meanwhile.
fn poll_client_gone(cx: &mut Context<'_>, client: &mut TcpStream, input: &mut ReadBuffer) -> bool {
    while input.len() < PIPELINED {
        match poll_read(cx, client, input, READ) {
            Poll::Pending => return false,
            Poll::Ready(Ok(read)) if read > 0 => {}
            Poll::Ready(_) => return true,
        }
    }
    false
}

fn poll_write_all(
    cx: &mut Context<'_>,
    to: &mut TcpStream,
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
    Poll::Ready(Ok(()))
}
