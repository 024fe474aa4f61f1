//! `tls[]`: where connections go by the name that is asked for, with TLS unopened.
//!
//! A Gateway's server that passes TLS through has a chain for each match that concerns it, of every
//! VirtualService with a host in common with it (Istio: `buildGatewayNetworkFiltersFromTLSRoutes`).

use std::net::IpAddr;

use crate::api::istio::virtual_service::{TlsMatch as Api, TlsRoute};
use crate::model;
use crate::translate::Settings;
use crate::translate::clusters::Clusters;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::VirtualService;
use crate::translate::virtual_service::destination::DestinationTo;
use crate::translate::virtual_service::routes::Listener;
use crate::translate::virtual_service::tcp::{self, Common, TcpMatch};

/// A `tls[]` route.
#[derive(Clone, Debug)]
pub(crate) struct TlsRule {
    matches: Vec<TlsMatch>,
    pub(crate) destinations: Vec<DestinationTo>,
}

#[derive(Clone, Debug)]
struct TlsMatch {
    server_names: Vec<String>,
    matched: TcpMatch,
}

/// The names of a match that concerns a listener, and where they are written.
pub(crate) struct Names<'s> {
    pub(crate) names: &'s [String],
    pub(crate) rule: usize,
    pub(crate) matched: usize,
}

/// The matches of an object that concern a listener, in their order.
pub(crate) fn names<'s>(
    service: &'s VirtualService,
    listener: Listener<'_>,
) -> impl Iterator<Item = Names<'s>> {
    let rules = service.tls.iter().enumerate();
    rules.flat_map(move |(rule, TlsRule { matches, .. })| {
        let concerned = matches.iter().enumerate();
        let concerned = concerned.filter(move |(_, matched)| matched.matched.concerns(listener));
        concerned.map(move |(matched, TlsMatch { server_names, .. })| Names {
            names: server_names,
            rule,
            matched,
        })
    })
}

/// The route of a rule.
pub(crate) fn build(
    service: &VirtualService,
    rule: usize,
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> Option<model::TcpRoute> {
    let TlsRule { destinations, .. } = service.tls.get(rule)?;
    Some(tcp::route(
        service,
        (rule, destinations),
        listener,
        clusters,
    ))
}

/// Reads the `tls[]` routes of an object; `served` are its `hosts`.
pub(super) fn parse(
    routes: &[TlsRoute],
    served: &[String],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<TlsRule> {
    let mut rules = Vec::with_capacity(routes.len());
    for (i, TlsRoute { matches, route }) in routes.iter().enumerate() {
        let path = path.index(i);
        let matches_path = path.field("match");
        if matches.is_empty() {
            report.invalid(
                &matches_path,
                "a TLS route needs a match with sniHosts; the object is not used.",
                "",
            );
        }
        let matches = matches.iter().enumerate().map(|(i, matched)| {
            let path = matches_path.index(i);
            let Api {
                sni_hosts,
                destination_subnets,
                port,
                source_labels,
                gateways,
                source_namespace,
            } = matched;
            check_sni_hosts(sni_hosts, served, &path.field("sniHosts"), report);
            let common = Common {
                destination_subnets,
                port: *port,
                source_subnet: "",
                source_labels,
                gateways,
                source_namespace,
            };
            TlsMatch {
                server_names: sni_hosts.clone(),
                matched: common.parse(namespace, &path, report),
            }
        });
        let matches = matches.collect();
        rules.push(TlsRule {
            matches,
            destinations: tcp::parse_route("TLS", route, namespace, settings, &path, report),
        });
    }
    rules
}

fn check_sni_hosts(
    names: &[String],
    served: &[String],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    if names.is_empty() {
        report.invalid(
            path,
            "a TLS match needs at least one name; the object is not used.",
            "Add `sniHosts: [NAME]`.",
        );
    }
    for (i, name) in names.iter().enumerate() {
        let path = path.index(i);
        if let Some(wrong) = hosts::wildcard_domain_error(name) {
            if hosts::is_generated_name(name) {
                // As Istio makes them: their wildcards are the hosts'.
            } else if name.parse::<IpAddr>().is_err() {
                report.invalid(
                    &path,
                    format!("the name `{name}` is wrong: {wrong}; the object is not used."),
                    hosts::nearest_valid(name),
                );
                continue;
            } else {
                report.questionable(
                    &path,
                    format!("`{name}` is an address, and clients send no addresses as SNI."),
                    "Write the host's name.",
                );
            }
        }
        if !served.iter().any(|host| hosts::is_subset(name, host)) {
            report.invalid(
                &path,
                format!(
                    "the name `{name}` is not among the object's hosts ({}); the object is not used.",
                    served.join(", ")
                ),
                format!("Add `{name}` to `hosts`."),
            );
        }
    }
}
