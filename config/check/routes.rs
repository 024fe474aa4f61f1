//! VirtualServices that meet no Gateway.

use std::collections::HashMap;

use crate::check::Configuration;
use crate::codes;
use crate::finding::Level;
use crate::nearest::nearest;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::Gateway;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::virtual_service::VirtualService;

pub(super) fn check(configuration: &Configuration<'_>, report: &mut Report) {
    let gateways: HashMap<&ObjectKey, &Gateway> = configuration
        .gateways
        .iter()
        .map(|gateway| (&gateway.key, gateway))
        .collect();
    let mut by_name: HashMap<&str, Vec<&ObjectKey>> = HashMap::new();
    for key in configuration.resources.gateways.keys() {
        by_name.entry(&key.name).or_default().push(key);
    }
    for service in &configuration.services.all {
        // Without hosts it is a delegate, whose root names the Gateway.
        if service.hosts.is_empty() {
            continue;
        }
        let mut report = report.on("VirtualService", &service.key);
        if service.gateways.is_empty() {
            mesh_only(configuration, service, &mut report);
            continue;
        }
        let namespace = &configuration.settings.namespace;
        if !service.visibility.sees(namespace) {
            report.add(
                codes::NOT_EXPORTED,
                Level::Warning,
                &FieldPath::root("spec").field("exportTo"),
                format!("exportTo hides it from the gateway, which is in the namespace {namespace}: its routes are not served."),
                format!("Add `{namespace}`, or remove exportTo."),
            );
        }
        for (key, place) in service.gateways.iter().zip(&service.gateway_places) {
            match gateways.get(key) {
                Some(gateway) => hosts(service, gateway, &mut report),
                None => missing(configuration, service, key, *place, &by_name, &mut report),
            }
        }
    }
}

fn mesh_only(
    configuration: &Configuration<'_>,
    service: &VirtualService,
    report: &mut ObjectReport<'_>,
) {
    let hint = match configuration.gateways {
        [only] => format!(
            "To serve it here, add `gateways: [{}]`.",
            display(&only.key, &service.key.namespace)
        ),
        _ => "To serve it here, add `gateways: [NAMESPACE/NAME]`.".to_owned(),
    };
    report.add(
        codes::MESH_ONLY,
        Level::Info,
        &FieldPath::root("spec"),
        "it names no gateway, which means sidecars only: it does nothing at an ingress gateway.",
        hint,
    );
}

fn missing(
    configuration: &Configuration<'_>,
    service: &VirtualService,
    key: &ObjectKey,
    place: usize,
    by_name: &HashMap<&str, Vec<&ObjectKey>>,
    report: &mut ObjectReport<'_>,
) {
    let spec = FieldPath::root("spec");
    let list = spec.field("gateways");
    let path = list.index(place);
    if configuration.resources.gateways.contains_key(key) {
        report.add(
            codes::REFERENCE,
            Level::Error,
            &path,
            format!("the Gateway {key} is wrong and not in force, so these routes are not served through it."),
            "Mend the Gateway.",
        );
        return;
    }
    let own = &service.key.namespace;
    // The same name elsewhere first, then a similar one: near ones before those far off.
    let elsewhere = by_name.get(key.name.as_str()).and_then(|keys| keys.first());
    let similar = || {
        let name = nearest(&key.name, by_name.keys().copied())?;
        let keys = by_name.get(name)?;
        keys.iter()
            .find(|other| other.namespace == key.namespace)
            .or(keys.first())
    };
    let hint = match elsewhere.or_else(similar) {
        Some(other) => format!("Did you mean `{}`?", display(other, own)),
        None => String::new(),
    };
    report.add(
        codes::REFERENCE,
        Level::Error,
        &path,
        format!("there is no Gateway {key}, so these routes are not served through it."),
        hint,
    );
}

/// As it is written in an object of `namespace`.
fn display(key: &ObjectKey, namespace: &str) -> String {
    if key.namespace == namespace {
        key.name.clone()
    } else {
        key.to_string()
    }
}

fn hosts(service: &VirtualService, gateway: &Gateway, report: &mut ObjectReport<'_>) {
    let namespace = &service.key.namespace;
    let mut servers = gateway.servers.iter();
    if servers.any(|server| server.index_of_hosts.overlaps(&service.hosts, namespace)) {
        return;
    }
    let listed: Vec<_> = gateway
        .servers
        .iter()
        .flat_map(|server| &server.hosts)
        .collect();
    let listed: Vec<_> = listed.iter().take(5).map(|host| host.as_str()).collect();
    report.add(
        codes::HOST_NOT_IN_GATEWAY,
        Level::Warning,
        &FieldPath::root("spec").field("hosts"),
        format!(
            "none of its hosts is served by Gateway {}, which has {}: no request reaches these routes through it.",
            gateway.key,
            listed.join(", ")
        ),
        "Add the host to the Gateway's server, or change it here.",
    );
}
