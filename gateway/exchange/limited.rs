//! What a cluster's DestinationRule adds to a try: the request's hash, limits, connections of its
//! own, and the count of failures. A cluster without any of it costs one look at a `None` for each.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use crate::exchange::forward::{Deadlines, Failure};
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::exchange::{ResponseFlags, grpc};
use crate::snapshot::{Cluster, ClusterId, Destination, EndpointId, Forward};
use crate::upstream::circuit_breaker::{Resource, Slot};
use crate::upstream::hash_policy::{Hashed, hash_by};
use crate::upstream::pool::{self, Counted, Purpose};
use crate::upstream::{CircuitBreaker, EndpointState, Outcome, Upstream};
use crate::worker::view::View;

impl HttpConnection {
    /// The hash of the request, if the cluster chooses by one: by what all destinations of the
    /// route say, one after the other (Istio). Cookies are made here, once for all tries.
    pub(super) fn hash(&mut self, view: &View, id: ClusterId, forward: &Forward) -> Option<u64> {
        let snapshot = &view.snapshot;
        let selection = snapshot.cluster(id).selection.as_ref()?;
        selection.priorities.first()?.table.as_ref()?;
        let policies = forward.destinations.iter().filter_map(|to| {
            let Destination::Cluster(cluster) = to.destination else {
                return None;
            };
            snapshot.cluster(cluster).hash.as_ref()
        });
        let exchange = &mut self.exchange;
        let request = Hashed {
            fields: exchange.request.fields(),
            query: exchange.request.query(),
            peer: exchange.connection.peer,
            local: exchange.connection.local,
        };
        hash_by(policies, request, &mut exchange.set_cookies)
    }

    /// What a connection for the request is made for.
    pub(super) fn purpose(&self, to: &Cluster) -> Purpose {
        let connection = &self.exchange.connection;
        let ends = (connection.peer, connection.local);
        Purpose::new(to, ends, Some(self.exchange.request.authority()))
    }

    /// A connection within the cluster's limits, as Envoy's pool gives them out: an idle one, or
    /// a new one, or the next that becomes free. An idle one that was made for something else gives
    /// way to a new one, for nobody may ever ask for that again. An endpoint that this worker has no
    /// connection to gets one whatever the limit says, for nothing would ever become free there.
    pub(super) async fn acquire(
        &mut self,
        view: &View,
        cluster: ClusterId,
        breaker: &CircuitBreaker,
        state: &Rc<EndpointState>,
        purpose: &Purpose,
        deadlines: &Deadlines,
    ) -> Result<Box<Upstream>, Failure> {
        // Those that wait come first.
        if state.waiting.get() == 0
            && let Some(idle) = Upstream::idle(state, purpose)
        {
            return self.attach(idle, breaker);
        }
        let pending = breaker.take(Resource::Pending);
        let Some(pending) = pending else {
            self.count("http1MaxPendingRequests");
            return Err(Failure::Overflow);
        };
        let mut waited = false;
        loop {
            let slot = if state.counted.get() == 0 {
                Some(breaker.take_anyway(Resource::Connection))
            } else {
                breaker.take(Resource::Connection)
            };
            let counted = match slot {
                Some(slot) => {
                    if waited {
                        pool::pass_on(state);
                    }
                    Some(Counted::new(slot, state))
                }
                None => {
                    self.count("maxConnections");
                    // What lies idle while others wait is for one of them.
                    if waited || state.waiting.get() == 0 {
                        give_up_unused(state, breaker, purpose)
                    } else {
                        None
                    }
                }
            };
            if let Some(counted) = counted {
                let connecting = self.connect(view, cluster, state, purpose, deadlines);
                let mut upstream = connecting.await?;
                upstream.mark(Some(counted), purpose.clone());
                drop(pending);
                return self.attach(upstream, breaker);
            }
            self.wait_for_connection(state, deadlines).await?;
            waited = true;
            if let Some(idle) = Upstream::idle(state, purpose) {
                drop(pending);
                return self.attach(idle, breaker);
            }
        }
    }

