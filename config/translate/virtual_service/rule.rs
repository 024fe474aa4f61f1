//! `http[]`: one rule, with what it matches and what it does.

use std::sync::Arc;
use std::time::Duration;

use crate::api::istio::http_route::{Delegate, HttpRoute};
use crate::model::{CorsPolicy, DelegateOrigin, DirectResponse, Fault, Line, Retry, UriRewrite};
use crate::resources::ObjectKey;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;
use crate::translate::virtual_service::destination::DestinationTo;
use crate::translate::virtual_service::headers::{self, Edits};
use crate::translate::virtual_service::matches::{self, Match};
use crate::translate::virtual_service::mirror::MirrorTo;
use crate::translate::virtual_service::redirect::RedirectTo;
use crate::translate::virtual_service::{
    cors_policy, destination, direct_response, fault, mirror, redirect, retry, rewrite,
};

/// One rule of `spec.http`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// Its place in `spec.http`.
    pub(crate) index: usize,
    /// Never empty: a rule without matches has one that matches everything.
    pub(crate) matches: Vec<Match>,
    /// Whether `match` was missing or empty.
    pub(crate) unconditional: bool,
    pub(crate) headers: Edits,
    pub(crate) fault: Option<Fault>,
    pub(crate) cors: Option<Arc<CorsPolicy>>,
    pub(crate) action: RuleAction,
    /// Where it was delegated to and written; none for a rule of the VirtualService itself.
    pub(crate) delegate: Option<Delegated>,
}

