//! Why a request is not served, in a sentence: for `gatehouse why`, and for `x-gatehouse-reason`
//! on answers to clients of the LAN.

use crate::exchange::ResponseFlags;
use crate::exchange::reply::Reply;
use crate::exchange::{Exchange, decide};
use crate::http1::RequestHead;
use crate::route::without_port;
use crate::snapshot::{Destination, EndpointId, Route, ServerId, Snapshot, WeightedDestination};
use crate::why::{Health, forward, hosts, routes};

/// A reason and the nearest fix.
type Told = (String, String);

/// Why there is no route, or why the routes are not even looked at.
pub(super) fn no_route(
    snapshot: &Snapshot,
    server: ServerId,
    head: &RequestHead,
    scheme: &str,
    reply: &Reply,
) -> Told {
    if reply.status == 301 {
        return (
            "a Gateway's server for this host has tls.httpsRedirect, so plain requests go to https"
                .to_owned(),
            String::new(),
        );
    }
    if !reply.flags.contains(ResponseFlags::NR) {
        let body = String::from_utf8_lossy(&reply.body);
        return (body.trim_end().to_owned(), String::new());
    }
    let table = &snapshot.server(server).table;
    let name = String::from_utf8_lossy(without_port(head.authority())).into_owned();
    let Some(host) = table.find(head.authority()) else {
        let hint = match hosts::nearly(table, &name) {
            Some(near) => format!("Did you mean {near}?"),
            None => format!(
                "Add `{name}` to the hosts of a VirtualService that names a Gateway of this port, and see that the Gateway's server has it too."
            ),
        };
        return (unknown_host(&name), hint);
    };
    let list = &snapshot.host(host).routes;
    let request = decide::looked_at(head, scheme);
    // The route that fails latest is the nearest: its path fits, say, and a header does not.
    let nearest = list
        .all()
        .iter()
        .filter_map(|route| Some((route.matcher.first_unmet(&request)?, route)))
        .max_by_key(|(unmet, _)| unmet.depth());
    let count = list.all().len();
    let path = String::from_utf8_lossy(head.path()).into_owned();
    let Some((unmet, route)) = nearest else {
        return (format!("the host {name} has no routes"), String::new());
    };
    let (object, field, position) = routes::place(route);
    (
        format!(
            "none of the {count} routes of {name} takes {path}; of {object} {field}, {}",
            unmet.describe(&request)
        ),
        at(
            &position,
            "Change the match there, or add a route that takes it",
        ),
    )
}

fn unknown_host(name: &str) -> String {
    format!("no VirtualService serves the host {name} on this port")
}

/// Why a destination gets nothing.
pub(super) fn no_upstream(
    snapshot: &Snapshot,
    health: Health<'_>,
    route: &Route,
    to: &WeightedDestination,
) -> Told {
    let (object, field, position) = routes::place(route);
    match &to.destination {
        Destination::Unknown { name } => (
            format!(
                "{object} {field} leads to {name}, and no Service or ServiceEntry has that host and port, or no DestinationRule that subset"
            ),
            at(&position, "Correct the destination, or define it"),
        ),
        Destination::Cluster(id) => {
            let cluster = snapshot.cluster(*id);
            let count = cluster.endpoints.len();
            if let Some(why) = cluster.tls.impossible() {
                (
                    format!(
                        "a DestinationRule asks for TLS to {}, which cannot be spoken, and nothing is sent in plain text instead: {why}",
                        cluster.name
                    ),
                    "`gatehouse get findings` tells what is wrong; where the endpoints take plain text, write `tls: {mode: DISABLE}`.".to_owned(),
                )
            } else if let Some(dynamic) = &cluster.dynamic_dns {
                (
                    format!(
                        "the endpoints of {} are looked up by the request's Host, which must be a name below `*{}`",
                        cluster.name, dynamic.suffix
                    ),
                    String::new(),
                )
            } else if count == 0 {
                (
                    format!("{} has no endpoints", cluster.name),
                    "Give the Service endpoints, or the subset labels that some of them have."
                        .to_owned(),
                )
            } else if forward::none_available((snapshot, health), *id) {
                (
                    format!(
                        "all {count} endpoints of {} are left out for a while, since they failed",
                        cluster.name
                    ),
                    "`gatehouse get endpoints` shows them; see why they fail.".to_owned(),
                )
            } else {
                (format!("{} answers", cluster.name), String::new())
            }
        }
    }
}

