//! `tcp[]`: where connections go that nobody looks into.
//!
//! A Gateway's TCP server takes the first `tcp[]` route that concerns it, of the first
//! VirtualService that has one and a host in common with it (Istio:
//! `buildGatewayNetworkFiltersFromTCPRoutes`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::istio::virtual_service::{L4Match, RouteDestination, TcpRoute};
use crate::codes;
use crate::finding::Level;
use crate::model::{self, RouteOrigin, TcpDestination};
use crate::resources::ObjectKey;
use crate::translate::Settings;
use crate::translate::clusters::Clusters;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::labels;
use crate::translate::report::ObjectReport;
use crate::translate::scalars;
use crate::translate::virtual_service::destination::{self, DestinationTo};
use crate::translate::virtual_service::routes::Listener;
use crate::translate::virtual_service::{VirtualService, place};

/// A `tcp[]` route.
#[derive(Clone, Debug)]
pub(crate) struct TcpRule {
    /// Any must hold; empty: all do.
    matches: Vec<TcpMatch>,
    pub(crate) destinations: Vec<DestinationTo>,
}

/// The part of an L4 match that a gateway looks at.
#[derive(Clone, Debug)]
pub(super) struct TcpMatch {
    port: Option<u16>,
    gateways: Vec<ObjectKey>,
}

impl TcpMatch {
    /// Whether it lets connections of this listener through.
    pub(super) fn concerns(&self, listener: Listener<'_>) -> bool {
        self.port.is_none_or(|port| port == listener.port)
            && (self.gateways.is_empty() || self.gateways.contains(listener.gateway))
    }
}

impl TcpRule {
    fn concerns(&self, listener: Listener<'_>) -> bool {
        self.matches.is_empty()
            || self
                .matches
                .iter()
                .any(|matched| matched.concerns(listener))
    }
}

/// The route of a listener, if one of the VirtualService's concerns it.
pub(crate) fn build(
    service: &VirtualService,
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> Option<model::TcpRoute> {
    let mut rules = service.tcp.iter().enumerate();
    let (index, rule) = rules.find(|(_, rule)| rule.concerns(listener))?;
    Some(route(
        service,
        (index, &rule.destinations),
        listener,
        clusters,
    ))
}

/// The route of a rule: its index, and where it leads.
pub(super) fn route(
    service: &VirtualService,
    (index, destinations): (usize, &[DestinationTo]),
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> model::TcpRoute {
    let mut destination = |to: &DestinationTo| TcpDestination {
        destination: clusters.destination(
            &to.host,
            &to.subset,
            to.port,
            listener.port,
            &service.key.namespace,
        ),
        weight: to.weight,
    };
    model::TcpRoute {
        origin: RouteOrigin {
            virtual_service: Arc::clone(&service.key),
            rule: place(index),
            matched: None,
            position: service.own_position(),
            delegate: None,
        },
        destinations: destinations.iter().map(&mut destination).collect(),
    }
}

/// Reads the `tcp[]` routes of an object.
pub(super) fn parse_tcp(
    routes: &[TcpRoute],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<TcpRule> {
    let mut rules = Vec::with_capacity(routes.len());
    for (i, TcpRoute { matches, route }) in routes.iter().enumerate() {
        let path = path.index(i);
        let matches_path = path.field("match");
        let matches = matches.iter().enumerate().map(|(i, matched)| {
            let L4Match {
                destination_subnets,
                port,
                source_subnet,
                source_labels,
                gateways,
                source_namespace,
            } = matched;
            let common = Common {
                destination_subnets,
                port: *port,
                source_subnet,
                source_labels,
                gateways,
                source_namespace,
            };
            common.parse(namespace, &matches_path.index(i), report)
        });
        let matches = matches.collect();
        let destinations = parse_route("TCP", route, namespace, settings, &path, report);
        rules.push(TcpRule {
            matches,
            destinations,
        });
    }
    rules
}

/// What a match of either kind has.
pub(super) struct Common<'a> {
    pub(super) destination_subnets: &'a [String],
    pub(super) port: u32,
    pub(super) source_subnet: &'a str,
    pub(super) source_labels: &'a BTreeMap<String, String>,
    pub(super) gateways: &'a [String],
    pub(super) source_namespace: &'a str,
}

impl Common<'_> {
    pub(super) fn parse(
        &self,
        namespace: &str,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> TcpMatch {
        if let Some(wrong) = labels::wrong(self.source_labels) {
            report.invalid(
                &path.field("sourceLabels"),
                format!("{wrong}; the object is not used."),
                "",
            );
        }
        let subnets = path.field("destinationSubnets");
        for (i, subnet) in self.destination_subnets.iter().enumerate() {
            if !hosts::is_subnet(subnet) {
                report.invalid(
                    &subnets.index(i),
                    format!(
                        "`{subnet}` is neither a subnet nor an address; the object is not used."
                    ),
                    "Write `10.0.0.0/8`.",
                );
            }
        }
        for (name, is_set) in [
            ("destinationSubnets", !self.destination_subnets.is_empty()),
            ("sourceSubnet", !self.source_subnet.is_empty()),
            ("sourceLabels", !self.source_labels.is_empty()),
            ("sourceNamespace", !self.source_namespace.is_empty()),
        ] {
            if is_set {
                report.add(
                    codes::NO_EFFECT,
                    Level::Warning,
                    &path.field(name),
                    format!("{name} is not looked at by a gateway, nor is it by Istio's: the route takes every connection."),
                    "Remove it, or keep unwanted clients out with a firewall.",
                );
            }
        }
        let gateways_path = path.field("gateways");
        super::check_gateway_names(self.gateways, &gateways_path, report);
        TcpMatch {
            port: match self.port {
                0 => None,
                number => scalars::port(number, &path.field("port"), report),
            },
            gateways: self
                .gateways
                .iter()
                .map(|name| hosts::gateway_key(name, namespace))
                .collect(),
        }
    }
}

pub(super) fn parse_route(
    kind: &str,
    route: &[RouteDestination],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<DestinationTo> {
    let path = path.field("route");
    if route.is_empty() {
        report.invalid(
            &path,
            format!("a {kind} route needs destinations; the object is not used."),
            "Add `route: [{destination: {host: NAME}}]`.",
        );
    }
    destination::parse_l4(route, namespace, settings, &path, report)
}
