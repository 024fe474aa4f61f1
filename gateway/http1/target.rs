//! The four forms of a request target: RFC 9112 §3.2.

use std::ops::Range;

use super::RequestError;
use super::host::{has_port, is_valid_authority};

/// A target, taken apart; ranges are of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/path?query`; where the query's `?` is.
    Origin { question: Option<usize> },
    /// `http://authority/path?query`; what follows the authority may be empty or begin with `?`.
    Absolute { authority: Range<usize> },
    /// `authority`, for CONNECT.
    Authority,
    /// `*`, for OPTIONS.
    Asterisk,
}

impl Target {
    /// Takes a target apart, for the method that decides which forms are allowed.
    pub(super) fn parse(method: &[u8], target: &[u8]) -> Result<Self, RequestError> {
        // httparse lets 0x80 to 0xff pass; control bytes and spaces end its targets.
        if !target.is_ascii() {
            return Err(RequestError::Target);
        }
        let question = match memchr::memchr2(b'?', b'#', target) {
            Some(at) if target.get(at) == Some(&b'?') => Some(at),
            Some(_) => return Err(RequestError::Fragment),
            None => None,
        };
        if question
            .is_some_and(|at| memchr::memchr(b'#', target.get(at..).unwrap_or_default()).is_some())
        {
            return Err(RequestError::Fragment);
        }
        if method == b"CONNECT" {
            return if has_port(target) {
                Ok(Self::Authority)
            } else {
                Err(RequestError::Target)
            };
        }
        match target {
            [b'/', ..] => Ok(Self::Origin { question }),
            b"*" if method == b"OPTIONS" => Ok(Self::Asterisk),
            _ => Self::absolute(target),
        }
    }

    #[cold]
    fn absolute(target: &[u8]) -> Result<Self, RequestError> {
        let separator = memchr::memmem::find(target, b"://").ok_or(RequestError::Target)?;
        let scheme = target.get(..separator).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(RequestError::Scheme);
        }
        let start = separator + 3;
        let rest = target.get(start..).unwrap_or_default();
        let end = start + memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        if !is_valid_authority(target.get(start..end).unwrap_or_default()) {
            return Err(RequestError::Host);
        }
        Ok(Self::Absolute {
            authority: start..end,
        })
    }
}

/// Whether a method is one that Envoy's parser knows, or QUERY.
///
/// RFC 9110 §16.1.1 keeps the registry; a method is case-sensitive (§9.1).
pub(super) fn is_known_method(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET"
            | b"POST"
            | b"HEAD"
            | b"PUT"
            | b"DELETE"
            | b"OPTIONS"
            | b"PATCH"
            | b"CONNECT"
            | b"TRACE"
            | b"QUERY"
            | b"ACL"
            | b"BIND"
            | b"CHECKOUT"
            | b"COPY"
            | b"LINK"
            | b"LOCK"
            | b"M-SEARCH"
            | b"MERGE"
            | b"MKACTIVITY"
            | b"MKCALENDAR"
            | b"MKCOL"
            | b"MOVE"
            | b"NOTIFY"
            | b"PROPFIND"
            | b"PROPPATCH"
            | b"PURGE"
            | b"REBIND"
            | b"REPORT"
            | b"SEARCH"
            | b"SOURCE"
            | b"SUBSCRIBE"
            | b"UNBIND"
            | b"UNLINK"
            | b"UNLOCK"
            | b"UNSUBSCRIBE"
    )
}
