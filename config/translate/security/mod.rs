//! Objects of security.istio.io: judged by their rules, not enforced, and never passed over.
//!
//! What a policy would deny must not be let through because nobody enforces it: the hosts that it
//! guards are not served, unless the daemon was told to ignore such policies.

mod authorization_policy;
mod peer_authentication;
mod request_authentication;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::api::istio::policy_target::{TargetReference, WorkloadSelector};
use crate::codes;
use crate::finding::Level;
use crate::model::Guard;
use crate::resources::{ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::{ObjectReport, Report};

/// The label by which Istio finds the proxy of a Gateway of the Kubernetes Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Judges all policies, and tells which hosts must not be served because of them.
pub(crate) fn guards(
    resources: &Resources,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Guard> {
    let mut guards = Vec::new();
    for policy in resources.authorization_policies.values() {
        guards.extend(authorization_policy::judge(policy, settings, report));
    }
    for policy in resources.request_authentications.values() {
        guards.extend(request_authentication::judge(policy, settings, report));
    }
    for policy in resources.peer_authentications.values() {
        peer_authentication::judge(policy, report);
    }
    if settings.ignore_security_policies {
        guards.clear();
    }
    guards
}

/// Whom a policy is for.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) selector: Option<&'a WorkloadSelector>,
    pub(crate) reference: Option<&'a TargetReference>,
    pub(crate) references: &'a [TargetReference],
}

impl Target<'_> {
    /// Whether a policy of `namespace` applies to this gateway (reference: Istio §2.7): one of the
    /// gateway's own namespace or of the root namespace, if its selector or a reference fits.
    pub(crate) fn is_this_gateway(&self, namespace: &str, settings: &Settings) -> bool {
        if namespace != settings.namespace && namespace != settings.root_namespace {
            return false;
        }
        let mut references = self.reference.into_iter().chain(self.references).peekable();
        if references.peek().is_some() {
            return references.any(|reference| {
                // A reference to what policies cannot be attached to may mean anything.
                !is_attachable(&reference.group, &reference.kind)
                    || reference.kind == "Gateway"
                        && settings.labels.get(GATEWAY_NAME) == Some(&reference.name)
            });
        }
        self.selector
            .is_none_or(|selector| labels::is_subset(&selector.match_labels, &settings.labels))
    }

    /// Judges the selector and the references.
    pub(crate) fn judge(&self, path: &FieldPath<'_>, report: &mut Judge<'_, '_>) {
        let ways = [
            self.selector.is_some(),
            self.reference.is_some(),
            !self.references.is_empty(),
        ];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            report.wrong(
                path,
                "only one of selector, targetRef and targetRefs may say whom it is for",
                "Keep one of them.",
            );
        }
        if let Some(selector) = self.selector {
            judge_selector(&selector.match_labels, &path.field("selector"), report);
        }
        if let Some(reference) = self.reference {
            judge_reference(reference, &path.field("targetRef"), report);
        }
        let references = path.field("targetRefs");
        for (i, reference) in self.references.iter().enumerate() {
            judge_reference(reference, &references.index(i), report);
        }
    }
}

fn judge_selector(
    selector: &BTreeMap<String, String>,
    path: &FieldPath<'_>,
    report: &mut Judge<'_, '_>,
) {
    let path = path.field("matchLabels");
    if selector.is_empty() {
        let message = "the selector has no labels, so it selects every workload of the namespace.";
        let hint = "Leave the selector out, or name labels.";
        report.questionable(&path, message, hint);
    }
    for (key, value) in selector {
        if key.is_empty() {
            report.wrong(&path, "a label without a name selects nothing", "");
        }
        if key.contains('*') || value.contains('*') {
            let message = format!("`{key}: {value}` has a wildcard, which selectors do not know");
            report.wrong(&path.field(key), &message, "Write the label's whole value.");
        }
    }
}

/// Whether a policy can be attached to objects of this kind.
fn is_attachable(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
            | ("" | "core", "Service")
            | ("networking.istio.io", "ServiceEntry")
    )
}

fn judge_reference(reference: &TargetReference, path: &FieldPath<'_>, report: &mut Judge<'_, '_>) {
    let TargetReference {
        group,
        kind,
        name,
        namespace,
    } = reference;
    if kind.is_empty() || name.is_empty() {
        report.wrong(path, "the reference needs a kind and a name", "");
    } else if !is_attachable(group, kind) {
        let message = format!("`{group}/{kind}` is nothing that a policy can be attached to");
        let hint = "To reach this gateway, use a selector with its labels.";
        report.wrong(path, &message, hint);
    }
    if !namespace.is_empty() && namespace != &report.namespace {
        let message = "a policy cannot be attached to an object of another namespace";
        report.wrong(&path.field("namespace"), message, "");
    }
}

/// Judges one policy. A wrong one is an error, and goes on guarding what it is for: to drop it
/// would serve what it denies.
pub(crate) struct Judge<'r, 'o> {
    report: &'r mut ObjectReport<'o>,
    namespace: String,
    valid: bool,
}

impl<'r, 'o> Judge<'r, 'o> {
    pub(crate) fn new(report: &'r mut ObjectReport<'o>, key: &ObjectKey) -> Self {
        Self {
            report,
            namespace: key.namespace.clone(),
            valid: true,
        }
    }

    /// A rule of the API is broken; `message` without a full stop.
    pub(crate) fn wrong(&mut self, path: &FieldPath<'_>, message: &str, hint: &str) {
        self.valid = false;
        let message = format!("{message}; Istio refuses this object.");
        self.report
            .add(codes::SCHEMA, Level::Error, path, message, hint);
    }

    /// Allowed, and probably not meant.
    pub(crate) fn questionable(&mut self, path: &FieldPath<'_>, message: &str, hint: &str) {
        self.report.questionable(path, message, hint);
    }

    /// A list must not hold an empty text.
    pub(crate) fn no_empty_values(&mut self, values: &[String], path: &FieldPath<'_>) {
        for (i, value) in values.iter().enumerate() {
            if value.is_empty() {
                self.wrong(
                    &path.index(i),
                    "an empty value matches nothing",
                    "Remove it.",
                );
            }
        }
    }

    /// Says that the rules are not enforced, and what becomes of the traffic; `guarded` is what of
    /// it the policy would judge, as `every host`, none where it denies nothing here.
    pub(crate) fn not_enforced(
        &mut self,
        applies: bool,
        guarded: Option<&str>,
        settings: &Settings,
    ) {
        let path = FieldPath::root("spec");
        let (level, effect, hint) = match guarded {
            _ if !applies => (
                Level::Info,
                "it is not for this gateway, so nothing changes here".to_owned(),
                "",
            ),
            None => (
                Level::Info,
                "it denies nothing, so every request goes by".to_owned(),
                "",
            ),
            Some(_) if settings.ignore_security_policies => (
                Level::Warning,
                "what it denies is let through, as --ignore-security-policies says".to_owned(),
                "Do not expose what relies on it.",
            ),
            Some(hosts) => (
                Level::Error,
                format!(
                    "requests for {hosts} are answered with 503, so that nothing is let through that it denies"
                ),
                "Remove the policy if the hosts may be open to everyone, or serve them all the same with --ignore-security-policies.",
            ),
        };
        let message = format!("its rules are NOT enforced by gatehouse yet: {effect}.");
        self.report
            .add(codes::NOT_ENFORCED, level, &path, message, hint);
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }
}
