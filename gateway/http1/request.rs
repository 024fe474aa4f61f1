//! A request's head.
//!
//! Invariant: a head that was decoded has one valid host (HTTP/1.0 may have none), one way to
//! frame its body, and no field that its Connection listed.

use super::connection::Options;
use super::framing::{Framing, FramingError};
use super::parse::{self, Malformed, RequestLine};
use super::target::{Target, is_known_method};
use super::{
    BodyLength, Fields, KnownName, Limits, ReadBuffer, RequestError, Span, Version,
    is_valid_authority,
};

/// A request's head, of HTTP/1 or HTTP/2: method, target, authority and fields.
///
/// Reused for the next request of a connection. The authority is no field: `Host` is taken out
/// of [`fields`](Self::fields) as HTTP/2 has it, and written first by [`encode`](Self::encode).
#[derive(Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    method: Span,
    target: Span,
    /// Bytes of the target before its query's `?`.
    path_len: u32,
    authority: Span,
    version: Version,
    body: BodyLength,
    options: Options,
    wire_len: usize,
}

impl RequestHead {
    /// A head that did not come from HTTP/1 bytes. Nothing is checked.
    pub fn new(method: &[u8], target: &[u8], authority: &[u8]) -> Self {
        let mut head = Self::default();
        head.restart(method, target, authority);
        head
    }

    /// As [`new`](Self::new), in the memory of a head that is over.
    pub fn restart(&mut self, method: &[u8], target: &[u8], authority: &[u8]) {
        self.clear();
        self.set_method(method);
        self.set_target(target);
        self.set_authority(authority);
    }

    /// Decodes the head at the start of `input`; `false` when more bytes are needed.
    ///
    /// After `true` the head has the input's buffer and `input` what follows the head. What was
    /// in this head before is gone either way.
    ///
    /// # Errors
    ///
    /// What RFC 9112 or RFC 9110 forbids. Answer with [`RequestError::status`] and close.
    pub fn decode(
        &mut self,
        input: &mut ReadBuffer,
        limits: &Limits,
    ) -> Result<bool, RequestError> {
        match parse::request(&mut self.fields, input, limits)? {
            Some(line) => self.accept(&line).map(|()| true),
            None => Ok(false),
        }
    }

