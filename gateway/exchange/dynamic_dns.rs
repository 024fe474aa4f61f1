//! `resolution: DYNAMIC_DNS`: where the Host of a request is (Envoy: dynamic forward proxy).

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gatehouse_config::model::DynamicDns;

use crate::exchange::reply::Reply;
use crate::exchange::response::poll_client_gone;
use crate::exchange::serve::HttpConnection;
use crate::snapshot::ClusterId;
use crate::upstream::EndpointState;
use crate::upstream::dynamic_dns::{Lookup, name_of};
use crate::upstream::endpoint::Lifetimes;
use crate::worker::view::View;

/// How long a request waits for its name (Envoy's `dns_query_timeout`).
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no address.
pub(super) enum Unresolved {
    /// What the client is told.
    Reply(Reply),
    /// It left meanwhile.
    ClientGone,
}

impl HttpConnection {
    /// The endpoint of the next try: each try takes the next address.
    pub(super) fn dynamic_endpoint(
        &self,
        view: &View,
        cluster: ClusterId,
        addresses: &[IpAddr],
        port: u16,
    ) -> Rc<EndpointState> {
        let cluster = view.snapshot.cluster(cluster);
        let mut tries = addresses.iter().cycle();
        let ip = tries.nth(self.exchange.attempts as usize);
        let ip = ip.copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let lifetimes = Lifetimes::of(&cluster.connections);
        let address = SocketAddr::new(ip, port);
        let dynamic = &self.worker.dynamic;
        let endpoint = dynamic.endpoint(&cluster.name, address, lifetimes, Instant::now());
        endpoint.speak(cluster.tls.id());
        endpoint
    }

    /// The addresses of the request's Host; at least one.
    pub(super) async fn resolve(
        &mut self,
        settings: &DynamicDns,
        timeout: Option<Duration>,
    ) -> Result<Rc<[IpAddr]>, Unresolved> {
        let authority = self.exchange.request.authority();
        let Some(name) = name_of(settings, authority) else {
            self.exchange.transport_failure =
                format!("the Host is no name below `*{}`", settings.suffix);
            return Err(Unresolved::Reply(Reply::dns_failure()));
        };
        let known = match self.worker.dynamic.look_up(&name, Instant::now()) {
            Lookup::Known(known) => known,
            Lookup::Overflow => {
                self.worker
                    .with_metrics(|metrics| metrics.limit_reached("dynamic_dns_lookups"));
                return Err(Unresolved::Reply(Reply::dns_overflow()));
            }
            Lookup::Asked(mut answer) => {
                let patience = timeout.map_or(PATIENCE, |timeout| timeout.min(PATIENCE));
                self.timer.set(Instant::now(), Some(patience));
                let found = poll_fn(|cx| {
                    if let Poll::Ready(found) = Pin::new(&mut answer).poll(cx) {
                        let ended = || Err("lookups have ended".to_owned());
                        return Poll::Ready(Ok(found.unwrap_or_else(|_| ended())));
                    }
                    if poll_client_gone(cx, &mut self.stream, &mut self.input) {
                        return Poll::Ready(Err(Unresolved::ClientGone));
                    }
                    let late = || Ok(Err("no answer in time".to_owned()));
                    self.timer.poll_expired(cx).map(|()| late())
                })
                .await?;
                self.worker.dynamic.answered(&name, found, Instant::now())
            }
        };
        known.map_err(|error| {
            self.exchange.transport_failure = format!("{name}: {error}");
            Unresolved::Reply(Reply::dns_failure())
        })
    }
}
