//! One route's conditions: HTTPMatchRequest, compiled.

use std::borrow::Cow;
use std::sync::Arc;

use gatehouse_config::model::{Conditions, FullMatch, HeaderMatch, Pattern};

use crate::http1::Fields;

/// What a route can look at.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The normalised path, without the query.
    pub path: &'a [u8],
    /// The query without `?`; none when there is no `?`.
    pub query: Option<&'a [u8]>,
    /// The Host as sent, port included.
    pub authority: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// The other fields.
    pub fields: &'a Fields,
}

/// When a route applies.
#[derive(Debug)]
pub struct Matcher {
    /// The path condition.
    pub path: Path,
    /// Everything else; none for most routes.
    pub conditions: Option<Arc<Conditions>>,
}

/// The path condition.
#[derive(Debug)]
pub enum Path {
    /// None.
    Any,
    /// The whole path.
    Exact(Box<[u8]>),
    /// The whole path, without ASCII case.
    ExactIgnoreCase(Box<[u8]>),
    /// A plain string prefix.
    Prefix(Box<[u8]>),
    /// A plain string prefix, without ASCII case.
    PrefixIgnoreCase(Box<[u8]>),
    /// A full match.
    Regex(Arc<FullMatch>),
}

impl Matcher {
    /// Whether the request fits.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        self.path.matches(request.path) && self.conditions_match(request)
    }

    /// Whether the request fits, once its path is known to begin with the literal text of this
    /// condition on the path.
    pub(super) fn matches_found(&self, request: &RequestView<'_>) -> bool {
        match &self.path {
            Path::Regex(regex) => regex.is_match(request.path) && self.conditions_match(request),
            _ => self.conditions_match(request),
        }
    }

    /// Whether everything but the path fits.
    pub fn conditions_match(&self, request: &RequestView<'_>) -> bool {
        self.conditions
            .as_deref()
            .is_none_or(|conditions| first_unmet(conditions, request).is_none())
    }

    /// The first condition that the request fails; none: it fits, as [`matches`](Self::matches)
    /// says.
    pub fn first_unmet(&self, request: &RequestView<'_>) -> Option<Unmet<'_>> {
        if !self.path.matches(request.path) {
            return Some(Unmet::Path(&self.path));
        }
        first_unmet(self.conditions.as_deref()?, request)
    }
}

impl Path {
    /// Whether a path fits.
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(want) => **want == *path,
            Self::ExactIgnoreCase(want) => want.eq_ignore_ascii_case(path),
            Self::Prefix(want) => path.starts_with(want),
            Self::PrefixIgnoreCase(want) => path
                .get(..want.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(want)),
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// What a path that does not fit lacks.
    fn wants(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Any => "fits".to_owned(),
            Self::Exact(want) => format!("is not exactly `{}`", text(want)),
            Self::ExactIgnoreCase(want) => format!("is not `{}` in any case", text(want)),
            Self::Prefix(want) => format!("does not begin with `{}`", text(want)),
            Self::PrefixIgnoreCase(want) => {
                format!("does not begin with `{}` in any case", text(want))
            }
            Self::Regex(want) => format!("does not match the regex `{}`", want.as_written()),
        }
    }

    /// How much of a path the prefix covers: what `rewrite.uri` replaces. Exact and regex matches
    /// cover all of it; no condition is Envoy's prefix `/`.
    pub fn matched_length(&self, path: &[u8]) -> usize {
        match self {
            Self::Any => usize::from(path.first() == Some(&b'/')),
            Self::Prefix(prefix) | Self::PrefixIgnoreCase(prefix) => prefix.len().min(path.len()),
            Self::Exact(_) | Self::ExactIgnoreCase(_) | Self::Regex(_) => path.len(),
        }
    }
}

#[inline]
fn first_unmet<'c>(conditions: &'c Conditions, request: &RequestView<'_>) -> Option<Unmet<'c>> {
    fn fails<'p>(pattern: &'p Option<Pattern>, value: &[u8]) -> Option<&'p Pattern> {
        pattern.as_ref().filter(|pattern| !pattern.matches(value))
    }
    if let Some(pattern) = fails(&conditions.method, request.method) {
        return Some(Unmet::Method(pattern));
    }
    if let Some(pattern) = fails(&conditions.scheme, request.scheme) {
        return Some(Unmet::Scheme(pattern));
    }
    if let Some(pattern) = fails(&conditions.authority, request.authority) {
        return Some(Unmet::Authority(pattern));
    }
    let mut headers = conditions.headers.iter();
    if let Some(condition) = headers.find(|condition| !holds(condition, request)) {
        return Some(Unmet::Header(condition));
    }
    let mut without = conditions.without_headers.iter();
    if let Some(condition) = without.find(|condition| !is_absent_or_differs(condition, request)) {
        return Some(Unmet::WithoutHeader(condition));
    }
    let query = request.query.unwrap_or_default();
    let mut parameters = conditions.query_params.iter();
    let parameter = parameters.find(|(name, pattern)| {
        !query_param(query, name.as_bytes()).is_some_and(|value| pattern.matches(value))
    })?;
    Some(Unmet::QueryParam(&parameter.0, &parameter.1))
}

