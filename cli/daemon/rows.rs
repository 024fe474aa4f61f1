//! What the admin API shows, made from the model and what became of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatehouse_config::model::{
    Action, Conditions, Destination, MatchedPath, Model, Route, RouteMatch, TcpRoute,
};
use gatehouse_config::resources::{ObjectKey, Resources};
use gatehouse_gateway::admin::view::{AddressRow, InterfaceRow, ListenerRow, RouteRow, ServiceRow};
use gatehouse_gateway::compile::Placement;
use gatehouse_gateway::snapshot::{Listener, ServerId, Serves, Snapshot};
use gatehouse_lb_speaker::{AddressState, Decision, Outcome, Plan, SpeakerState};

/// Every Service, with the columns of `kubectl get svc`.
pub fn services(resources: &Resources, outcome: &Outcome) -> Vec<ServiceRow> {
    resources
        .services
        .iter()
        .map(|(key, object)| {
            let spec = object.body.spec.clone().unwrap_or_default();
            let decision = outcome.services.get(key);
            let allocation = decision.and_then(Decision::allocation);
            ServiceRow {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
                cluster_ip: spec.cluster_ip,
                external_ip: allocation
                    .map(|held| held.addresses.iter().map(IpAddr::to_string).collect())
                    .unwrap_or_default(),
                ports: spec.ports.unwrap_or_default().iter().map(port).collect(),
                created: object.meta.created,
                pending_reason: match decision {
                    Some(Decision::Pending { reason }) => Some(reason.clone()),
                    _ => None,
                },
                pool: allocation.map(|held| held.pool.clone()),
            }
        })
        .collect()
}

fn port(port: &gatehouse_config::api::core::ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.node_port {
        Some(node_port) => format!("{}:{node_port}/{protocol}", port.port),
        None => format!("{}/{protocol}", port.port),
    }
}

/// Every dealt address and who answers for it.
pub fn addresses(
    outcome: &Outcome,
    plan: &Plan,
    speaker: &SpeakerState,
    node: &str,
    not_announced: Option<&str>,
) -> Vec<AddressRow> {
    let mut rows: BTreeMap<IpAddr, AddressRow> = BTreeMap::new();
    for (key, decision) in &outcome.services {
        for address in decision
            .allocation()
            .iter()
            .flat_map(|held| &held.addresses)
        {
            let row = rows.entry(*address).or_default();
            row.address = address.to_string();
            row.services.push(key.to_string());
            row.pool = decision
                .allocation()
                .map(|held| held.pool.clone())
                .unwrap_or_default();
            row.state = "not announced".to_owned();
            row.reason = not_announced.map(str::to_owned);
        }
    }
    for silence in &plan.silent {
        if let Some(row) = rows.get_mut(&silence.address) {
            row.owner.clone_from(&silence.owner);
            row.reason = Some(silence.reason.clone());
        }
    }
    for (address, state) in &speaker.addresses {
        if let Some(row) = rows.get_mut(address) {
            show_state(row, state, node);
        }
    }
    rows.into_values().collect()
}

fn show_state(row: &mut AddressRow, state: &AddressState, node: &str) {
    row.owner = Some(node.to_owned());
    let (name, reason) = match state {
        AddressState::Probing => ("probing", None),
        AddressState::Announced { on } => {
            row.interfaces = on
                .iter()
                .map(|on| InterfaceRow {
                    name: on.interface.clone(),
                    mac: on.mac.clone(),
                })
                .collect();
            ("announced", None)
        }
        AddressState::Conflict {
            mac,
            interface,
            node,
            ..
        } => {
            row.owner.clone_from(node);
            let reason = match node {
                Some(node) => format!(
                    "node {node} ({mac} on {interface}) answers for it, and its heartbeats do not \
                     arrive here. Let UDP 7946 through between the nodes."
                ),
                None => format!(
                    "{mac} on {interface} answers for it already. Free the address there, or take \
                     it out of the pool; it is asked again from time to time."
                ),
            };
            ("conflict", Some(reason))
        }
        AddressState::HeldByHost { interface } => {
            row.owner = None;
            let reason = format!(
                "{interface} of this host has it already. Take it off there (`ip addr`), or out \
                 of the pool."
            );
            ("not announced", Some(reason))
        }
        AddressState::NoInterface { why } | AddressState::NotPermitted { why } => {
            row.owner = None;
            ("not announced", Some(why.clone()))
        }
    };
    row.state = name.to_owned();
    row.reason = reason;
}

/// Every socket that accepts.
pub fn listeners<'a>(
    model: &Model,
    snapshot: &Snapshot,
    open: impl Iterator<Item = &'a Listener>,
) -> Vec<ListenerRow> {
    let of_gateway = |id: ServerId| {
        let server = model.servers.get(id.index());
        let origins = server.map(|server| {
            let origins = server.origins.iter();
            origins
                .map(|origin| format!("Gateway {}", origin.gateway))
                .collect()
        });
        (
            server.map_or(0, |server| server.port).to_string(),
            origins.unwrap_or_default(),
        )
    };
    open.map(|listener| {
        let (protocol, name, origins) = match listener.serves {
            Serves::Http(server) => {
                let (name, origins) = of_gateway(server);
                ("HTTP", name, origins)
            }
            Serves::Tls(server) => {
                let (name, origins) = of_gateway(server);
                ("TLS", name, origins)
            }
            Serves::TcpServer(server) => {
                let (name, origins) = of_gateway(server);
                ("TCP", name, origins)
            }
            Serves::Tcp(cluster) => (
                "TCP",
                snapshot.cluster(cluster).name.to_string(),
                vec![service(snapshot, cluster)],
            ),
            Serves::Udp(cluster) => (
                "UDP",
                snapshot.cluster(cluster).name.to_string(),
                vec![service(snapshot, cluster)],
            ),
        };
        ListenerRow {
            name,
            address: match snapshot.socket_at(listener.address) {
                Some(socket) => format!("unix://{socket}"),
                None => listener.address.to_string(),
            },
            protocol: protocol.to_owned(),
            state: "listening".to_owned(),
            origins,
        }
    })
    .collect()
}

