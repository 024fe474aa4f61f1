//! `http[].delegate`: rules that are written in another VirtualService (Istio:
//! `mergeVirtualServicesIfNeeded`).
//!
//! The routes stand where the root's rule stands: order, hosts and Gateways are the root's. One
//! level only: a delegate that delegates was refused when it was read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::istio::http_route::{HttpMatch, HttpRoute, StringMatch};
use crate::api::rare::Rare;
use crate::codes;
use crate::finding::Level;
use crate::model::DelegateOrigin;
use crate::resources::ObjectKey;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::memory::Memory;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::virtual_service::rule::{self, Delegated, Rule, RuleAction};
use crate::translate::virtual_service::{VirtualService, place};

/// Puts the rules of delegates in the place of the rules that delegate to them.
pub(super) fn resolve(
    all: &mut [Arc<VirtualService>],
    settings: &Settings,
    memory: &mut Memory,
    report: &mut Report,
) {
    let delegates: HashMap<Arc<ObjectKey>, usize> = all
        .iter()
        .enumerate()
        .filter(|(_, service)| service.hosts.is_empty())
        .map(|(i, service)| (Arc::clone(&service.key), i))
        .collect();
    for i in 0..all.len() {
        let Some(root) = all.get(i).filter(|service| delegating(service)) else {
            continue;
        };
        let mut report = report.on("VirtualService", &root.key);
        let mut rules = Vec::with_capacity(root.rules.len());
        for rule in &root.rules {
            match &rule.action {
                RuleAction::Delegate(key) => {
                    let delegate = delegates
                        .get(key)
                        .and_then(|i| all.get(*i))
                        .map(Arc::as_ref);
                    let path = FieldPath::root("spec");
                    let path = path.field("http");
                    let path = path.index(rule.index);
                    let field = path.field("delegate");
                    if let Some(delegate) = find(root, key, delegate, &field, &mut report) {
                        merged(
                            root,
                            rule,
                            delegate,
                            settings,
                            &field,
                            &mut rules,
                            &mut report,
                        );
                    }
                }
                _ => rules.push(rule.clone()),
            }
        }
        if let Some(root) = all.get_mut(i) {
            // As it was read, it is remembered for the next translation.
            let root = Arc::make_mut(root);
            root.rules = rules;
            root.version = memory.next_version();
        }
    }
}

pub(super) fn delegating(service: &VirtualService) -> bool {
    let mut rules = service.rules.iter();
    rules.any(|rule| matches!(rule.action, RuleAction::Delegate(_)))
}

/// The delegate, if the root may have it; otherwise only this rule is left out.
fn find<'a>(
    root: &VirtualService,
    key: &ObjectKey,
    delegate: Option<&'a VirtualService>,
    field: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<&'a VirtualService> {
    const EFFECT: &str = "this rule is left out, and its requests go to a later rule or get 404";
    let Some(delegate) = delegate else {
        report.add(
            codes::REFERENCE,
            Level::Error,
            field,
            format!("there is no VirtualService {key} without hosts that could be used: {EFFECT}."),
            "A delegate is a VirtualService without `hosts` and `gateways`.",
        );
        return None;
    };
    if !delegate.visibility.sees(&root.key.namespace) {
        report.add(
            codes::REFERENCE,
            Level::Error,
            field,
            format!(
                "the VirtualService {key} is not exported to the namespace {}: {EFFECT}.",
                root.key.namespace
            ),
            format!("Add `{}` to its exportTo.", root.key.namespace),
        );
        return None;
    }
    Some(delegate)
}

