//! Istio's annotations on the wrong object, with wrong values, deprecated or unknown (IST0107,
//! IST0108, IST0125, IST0135).

use super::Analysis;
use crate::codes;
use crate::finding::Level;
use crate::nearest::nearest;
use crate::resources::{Metadata, Objects};
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let resources = analysis.resources;
    of("Namespace", &resources.namespaces, report);
    of("Service", &resources.services, report);
    of("Pod", &resources.pods, report);
    of("Deployment", &resources.deployments, report);
}

fn of<T>(kind: &'static str, objects: &Objects<T>, report: &mut Report) {
    for (key, object) in objects {
        for (name, value) in &object.meta.annotations {
            if let Some((code, level, message, hint)) = judge(kind, &object.meta, name, value) {
                let metadata = FieldPath::root("metadata");
                let annotations = metadata.field("annotations");
                let path = annotations.field(name);
                report.on(kind, key).add(code, level, &path, message, hint);
            }
            if let Some(hint) = deprecated(&object.meta, name) {
                let metadata = FieldPath::root("metadata");
                let annotations = metadata.field("annotations");
                report.on(kind, key).add(
                    codes::DEPRECATED_ANNOTATION,
                    Level::Info,
                    &annotations.field(name),
                    format!("the annotation `{name}` is deprecated."),
                    hint,
                );
            }
        }
    }
}

type Judgement = (&'static str, Level, String, String);

fn judge(kind: &str, meta: &Metadata, name: &str, value: &str) -> Option<Judgement> {
    if !is_istio(name) || ALWAYS_FINE.contains(&name) {
        return None;
    }
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        let near = nearest(name, KNOWN.iter().map(|known| known.name));
        let hint = near.map_or(String::new(), |near| format!("Did you mean `{near}`?"));
        let message = format!("nobody knows the annotation `{name}`: it has no effect.");
        return Some((codes::UNKNOWN_ANNOTATION, Level::Warning, message, hint));
    };
    let _ = meta;
    if known.on.contains(&"Any") {
        return None;
    }
    if !known.on.contains(&kind) {
        let message = format!("the annotation `{name}` has no effect on a {kind}.");
        let hint = format!("It belongs on a {}.", known.on.join(", "));
        return Some((codes::MISPLACED_ANNOTATION, Level::Warning, message, hint));
    }
    let wrong = known.value.wrong(value)?;
    let message = format!("the value of `{name}` is wrong: {wrong}.");
    Some((
        codes::INVALID_ANNOTATION,
        Level::Warning,
        message,
        String::new(),
    ))
}

/// What to write in place of a deprecated annotation.
fn deprecated(meta: &Metadata, name: &str) -> Option<&'static str> {
    const INJECT: &str = "sidecar.istio.io/inject";
    let known = KNOWN.iter().find(|known| known.name == name)?;
    if !known.deprecated {
        return None;
    }
    match name {
        // Who has both means it for older versions.
        INJECT if meta.labels.contains_key(INJECT) => None,
        INJECT => Some("Write it as a label of the same name."),
        _ => Some("Remove it."),
    }
}

fn is_istio(name: &str) -> bool {
    let domain = name.split('/').next().unwrap_or_default();
    name == "kubernetes.io/ingress.class" || domain.ends_with("istio.io")
}

/// Controllers write them.
const ALWAYS_FINE: [&str; 3] = [
    "sidecar.istio.io/status",
    "gateway.istio.io/controller-version",
    "istio.io/rev",
];

/// An annotation that Istio knows.
struct Known {
    name: &'static str,
    on: &'static [&'static str],
    deprecated: bool,
    value: Value,
}

/// What an annotation's value must be.
#[derive(Clone, Copy)]
enum Value {
    Anything,
    Interception,
    Port,
    Ports,
    PortsOrAll,
    Number,
    Networks,
    NetworksOrAll,
    Boolean,
    Quantity,
    Interfaces,
}