fn service(snapshot: &Snapshot, cluster: gatehouse_gateway::snapshot::ClusterId) -> String {
    let labels = &snapshot.cluster(cluster).labels;
    format!(
        "Service {}/{}",
        labels.service_namespace, labels.service_name
    )
}

/// Every route, in the order in which it is tried.
pub fn routes(model: &Model, placement: &Placement) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    for (index, server) in (0_u32..).zip(&model.servers) {
        let listeners: Vec<String> = placement
            .places
            .iter()
            .filter(|place| place.server() == Some(index))
            .map(|place| match &server.socket {
                Some(socket) => format!("unix://{socket}"),
                None => place.address().to_string(),
            })
            .collect();
        if let Some(route) = server.tcp() {
            rows.push(tcp_row(model, route, listeners.clone()));
        }
        for host in server.virtual_hosts() {
            for route in host.routes.iter() {
                rows.push(RouteRow {
                    listeners: listeners.clone(),
                    host: host.domain.to_string(),
                    ..route_row(model, route)
                });
            }
        }
    }
    rows
}

fn route_row(model: &Model, route: &Route) -> RouteRow {
    let (action, destinations) = action(model, &route.action);
    RouteRow {
        listeners: Vec::new(),
        host: String::new(),
        matches: conditions(&route.matches),
        action,
        destinations,
        origin: route.origin.place(),
        virtual_service: route.origin.virtual_service.to_string(),
        name: route.name.to_string(),
    }
}

fn conditions(matches: &RouteMatch) -> String {
    let mut all = Vec::new();
    match &matches.path {
        MatchedPath::Any => {}
        MatchedPath::Exact(path) => all.push(format!("exact {path}")),
        MatchedPath::Prefix(path) => all.push(format!("prefix {path}")),
        MatchedPath::Regex(regex) => all.push(format!("regex {}", regex.as_written())),
    }
    let none = Conditions::default();
    let matches = matches.conditions.as_deref().unwrap_or(&none);
    for (name, pattern) in [
        ("method", &matches.method),
        ("scheme", &matches.scheme),
        ("authority", &matches.authority),
    ] {
        all.extend(pattern.as_ref().map(|pattern| format!("{name} {pattern}")));
    }
    all.extend(
        matches
            .headers
            .iter()
            .map(|h| format!("header {} {}", h.name, h.pattern)),
    );
    all.extend(
        matches
            .without_headers
            .iter()
            .map(|h| format!("without header {} {}", h.name, h.pattern)),
    );
    all.extend(
        matches
            .query_params
            .iter()
            .map(|(name, pattern)| format!("query {name} {pattern}")),
    );
    if all.is_empty() {
        "any".to_owned()
    } else {
        all.join(", ")
    }
}

/// Where the connections of a TCP server go.
fn tcp_row(model: &Model, route: &TcpRoute, listeners: Vec<String>) -> RouteRow {
    let shares = route.destinations.iter();
    RouteRow {
        listeners,
        host: "*".to_owned(),
        matches: "every connection".to_owned(),
        action: "carry".to_owned(),
        destinations: split(
            model,
            shares.map(|share| (&share.destination, share.weight)),
        ),
        origin: route.origin.place(),
        virtual_service: route.origin.virtual_service.to_string(),
        name: String::new(),
    }
}

/// The destinations of a split, each with its part of the whole.
fn split<'a>(
    model: &Model,
    shares: impl ExactSizeIterator<Item = (&'a Destination, u32)> + Clone,
) -> Vec<String> {
    let total: u64 = shares.clone().map(|(_, weight)| u64::from(weight)).sum();
    let single = shares.len() == 1;
    shares
        .map(|(destination, weight)| {
            let name = match destination {
                Destination::Cluster(index) => model
                    .clusters
                    .get(index.0 as usize)
                    .map_or_else(String::new, |cluster| cluster.name.clone()),
                Destination::Unknown { name } => format!("{name} (not found)"),
            };
            if single {
                name
            } else {
                format!("{name} ({}%)", u64::from(weight) * 100 / total.max(1))
            }
        })
        .collect()
}

fn action(model: &Model, action: &Action) -> (String, Vec<String>) {
    match action {
        Action::Forward(forward) => {
            let shares = forward.destinations.iter();
            let shares = shares.map(|weighted| (&weighted.destination, weighted.weight));
            ("forward".to_owned(), split(model, shares))
        }
        Action::Redirect(redirect) => {
            let scheme = redirect.scheme.as_deref().unwrap_or("");
            let authority = redirect.authority.as_deref().unwrap_or("");
            let uri = redirect
                .uri
                .as_deref()
                .or(redirect.prefix_rewrite.as_deref())
                .unwrap_or("");
            let port = redirect
                .port
                .map_or(String::new(), |port| format!(":{port}"));
            let separator = if scheme.is_empty() { "" } else { "://" };
            (
                format!(
                    "redirect {} {scheme}{separator}{authority}{port}{uri}",
                    redirect.code
                ),
                Vec::new(),
            )
        }
        Action::DirectResponse(direct) => (format!("respond {}", direct.status), Vec::new()),
    }
}

/// Addresses of every Service that has some.
pub fn held(outcome: &Outcome) -> BTreeMap<ObjectKey, Vec<IpAddr>> {
    outcome
        .services
        .iter()
        .filter_map(|(key, decision)| Some((key.clone(), decision.allocation()?.addresses.clone())))
        .collect()
}
