//! Which kind an object is, and its name.

use super::place::Source;
use super::{Kind, NotUsed, position, well_known};
use crate::codes;
use crate::finding::{Finding, Level};
use crate::nearest::nearest;
use crate::resources::ObjectKey;
use crate::source::yaml::{Mark, Node};

/// What an object is.
pub(super) enum Identity {
    Known(Kind, ObjectKey),
    /// Of a kind that does nothing here.
    NotUsed(NotUsed),
    /// It may be any object.
    Unclear(Vec<Finding>),
}

/// Tells kind and name from the envelope.
pub(super) fn identify(source: &Source<'_>, node: &Node) -> Identity {
    let unclear = |code, field: &str, mark, message: String, hint: String| {
        Identity::Unclear(vec![Finding {
            code,
            level: Level::Error,
            object: None,
            field: field.to_owned(),
            position: Some(position(source.path, mark)),
            message,
            hint,
        }])
    };
    if node.entries().is_none() {
        let message = "not an object: a mapping with apiVersion, kind and metadata is expected";
        return unclear(
            codes::SCHEMA,
            "",
            node.mark,
            message.to_owned(),
            String::new(),
        );
    }
    let text = |key| node.get(key).and_then(Node::text);
    let place = |key| node.get(key).map_or(node.mark, |value| value.mark);

    let Some(name) = text("kind") else {
        let message = "`kind` is missing, so what this is cannot be told and it is not used";
        let hint = "Write, for example, `kind: Service`; a file that holds no object belongs \
                    elsewhere.";
        let mark = place("kind");
        return unclear(
            codes::UNKNOWN_VERSION,
            "kind",
            mark,
            message.to_owned(),
            hint.to_owned(),
        );
    };
    let is_mesh = name == Kind::MeshConfig.name();
    // Istio's own mesh files name no version, and nothing else.
    let unversioned = Kind::MeshConfig.api_version();
    let api_version = text("apiVersion").or(is_mesh.then_some(unversioned.as_str()));
    let Some(api_version) = api_version else {
        let message = format!("`apiVersion` is missing, so this {name} is not used");
        let hint = Kind::from_name(name).map_or(String::new(), |kind| {
            format!("Write `apiVersion: {}`.", kind.api_version())
        });
        let mark = place("apiVersion");
        return unclear(codes::UNKNOWN_VERSION, "apiVersion", mark, message, hint);
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));

    let not_used = || {
        Identity::NotUsed(NotUsed {
            group: group.to_owned(),
            kind: name.to_owned(),
            position: position(source.path, node.mark),
        })
    };
    let Some(kind) = Kind::of_group(group, name) else {
        let of_group = Kind::ALL.iter().filter(|kind| kind.group() == group);
        let near = nearest(name, of_group.map(|kind| kind.name()));
        return match near {
            Some(near) if !well_known::is_known(group, name) => {
                let message = format!("unknown kind `{name}`; this object is not used");
                let hint = format!("Did you mean `{near}`?");
                unclear(codes::UNKNOWN_VERSION, "kind", place("kind"), message, hint)
            }
            _ => not_used(),
        };
    };
    if !kind.acts() && (kind.group() != group || !kind.versions().contains(&version)) {
        return not_used();
    }
    if kind.group() != group {
        // A slip in the group, or `v1` for `apps/v1`; otherwise another API's kind of this name.
        let slip = nearest(group, [kind.group()]).is_some() || group.is_empty();
        if !slip || kind.group().is_empty() {
            return not_used();
        }
    }
    if kind.group() != group || !kind.versions().contains(&version) {
        let message = format!("{name} of `{api_version}` is not known; this object is not used");
        let hint = format!("Did you mean `{}`?", kind.api_version());
        return unclear(
            codes::UNKNOWN_VERSION,
            "apiVersion",
            place("apiVersion"),
            message,
            hint,
        );
    }

    match key(kind, node) {
        Ok(key) => Identity::Known(kind, key),
        Err((field, mark, message)) => unclear(
            codes::NAME_MISSING,
            field,
            mark,
            format!("{message}; this {name} is not used"),
            String::new(),
        ),
    }
}

/// The name of a MeshConfig that has none.
const MESH: &str = "mesh";

type Wrong = (&'static str, Mark, String);

fn key(kind: Kind, node: &Node) -> Result<ObjectKey, Wrong> {
    let Some(metadata) = node.entry("metadata") else {
        if kind == Kind::MeshConfig {
            return Ok(ObjectKey::new("", MESH));
        }
        return Err(("metadata", node.mark, "`metadata` is missing".to_owned()));
    };
    let name = match metadata.value.get("name") {
        Some(name) if !name.is_null() => name,
        _ => {
            let message = match metadata.value.get("generateName") {
                Some(_) => "`metadata.generateName` needs an API server; write `metadata.name`",
                None => "`metadata.name` is missing",
            };
            return Err(("metadata.name", metadata.mark, message.to_owned()));
        }
    };
    let text = |node: &Node, field: &'static str, most: usize, dots: bool| match node.text() {
        // Letters of the other case are told with the object; nothing here minds them.
        Some(text) if is_name(&text.to_ascii_lowercase(), most, dots) => Ok(text.to_owned()),
        Some(_) => {
            let message = format!(
                "`{field}` may have lower-case letters, digits{} and `-` only, begin and end with \
                 a letter or digit, and be at most {most} long (RFC 1123)",
                if dots { ", `.`" } else { "" }
            );
            Err((field, node.mark, message))
        }
        None => Err((
            field,
            node.mark,
            format!("`{field}` must be text; put it in quotes"),
        )),
    };
    let name = text(name, "metadata.name", 253, true)?;
    let namespace = match metadata.value.get("namespace") {
        _ if !kind.namespaced() => String::new(),
        None => "default".to_owned(),
        Some(namespace) if namespace.is_null() || namespace.text() == Some("") => {
            "default".to_owned()
        }
        Some(namespace) => text(namespace, "metadata.namespace", 63, false)?,
    };
    Ok(ObjectKey::new(namespace, name))
}

/// Whether this is a DNS label, or with `dots` a subdomain, in the sense of Kubernetes' names
/// (RFC 1123 §2.1).
fn is_name(text: &str, most: usize, dots: bool) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= most
        && match dots {
            true => text.split('.').all(label),
            false => label(text),
        }
}
