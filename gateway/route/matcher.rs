//! One route's conditions: HTTPMatchRequest, compiled.

use std::borrow::Cow;

use gatehouse_config::model::Pattern;
use regex::bytes::Regex;

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
    pub conditions: Option<Box<Conditions>>,
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
    Regex(Regex),
}

/// The conditions besides the path.
#[derive(Debug, Default)]
pub struct Conditions {
    /// On the method.
    pub method: Option<Pattern>,
    /// On the scheme.
    pub scheme: Option<Pattern>,
    /// On the Host as sent.
    pub authority: Option<Pattern>,
    /// On header values.
    pub headers: Vec<HeaderCondition>,
    /// These must not match.
    pub without_headers: Vec<HeaderCondition>,
    /// On the first value of a query parameter.
    pub query_params: Vec<(String, Pattern)>,
}

/// A condition on a header.
#[derive(Debug)]
pub struct HeaderCondition {
    /// The name, in lower case.
    pub name: Box<str>,
    /// The condition.
    pub pattern: Pattern,
}

impl Matcher {
    /// Whether the request fits.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        self.path.matches(request.path) && self.conditions_match(request)
    }

    /// Whether everything but the path fits.
    pub fn conditions_match(&self, request: &RequestView<'_>) -> bool {
        self.conditions
            .as_deref()
            .is_none_or(|conditions| conditions.match_all(request))
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

impl Conditions {
    fn match_all(&self, request: &RequestView<'_>) -> bool {
        let fits = |pattern: &Option<Pattern>, value: &[u8]| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(value))
        };
        fits(&self.method, request.method)
            && fits(&self.scheme, request.scheme)
            && fits(&self.authority, request.authority)
            && self
                .headers
                .iter()
                .all(|condition| condition.holds(request))
            && self
                .without_headers
                .iter()
                .all(|condition| condition.is_absent_or_differs(request))
            && self.query_params.iter().all(|(name, pattern)| {
                query_param(request.query.unwrap_or_default(), name.as_bytes())
                    .is_some_and(|value| pattern.matches(value))
            })
    }
}

impl HeaderCondition {
    /// Whether the header is there and fits.
    pub fn holds(&self, request: &RequestView<'_>) -> bool {
        self.value(request)
            .is_some_and(|value| self.pattern.matches(&value))
    }

    /// `withoutHeaders`: a missing header counts as empty, except for the presence form.
    fn is_absent_or_differs(&self, request: &RequestView<'_>) -> bool {
        match (self.value(request), &self.pattern) {
            (value, Pattern::Present) => value.is_none(),
            (Some(value), pattern) => !pattern.matches(&value),
            (None, pattern) => !pattern.matches(b""),
        }
    }

    /// The value; several fields of one name are joined with `,` as Envoy does.
    fn value<'a>(&self, request: &RequestView<'a>) -> Option<Cow<'a, [u8]>> {
        match &*self.name {
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
