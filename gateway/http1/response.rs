//! A response's head.
//!
//! Invariant: how the body ends is never guessed; where fields and status contradict each other,
//! the connection is not used again.

use super::connection::Options;
use super::framing::{Framing, FramingError};
use super::parse::{self, Malformed, StatusLine};
use super::{
    Fields, KnownName, Limits, ReadBuffer, ResponseError, ResponseLength, Version, reason_phrase,
};

/// A response's head, of HTTP/1 or HTTP/2: status and fields. Reused for the next response.
#[derive(Debug, Default)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    version: Version,
    framing: Framing,
    options: Options,
    /// Set when the head says something about a body that its status does not have.
    doubtful: bool,
    wire_len: usize,
}

impl ResponseHead {
    /// A head that did not come from bytes.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Decodes the head at the start of `input`; `false` when more bytes are needed.
    ///
    /// After `true` the head has the input's buffer and `input` what follows the head. Heads
    /// with a 1xx status come out like any other: decode again for the final one.
    ///
    /// # Errors
    ///
    /// What RFC 9112 or RFC 9110 forbids. The client gets 502, the connection is not used again.
    pub fn decode(
        &mut self,
        input: &mut ReadBuffer,
        limits: &Limits,
    ) -> Result<bool, ResponseError> {
        match parse::response(&mut self.fields, input, limits)? {
            Some(line) => self.accept(&line).map(|()| true),
            None => Ok(false),
        }
    }

    fn accept(&mut self, line: &StatusLine) -> Result<(), ResponseError> {
        if line.status < 100 {
            return Err(ResponseError::StatusLine);
        }
        self.status = line.status;
        self.version = if line.minor == 0 {
            Version::Http10
        } else {
            Version::Http11
        };
        self.wire_len = line.head_len;
        self.framing = Framing::of(&self.fields)?;
        if self.framing.chunked && self.version == Version::Http10 {
            return Err(ResponseError::TransferEncoding);
        }
        self.options =
            Options::take(&mut self.fields, false).map_err(|_| ResponseError::Connection)?;
        self.doubtful = false;
        if self.is_informational() || matches!(self.status, 101 | 204) {
            // RFC 9110 §8.6 and RFC 9112 §6.1 forbid both fields here. Servers send them all the
            // same, mostly `content-length: 0`: there is no body, and the fields do not pass.
            self.doubtful = self.framing.chunked || self.framing.length.unwrap_or(0) > 0;
            self.fields.remove_known(KnownName::ContentLength);
            self.fields.remove_known(KnownName::TransferEncoding);
        }
        Ok(())
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status code.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// Reads how the body is framed out of the fields, for a head that was not decoded here. Fields
    /// that contradict themselves say nothing.
    pub fn frame(&mut self) {
        self.framing = Framing::of(&self.fields).unwrap_or_default();
    }

    /// Says that no body follows, for a head that was not decoded here.
    pub fn set_empty(&mut self) {
        self.framing.length = Some(0);
    }

    /// Grants the protocol that the client asked for, for a head that was not decoded here.
    pub fn grant_upgrade(&mut self, protocol: &str) {
        self.status = 101;
        self.options.upgrade = true;
        self.fields.set("connection", b"upgrade");
        self.fields.set("upgrade", protocol.as_bytes());
    }

    /// Whether another head follows: 1xx but 101, after which the connection is a tunnel.
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// How the body is framed (RFC 9112 §6.3), for a response to HEAD, to CONNECT or neither.
    ///
    /// `Empty` after 101, and after 2xx to CONNECT: what follows is a tunnel.
    pub fn body(&self, request_method_is_head: bool, is_connect: bool) -> ResponseLength {
        let is_tunnel = is_connect && (200..300).contains(&self.status);
        let has_no_body = (100..200).contains(&self.status) || matches!(self.status, 204 | 304);
        if request_method_is_head || has_no_body || is_tunnel {
            return ResponseLength::Empty;
        }
        match self.framing {
            Framing { chunked: true, .. } => ResponseLength::Chunked,
            Framing {
                length: Some(0), ..
            } => ResponseLength::Empty,
            Framing {
                length: Some(length),
                ..
            } => ResponseLength::Length(length),
            Framing { length: None, .. } => ResponseLength::UntilClose,
        }
    }

    /// Whether the upstream leaves the connection open after this response (RFC 9112 §9.3).
    ///
    /// A body that ends with the connection is the caller's to see, in [`body`](Self::body).
    pub fn keep_alive(&self) -> bool {
        let stays = match self.version {
            Version::Http11 => !self.options.close,
            Version::Http10 => self.options.keep_alive && !self.options.close,
        };
        stays && !self.doubtful
    }

    /// The protocol granted by a 101, when Connection lists `upgrade`.
    pub fn upgrade(&self) -> Option<&[u8]> {
        let is_granted = self.status == 101 && self.options.upgrade;
        is_granted
            .then(|| self.fields.known(KnownName::Upgrade))
            .flatten()
    }

    /// The version that the upstream spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes of the head as it was received.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to edit.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Makes this an empty head again and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self {
            fields,
            ..Self::default()
        };
    }

    /// Appends the head: status line with the standard reason, fields, empty line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let reason = reason_phrase(self.status);
        out.reserve(self.fields.end + reason.len() + "HTTP/1.1 200 \r\n\r\n".len());
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.fields.encode(out);
        out.extend_from_slice(b"\r\n");
    }
}

impl From<Malformed> for ResponseError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::StartLine => Self::StatusLine,
            Malformed::Version => Self::Version,
            Malformed::LineEnd | Malformed::EmptyLines => Self::LineEnd,
            Malformed::FieldName => Self::FieldName,
            Malformed::FieldValue => Self::FieldValue,
            Malformed::TooManyFields => Self::TooManyFields,
            Malformed::HeadTooLarge => Self::HeadTooLarge,
        }
    }
}

impl From<FramingError> for ResponseError {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::ContentLength => Self::ContentLength,
            FramingError::TransferEncoding | FramingError::TransferCoding => Self::TransferEncoding,
            FramingError::LengthAndCoding => Self::LengthAndCoding,
        }
    }
}
