//! Ports that speak TLS: one chain for each server, chosen by the name that a client asks for.

use std::collections::HashMap;

use crate::codes;
use crate::finding::Level;
use crate::model::{ChainContent, Domain, FilterChain, Server, ServerContent};
use crate::translate::certificates::Credentials;
use crate::translate::clusters::Clusters;
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::{self, Gateway, Merged};
use crate::translate::hosts;
use crate::translate::memory::{Lists, Work};
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualServices;
use crate::translate::{server_tls, virtual_hosts};

/// A port with all its chains; none if there is not one, and the port stays closed.
pub(crate) fn build(
    merged: &Merged<'_>,
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    lists: &mut Lists,
    work: &mut Work,
    credentials: &mut Credentials<'_>,
    report: &mut Report,
) -> Option<Server> {
    let mut chains = Chains::default();
    for (gateway, server) in &merged.servers {
        if !(server.is_https && server.ends_tls()) {
            let spec = FieldPath::root("spec");
            let servers = spec.field("servers");
            let path = servers.index(server.index);
            let path = path.field("tls");
            report.on("Gateway", &gateway.key).not_served(
                &path,
                "TLS that is carried on",
                "connections to this server are closed",
            );
            continue;
        }
        let Some(server_names) = chains.claim(gateway, server, report) else {
            continue;
        };
        let mut report = report.on("Gateway", &gateway.key);
        let tls = server_tls::ended::build(gateway, server, credentials, &mut report);
        let virtual_hosts =
            virtual_hosts::build(&[(gateway, server)], services, clusters, lists, work);
        chains.all.push(FilterChain {
            origin: server.origin(gateway),
            server_names,
            serves: ChainContent::Http { tls, virtual_hosts },
        });
    }
    let Chains { all, .. } = chains;
    (!all.is_empty()).then(|| merged.server(ServerContent::Tls(all)))
}

/// The chains of a port.
#[derive(Default)]
struct Chains<'g> {
    all: Vec<FilterChain>,
    /// The names that are taken, in lower case, and by whom.
    taken: HashMap<String, &'g Gateway>,
}

impl<'g> Chains<'g> {
    /// The names of a server that ends TLS, without the namespaces that a client's SNI does not
    /// say. None, and a finding, if another chain has one of them.
    fn claim(
        &mut self,
        gateway: &'g Gateway,
        server: &gateway::Server,
        report: &mut Report,
    ) -> Option<Vec<Domain>> {
        let mut names: Vec<String> = Vec::new();
        for host in &server.hosts {
            let name = host.split_once('/').map_or(&**host, |(_, name)| name);
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let spec = FieldPath::root("spec");
        let servers = spec.field("servers");
        let path = servers.index(server.index);
        let path = path.field("hosts");
        if let Some((name, by)) = names.iter().find_map(|name| self.taken.get_key_value(name)) {
            report.on("Gateway", &gateway.key).add(
                codes::PORT_CONFLICT,
                Level::Error,
                &path,
                format!(
                    "the host `{name}` on port {} is taken by Gateway {}, so this server does not listen, with none of its hosts.",
                    server.port, by.key
                ),
                format!("Remove `{name}` from one of the two."),
            );
            return None;
        }
        for name in &names {
            self.taken.insert(name.clone(), gateway);
        }
        Some(names.iter().map(|name| hosts::domain(name)).collect())
    }
}
