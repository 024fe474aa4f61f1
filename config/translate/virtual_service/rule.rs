//! `http[]`: one rule, with what it matches and what it does.

use std::time::Duration;

use crate::api::istio::http_route::{
    Body, DerivePort, DirectResponse as ApiDirectResponse, HttpRoute, HttpRouteDestination,
    Redirect as ApiRedirect, RegexRewrite, Rewrite as ApiRewrite,
};
use crate::api::istio::virtual_service::{Destination as ApiDestination, PortSelector};
use crate::model::{DirectResponse, Retry, UriRewrite};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::headers::{self, Edits};
use crate::translate::virtual_service::matches::{self, Match};
use crate::translate::virtual_service::{duration, port, retry};
use crate::translate::{hosts, re2};

/// Envoy's limit on the body of a direct response, and Istio's.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Above this Istio warns.
const LARGE_BODY_BYTES: usize = 100 << 10;

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
    pub(crate) action: RuleAction,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(crate) enum RuleAction {
    Forward(ForwardTo),
    Redirect(RedirectTo),
    DirectResponse(DirectResponse),
    /// Something that is not supported and must not be taken for something else.
    NotServed,
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
    pub(crate) retry: Option<Retry>,
}

/// One destination, before it is looked up.
#[derive(Clone, Debug)]
pub(crate) struct DestinationTo {
    /// The full name.
    pub(crate) host: String,
    pub(crate) subset: String,
    pub(crate) port: Option<u16>,
    pub(crate) weight: u32,
    pub(crate) headers: Edits,
    /// Its place in `route`.
    pub(crate) index: usize,
}

/// A redirect, before the listener's port is known.
#[derive(Clone, Debug)]
pub(crate) struct RedirectTo {
    pub(crate) code: u16,
    pub(crate) scheme: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) port: RedirectPortTo,
    pub(crate) uri: Option<String>,
    pub(crate) prefix_rewrite: Option<String>,
}

