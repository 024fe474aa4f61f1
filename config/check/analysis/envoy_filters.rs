//! EnvoyFilters whose patches cannot work as written, even in Istio (IST0151 to IST0155).
//!
//! None of them does anything here; that is said once for the kind.

use super::Analysis;
use crate::api::istio::envoy_filter::{ApplyTo, ConfigPatch, Operation};
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let spec = FieldPath::root("spec");
    let patches = spec.field("configPatches");
    // Filters that a patch before names together with a proxy version.
    let mut versioned: Vec<(bool, &str)> = Vec::new();
    for (key, object) in &analysis.resources.envoy_filters {
        let mut report = report.on("EnvoyFilter", key);
        report.add(
            codes::SCHEMA_WARNING,
            Level::Warning,
            &patches,
            "it patches Envoy, which gatehouse has not got: what it changes is not changed here.",
            "Use the fields of VirtualService, DestinationRule and Gateway where there is one for it.",
        );
        for (i, patch) in object.body.config_patches.iter().enumerate() {
            if let Some(wrong) = refused(patch) {
                report.add(codes::SCHEMA, Level::Error, &patches.index(i), wrong, "");
            }
        }
        for (i, patch) in object.body.config_patches.iter().enumerate() {
            let Some(how) = &patch.patch else {
                break;
            };
            let named = name(patch);
            let path = patches.index(i);
            let found = match (how.operation, patch.apply_to) {
                (Operation::Add, ApplyTo::RouteConfiguration | ApplyTo::HttpRoute) => Some((
                    codes::ENVOY_FILTER_ADD,
                    Level::Error,
                    "ADD has no effect on a route configuration or an HTTP route.",
                )),
                (Operation::Remove, ApplyTo::RouteConfiguration | ApplyTo::HttpRoute) => Some((
                    codes::ENVOY_FILTER_REMOVE,
                    Level::Error,
                    "REMOVE has no effect on a route configuration or an HTTP route.",
                )),
                (
                    Operation::Replace,
                    ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::VirtualHost,
                )
                | (Operation::Remove | Operation::InsertBefore | Operation::InsertAfter, _) => {
                    relative(object.body.priority, versioned.contains(&named))
                }
                (Operation::Replace, _) => Some((
                    codes::ENVOY_FILTER_REPLACE,
                    Level::Error,
                    "REPLACE works on HTTP filters, network filters and virtual hosts only.",
                )),
                _ => None,
            };
            if let Some((code, level, message)) = found {
                let hint = "gatehouse has no Envoy: none of it does anything here.";
                report.add(code, level, &path, message, hint);
            }
            let proxy = patch.matched.as_ref().and_then(|m| m.proxy.as_ref());
            if proxy.is_some_and(|proxy| !proxy.proxy_version.is_empty()) {
                versioned.push(named);
            }
        }
    }
}

/// Why Istio refuses a patch.
fn refused(patch: &ConfigPatch) -> Option<&'static str> {
    if patch.apply_to == ApplyTo::Invalid {
        return Some("applyTo is missing.");
    }
    let Some(how) = &patch.patch else {
        return Some("the patch is missing.");
    };
    if how.operation == Operation::Invalid {
        return Some("the patch's operation is missing.");
    }
    if how.operation != Operation::Remove && how.value.is_none() {
        return Some("the patch's value is missing.");
    }
    let matched = patch.matched.as_ref()?;
    let given = [
        matched.listener.is_some(),
        matched.route_configuration.is_some(),
        matched.cluster.is_some(),
    ];
    let (wanted, wrong) = match patch.apply_to {
        ApplyTo::Listener
        | ApplyTo::FilterChain
        | ApplyTo::NetworkFilter
        | ApplyTo::HttpFilter
        | ApplyTo::ListenerFilter => (0, "what it applies to is matched by `listener` only."),
        ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => (
            1,
            "what it applies to is matched by `routeConfiguration` only.",
        ),
        ApplyTo::Cluster => (2, "what it applies to is matched by `cluster` only."),
        ApplyTo::Invalid | ApplyTo::ExtensionConfig | ApplyTo::Bootstrap => return None,
    };
    let other = given
        .iter()
        .enumerate()
        .any(|(i, given)| *given && i != wanted);
    other.then_some(wrong)
}

/// Where a patch stands relative to others depends on their order, unless a priority says it.
fn relative(priority: i32, versioned: bool) -> Option<(&'static str, Level, &'static str)> {
    match (priority, versioned) {
        (0, false) => Some((
            codes::ENVOY_FILTER_RELATIVE,
            Level::Warning,
            "the patch is relative to what others insert, and no priority says when it is applied.",
        )),
        (0, true) => Some((
            codes::ENVOY_FILTER_VERSION,
            Level::Warning,
            "the patch is relative to a filter that another patch touches for some proxy versions only, and no priority says when it is applied.",
        )),
        _ => None,
    }
}

/// The filter that a patch is about: by its value, or else by its match.
fn name(patch: &ConfigPatch) -> (bool, &str) {
    let value = patch.patch.as_ref().and_then(|patch| patch.value.as_ref());
    let Some(value) = value else {
        return (false, "");
    };
    if let Some(name) = &value.name {
        return (true, name);
    }
    let listener = patch.matched.as_ref().and_then(|m| m.listener.as_ref());
    let chain = listener.and_then(|listener| listener.filter_chain.as_ref());
    let filter = chain.and_then(|chain| chain.filter.as_ref());
    (false, filter.map_or("", |filter| filter.name.as_str()))
}
