//! Names of Services' ports, which say what is spoken there (IST0118, IST0150).

use super::Analysis;
use crate::api::core::ServicePort;
use crate::codes;
use crate::finding::Level;
use crate::resources::Metadata;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

/// SMTP, DNS, MySQL, MongoDB: what is spoken there is known, and carried as TCP.
const WELL_KNOWN: [i32; 4] = [25, 53, 3306, 27017];

const PROTOCOLS: &[&str] = &[
    "tcp",
    "udp",
    "grpc",
    "grpc-web",
    "http",
    "http_proxy",
    "http2",
    "https",
    "tls",
    "mongo",
    "redis",
    "mysql",
];

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let spec = FieldPath::root("spec");
    let ports = spec.field("ports");
    for (key, object) in &analysis.resources.services {
        let is_system = super::injection::is_ignored(&key.namespace);
        if is_system || is_control_plane(&object.meta) || is_managed(&object.meta) {
            continue;
        }
        let Some(spec) = &object.body.spec else {
            continue;
        };
        let is_alias = spec.type_.as_deref() == Some("ExternalName");
        let mut report = report.on("Service", key);
        for (i, port) in spec.ports.iter().flatten().enumerate() {
            let name = port.name.as_deref().unwrap_or_default();
            if is_told(port) && !(is_alias && name == "tcp") {
                continue;
            }
            let path = ports.index(i);
            if is_alias {
                report.add(
                    codes::EXTERNAL_NAME_PORT,
                    Level::Warning,
                    &path.field("name"),
                    format!("the name `{name}` of the port of an ExternalName Service does not say which protocol is spoken there: Istio takes it for TCP on every address of the port."),
                    "Begin the name with the protocol, such as `http-`, `https-` or `tcp-`.",
                );
            } else {
                report.add(
                    codes::PORT_NAME,
                    Level::Info,
                    &path.field("name"),
                    match name {
                        "" => format!(
                            "port {} has no name and no appProtocol that says what is spoken there: a gateway takes it for HTTP/1.1.",
                            port.port
                        ),
                        name => format!(
                            "neither the name `{name}` nor appProtocol says what is spoken at port {}: a gateway takes it for HTTP/1.1.",
                            port.port
                        ),
                    },
                    "Begin the name with the protocol, such as `http-`, `grpc-` or `tcp-`.",
                );
            }
        }
    }
}

/// Whether the protocol is told (Istio: `ConvertProtocol`).
fn is_told(port: &ServicePort) -> bool {
    if port.protocol.as_deref() == Some("UDP") || WELL_KNOWN.contains(&port.port) {
        return true;
    }
    let name = port.app_protocol.as_deref().or(port.name.as_deref());
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let standard = ["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];
    let prefix = name.split('-').next().unwrap_or_default();
    (port.app_protocol.is_some() && standard.contains(&name.as_str()))
        || name.starts_with("grpc-web")
        || PROTOCOLS.contains(&prefix)
}

/// Whether an object is a part of Istio itself.
pub(super) fn is_control_plane(meta: &Metadata) -> bool {
    let release = meta.labels.get("release").map(String::as_str);
    meta.labels.contains_key("istio") || release == Some("istio")
}

/// Whether a controller made the Service for a Gateway of the Gateway API.
fn is_managed(meta: &Metadata) -> bool {
    let manager = meta.labels.get("gateway.istio.io/managed");
    manager.is_some_and(|manager| {
        matches!(
            manager.as_str(),
            "istio.io-gateway-controller"
                | "istio.io-mesh-controller"
                | "istio.io-eastwest-controller"
        )
    })
}
