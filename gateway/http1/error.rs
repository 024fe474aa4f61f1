//! What is refused, and what the peer is told.
//!
//! Invariant: after any of these the connection is closed; nothing more is decoded from it.

use thiserror::Error;

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// RFC 9112 §3: the request line is not `method SP target SP version CRLF`.
    #[error("the request line is malformed")]
    RequestLine,
    /// RFC 9112 §2.3: the version is not HTTP/1.0 or HTTP/1.1.
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// RFC 9110 §9.1: a method that nobody registered. Envoy's list, and QUERY.
    #[error("the method is unknown")]
    Method,
    /// RFC 9112 §3.2: the target has none of the four forms, or not the one its method needs.
    #[error("the request target is malformed")]
    Target,
    /// RFC 9112 §3.2.2: an absolute target of another scheme than http or https.
    #[error("the request target's scheme is not http or https")]
    Scheme,
    /// RFC 9110 §7.1: a fragment is not part of a request target.
    #[error("the request target has a fragment")]
    Fragment,
    /// RFC 9112 §2.2: a line ends in LF without CR, or has a CR without LF.
    #[error("a line of the head does not end in CRLF")]
    LineEnd,
    /// RFC 9112 §2.2: too many empty lines before the request line.
    #[error("too many empty lines before the request line")]
    EmptyLines,
    /// RFC 9110 §5.1: a field's name has a byte that a name may not have.
    #[error("a field name is malformed")]
    FieldName,
    /// RFC 9110 §5.5: a field's value has a control byte.
    #[error("a field value has a byte that is not allowed")]
    FieldValue,
    /// RFC 9112 §3.2: HTTP/1.1 without Host.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112 §3.2: more than one Host.
    #[error("there is more than one Host field")]
    HostTwice,
    /// RFC 9110 §7.2: Host or the target's authority is not `uri-host [":" port]`.
    #[error("the host is malformed")]
    Host,
    /// RFC 9112 §6.3: Content-Length is not one plain number.
    #[error("Content-Length is not one plain number")]
    ContentLength,
    /// RFC 9112 §6.1: Transfer-Encoding is malformed or given more than once.
    #[error("Transfer-Encoding is malformed")]
    TransferEncoding,
    /// RFC 9112 §6.1: a transfer coding other than `chunked`.
    #[error("the transfer coding is not chunked")]
    TransferCoding,
    /// RFC 9112 §6.3: Transfer-Encoding and Content-Length in one message.
    #[error("both Transfer-Encoding and Content-Length are there")]
    LengthAndCoding,
    /// RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInHttp10,
    /// RFC 9110 §9.3.6, §9.3.8: CONNECT and TRACE have no content.
    #[error("CONNECT or TRACE with a body")]
    BodyNotAllowed,
    /// RFC 9110 §7.6.1: Connection lists a field that must not be stripped, or too many.
    #[error("Connection lists a field that must not be removed, or too many")]
    Connection,
    /// The head is larger than [`Limits::head_bytes`](super::Limits::head_bytes).
    #[error("the head is too large")]
    HeadTooLarge,
    /// More fields than [`Limits::fields`](super::Limits::fields).
    #[error("there are too many fields")]
    TooManyFields,
}

impl RequestError {
    /// The status to answer with before closing: 400, 431 or 501.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::TransferCoding => 501,
            _ => 400,
        }
    }

    /// Envoy's `%RESPONSE_CODE_DETAILS%` where it has one for the case.
    pub fn details(self) -> &'static str {
        match self {
            Self::HostMissing => "missing_host_header",
            Self::Target | Self::Host => "http1.invalid_url",
            Self::Scheme => "http1.invalid_scheme",
            Self::Fragment => "path_normalization_failed",
            Self::FieldName | Self::FieldValue => "http1.invalid_characters",
            Self::TransferCoding | Self::TransferEncoding => "http1.invalid_transfer_encoding",
            Self::LengthAndCoding => "http1.content_length_and_chunked_not_allowed",
            Self::BodyNotAllowed => "http1.body_disallowed",
            Self::CodingInHttp10 => "http1.transfer_encoding_not_allowed",
            Self::Connection => "http1.connection_header_rejected",
            Self::HeadTooLarge => "http1.headers_too_large",
            Self::TooManyFields => "http1.too_many_headers",
            Self::RequestLine
            | Self::Version
            | Self::Method
            | Self::LineEnd
            | Self::EmptyLines
            | Self::HostTwice
            | Self::ContentLength => "http1.codec_error",
        }
    }
}

