//! VirtualServices that meet no Gateway.

use std::collections::HashSet;

use crate::check::Configuration;
use crate::codes;
use crate::finding::Level;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::virtual_service::VirtualService;

pub(super) fn check(configuration: &Configuration<'_>, report: &mut Report) {
    let gateways: HashSet<&ObjectKey> = configuration
        .gateways
        .iter()
        .map(|gateway| &*gateway.key)
        .collect();
    let mut delegates = None;
    for service in &configuration.services.all {
        // Without hosts it is a delegate, whose root names the Gateway.
        if service.hosts.is_empty() {
            let delegates = delegates.get_or_insert_with(|| named_delegates(configuration));
            if !delegates.contains(&*service.key) {
                report.on("VirtualService", &service.key).add(
                    codes::IDLE_DELEGATE,
                    Level::Warning,
                    &FieldPath::root("spec"),
                    "it has no hosts, and no rule of another VirtualService delegates to it: its routes serve nobody.",
                    format!(
                        "Add `hosts` and `gateways`, or name it in a rule: `delegate: {{name: {}, namespace: {}}}`.",
                        service.key.name, service.key.namespace
                    ),
                );
            }
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
            if gateways.contains(key) || !configuration.resources.gateways.contains_key(key) {
                continue;
            }
            let spec = FieldPath::root("spec");
            let list = spec.field("gateways");
            report.add(
                codes::NOT_AT_GATEWAY,
                Level::Error,
                &list.index(*place),
                format!("the Gateway {key} is wrong and not in force, so these routes are not served through it."),
                "Mend the Gateway.",
            );
        }
    }
}

/// The VirtualServices that rules delegate to, also those of objects that are wrong elsewhere.
fn named_delegates(configuration: &Configuration<'_>) -> HashSet<ObjectKey> {
    let all = configuration.resources.virtual_services.iter();
    all.flat_map(|(key, object)| {
        let rules = object.body.http.iter();
        let delegates = rules.filter_map(|rule| rule.delegate.as_ref());
        delegates.map(|delegate| {
            let namespace = match delegate.namespace.as_str() {
                "" => key.namespace.as_str(),
                given => given,
            };
            ObjectKey::new(namespace, delegate.name.as_str())
        })
    })
    .collect()
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
    let spec = FieldPath::root("spec");
    let (field, what) = if service.object.body.gateways.is_empty() {
        (spec, "it names no gateway")
    } else {
        (spec.field("gateways"), "it names `mesh` alone")
    };
    report.add(
        codes::MESH_ONLY,
        Level::Info,
        &field,
        format!("{what}, which means sidecars only: it does nothing at an ingress gateway."),
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
