//! `http[].match[]`: when a route applies.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::istio::http_route::{HttpMatch, StringMatch};
use crate::model::{
    Conditions, FullMatch, HeaderMatch, HeaderName, MatchedPath, Pattern, RouteMatch,
};
use crate::resources::ObjectKey;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars;
use crate::translate::{hosts, labels, re2};

/// One HTTPMatchRequest.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    /// Its name, for logs.
    pub(crate) name: String,
    /// What a request must look like.
    pub(crate) route_match: RouteMatch,
    /// The listener's port as written.
    pub(crate) port: Option<u16>,
    /// Gateways in place of the VirtualService's; empty: those.
    pub(crate) gateways: Vec<ObjectKey>,
    /// Whether it can apply to this gateway at all (source labels and namespace).
    pub(crate) applies: bool,
}

impl Match {
    /// A rule without matches.
    pub(crate) fn everything() -> Self {
        Self {
            name: String::new(),
            route_match: RouteMatch::default(),
            port: None,
            gateways: Vec::new(),
            applies: true,
        }
    }

    /// Whether it concerns a listener.
    pub(crate) fn concerns(&self, gateway: &ObjectKey, port: u16) -> bool {
        self.applies
            && self.port.is_none_or(|wanted| wanted == port)
            && (self.gateways.is_empty() || self.gateways.contains(gateway))
    }

    /// Whether every request matches, by Istio's measure (`IsCatchAllRoute`).
    pub(crate) fn is_catch_all(&self) -> bool {
        is_catch_all(&self.route_match)
    }
}

/// Istio's `IsCatchAllRoute`: prefix `/` or regex `.*`, and no other condition.
pub(crate) fn is_catch_all(route_match: &RouteMatch) -> bool {
    let RouteMatch {
        path,
        ignore_case: _,
        conditions,
        stat_prefix: _, // no condition
    } = route_match;
    let path = match path {
        MatchedPath::Any => true,
        MatchedPath::Prefix(prefix) => **prefix == *"/",
        MatchedPath::Regex(regex) => regex.as_written() == ".*",
        MatchedPath::Exact(_) => false,
    };
    path && conditions.is_none()
}

/// Reads a match.
pub(crate) fn parse(
    matched: &HttpMatch,
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Match {
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
    } = matched;
    let (with, claims) = parse_headers(headers, &path.field("headers"), report);
    let (without, no_claims) =
        parse_headers(without_headers, &path.field("withoutHeaders"), report);
    let port = (*port != 0).then(|| scalars::port(*port, &path.field("port"), report));
    let gateways: Vec<_> = {
        let path = path.field("gateways");
        super::check_gateway_names(gateways, &path, report);
        let keys = gateways.iter();
        keys.map(|name| hosts::gateway_key(name, namespace))
            .collect()
    };
    // `gateways` makes Istio ignore where the request comes from.
    let source = gateways.is_empty();
    let applies = !claims
        && !no_claims
        && (!source
            || (labels::is_subset(source_labels, &settings.labels)
                && (source_namespace.is_empty() || **source_namespace == settings.namespace)));
    if let Some(wrong) = labels::wrong(source_labels) {
        report.invalid(
            &path.field("sourceLabels"),
            format!("{wrong}; the object is not used."),
            "",
        );
    }
    if !source_namespace.is_empty() && !hosts::is_label(source_namespace) {
        report.invalid(
            &path.field("sourceNamespace"),
            format!("`{source_namespace}` is not a namespace; the object is not used."),
            "",
        );
    }
    let pattern = |condition: &Option<Box<StringMatch>>, name: &'static str, report: &mut _| {
        let path = path.field(name);
        condition
            .as_ref()
            .and_then(|c| parse_pattern(c, &path, report))
    };
    let mut query = Vec::with_capacity(query_params.len());
    let query_path = path.field("queryParams");
    for (name, condition) in query_params {
        let pattern = parse_pattern(condition, &query_path.field(name), report);
        query.extend(pattern.map(|pattern| (name.clone(), pattern)));
    }
    let matched_path = parse_path(uri.as_deref(), &path.field("uri"), report);
    let conditions = Conditions {
        method: pattern(method, "method", report),
        scheme: pattern(scheme, "scheme", report),
        authority: pattern(authority, "authority", report),
        headers: with,
        without_headers: without,
        query_params: query,
    };
    Match {
        name: name.to_string(),
        route_match: RouteMatch {
            path: matched_path,
            ignore_case: *ignore_uri_case,
            conditions: (!conditions.is_empty()).then(|| Arc::new(conditions)),
            stat_prefix: (!stat_prefix.is_empty()).then(|| stat_prefix.as_str().into()),
        },
        port: port.flatten(),
        gateways,
        applies,
    }
}

