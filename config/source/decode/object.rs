//! One object, decoded.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as full;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::identity::{Identity, identify};
use super::place::{Source, repeated_finding};
use super::{AnyObject, DecodedFile, Kind, NotUsed, position};
use crate::codes;
use crate::finding::{Finding, Level};
use crate::labels::Labels;
use crate::nearest::nearest;
use crate::resources::{Condition, Metadata, Object, ObjectKey, ObjectRef, Origin, Status};
use crate::source::yaml::{DecodeError, Decoded, Dialect, Node, Unknown, Value, decode};

/// Reads one object into `file`.
pub(super) fn object(source: &Source<'_>, node: &Node, file: &mut DecodedFile) {
    match identify(source, node) {
        Identity::Known(kind, key) => {
            if !kind.acts() {
                file.not_used.push(NotUsed {
                    group: kind.group().to_owned(),
                    kind: kind.name().to_owned(),
                    position: position(source.path, node.mark),
                });
            }
            let mut reading = Reading {
                source,
                kind,
                object: Some(kind.reference(&key)),
                findings: &mut file.findings,
            };
            match reading.read(&key, node) {
                Some(object) => file.objects.push(object),
                None => {
                    if kind == Kind::IPAddressPool {
                        file.failed_pools.insert(key.clone(), labels(node));
                    }
                    file.failed.push((kind, key));
                }
            }
        }
        Identity::NotUsed(not_used) => file.not_used.push(not_used),
        Identity::Unclear(findings) => {
            file.unreadable = true;
            file.findings.extend(findings);
        }
    }
}

/// The labels of an object that cannot be read, as far as they can.
fn labels(node: &Node) -> Labels {
    let labels = node.get("metadata").and_then(|meta| meta.get("labels"));
    let labels = labels.and_then(Node::entries).unwrap_or_default().iter();
    labels
        .filter_map(|entry| Some((entry.key.to_string(), entry.value.text()?.to_owned())))
        .collect()
}

/// Reads an object whose kind and name are known.
struct Reading<'r> {
    source: &'r Source<'r>,
    kind: Kind,
    object: Option<ObjectRef>,
    findings: &'r mut Vec<Finding>,
}

