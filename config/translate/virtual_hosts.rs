//! Virtual hosts of a port: where servers' hosts and VirtualServices' hosts meet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Server, ServerContent, VirtualHost};
use crate::resources::ObjectKey;
use crate::translate::clusters::Clusters;
use crate::translate::gateway::{self, Gateway, Merged};
use crate::translate::hosts;
use crate::translate::memory::{Lists, Routes, Work};
use crate::translate::virtual_service::VirtualServices;
use crate::translate::virtual_service::matches;
use crate::translate::virtual_service::routes::{self, Listener};

#[derive(Default)]
struct Host {
    lists: Vec<Routes>,
    require_tls: bool,
    /// Whose routes are in already; a second copy could never match.
    from: HashSet<(usize, usize)>,
}

/// A port of plain HTTP: its servers share their virtual hosts.
pub(crate) fn server(
    merged: &Merged<'_>,
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    lists: &mut Lists,
    work: &mut Work,
) -> Server {
    merged.server(ServerContent::Http(build(
        &merged.servers,
        services,
        clusters,
        lists,
        work,
    )))
}

/// Lays out the routes of servers that share them (Istio: `buildGatewayHTTPRouteConfig`).
pub(crate) fn build(
    servers: &[(&Gateway, &gateway::Server)],
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    lists: &mut Lists,
    work: &mut Work,
) -> Vec<VirtualHost> {
    let mut by_domain: BTreeMap<String, Host> = BTreeMap::new();
    let mut gateways: HashMap<&ObjectKey, usize> = HashMap::new();
    for (gateway, server) in servers {
        let next = gateways.len();
        let gateway_index = *gateways.entry(&gateway.key).or_insert(next);
        // Only then can the same routes come to a host twice.
        let again = servers.iter().filter(|(other, _)| other.key == gateway.key);
        let is_repeated = again.count() > 1;
        for &service_index in services.of_gateway(&gateway.key) {
            let service = &services.all[service_index];
            let hosts = server
                .index_of_hosts
                .intersection(&service.hosts, &service.key.namespace);
            if hosts.is_empty() {
                continue;
            }
            let id = (gateway_index, service_index);
            let listener = Listener {
                gateway: &gateway.key,
                port: server.port,
                has_tls: server.has_tls,
            };
            let routes = match lists.built(service, listener) {
                Some((routes, led_to)) => {
                    clusters.use_again(led_to);
                    routes
                }
                None => {
                    work.route_lists += 1;
                    let service = service.with_rules(clusters.settings());
                    let routes = Routes::from(routes::build(&service, listener, clusters));
                    lists.keep(&service, listener, &routes, clusters.led_to());
                    routes
                }
            };
            // Without routes it makes no virtual host: others may still serve the name.
            if routes.is_empty() {
                continue;
            }
            for host in hosts {
                let host = by_domain.entry(host.to_ascii_lowercase()).or_default();
                host.require_tls |= server.https_redirect;
                if !is_repeated || host.from.insert(id) {
                    host.lists.push(Arc::clone(&routes));
                }
            }
        }
        if server.https_redirect {
            // A name limited to a namespace makes no virtual host of its own, as in Istio.
            for host in server.hosts.iter().filter(|host| !host.contains('/')) {
                let host = by_domain.entry(host.to_ascii_lowercase()).or_default();
                host.require_tls = true;
            }
        }
    }
    by_domain
        .into_iter()
        .map(|(domain, host)| virtual_host(&domain, host, lists))
        .collect()
}

fn virtual_host(domain: &str, host: Host, known: &mut Lists) -> VirtualHost {
    let Host {
        lists,
        require_tls,
        from: _,
    } = host;
    VirtualHost {
        domain: hosts::domain(domain),
        routes: known.joined(lists, join),
        require_tls,
    }
}

/// Catch-alls go last, whoever wrote them; all else keeps its order (the sort is stable). The
/// routes of a single VirtualService end with its catch-all already.
fn join(lists: &[Routes]) -> Routes {
    let mut routes: Vec<_> = lists.iter().flat_map(|list| list.iter().cloned()).collect();
    routes.sort_by_key(|route| matches::is_catch_all(&route.matches));
    routes.into()
}