fn parse_path(
    uri: Option<&StringMatch>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> MatchedPath {
    let Some(uri) = uri else {
        return MatchedPath::Any;
    };
    check_one_of(uri, path, report);
    let StringMatch {
        exact,
        prefix,
        regex,
    } = uri;
    if let Some(exact) = exact {
        MatchedPath::Exact(exact.clone())
    } else if let Some(prefix) = prefix {
        MatchedPath::Prefix(prefix.clone())
    } else if let Some(pattern) = regex {
        match compile(pattern, &path.field("regex"), report) {
            Some(regex) => MatchedPath::Regex(regex.into()),
            None => MatchedPath::Any,
        }
    } else {
        MatchedPath::Any
    }
}

/// The first condition on a claim of a JWT: `@request.auth.claims.a.b` or `…claims[a][b]`.
pub(crate) fn claim(headers: &BTreeMap<String, Box<StringMatch>>) -> Option<&str> {
    const PREFIX: &str = "@request.auth.claims";
    let mut names = headers.keys().map(String::as_str);
    names.find(|name| {
        let (Some(prefix), Some(rest)) = (name.get(..PREFIX.len()), name.get(PREFIX.len()..))
        else {
            return false;
        };
        let dotted = rest
            .strip_prefix('.')
            .is_some_and(|claim| !claim.is_empty());
        let bracketed = rest.starts_with('[') && rest.ends_with(']') && rest.len() > 2;
        prefix.eq_ignore_ascii_case(PREFIX) && (dotted || bracketed)
    })
}

/// The conditions, and whether one of them asks for a JWT claim.
fn parse_headers(
    headers: &BTreeMap<String, Box<StringMatch>>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> (Vec<HeaderMatch>, bool) {
    let mut parsed = Vec::with_capacity(headers.len());
    let mut claims = false;
    for (name, condition) in headers {
        let path = path.field(name);
        if name
            .to_ascii_lowercase()
            .starts_with("@request.auth.claims")
        {
            claims = true;
            report.not_served(
                &path,
                "Routing by JWT claims",
                "no token is verified here, so this match never applies and its requests go to a later route or get 404",
            );
            continue;
        }
        let pseudo = [":method", ":scheme", ":authority", ":path", ":status"];
        let valid = !name.starts_with(':') || pseudo.contains(&name.as_str());
        match HeaderName::parse(name).filter(|_| valid) {
            Some(name) => {
                let pattern = parse_pattern(condition, &path, report);
                parsed.extend(pattern.map(|pattern| HeaderMatch { name, pattern }));
            }
            None => report.invalid(
                &path,
                format!("`{name}` is not a header name; the object is not used."),
                "Names are letters, digits and `-`.",
            ),
        }
    }
    (parsed, claims)
}

/// Reads a condition on a string; an empty one, and the regex `*`, mean present.
pub(super) fn parse_pattern(
    condition: &StringMatch,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Pattern> {
    check_one_of(condition, path, report);
    let StringMatch {
        exact,
        prefix,
        regex,
    } = condition;
    if let Some(exact) = exact {
        return Some(Pattern::Exact(exact.to_string()));
    }
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            report.invalid(
                &path.field("prefix"),
                "the prefix is empty; the object is not used.",
                "Write `{}` to ask only that it is present.",
            );
        }
        return Some(Pattern::Prefix(prefix.to_string()));
    }
    match regex {
        None => Some(Pattern::Present),
        Some(pattern) if **pattern == *"*" => Some(Pattern::Present),
        Some(pattern) => compile(pattern, &path.field("regex"), report).map(Pattern::Regex),
    }
}

fn compile(
    pattern: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<FullMatch> {
    match re2::full_match(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            report.invalid(
                path,
                format!(
                    "`{pattern}` is not a regular expression: {error}; the object is not used."
                ),
                "Istio's patterns are RE2's.",
            );
            None
        }
    }
}

fn check_one_of(condition: &StringMatch, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let StringMatch {
        exact,
        prefix,
        regex,
    } = condition;
    let set = [exact, prefix, regex]
        .iter()
        .filter(|c| c.is_some())
        .count();
    if set > 1 {
        report.invalid(
            path,
            "only one of exact, prefix and regex may be given; the object is not used.",
            "",
        );
    }
}