fn merged(
    root: &VirtualService,
    rule: &Rule,
    delegate: &VirtualService,
    settings: &Settings,
    field: &FieldPath<'_>,
    rules: &mut Vec<Rule>,
    report: &mut ObjectReport<'_>,
) {
    let Some(outer) = root.object.body.http.get(rule.index) else {
        return;
    };
    let outer = qualified(outer, &root.key.namespace, settings);
    let namespace = &delegate.key.namespace;
    for (i, inner) in delegate.object.body.http.iter().enumerate() {
        let inner = qualified(inner, namespace, settings);
        let Some(route) = merge(&outer, inner) else {
            report.add(
                codes::DELEGATE_CONFLICT,
                Level::Warning,
                field,
                format!(
                    "rule {i} of the delegate {} matches requests that this rule does not: it is left out.",
                    delegate.key
                ),
                "Each match of the delegate must be as narrow as one here, and neither may have a regex where the other has a condition.",
            );
            continue;
        };
        // Both were judged where they are written; together they say nothing new.
        let mut silent = Report::default();
        let mut silent = silent.on("VirtualService", &root.key);
        rules.push(Rule {
            delegate: Some(Delegated {
                origin: Box::new(DelegateOrigin {
                    virtual_service: Arc::clone(&delegate.key),
                    rule: place(i),
                }),
                position: delegate.position(i),
            }),
            ..rule::parse(&route, rule.index, namespace, settings, field, &mut silent)
        });
    }
}

/// The same rule with full names, so that it reads alike in every namespace.
fn qualified(route: &HttpRoute, namespace: &str, settings: &Settings) -> HttpRoute {
    let mut route = route.clone();
    let mirrors = route.mirrors.iter_mut();
    let copies = mirrors.filter_map(|mirror| mirror.destination.as_mut());
    for destination in copies.chain(route.mirror.as_mut()) {
        destination.host = hosts::qualify(&destination.host, namespace, &settings.cluster_domain);
    }
    for matched in &mut route.matches {
        for name in matched.gateways.iter_mut() {
            let key = hosts::gateway_key(name, namespace);
            *name = format!("{}/{}", key.namespace, key.name);
        }
    }
    route
}

/// The delegate's rule with what the root's has and it has not; none where no request could come
/// to it. Every field of the rule is named, so that none is forgotten.
fn merge(root: &HttpRoute, delegate: HttpRoute) -> Option<HttpRoute> {
    let HttpRoute {
        name,
        matches,
        // Never taken over.
        route,
        redirect,
        delegate: _,
        direct_response,
        rewrite,
        timeout,
        retries,
        fault,
        mirror,
        mirror_percent,
        mirror_percentage,
        mirrors,
        cors_policy,
        headers,
    } = delegate;
    fn or<T: Clone>(own: Option<T>, root: &Option<T>) -> Option<T> {
        own.or_else(|| root.clone())
    }
    Some(HttpRoute {
        name: join(&root.name, &name),
        matches: merge_matches(&root.matches, matches)?,
        route,
        redirect,
        delegate: None,
        direct_response: or(direct_response, &root.direct_response),
        rewrite: or(rewrite, &root.rewrite),
        timeout: or(timeout, &root.timeout),
        retries: or(retries, &root.retries),
        fault: or(fault, &root.fault),
        mirror: or(mirror, &root.mirror),
        mirror_percent: or(mirror_percent, &root.mirror_percent),
        mirror_percentage: or(mirror_percentage, &root.mirror_percentage),
        mirrors: if mirrors.is_empty() {
            root.mirrors.clone()
        } else {
            mirrors
        },
        cors_policy: or(cors_policy, &root.cors_policy),
        headers: or(headers, &root.headers),
    })
}

fn join(root: &str, own: &str) -> Rare<String> {
    Rare::from(match (root, own) {
        (root, "") => root.to_owned(),
        ("", own) => own.to_owned(),
        (root, own) => format!("{root}-{own}"),
    })
}

/// Every pair of matches that go together; none if a match of the delegate goes with none of the
/// root's.
fn merge_matches(root: &[HttpMatch], delegate: Vec<HttpMatch>) -> Option<Vec<HttpMatch>> {
    if root.is_empty() {
        return Some(delegate);
    }
    if delegate.is_empty() {
        return Some(root.to_vec());
    }
    let mut pairs = Vec::new();
    for own in &delegate {
        let before = pairs.len();
        let fitting = root.iter().filter(|root| !conflict(root, own));
        pairs.extend(fitting.map(|root| merge_match(root, own)));
        if pairs.len() == before {
            return None;
        }
    }
    Some(pairs)
}

