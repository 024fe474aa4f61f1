//! From bytes to spans: httparse finds the parts of a head, this file holds what it lets through.
//!
//! Invariant: each byte is looked at a bounded number of times however the bytes arrive, and a
//! head that is accepted consists of lines that end in CRLF and of nothing between them.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig};

use super::fields::{Field, Fields};
use super::{KnownName, Limits, ReadBuffer, Span};

/// Empty lines allowed before a request line; RFC 9112 §2.2 asks for at least one.
const MAX_EMPTY_LINES: usize = 4;

/// What is wrong with a head's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    StartLine,
    Version,
    LineEnd,
    EmptyLines,
    FieldName,
    FieldValue,
    TooManyFields,
    HeadTooLarge,
}

/// How far the input was searched for the end of a head, counted from the start line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    searched: usize,
    /// How much there was at the last try to parse.
    parsed: usize,
}

/// A request line as found: lengths of its parts, which one space separates.
pub(super) struct RequestLine {
    pub(super) start: usize,
    pub(super) method_len: usize,
    pub(super) target_len: usize,
    pub(super) minor: u8,
    pub(super) head_len: usize,
}

/// A status line as found.
pub(super) struct StatusLine {
    pub(super) minor: u8,
    pub(super) status: u16,
    pub(super) head_len: usize,
}

/// Finds a request's head at the start of `input` and moves it into `fields`.
pub(super) fn request(
    fields: &mut Fields,
    input: &mut ReadBuffer,
    limits: &Limits,
) -> Result<Option<RequestLine>, Malformed> {
    let Some(skipped) = skip_empty_lines(input.filled())? else {
        return Ok(None);
    };
    let mut scan = input.scan;
    let bytes = input.filled().get(skipped..).unwrap_or_default();
    if !scan.is_worth_parsing(bytes, limits)? {
        input.scan = scan;
        return Ok(None);
    }
    let mut storage = [const { MaybeUninit::uninit() }; Limits::MAX_FIELDS];
    let (storage, _) = storage.split_at_mut(limits.fields.min(Limits::MAX_FIELDS));
    let mut found = httparse::Request::new(&mut []);
    let parsed =
        ParserConfig::default().parse_request_with_uninit_headers(&mut found, bytes, storage);
    let Some(len) = scan.after(parsed, bytes, limits)? else {
        input.scan = scan;
        return Ok(None);
    };
    let method_len = found.method.unwrap_or_default().len();
    let target_len = found.path.unwrap_or_default().len();
    let line_end = method_len + 1 + target_len + " HTTP/1.1".len();
    let head_len = skipped + len;
    let base = base(input, head_len);
    let line = RequestLine {
        start: base + skipped,
        method_len,
        target_len,
        minor: found.version.unwrap_or_default(),
        head_len,
    };
    fields.clear();
    expect_crlf(bytes, line_end)?;
    field_lines(bytes, line_end + 2, found.headers, base + skipped, fields)?;
    take(fields, input, head_len);
    classify(fields, limits.keep_case);
    Ok(Some(line))
}

/// Finds a response's head at the start of `input` and moves it into `fields`.
pub(super) fn response(
    fields: &mut Fields,
    input: &mut ReadBuffer,
    limits: &Limits,
) -> Result<Option<StatusLine>, Malformed> {
    let bytes = input.filled();
    match bytes.first() {
        None => return Ok(None),
        Some(b'H') => {}
        Some(_) => return Err(Malformed::StartLine),
    }
    let mut scan = input.scan;
    if !scan.is_worth_parsing(bytes, limits)? {
        input.scan = scan;
        return Ok(None);
    }
    let mut storage = [const { MaybeUninit::uninit() }; Limits::MAX_FIELDS];
    let (storage, _) = storage.split_at_mut(limits.fields.min(Limits::MAX_FIELDS));
    let mut found = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut found, bytes, storage);
    let Some(head_len) = scan.after(parsed, bytes, limits)? else {
        input.scan = scan;
        return Ok(None);
    };
    let line = StatusLine {
        minor: found.version.unwrap_or_default(),
        status: found.code.unwrap_or_default(),
        head_len,
    };
    fields.clear();
    // The reason phrase is not kept: what the client sees is the standard one, as with Envoy.
    let line_feed = memchr::memchr(b'\n', bytes).ok_or(Malformed::LineEnd)?;
    let line_end = line_feed.checked_sub(1).ok_or(Malformed::LineEnd)?;
    expect_crlf(bytes, line_end)?;
    field_lines(
        bytes,
        line_feed + 1,
        found.headers,
        base(input, head_len),
        fields,
    )?;
    take(fields, input, head_len);
    classify(fields, limits.keep_case);
    Ok(Some(line))
}

/// Reads a complete trailer section, its empty line included, into `fields`.
pub(super) fn trailers(
    fields: &mut Fields,
    section: &[u8],
    limits: &Limits,
) -> Result<(), Malformed> {
    let mut storage = [httparse::EMPTY_HEADER; Limits::MAX_FIELDS];
    let (storage, _) = storage.split_at_mut(limits.fields.min(Limits::MAX_FIELDS));
    match httparse::parse_headers(section, storage) {
        Ok(httparse::Status::Complete((len, found))) if len == section.len() => {
            fields.clear();
            let base = fields.store(section).start as usize;
            field_lines(section, 0, found, base, fields)?;
            classify(fields, false);
            Ok(())
        }
        Ok(_) => Err(Malformed::LineEnd),
        Err(error) => Err(error.into()),
    }
}

