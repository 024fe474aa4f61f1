//! An object of an API server: JSON, read by the very decoder that reads files.

use std::sync::Arc;

use serde_json::Value as Json;

use super::object::object;
use super::place::Source;
use super::{DecodedFile, Kind};
use crate::codes;
use crate::source::yaml::{Entry, Form, Mark, Node, Value};

/// Reads one object of a kind. Findings have no position: an API server keeps no lines.
pub fn decode_json(kind: Kind, resource_version: &str, json: &Json) -> DecodedFile {
    let mut root = node(json);
    // Items of a list do not say what they are.
    if let Value::Mapping(entries) = &mut root.value {
        entries.retain(|entry| !matches!(&*entry.key, "apiVersion" | "kind"));
        entries.push(text_entry("apiVersion", &kind.api_version()));
        entries.push(text_entry("kind", kind.name()));
    }
    let path: Arc<str> = Arc::from("");
    let source = Source {
        path: &path,
        document: 0,
        item: None,
        start: Mark::default(),
        repeated: Vec::new(),
        resource_version: Some(resource_version),
    };
    let mut read = DecodedFile::default();
    object(&source, &root, &mut read);
    // A field of Kubernetes' own kinds that is unknown here is of a later release of Kubernetes:
    // nobody wrote it by mistake, for the API server took it.
    let own = !kind.group().contains('.') || kind.group().ends_with(".k8s.io");
    read.findings
        .retain(|finding| !(own && finding.code == codes::UNKNOWN_FIELD));
    for finding in &mut read.findings {
        finding.position = None;
    }
    read
}

fn node(json: &Json) -> Node {
    let scalar = |text: &str, form| Value::Scalar {
        text: text.into(),
        form,
    };
    let value = match json {
        Json::Null => scalar("null", Form::Plain),
        Json::Bool(value) => scalar(if *value { "true" } else { "false" }, Form::Plain),
        Json::Number(number) => scalar(&number.to_string(), Form::Plain),
        Json::String(text) => scalar(text, Form::Text),
        Json::Array(items) => Value::Sequence(items.iter().map(node).collect()),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| Entry {
                key: key.as_str().into(),
                mark: Mark::default(),
                value: node(value),
            });
            Value::Mapping(fields.collect())
        }
    };
    Node {
        mark: Mark::default(),
        value,
    }
}

fn text_entry(key: &str, text: &str) -> Entry {
    Entry {
        key: key.into(),
        mark: Mark::default(),
        value: node(&Json::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::{ObjectKey, Origin};

    #[test]
    fn an_object_of_the_api_is_read_as_one_of_a_file() {
        let read = decode_json(
            Kind::VirtualService,
            "17",
            &json!({
                "metadata": {"name": "a", "namespace": "b", "creationTimestamp": "2026-01-31T12:00:00Z"},
                "spec": {"hosts": ["*"], "http": [{"timeout": "3s", "rout": []}]},
            }),
        );
        let [object] = &*read.objects else {
            panic!("{read:?}")
        };
        assert_eq!(object.key(), &ObjectKey::new("b", "a"));
        let origin = Origin::Api {
            resource_version: "17".to_owned(),
        };
        assert_eq!(object.origin(), &origin);
        let [finding] = &*read.findings else {
            panic!("{:?}", read.findings)
        };
        assert_eq!(finding.code, codes::UNKNOWN_FIELD);
        assert_eq!(finding.field, "spec.http[0].rout");
        assert_eq!(finding.position, None);
    }

    #[test]
    fn text_that_looks_like_a_number_stays_text() {
        let read = decode_json(
            Kind::Namespace,
            "1",
            &json!({"metadata": {"name": "a", "labels": {"version": "1", "on": "true", "none": "null"}}}),
        );
        assert!(read.findings.is_empty(), "{:?}", read.findings);
        assert_eq!(read.objects.len(), 1);
    }

    #[test]
    fn later_releases_may_have_fields_that_are_unknown_here() {
        let service =
            json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"newerThanUs": 1}});
        let read = decode_json(Kind::Service, "1", &service);
        assert!(read.findings.is_empty(), "{:?}", read.findings);
        assert_eq!(read.objects.len(), 1);
    }

    #[test]
    fn what_has_the_wrong_shape_is_told_with_its_object() {
        let pool = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"addresses": 5}});
        let read = decode_json(Kind::IPAddressPool, "1", &pool);
        assert_eq!(
            read.failed,
            [(Kind::IPAddressPool, ObjectKey::new("b", "a"))]
        );
        let [finding] = &*read.findings else {
            panic!("{:?}", read.findings)
        };
        assert_eq!(finding.field, "spec.addresses");
        assert_eq!(
            finding.object.as_ref().unwrap().to_string(),
            "IPAddressPool b/a"
        );
    }
}