/// The port of a redirect, before the listener's is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectPortTo {
    Default,
    Listener,
    Number(u16),
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
    if fault.is_some() {
        report.unsupported(
            &path.field("fault"),
            "fault",
            "no delay and no error is injected, requests are served as if it were not there",
        );
    }
    if mirror.is_some() || !mirrors.is_empty() {
        let field = if mirror.is_some() {
            "mirror"
        } else {
            "mirrors"
        };
        report.unsupported(
            &path.field(field),
            field,
            "no copy of the requests is sent; the requests themselves are served",
        );
    }
    // Shares of the mirror above: without it they mean nothing.
    let _ = (mirror_percent, mirror_percentage);
    if cors_policy.is_some() {
        report.unsupported(
            &path.field("corsPolicy"),
            "corsPolicy",
            "browsers get no CORS headers and refuse the answers to scripts of other origins",
        );
    }
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
    let action = if delegate.is_some() {
        report.not_served(
            &path.field("delegate"),
            "delegate",
            "this rule is left out, and its requests go to a later rule or get 404",
        );
        RuleAction::NotServed
    } else if let Some(redirect) = redirect {
        parse_redirect(redirect, &parsed, &path.field("redirect"), report)
    } else if let Some(response) = direct_response {
        parse_direct_response(response, &path.field("directResponse"), report)
    } else {
        let (uri, rewritten) = match rewrite {
            Some(rewrite) => parse_rewrite(rewrite, &path.field("rewrite"), report),
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
            destinations: parse_destinations(
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
                None => Some(retry::default_policy()),
            },
        })
    };
    Rule {
        name: name.clone(),
        index,
        matches: parsed,
        unconditional,
        headers: edits,
        action,
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

fn parse_destinations(
    destinations: &[HttpRouteDestination],
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<DestinationTo> {
    let single = destinations.len() == 1;
    let mut parsed = Vec::with_capacity(destinations.len());
    let mut total = 0u64;
    for (i, entry) in destinations.iter().enumerate() {
        let path = path.index(i);
        let HttpRouteDestination {
            destination,
            weight,
            headers: header_edits,
        } = entry;
        if *weight < 0 {
            report.invalid(
                &path.field("weight"),
                format!("the weight {weight} is below zero; the object is not used."),
                "",
            );
        }
        let share = u32::try_from(*weight).unwrap_or(0);
        total += u64::from(share);
        let edits = match header_edits {
            Some(edits) => headers::parse(edits, &path.field("headers"), report),
            None => Edits::default(),
        };
        let Some(destination) = destination else {
            report.invalid(
                &path,
                "a destination is missing; the object is not used.",
                "",
            );
            continue;
        };
        let found = parse_destination(
            destination,
            namespace,
            settings,
            &path.field("destination"),
            report,
        );
        // Shares of zero get nothing, but the weight of a single destination means nothing.
        if single || share > 0 {
            parsed.push(DestinationTo {
                weight: if single { 1 } else { share },
                headers: edits,
                index: i,
                ..found
            });
        }
    }
    if !single && !destinations.is_empty() && total == 0 {
        report.invalid(
            path,
            "the weights sum to zero, so no destination would get a request; the object is not used.",
            "Give each destination its share, such as `weight: 50`.",
        );
    }
    parsed
}

fn parse_destination(
    destination: &ApiDestination,
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> DestinationTo {
    let ApiDestination {
        host,
        subset,
        port: selector,
    } = destination;
    let wrong = if host == "*" {
        Some("`*` is no destination".to_owned())
    } else if hosts::is_ip(host) {
        // Istio takes its labels for a host name's and refuses the last one.
        Some("an IP address is no destination".to_owned())
    } else {
        hosts::wildcard_domain_error(host)
    };
    if let Some(wrong) = wrong {
        report.invalid(
            &path.field("host"),
            format!("the destination host `{host}` is wrong: {wrong}; the object is not used."),
            "Name a Service, or a host of a ServiceEntry.",
        );
    }
    if !subset.is_empty() && !hosts::is_label(subset) {
        report.invalid(
            &path.field("subset"),
            format!("`{subset}` is not a subset's name; the object is not used."),
            "",
        );
    }
    let number = selector.as_ref().and_then(|PortSelector { number }| {
        port(*number, &path.field("port").field("number"), report)
    });
    DestinationTo {
        host: hosts::qualify(host, namespace, &settings.cluster_domain),
        subset: subset.clone(),
        port: number,
        weight: 1,
        headers: Edits::default(),
        index: 0,
    }
}

fn parse_rewrite(
    rewrite: &ApiRewrite,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> (Option<UriRewrite>, Option<String>) {
    let ApiRewrite {
        uri,
        authority,
        uri_regex_rewrite,
    } = rewrite;
    if !uri.is_empty() && uri_regex_rewrite.is_some() {
        report.invalid(
            path,
            "only one of uri and uriRegexRewrite may be given; the object is not used.",
            "",
        );
    }
    if uri.is_empty() && authority.is_empty() && uri_regex_rewrite.is_none() {
        report.invalid(
            path,
            "the rewrite changes nothing; the object is not used.",
            "Give it a uri, a uriRegexRewrite or an authority, or remove it.",
        );
    }
    let uri = match uri_regex_rewrite {
        Some(regex) => parse_regex_rewrite(regex, &path.field("uriRegexRewrite"), report),
        None => (!uri.is_empty()).then(|| UriRewrite::Prefix(uri.clone())),
    };
    (uri, (!authority.is_empty()).then(|| authority.clone()))
}

fn parse_regex_rewrite(
    rewrite: &RegexRewrite,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<UriRewrite> {
    let RegexRewrite { pattern, rewrite } = rewrite;
    if pattern.is_empty() || rewrite.is_empty() {
        report.invalid(
            path,
            "uriRegexRewrite needs both match and rewrite; the object is not used.",
            "",
        );
        return None;
    }
    let regex = re2::search(pattern);
    let replaced = match &regex {
        Ok(regex) => re2::replacement(rewrite, regex.captures_len() - 1),
        Err(error) => Err(error.clone()),
    };
    match (regex, replaced) {
        (Ok(regex), Ok(replacement)) => Some(UriRewrite::Regex { regex, replacement }),
        (Err(error), _) => {
            report.invalid(
                &path.field("match"),
                format!(
                    "`{pattern}` is not a regular expression: {error}; the object is not used."
                ),
                "Istio's patterns are RE2's.",
            );
            None
        }
        (_, Err(error)) => {
            report.invalid(
                &path.field("rewrite"),
                format!("`{rewrite}` is wrong: {error}; the object is not used."),
                "",
            );
            None
        }
    }
}

fn parse_redirect(
    redirect: &ApiRedirect,
    matches: &[Match],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> RuleAction {
    let ApiRedirect {
        uri,
        prefix_rewrite,
        authority,
        port: port_number,
        derive_port,
        scheme,
        redirect_code,
    } = redirect;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (uri, prefix_rewrite) = (text(uri), text(prefix_rewrite));
    if uri.is_some() && prefix_rewrite.is_some() {
        report.invalid(
            path,
            "only one of uri and prefixRewrite may be given; the object is not used.",
            "",
        );
    }
    let by_prefix = |matched: &Match| {
        use crate::model::MatchedPath::{Any, Prefix};
        matches!(matched.route_match.path, Any | Prefix(_))
    };
    if prefix_rewrite.is_some() && !matches.iter().all(by_prefix) {
        report.invalid(
            &path.field("prefixRewrite"),
            "prefixRewrite needs every uri match to be a prefix; the object is not used.",
            "Match by `prefix`, or redirect with `uri`.",
        );
    }
    if port_number.is_some() && derive_port.is_some() {
        report.invalid(
            path,
            "only one of port and derivePort may be given; the object is not used.",
            "",
        );
    }
    let has_port = port_number.is_some() || derive_port.is_some();
    let names_place =
        uri.is_some() || prefix_rewrite.is_some() || !authority.is_empty() || !scheme.is_empty();
    if !names_place && !has_port {
        report.invalid(
            path,
            "the redirect says nothing new: no uri, authority, scheme or port; the object is not used.",
            "Every answer would send the client to where it is.",
        );
    }
    if !matches!(scheme.as_str(), "" | "http" | "https") {
        report.invalid(
            &path.field("scheme"),
            format!("`{scheme}` is no scheme of a redirect; the object is not used."),
            "Write http or https.",
        );
    }
    let port = match (port_number, derive_port) {
        (Some(0), _) => RedirectPortTo::Default,
        (Some(number), _) => match port(*number, &path.field("port"), report) {
            Some(number) => RedirectPortTo::Number(number),
            None => RedirectPortTo::Default,
        },
        (None, Some(DerivePort::FromRequestPort)) => RedirectPortTo::Listener,
        (None, Some(DerivePort::FromProtocolDefault) | None) => RedirectPortTo::Default,
    };
    let code = match redirect_code {
        0 => 301,
        301 | 302 | 303 | 307 | 308 => u16::try_from(*redirect_code).unwrap_or(301),
        other => {
            report.invalid(
                &path.field("redirectCode"),
                format!("{other} is no status of a redirect; the object is not used."),
                "Use 301, 302, 303, 307 or 308.",
            );
            301
        }
    };
    RuleAction::Redirect(RedirectTo {
        code,
        scheme: (!scheme.is_empty()).then(|| scheme.clone()),
        authority: (!authority.is_empty()).then(|| authority.clone()),
        port,
        uri,
        prefix_rewrite,
    })
}

fn parse_direct_response(
    response: &ApiDirectResponse,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> RuleAction {
    let ApiDirectResponse { status, body } = response;
    let code = match u16::try_from(*status) {
        Ok(code @ 200..=599) => code,
        _ => {
            report.invalid(
                &path.field("status"),
                format!("the status {status} is not between 200 and 599; the object is not used."),
                "",
            );
            500
        }
    };
    let body_path = path.field("body");
    let body = match body {
        None => Vec::new(),
        Some(Body { string, bytes }) => {
            if string.is_some() && bytes.is_some() {
                report.invalid(
                    &body_path,
                    "only one of string and bytes may be given; the object is not used.",
                    "",
                );
            }
            match (string, bytes) {
                (Some(string), _) => string.clone().into_bytes(),
                (None, Some(bytes)) => bytes.0.clone(),
                (None, None) => Vec::new(),
            }
        }
    };
    if body.len() > MAX_BODY_BYTES {
        report.invalid(
            &body_path,
            "the body is larger than 1 MiB; the object is not used.",
            "Serve it from a web server.",
        );
    } else if body.len() > LARGE_BODY_BYTES {
        report.questionable(&body_path, "the body is larger than 100 KiB.", "");
    }
    RuleAction::DirectResponse(DirectResponse { status: code, body })
}