impl Scan {
    /// Whether the head may be complete, or so much came since the last try that its beginning
    /// is worth another look for errors (at doubling sizes, so that this stays linear).
    fn is_worth_parsing(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, Malformed> {
        if self.parsed == 0 || self.search(bytes)? || bytes.len() / 2 >= self.parsed {
            return Ok(true);
        }
        within(bytes.len(), limits)?;
        Ok(false)
    }

    /// Searches what is new for the empty line that ends a head. Whether it is there.
    fn search(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        let new = bytes.get(self.searched..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', new) {
            let at = self.searched + at;
            let before = |n: usize| at.checked_sub(n).and_then(|i| bytes.get(i));
            if before(1) != Some(&b'\r') {
                return Err(Malformed::LineEnd);
            }
            if before(2) == Some(&b'\n') {
                return Ok(true);
            }
        }
        self.searched = bytes.len();
        Ok(false)
    }

    /// What a try to parse means: the length of a complete head, or `None` when more is needed.
    fn after(
        &mut self,
        parsed: httparse::Result<usize>,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Malformed> {
        match parsed? {
            httparse::Status::Complete(len) => {
                within(len, limits)?;
                Ok(Some(len))
            }
            httparse::Status::Partial => {
                self.parsed = bytes.len();
                if self.search(bytes)? {
                    // An empty line and yet not the end: a line that httparse reads otherwise.
                    return Err(Malformed::LineEnd);
                }
                within(bytes.len(), limits)?;
                Ok(None)
            }
        }
    }
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => Self::FieldName,
            httparse::Error::HeaderValue => Self::FieldValue,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::Status | httparse::Error::Token => Self::StartLine,
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Version,
        }
    }
}

/// How many bytes of empty lines to skip; `None` when there is nothing else yet.
fn skip_empty_lines(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut rest = bytes;
    while let [b'\r', b'\n', after @ ..] = rest {
        rest = after;
        if bytes.len() - rest.len() > 2 * MAX_EMPTY_LINES {
            return Err(Malformed::EmptyLines);
        }
    }
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r' | b'\n', ..] => Err(Malformed::LineEnd),
        _ => Ok(Some(bytes.len() - rest.len())),
    }
}

fn within(len: usize, limits: &Limits) -> Result<(), Malformed> {
    if len > limits.head_bytes {
        Err(Malformed::HeadTooLarge)
    } else {
        Ok(())
    }
}

fn expect_crlf(bytes: &[u8], at: usize) -> Result<(), Malformed> {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => Ok(()),
        _ => Err(Malformed::LineEnd),
    }
}

/// Notes the spans of the field lines that httparse found from `at` on, and sees to it that each
/// line ends in CRLF and the last is followed by an empty one.
fn field_lines(
    bytes: &[u8],
    mut at: usize,
    found: &[Header<'_>],
    base: usize,
    fields: &mut Fields,
) -> Result<(), Malformed> {
    for header in found {
        let name_end = at + header.name.len();
        let value_start = skip_whitespace(bytes, name_end + 1);
        let value_end = value_start + header.value.len();
        let line_end = skip_whitespace(bytes, value_end);
        expect_crlf(bytes, line_end)?;
        fields.list.push(Field {
            name: Span::new(base + at, base + name_end),
            value: Span::new(base + value_start, base + value_end),
            known: KnownName::Other,
            removed: false,
            canonical: value_start == name_end + 2
                && bytes.get(name_end + 1) == Some(&b' ')
                && line_end == value_end,
        });
        at = line_end + 2;
    }
    expect_crlf(bytes, at)
}

fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Where in the head's buffer the input's first byte will be after [`take`].
fn base(input: &ReadBuffer, head_len: usize) -> usize {
    if is_copied(input, head_len) {
        0
    } else {
        input.start
    }
}

/// A head up to this length is copied out of the input, which keeps its (large) buffer: a head
/// then owns no more memory than it needs.
const COPIED: usize = 4096;

/// Whether the head is copied out and what follows it stays: it is short, or less is copied so.
fn is_copied(input: &ReadBuffer, head_len: usize) -> bool {
    head_len <= COPIED || input.len() - head_len > head_len
}

/// Moves the first `head_len` bytes of the input into the head's buffer: the buffers are swapped
/// and what follows the head is copied back, or the other way round where that is less.
fn take(fields: &mut Fields, input: &mut ReadBuffer, head_len: usize) {
    if is_copied(input, head_len) {
        fields.end = 0;
        fields.store(input.filled().get(..head_len).unwrap_or_default());
        input.consume(head_len);
        return;
    }
    let rest = input.start + head_len..input.end;
    std::mem::swap(&mut fields.buf, &mut input.buf);
    fields.end = rest.start;
    input.start = 0;
    input.end = 0;
    input.scan = Scan::default();
    if !rest.is_empty() {
        input.extend(fields.buf.get(rest).unwrap_or_default());
    }
}

/// Puts the names into lower case and notes which are known; with `keep_case`, how they were
/// written too.
fn classify(fields: &mut Fields, keep_case: bool) {
    let mut list = std::mem::take(&mut fields.list);
    for field in &mut list {
        if keep_case {
            fields.keep_case(field.name);
        }
        if let Some(name) = fields.buf.get_mut(field.name.range()) {
            name.make_ascii_lowercase();
            field.known = KnownName::of(name);
        }
        fields.note(field.known);
    }
    fields.list = list;
}
