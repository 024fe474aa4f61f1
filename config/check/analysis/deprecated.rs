//! Fields and kinds that Istio has given up (IST0002).

use super::Analysis;
use crate::api::istio::http_route::HttpRoute;
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::memory::{Look, ReadServices};
use crate::translate::report::{ObjectReport, Report};

pub(super) fn check(analysis: &Analysis<'_>, read: &mut ReadServices, report: &mut Report) {
    let spec = FieldPath::root("spec");
    for (key, object) in &read.to_look_at(Look::Deprecated) {
        read.look(Look::Deprecated, object, report, |report| {
            delays(&object.body.http, &mut report.on("VirtualService", key));
        });
    }
    for (key, object) in &analysis.resources.sidecars {
        let policy = object.body.outbound_traffic_policy.as_ref();
        if policy.is_some_and(|policy| policy.egress_proxy.is_some()) {
            let policy = spec.field("outboundTrafficPolicy");
            report.on("Sidecar", key).add(
                codes::DEPRECATED,
                Level::Warning,
                &policy.field("egressProxy"),
                "egressProxy is ignored by Istio, and the whole Sidecar by gatehouse.",
                "Remove it.",
            );
        }
    }
    const GONE: [&str; 4] = [
        "ClusterRbacConfig",
        "RbacConfig",
        "ServiceRole",
        "ServiceRoleBinding",
    ];
    for (key, object) in &analysis.resources.custom_resource_definitions {
        let definition = &object.body;
        if definition.group == "rbac.istio.io" && GONE.contains(&&*definition.names.kind) {
            report.on("CustomResourceDefinition", key).add(
                codes::DEPRECATED,
                Level::Warning,
                &spec.field("names"),
                format!(
                    "{} of rbac.istio.io was removed from Istio.",
                    definition.names.kind
                ),
                "Write AuthorizationPolicies of security.istio.io.",
            );
        }
    }
    gateway_api(analysis, report);
    super::mesh::old_providers(analysis, report);
}

fn delays(routes: &[HttpRoute], report: &mut ObjectReport<'_>) {
    let spec = FieldPath::root("spec");
    let http = spec.field("http");
    for (i, route) in routes.iter().enumerate() {
        let delay = route.fault.as_ref().and_then(|fault| fault.delay.as_ref());
        if let Some(delay) = delay.filter(|delay| delay.percent > 0) {
            let hint = format!("Write `percentage: {{value: {}}}`.", delay.percent);
            let rule = http.index(i);
            let fault = rule.field("fault");
            let delay = fault.field("delay");
            report.add(
                codes::DEPRECATED,
                Level::Warning,
                &delay.field("percent"),
                "fault.delay.percent is deprecated.",
                hint,
            );
        }
    }
}

/// CRDs of the Gateway API that are older than Istio 1.32 reads (IST0176).
fn gateway_api(analysis: &Analysis<'_>, report: &mut Report) {
    const OLDEST: [(&str, (u32, u32)); 4] = [
        ("grpcroutes.gateway.networking.k8s.io", (1, 1)),
        ("backendtlspolicies.gateway.networking.k8s.io", (1, 4)),
        ("tlsroutes.gateway.networking.k8s.io", (1, 5)),
        ("tcproutes.gateway.networking.k8s.io", (1, 6)),
    ];
    const VERSION: &str = "gateway.networking.k8s.io/bundle-version";
    for (key, object) in &analysis.resources.custom_resource_definitions {
        let oldest = OLDEST.iter().find(|(name, _)| *name == key.name);
        let Some((_, (major, minor))) = oldest else {
            continue;
        };
        let Some(written) = object.meta.annotations.get(VERSION) else {
            continue;
        };
        let mut parts = written.trim_start_matches('v').split('.');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let (Some(has_major), Some(has_minor)) = (number(), number()) else {
            continue;
        };
        if (has_major, has_minor) < (*major, *minor) {
            let metadata = FieldPath::root("metadata");
            let annotations = metadata.field("annotations");
            report.on("CustomResourceDefinition", key).add(
                codes::OLD_GATEWAY_API,
                Level::Warning,
                &annotations.field(VERSION),
                format!("Istio reads objects of this kind from v{major}.{minor}.0 on, and this is {written}."),
                "Install a newer Gateway API.",
            );
        }
    }
}
