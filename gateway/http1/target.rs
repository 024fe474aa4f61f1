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
        let question = scan(target)?;
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

/// Whether a request for this method may have this target, which names no authority.
pub fn is_valid_target(method: &[u8], target: &[u8]) -> bool {
    matches!(
        Target::parse(method, target),
        Ok(Target::Origin { .. } | Target::Asterisk)
    )
}

/// Looks at every byte of a target, and finds the `?` that begins its query.
///
/// RFC 3986 §3.3 and §3.4, with what clients send all the same let through, as the http crate
/// has it (`\\`, `|`, `^`, `{`, `}`; `"` in a path, a backtick in a query). Never a control byte, a
/// space, a byte above 0x7e, `<`, `>`, or `#`, which begins a fragment.
fn scan(target: &[u8]) -> Result<Option<usize>, RequestError> {
    let mut question = None;
    let mut allowed = PATH;
    for (at, byte) in target.iter().enumerate() {
        let class = CLASSES.get(usize::from(*byte)).copied().unwrap_or_default();
        if class & allowed != 0 {
            continue;
        }
        match byte {
            b'?' => {
                question = Some(at);
                allowed = QUERY;
            }
            b'#' => return Err(RequestError::Fragment),
            _ => return Err(RequestError::Target),
        }
    }
    Ok(question)
}

const PATH: u8 = 1;
const QUERY: u8 = 2;

/// Which bytes may stand in a path and in a query.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'#' | b'<' | b'>' => 0,
            b'?' | b'`' => QUERY,
            b'"' => PATH,
            _ => PATH | QUERY,
        };
        byte += 1;
    }
    classes
};

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