impl Reading<'_> {
    fn read(&mut self, key: &ObjectKey, node: &Node) -> Option<AnyObject> {
        self.capitals(key, node);
        for repeated in &self.source.repeated {
            let field = match self.source.item {
                Some(item) => repeated.path.strip_prefix(&format!("items[{item}].")),
                None => None,
            };
            let field = field.unwrap_or(&repeated.path);
            let path = self.source.path;
            let mut finding = repeated_finding(path, field, repeated.mark, repeated.first);
            finding.object.clone_from(&self.object);
            self.findings.push(finding);
        }
        let object = match self.kind {
            Kind::Gateway => self.custom(key, node, Dialect::Protobuf, AnyObject::Gateway),
            Kind::VirtualService => {
                self.custom(key, node, Dialect::Protobuf, AnyObject::VirtualService)
            }
            Kind::DestinationRule => {
                self.custom(key, node, Dialect::Protobuf, AnyObject::DestinationRule)
            }
            Kind::ServiceEntry => {
                self.custom(key, node, Dialect::Protobuf, AnyObject::ServiceEntry)
            }
            Kind::WorkloadEntry => {
                self.custom(key, node, Dialect::Protobuf, AnyObject::WorkloadEntry)
            }
            Kind::Telemetry => self.custom(key, node, Dialect::Protobuf, AnyObject::Telemetry),
            Kind::AuthorizationPolicy => {
                return self.policy(key, node, AnyObject::AuthorizationPolicy);
            }
            Kind::RequestAuthentication => {
                return self.policy(key, node, AnyObject::RequestAuthentication);
            }
            Kind::PeerAuthentication => {
                self.custom(key, node, Dialect::Protobuf, AnyObject::PeerAuthentication)
            }
            Kind::MeshConfig => self.mesh(key, node),
            Kind::IPAddressPool => {
                self.custom(key, node, Dialect::Kubernetes, AnyObject::IPAddressPool)
            }
            Kind::L2Advertisement => {
                self.custom(key, node, Dialect::Kubernetes, AnyObject::L2Advertisement)
            }
            Kind::Service => self.core::<full::Service, _>(key, node, AnyObject::Service),
            Kind::Endpoints => self.core::<full::Endpoints, _>(key, node, AnyObject::Endpoints),
            Kind::EndpointSlice => {
                self.core::<discovery::EndpointSlice, _>(key, node, AnyObject::EndpointSlice)
            }
            Kind::Namespace => self.core::<full::Namespace, _>(key, node, AnyObject::Namespace),
            Kind::Node => self.core::<full::Node, _>(key, node, AnyObject::Node),
            Kind::Secret => self.core::<full::Secret, _>(key, node, AnyObject::Secret),
            Kind::ConfigMap => self.core::<full::ConfigMap, _>(key, node, AnyObject::ConfigMap),
            Kind::Sidecar => self.part(key, node, Dialect::Protobuf, AnyObject::Sidecar),
            Kind::EnvoyFilter => self.part(key, node, Dialect::Protobuf, AnyObject::EnvoyFilter),
            Kind::WasmPlugin => self.part(key, node, Dialect::Protobuf, AnyObject::WasmPlugin),
            Kind::Pod => self.part(key, node, Dialect::Kubernetes, AnyObject::Pod),
            Kind::Deployment => self.part(key, node, Dialect::Kubernetes, AnyObject::Deployment),
            Kind::KubernetesGateway => {
                self.part(key, node, Dialect::Kubernetes, AnyObject::KubernetesGateway)
            }
            Kind::HTTPRoute => self.part(key, node, Dialect::Kubernetes, AnyObject::HTTPRoute),
            Kind::GRPCRoute => self.part(key, node, Dialect::Kubernetes, AnyObject::GRPCRoute),
            Kind::CustomResourceDefinition => self.part(
                key,
                node,
                Dialect::Kubernetes,
                AnyObject::CustomResourceDefinition,
            ),
            Kind::MutatingWebhookConfiguration => {
                self.whole_part(key, node, AnyObject::MutatingWebhookConfiguration)
            }
            Kind::ValidatingWebhookConfiguration => {
                self.whole_part(key, node, AnyObject::ValidatingWebhookConfiguration)
            }
        };
        object.filter(|_| self.source.repeated.is_empty())
    }

    /// Capital letters in names, which an API server would refuse (RFC 1123).
    fn capitals(&mut self, key: &ObjectKey, node: &Node) {
        let names = [("name", &key.name), ("namespace", &key.namespace)];
        for (field, _) in names
            .into_iter()
            .filter(|(_, name)| name.bytes().any(|b| b.is_ascii_uppercase()))
        {
            let written = node
                .get("metadata")
                .and_then(|metadata| metadata.get(field));
            self.findings.push(Finding {
                code: codes::NAME_MISSING,
                level: Level::Warning,
                object: self.object.clone(),
                field: format!("metadata.{field}"),
                position: Some(position(
                    self.source.path,
                    written.map_or(node.mark, |written| written.mark),
                )),
                message:
                    "it has capital letters, with which no API server takes the object; it is \
                          used here."
                        .to_owned(),
                hint: "Write it in lower case.".to_owned(),
            });
        }
    }

    /// A custom resource: its `spec`.
    fn custom<T: DeserializeOwned>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        dialect: Dialect,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject> {
        const KNOWN: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        let strangers = node.entries().unwrap_or_default().iter();
        for entry in strangers.filter(|entry| !KNOWN.contains(&&*entry.key)) {
            self.unknown(Unknown {
                path: entry.key.to_string(),
                mark: entry.mark,
                nearest: nearest(&entry.key, KNOWN),
            });
        }
        let metadata = node.get("metadata")?;
        let meta = self.take(decode::<ObjectMeta>(
            metadata,
            "metadata",
            Dialect::Kubernetes,
        ));
        let empty = Node::empty(node.mark);
        let spec = node.get("spec").filter(|spec| !spec.is_null());
        let body = self.take(decode::<T>(spec.unwrap_or(&empty), "spec", dialect));
        let mut meta = metadata_of(key, meta?);
        meta.status = status(node);
        if matches!(dialect, Dialect::Protobuf) && self.has_internal(&meta, metadata) {
            return None;
        }
        Some(wrap(self.made(meta, body?, node)))
    }

    /// Whether it has annotations that Istio keeps for itself and refuses from anybody else.
    fn has_internal(&mut self, meta: &Metadata, node: &Node) -> bool {
        const INTERNAL: &str = "internal.istio.io/";
        let mut names = meta.annotations.keys();
        let Some(name) = names.find(|name| name.starts_with(INTERNAL)) else {
            return false;
        };
        let written = node.get("annotations").and_then(|all| all.get(name));
        self.findings.push(Finding {
            code: codes::SCHEMA,
            level: Level::Error,
            object: self.object.clone(),
            field: format!("metadata.annotations.{name}"),
            position: Some(position(
                self.source.path,
                written.map_or(node.mark, |written| written.mark),
            )),
            message: format!(
                "the annotation `{name}` is Istio's own, and no one else may set it; this version \
                 of the object is not used."
            ),
            hint: "Remove it.".to_owned(),
        });
        true
    }

    /// A part of the `spec` of an object that does nothing here; its other fields are not looked
    /// at.
    fn part<T: DeserializeOwned>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        dialect: Dialect,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject> {
        let empty = Node::empty(node.mark);
        let spec = node.get("spec").filter(|spec| !spec.is_null());
        let body = decode::<T>(spec.unwrap_or(&empty), "spec", dialect);
        self.partial(key, node, body, wrap)
    }

    /// The same for an object without a `spec`.
    fn whole_part<T: DeserializeOwned>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject> {
        let body = decode::<T>(node, "", Dialect::Kubernetes);
        self.partial(key, node, body, wrap)
    }

    fn partial<T>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        body: Decoded<T>,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject> {
        let metadata = decode::<ObjectMeta>(node.get("metadata")?, "metadata", Dialect::Kubernetes);
        let meta = metadata.value.map_err(|error| self.wrong(error)).ok();
        let body = body.value.map_err(|error| self.wrong(error)).ok();
        let mut meta = metadata_of(key, meta?);
        meta.status = status(node);
        Some(wrap(self.made(meta, body?, node)))
    }

    /// An object that may deny requests. One that cannot be read still stands for what it guards:
    /// everything that its target says, for an empty policy is the strictest.
    fn policy<T: DeserializeOwned>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject> {
        let object = self.custom(key, node, Dialect::Protobuf, wrap);
        if object.is_some() && self.source.repeated.is_empty() {
            return object;
        }
        let body = [true, false].into_iter().find_map(|keep| {
            let target = only_target(node.get("spec"), node, keep);
            decode::<T>(&target, "spec", Dialect::Protobuf).value.ok()
        });
        let meta = metadata_of(key, ObjectMeta::default());
        Some(wrap(self.made(meta, body?, node)))
    }

    /// A MeshConfig: its `spec`, or all of it where it has none, as Istio's mesh files.
    fn mesh(&mut self, key: &ObjectKey, node: &Node) -> Option<AnyObject> {
        let (at, settings) = match node.get("spec") {
            Some(spec) => ("spec", spec.clone()),
            None => ("", without_envelope(node)),
        };
        let metadata = node.get("metadata").cloned();
        let metadata = metadata.unwrap_or_else(|| Node::empty(node.mark));
        let meta = self.take(decode::<ObjectMeta>(
            &metadata,
            "metadata",
            Dialect::Kubernetes,
        ));
        let body = self.take(decode(&settings, at, Dialect::Protobuf));
        let meta = metadata_of(key, meta?);
        Some(AnyObject::MeshConfig(self.made(meta, body?, node)))
    }

    /// One of Kubernetes' own kinds: the whole object is read, and what is of use is kept.
    fn core<W, T>(
        &mut self,
        key: &ObjectKey,
        node: &Node,
        wrap: fn(Arc<Object<T>>) -> AnyObject,
    ) -> Option<AnyObject>
    where
        W: DeserializeOwned + k8s_openapi::Metadata<Ty = ObjectMeta> + Into<T>,
    {
        let mut body = self.take(decode::<W>(node, "", Dialect::Kubernetes))?;
        let mut meta = metadata_of(key, std::mem::take(body.metadata_mut()));
        meta.status = status(node);
        Some(wrap(self.made(meta, body.into(), node)))
    }

    fn made<T>(&self, meta: Metadata, body: T, node: &Node) -> Arc<Object<T>> {
        Arc::new(Object {
            meta,
            body,
            origin: self.origin(node),
        })
    }

    fn take<T>(&mut self, decoded: Decoded<T>) -> Option<T> {
        for unknown in decoded.unknown {
            self.unknown(unknown);
        }
        decoded.value.map_err(|error| self.wrong(error)).ok()
    }

    fn wrong(&mut self, mut error: DecodeError) {
        // What a library says of a time is of no use to who wrote the file.
        let is_time = error.path.ends_with("creationTimestamp");
        if is_time && !error.message.starts_with("wrong type") {
            error.message = "that is not a time".to_owned();
            error.hint =
                "Write it as `2026-01-31T12:00:00Z`, or leave it out: it only says which object is older."
                    .to_owned();
        }
        self.findings.push(Finding {
            code: codes::SCHEMA,
            level: Level::Error,
            object: self.object.clone(),
            field: error.path,
            position: Some(position(self.source.path, error.mark)),
            message: format!("{}; this version of the object is not used", error.message),
            hint: error.hint,
        });
    }

    fn unknown(&mut self, unknown: Unknown) {
        let name = unknown.path.rsplit('.').next().unwrap_or_default();
        self.findings.push(Finding {
            code: codes::UNKNOWN_FIELD,
            level: Level::Warning,
            object: self.object.clone(),
            position: Some(position(self.source.path, unknown.mark)),
            message: format!("unknown field `{name}`; it has no effect"),
            hint: unknown
                .nearest
                .map_or(String::new(), |near| format!("Did you mean `{near}`?")),
            field: unknown.path,
        });
    }

    fn origin(&self, node: &Node) -> Origin {
        if let Some(version) = self.source.resource_version {
            return Origin::Api {
                resource_version: version.to_owned(),
            };
        }
        Origin::File {
            path: Arc::clone(self.source.path),
            line: match self.source.item {
                Some(_) => node.mark.line,
                None => self.source.start.line,
            },
            document: self.source.document,
            item: self.source.item,
            rules: match self.kind {
                Kind::VirtualService => rule_lines(node),
                _ => Arc::default(),
            },
        }
    }
}