/// A condition that a request fails.
#[derive(Clone, Copy, Debug)]
pub enum Unmet<'a> {
    /// Of the path.
    Path(&'a Path),
    /// Of the method.
    Method(&'a Pattern),
    /// Of the scheme.
    Scheme(&'a Pattern),
    /// Of the Host as sent.
    Authority(&'a Pattern),
    /// Of a header.
    Header(&'a HeaderMatch),
    /// Of a header that must not match.
    WithoutHeader(&'a HeaderMatch),
    /// Of a query parameter.
    QueryParam(&'a str, &'a Pattern),
}

impl Unmet<'_> {
    /// How many kinds of conditions held before this one: the route that fails latest is the
    /// nearest one.
    pub fn depth(&self) -> u8 {
        match self {
            Self::Path(_) => 0,
            Self::Method(_) => 1,
            Self::Scheme(_) => 2,
            Self::Authority(_) => 3,
            Self::Header(_) => 4,
            Self::WithoutHeader(_) => 5,
            Self::QueryParam(..) => 6,
        }
    }

    /// In words, with what the request has instead.
    pub fn describe(&self, request: &RequestView<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |condition: &HeaderMatch| match value(condition, request) {
            Some(value) => format!("is `{}`", text(&value)),
            None => "is missing".to_owned(),
        };
        match self {
            Self::Path(path) => format!("the path `{}` {}", text(request.path), path.wants()),
            Self::Method(want) => format!("the method is {}, not {want}", text(request.method)),
            Self::Scheme(want) => format!("the scheme is {}, not {want}", text(request.scheme)),
            Self::Authority(want) => {
                format!("the authority is `{}`, not {want}", text(request.authority))
            }
            Self::Header(condition) => {
                let HeaderMatch { name, pattern } = condition;
                format!(
                    "the header {name} {}, wanted is {pattern}",
                    header(condition)
                )
            }
            Self::WithoutHeader(condition) => {
                let HeaderMatch { name, pattern } = condition;
                format!(
                    "the header {name} {}, and withoutHeaders excludes {pattern}",
                    header(condition)
                )
            }
            Self::QueryParam(name, pattern) => {
                match query_param(request.query.unwrap_or_default(), name.as_bytes()) {
                    Some(value) => {
                        format!(
                            "the query parameter {name} is `{}`, not {pattern}",
                            text(value)
                        )
                    }
                    None => format!("the query parameter {name} is missing, wanted is {pattern}"),
                }
            }
        }
    }
}

/// Whether the header is there and fits.
fn holds(condition: &HeaderMatch, request: &RequestView<'_>) -> bool {
    value(condition, request).is_some_and(|value| condition.pattern.matches(&value))
}

/// `withoutHeaders`: a missing header counts as empty, except for the presence form.
fn is_absent_or_differs(condition: &HeaderMatch, request: &RequestView<'_>) -> bool {
    match (value(condition, request), &condition.pattern) {
        (value, Pattern::Present) => value.is_none(),
        (Some(value), pattern) => !pattern.matches(&value),
        (None, pattern) => !pattern.matches(b""),
    }
}

/// The value; several fields of one name are joined with `,` as Envoy does.
fn value<'a>(condition: &HeaderMatch, request: &RequestView<'a>) -> Option<Cow<'a, [u8]>> {
    match condition.name.as_str() {
        ":method" => Some(request.method.into()),
        ":authority" | "host" => Some(request.authority.into()),
        ":scheme" => Some(request.scheme.into()),
        ":path" => Some(match request.query {
            None => request.path.into(),
            Some(query) => [request.path, b"?", query].concat().into(),
        }),
        name => {
            let first = request.fields.get(name)?;
            let mut values = request.fields.get_all(name).skip(1);
            let Some(second) = values.next() else {
                return Some(first.into());
            };
            let mut joined = [first, b",", second].concat();
            for value in values {
                joined.push(b',');
                joined.extend_from_slice(value);
            }
            Some(joined.into())
        }
    }
}

/// The first value of a query parameter, not decoded; `?flag` has an empty value.
pub fn query_param<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|b| *b == b'&').find_map(|pair| {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (key == name).then_some(value)
    })
}