/// Where a delegate's rule was written.
#[derive(Clone, Debug)]
pub(crate) struct Delegated {
    pub(crate) origin: Box<DelegateOrigin>,
    pub(crate) position: Option<Line>,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(crate) enum RuleAction {
    Forward(ForwardTo),
    Redirect(RedirectTo),
    DirectResponse(DirectResponse),
    /// The rules of another VirtualService; [`delegate::resolve`](super::delegate::resolve) puts
    /// them here.
    Delegate(ObjectKey),
}

/// Forwarding, before destinations are looked up.
#[derive(Clone, Debug)]
pub(crate) struct ForwardTo {
    pub(crate) destinations: Vec<DestinationTo>,
    /// Whether `route` has one entry; of several, those with weight 0 are gone already.
    pub(crate) single: bool,
    pub(crate) uri: Option<UriRewrite>,
    /// `rewrite.authority`, or else a Host set by the rule's headers.
    pub(crate) authority: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Arc<Retry>>,
    pub(crate) mirrors: Vec<MirrorTo>,
}

/// Reads a rule.
pub(crate) fn parse(
    route: &HttpRoute,
    index: usize,
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Rule {
    let HttpRoute {
        name,
        matches,
        route: destinations,
        redirect,
        direct_response,
        delegate,
        rewrite,
        timeout,
        retries,
        fault,
        mirror,
        mirror_percent,
        mirror_percentage,
        mirrors,
        cors_policy,
        headers: header_edits,
    } = route;
    check_conflicts(route, path, report);
    let fault = fault
        .as_ref()
        .and_then(|fault| fault::parse(fault, &path.field("fault"), report));
    let cors = cors_policy
        .as_ref()
        .map(|policy| cors_policy::parse(policy, &path.field("corsPolicy"), report))
        .map(Arc::new);
    // Read together, below.
    let _ = (mirror, mirrors, mirror_percent, mirror_percentage);
    let mirrors = mirror::parse(route, namespace, settings, path, report);
    let mut parsed = Vec::with_capacity(matches.len().max(1));
    let matches_path = path.field("match");
    for (i, matched) in matches.iter().enumerate() {
        let path = matches_path.index(i);
        parsed.push(matches::parse(matched, namespace, settings, &path, report));
    }
    let unconditional = parsed.is_empty();
    if unconditional {
        parsed.push(Match::everything());
    }
    let edits = match header_edits {
        Some(edits) => headers::parse(edits, &path.field("headers"), report),
        None => Edits::default(),
    };
    let timeout = timeout.and_then(|timeout| {
        // 0 turns a timeout off; validation refuses everything else below 1 ms.
        (timeout.as_nanos() != 0)
            .then(|| duration(timeout, &path.field("timeout"), report))
            .flatten()
    });
    let action = if let Some(delegate) = delegate {
        let Delegate {
            name,
            namespace: other,
        } = &**delegate;
        let namespace = if other.is_empty() { namespace } else { other };
        RuleAction::Delegate(ObjectKey::new(namespace, name))
    } else if let Some(redirect) = redirect {
        RuleAction::Redirect(redirect::parse(
            redirect,
            &parsed,
            &path.field("redirect"),
            report,
        ))
    } else if let Some(response) = direct_response {
        RuleAction::DirectResponse(direct_response::parse(
            response,
            &path.field("directResponse"),
            report,
        ))
    } else {
        let (uri, rewritten) = match rewrite {
            Some(rewrite) => rewrite::parse(rewrite, &path.field("rewrite"), report),
            None => (None, None),
        };
        if rewritten.is_some() && edits.authority.is_some() {
            report.invalid(
                &path.field("rewrite").field("authority"),
                "the Host is set twice, by rewrite.authority and by headers.request; the object is not used.",
                "Keep one of the two.",
            );
        }
        RuleAction::Forward(ForwardTo {
            single: destinations.len() == 1,
            destinations: destination::parse_all(
                destinations,
                namespace,
                settings,
                &path.field("route"),
                report,
            ),
            uri,
            authority: rewritten.or_else(|| edits.authority.clone()),
            timeout,
            retry: match retries {
                Some(retries) => retry::parse(retries, &path.field("retries"), report),
                None => retry::default_for(&settings.mesh),
            },
            mirrors,
        })
    };
    Rule {
        name: name.to_string(),
        index,
        matches: parsed,
        unconditional,
        headers: edits,
        fault,
        cors,
        action,
        delegate: None,
    }
}

fn check_conflicts(route: &HttpRoute, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let has_route = !route.route.is_empty();
    let pairs = [
        (route.delegate.is_some(), "delegate", has_route, "route"),
        (
            route.delegate.is_some(),
            "delegate",
            route.redirect.is_some(),
            "redirect",
        ),
        (route.redirect.is_some(), "redirect", has_route, "route"),
        (
            route.redirect.is_some(),
            "redirect",
            route.fault.is_some(),
            "fault",
        ),
        (
            route.redirect.is_some(),
            "redirect",
            route.rewrite.is_some(),
            "rewrite",
        ),
        (
            route.redirect.is_some(),
            "redirect",
            route.direct_response.is_some(),
            "directResponse",
        ),
        (
            route.direct_response.is_some(),
            "directResponse",
            has_route,
            "route",
        ),
        (
            route.direct_response.is_some(),
            "directResponse",
            route.fault.is_some(),
            "fault",
        ),
        (
            route.direct_response.is_some(),
            "directResponse",
            route.rewrite.is_some(),
            "rewrite",
        ),
        (
            route.mirror.is_some(),
            "mirror",
            !route.mirrors.is_empty(),
            "mirrors",
        ),
    ];
    for (one, one_name, other, other_name) in pairs {
        if one && other {
            report.invalid(
                &path.field(other_name),
                format!(
                    "a rule cannot have both {one_name} and {other_name}; the object is not used."
                ),
                "Split it into two rules, or remove one.",
            );
        }
    }
    let acts = has_route
        || route.redirect.is_some()
        || route.direct_response.is_some()
        || route.delegate.is_some();
    if !acts {
        report.invalid(
            path,
            "the rule does nothing: it has no route, redirect or directResponse; the object is not used.",
            "Add `route: [{destination: {host: NAME}}]`.",
        );
    }
}