/// Where each rule of a VirtualService begins.
fn rule_lines(node: &Node) -> Arc<[u32]> {
    let rules = node.get("spec").and_then(|spec| spec.get("http"));
    match rules.map(|rules| &rules.value) {
        Some(Value::Sequence(rules)) => rules.iter().map(|rule| rule.mark.line).collect(),
        _ => Arc::default(),
    }
}

/// What of a policy's spec says whom it is for; with `keep` false, nothing.
fn only_target(spec: Option<&Node>, object: &Node, keep: bool) -> Node {
    const TARGET: [&str; 5] = [
        "selector",
        "targetRef",
        "targetRefs",
        "target_ref",
        "target_refs",
    ];
    let entries = spec.and_then(Node::entries).unwrap_or_default().iter();
    let target = entries.filter(|entry| keep && TARGET.contains(&&*entry.key));
    Node {
        mark: object.mark,
        value: Value::Mapping(target.cloned().collect()),
    }
}

/// A mapping without the keys that say what it is.
fn without_envelope(node: &Node) -> Node {
    let entries = node.entries().unwrap_or_default().iter();
    let settings = entries.filter(|e| !matches!(&*e.key, "apiVersion" | "kind" | "metadata"));
    Node {
        mark: node.mark,
        value: Value::Mapping(settings.cloned().collect()),
    }
}

