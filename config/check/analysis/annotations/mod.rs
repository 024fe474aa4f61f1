//! Istio's annotations on the wrong object, with wrong values, deprecated or unknown (IST0107,
//! IST0108, IST0125, IST0135).

mod known;
mod value;

use super::Analysis;
use crate::codes;
use crate::finding::Level;
use crate::nearest::nearest;
use crate::resources::{Metadata, Objects};
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;
use known::KNOWN;

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
            if let Some((code, level, message, hint)) = judge(kind, name, value) {
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

fn judge(kind: &str, name: &str, value: &str) -> Option<Judgement> {
    if !is_istio(name) || ALWAYS_FINE.contains(&name) {
        return None;
    }
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        let near = nearest(name, KNOWN.iter().map(|known| known.name));
        let hint = near.map_or(String::new(), |near| format!("Did you mean `{near}`?"));
        let message = format!("nobody knows the annotation `{name}`: it has no effect.");
        return Some((codes::UNKNOWN_ANNOTATION, Level::Warning, message, hint));
    };
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
