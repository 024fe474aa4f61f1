//! HTTP/1.1: bytes to heads and framed bodies, and back. Pure: no socket, no clock.
//!
//! ```text
//! socket ─► ReadBuffer ─► RequestHead::decode ─► BodyDecoder::decode ─► pieces of the body
//!                         ResponseHead::decode
//! socket ◄─ Vec<u8>    ◄─ RequestHead::encode  ◄─ write_chunk_head, write_last_chunk
//! ```
//!
//! * A head is one buffer and a flat list of fields: decoding takes the input's buffer by
//!   swapping, editing appends to it, nothing is hashed.
//! * Framing is decided once, in `framing`; nobody else reads `content-length` or
//!   `transfer-encoding`.
//! * Whatever RFC 9112 and RFC 9110 forbid is refused, and a connection on which something was
//!   refused is closed: after an error nothing more is decoded from it.

mod body;
mod chunk;
mod connection;
mod error;
mod fields;
mod framing;
mod host;
mod known_name;
mod parse;
mod read_buffer;
mod reason;
mod request;
mod response;
mod target;

pub use body::{BodyDecoder, BodyEvent};
pub use chunk::{CHUNK_END, write_chunk_head, write_last_chunk};
pub use error::{BodyError, RequestError, ResponseError};
pub use fields::Fields;
pub use framing::{BodyLength, ResponseLength};
pub use host::is_valid_authority;
pub use known_name::KnownName;
pub use read_buffer::ReadBuffer;
pub use reason::reason_phrase;
pub use request::RequestHead;
pub use response::ResponseHead;
pub use target::is_valid_target;

/// What a message may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, start line and empty line included; also of a trailer section. Envoy's
    /// `max_request_headers_kb`: 60 KiB.
    pub head_bytes: usize,
    /// Field lines of a head or a trailer section, at most [`Limits::MAX_FIELDS`]. Envoy's
    /// `max_headers_count`: 100.
    pub fields: usize,
    /// Bytes of all chunk extensions of one body together.
    pub chunk_extension_bytes: usize,
    /// Names are sent on in the case in which they came (Envoy: `preserve_case`). No limit, but
    /// said where those are.
    pub keep_case: bool,
}

impl Limits {
    /// The ceiling of [`Limits::fields`]: a higher setting counts as this.
    pub const MAX_FIELDS: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 60 * 1024,
            fields: 100,
            chunk_extension_bytes: 16 * 1024,
            keep_case: false,
        }
    }
}

/// The version in a message's start line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// A range of a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The range `start..end`.
    fn new(start: usize, end: usize) -> Self {
        // A head is bounded by its limit and edits by the configuration, far below 4 GiB.
        let narrow = |n: usize| u32::try_from(n).expect("a head's buffer is below 4 GiB");
        Self {
            start: narrow(start),
            len: narrow(end.saturating_sub(start)),
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end()
    }

    fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// The bytes of this range in `buf`.
    fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