/// What API servers and kubectl add for themselves, and which is longer than all the rest.
fn slim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

fn metadata_of(key: &ObjectKey, mut meta: ObjectMeta) -> Metadata {
    slim(&mut meta);
    Metadata {
        key: key.clone(),
        labels: meta.labels.unwrap_or_default().into(),
        annotations: meta.annotations.unwrap_or_default().into(),
        created: meta.creation_timestamp.map(|time| time.0.as_second()),
        status: None,
    }
}

/// The conditions that controllers wrote, wherever the kind keeps them. What cannot be read is
/// left out: nobody wrote it by hand.
fn status(node: &Node) -> Option<Box<Status>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Written {
        conditions: Vec<Condition>,
        parents: Vec<Parent>,
        addresses: Option<Vec<IgnoredAny>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Parent {
        conditions: Vec<Condition>,
    }
    let written = node.get("status").filter(|status| !status.is_null())?;
    let written = decode::<Written>(written, "status", Dialect::Kubernetes);
    let mut written = written.value.ok()?;
    for parent in written.parents {
        written.conditions.extend(parent.conditions);
    }
    let has_addresses = written
        .addresses
        .is_some_and(|addresses| !addresses.is_empty());
    (has_addresses || !written.conditions.is_empty()).then(|| {
        Box::new(Status {
            conditions: written.conditions,
            has_addresses,
        })
    })
}
