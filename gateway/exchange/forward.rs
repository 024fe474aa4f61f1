//! Forwarding: choose an endpoint, try it, try another where the route allows.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gatehouse_config::model::Retry;

use crate::exchange::dynamic_dns::Unresolved;
use crate::exchange::grpc_web::{Conversion, FromText, GrpcWeb};
use crate::exchange::multiplexed::speaks_http2;
use crate::exchange::reply::Reply;
use crate::exchange::response::{as_read, poll_client_gone};
use crate::exchange::retry::Decision;
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::{Framing, KeptBody, Transfer};
use crate::exchange::{Protocol, decide, grpc, timeout};
use crate::filter::headers::Known;
use crate::http1::{BodyDecoder, BodyError, BodyLength, ResponseLength};
use crate::net::{ConnectError, connect};
use crate::snapshot::{
    ClusterId, Destination, Edit, EndpointId, Forward, Route, WeightedDestination,
};
use crate::tls::Within;
use crate::upstream::circuit_breaker::Slot;
use crate::upstream::pool::Purpose;
use crate::upstream::{Choice, EndpointState, Upstream, choose, choose_elsewhere, connect_options};
use crate::worker::view::View;

/// How often one request may meet an endpoint that is just going away.
const MOST_UNSEEN: u32 = 3;

/// What happens to the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It serves the next request.
    Keep,
    /// It is closed at once.
    Close,
    /// It is closed, and what the client still sends is read away first.
    Linger,
    /// It speaks another protocol from now on.
    Switched,
}

/// Why a try gave no response that could be relayed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection came about.
    Connect(ConnectError),
    /// The upstream closed or reset before it answered.
    Closed {
        /// On a connection that had served before: the endpoint may have closed it as idle while
        /// the request was on its way.
        reused: bool,
    },
    /// The endpoint goes away and has surely not looked at the request: HTTP/2's GOAWAY.
    Unseen,
    /// The endpoint gave up on the request: HTTP/2's RST_STREAM.
    Reset {
        /// It has not looked at it (REFUSED_STREAM).
        refused: bool,
    },
    /// The answer is no HTTP.
    BadResponse,
    /// The time of the route, or of this try, is over.
    Timeout {
        /// Of this try alone.
        per_try: bool,
    },
    /// The client is gone.
    ClientGone,
    /// One side took nothing for too long, or nothing moved at all.
    Stalled {
        /// The request was sent to its end.
        complete: bool,
    },
    /// The client broke the framing of its body.
    BadRequestBody(BodyError),
    /// The body of a grpc-web call is no base64.
    BadText,
    /// The answer has a status that the route retries.
    Status,
    /// A limit of the cluster is reached.
    Overflow,
}

/// The times of one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadlines {
    /// The route's timeout; starts when the request is complete.
    pub(super) timeout: Option<Duration>,
    /// The end of it.
    pub(super) route: Option<Instant>,
    /// The timeout of a try; starts when the request is complete.
    pub(super) per_try_timeout: Option<Duration>,
    /// The end of this try.
    pub(super) per_try: Option<Instant>,
    /// How long nothing may move.
    pub(super) idle: Option<Duration>,
}

impl Deadlines {
    /// The request was sent to its end.
    pub(super) fn complete(&mut self, now: Instant) {
        let end = |timeout: Option<Duration>| timeout.and_then(|timeout| now.checked_add(timeout));
        self.route = self.route.or_else(|| end(self.timeout));
        self.per_try = end(self.per_try_timeout);
    }

