//! Model to snapshot: names become indices, conditions and edits become ready-made bytes.
//!
//! Pure; runs on the control thread.

mod action;
mod behind;
mod edits;
pub mod placement;
mod route_lists;

use std::collections::HashMap;
use std::sync::Arc;

use gatehouse_config::model::{self, ClusterIndex, Model, Service, TransportProtocol};

use crate::filter::guard::Guards;
use crate::observe::LogPlan;
use crate::observe::labels::LabelTable;
use crate::observe::route_stats;
use crate::route::{HostTable, Matcher, Path};
use crate::snapshot::{
    Action, Cluster, ClusterId, Endpoint, EndpointTls, Filters, HostId, Listener, Route, Server,
    ServerId, Serves, Snapshot, VirtualHost,
};
use crate::tls::{self, Chain, Ends, TlsPort};
use crate::upstream::{CircuitBreaker, Outliers, Selection};

pub use behind::place_behind_services;
pub use placement::{Host, Led, Place, Placement, place};
pub use route_lists::RouteLists;

/// Builds the tables of one generation.
///
/// `placement` says where is listened; `labels` numbers the label sets of metrics and keeps the
/// numbers of earlier generations, `lists` holds their routes: those that did not change are
/// taken over as they are. `before` is the last generation: what its clusters count, whom they
/// left out and the tables that are still right go on.
pub fn compile(
    model: &Model,
    placement: &Placement,
    labels: &mut LabelTable,
    lists: &mut RouteLists,
    before: &Snapshot,
) -> Snapshot {
    let mut snapshot = Snapshot {
        generation: before.generation + 1,
        proxy: model.proxy.clone(),
        guards: Guards::new(&model.proxy.guards),
        access_log: LogPlan::new(&model.proxy.access_logs),
        sources: placement.sources.clone(),
        ..Snapshot::default()
    };
    let (last, before) = (before, Before::new(before));
    let mut clients = tls::Clients::new(last);
    for cluster in &model.clusters {
        add_cluster(&mut snapshot, labels, &before, &mut clients, cluster);
    }
    let mut lists = lists.next_generation();
    for server in &model.servers {
        let server = compile_server(&mut snapshot, &mut lists, server);
        snapshot.servers.push(server);
    }
    let mut tls_servers = tls::Servers::new(last);
    for (index, server) in model.servers.iter().enumerate() {
        if let model::ServerContent::Tls(chains) = &server.serves {
            let port = compile_chains(&mut snapshot, &mut lists, &mut tls_servers, server, chains);
            snapshot.servers[index].tls = Some(Box::new(port));
        }
    }
    for place in &placement.places {
        let serves = match place {
            Place::Server { server, .. } => {
                let id = ServerId(*server);
                let socket = model.servers.get(id.index());
                if let Some(socket) = socket.and_then(|server| server.socket.as_ref()) {
                    let socket = Arc::clone(socket);
                    snapshot.sockets.push((place.address(), socket));
                }
                match snapshot.servers.get(id.index()) {
                    Some(Server { tls: Some(_), .. }) => Serves::Tls(id),
                    Some(Server { tcp: Some(_), .. }) => Serves::TcpServer(id),
                    _ => Serves::Http(id),
                }
            }
            Place::Service { service, port, .. } => {
                let Some(service) = model.services.get(*service as usize) else {
                    continue;
                };
                let Some(cluster) =
                    add_carried(&mut snapshot, labels, &before, &mut clients, service, *port)
                else {
                    continue;
                };
                cluster
            }
        };
        snapshot.listeners.push(Listener {
            address: place.address(),
            serves,
        });
    }
    snapshot
}

