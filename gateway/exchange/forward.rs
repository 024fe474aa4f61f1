//! Forwarding: choose an endpoint, try it, try another where the route allows.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gatehouse_config::model::{Retry, RetryOn};

use crate::exchange::limited::preface;
use crate::exchange::reply::Reply;
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::{Framing, Transfer};
use crate::exchange::{ResponseFlags, decide};
use crate::http1::{BodyDecoder, BodyError, BodyLength};
use crate::net::{ConnectError, ConnectOptions, connect};
use crate::snapshot::{
    ClusterId, Destination, Edit, EndpointId, Forward, Route, WeightedDestination,
};
use crate::upstream::circuit_breaker::Slot;
use crate::upstream::pool::Origin;
use crate::upstream::{Choice, EndpointState, Upstream, choose};
use crate::worker::view::View;

/// What happens to the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It serves the next request.
    Keep,
    /// It is closed at once.
    Close,
    /// It is closed, and what the client still sends is read away first.
    Linger,
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
    /// The answer is no HTTP.
    BadResponse,
    /// The time of the route, or of this try, is over.
    Timeout {
        /// Of this try alone.
        per_try: bool,
    },
    /// The client is gone.
    ClientGone,
    /// One side took nothing for too long.
    Stalled,
    /// The client broke the framing of its body.
    BadRequestBody(BodyError),
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
    /// The end of this try.
    pub(super) per_try: Option<Instant>,
}

impl Deadlines {
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
        // Of the request as it came, before any edit.
        let hash = self.hash(view, cluster, forward);
        let limits = &self.worker.settings.limits;
        let body = BodyDecoder::with_limits(self.exchange.request.body(), limits);
        if let Err(error) = body.check(self.input.filled()) {
            return self.reply(Reply::malformed_body(error), &edits).await;
        }
        let exchange = &mut self.exchange;
        decide::prepare(
            &mut exchange.request,
            &exchange.connection,
            exchange.protocol,
            route,
            forward,
            weighted,
            &view.snapshot.proxy,
        );

        let mut request = Transfer::new(
            body,
            framing(self.exchange.request.body()),
            std::mem::take(&mut self.output),
        );
        let mut deadlines = Deadlines {
            timeout: forward.timeout,
            ..Deadlines::default()
        };
        if matches!(self.exchange.request.body(), BodyLength::Empty) {
            deadlines.route = forward
                .timeout
                .map(|timeout| self.exchange.started + timeout);
        }
        let retry = forward.retry.as_ref();
        let mut tried: Vec<EndpointId> = Vec::new();
        let mut stale_retried = false;
        // Held while a retry is under way.
        let mut retry_slot: Option<Slot> = None;
        loop {
            let endpoint = match choose(view, cluster, &tried, hash, &self.worker.random) {
                Choice::Endpoint(endpoint) => endpoint,
                Choice::Empty => {
                    self.finish_request(request);
                    return self.reply(Reply::no_endpoint(), &edits).await;
                }
            };
            self.exchange.endpoint = Some(endpoint);
            self.exchange.attempts += 1;
            deadlines.per_try = retry
                .and_then(|retry| retry.per_try_timeout)
                .map(|limit| Instant::now() + limit);
            let attempt =
                self.attempt(view, cluster, endpoint, &mut request, &mut deadlines, retry);
            let attempted = attempt.await;
            self.report_outcome(view, cluster, endpoint, attempted.as_ref().err());
            drop(retry_slot.take());
            let failure = match attempted {
                Ok(upstream) => {
                    return self
                        .relay(route, weighted, upstream, request, &deadlines)
                        .await;
                }
                Err(failure) => failure,
            };
            if let Failure::Closed { reused: true } = failure
                && !stale_retried
                && !request.has_begun()
                && is_idempotent(self.exchange.request.method())
            {
                // Not a failure of the endpoint: it closed an idle connection just as it was used.
                stale_retried = true;
                self.exchange.attempts -= 1;
                continue;
            }
            let again = retry.filter(|retry| {
                self.exchange.attempts <= retry.attempts
                    && !request.has_begun()
                    && is_retried(&failure, &retry.on, self.exchange.response.status())
            });
            let again = again.filter(|_| match &view.snapshot.cluster(cluster).breaker {
                None => true,
                Some(breaker) => {
                    retry_slot = self.take_retry(breaker);
                    retry_slot.is_some()
                }
            });
            let Some(retry) = again else {
                self.finish_request(request);
                return self.give_up(failure, retry.is_some(), &edits).await;
            };
            if retry.ignore_previous_hosts {
                tried.push(endpoint);
            }
            self.back_off(view, cluster, &tried, retry, &deadlines)
                .await;
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
        endpoint: EndpointId,
        request: &mut Transfer,
        deadlines: &mut Deadlines,
        retry: Option<&Retry>,
    ) -> Result<Upstream, Failure> {
        let state = view.state(endpoint);
        let to = view.snapshot.cluster(cluster);
        let origin = self.origin(to);
        let mut upstream = match &to.breaker {
            Some(breaker) => {
                self.acquire(view, cluster, breaker, state, origin, deadlines)
                    .await?
            }
            None => match Upstream::idle(state, origin) {
                Some(upstream) => upstream,
                None => {
                    self.connect(view, cluster, state, origin, deadlines)
                        .await?
                }
            },
        };
        self.exchange.upstream_local = upstream.local;
        self.encode_request(view, request);
        self.await_response(&mut upstream, request, deadlines)
            .await?;
        let status = self.exchange.response.status();
        if let Some(retry) = retry
            && self.exchange.attempts <= retry.attempts
            && !request.has_begun()
            && retries_status(&retry.on, status)
            && self.may_retry(to)
        {
            return Err(Failure::Status);
        }
        Ok(upstream)
    }

