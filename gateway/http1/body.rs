//! Bodies: from framed bytes to pieces.
//!
//! Invariant: not a byte beyond the message's end is taken from the input.

use super::parse;
use super::{BodyError, Fields, KnownName, Limits, ReadBuffer, ResponseLength};

/// What [`BodyDecoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// The first `n` bytes of the input (`n > 0`) are body. The decoder has counted them and
    /// left them in place: the caller forwards them and then takes them out with
    /// [`ReadBuffer::consume`]`(n)`, all of them, before the next call.
    Data(usize),
    /// The input holds no more of the body; read, then call again.
    NeedMore,
    /// The body ended with trailers: [`BodyDecoder::trailers`]. The next call gives `End`.
    Trailers,
    /// The body ended. What is left in the input belongs to the next message.
    End,
}

/// Takes a body apart.
///
/// Nothing is copied, and nothing buffered but a chunk's line and the trailers, in the input.
#[derive(Debug, Default)]
pub struct BodyDecoder {
    framing: Machine,
    trailers: Option<Box<Fields>>,
    limits: Limits,
}

impl BodyDecoder {
    /// A decoder for a body framed so ([`BodyLength`](super::BodyLength) or [`ResponseLength`]),
    /// with the default limits.
    pub fn new(length: impl Into<ResponseLength>) -> Self {
        Self::with_limits(length, &Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(length: impl Into<ResponseLength>, limits: &Limits) -> Self {
        let state = match length.into() {
            ResponseLength::Empty | ResponseLength::Length(0) => State::End,
            ResponseLength::Length(length) => State::Length(length),
            ResponseLength::Chunked => State::Size,
            ResponseLength::UntilClose => State::UntilClose,
        };
        Self {
            framing: Machine {
                state,
                extension_bytes: 0,
            },
            trailers: None,
            limits: *limits,
        }
    }

    /// Goes on with the body. Takes framing (chunk lines, trailers) out of the input itself, and
    /// leaves data to the caller: see [`BodyEvent::Data`].
    ///
    /// # Errors
    ///
    /// Framing that RFC 9112 §7 forbids; the connection is then closed.
    pub fn decode(&mut self, input: &mut ReadBuffer) -> Result<BodyEvent, BodyError> {
        let (framing, step) = self.framing.step(input.filled(), &self.limits)?;
        let event = match step {
            Step::Data(n) => BodyEvent::Data(n),
            Step::NeedMore => BodyEvent::NeedMore,
            Step::End => BodyEvent::End,
            Step::Trailers(len) => {
                let section = input
                    .filled()
                    .get(framing..framing + len)
                    .unwrap_or_default();
                self.trailers = Some(Box::new(read_trailers(section, &self.limits)?));
                input.consume(framing + len);
                return Ok(BodyEvent::Trailers);
            }
        };
        if framing > 0 {
            input.consume(framing);
        }
        Ok(event)
    }

    /// Whether all that `bytes` holds of this body is well framed, without taking anything: to
    /// refuse a request whose body is malformed before its head is forwarded.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn check(&self, bytes: &[u8]) -> Result<(), BodyError> {
        let mut framing = self.framing;
        let mut rest = bytes;
        loop {
            let (taken, step) = framing.step(rest, &self.limits)?;
            rest = rest.get(taken..).unwrap_or_default();
            match step {
                Step::Data(n) => rest = rest.get(n..).unwrap_or_default(),
                Step::NeedMore | Step::End => return Ok(()),
                Step::Trailers(len) => {
                    let section = rest.get(..len).unwrap_or_default();
                    return read_trailers(section, &self.limits).map(|_| ());
                }
            }
        }
    }

    /// The trailers, once [`BodyEvent::Trailers`] came.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    /// Says what trailers the body ended with, where they did not come in chunks.
    pub fn set_trailers(&mut self, trailers: Option<Box<Fields>>) {
        self.trailers = trailers;
    }

    /// The trailers, to edit.
    pub fn trailers_mut(&mut self) -> Option<&mut Fields> {
        self.trailers.as_deref_mut()
    }

    /// Whether the body has ended, so that what follows belongs to the next message.
    pub fn is_end(&self) -> bool {
        matches!(self.framing.state, State::End)
    }

    /// How much of a body of known length is still to come, what is in the input included.
    /// `None` for chunks and for a body that ends with the connection.
    pub fn remaining_length(&self) -> Option<u64> {
        match self.framing.state {
            State::Length(left) => Some(left),
            State::End => Some(0),
            _ => None,
        }
    }

    /// Counts `n` bytes of the body that went past the input, as splice does. At most
    /// [`remaining_length`](Self::remaining_length).
    pub fn skip(&mut self, n: u64) {
        if let State::Length(left) = &mut self.framing.state {
            *left = left.saturating_sub(n);
            if *left == 0 {
                self.framing.state = State::End;
            }
        }
    }

    /// The peer has closed: ends a body that lasts until then.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] when any other body has not ended (RFC 9112 §8).
    pub fn at_eof(&mut self) -> Result<(), BodyError> {
        match self.framing.state {
            State::UntilClose => {
                self.framing.state = State::End;
                Ok(())
            }
            State::End => Ok(()),
            _ => Err(BodyError::Truncated),
        }
    }
}

/// Where in a body we are.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    state: State,
    /// Extensions of the chunks so far.
    extension_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    Length(u64),
    UntilClose,
    /// Before a chunk's line.
    Size,
    /// In a chunk, so many bytes before its end.
    Data(u64),
    /// Before the CRLF after a chunk's data.
    DataEnd,
    /// After the last chunk's line.
    Trailers,
    #[default]
    End,
}