fn compile_server(
    snapshot: &mut Snapshot,
    lists: &mut route_lists::Generation<'_>,
    server: &model::Server,
) -> Server {
    match &server.serves {
        model::ServerContent::Http(hosts) => Server {
            table: compile_hosts(snapshot, lists, hosts, server.port),
            grpc_web: server.grpc_web,
            ..Server::default()
        },
        model::ServerContent::Tcp(route) => Server {
            tcp: Some(action::compile_tcp(route)),
            ..Server::default()
        },
        // Its chains follow when all servers have their places.
        model::ServerContent::Tls(_) => Server::default(),
    }
}

/// The chains of a server that speaks TLS, each with a server of its own for what comes out.
fn compile_chains(
    snapshot: &mut Snapshot,
    lists: &mut route_lists::Generation<'_>,
    servers: &mut tls::Servers<'_>,
    server: &model::Server,
    chains: &[model::FilterChain],
) -> TlsPort {
    let mut port = TlsPort::default();
    for chain in chains {
        let model::FilterChain {
            origin,
            server_names,
            serves,
        } = chain;
        let mut ends =
            |tls: &Option<Arc<model::ServerTls>>| match tls.as_ref().map(|tls| servers.get(tls)) {
                Some(Ok(server)) => Ends::Here(server),
                Some(Err(error)) => {
                    let (gateway, port) = (&origin.gateway, &origin.port_name);
                    tracing::error!(%gateway, port, %error, "TLS cannot be ended at this server");
                    Ends::Nowhere
                }
                None => Ends::Nowhere,
            };
        let (ends, behind) = match serves {
            model::ChainContent::Http { tls, virtual_hosts } => {
                let ends = ends(tls);
                let table = compile_hosts(snapshot, lists, virtual_hosts, server.port);
                (
                    ends,
                    Server {
                        table,
                        ..Server::default()
                    },
                )
            }
            model::ChainContent::Tcp { tls, route } => {
                let tcp = Some(action::compile_tcp(route));
                (
                    ends(tls),
                    Server {
                        tcp,
                        ..Server::default()
                    },
                )
            }
            model::ChainContent::PassThrough(route) => {
                let tcp = Some(action::compile_tcp(route));
                (
                    Ends::AtEndpoint,
                    Server {
                        tcp,
                        ..Server::default()
                    },
                )
            }
        };
        let chain = Chain {
            server: ServerId(u32_from(snapshot.servers.len())),
            ends,
        };
        snapshot.servers.push(behind);
        port.add(server_names, chain);
    }
    port
}

fn compile_hosts(
    snapshot: &mut Snapshot,
    lists: &mut route_lists::Generation<'_>,
    hosts: &[model::VirtualHost],
    port: u16,
) -> HostTable {
    let mut table = HostTable::with_capacity(hosts.len());
    snapshot.hosts.reserve(hosts.len());
    for host in hosts {
        let model::VirtualHost {
            domain,
            routes,
            require_tls,
        } = host;
        table.insert(domain, HostId(u32_from(snapshot.hosts.len())));
        let route_lists::Compiled { list, has_names } = lists.compiled(routes);
        snapshot.hosts.push(VirtualHost {
            stat_names: has_names.then(|| stat_names(routes, domain, port)),
            require_tls: *require_tls,
            routes: list,
        });
    }
    table
}

/// The names that routes with a `statPrefix` are counted under.
fn stat_names(
    routes: &[Arc<model::Route>],
    domain: &model::Domain,
    port: u16,
) -> Box<[Option<Arc<str>>]> {
    let domain = domain.to_string();
    let name = |route: &Arc<model::Route>| {
        let prefix = route.matches.stat_prefix.as_deref()?;
        Some(route_stats::stem(&domain, port, prefix))
    };
    routes.iter().map(name).collect()
}

/// The compiled forms of a list of routes.
fn compile_routes(
    routes: &[Arc<model::Route>],
    actions: &mut route_lists::PlainActions,
) -> Box<[Route]> {
    let mut compiled: Vec<Route> = Vec::with_capacity(routes.len());
    for route in routes {
        // The routes of one rule follow each other and do the same; an edit may hold their name.
        let same = compiled.last().filter(|before| {
            before.source.action.is(&route.action) && before.source.name == route.name
        });
        let action = match same {
            Some(before) => Arc::clone(&before.action),
            None => actions.compiled(&route.action, &route.name),
        };
        compiled.push(compile_route(route, action));
    }
    compiled.into()
}