    fn encode_request(&mut self, view: &View, request: &mut Transfer) {
        if view.snapshot.proxy.headers.attempt_count {
            let mut count = itoa::Buffer::new();
            let count = count.format(self.exchange.attempts).as_bytes();
            let fields = self.exchange.request.fields_mut();
            fields.set("x-envoy-attempt-count", count);
        }
        request.restart(|out| self.exchange.request.encode(out));
    }

    pub(super) async fn connect(
        &mut self,
        view: &View,
        cluster: ClusterId,
        state: &Rc<EndpointState>,
        origin: Option<Origin>,
        deadlines: &Deadlines,
    ) -> Result<Upstream, Failure> {
        let to = view.snapshot.cluster(cluster);
        let limit = to.connect_timeout;
        let left = deadlines
            .next()
            .map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(limit, |left| left.min(limit));
        let options = ConnectOptions {
            timeout,
            keepalive: to.connections.keepalive,
            preface: preface(to, origin),
            ..ConnectOptions::default()
        };
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
                upstream.mark(None, origin);
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
    async fn give_up(&mut self, failure: Failure, may_retry: bool, edits: &[&[Edit]]) -> Next {
        let retried = self.exchange.attempts > 1;
        if may_retry && retried && !matches!(failure, Failure::Timeout { .. }) {
            self.exchange.flags.insert(ResponseFlags::URX);
        }
        let reply = match failure {
            Failure::Connect(error) => {
                self.exchange.transport_failure = error.to_string();
                match error {
                    ConnectError::TimedOut(..) => Reply::connect_timeout(retried),
                    _ => Reply::connect_failure(retried),
                }
            }
            Failure::Closed { .. } => Reply::upstream_closed(retried),
            Failure::Overflow => Reply::overflow(retried),
            Failure::BadResponse | Failure::Status => Reply::bad_response(),
            Failure::Timeout { per_try: false } => Reply::timeout(),
            Failure::Timeout { per_try: true } => Reply::per_try_timeout(),
            Failure::BadRequestBody(error) => Reply::malformed_body(error),
            Failure::Stalled => {
                self.exchange.flags.insert(ResponseFlags::SI);
                Reply {
                    close: true,
                    ..Reply::timeout()
                }
            }
            Failure::ClientGone => {
                self.exchange.flags.insert(ResponseFlags::DC);
                self.exchange.details = "downstream_remote_disconnect";
                return Next::Close;
            }
        };
        self.reply(reply, edits).await
    }

    /// Envoy's pause before a retry: by chance, up to base × (2^n − 1), at most ten times the
    /// base. None when there is an endpoint that was not tried.
    async fn back_off(
        &mut self,
        view: &View,
        cluster: ClusterId,
        tried: &[EndpointId],
        retry: &Retry,
        deadlines: &Deadlines,
    ) {
        if view.snapshot.cluster(cluster).endpoints.len() > tried.len() && !tried.is_empty() {
            return;
        }
        let doublings = self.exchange.attempts.min(10);
        let longest = retry
            .backoff
            .saturating_mul((1 << doublings) - 1)
            .min(retry.backoff * 10);
        let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        let pause = Duration::from_micros(self.worker.random.below(micros).into());
        let until = Instant::now() + pause;
        self.timer
            .set_at(Some(deadlines.route.map_or(until, |end| end.min(until))));
        // A client that leaves meanwhile is noticed by the next try.
        self.timer.expired().await;
    }
}

fn pick<'a>(
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

fn framing(body: BodyLength) -> Framing {
    if matches!(body, BodyLength::Chunked) {
        Framing::Chunked
    } else {
        Framing::Raw
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
    )
}

fn is_retried(failure: &Failure, on: &RetryOn, status: u16) -> bool {
    match failure {
        Failure::Connect(_) => {
            on.connect_failure
                || on.reset
                || on.reset_before_request
                || on.gateway_error
                || on.server_error
        }
        Failure::Closed { .. } => on.reset || on.gateway_error || on.server_error,
        Failure::BadResponse => on.reset || on.gateway_error || on.server_error,
        Failure::Timeout { per_try } => {
            *per_try && (on.reset || on.gateway_error || on.server_error)
        }
        Failure::Status => retries_status(on, status),
        // Where the limit is reached, more tries are the last thing that is wanted (Envoy).
        Failure::Overflow | Failure::ClientGone | Failure::Stalled | Failure::BadRequestBody(_) => {
            false
        }
    }
}

fn retries_status(on: &RetryOn, status: u16) -> bool {
    (on.server_error && (500..600).contains(&status))
        || (on.gateway_error && matches!(status, 502..=504))
        || (on.retriable_4xx && status == 409)
        || on.status_codes.contains(&status)
}
