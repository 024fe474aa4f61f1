//! gRPC over HTTP: what a gateway has to know of it (github.com/grpc/grpc, PROTOCOL-HTTP2.md).

use std::time::Duration;

use crate::http1::{Fields, KnownName};

/// Whether a request is a gRPC call.
pub(crate) fn is_call(fields: &Fields) -> bool {
    fields
        .known(KnownName::ContentType)
        .and_then(|value| value.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'+'))
}

/// The gRPC status that stands for an HTTP status (gRPC: http-grpc-status-mapping.md).
pub(crate) fn status_of(http: u16) -> u8 {
    match http {
        400 => 13,             // INTERNAL
        401 => 16,             // UNAUTHENTICATED
        403 => 7,              // PERMISSION_DENIED
        404 => 12,             // UNIMPLEMENTED
        429 | 502..=504 => 14, // UNAVAILABLE
        _ => 2,                // UNKNOWN
    }
}

/// `grpc-status`; none where it is missing or no number.
pub(super) fn status(fields: &Fields) -> Option<u8> {
    let status = fields.known(KnownName::GrpcStatus)?;
    std::str::from_utf8(status).ok()?.trim().parse().ok()
}

/// The HTTP status that a gRPC status stands for (Envoy: `grpcToHttpStatus`); none if it is no
/// status.
pub(super) fn http_status_of(grpc: &[u8]) -> Option<u16> {
    let status: u8 = std::str::from_utf8(grpc).ok()?.trim().parse().ok()?;
    Some(match status {
        0 => 200,
        1 => 499,
        2 | 13 | 15 => 500,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => return None,
    })
}

/// A text as `grpc-message` holds it.
pub(super) fn message(text: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if (b' '..b'~').contains(byte) && *byte != b'%' {
            encoded.push(*byte);
        } else {
            let digit = |nibble: u8| HEX[usize::from(nibble & 15)];
            encoded.extend([b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
    encoded
}

/// `grpc-timeout`: at most eight digits and a unit; none where it is neither.
pub(super) fn timeout(fields: &Fields) -> Option<Duration> {
    let value = fields.get("grpc-timeout")?;
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        // Envoy counts in milliseconds and rounds up.
        b'u' => Duration::from_millis(number.div_ceil(1_000)),
        b'n' => Duration::from_millis(number.div_ceil(1_000_000)),
        _ => return None,
    })
}

/// A time as `grpc-timeout` holds it: in milliseconds while eight digits are enough, then in
/// seconds, minutes and hours.
pub(super) fn timeout_text(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let millis = timeout.as_millis();
    let units = [(1, 'm'), (1_000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let fitting = units.into_iter().find(|(unit, _)| millis / unit <= MOST);
    match fitting {
        Some((unit, letter)) => format!("{}{letter}", millis / unit),
        None => format!("{MOST}H"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, value: &str) -> Fields {
        let mut fields = Fields::new();
        fields.append(name, value.as_bytes());
        fields
    }

    #[test]
    fn calls_are_told_by_their_content_type() {
        for (value, want) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_call(&fields("content-type", value)), want, "{value}");
        }
        assert!(!is_call(&Fields::new()));
    }

    #[test]
    fn timeouts_are_read_and_written() {
        for (text, want) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("99999999m", Some(99_999_999)),
            ("1u", Some(1)),
            ("1500000n", Some(2)),
            ("0m", Some(0)),
            ("m", None),
            ("5", None),
            ("-5m", None),
            ("123456789m", None),
            ("5s", None),
        ] {
            let read = timeout(&fields("grpc-timeout", text));
            assert_eq!(read, want.map(Duration::from_millis), "{text}");
        }
        for (millis, want) in [
            (0, "0m"),
            (1_500, "1500m"),
            (99_999_999, "99999999m"),
            (100_000_000, "100000S"),
            (100_000_000_000, "1666666M"),
        ] {
            assert_eq!(timeout_text(Duration::from_millis(millis)), want);
        }
    }

    #[test]
    fn a_message_is_escaped() {
        assert_eq!(message(b"no healthy upstream"), b"no healthy upstream");
        assert_eq!(message("50% \u{fc}\n~".as_bytes()), b"50%25 %C3%BC%0A%7E");
    }
}