fn compile_route(route: &Arc<model::Route>, action: Arc<Action>) -> Route {
    let model::Route {
        name,
        origin: _,
        matches,
        action: _, // compiled by `compile_routes`
        headers,
        fault,
        cors,
    } = &**route;
    let edits = |edits: fn(&model::HeaderEdits) -> &[model::HeaderEdit]| {
        let of_route = headers.as_deref().map_or(&[][..], edits);
        edits::compile(of_route, name)
    };
    let filters = (fault.is_some() || cors.is_some()).then(|| {
        Box::new(Filters {
            fault: fault.clone(),
            cors: cors.clone(),
        })
    });
    Route {
        source: Arc::clone(route),
        matcher: compile_matcher(matches),
        filters,
        action,
        request_edits: edits(|headers| &headers.request),
        response_edits: edits(|headers| &headers.response),
    }
}

fn compile_matcher(matches: &model::RouteMatch) -> Matcher {
    let model::RouteMatch {
        path,
        ignore_case,
        conditions,
        stat_prefix: _, // read by `stat_names`
    } = matches;
    let path = match (path, ignore_case) {
        (model::MatchedPath::Any, _) => Path::Any,
        (model::MatchedPath::Exact(path), false) => Path::Exact(path.as_bytes().into()),
        (model::MatchedPath::Exact(path), true) => Path::ExactIgnoreCase(path.as_bytes().into()),
        (model::MatchedPath::Prefix(path), false) => Path::Prefix(path.as_bytes().into()),
        (model::MatchedPath::Prefix(path), true) => Path::PrefixIgnoreCase(path.as_bytes().into()),
        (model::MatchedPath::Regex(regex), _) => Path::Regex(regex.clone()),
    };
    Matcher {
        path,
        conditions: conditions.clone(),
    }
}

fn add_cluster(
    snapshot: &mut Snapshot,
    labels: &mut LabelTable,
    before: &Before<'_>,
    clients: &mut tls::Clients,
    cluster: &model::Cluster,
) {
    let model::Cluster {
        name,
        labels: destination,
        endpoints,
        balancing,
        protocol,
        grpc_web,
        connect_timeout,
        policy,
    } = cluster;
    let model::ClusterPolicy {
        hash,
        localities: _, // read by `Selection`
        warmup: _,     // likewise
        limits,
        connections,
        outlier_detection,
        proxy_protocol,
        http2,
        tunnel,
        dynamic_dns,
        tls,
    } = &**policy;
    let before = before.get(name);
    let breaker = (!limits.is_unlimited()).then(|| {
        let before = before.and_then(|before| before.breaker.as_deref());
        Arc::new(CircuitBreaker::new(limits.clone(), before))
    });
    let outliers = outlier_detection.as_ref().map(|settings| {
        let before = before.and_then(|before| before.outliers.as_deref());
        let addresses = endpoints.iter().map(|endpoint| endpoint.address.clone());
        Arc::new(Outliers::new(settings.clone(), addresses, before))
    });
    let before = before.and_then(|before| before.selection.as_deref());
    let selection = Selection::new(cluster, outliers.clone(), before);
    let first = u32_from(snapshot.endpoints.len());
    for endpoint in endpoints {
        snapshot.endpoints.push(Endpoint {
            address: endpoint.address.clone(),
            weight: endpoint.weight,
            labels: labels.intern(destination, Some(&endpoint.workload)),
            workload: Arc::clone(&endpoint.workload),
        });
    }
    snapshot.clusters.push(Cluster {
        name: name.as_str().into(),
        labels: Arc::clone(destination),
        no_endpoint_labels: labels.intern(destination, None),
        endpoints: first..u32_from(snapshot.endpoints.len()),
        even: endpoints
            .windows(2)
            .all(|pair| pair[0].weight == pair[1].weight),
        total_weight: endpoints
            .iter()
            .fold(0, |sum, e| e.weight.saturating_add(sum))
            .max(1),
        balancing: *balancing,
        protocol: *protocol,
        grpc_web: *grpc_web,
        max_streams: http2.max_concurrent_streams,
        keepalive: http2.keepalive,
        connect_timeout: *connect_timeout,
        connections: connections.clone(),
        proxy_protocol: *proxy_protocol,
        tunnel: tunnel.clone().map(Box::new),
        dynamic_dns: dynamic_dns.clone().map(Box::new),
        tls: endpoint_tls(name, tls, clients),
        hash: hash.clone(),
        selection: selection.map(Box::new),
        breaker,
        outliers,
    });
}