fn at(position: &str, what: &str) -> String {
    if position.is_empty() {
        format!("{what}.")
    } else {
        format!("{what}: {position}.")
    }
}

/// The longest reason that is sent, in bytes.
const LONGEST: usize = 400;

/// The reason for an answer of the gateway's own, for a header; none where there is nothing to
/// say. It costs a walk over the host's routes, so it is made for errors alone.
pub(crate) fn reason(
    snapshot: &Snapshot,
    server: Option<ServerId>,
    exchange: &Exchange,
    scheme: &str,
    reply: &Reply,
) -> Option<Vec<u8>> {
    if !matches!(reply.status, 404 | 503) {
        return None;
    }
    let (why, _) = match exchange.route {
        None => {
            let authority = exchange.request.authority();
            let server = server?;
            let is_known = snapshot.server(server).table.find(authority).is_some();
            if reply.flags.contains(ResponseFlags::NR) && !is_known {
                // Without the hint, for which the names of all hosts are compared: clients that
                // ask for made-up hosts must not keep a worker busy.
                let name = String::from_utf8_lossy(without_port(authority));
                (unknown_host(&name), String::new())
            } else {
                no_route(snapshot, server, &exchange.request, scheme, reply)
            }
        }
        Some(id) => {
            let route = snapshot.route(id);
            let crate::snapshot::Action::Forward(forward) = &*route.action else {
                return None;
            };
            // The destination that the exchange chose: a cluster, or one that is not known.
            let chosen = forward
                .destinations
                .iter()
                .find(|to| match &to.destination {
                    Destination::Cluster(cluster) => exchange.cluster == Some(*cluster),
                    Destination::Unknown { .. } => exchange.cluster.is_none(),
                })?;
            let no_tls = exchange
                .cluster
                .is_some_and(|id| snapshot.cluster(id).tls.impossible().is_some());
            let nowhere = [ResponseFlags::NC, ResponseFlags::UH];
            if no_tls || nowhere.iter().any(|flag| reply.flags.contains(*flag)) {
                no_upstream(
                    snapshot,
                    Health(&vec![false; none_of(snapshot, chosen)]),
                    route,
                    chosen,
                )
            } else {
                let to = exchange
                    .endpoint
                    .map(|endpoint: EndpointId| snapshot.endpoint(endpoint));
                let to = to
                    .map(|to| format!(" ({})", to.address))
                    .unwrap_or_default();
                let tries = match exchange.attempts {
                    0 => "was not asked".to_owned(),
                    tries => format!("did not answer in {tries} tries"),
                };
                let why = match &*exchange.transport_failure {
                    "" => reply.details,
                    failure => failure,
                };
                (format!("the upstream{to} {tries}: {why}"), String::new())
            }
        }
    };
    let mut text: Vec<u8> = why
        .bytes()
        .map(|byte| {
            if (b' '..=b'~').contains(&byte) {
                byte
            } else {
                b'?'
            }
        })
        .collect();
    text.truncate(LONGEST);
    Some(text)
}

/// How many endpoints are known to be of no use when a cluster gave none: all up to its last.
fn none_of(snapshot: &Snapshot, to: &WeightedDestination) -> usize {
    match &to.destination {
        Destination::Cluster(id) => snapshot.cluster(*id).endpoints.end as usize,
        Destination::Unknown { .. } => 0,
    }
}