    /// The nearer end.
    pub(super) fn next(&self) -> Option<Instant> {
        match (self.route, self.per_try) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Which end it was.
    pub(super) fn failure(&self) -> Failure {
        Failure::Timeout {
            per_try: match (self.per_try, self.route) {
                (Some(per_try), Some(route)) => per_try < route,
                (per_try, _) => per_try.is_some(),
            },
        }
    }
}

impl HttpConnection {
    /// Sends the request on and relays the answer.
    pub(super) async fn forward(
        &mut self,
        view: &Rc<View>,
        route: &Route,
        forward: &Forward,
    ) -> Next {
        let weighted = pick(forward, &self.worker.random);
        let edits: [&[Edit]; 2] = [&weighted.response_edits, &route.response_edits];
        let cluster = match &weighted.destination {
            Destination::Cluster(cluster) => *cluster,
            Destination::Unknown { .. } => return self.reply(Reply::no_cluster(), &edits).await,
        };
        self.exchange.cluster = Some(cluster);
        if let Some(why) = view.snapshot.cluster(cluster).tls.impossible() {
            self.exchange.transport_failure = why.to_owned();
            return self.reply(Reply::no_tls(), &edits).await;
        }
        // Both of the request as it came, before any edit.
        let found = match &view.snapshot.cluster(cluster).dynamic_dns {
            None => None,
            Some(settings) => match self.resolve(settings, forward.timeout).await {
                Ok(found) => Some((found, settings.port)),
                Err(Unresolved::Reply(reply)) => return self.reply(reply, &edits).await,
                Err(Unresolved::ClientGone) => return self.client_gone(),
            },
        };
        let to = view.snapshot.cluster(cluster);
        if to.grpc_web && self.exchange.grpc_web.is_none() {
            self.exchange.grpc_web = GrpcWeb::begin(&mut self.exchange.request);
        }
        let hash = self.hash(view, cluster, forward);
        let limits = &self.worker.settings.limits;
        let length = as_read(self.exchange.request.body().into(), &self.stream);
        let body = BodyDecoder::with_limits(length, limits);
        if let Err(error) = body.check(self.input.filled()) {
            return self.reply(Reply::malformed_body(error), &edits).await;
        }
        let exchange = &mut self.exchange;
        let text = exchange.grpc_web.is_some_and(|web| web.text);
        if text && exchange.request.body() != BodyLength::Empty {
            // As long as what is in it, which nobody knows yet.
            exchange.request.set_body(BodyLength::Chunked);
        }
        let known = Known {
            connection: &exchange.connection,
            protocol: exchange.protocol,
            started: exchange.started,
            cluster: Some(&view.snapshot.cluster(cluster).name),
        };
        decide::prepare(
            &mut exchange.request,
            known,
            route,
            forward,
            weighted,
            &view.snapshot.proxy,
        );

        if self.stream.is_frames() && length != ResponseLength::Empty {
            self.input = self.worker.buffers.take();
        }
        let http2 = speaks_http2(view.snapshot.cluster(cluster), self.exchange.protocol);
        let mut request = Transfer::new(
            body,
            framing(self.exchange.request.body(), http2),
            std::mem::take(&mut self.output),
        );
        let fields = self.exchange.request.fields();
        if grpc::is_call(fields) {
            request.count_messages();
        }
        if text {
            request.convert(Conversion::FromText(FromText::default()));
        }
        let limit = timeout::limit(forward.timeout, fields);
        let mut deadlines = Deadlines {
            timeout: limit,
            idle: view.snapshot.proxy.connections.stream_idle_timeout,
            ..Deadlines::default()
        };
        if matches!(self.exchange.request.body(), BodyLength::Empty) {
            deadlines.complete(self.exchange.forwarded);
        }
        let retry = forward.retry.as_deref();
        let mut copies = Vec::new();
        if !forward.mirrors.is_empty() {
            copies = self.mirrors(forward);
        }
        if !copies.is_empty() && self.exchange.request.body() == BodyLength::Empty {
            self.copy(view, &copies, KeptBody::EMPTY);
            copies.clear();
        }
        if retry.is_some() || !copies.is_empty() {
            request.keep(self.worker.settings.retry_buffer);
        }
        let mut tried: Vec<EndpointId> = Vec::new();
        let mut stale_retried = 0;
        // Held while a retry is under way.
        let mut retry_slot: Option<Slot> = None;
        loop {
            let held;
            let (endpoint, state) = if let Some((addresses, port)) = &found {
                held = self.dynamic_endpoint(view, cluster, addresses, *port);
                (None, &held)
            } else {
                let random = &self.worker.random;
                let choice = if retry.is_some_and(|retry| retry.remote_localities) {
                    choose_elsewhere(view, cluster, &tried, hash, random)
                } else {
                    choose(view, cluster, &tried, hash, random)
                };
                match choice {
                    Choice::Endpoint(endpoint) => (Some(endpoint), view.state(endpoint)),
                    Choice::Empty => {
                        self.finish_request(request);
                        return self.reply(Reply::no_endpoint(), &edits).await;
                    }
                }
            };
            self.exchange.endpoint = endpoint;
            self.exchange.attempts += 1;
            // A try's time begins once the request was sent to its end, as Envoy has it.
            deadlines.per_try = None;
            deadlines.per_try_timeout = retry.and_then(|retry| retry.per_try_timeout);
            let attempt = self.attempt(view, cluster, state, &mut request, &mut deadlines, retry);
            let failure = match attempt.await {
                Ok(upstream) => {
                    self.report_outcome(view, cluster, endpoint, None);
                    // The retry is over once its answer has begun (Envoy).
                    drop(retry_slot.take());
                    self.copy_sent(view, &copies, &request);
                    request.forget();
                    return self
                        .relay(view, route, weighted, upstream, request, &deadlines)
                        .await;
                }
                Err(failure) => failure,
            };
            // Not a failure of the endpoint: it closed an idle connection just as it was used, or
            // it goes away and tells which requests it has not seen.
            let is_stale = match failure {
                Failure::Closed { reused: true } => {
                    stale_retried == 0 && is_idempotent(self.exchange.request.method())
                }
                Failure::Unseen => stale_retried < MOST_UNSEEN,
                _ => false,
            };
            if is_stale && request.can_restart() {
                stale_retried += 1;
                self.exchange.attempts -= 1;
                continue;
            }
            self.report_outcome(view, cluster, endpoint, Some(&failure));
            drop(retry_slot.take());
            let decision = self.after_failure(&failure, retry, &request);
            let again = retry.filter(|_| decision == Decision::Again);
            let again = again.filter(|_| match &view.snapshot.cluster(cluster).breaker {
                None => true,
                Some(breaker) => {
                    retry_slot = self.take_retry(breaker);
                    retry_slot.is_some()
                }
            });
            let Some(retry) = again else {
                self.copy_sent(view, &copies, &request);
                self.finish_request(request);
                return self.give_up(failure, &edits).await;
            };
            if retry.ignore_previous_hosts || retry.remote_localities {
                tried.extend(endpoint);
            }
            // No pause while there is an endpoint that was not tried.
            let all = view.snapshot.cluster(cluster).endpoints.len();
            if (tried.is_empty() || tried.len() >= all)
                && self.back_off(retry, &deadlines).await.is_break()
            {
                self.finish_request(request);
                return self.client_gone();
            }
        }
    }

