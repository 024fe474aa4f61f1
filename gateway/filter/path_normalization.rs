//! `pathNormalization: BASE`, Istio's default: the normalised path is matched and forwarded.
//!
//! Unreserved characters are percent-decoded (RFC 3986 §6.2.2.2), `\` becomes `/`, dot segments
//! are removed (§5.2.4); `//`, `%2f` and `%5c` stay (reference: Istio §2.6).

use std::borrow::Cow;

/// A path that must not be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// `%00`.
    Nul,
}

/// Normalises a path (without its query). Borrowed when there is nothing to change.
pub fn normalize(path: &[u8]) -> Result<Cow<'_, [u8]>, BadPath> {
    if is_normal(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    Ok(Cow::Owned(remove_dot_segments(&decoded)))
}

/// Whether a path certainly needs no change: no escape, no backslash, no segment that begins
/// with a dot.
fn is_normal(path: &[u8]) -> bool {
    memchr::memchr2(b'%', b'\\', path).is_none() && memchr::memmem::find(path, b"/.").is_none()
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
mod tests {
    use super::*;

    /// The golden values of reference/istio.md §2.6.
    #[test]
    fn base_normalization_gives_istios_golden_values() {
        for (path, want) in [
            ("/", "/"),
            ("/app", "/app"),
            ("/app/../admin", "/admin"),
            ("/app//", "/app//"),
            ("/app/%2E./admin", "/admin"),
            ("/app\\admin", "/app/admin"),
            ("/app/\\/\\/\\admin", "/app//////admin"),
            ("/app/%2f", "/app/%2f"),
            ("/app//../admin", "/app/admin"),
            ("/app//../../admin", "/admin"),
            (
                "/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc",
                "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
            ),
            ("/xyz%30..//abc", "/xyz0..//abc"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/.well-known/x", "/.well-known/x"),
            ("/%7Euser/%41", "/~user/A"),
            ("/%252e/", "/%252e/"),
            ("/%c0%ae", "/%c0%ae"),
            ("/bad%zz%", "/bad%zz%"),
            ("*", "*"),
        ] {
            let got = normalize(path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&got), want, "{path}");
        }
    }

    #[test]
    fn an_escaped_nul_is_refused() {
        assert_eq!(normalize(b"/a%00b"), Err(BadPath::Nul));
    }
}