fn endpoint_tls(name: &str, tls: &model::UpstreamTls, clients: &mut tls::Clients) -> EndpointTls {
    match tls {
        model::UpstreamTls::Plain => EndpointTls::Plain,
        model::UpstreamTls::Impossible(why) => EndpointTls::Impossible(Arc::clone(why)),
        model::UpstreamTls::Spoken(tls) => match clients.get(tls) {
            Ok(client) => EndpointTls::Spoken(client),
            Err(error) => {
                tracing::error!(cluster = name, %error, "TLS to the endpoints cannot be spoken");
                EndpointTls::Impossible(error.to_string().into())
            }
        },
    }
}

/// The clusters of the last generation, by name: those whose counters and tables go on.
struct Before<'s> {
    clusters: HashMap<&'s str, &'s Cluster>,
}

impl<'s> Before<'s> {
    fn new(before: &'s Snapshot) -> Self {
        let goes_on = |cluster: &&Cluster| cluster.selection.is_some() || cluster.breaker.is_some();
        let clusters = before.clusters.iter().filter(goes_on);
        Self {
            clusters: clusters.map(|cluster| (&*cluster.name, cluster)).collect(),
        }
    }

    fn get(&self, name: &str) -> Option<&'s Cluster> {
        self.clusters.get(name).copied()
    }
}

/// A carried Service's port as a cluster of its own.
fn add_carried(
    snapshot: &mut Snapshot,
    labels: &mut LabelTable,
    before: &Before<'_>,
    clients: &mut tls::Clients,
    service: &Service,
    port: (TransportProtocol, u16),
) -> Option<Serves> {
    let found = service
        .ports
        .iter()
        .find(|p| (p.protocol, p.port) == port)?;
    let id = ClusterId(u32_from(snapshot.clusters.len()));
    let host = format!(
        "{}.{}.svc.cluster.local",
        service.key.name, service.key.namespace
    );
    add_cluster(
        snapshot,
        labels,
        before,
        clients,
        &model::Cluster {
            name: format!("outbound|{}||{host}", found.port),
            labels: Arc::new(model::DestinationLabels {
                service: host,
                service_name: service.key.name.clone(),
                service_namespace: service.key.namespace.clone(),
            }),
            endpoints: found.endpoints.clone(),
            balancing: model::Balancing::RoundRobin,
            protocol: model::UpstreamProtocol::Http1,
            grpc_web: false,
            connect_timeout: std::time::Duration::from_secs(10),
            policy: Arc::default(),
        },
    );
    Some(match found.protocol {
        TransportProtocol::Tcp => Serves::Tcp(id),
        TransportProtocol::Udp => Serves::Udp(id),
    })
}

fn cluster_id(index: ClusterIndex) -> ClusterId {
    // Clusters keep their order: the model's index is the snapshot's.
    ClusterId(index.0)
}

fn u32_from(length: usize) -> u32 {
    u32::try_from(length).expect("no table holds four billion entries: sources are bounded")
}