    /// Puts the request on a connection, within the limit of requests.
    fn attach(
        &mut self,
        mut upstream: Box<Upstream>,
        breaker: &CircuitBreaker,
    ) -> Result<Box<Upstream>, Failure> {
        match breaker.take(Resource::Request) {
            Some(slot) => {
                upstream.request = Some(slot);
                Ok(upstream)
            }
            None => {
                self.count("http2MaxRequests");
                upstream.put_back(Instant::now());
                Err(Failure::Overflow)
            }
        }
    }

    async fn wait_for_connection(
        &mut self,
        state: &Rc<EndpointState>,
        deadlines: &Deadlines,
    ) -> Result<(), Failure> {
        let _waiting = Waiting::new(state);
        let mut freed = pin!(state.freed.notified());
        self.timer.set_at(deadlines.next());
        poll_fn(|cx| {
            if freed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            self.timer
                .poll_expired(cx)
                .map(|()| Err(deadlines.failure()))
        })
        .await
    }

    /// Whether one more retry is within the limit; if not, the answer says so (Envoy: UO).
    pub(super) fn may_retry(&mut self, to: &Cluster) -> bool {
        let Some(breaker) = &to.breaker else {
            return true;
        };
        let may = breaker.used(Resource::Retry) < breaker.limit(Resource::Retry);
        if !may {
            self.retry_overflow();
        }
        may
    }

    /// Takes part of the limit of retries; none where it is reached.
    pub(super) fn take_retry(&mut self, breaker: &CircuitBreaker) -> Option<Slot> {
        let slot = breaker.take(Resource::Retry);
        if slot.is_none() {
            self.retry_overflow();
        }
        slot
    }

    fn retry_overflow(&mut self) {
        self.exchange.flags.insert(ResponseFlags::UO);
        self.count("maxRetries");
    }

    pub(super) fn count(&self, limit: &'static str) {
        self.worker
            .with_metrics(|metrics| metrics.limit_reached(limit));
    }

    /// The status that an answer is judged by: for gRPC, the HTTP status that its own stands for.
    fn judged_status(&self) -> u16 {
        let response = &self.exchange.response;
        let of_call = grpc::is_call(self.exchange.request.fields())
            .then(|| response.fields().get("grpc-status"))
            .flatten()
            .and_then(grpc::http_status_of);
        of_call.unwrap_or_else(|| response.status())
    }

    /// Tells the cluster's detector what a try came to; none: an answer.
    pub(super) fn report_outcome(
        &self,
        view: &View,
        cluster: ClusterId,
        endpoint: Option<EndpointId>,
        failure: Option<&Failure>,
    ) {
        let cluster = view.snapshot.cluster(cluster);
        let (Some(outliers), Some(endpoint)) = (&cluster.outliers, endpoint) else {
            return;
        };
        let position = endpoint.0 - cluster.endpoints.start;
        let status = Outcome::Status(self.judged_status());
        let outcome = match failure {
            None | Some(Failure::Status) => status,
            Some(Failure::Connect(error)) if !error.is_endpoint() => return,
            Some(
                Failure::Connect(_)
                | Failure::Closed { .. }
                | Failure::Unseen
                | Failure::Reset { .. }
                | Failure::BadResponse,
            ) => Outcome::Failed,
            Some(Failure::Timeout { .. }) => Outcome::TimedOut,
            // Not the endpoint's doing.
            Some(
                Failure::Overflow
                | Failure::ClientGone
                | Failure::Stalled { .. }
                | Failure::BadRequestBody(_)
                | Failure::BadText,
            ) => return,
        };
        if matches!(outcome, Outcome::Status(_)) {
            outliers.report(position, Outcome::Connected);
        }
        outliers.report(position, outcome);
    }
}

/// The place in the limit of a connection that nobody uses, and that is no good for `purpose`.
fn give_up_unused(
    state: &EndpointState,
    breaker: &CircuitBreaker,
    purpose: &Purpose,
) -> Option<Counted> {
    Upstream::give_up_idle(state, breaker, Some(purpose))
        .or_else(|| state.http2.give_up_unused(breaker, None))
}

/// A request that waits for a connection.
struct Waiting<'a>(&'a EndpointState);

impl<'a> Waiting<'a> {
    fn new(state: &'a EndpointState) -> Self {
        state.waiting.set(state.waiting.get() + 1);
        Self(state)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}
