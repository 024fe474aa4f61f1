//! `http[].corsPolicy` (Istio: `TranslateCORSPolicy`).

use crate::api::istio::http_route::{CorsPolicy as Api, UnmatchedPreflights};
use crate::model::{CorsPolicy, HeaderName, Pattern};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;
use crate::translate::suggest::did_you_mean;
use crate::translate::virtual_service::matches;

/// The methods that Istio takes.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// Reads a policy.
pub(super) fn parse(
    policy: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> CorsPolicy {
    // The origins are read apart.
    let Api {
        allow_origin: _,
        allow_origins: _,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        unmatched_preflights,
    } = policy;
    for (i, method) in allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            report.invalid(
                &path.field("allowMethods").index(i),
                format!("`{method}` is no method that a policy can allow; the object is not used."),
                did_you_mean(method, METHODS),
            );
        }
    }
    for (field, names) in [
        ("allowHeaders", allow_headers),
        ("exposeHeaders", expose_headers),
    ] {
        for (i, name) in names.iter().enumerate() {
            if name.starts_with(':') || HeaderName::parse(name).is_none() {
                report.invalid(
                    &path.field(field).index(i),
                    format!("`{name}` is not a header name; the object is not used."),
                    "Names are letters, digits and `-`.",
                );
            }
        }
    }
    let max_age = max_age.and_then(|age| {
        let path = path.field("maxAge");
        if age.as_nanos() % 1_000_000_000 != 0 {
            report.invalid(
                &path,
                format!("{age} is not a whole number of seconds; the object is not used."),
                "",
            );
            return None;
        }
        duration(age, &path, report)
    });
    CorsPolicy {
        origins: origins(policy, path, report),
        allow_methods: allow_methods.join(","),
        allow_headers: allow_headers.join(","),
        expose_headers: expose_headers.join(","),
        max_age: max_age.map(|age| age.as_secs()),
        allow_credentials: allow_credentials.unwrap_or(false),
        forward_unmatched: *unmatched_preflights != UnmatchedPreflights::Ignore,
    }
}

/// `allowOrigins`, or else the deprecated list of exact ones.
fn origins(policy: &Api, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> Vec<Pattern> {
    let mut origins = Vec::with_capacity(policy.allow_origins.len());
    for (i, origin) in policy.allow_origins.iter().enumerate() {
        let list = path.field("allowOrigins");
        let path = list.index(i);
        let texts = [&origin.exact, &origin.prefix, &origin.regex];
        if texts
            .iter()
            .all(|text| text.as_deref().unwrap_or_default().is_empty())
        {
            report.invalid(
                &path,
                "the origin is empty; the object is not used.",
                "Write `exact: https://app.example.com`, a `prefix` or a `regex`.",
            );
            continue;
        }
        origins.extend(matches::parse_pattern(origin, &path, report));
    }
    if policy.allow_origins.is_empty() {
        let exact = policy.allow_origin.iter().cloned();
        origins.extend(exact.map(Pattern::Exact));
    }
    if !policy.allow_origin.is_empty() {
        report.questionable(
            &path.field("allowOrigin"),
            "allowOrigin is deprecated, and not looked at where allowOrigins is given.",
            "Write `allowOrigins: [{exact: …}]`.",
        );
    }
    origins
}
