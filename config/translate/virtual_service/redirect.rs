//! `http[].redirect`.

use crate::api::istio::http_route::{DerivePort, Redirect};
use crate::model::MatchedPath;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::port;
use crate::translate::virtual_service::check_target;
use crate::translate::virtual_service::headers::check_authority;
use crate::translate::virtual_service::matches::Match;

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

/// Reads a redirect of a rule with these matches.
pub(super) fn parse(
    redirect: &Redirect,
    matches: &[Match],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> RedirectTo {
    let Redirect {
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
        let path = &matched.route_match.path;
        matches!(path, MatchedPath::Any | MatchedPath::Prefix(_))
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
    if !authority.is_empty() {
        check_authority(authority, &path.field("authority"), report);
    }
    for (field, target) in [("uri", &uri), ("prefixRewrite", &prefix_rewrite)] {
        if let Some(target) = target {
            check_target(target, &path.field(field), report);
        }
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
    RedirectTo {
        code,
        scheme: (!scheme.is_empty()).then(|| scheme.clone()),
        authority: (!authority.is_empty()).then(|| authority.clone()),
        port,
        uri,
        prefix_rewrite,
    }
}