    fn accept(&mut self, line: &RequestLine) -> Result<(), RequestError> {
        let method_end = line.start + line.method_len;
        self.method = Span::new(line.start, method_end);
        self.target = Span::new(method_end + 1, method_end + 1 + line.target_len);
        self.version = if line.minor == 0 {
            Version::Http10
        } else {
            Version::Http11
        };
        self.wire_len = line.head_len;
        if !is_known_method(self.method()) {
            return Err(RequestError::Method);
        }
        let target = Target::parse(self.method(), self.target())?;
        self.take_host()?;
        self.apply(&target);

        let framing = Framing::of(&self.fields)?;
        self.body = match framing {
            Framing { chunked: true, .. } if self.version == Version::Http10 => {
                return Err(RequestError::CodingInHttp10);
            }
            Framing { chunked: true, .. } => BodyLength::Chunked,
            Framing {
                length: None | Some(0),
                ..
            } => BodyLength::Empty,
            Framing {
                length: Some(length),
                ..
            } => BodyLength::Length(length),
        };
        let allows_body = !matches!(self.method(), b"CONNECT" | b"TRACE");
        if self.body != BodyLength::Empty && !allows_body {
            return Err(RequestError::BodyNotAllowed);
        }
        self.options =
            Options::take(&mut self.fields, true).map_err(|_| RequestError::Connection)?;
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one Host, which is valid; HTTP/1.0 may have none.
    fn take_host(&mut self) -> Result<(), RequestError> {
        let mut hosts = self
            .fields
            .list
            .iter()
            .filter(|field| field.known == KnownName::Host);
        self.authority = match (hosts.next(), hosts.next()) {
            (_, Some(_)) => return Err(RequestError::HostTwice),
            (Some(host), None) => host.value,
            (None, None) if self.version == Version::Http10 => Span::default(),
            (None, None) => return Err(RequestError::HostMissing),
        };
        if self.fields.remove_known(KnownName::Host) && !is_valid_authority(self.authority()) {
            return Err(RequestError::Host);
        }
        Ok(())
    }

    fn apply(&mut self, target: &Target) {
        match target {
            Target::Origin { question } => {
                let path_len = question.unwrap_or(self.target.len as usize);
                self.path_len = Span::new(0, path_len).len;
            }
            Target::Asterisk => self.path_len = self.target.len,
            Target::Authority => {
                self.authority = self.target;
                self.path_len = 0;
            }
            Target::Absolute { authority } => {
                let start = self.target.start as usize;
                let rest = Span::new(start + authority.end, self.target.end());
                self.authority = Span::new(start + authority.start, start + authority.end);
                let is_options = self.method() == b"OPTIONS";
                match rest.of(&self.fields.buf) {
                    // RFC 9112 §3.2.4: the last proxy turns this into the asterisk form.
                    [] if is_options => self.set_target(b"*"),
                    [b'/', ..] => {
                        self.target = rest;
                        self.find_query();
                    }
                    without_slash => {
                        let target = [b"/", without_slash].concat();
                        self.set_target(&target);
                    }
                }
            }
        }
    }

    /// The method, case-sensitive.
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.fields.buf)
    }

    /// Replaces the method.
    pub fn set_method(&mut self, method: &[u8]) {
        self.method = self.fields.store(method);
    }

    /// Whether the method is HEAD.
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether the method is CONNECT.
    pub fn is_connect(&self) -> bool {
        self.method() == b"CONNECT"
    }

    /// The target in origin form: path and query, whatever form it came in. `*` of OPTIONS stays
    /// that; for CONNECT it is the authority.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.fields.buf)
    }

    /// The target up to its query; empty for CONNECT.
    pub fn path(&self) -> &[u8] {
        self.target()
            .get(..self.path_len as usize)
            .unwrap_or_default()
    }

    /// The query without its `?`; `None` when there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        if self.is_connect() {
            return None;
        }
        self.target().get(self.path_len as usize + 1..)
    }

    /// Replaces the target, path and query.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
        self.find_query();
    }

    /// Replaces the path and keeps the query. A path with a `?` of its own brings its own query,
    /// which then comes first.
    pub fn set_path(&mut self, path: &[u8]) {
        let query = Span {
            start: self.target.start + self.path_len,
            len: self.target.len.saturating_sub(self.path_len),
        };
        let start = self.fields.store(path).start as usize;
        self.fields.store_again(query);
        self.target = Span::new(start, self.fields.end);
        self.find_query();
    }

    fn find_query(&mut self) {
        let target = self.target.of(&self.fields.buf);
        let path_len = memchr::memchr(b'?', target).unwrap_or(target.len());
        self.path_len = Span::new(0, path_len).len;
    }

    /// Host, or the authority of an absolute target, which then replaced it (RFC 9112 §3.2.2);
    /// with its port if it has one. Empty only for HTTP/1.0.
    pub fn authority(&self) -> &[u8] {
        self.authority.of(&self.fields.buf)
    }

    /// Replaces the authority.
    pub fn set_authority(&mut self, authority: &[u8]) {
        self.authority = self.fields.store(authority);
    }

    /// The version that the client spoke. [`encode`](Self::encode) always writes HTTP/1.1.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// Says how the body is framed, for a head that was not decoded here; the fields stay as
    /// they are.
    pub fn set_body(&mut self, body: BodyLength) {
        self.body = body;
    }

    /// Whether the client wants the connection to stay open (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.options.close,
            Version::Http10 => self.options.keep_alive && !self.options.close,
        }
    }

    /// Whether the client waits for a 100 before its body (RFC 9110 §10.1.1: HTTP/1.1 only).
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self
                .fields
                .known(KnownName::Expect)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The protocol asked for by Upgrade, when Connection lists it (RFC 9110 §7.8: HTTP/1.1
    /// only).
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.version == Version::Http11 && self.options.upgrade {
            self.fields.known(KnownName::Upgrade)
        } else {
            None
        }
    }

    /// Asks for another protocol, for a head that was not decoded here.
    pub fn offer_upgrade(&mut self, protocol: &str) {
        self.options.upgrade = true;
        self.fields.set("connection", b"upgrade");
        self.fields.set("upgrade", protocol.as_bytes());
    }

    /// Goes on without the protocol that Upgrade offers.
    pub fn decline_upgrade(&mut self) {
        self.options.upgrade = false;
        self.fields.remove_known(KnownName::Upgrade);
        self.fields.remove("http2-settings");
    }

    /// Bytes of the head as it was received, empty lines before it included.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// The fields, without Host.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, without Host, to edit.
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

    /// Appends the head in HTTP/1.1's origin form: request line, host, fields, empty line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let lines = self.method.len + self.target.len + self.authority.len;
        out.reserve(self.fields.end + lines as usize + " HTTP/1.1\r\nhost: \r\n\r\n".len());
        out.extend_from_slice(self.method());
        out.push(b' ');
        out.extend_from_slice(self.target());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(self.fields.in_case(b"host"));
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.authority());
        out.extend_from_slice(b"\r\n");
        self.fields.encode(out);
        out.extend_from_slice(b"\r\n");
    }
}

impl From<Malformed> for RequestError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::StartLine => Self::RequestLine,
            Malformed::Version => Self::Version,
            Malformed::LineEnd => Self::LineEnd,
            Malformed::EmptyLines => Self::EmptyLines,
            Malformed::FieldName => Self::FieldName,
            Malformed::FieldValue => Self::FieldValue,
            Malformed::TooManyFields => Self::TooManyFields,
            Malformed::HeadTooLarge => Self::HeadTooLarge,
        }
    }
}

impl From<FramingError> for RequestError {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::ContentLength => Self::ContentLength,
            FramingError::TransferEncoding => Self::TransferEncoding,
            FramingError::TransferCoding => Self::TransferCoding,
            FramingError::LengthAndCoding => Self::LengthAndCoding,
        }
    }
}