fn merge_match(root: &HttpMatch, own: &HttpMatch) -> HttpMatch {
    let HttpMatch {
        name,
        uri,
        scheme,
        method,
        authority,
        headers,
        port,
        source_labels,
        gateways,
        query_params,
        ignore_uri_case,
        without_headers,
        source_namespace,
        stat_prefix,
    } = own;
    let or = |own: &Option<Box<StringMatch>>, root: &Option<Box<StringMatch>>| {
        own.clone().or_else(|| root.clone())
    };
    fn union<T: Clone + 'static>(
        root: &BTreeMap<String, T>,
        own: &BTreeMap<String, T>,
    ) -> Rare<BTreeMap<String, T>> {
        let mut all = root.clone();
        all.extend(own.clone());
        all.into()
    }
    let text =
        |own: &Rare<String>, root: &Rare<String>| if own.is_empty() { root } else { own }.clone();
    HttpMatch {
        name: join(&root.name, name),
        uri: or(uri, &root.uri),
        scheme: or(scheme, &root.scheme),
        method: or(method, &root.method),
        authority: or(authority, &root.authority),
        headers: union(&root.headers, headers),
        port: if *port == 0 { root.port } else { *port },
        source_labels: union(&root.source_labels, source_labels),
        gateways: if gateways.is_empty() {
            root.gateways.clone()
        } else {
            gateways.clone()
        },
        query_params: union(&root.query_params, query_params),
        ignore_uri_case: *ignore_uri_case,
        without_headers: union(&root.without_headers, without_headers),
        source_namespace: text(source_namespace, &root.source_namespace),
        stat_prefix: text(stat_prefix, &root.stat_prefix),
    }
}

/// Whether a match of the delegate asks for something that the root's does not let through
/// (Istio: `hasConflict`). What only one of them names is never in conflict.
fn conflict(root: &HttpMatch, own: &HttpMatch) -> bool {
    let maps = [
        (&root.headers, &own.headers),
        (&root.without_headers, &own.without_headers),
        (&root.query_params, &own.query_params),
    ];
    let named = maps.iter().any(|(root, own)| {
        own.iter()
            .any(|(name, own)| text_conflict(root.get(name).map(Box::as_ref), Some(own)))
    });
    let texts = [
        (&root.uri, &own.uri),
        (&root.scheme, &own.scheme),
        (&root.method, &own.method),
        (&root.authority, &own.authority),
    ];
    let both_differ = |root: &str, own: &str| !root.is_empty() && !own.is_empty() && root != own;
    named
        || texts
            .iter()
            .any(|(root, own)| text_conflict(root.as_deref(), own.as_deref()))
        || root.ignore_uri_case != own.ignore_uri_case
        || (root.port != 0 && own.port != 0 && root.port != own.port)
        || both_differ(&root.source_namespace, &own.source_namespace)
        || root.source_labels.iter().any(|(key, value)| {
            let own = own.source_labels.get(key);
            own.is_some_and(|own| own != value)
        })
        || (!root.gateways.is_empty()
            && !own.gateways.iter().all(|name| root.gateways.contains(name)))
}

/// Istio's `stringMatchConflict`, which takes an empty text for one that is not there.
fn text_conflict(root: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    let (Some(root), Some(own)) = (root, own) else {
        return false;
    };
    fn set(text: &Option<Box<str>>) -> Option<&str> {
        text.as_deref().filter(|text| !text.is_empty())
    }
    let is_set = |condition: &StringMatch| {
        set(&condition.exact)
            .or(set(&condition.prefix))
            .or(set(&condition.regex))
            .is_some()
    };
    if (set(&root.regex).is_some() && is_set(own)) || (set(&own.regex).is_some() && is_set(root)) {
        return true;
    }
    match (set(&root.exact), set(&root.prefix)) {
        (Some(exact), _) => set(&own.prefix).is_some() || set(&own.exact) != Some(exact),
        (None, Some(prefix)) => {
            let narrower = set(&own.prefix).or(set(&own.exact));
            !narrower.is_some_and(|own| own.starts_with(prefix))
        }
        (None, None) => true,
    }
}
