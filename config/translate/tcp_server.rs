//! TCP servers: which route each carries its connections by.

use crate::codes;
use crate::finding::Level;
use crate::model::{Server, ServerContent, TcpRoute};
use crate::translate::clusters::Clusters;
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::{self, Gateway, Merged, Protocol};
use crate::translate::report::Report;
use crate::translate::virtual_service::routes::Listener;
use crate::translate::virtual_service::{VirtualServices, tcp};

/// A TCP server with its route. Without one its port stays closed, as with Istio.
pub(crate) fn build(
    merged: &Merged<'_>,
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    report: &mut Report,
) -> Option<Server> {
    let (gateway, server) = merged.servers.first()?;
    let route = route(gateway, server, services, clusters, report)?;
    Some(merged.server(ServerContent::Tcp(route)))
}

/// Where connections of a server go that nobody looks into; none, and a finding, if nowhere.
pub(crate) fn route(
    gateway: &Gateway,
    server: &gateway::Server,
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    report: &mut Report,
) -> Option<TcpRoute> {
    let listener = Listener {
        gateway: &gateway.key,
        port: server.port,
        has_tls: server.has_tls,
    };
    let route = services.of_gateway(&gateway.key).iter().find_map(|index| {
        let service = &services.all[*index];
        let namespace = &service.key.namespace;
        if !server.index_of_hosts.overlaps(&service.hosts, namespace) {
            return None;
        }
        tcp::build(service, listener, clusters)
    });
    if route.is_none() {
        let path = FieldPath::root("spec");
        report.on("Gateway", &gateway.key).add(
            codes::NO_TCP_ROUTE,
            Level::Warning,
            &path.field("servers").index(server.index).field("port"),
            match server.protocol {
                Protocol::Tls => format!("connections to this server are closed: no VirtualService of this Gateway has a tcp route for port {}.", server.port),
                _ => format!("port {} stays closed: no VirtualService of this Gateway has a tcp route for it.", server.port),
            },
            format!("Add `tcp: [{{match: [{{port: {}}}], route: [{{destination: {{host: NAME}}}}]}}]` to a VirtualService.", server.port),
        );
    }
    route
}
