//! Injection of sidecars (IST0102, IST0103, IST0105, IST0123, IST0146, IST0147, IST0148): nothing
//! that a gateway needs, but a mesh beside it does.

use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use crate::api::workload::{Container, Pod};
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::resources::{Metadata, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::Report;

const INJECTION: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const MODE: &str = "istio.io/dataplane-mode";
const INJECT: &str = "sidecar.istio.io/inject";
const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The name of the container that is injected.
const PROXY: &str = "istio-proxy";
pub(crate) const INJECTOR: &str = "istio-sidecar-injector";

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let injectors: Vec<_> = injectors(analysis).collect();
    let injected = namespaces(analysis, &injectors, report);
    let spec = FieldPath::root("spec");
    for (key, pod) in &analysis.resources.pods {
        if !injected.contains(key.namespace.as_str()) || pod.body.host_network {
            continue;
        }
        let asked = pod.meta.labels.get(INJECT);
        let asked = asked.or_else(|| pod.meta.annotations.get(INJECT));
        if asked.is_some_and(|asked| asked.eq_ignore_ascii_case("false")) {
            continue;
        }
        if containers(&pod.body).all(|c| c.name != PROXY || c.image.is_empty()) {
            report.on("Pod", key).add(
                codes::POD_WITHOUT_PROXY,
                Level::Warning,
                &spec.field("containers"),
                "its namespace asks for a sidecar, and it has none: it is not in the mesh.",
                "Restart it, so that the injector sees it.",
            );
        }
    }
    images(analysis, &injectors, report);
    auto(analysis, report);
}

/// What the labels of namespaces say; those whose Pods get a sidecar.
fn namespaces<'a>(
    analysis: &Analysis<'a>,
    injectors: &[Injector<'_>],
    report: &mut Report,
) -> BTreeSet<&'a str> {
    let mut injected = BTreeSet::new();
    let metadata = FieldPath::root("metadata");
    for (key, object) in &analysis.resources.namespaces {
        if key.name == "istio-system" || is_ignored(&key.name) {
            continue;
        }
        let labels = &object.meta.labels;
        let injection = labels.get(INJECTION).map(String::as_str);
        let revision = labels.get(REVISION).map(String::as_str);
        let mut modes: Vec<_> = injection
            .iter()
            .map(|v| format!("{INJECTION}={v}"))
            .collect();
        if matches!(injection, None | Some("enabled")) {
            for label in [REVISION, MODE] {
                modes.extend(labels.get(label).map(|value| format!("{label}={value}")));
            }
        }
        let mut report = report.on("Namespace", key);
        if modes.len() > 1 {
            report.add(
                codes::TWO_INJECTION_LABELS,
                Level::Warning,
                &metadata.field("labels"),
                format!(
                    "the labels {} ask for several kinds of mesh at once.",
                    modes.join(" and ")
                ),
                "Keep one of them.",
            );
        }
        if labels.get(MODE).is_some_and(|mode| mode == "ambient") {
            continue;
        }
        if injection.unwrap_or_default().is_empty() && revision.is_none() {
            if injects_by_default(injectors, revision) {
                report.add(
                    codes::INJECTED_BY_DEFAULT,
                    Level::Info,
                    &metadata.field("labels"),
                    "its Pods get sidecars, since the injector does so unless told otherwise.",
                    "",
                );
            } else {
                report.add(
                    codes::NOT_INJECTED,
                    Level::Info,
                    &metadata.field("labels"),
                    "it has no label that asks for sidecars: its Pods are not in a mesh. A gateway reaches them all the same.",
                    "For a mesh: `istio-injection: enabled`; to be silent about it: `istio-injection: disabled`.",
                );
            }
            continue;
        }
        if injection == Some("enabled") {
            injected.insert(key.name.as_str());
        }
    }
    injected
}

/// Namespaces of Kubernetes itself, which Istio leaves alone.
pub(super) fn is_ignored(name: &str) -> bool {
    matches!(
        name,
        "kube-system" | "kube-public" | "kube-node-lease" | "local-path-storage"
    )
}

fn injector_name(revision: Option<&str>) -> String {
    match revision {
        None | Some("" | "default") => INJECTOR.to_owned(),
        Some(revision) => format!("{INJECTOR}-{revision}"),
    }
}

/// A ConfigMap's name, and its `values`.
type Injector<'a> = (&'a str, serde_json::Value);

fn injectors<'a>(analysis: &Analysis<'a>) -> impl Iterator<Item = Injector<'a>> {
    let maps = analysis.resources.config_maps.iter();
    maps.filter(|(key, _)| key.name.starts_with(INJECTOR))
        .map(|(key, object)| {
            let values = object
                .body
                .data
                .as_ref()
                .and_then(|data| data.get("values"));
            let values = values.and_then(|values| serde_json::from_str(values).ok());
            (key.name.as_str(), values.unwrap_or_default())
        })
}

fn injects_by_default(injectors: &[Injector<'_>], revision: Option<&str>) -> bool {
    let name = injector_name(revision);
    let found = injectors.iter().find(|(other, _)| *other == name);
    found.is_some_and(|(_, values)| {
        values
            .pointer("/sidecarInjectorWebhook/enableNamespacesByDefault")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false)
    })
}

