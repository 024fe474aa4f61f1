//! What is told of a cluster: its endpoints, and what its DestinationRule adds on the way there.

use gatehouse_config::model::{
    Authorities, Balancing, ClientSni, ClientTls, Limits, ProxyVersion, UpstreamProtocol,
    Verification,
};

use crate::snapshot::{
    Cluster, ClusterId, Destination, EndpointId, EndpointTls, ServerId, Serves, Snapshot,
};
use crate::why::{Answer, DestinationRow, EndpointRow, FilterRow, Health, Outcome};

/// So many endpoints of a cluster are told at most.
const MOST_ENDPOINTS: usize = 200;

/// The cluster and its endpoints; nothing yet of what a request makes of them.
pub(super) fn row(snapshot: &Snapshot, health: Health<'_>, id: ClusterId) -> DestinationRow {
    let cluster = snapshot.cluster(id);
    let endpoints = cluster.endpoints.clone().map(EndpointId);
    let endpoints = endpoints.take(MOST_ENDPOINTS).map(|id| {
        let endpoint = snapshot.endpoint(id);
        EndpointRow {
            address: endpoint.address.to_string(),
            workload: endpoint.workload.workload.clone(),
            weight: endpoint.weight,
            available: health.is_available(id),
        }
    });
    DestinationRow {
        cluster: cluster.name.to_string(),
        balancing: balancing(cluster.balancing).to_owned(),
        endpoints: endpoints.collect(),
        ..DestinationRow::default()
    }
}

/// Where a listener that carries bytes carries them.
pub(super) fn carried_to(
    snapshot: &Snapshot,
    health: Health<'_>,
    serves: Serves,
) -> Vec<DestinationRow> {
    let to = |id: ClusterId, percent: f64| DestinationRow {
        percent,
        policies: policies(snapshot.cluster(id), true),
        answer: Answer {
            outcome: Outcome::Carried,
            ..Answer::default()
        },
        ..row(snapshot, health, id)
    };
    let of_server = |id: ServerId| {
        let Some(route) = &snapshot.server(id).tcp else {
            return Vec::new();
        };
        let shares = route.destinations.iter().map(|(destination, weight)| {
            let percent = f64::from(*weight) * 100.0 / f64::from(route.total_weight);
            match destination {
                Destination::Cluster(id) => to(*id, percent),
                Destination::Unknown { name } => DestinationRow {
                    cluster: name.clone(),
                    percent,
                    ..DestinationRow::default()
                },
            }
        });
        shares.collect()
    };
    match serves {
        Serves::Tcp(id) | Serves::Udp(id) => vec![to(id, 100.0)],
        Serves::TcpServer(id) => of_server(id),
        Serves::Http(_) | Serves::Tls(_) => Vec::new(),
    }
}

/// What acts on the way to a cluster; `carried` tells connections from requests.
pub(super) fn policies(cluster: &Cluster, carried: bool) -> Vec<FilterRow> {
    let mut rows = Vec::new();
    let mut row = |name: &str, effect: String| {
        rows.push(FilterRow {
            name: name.to_owned(),
            effect,
        });
    };
    if let Some(breaker) = &cluster.breaker {
        let Limits {
            max_connections,
            max_pending_requests,
            max_requests,
            max_retries,
            retry_budget,
        } = breaker.limits();
        let of_requests = |limit: Option<u32>| limit.filter(|_| !carried);
        let limits = [
            (*max_connections, "connections"),
            (of_requests(*max_pending_requests), "waiting requests"),
            (of_requests(*max_requests), "requests"),
            (of_requests(*max_retries), "retries"),
        ];
        let limits: Vec<_> = limits
            .into_iter()
            .filter_map(|(limit, what)| Some(format!("{} {what}", limit?)))
            .collect();
        if !limits.is_empty() {
            row(
                "connectionPool",
                format!("at most {} at a time", limits.join(", ")),
            );
        }
        if let Some(budget) = retry_budget.as_ref().filter(|_| !carried) {
            let of = match budget.interval {
                None => "that are under way or wait".to_owned(),
                Some(interval) => format!("of the last {interval:?} (budgetInterval)"),
            };
            row(
                "retryBudget",
                format!(
                    "at most {} % of the requests {of} may be retries, and {} always",
                    budget.percent, budget.minimum
                ),
            );
        }
    }
    if let EndpointTls::Spoken(client) = &cluster.tls {
        row("tls", tls(client.source(), cluster.protocol, carried));
    }
    if let Some(version) = cluster.proxy_protocol {
        let version = match version {
            ProxyVersion::V1 => "1",
            ProxyVersion::V2 => "2",
        };
        row(
            "proxyProtocol",
            format!(
                "each connection begins with the client's address (PROXY protocol, version {version})"
            ),
        );
    }
    if let Some(tunnel) = &cluster.tunnel {
        let method = if tunnel.post { "POST" } else { "CONNECT" };
        row(
            "tunnel",
            if carried {
                format!(
                    "{method} {} is asked of the endpoint, a proxy",
                    tunnel.target
                )
            } else {
                "does not act: it is for carried connections, not for requests".to_owned()
            },
        );
    }
    rows
}

/// Which TLS is spoken to the endpoints.
fn tls(tls: &ClientTls, protocol: UpstreamProtocol, carried: bool) -> String {
    let mode = match &tls.certificate {
        None => "SIMPLE".to_owned(),
        Some(own) => format!("MUTUAL, with the certificate of {}", own.source),
    };
    let alpn = match protocol {
        _ if carried => "",
        UpstreamProtocol::Http1 => ", and http/1.1",
        UpstreamProtocol::H2c => ", and h2",
        UpstreamProtocol::Client => ", and the version that the client speaks",
    };
    let asked = match &tls.sni {
        ClientSni::Name(name) => format!("asked for {name}"),
        ClientSni::FromHost if carried => "asked for no name".to_owned(),
        ClientSni::FromHost => "asked for the request's Host".to_owned(),
    };
    let Verification {
        skip,
        authorities,
        revoked,
        subject_alt_names,
        ..
    } = &tls.verification;
    if *skip {
        return format!(
            "TLS ({mode}); the endpoint is {asked}{alpn}, and its certificate is not verified"
        );
    }
    let authorities = match authorities {
        Authorities::None => 0,
        Authorities::These(these) => these.len(),
    };
    let mut judged = format!("must come from one of {authorities} CAs");
    if !revoked.is_empty() {
        judged.push_str(", must not be revoked");
    }
    if !subject_alt_names.is_empty() {
        let names = subject_alt_names.join(" or ");
        judged.push_str(&format!(", must be for {names}"));
    }
    if tls.verify_host && !carried {
        judged.push_str(", must be for the request's Host");
    }
    format!("TLS ({mode}); the endpoint is {asked}{alpn}, and its certificate {judged}")
}

fn balancing(balancing: Balancing) -> &'static str {
    match balancing {
        Balancing::LeastRequest => "LEAST_REQUEST",
        Balancing::RoundRobin => "ROUND_ROBIN",
        Balancing::Random => "RANDOM",
        Balancing::RingHash { .. } => "consistentHash.ringHash",
        Balancing::Maglev { .. } => "consistentHash.maglev",
    }
}
