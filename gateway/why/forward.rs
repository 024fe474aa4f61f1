//! Where a request goes, and what the upstream sees of it.

use std::time::Instant;

use crate::exchange::reply::Reply;
use crate::exchange::{Protocol, decide};
use crate::filter::headers::Known;
use crate::http1::{Limits, ReadBuffer, RequestHead};
use crate::snapshot::{ClusterId, Destination, EndpointId, Forward, Route, WeightedDestination};
use crate::upstream::algorithm;
use crate::upstream::dynamic_dns::name_of;
use crate::upstream::hash_policy::{self, Hashed, hash_by};
use crate::why::{
    Answer, DestinationRow, Explainer, FilterRow, Outcome, UpstreamRequest, answer, cluster, reason,
};

impl Explainer<'_> {
    pub(super) fn forwarded(&mut self, head: &RequestHead, route: &Route, forward: &Forward) {
        self.explanation
            .filters
            .extend(policies(self.snapshot, forward));
        let rows: Vec<_> = forward
            .destinations
            .iter()
            .map(|to| self.destination(head, route, forward, to))
            .collect();
        // Chance decides among several: then the likeliest answer is told, and each beside its
        // share.
        let likeliest = rows.iter().max_by(|a, b| a.percent.total_cmp(&b.percent));
        if let Some(likeliest) = likeliest {
            self.explanation.answer = likeliest.answer.clone();
        }
        let failing = forward
            .destinations
            .iter()
            .zip(&rows)
            .find(|(_, row)| row.answer.outcome != Outcome::Upstream);
        let (why, hint) = match failing {
            Some((to, _)) => reason::no_upstream(self.snapshot, self.health, route, to),
            None => ("the route sends it on".to_owned(), String::new()),
        };
        self.explanation.because(why, hint);
        self.explanation.destinations = rows;
    }

    fn destination(
        &self,
        head: &RequestHead,
        route: &Route,
        forward: &Forward,
        to: &WeightedDestination,
    ) -> DestinationRow {
        let percent = f64::from(to.weight) * 100.0 / f64::from(forward.total_weight);
        let id = match &to.destination {
            Destination::Unknown { name } => {
                return DestinationRow {
                    cluster: name.clone(),
                    percent,
                    answer: Answer::of(&Reply::no_cluster()),
                    ..DestinationRow::default()
                };
            }
            Destination::Cluster(cluster) => *cluster,
        };
        let row = cluster::row(self.snapshot, self.health, id);
        let cluster = self.snapshot.cluster(id);
        let answer = if cluster.tls.impossible().is_some() {
            Answer::of(&Reply::no_tls())
        } else if let Some(dynamic) = &cluster.dynamic_dns {
            match name_of(dynamic, head.authority()) {
                Some(_) => Answer::upstream(),
                None => Answer::of(&Reply::dns_failure()),
            }
        } else if row.endpoints.is_empty() {
            Answer::of(&Reply::no_endpoint())
        } else {
            Answer::upstream()
        };
        if answer.outcome != Outcome::Upstream {
            return DestinationRow {
                percent,
                answer,
                ..row
            };
        }
        let (hashed_by, hashed_to) = self.hashed(head, forward, id);
        DestinationRow {
            percent,
            hashed_by,
            hashed_to,
            policies: cluster::policies(cluster, false),
            upstream: Some(self.upstream(head, route, forward, to)),
            answer,
            ..row
        }
    }

    /// By what the request is hashed, and the address of the endpoint that this leads to.
    fn hashed(
        &self,
        head: &RequestHead,
        forward: &Forward,
        id: ClusterId,
    ) -> (Vec<String>, String) {
        let cluster = self.snapshot.cluster(id);
        let selection = cluster.selection.as_deref();
        let Some(selection) = selection.filter(|selection| selection.hashes()) else {
            return Default::default();
        };
        // As `HttpConnection::hash` has it: what all destinations say, one after the other.
        let policies = || {
            forward.destinations.iter().filter_map(|to| {
                let Destination::Cluster(cluster) = to.destination else {
                    return None;
                };
                self.snapshot.cluster(cluster).hash.as_ref()
            })
        };
        let request = Hashed {
            fields: head.fields(),
            query: head.query(),
            peer: self.connection.peer,
            local: self.connection.local,
        };
        let by = policies()
            .map(|policy| hash_policy::describe(policy, request))
            .collect();
        let mut set_cookies = Vec::new();
        let hash = hash_by(policies(), request, &mut set_cookies);
        // A new cookie depends on the client's port, which nobody knows before it connects.
        let to = hash.filter(|_| set_cookies.is_empty()).and_then(|hash| {
            let start = cluster.endpoints.start;
            let id = |position| EndpointId(start + position);
            let is_wanted = |position| self.health.is_available(id(position));
            let found = algorithm::by_hash(selection, hash, &self.random, is_wanted)?;
            Some(self.snapshot.endpoint(id(found)).address.to_string())
        });
        (by, to.unwrap_or_default())
    }

    /// The request as the upstream is sent it, by the code that prepares it.
    fn upstream(
        &self,
        head: &RequestHead,
        route: &Route,
        forward: &Forward,
        to: &WeightedDestination,
    ) -> UpstreamRequest {
        let mut head = copied(head);
        decide::prepare(
            &mut head,
            Known {
                connection: &self.connection,
                protocol: Protocol::Http11,
                started: Instant::now(),
                cluster: match &to.destination {
                    Destination::Cluster(id) => Some(&self.snapshot.cluster(*id).name),
                    Destination::Unknown { .. } => None,
                },
            },
            route,
            forward,
            to,
            &self.snapshot.proxy,
        );
        if self.snapshot.proxy.headers.attempt_count {
            head.fields_mut().set("x-envoy-attempt-count", b"1");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers = vec![("host".to_owned(), text(head.authority()))];
        headers.extend(
            head.fields()
                .iter()
                .map(|(name, value)| (text(name), text(value))),
        );
        UpstreamRequest {
            method: text(head.method()),
            target: text(head.target()),
            headers,
        }
    }
}