/// Sidecars of another version than the injector would give now.
fn images(analysis: &Analysis<'_>, injectors: &[Injector<'_>], report: &mut Report) {
    let current: BTreeMap<&str, String> = injectors
        .iter()
        .map(|(name, values)| (*name, proxy_image(values)))
        .collect();
    if current.is_empty() {
        return;
    }
    let mut old: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, pod) in &analysis.resources.pods {
        let namespace = ObjectKey::new("", key.namespace.as_str());
        let Some(namespace) = analysis.resources.namespaces.get(&namespace) else {
            continue;
        };
        let labels = &namespace.meta.labels;
        let revision = labels.get(REVISION).map(String::as_str);
        if revision.is_none() && labels.get(INJECTION).map(String::as_str) != Some("enabled") {
            continue;
        }
        let custom = pod.meta.annotations.get("sidecar.istio.io/proxyImage");
        let Some(image) = current.get(injector_name(revision).as_str()) else {
            continue;
        };
        if custom.is_some_and(|custom| !custom.is_empty()) {
            continue;
        }
        let variant = super::mesh::image_type(analysis, &pod.meta);
        let expected = format!("{image}-{variant}");
        let differs = |c: &Container| c.name == PROXY && c.image != *image && c.image != expected;
        if containers(&pod.body).any(differs) {
            old.entry(&key.namespace).or_default().push(&key.name);
        }
    }
    for (namespace, pods) in old {
        report.on("Namespace", &ObjectKey::new("", namespace)).add(
            codes::OLD_PROXY_IMAGE,
            Level::Warning,
            &FieldPath::root("metadata").field("name"),
            format!(
                "the sidecars of {} are of another version than the injector gives now.",
                pods.join(", ")
            ),
            "Restart these Pods.",
        );
    }
}

fn proxy_image(values: &serde_json::Value) -> String {
    let text = |path: &str| {
        let value = values.pointer(path).and_then(serde_json::Value::as_str);
        value.unwrap_or_default()
    };
    let image = text("/global/proxy/image");
    if image.contains('/') {
        return image.to_owned();
    }
    format!("{}/{image}:{}", text("/global/hub"), text("/global/tag"))
}

/// `image: auto`, which the injector replaces, where no injector looks.
fn auto(analysis: &Analysis<'_>, report: &mut Report) {
    let spec = FieldPath::root("spec");
    let hint = "Give the namespace or the Pods a label that asks for injection.";
    for (key, pod) in &analysis.resources.pods {
        if is_auto(&pod.body) {
            report.on("Pod", key).add(
                codes::AUTO_IMAGE_POD,
                Level::Error,
                &spec.field("containers"),
                "the image `auto` was not replaced by an injector: the Pod cannot start.",
                hint,
            );
        }
    }
    for (key, deployment) in &analysis.resources.deployments {
        let template = &deployment.body.template;
        if !is_auto(&template.spec) {
            continue;
        }
        let namespace = ObjectKey::new("", key.namespace.as_str());
        let namespace = analysis.resources.namespaces.get(&namespace);
        let none = Labels::default();
        let labels = namespace.map_or(&none, |namespace| &namespace.meta.labels);
        if !super::webhooks::injects(analysis, labels, &template.metadata.labels) {
            report.on("Deployment", key).add(
                codes::AUTO_IMAGE_DEPLOYMENT,
                Level::Warning,
                &spec.field("template"),
                "the image `auto` is replaced by an injector, and none looks at these Pods: they cannot start.",
                hint,
            );
        }
    }
}

fn is_auto(pod: &Pod) -> bool {
    let mut containers = pod.containers.iter();
    containers.any(|container| container.name == PROXY && container.image == "auto")
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.containers.iter().chain(&pod.init_containers)
}

/// Whether a Pod is in the mesh (Istio: `inMesh`).
pub(super) fn is_in_mesh(
    analysis: &Analysis<'_>,
    namespace: &str,
    meta: (&Labels, &Labels),
    pod: &Pod,
) -> bool {
    let mut all = containers(pod);
    if all
        .find(|c| c.name == PROXY)
        .is_some_and(|c| !c.image.is_empty())
    {
        return true;
    }
    let (labels, annotations) = meta;
    if let Some(asked) = labels.get(INJECT).or_else(|| annotations.get(INJECT)) {
        return asked == "true";
    }
    let namespace = analysis
        .resources
        .namespaces
        .get(&ObjectKey::new("", namespace));
    namespace.is_some_and(|namespace| {
        labels::is_subset(
            &BTreeMap::from([(INJECTION.to_owned(), "enabled".to_owned())]),
            &namespace.meta.labels,
        )
    })
}

/// Whether a Pod is in ambient mode.
pub(super) fn is_ambient(meta: &Metadata) -> bool {
    let redirection = meta.annotations.get(REDIRECTION);
    redirection.is_some_and(|redirection| redirection == "enabled")
}

/// Whether a namespace is in ambient mode.
pub(super) fn is_ambient_namespace(analysis: &Analysis<'_>, name: &str) -> bool {
    let namespace = analysis.resources.namespaces.get(&ObjectKey::new("", name));
    namespace.is_some_and(|namespace| {
        let labels = &namespace.meta.labels;
        let get = |label: &str| labels.get(label).map(String::as_str);
        get(INJECTION) != Some("enabled")
            && get(REVISION).unwrap_or_default().is_empty()
            && get(MODE) == Some("ambient")
    })
}