/// What comes after the framing at the start of some bytes.
enum Step {
    Data(usize),
    NeedMore,
    /// A trailer section that is not empty, of so many bytes.
    Trailers(usize),
    End,
}

impl Machine {
    /// Walks over the framing at the start of `bytes`; how long that is, and what follows it.
    fn step(&mut self, bytes: &[u8], limits: &Limits) -> Result<(usize, Step), BodyError> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let step = match &mut self.state {
                State::End => Step::End,
                _ if rest.is_empty() => Step::NeedMore,
                State::UntilClose => Step::Data(rest.len()),
                State::Length(left) => {
                    let n = take(left, rest.len());
                    if *left == 0 {
                        self.state = State::End;
                    }
                    Step::Data(n)
                }
                State::Data(left) => {
                    let n = take(left, rest.len());
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    Step::Data(n)
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::Size;
                        continue;
                    }
                    [b'\r'] => Step::NeedMore,
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::Size => {
                    let left = limits
                        .chunk_extension_bytes
                        .saturating_sub(self.extension_bytes);
                    match super::chunk::size_line(rest, left)? {
                        None => Step::NeedMore,
                        Some(line) => {
                            at += line.len;
                            self.extension_bytes += line.extension_len;
                            self.state = match line.size {
                                0 => State::Trailers,
                                size => State::Data(size),
                            };
                            continue;
                        }
                    }
                }
                State::Trailers => match trailer_section(rest, limits)? {
                    None => Step::NeedMore,
                    Some(len) => {
                        self.state = State::End;
                        if len == 2 {
                            at += len;
                            Step::End
                        } else {
                            Step::Trailers(len)
                        }
                    }
                },
            };
            return Ok((at, step));
        }
    }
}

/// Takes up to `available` from `left`.
fn take(left: &mut u64, available: usize) -> usize {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= n as u64;
    n
}

/// The length of the trailer section at the start of `rest`, its empty line included; 2 when it
/// has no fields. `None` when it is not complete.
fn trailer_section(rest: &[u8], limits: &Limits) -> Result<Option<usize>, BodyError> {
    match rest {
        [b'\r', b'\n', ..] => return Ok(Some(2)),
        [b'\r'] => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(BodyError::Trailer),
        _ => {}
    }
    let end = memchr::memmem::find(rest, b"\r\n\r\n").map(|at| at + 4);
    let section = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    if section.len() > limits.head_bytes {
        return Err(BodyError::TrailerTooLarge);
    }
    let bare = memchr::memchr_iter(b'\n', section)
        .any(|at| at.checked_sub(1).and_then(|i| section.get(i)) != Some(&b'\r'));
    if bare {
        Err(BodyError::Trailer)
    } else {
        Ok(end)
    }
}

fn read_trailers(section: &[u8], limits: &Limits) -> Result<Fields, BodyError> {
    let mut trailers = Fields::new();
    parse::trailers(&mut trailers, section, limits).map_err(|malformed| match malformed {
        parse::Malformed::TooManyFields => BodyError::TrailerTooLarge,
        _ => BodyError::Trailer,
    })?;
    if trailers.may_have_any(REFUSED_IN_TRAILERS) {
        return Err(BodyError::TrailerField);
    }
    trailers.remove_set(DROPPED_FROM_TRAILERS);
    Ok(trailers)
}

/// Framing in a trailer is an attempt to be read twice in different ways.
const REFUSED_IN_TRAILERS: u64 =
    KnownName::ContentLength.bit() | KnownName::Host.bit() | KnownName::TransferEncoding.bit();

/// RFC 9110 §6.5.1: routing, modifiers, authentication and content format do not come in
/// trailers; whoever merges trailers into the head must not be misled.
const DROPPED_FROM_TRAILERS: u64 = KnownName::Authorization.bit()
    | KnownName::CacheControl.bit()
    | KnownName::Connection.bit()
    | KnownName::ContentEncoding.bit()
    | KnownName::ContentType.bit()
    | KnownName::Cookie.bit()
    | KnownName::Expect.bit()
    | KnownName::Forwarded.bit()
    | KnownName::Http2Settings.bit()
    | KnownName::KeepAlive.bit()
    | KnownName::Location.bit()
    | KnownName::ProxyConnection.bit()
    | KnownName::SetCookie.bit()
    | KnownName::Te.bit()
    | KnownName::Trailer.bit()
    | KnownName::Upgrade.bit()
    | KnownName::Via.bit()
    | KnownName::XForwardedClientCert.bit()
    | KnownName::XForwardedFor.bit()
    | KnownName::XForwardedHost.bit()
    | KnownName::XForwardedProto.bit()
    | KnownName::XRequestId.bit();
