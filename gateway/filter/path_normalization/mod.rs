//! `pathNormalization`: the normalised path is matched and forwarded (reference: Istio §2.6).
//!
//! BASE, Istio's default: unreserved characters are percent-decoded (RFC 3986 §6.2.2.2), `\`
//! becomes `/`, dot segments are removed (§5.2.4); `//`, `%2f` and `%5c` stay. MERGE_SLASHES makes
//! one slash of several, DECODE_AND_MERGE_SLASHES decodes escaped slashes before all that.

use std::borrow::Cow;

use gatehouse_config::model::{EscapedSlashes, PathNormalization, Proxy};

/// A path that must not be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// `%00`.
    Nul,
    /// An escaped slash, where the settings refuse it.
    EscapedSlash,
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normal<'p> {
    /// It is this; borrowed when there is nothing to change.
    Path(Cow<'p, [u8]>),
    /// The client is to ask for this one.
    Redirect(Vec<u8>),
}

/// Normalises a path (without its query) as the settings say.
pub fn normalize<'p>(path: &'p [u8], proxy: &Proxy) -> Result<Normal<'p>, BadPath> {
    let merge = match proxy.path_normalization {
        PathNormalization::None if proxy.connections.escaped_slashes == EscapedSlashes::Keep => {
            return Ok(Normal::Path(Cow::Borrowed(path)));
        }
        PathNormalization::None | PathNormalization::Base => false,
        PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes => true,
    };
    if is_normal(path) && !(merge && has_double_slash(path)) {
        return Ok(Normal::Path(Cow::Borrowed(path)));
    }
    rewritten(path, proxy, merge)
}

/// The steps in the order of Envoy's `maybeNormalizePath`.
#[cold]
fn rewritten<'p>(path: &'p [u8], proxy: &Proxy, merge: bool) -> Result<Normal<'p>, BadPath> {
    let escaped = match proxy.path_normalization {
        PathNormalization::DecodeAndMergeSlashes => EscapedSlashes::Decode,
        _ => proxy.connections.escaped_slashes,
    };
    let mut new = path.to_vec();
    let mut redirect = false;
    if escaped != EscapedSlashes::Keep {
        let unescaped = unescape_slashes(path);
        if unescaped != path {
            redirect = escaped == EscapedSlashes::Redirect;
            if escaped == EscapedSlashes::Reject {
                return Err(BadPath::EscapedSlash);
            }
            new = unescaped;
        }
    }
    if proxy.path_normalization != PathNormalization::None {
        new = remove_dot_segments(&decode_unreserved(&new)?);
    }
    if merge {
        new.dedup_by(|next, before| *next == b'/' && *before == b'/');
    }
    Ok(if redirect {
        Normal::Redirect(new)
    } else {
        Normal::Path(Cow::Owned(new))
    })
}

/// Whether a path certainly needs no change: no escape, no backslash, no segment that begins
/// with a dot.
fn is_normal(path: &[u8]) -> bool {
    memchr::memchr2(b'%', b'\\', path).is_none() && memchr::memmem::find(path, b"/.").is_none()
}

fn has_double_slash(path: &[u8]) -> bool {
    memchr::memmem::find(path, b"//").is_some()
}

/// `%2f` to `/` and `%5c` to `\`, once: `%252f` stays.
fn unescape_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let (byte, after) = match (first, tail) {
            (b'%', [b'2', b'f' | b'F', after @ ..]) => (b'/', after),
            (b'%', [b'5', b'c' | b'C', after @ ..]) => (b'\\', after),
            (byte, _) => (*byte, tail),
        };
        out.push(byte);
        rest = after;
    }
    out
}

fn decode_unreserved(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'\\', _) => out.push(b'/'),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    let byte = high << 4 | low;
                    if byte == 0 {
                        return Err(BadPath::Nul);
                    }
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        out.push(byte);
                        rest = after;
                    } else {
                        out.push(b'%');
                    }
                }
                _ => out.push(b'%'),
            },
            (byte, _) => out.push(*byte),
        }
    }
    Ok(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986 §5.2.4 for an absolute path; empty segments are kept, and `..` takes back an empty
/// one as it does any other.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let Some(relative) = path.strip_prefix(b"/") else {
        return path.to_vec(); // `*`
    };
    let mut segments = relative.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." => {
                if last {
                    out.push(b'/');
                }
            }
            b".." => {
                let parent = memchr::memrchr(b'/', &out).unwrap_or(0);
                out.truncate(parent);
                if last {
                    out.push(b'/');
                }
            }
            segment => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
