//! Chunk lines: RFC 9112 §7.1, reading and writing.
//!
//! Invariant: a size line that is accepted is `1*HEXDIG [extensions] CRLF` and nothing else.

use super::{BodyError, Fields};

/// What follows a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Digits of the largest size; leading zeros count.
const MAX_SIZE_DIGITS: usize = 16;

/// Appends the line before a chunk of `n` bytes, which is more than 0. After the data comes
/// [`CHUNK_END`].
pub fn write_chunk_head(out: &mut Vec<u8>, n: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let significant = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..significant).rev().map(|i| {
        let digit = (n >> (4 * i)) & 0xf;
        DIGITS.get(digit).copied().unwrap_or(b'0')
    }));
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, the trailers if there are any, and the empty line that ends the body.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.encode(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A chunk's size line.
pub(super) struct SizeLine {
    pub(super) size: u64,
    /// Bytes of the line, CRLF included.
    pub(super) len: usize,
    /// Bytes of its extensions.
    pub(super) extension_len: usize,
}

/// Reads a size line; `None` when more bytes are needed. What is there already is checked.
pub(super) fn size_line(
    bytes: &[u8],
    extension_limit: usize,
) -> Result<Option<SizeLine>, BodyError> {
    let mut size = 0u64;
    let mut digits = 0;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            break;
        };
        digits += 1;
        if digits > MAX_SIZE_DIGITS {
            return Err(BodyError::ChunkTooLarge);
        }
        size = size << 4 | u64::from(digit);
        rest = after;
    }
    match rest {
        [] => return Ok(None),
        _ if digits == 0 => return Err(BodyError::ChunkSize),
        [b'\r', b'\n', ..] => {
            return Ok(Some(SizeLine {
                size,
                len: digits + 2,
                extension_len: 0,
            }));
        }
        [b'\r'] => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(BodyError::ChunkEnd),
        [b';' | b' ' | b'\t', ..] => {}
        _ => return Err(BodyError::ChunkSize),
    }
    let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
        let is_within = rest.len() <= extension_limit;
        return if is_within {
            Ok(None)
        } else {
            Err(BodyError::ChunkExtensionsTooLarge)
        };
    };
    let (extensions, line_end) = rest.split_at_checked(end).unwrap_or_default();
    if extensions.len() > extension_limit {
        return Err(BodyError::ChunkExtensionsTooLarge);
    }
    match line_end {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(BodyError::ChunkEnd),
    }
    if !are_extensions(extensions) {
        return Err(BodyError::ChunkExtension);
    }
    Ok(Some(SizeLine {
        size,
        len: digits + end + 2,
        extension_len: end,
    }))
}

/// RFC 9112 §7.1.1: `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = skip_bws(rest).strip_prefix(b";") else {
            return false;
        };
        let Some(after) = token(skip_bws(after)) else {
            return false;
        };
        rest = after;
        if let Some(value) = skip_bws(after).strip_prefix(b"=") {
            let value = skip_bws(value);
            let Some(after) = quoted_string(value).or_else(|| token(value)) else {
                return false;
            };
            rest = after;
        }
    }
    true
}

fn skip_bws(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    bytes.get(end.unwrap_or(bytes.len())..).unwrap_or_default()
}

/// What follows the token at the start.
fn token(bytes: &[u8]) -> Option<&[u8]> {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let len = bytes
        .iter()
        .position(|byte| !is_tchar(byte))
        .unwrap_or(bytes.len());
    if len == 0 { None } else { bytes.get(len..) }
}

/// What follows the quoted string at the start (RFC 9110 §5.6.4).
fn quoted_string(bytes: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escaped, after @ ..] if is_text(*escaped) => after,
            [b'\\', ..] => return None,
            [byte, after @ ..] if is_text(*byte) => after,
            _ => return None,
        };
    }
}
