//! Where a message's body ends: RFC 9112 §6, decided here and nowhere else.
//!
//! Invariant: a message that two recipients could frame differently is refused.

use super::{Fields, KnownName};

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    #[default]
    Empty,
    /// So many bytes, more than 0.
    Length(u64),
    /// Chunks, then perhaps trailers.
    Chunked,
}

/// How a response's body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseLength {
    /// No body, or (101, 2xx to CONNECT) a tunnel.
    #[default]
    Empty,
    /// So many bytes, more than 0.
    Length(u64),
    /// Chunks, then perhaps trailers.
    Chunked,
    /// Until the upstream closes.
    UntilClose,
}

impl ResponseLength {
    /// Whether the length is said: of a body that there is.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Length(_))
    }
}

impl From<BodyLength> for ResponseLength {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Empty => Self::Empty,
            BodyLength::Length(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked,
        }
    }
}

/// What the fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

/// Why the fields say nothing that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FramingError {
    ContentLength,
    TransferEncoding,
    TransferCoding,
    LengthAndCoding,
}

impl Framing {
    /// Reads Content-Length and Transfer-Encoding.
    pub(super) fn of(fields: &Fields) -> Result<Self, FramingError> {
        const FRAMING: u64 = KnownName::ContentLength.bit() | KnownName::TransferEncoding.bit();
        if !fields.may_have_any(FRAMING) {
            return Ok(Self::default());
        }
        let length = match only(fields, KnownName::ContentLength) {
            Ok(value) => value.map(number).transpose()?,
            Err(Twice) => return Err(FramingError::ContentLength),
        };
        let chunked = match only(fields, KnownName::TransferEncoding) {
            Ok(None) => false,
            Ok(Some(value)) if value.eq_ignore_ascii_case(b"chunked") => true,
            Ok(Some([])) => return Err(FramingError::TransferEncoding),
            Ok(Some(_)) => return Err(FramingError::TransferCoding),
            Err(Twice) => return Err(FramingError::TransferEncoding),
        };
        if chunked && length.is_some() {
            return Err(FramingError::LengthAndCoding);
        }
        Ok(Self { length, chunked })
    }
}

/// A field that must not be repeated is.
struct Twice;

fn only(fields: &Fields, name: KnownName) -> Result<Option<&[u8]>, Twice> {
    let mut values = fields.known_all(name);
    let first = values.next();
    if values.next().is_some() {
        Err(Twice)
    } else {
        Ok(first)
    }
}

/// RFC 9110 §8.6: `1*DIGIT`; and no leading zero, which some recipients read as octal.
fn number(value: &[u8]) -> Result<u64, FramingError> {
    if value.len() > 1 && value.first() == Some(&b'0') {
        return Err(FramingError::ContentLength);
    }
    decimal(value).ok_or(FramingError::ContentLength)
}

/// `1*DIGIT` that fits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
