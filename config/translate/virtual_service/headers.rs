//! `headers`: edits of requests and responses, and the templates in their values.

use std::collections::BTreeMap;

use crate::api::istio::http_route::{HeaderOperations, Headers};
use crate::model::{HeaderEdit, HeaderName, HeaderValueTemplate, ValuePiece};
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::header_operators::{self, OperatorError};

/// The edits of one `headers` block, apart by what they do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    pub(crate) request: SideEdits,
    pub(crate) response: SideEdits,
    /// A `Host` or `:authority` that the request block sets or adds.
    pub(crate) authority: Option<String>,
}

/// The edits of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValueTemplate)>,
    add: Vec<(HeaderName, HeaderValueTemplate)>,
}

impl SideEdits {
    /// In the order in which Envoy executes them: what `self` and then `inner` remove, set, add.
    pub(crate) fn ordered(&self, inner: Option<&SideEdits>) -> Vec<HeaderEdit> {
        let levels = || std::iter::once(self).chain(inner);
        let remove = levels().flat_map(|level| &level.remove);
        let set = levels().flat_map(|level| &level.set);
        let add = levels().flat_map(|level| &level.add);
        remove
            .map(|name| HeaderEdit::Remove(name.clone()))
            .chain(set.map(|(name, value)| HeaderEdit::Set(name.clone(), value.clone())))
            .chain(add.map(|(name, value)| HeaderEdit::Add(name.clone(), value.clone())))
            .collect()
    }
}

/// Reads a `headers` block.
pub(crate) fn parse(
    headers: &Headers,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Edits {
    let Headers { request, response } = headers;
    let mut edits = Edits::default();
    if let Some(operations) = request {
        let path = path.field("request");
        edits.request = parse_side(operations, true, &mut edits.authority, &path, report);
    }
    if let Some(operations) = response {
        let path = path.field("response");
        edits.response = parse_side(operations, false, &mut None, &path, report);
    }
    edits
}

fn parse_side(
    operations: &HeaderOperations,
    is_request: bool,
    authority: &mut Option<String>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> SideEdits {
    let HeaderOperations { set, add, remove } = operations;
    let mut side = SideEdits::default();
    let maps: [(&'static str, &BTreeMap<String, String>, &mut Vec<_>); 2] =
        [("set", set, &mut side.set), ("add", add, &mut side.add)];
    for (verb, map, edits) in maps {
        let path = path.field(verb);
        for (name, value) in map {
            let path = path.field(name);
            if is_request && is_authority(name) {
                if authority.is_some() {
                    report.invalid(
                        &path,
                        "the Host is set twice by the same headers; the object is not used.",
                        "Keep one of the two.",
                    );
                } else {
                    *authority = parse_authority(value, &path, report);
                }
                continue;
            }
            if let Some(name) = parse_name(name, &path, report)
                && let Some(template) = parse_value(value, &path, report)
            {
                edits.push((name, template));
            }
        }
        edits.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let path = path.field("remove");
    for (i, name) in remove.iter().enumerate() {
        side.remove.extend(parse_name(name, &path.index(i), report));
    }
    side
}

/// Whether a header means the request's Host.
pub(crate) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// Fields that say where a message ends or belong to one connection alone (RFC 9110 §7.6.1,
/// RFC 9112 §6): the gateway writes them itself, and another value would let one request pass for
/// two.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A Host that the upstream is sent.
fn parse_authority(
    value: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<String> {
    let HeaderValueTemplate { pieces } = parse_value(value, path, report)?;
    match pieces.as_slice() {
        [ValuePiece::Literal(host)] => {
            check_authority(host, path, report);
            Some(host.clone())
        }
        _ => {
            report.no_effect(
                path,
                "a Host is taken as it is written, operators too (as Istio does), and that is no \
                 host: the Host is left as it is.",
                "Write a host, or set another header with the operator.",
            );
            None
        }
    }
}

/// Reports a Host that no server takes (RFC 9110 §7.2).
pub(crate) fn check_authority(value: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    if !hosts::is_authority(value) {
        report.invalid(
            path,
            format!(
                "`{}` is not a host with or without a port; the object is not used.",
                value.escape_debug()
            ),
            "Write `name`, `name:port`, or an IPv6 address in brackets.",
        );
    }
}

fn parse_name(
    name: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<HeaderName> {
    if is_authority(name) {
        report.invalid(
            path,
            "the Host header cannot be changed here; the object is not used.",
            "Use `rewrite.authority`, or `headers.request.set.Host`.",
        );
        return None;
    }
    if name.starts_with(':') {
        report.invalid(
            path,
            format!(
                "`{name}`: names that begin with `:` cannot be edited; the object is not used."
            ),
            "",
        );
        return None;
    }
    if let Some(framing) = FRAMING.iter().find(|f| f.eq_ignore_ascii_case(name)) {
        report.questionable(
            path,
            format!(
                "`{framing}` says how messages are told apart on a connection and is the \
                 gateway's own; this edit has no effect, all others do."
            ),
            "Remove it.",
        );
        return None;
    }
    let parsed = HeaderName::parse(name);
    if parsed.is_none() {
        report.invalid(
            path,
            format!("`{name}` is not a header name; the object is not used."),
            "Names are letters, digits and `-`.",
        );
    }
    parsed
}

fn parse_value(
    value: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<HeaderValueTemplate> {
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        report.invalid(
            path,
            "the value holds a control character; the object is not used.",
            "",
        );
        return None;
    }
    match parse_template(value) {
        Ok(template) => Some(template),
        Err(TemplateError::Unterminated) => {
            report.invalid(
                path,
                format!("`{value}`: a `%` opens an operator that is never closed; the object is not used."),
                "Write `%%` for a percent sign.",
            );
            None
        }
        Err(TemplateError::Operator(operator, OperatorError::Unknown)) => {
            report.invalid(
                path,
                format!("`%{operator}%` is no operator of header values; the object is not used."),
                "Write `%%` for a percent sign.",
            );
            None
        }
        Err(TemplateError::Operator(operator, OperatorError::Nothing(why))) => {
            report.no_effect(
                path,
                format!(
                    "`%{operator}%` has no value here, for {why}: this header is left as it is."
                ),
                "Leave it out.",
            );
            None
        }
    }
}

enum TemplateError {
    Unterminated,
    Operator(String, OperatorError),
}

fn parse_template(value: &str) -> Result<HeaderValueTemplate, TemplateError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        // A `%` may stand within the parentheses of an operator.
        let name_end = after.find(['%', '(']).ok_or(TemplateError::Unterminated)?;
        let end = if after[name_end..].starts_with('(') {
            let close = after[name_end..]
                .find(')')
                .ok_or(TemplateError::Unterminated)?;
            let tail = name_end + close;
            tail + after[tail..].find('%').ok_or(TemplateError::Unterminated)?
        } else {
            name_end
        };
        let operator = &after[..end];
        let piece = header_operators::parse(operator)
            .map_err(|error| TemplateError::Operator(operator.to_owned(), error))?;
        if !literal.is_empty() {
            pieces.push(ValuePiece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(ValuePiece::Literal(literal));
    }
    Ok(HeaderValueTemplate { pieces })
}