    /// Notes what was read of the request and keeps the buffer, unless an interim answer still
    /// waits in the one that is there.
    fn finish_request(&mut self, request: Transfer) {
        self.exchange.request_body_bytes = request.body_bytes;
        self.exchange.request_wire_bytes += request.body_bytes;
        if self.output.is_empty() {
            self.output = request.into_buffer();
        }
    }

    /// One try, up to a response that can be relayed.
    async fn attempt(
        &mut self,
        view: &Rc<View>,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        request: &mut Transfer,
        deadlines: &mut Deadlines,
        retry: Option<&Retry>,
    ) -> Result<Box<Upstream>, Failure> {
        let to = view.snapshot.cluster(cluster);
        let purpose = &self.purpose(to);
        let mut upstream = match &to.breaker {
            _ if speaks_http2(to, self.exchange.protocol) => {
                self.announce(view, deadlines, retry);
                request.restart(|_| ());
                let open = self.open_stream(view, cluster, state, purpose, deadlines);
                Box::pin(open).await?
            }
            Some(breaker) => {
                self.acquire(view, cluster, breaker, state, purpose, deadlines)
                    .await?
            }
            None => match Upstream::idle(state, purpose) {
                Some(upstream) => upstream,
                None => {
                    self.connect(view, cluster, state, purpose, deadlines)
                        .await?
                }
            },
        };
        self.exchange.upstream_remote = Some(state.address.clone());
        self.exchange.upstream_local = upstream.local;
        self.exchange.upstream_protocol = Some(if upstream.stream.is_frames() {
            Protocol::Http2
        } else {
            Protocol::Http11
        });
        if !upstream.stream.is_frames() {
            self.announce(view, deadlines, retry);
            request.restart(|out| self.exchange.request.encode(out));
        }
        self.await_response(&mut upstream, request, deadlines)
            .await?;
        if self.after_response(retry, request) == Decision::Again && self.may_retry(to) {
            return Err(Failure::Status);
        }
        Ok(upstream)
    }

