//! Whether some bytes are a host with or without a port: RFC 3986 §3.2.2, §3.2.3.

use std::net::Ipv6Addr;

use super::framing::decimal;

/// Whether `authority` is `uri-host [":" port]` with a host that is not empty (RFC 9110 §4.2.1)
/// and no user information (§4.2.4). The port, if there, is a number up to 65535, or nothing.
///
/// Narrower than the grammar in one point: no comma, which joins two values of a repeated field.
pub fn is_valid_authority(authority: &[u8]) -> bool {
    split(authority).is_some()
}

/// Whether there is a port, as CONNECT's target needs one (RFC 9112 §3.2.3).
pub(super) fn has_port(authority: &[u8]) -> bool {
    matches!(split(authority), Some(Some(port)) if !port.is_empty())
}

/// The port of a valid authority, without its colon.
fn split(authority: &[u8]) -> Option<Option<&[u8]>> {
    let rest = match authority.strip_prefix(b"[") {
        Some(rest) => {
            let end = memchr::memchr(b']', rest)?;
            let (literal, rest) = rest.split_at_checked(end)?;
            std::str::from_utf8(literal)
                .ok()?
                .parse::<Ipv6Addr>()
                .ok()?;
            rest.get(1..)?
        }
        None => {
            let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
            let (name, rest) = authority.split_at_checked(end)?;
            is_reg_name(name).then_some(rest)?
        }
    };
    match rest {
        [] => Some(None),
        [b':'] => Some(Some(&[])),
        [b':', port @ ..] => (decimal(port)? <= u64::from(u16::MAX)).then_some(Some(port)),
        _ => None,
    }
}

fn is_reg_name(name: &[u8]) -> bool {
    // Nearly every host is made of these alone.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if name.iter().all(plain) {
        return !name.is_empty();
    }
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = match first {
            b'%' => match after {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
                _ => return false,
            },
            b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => {
                after
            }
            byte if plain(byte) => after,
            _ => return false,
        };
    }
    true
}
