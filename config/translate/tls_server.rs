//! Ports that speak TLS: one chain for each server, chosen by the name that a client asks for.

use std::collections::HashMap;

use crate::api::istio::gateway::TlsMode;
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
use crate::translate::virtual_service::routes::Listener;
use crate::translate::virtual_service::{VirtualServices, tls};
use crate::translate::{server_tls, tcp_server, virtual_hosts};

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
        let mode = server
            .tls
            .as_ref()
            .map_or(TlsMode::Passthrough, |tls| tls.mode);
        match mode {
            TlsMode::Passthrough => {
                pass_through(gateway, server, &mut chains, services, clusters, report)
            }
            TlsMode::AutoPassthrough => not_here(
                (gateway, server),
                "AUTO_PASSTHROUGH leads into the clusters of a mesh, by names that its sidecars make; there is no mesh here, and connections to this server are closed.",
                "Write `mode: PASSTHROUGH`, and a tls route with the names in a VirtualService.",
                report,
            ),
            TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual | TlsMode::IstioMutual => {
                let route = match server.is_https {
                    true => None,
                    false => {
                        let route = tcp_server::route(gateway, server, services, clusters, report);
                        let Some(route) = route else { continue };
                        Some(route)
                    }
                };
                let Some(server_names) = chains.claim_hosts(gateway, server, report) else {
                    continue;
                };
                if mode == TlsMode::IstioMutual {
                    not_here(
                        (gateway, server),
                        "ISTIO_MUTUAL takes the certificates of a mesh, and there is none here: connections to this server are closed.",
                        "Write `mode: MUTUAL` with a `credentialName`.",
                        report,
                    );
                }
                let mut report = report.on("Gateway", &gateway.key);
                let tls = server_tls::ended::build(gateway, server, credentials, &mut report);
                chains.all.push(FilterChain {
                    origin: server.origin(gateway),
                    server_names,
                    serves: match route {
                        Some(route) => ChainContent::Tcp { tls, route },
                        None => ChainContent::Http {
                            tls,
                            virtual_hosts: virtual_hosts::build(
                                &[(gateway, server)],
                                services,
                                clusters,
                                lists,
                                work,
                            ),
                        },
                    },
                });
            }
        }
    }
    let Chains { all, .. } = chains;
    (!all.is_empty()).then(|| merged.server(ServerContent::Tls(all)))
}

/// A mode that means something in a mesh only.
fn not_here(
    (gateway, server): (&Gateway, &gateway::Server),
    message: &str,
    hint: &str,
    report: &mut Report,
) {
    let spec = FieldPath::root("spec");
    let servers = spec.field("servers");
    let path = servers.index(server.index);
    let path = path.field("tls");
    let mut report = report.on("Gateway", &gateway.key);
    report.add(
        codes::NOT_SUPPORTED,
        Level::Error,
        &path.field("mode"),
        message,
        hint,
    );
}

/// Chains for the names that VirtualServices give; the server's own hosts only say whose.
fn pass_through(
    gateway: &Gateway,
    server: &gateway::Server,
    chains: &mut Chains,
    services: &VirtualServices,
    clusters: &mut Clusters<'_>,
    report: &mut Report,
) {
    let listener = Listener {
        gateway: &gateway.key,
        port: server.port,
        has_tls: true,
    };
    let mut is_served = false;
    for index in services.of_gateway(&gateway.key) {
        let service = &services.all[*index];
        if !server
            .index_of_hosts
            .overlaps(&service.hosts, &service.key.namespace)
        {
            continue;
        }
        for tls::Names {
            names,
            rule,
            matched,
        } in tls::names(service, listener)
        {
            is_served = true;
            let owner = || format!("VirtualService {}", service.key);
            let server_names = match chains.claim(names, owner) {
                Ok(server_names) => server_names,
                Err(Taken { name, by }) => {
                    let spec = FieldPath::root("spec");
                    let rules = spec.field("tls");
                    let rule = rules.index(rule);
                    let matches = rule.field("match");
                    report.on("VirtualService", &service.key).add(
                        codes::PORT_CONFLICT,
                        Level::Error,
                        &matches.index(matched).field("sniHosts"),
                        format!("the name `{name}` on port {} is taken by {by}, so this match takes no connection, with none of its names.", server.port),
                        format!("Remove `{name}` from one of the two."),
                    );
                    continue;
                }
            };
            let Some(route) = tls::build(service, rule, listener, clusters) else {
                continue;
            };
            chains.all.push(FilterChain {
                origin: server.origin(gateway),
                server_names,
                serves: ChainContent::PassThrough(route),
            });
        }
    }
    if !is_served {
        let spec = FieldPath::root("spec");
        report.on("Gateway", &gateway.key).add(
            codes::NO_TCP_ROUTE,
            Level::Warning,
            &spec.field("servers").index(server.index).field("port"),
            format!("connections to this server are closed: no VirtualService of this Gateway has a tls route for port {}, and TLS that is passed through goes where its sniHosts say.", server.port),
            "Add `tls: [{match: [{sniHosts: [NAME]}], route: [{destination: {host: NAME}}]}]` to a VirtualService.",
        );
    }
}

/// The chains of a port.
#[derive(Default)]
struct Chains {
    all: Vec<FilterChain>,
    /// The names that are taken, in lower case, and by whom.
    taken: HashMap<String, String>,
}

/// A name that another chain has.
struct Taken {
    name: String,
    by: String,
}

impl Chains {
    /// Takes names for a chain, all or none.
    fn claim<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n String>,
        owner: impl FnOnce() -> String,
    ) -> Result<Vec<Domain>, Taken> {
        let mut wanted: Vec<String> = Vec::new();
        for name in names {
            // What clients ask for says no namespace.
            let name = name.split_once('/').map_or(&**name, |(_, name)| name);
            let name = name.to_ascii_lowercase();
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        if let Some((name, by)) = wanted
            .iter()
            .find_map(|name| self.taken.get_key_value(name))
        {
            return Err(Taken {
                name: name.clone(),
                by: by.clone(),
            });
        }
        let owner = owner();
        for name in &wanted {
            self.taken.insert(name.clone(), owner.clone());
        }
        Ok(wanted.iter().map(|name| hosts::domain(name)).collect())
    }

    /// The names of a server that ends TLS. None, and a finding, if another chain has one of them.
    fn claim_hosts(
        &mut self,
        gateway: &Gateway,
        server: &gateway::Server,
        report: &mut Report,
    ) -> Option<Vec<Domain>> {
        let owner = || format!("Gateway {}", gateway.key);
        let Taken { name, by } = match self.claim(&server.hosts, owner) {
            Ok(names) => return Some(names),
            Err(taken) => taken,
        };
        let spec = FieldPath::root("spec");
        report.on("Gateway", &gateway.key).add(
            codes::PORT_CONFLICT,
            Level::Error,
            &spec.field("servers").index(server.index).field("hosts"),
            format!("the host `{name}` on port {} is taken by {by}, so this server does not listen, with none of its hosts.", server.port),
            format!("Remove `{name}` from one of the two."),
        );
        None
    }
}