impl Value {
    /// What is wrong with a value (Istio: `AnnotationValidation`).
    fn wrong(self, value: &str) -> Option<String> {
        let port = |text: &str| text.trim().parse::<u16>().is_ok();
        let network = |text: &str| {
            let Some((address, length)) = text.split_once('/') else {
                return false;
            };
            let most = match address.parse::<std::net::IpAddr>() {
                Ok(address) if address.is_ipv4() => 32,
                Ok(_) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= most)
        };
        let all = |fits: &dyn Fn(&str) -> bool| {
            let trimmed = value.trim();
            trimmed.is_empty() || trimmed.split(',').all(fits)
        };
        let (fits, wanted) = match self {
            Self::Anything => (true, ""),
            Self::Interception => (
                matches!(value, "REDIRECT" | "TPROXY" | "NONE"),
                "one of REDIRECT, TPROXY and NONE",
            ),
            Self::Port => (port(value), "a port"),
            Self::Ports => (all(&port), "a list of ports"),
            Self::PortsOrAll => (value == "*" || all(&port), "`*` or a list of ports"),
            Self::Number => (value.parse::<u32>().is_ok(), "a whole number"),
            Self::Networks => (all(&network), "a list of networks such as 10.0.0.0/8"),
            Self::NetworksOrAll => (
                value == "*" || all(&network),
                "`*` or a list of networks such as 10.0.0.0/8",
            ),
            Self::Boolean => (
                matches!(
                    value,
                    "1" | "t"
                        | "T"
                        | "true"
                        | "TRUE"
                        | "True"
                        | "0"
                        | "f"
                        | "F"
                        | "false"
                        | "FALSE"
                        | "False"
                ),
                "true or false",
            ),
            Self::Quantity => (is_quantity(value), "a quantity such as 100m or 128Mi"),
            Self::Interfaces => (
                all(&|name| {
                    let plain = |b: u8| b.is_ascii_graphic() && b != b'/';
                    !name.is_empty() && name.len() < 16 && name.bytes().all(plain)
                }),
                "a list of interfaces",
            ),
        };
        (!fits).then(|| format!("{wanted} is expected"))
    }
}

/// A quantity of Kubernetes: a number with an SI or binary suffix, or an exponent.
fn is_quantity(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    const SUFFIXES: &[&str] = &[
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let exponent = suffix.strip_prefix(['e', 'E']);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    digits > 0
        && number.matches('.').count() <= 1
        && (SUFFIXES.contains(&suffix)
            || exponent.is_some_and(|exponent| exponent.parse::<i32>().is_ok()))
}

const fn on(
    on: &'static [&'static str],
    name: &'static str,
    deprecated: bool,
    value: Value,
) -> Known {
    Known {
        name,
        on,
        deprecated,
        value,
    }
}