    /// Tells the upstream how long its answer is waited for, and which try this is.
    fn announce(&mut self, view: &View, deadlines: &Deadlines, retry: Option<&Retry>) {
        let per_try = retry.and_then(|retry| retry.per_try_timeout);
        if deadlines.timeout.is_some() || per_try.is_some() {
            let elapsed = if self.exchange.attempts > 1 {
                self.exchange.forwarded.elapsed()
            } else {
                Duration::ZERO
            };
            let head = &mut self.exchange.request;
            timeout::announce(head, deadlines.timeout, per_try, elapsed);
        }
        if view.snapshot.proxy.headers.attempt_count {
            let mut count = itoa::Buffer::new();
            let count = count.format(self.exchange.attempts).as_bytes();
            let fields = self.exchange.request.fields_mut();
            fields.set("x-envoy-attempt-count", count);
        }
    }

    pub(super) async fn connect(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        purpose: &Purpose,
        deadlines: &Deadlines,
    ) -> Result<Box<Upstream>, Failure> {
        let to = view.snapshot.cluster(cluster);
        let limit = to.connect_timeout;
        let left = deadlines
            .next()
            .map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(limit, |left| left.min(limit));
        let within = if speaks_http2(to, self.exchange.protocol) {
            Within::Http2
        } else {
            Within::Http1
        };
        let options = connect_options(to, timeout, purpose, within, &state.address);
        let options = options.map_err(Failure::Connect)?;
        let mut connecting = std::pin::pin!(connect(&state.address, &options));
        let connected = poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Ok(connected));
            }
            if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            Poll::Pending
        })
        .await?;
        match connected {
            Ok(stream) => {
                state.connected();
                let mut upstream = Upstream::new(stream, state).map_err(|error| {
                    Failure::Connect(ConnectError::Other(state.address.clone(), error))
                })?;
                upstream.mark(None, purpose.clone());
                Ok(upstream)
            }
            Err(ConnectError::TimedOut(..)) if left.is_some_and(|left| left < limit) => {
                Err(deadlines.failure())
            }
            Err(error) => {
                if error.is_endpoint() {
                    state.connect_failed();
                }
                Err(Failure::Connect(error))
            }
        }
    }

    /// Answers for an upstream that did not.
    async fn give_up(&mut self, failure: Failure, edits: &[&[Edit]]) -> Next {
        let retried = self.exchange.attempts > 1;
        let reply = match failure {
            Failure::Connect(error) => {
                self.exchange.transport_failure = error.to_string();
                match error {
                    ConnectError::TimedOut(..) => Reply::connect_timeout(retried),
                    ConnectError::Tls(..)
                    | ConnectError::HandshakeCut(..)
                    | ConnectError::NoTls(_) => Reply::handshake_failure(&error, retried),
                    _ => Reply::connect_failure(retried),
                }
            }
            Failure::Closed { .. } | Failure::Unseen => Reply::upstream_closed(retried),
            Failure::Reset { refused } => Reply::upstream_reset(refused, retried),
            Failure::Overflow => Reply::overflow(retried),
            Failure::BadResponse | Failure::Status => Reply::bad_response(),
            Failure::Timeout { per_try: false } => Reply::timeout(),
            Failure::Timeout { per_try: true } => Reply::per_try_timeout(),
            Failure::BadRequestBody(error) => Reply::malformed_body(error),
            Failure::BadText => Reply::bad_grpc_web(),
            Failure::Stalled { complete } => Reply::stalled(complete),
            Failure::ClientGone => {
                return self.client_gone();
            }
        };
        self.reply(reply, edits).await
    }
}

/// The share of a split on which chance falls.
pub(super) fn pick<'a>(
    forward: &'a Forward,
    random: &crate::worker::random::Random,
) -> &'a WeightedDestination {
    let [only] = &*forward.destinations else {
        let mut share = random.below(forward.total_weight);
        for weighted in &forward.destinations {
            if share < weighted.weight {
                return weighted;
            }
            share -= weighted.weight;
        }
        return &forward.destinations[0];
    };
    only
}

fn framing(body: BodyLength, http2: bool) -> Framing {
    match body {
        BodyLength::Empty => Framing::Raw,
        _ if http2 => Framing::Frames,
        BodyLength::Chunked => Framing::Chunked,
        BodyLength::Length(_) => Framing::Raw,
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
    )
}
