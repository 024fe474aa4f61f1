//! `http[].rewrite`.

use crate::api::istio::http_route::{RegexRewrite, Rewrite};
use crate::model::UriRewrite;
use crate::translate::field_path::FieldPath;
use crate::translate::re2;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::check_target;
use crate::translate::virtual_service::headers::check_authority;

/// Reads a rewrite: the new path and the new Host.
pub(super) fn parse(
    rewrite: &Rewrite,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> (Option<UriRewrite>, Option<String>) {
    let Rewrite {
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
    if !authority.is_empty() {
        check_authority(authority, &path.field("authority"), report);
    }
    check_target(uri, &path.field("uri"), report);
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
    check_target(rewrite, &path.field("rewrite"), report);
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