/// Every annotation of Istio's API (istio.io/latest/docs/reference/config/annotations).
const KNOWN: &[Known] = &[
    on(
        &["Service"],
        "alpha.istio.io/canonical-serviceaccounts",
        true,
        Value::Anything,
    ),
    on(
        &["Service"],
        "alpha.istio.io/kubernetes-serviceaccounts",
        true,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "ambient.istio.io/bypass-inbound-capture",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "ambient.istio.io/dns-capture",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "ambient.istio.io/redirection",
        false,
        Value::Anything,
    ),
    on(
        &["GatewayClass", "Gateway"],
        "ambient.istio.io/waypoint-inbound-binding",
        false,
        Value::Anything,
    ),
    on(
        &["Any"],
        "galley.istio.io/analyze-suppress",
        false,
        Value::Anything,
    ),
    on(
        &["Any"],
        "gateway.istio.io/controller-version",
        false,
        Value::Anything,
    ),
    on(
        &["Gateway"],
        "gateway.istio.io/name-override",
        false,
        Value::Anything,
    ),
    on(
        &["Gateway"],
        "gateway.istio.io/service-account",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "inject.istio.io/templates",
        false,
        Value::Anything,
    ),
    on(
        &["WorkloadEntry"],
        "istio.io/autoRegistrationGroup",
        false,
        Value::Anything,
    ),
    on(
        &["WorkloadEntry"],
        "istio.io/connectedAt",
        false,
        Value::Anything,
    ),
    on(
        &["WorkloadEntry"],
        "istio.io/disconnectedAt",
        false,
        Value::Anything,
    ),
    on(
        &["AuthorizationPolicy"],
        "istio.io/dry-run",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "istio.io/reroute-virtual-interfaces",
        false,
        Value::Interfaces,
    ),
    on(&["Pod"], "istio.io/rev", false, Value::Anything),
    on(
        &["Service", "ServiceEntry", "Namespace"],
        "istio.io/use-waypoint-canary-weight",
        false,
        Value::Anything,
    ),
    on(
        &["WorkloadEntry"],
        "istio.io/workloadController",
        false,
        Value::Anything,
    ),
    on(
        &["Ingress"],
        "kubernetes.io/ingress.class",
        false,
        Value::Anything,
    ),
    on(
        &["Service"],
        "networking.istio.io/exportTo",
        false,
        Value::Anything,
    ),
    on(
        &["Gateway"],
        "networking.istio.io/service-type",
        false,
        Value::Anything,
    ),
    on(
        &["Namespace", "Service", "ServiceEntry"],
        "networking.istio.io/traffic-distribution",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "prometheus.istio.io/merge-metrics",
        false,
        Value::Boolean,
    ),
    on(&["Pod"], "proxy.istio.io/config", false, Value::Anything),
    on(&["Pod"], "proxy.istio.io/overrides", false, Value::Anything),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/applicationPorts",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/failureThreshold",
        false,
        Value::Number,
    ),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
        false,
        Value::Number,
    ),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/periodSeconds",
        false,
        Value::Number,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/agentLogLevel",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/bootstrapOverride",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/componentLogLevel",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/discoveryAddress",
        true,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/extraStatTags",
        true,
        Value::Anything,
    ),
    on(&["Pod"], "sidecar.istio.io/inject", true, Value::Anything),
    on(
        &["Pod"],
        "sidecar.istio.io/interceptionMode",
        false,
        Value::Interception,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/logLevel",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/nativeSidecar",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyCPU",
        false,
        Value::Quantity,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyCPULimit",
        false,
        Value::Quantity,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyImage",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyImageType",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyMemory",
        false,
        Value::Quantity,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/proxyMemoryLimit",
        false,
        Value::Quantity,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/rewriteAppHTTPProbers",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsCompression",
        true,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsEvictionInterval",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsFlushInterval",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsHistogramBins",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsHistogramBuckets",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsInclusionPrefixes",
        true,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsInclusionRegexps",
        true,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/statsInclusionSuffixes",
        true,
        Value::Anything,
    ),
    on(&["Pod"], "sidecar.istio.io/status", false, Value::Anything),
    on(
        &["Pod"],
        "sidecar.istio.io/userVolume",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "sidecar.istio.io/userVolumeMount",
        false,
        Value::Anything,
    ),
    on(&["Pod"], "status.sidecar.istio.io/port", false, Value::Port),
    on(
        &["Namespace"],
        "topology.istio.io/controlPlaneClusters",
        false,
        Value::Anything,
    ),
    on(
        &["Service"],
        "traffic.istio.io/nodeSelector",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/excludeInboundPorts",
        false,
        Value::Ports,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/excludeInterfaces",
        false,
        Value::Interfaces,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        false,
        Value::Networks,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        false,
        Value::Ports,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/includeInboundPorts",
        false,
        Value::PortsOrAll,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        false,
        Value::NetworksOrAll,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/includeOutboundPorts",
        false,
        Value::Anything,
    ),
    on(
        &["Pod"],
        "traffic.sidecar.istio.io/kubevirtInterfaces",
        true,
        Value::Interfaces,
    ),
];
