//! Deployments that several Services disagree about (IST0116, IST0137), and applications that run
//! as the sidecar's user (IST0144).

use std::collections::{BTreeMap, BTreeSet};

use super::port_names::is_control_plane;
use super::{Analysis, injection, selects};
use crate::api::core::{IntOrString, Service, ServicePort};
use crate::api::workload::{Pod, SecurityContext};
use crate::codes;
use crate::finding::Level;
use crate::resources::{Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};

/// The user that Istio's sidecar runs as; its traffic is not captured.
const SIDECAR_USER: i64 = 1337;

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    for (key, object) in &analysis.resources.pods {
        if !is_control_plane(&object.meta) {
            user(&object.body, "spec", &mut report.on("Pod", key));
        }
    }
    for (key, object) in &analysis.resources.deployments {
        let mut report = report.on("Deployment", key);
        let template = &object.body.template;
        if !is_control_plane(&object.meta) {
            user(&template.spec, "spec", &mut report);
        }
        let manager = object.meta.labels.get("gateway.istio.io/managed");
        let is_waypoint = manager.is_some_and(|manager| manager == "istio.io-mesh-controller");
        let labels = (&template.metadata.labels, &template.metadata.annotations);
        if is_waypoint || !injection::is_in_mesh(analysis, &key.namespace, labels, &template.spec) {
            continue;
        }
        let services: Vec<_> = analysis
            .resources
            .services
            .iter()
            .filter(|(service, object)| {
                let spec = object.body.spec.as_ref();
                let selector = spec.and_then(|spec| spec.selector.as_ref());
                service.namespace == key.namespace
                    && selector.is_some_and(|selector| {
                        !selector.is_empty() && selects(selector, &template.metadata.labels)
                    })
            })
            .map(|(key, object)| (key, &**object))
            .collect();
        protocols(&services, &mut report);
        target_ports(&services, &mut report);
    }
}

fn user(pod: &Pod, field: &'static str, report: &mut ObjectReport<'_>) {
    let is_sidecar = |context: &Option<SecurityContext>| {
        context.as_ref().and_then(|context| context.run_as_user) == Some(SIDECAR_USER)
    };
    let mut containers = pod.containers.iter();
    let application = containers.any(|container| {
        let own = matches!(container.name.as_str(), "istio-proxy" | "istio-operator");
        !own && is_sidecar(&container.security_context)
    });
    if application || is_sidecar(&pod.security_context) {
        report.add(
            codes::SIDECAR_USER,
            Level::Warning,
            &FieldPath::root(field),
            "it runs as the user 1337, which is the sidecar's own: its traffic does not go through a sidecar.",
            "Run it as another user.",
        );
    }
}

fn ports(service: &Object<Service>) -> impl Iterator<Item = &ServicePort> {
    let spec = service.body.spec.iter();
    spec.flat_map(|spec| &spec.ports).flatten()
}

/// One port that is TCP to one Service and UDP to another.
fn protocols(services: &[(&ObjectKey, &Object<Service>)], report: &mut ObjectReport<'_>) {
    let mut by_port: BTreeMap<i32, BTreeMap<&str, Vec<&ObjectKey>>> = BTreeMap::new();
    for (key, service) in services {
        for port in ports(service) {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let of_port = by_port.entry(port.port).or_default();
            of_port.entry(protocol).or_default().push(key);
        }
    }
    for (port, protocols) in by_port.iter().filter(|(_, protocols)| protocols.len() > 1) {
        let names: BTreeSet<_> = protocols
            .values()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let names: Vec<_> = names.into_iter().collect();
        report.add(
            codes::TWO_PROTOCOLS,
            Level::Warning,
            &FieldPath::root("spec").field("template"),
            format!(
                "the Services {} lead to its port {port} with different protocols.",
                names.join(", ")
            ),
            "Sidecars take one protocol for a port: give them different ports.",
        );
    }
}

/// One target port that several ports lead to.
fn target_ports(services: &[(&ObjectKey, &Object<Service>)], report: &mut ObjectReport<'_>) {
    let mut by_target: BTreeMap<String, BTreeMap<i32, &ObjectKey>> = BTreeMap::new();
    for (key, service) in services {
        for port in ports(service) {
            let target = match &port.target_port {
                Some(IntOrString::Int(target)) if *target != 0 => target.to_string(),
                Some(IntOrString::String(name)) if !name.is_empty() => name.clone(),
                _ => port.port.to_string(),
            };
            by_target.entry(target).or_default().insert(port.port, key);
        }
    }
    for (target, ports) in by_target.iter().filter(|(_, ports)| ports.len() > 1) {
        let text: Vec<_> = ports
            .iter()
            .map(|(port, key)| format!("{port} of {key}"))
            .collect();
        report.add(
            codes::CONFLICTING_PORTS,
            Level::Warning,
            &FieldPath::root("spec").field("template"),
            format!(
                "several ports of Services ({}) lead to its port {target}.",
                text.join(", ")
            ),
            "Sidecars tell them apart by the port: give each its own.",
        );
    }
}
