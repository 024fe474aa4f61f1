//! What stands between a route and its action: an injected fault, then the CORS policy.
//!
//! The order is Istio's (reference: Istio §2.5): an aborted request gets no CORS headers.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::exchange::ResponseFlags;
use crate::exchange::forward::{Next, pick};
use crate::exchange::reply::Reply;
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::filter::cors_policy::{self, Verdict};
use crate::filter::fault;
use crate::snapshot::{Action, Destination, Filters, Route};

impl HttpConnection {
    /// Lets the route's filters act. Breaks where one of them has answered.
    pub(super) async fn filter(&mut self, route: &Route, filters: &Filters) -> ControlFlow<Next> {
        let Filters { fault, cors } = filters;
        if let Some(fault) = fault {
            let injection = fault::inject(fault, &self.worker.random);
            if let Some(delay) = injection.delay {
                self.exchange.flags.insert(ResponseFlags::DI);
                if self.pause(delay).await.is_break() {
                    return ControlFlow::Break(self.client_gone());
                }
                // The route's time begins after it, as Envoy's does.
                self.exchange.forwarded = Instant::now();
            }
            if let Some(status) = injection.abort {
                let reply = Reply::fault(status);
                let Action::Forward(forward) = &*route.action else {
                    return ControlFlow::Break(self.reply(reply, &[]).await);
                };
                // The destination was chosen with the route: its edits and its name count.
                let to = pick(forward, &self.worker.random);
                if let Destination::Cluster(cluster) = &to.destination {
                    self.exchange.cluster = Some(*cluster);
                }
                let edits = [&*to.response_edits, &*route.response_edits];
                return ControlFlow::Break(self.reply(reply, &edits).await);
            }
        }
        if let Some(policy) = cors {
            match cors_policy::judge(policy, &self.exchange.request) {
                Verdict::Serve(fields) => self.exchange.imposed = fields,
                Verdict::Answer(fields) => {
                    self.exchange.imposed = fields;
                    return ControlFlow::Break(self.reply(Reply::preflight(), &[]).await);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Waits; breaks where the client leaves meanwhile.
    pub(super) async fn pause(&mut self, duration: Duration) -> ControlFlow<()> {
        self.timer.set(Instant::now(), Some(duration));
        poll_fn(|cx| {
            if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                return Poll::Ready(ControlFlow::Break(()));
            }
            self.timer.poll_expired(cx).map(ControlFlow::Continue)
        })
        .await
    }

    /// Notes that the client left before it was answered.
    pub(super) fn client_gone(&mut self) -> Next {
        self.exchange.flags.insert(ResponseFlags::DC);
        self.exchange.details = "downstream_remote_disconnect";
        Next::Close
    }
}
