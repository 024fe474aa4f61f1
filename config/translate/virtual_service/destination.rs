//! `http[].route[]`: where requests go, by weight.

use crate::api::istio::destination::{Destination, PortSelector};
use crate::api::istio::http_route::HttpRouteDestination;
use crate::api::istio::virtual_service::RouteDestination;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::port;
use crate::translate::virtual_service::headers::{self, Edits};

/// One destination, before it is looked up.
#[derive(Clone, Debug)]
pub(crate) struct DestinationTo {
    /// The full name.
    pub(crate) host: String,
    pub(crate) subset: String,
    pub(crate) port: Option<u16>,
    pub(crate) weight: u32,
    pub(crate) headers: Edits,
    /// Its place in `route`.
    pub(crate) index: usize,
}

/// Reads the destinations; of several, those with weight 0 are left out.
pub(super) fn parse_all(
    destinations: &[HttpRouteDestination],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<DestinationTo> {
    let single = destinations.len() == 1;
    let mut parsed = Vec::with_capacity(destinations.len());
    let mut total = 0u64;
    for (i, entry) in destinations.iter().enumerate() {
        let path = path.index(i);
        let HttpRouteDestination {
            destination,
            weight,
            headers: header_edits,
        } = entry;
        if *weight < 0 {
            report.invalid(
                &path.field("weight"),
                format!("the weight {weight} is below zero; the object is not used."),
                "",
            );
        }
        let share = u32::try_from(*weight).unwrap_or(0);
        total += u64::from(share);
        let edits = match header_edits {
            Some(edits) => headers::parse(edits, &path.field("headers"), report),
            None => Edits::default(),
        };
        let Some(destination) = destination else {
            report.invalid(
                &path,
                "a destination is missing; the object is not used.",
                "",
            );
            continue;
        };
        let found = parse(
            destination,
            namespace,
            settings,
            &path.field("destination"),
            report,
        );
        // Shares of zero get nothing, but the weight of a single destination means nothing.
        if single || share > 0 {
            parsed.push(DestinationTo {
                weight: if single { 1 } else { share },
                headers: edits,
                index: i,
                ..found
            });
        }
    }
    if !single && !destinations.is_empty() && total == 0 {
        report.invalid(
            path,
            "the weights sum to zero, so no destination would get a request; the object is not used.",
            "Give each destination its share, such as `weight: 50`.",
        );
    }
    parsed
}

/// The same for the destinations of a TCP or TLS route, which edit no headers.
pub(super) fn parse_l4(
    destinations: &[RouteDestination],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<DestinationTo> {
    let destinations: Vec<_> = destinations
        .iter()
        .map(|entry| HttpRouteDestination {
            destination: entry.destination.clone().map(Box::new),
            weight: entry.weight,
            headers: None,
        })
        .collect();
    parse_all(&destinations, namespace, settings, path, report)
}

/// Reads one destination.
pub(super) fn parse(
    destination: &Destination,
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> DestinationTo {
    let Destination {
        host,
        subset,
        port: selector,
    } = destination;
    let wrong = if host == "*" {
        Some("`*` is no destination".to_owned())
    } else if hosts::is_ip(host) {
        // Istio takes its labels for a host name's and refuses the last one.
        Some("an IP address is no destination".to_owned())
    } else {
        hosts::wildcard_domain_error(host)
    };
    if let Some(wrong) = wrong {
        report.invalid(
            &path.field("host"),
            format!("the destination host `{host}` is wrong: {wrong}; the object is not used."),
            "Name a Service, or a host of a ServiceEntry.",
        );
    }
    if !subset.is_empty() && !hosts::is_label(subset) {
        report.invalid(
            &path.field("subset"),
            format!("`{subset}` is not a subset's name; the object is not used."),
            "",
        );
    }
    let number = selector.as_ref().and_then(|PortSelector { number }| {
        port(*number, &path.field("port").field("number"), report)
    });
    DestinationTo {
        host: hosts::qualify(host, namespace, &settings.cluster_domain),
        subset: subset.to_string(),
        port: number,
        weight: 1,
        headers: Edits::default(),
        index: 0,
    }
}
