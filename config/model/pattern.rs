//! String patterns and host domains.

use std::fmt;
use std::sync::Arc;

use regex::bytes::Regex;

/// How a string is compared: Istio's StringMatch, with regexes compiled and anchored.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Present, whatever the value (`{}` and regex `*` of headers and query parameters).
    Present,
    /// Equal.
    Exact(String),
    /// Begins with; plain bytes, not path segments.
    Prefix(String),
    /// Matches as a whole (RE2 full match); compiled with a size limit.
    Regex(FullMatch),
}

/// A regex that must match the whole of its input, and how it was written.
#[derive(Clone, Debug)]
pub struct FullMatch {
    regex: Regex,
    written: Arc<str>,
}

impl FullMatch {
    /// `regex` is anchored on both sides; `written` is what people are shown of it.
    pub fn new(regex: Regex, written: &str) -> Self {
        Self {
            regex,
            written: written.into(),
        }
    }

    /// Whether all of `value` fits.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }

    /// The anchored regex.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// As it was written.
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

impl Pattern {
    /// Whether `value` fits.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(want) => want.as_bytes() == value,
            Self::Prefix(want) => value.starts_with(want.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("present"),
            Self::Exact(s) => write!(f, "exact {s}"),
            Self::Prefix(s) => write!(f, "prefix {s}"),
            Self::Regex(r) => write!(f, "regex {}", r.as_written()),
        }
    }
}

/// The host names that a virtual host answers to; always lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// One name, or an IP address as text.
    Exact(String),
    /// `*.example.com`, held as `.example.com` (Istio also allows `*-x.y`: held as `-x.y`).
    Suffix(String),
    /// `*`.
    Any,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}
