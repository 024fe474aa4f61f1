//! Services of type LoadBalancer: which address they ask for and what is behind it.

mod request;

use std::collections::{BTreeMap, HashSet};

pub use request::deprecated_annotations;

use request::request;

use crate::api::core;
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::model::{GatewayService, Port, Service, TrafficPolicy};
use crate::resources::{Object, Origin, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::registry::{Registry, port};
use crate::translate::report::{ObjectReport, Report};
use crate::translate::source_ranges::source_ranges;

/// Istio's label of Services whose ports are not translated to their target ports.
const KEEP_PORTS: &str = "experimental.istio.io/disable-gateway-port-translation";

/// The Services that want an address from us, oldest first.
pub(crate) fn services(
    resources: &Resources,
    registry: &Registry<'_>,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Service> {
    let mut services: Vec<_> = resources
        .services
        .values()
        .filter_map(|object| service(object, resources, registry, settings, report))
        .collect();
    services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    services
}

/// The other Services that select the gateway, oldest first: of another type, or for another load
/// balancer. What is wrong with their ports is theirs.
pub(crate) fn gateway_services(
    resources: &Resources,
    registry: &Registry<'_>,
    settings: &Settings,
) -> Vec<GatewayService> {
    let mut report = Report::default();
    let of = |object: &Object<core::Service>| {
        let spec = object.body.spec.as_ref()?;
        let type_ = spec.type_.as_deref();
        if type_ == Some("ExternalName")
            || (type_ == Some("LoadBalancer") && is_ours(spec, settings))
        {
            return None;
        }
        let selector = spec.selector.as_ref()?;
        let mut report = report.on("Service", &object.meta.key);
        selects_gateway(object, selector, settings, &mut report).then(|| GatewayService {
            key: object.meta.key.clone(),
            keeps_ports: keeps_ports(object),
            ports: ports(object, spec, registry, &mut report),
            created: object.meta.created,
        })
    };
    let mut services: Vec<_> = resources
        .services
        .values()
        .map(|object| &**object)
        .filter_map(of)
        .collect();
    services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    services
}

/// Whether a LoadBalancer Service is of the class that is served here (MetalLB's `--lb-class`).
fn is_ours(spec: &core::ServiceSpec, settings: &Settings) -> bool {
    spec.load_balancer_class == settings.load_balancer_class
}

fn service(
    object: &Object<core::Service>,
    resources: &Resources,
    registry: &Registry<'_>,
    settings: &Settings,
    report: &mut Report,
) -> Option<Service> {
    let Object { meta, body, .. } = object;
    let spec = body.spec.as_ref()?;
    if spec.type_.as_deref() != Some("LoadBalancer") {
        return None;
    }
    let mut report = report.on("Service", &meta.key);
    let report = &mut report;
    let path = FieldPath::root("spec");
    if !is_ours(spec, settings) {
        let (message, hint) = match (&spec.load_balancer_class, &settings.load_balancer_class) {
            (Some(class), _) => (
                format!(
                    "the class `{class}` asks for another load balancer, so it gets no address here."
                ),
                format!(
                    "If gatehouse shall serve it, remove loadBalancerClass, or start gatehouse with --lb-class={class}."
                ),
            ),
            (None, ours) => (
                "it names no class, and gatehouse serves one only, so it gets no address here."
                    .to_owned(),
                format!(
                    "If gatehouse shall serve it, write `loadBalancerClass: {}`; a Service gets its class when it becomes a LoadBalancer.",
                    ours.as_deref().unwrap_or_default()
                ),
            ),
        };
        report.add(
            codes::OTHER_CLASS,
            Level::Info,
            &path.field("loadBalancerClass"),
            message,
            hint,
        );
        return None;
    }
    let selector = spec.selector.clone().unwrap_or_default();
    let namespace = resources.namespaces.get(&crate::resources::ObjectKey::new(
        "",
        meta.key.namespace.as_str(),
    ));
    Some(Service {
        key: meta.key.clone(),
        labels: meta.labels.clone(),
        namespace_labels: namespace
            .map(|namespace| namespace.meta.labels.clone())
            .unwrap_or_default(),
        request: request(meta, spec, report),
        traffic_policy: match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
        is_gateway: selects_gateway(object, &selector, settings, report),
        keeps_ports: keeps_ports(object),
        selector: labels::display(&selector),
        ports: ports(object, spec, registry, report),
        endpoint_nodes: registry.endpoint_nodes(&meta.key),
        sources: source_ranges(meta, spec, report),
        cluster_ip: spec.cluster_ip.clone(),
        created: meta.created,
    })
}

/// Whether a Service selects this gateway. One of another namespace of the cluster does not, however
/// its selector reads: it is another gateway's, and its address is not taken over.
fn selects_gateway(
    object: &Object<core::Service>,
    selector: &Labels,
    settings: &Settings,
    report: &mut ObjectReport<'_>,
) -> bool {
    if selector.is_empty() || !labels::is_subset(selector, &settings.labels) {
        return false;
    }
    let namespace = &object.meta.key.namespace;
    let is_api = matches!(object.origin, Origin::Api { .. });
    let is_ours = !is_api || settings.service_namespaces.contains(namespace);
    if !is_ours {
        report.add(
            codes::OTHER_GATEWAY,
            Level::Info,
            &FieldPath::root("spec").field("selector"),
            format!(
                "it has the labels of this gateway, but a selector matches Pods of its own \
                 namespace only, so it leads to those of `{namespace}` and not to this gateway, \
                 whose Services are those of {}.",
                settings.service_namespaces.join(" and ")
            ),
            format!(
                "If it is this gateway's Service, start gatehouse with --namespace={namespace}."
            ),
        );
    }
    is_ours
}

/// Whether its target ports are no matter to the gateway (reference: Istio §2.1).
fn keeps_ports(object: &Object<core::Service>) -> bool {
    object
        .meta
        .labels
        .get(KEEP_PORTS)
        .is_some_and(|value| value == "true")
}

fn ports(
    object: &Object<core::Service>,
    spec: &core::ServiceSpec,
    registry: &Registry<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<Port> {
    let mut seen = HashSet::new();
    let mut ports = Vec::with_capacity(spec.ports.as_ref().map_or(0, Vec::len));
    let root = FieldPath::root("spec");
    let list_path = root.field("ports");
    for (i, written) in spec.ports.iter().flatten().enumerate() {
        let path = list_path.index(i);
        let Some(read) = port(written) else {
            let (field, wrong) = match written.protocol.as_deref() {
                None | Some("TCP" | "UDP") => (
                    "port",
                    format!("{} is not a port from 1 to 65535", written.port),
                ),
                Some(protocol) => ("protocol", format!("{protocol} is not carried")),
            };
            report.add(
                codes::PORT_NOT_CARRIED,
                Level::Error,
                &path.field(field),
                format!(
                    "{wrong}: nothing listens for this port; the Service's other ports are served."
                ),
                "",
            );
            continue;
        };
        if !seen.insert((read.transport, read.number)) {
            report.add(
                codes::PORT_NOT_CARRIED,
                Level::Error,
                &path.field("port"),
                format!(
                    "port {} is written twice; the second one is not used.",
                    read.number
                ),
                "",
            );
            continue;
        }
        let backends = registry.kubernetes_backends(object, &read);
        ports.push(Port {
            protocol: read.transport,
            port: read.number,
            target_port: read.target_number(),
            node_port: written.node_port.and_then(|port| u16::try_from(port).ok()),
            endpoints: backends.iter().map(|backend| backend.endpoint()).collect(),
            name: read.name,
        });
    }
    ports
}

/// Labels of a Namespace, for pools that select by them.
pub(crate) fn namespaces(resources: &Resources) -> BTreeMap<&str, &Labels> {
    let namespaces = resources.namespaces.values();
    namespaces
        .map(|object| (object.meta.key.name.as_str(), &object.meta.labels))
        .collect()
}