/// A head of its own with the same content.
fn copied(head: &RequestHead) -> RequestHead {
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    let mut buffer = ReadBuffer::new();
    buffer.extend(&bytes);
    let mut copy = RequestHead::default();
    // What was read once is read again; additions of ours may have brought it over the limits.
    let limits = Limits {
        head_bytes: usize::MAX,
        ..Limits::default()
    };
    match copy.decode(&mut buffer, &limits) {
        Ok(true) => copy,
        Ok(false) | Err(_) => RequestHead::new(head.method(), head.target(), head.authority()),
    }
}

fn policies(snapshot: &crate::snapshot::Snapshot, forward: &Forward) -> Vec<FilterRow> {
    let mut rows = Vec::new();
    let mut row = |name: &str, effect: String| {
        rows.push(FilterRow {
            name: name.to_owned(),
            effect,
        });
    };
    for mirror in &forward.mirrors {
        let name = &snapshot.cluster(mirror.cluster).name;
        row(
            "mirrors",
            format!(
                "sends a copy to {name}, of {} of the requests",
                answer::share(mirror.percentage)
            ),
        );
    }
    if let Some(timeout) = forward.timeout {
        row(
            "timeout",
            format!("{timeout:?} for all tries together, then 504"),
        );
    }
    if let Some(retry) = &forward.retry {
        let per_try = retry
            .per_try_timeout
            .map(|limit| format!(", each within {limit:?}"))
            .unwrap_or_default();
        row(
            "retries",
            format!("up to {} more tries{per_try}", retry.attempts),
        );
    }
    rows
}

/// Whether every endpoint of a cluster is left out.
pub(super) fn none_available(
    explainer: (&crate::snapshot::Snapshot, super::Health<'_>),
    id: ClusterId,
) -> bool {
    let (snapshot, health) = explainer;
    let mut endpoints = snapshot.cluster(id).endpoints.clone().map(EndpointId);
    !endpoints.any(|endpoint| health.is_available(endpoint))
}