/// Why a response's head is refused: 502, and the upstream connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// RFC 9112 §4: the status line is not `HTTP/1.x SP 3DIGIT [SP reason] CRLF`.
    #[error("the status line is malformed")]
    StatusLine,
    /// RFC 9112 §2.3: the version is not HTTP/1.0 or HTTP/1.1.
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// RFC 9112 §2.2: a line ends in LF without CR, or has a CR without LF.
    #[error("a line of the head does not end in CRLF")]
    LineEnd,
    /// RFC 9110 §5.1: a field's name has a byte that a name may not have; also obs-fold.
    #[error("a field name is malformed")]
    FieldName,
    /// RFC 9110 §5.5: a field's value has a control byte.
    #[error("a field value has a byte that is not allowed")]
    FieldValue,
    /// RFC 9112 §6.3: Content-Length is not one plain number, or is there twice.
    #[error("Content-Length is not one plain number")]
    ContentLength,
    /// RFC 9112 §6.1: Transfer-Encoding is not exactly `chunked`.
    #[error("Transfer-Encoding is not chunked")]
    TransferEncoding,
    /// RFC 9112 §6.3: Transfer-Encoding and Content-Length in one message.
    #[error("both Transfer-Encoding and Content-Length are there")]
    LengthAndCoding,
    /// RFC 9110 §7.6.1: Connection lists too many fields.
    #[error("Connection lists too many fields")]
    Connection,
    /// The head is larger than [`Limits::head_bytes`](super::Limits::head_bytes).
    #[error("the head is too large")]
    HeadTooLarge,
    /// More fields than [`Limits::fields`](super::Limits::fields).
    #[error("there are too many fields")]
    TooManyFields,
}

impl ResponseError {
    /// The status for the client: always 502.
    pub fn status(self) -> u16 {
        502
    }

    /// Envoy's `%RESPONSE_CODE_DETAILS%` for an upstream that breaks the protocol (flag UPE).
    pub fn details(self) -> &'static str {
        "upstream_reset_before_response_started{protocol_error}"
    }
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// RFC 9112 §7.1: the chunk size is not plain hexadecimal digits.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// RFC 9112 §7.1: the chunk size does not fit 64 bits.
    #[error("a chunk size is too large")]
    ChunkTooLarge,
    /// RFC 9112 §7.1.1: the chunk extension is malformed.
    #[error("a chunk extension is malformed")]
    ChunkExtension,
    /// More chunk extensions than
    /// [`Limits::chunk_extension_bytes`](super::Limits::chunk_extension_bytes).
    #[error("the chunk extensions are too large")]
    ChunkExtensionsTooLarge,
    /// RFC 9112 §7.1: chunk data is not followed by CRLF, or a size line does not end in it.
    #[error("a chunk does not end in CRLF")]
    ChunkEnd,
    /// RFC 9112 §7.1.2: the trailer section is malformed.
    #[error("the trailer section is malformed")]
    Trailer,
    /// RFC 9110 §6.5.1: a trailer field that frames or routes the message.
    #[error("a trailer field frames or routes the message")]
    TrailerField,
    /// The trailer section is larger than the limits of a head.
    #[error("the trailer section is too large")]
    TrailerTooLarge,
    /// RFC 9112 §8: the peer closed before the body's end.
    #[error("the body was cut short")]
    Truncated,
}

impl BodyError {
    /// The status for a client whose request has this, if none was sent yet: 400 or 431.
    pub fn status(self) -> u16 {
        match self {
            Self::TrailerTooLarge => 431,
            _ => 400,
        }
    }

    /// Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub fn details(self) -> &'static str {
        match self {
            Self::TrailerTooLarge => "http1.headers_too_large",
            _ => "http1.codec_error",
        }
    }
}
