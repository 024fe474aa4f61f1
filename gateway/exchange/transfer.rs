//! A body on its way from one socket to another: bounded, with back-pressure, never collected.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::grpc_messages::Messages;
use crate::exchange::grpc_web::{Conversion, NotText};
use crate::http1::{
    self, BodyDecoder, BodyError, BodyEvent, Fields, Limits, ReadBuffer, ResponseLength,
};
use crate::http2::Frames;
use crate::net::Stream;

/// How much is read at once: a buffer of this size is lent by the worker.
pub const READ: usize = 64 * 1024;
/// How much may wait to be written before more is taken.
const HIGH_WATER: usize = 64 * 1024;
/// A piece up to this length is copied behind the head, so that both leave in one write.
const COPY: usize = 4 * 1024;

/// How a body is framed on the side it is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As it is: by its length, or until the connection closes.
    Raw,
    /// In chunks.
    Chunked,
    /// In frames, of which the last says that it is the last.
    Frames,
}

/// One direction of an exchange: what is left to write, then what is left to read.
#[derive(Debug)]
pub struct Transfer {
    decoder: BodyDecoder,
    framing: Framing,
    /// Bytes to write first: the head, framing, copied pieces.
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    /// How much of the front of the source's input is written after `out`, without a copy.
    direct: usize,
    /// Bytes were handed to the receiving side that its TLS may hold back.
    held_back: bool,
    /// The source has given everything.
    ended: bool,
    /// In frames: the end was said.
    said_end: bool,
    /// Of a gRPC call: its messages are counted.
    messages: Option<Box<Messages>>,
    /// Of a grpc-web call: what becomes of the body.
    conversion: Option<Box<Conversion>>,
    /// What is written stays in `out`, so that it can be sent again.
    keep: Option<Keep>,
    /// Bytes of the body that were sent on.
    pub body_bytes: u64,
    /// Bytes that were written, head and framing included.
    pub wire_bytes: u64,
}

/// How much of a transfer is kept.
#[derive(Clone, Copy, Debug)]
struct Keep {
    /// Where the head ends and the body begins.
    head: usize,
    /// A body that is longer is not kept.
    limit: usize,
}

/// A body that was kept as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptBody<'b> {
    /// With its framing.
    pub bytes: &'b [u8],
    /// Which is that of chunks; else there is none.
    pub is_chunked: bool,
}

impl KeptBody<'_> {
    pub const EMPTY: Self = KeptBody {
        bytes: b"",
        is_chunked: false,
    };

    /// In chunks.
    pub fn in_chunks(self) -> Vec<u8> {
        if self.is_chunked {
            return self.bytes.to_vec();
        }
        let mut chunks = Vec::with_capacity(self.bytes.len() + 32);
        if !self.bytes.is_empty() {
            http1::write_chunk_head(&mut chunks, self.bytes.len());
            chunks.extend_from_slice(self.bytes);
            chunks.extend_from_slice(http1::CHUNK_END);
        }
        http1::write_last_chunk(&mut chunks, None);
        chunks
    }

    /// Without framing.
    pub fn plain(self, limits: &Limits) -> Vec<u8> {
        if !self.is_chunked {
            return self.bytes.to_vec();
        }
        let mut plain = Vec::with_capacity(self.bytes.len());
        let mut input = ReadBuffer::new();
        input.extend(self.bytes);
        let mut body = BodyDecoder::with_limits(ResponseLength::Chunked, limits);
        // It was encoded here: it is whole.
        while let Ok(event) = body.decode(&mut input) {
            match event {
                BodyEvent::Data(count) => {
                    plain.extend_from_slice(&input.filled()[..count]);
                    input.consume(count);
                }
                BodyEvent::Trailers => {}
                BodyEvent::NeedMore | BodyEvent::End => break,
            }
        }
        plain
    }
}

/// How far a transfer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything was read and written.
    Done,
    /// So many bytes are left, and nothing is buffered: the kernel may move them.
    Splice(u64),
}

/// Never hand a body to the kernel.
pub const NO_SPLICE: u64 = u64::MAX;

/// Which side failed.
#[derive(Debug)]
pub enum TransferError {
    /// Reading failed.
    From,
    /// The source closed in the middle of the body, or broke its framing.
    Cut(BodyError),
    /// What was to be base64 is none.
    NotText(NotText),
    /// Writing failed.
    To,
}

impl Transfer {
    /// A transfer that begins with `out`, usually an encoded head. `out` is given back by
    /// [`into_buffer`](Self::into_buffer).
    pub fn new(decoder: BodyDecoder, framing: Framing, out: Vec<u8>) -> Self {
        Self {
            decoder,
            framing,
            out,
            written: 0,
            direct: 0,
            held_back: false,
            ended: false,
            said_end: false,
            keep: None,
            messages: None,
            conversion: None,
            body_bytes: 0,
            wire_bytes: 0,
        }
    }

    /// Counts the messages of a gRPC call.
    pub(super) fn count_messages(&mut self) {
        self.messages = Some(Box::default());
    }

    /// Turns the body into another on its way. Not with [`Framing::Raw`]: it becomes longer.
    pub(super) fn convert(&mut self, conversion: Conversion) {
        self.conversion = Some(Box::new(conversion));
    }

    /// How many began.
    pub(super) fn messages(&self) -> u64 {
        self.messages
            .as_ref()
            .map_or(0, |messages| messages.count())
    }

    /// The trailers, once everything was read.
    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.decoder.trailers()
    }

    /// The trailers that are sent as such.
    fn sent_trailers(&self) -> Option<&Fields> {
        let are_body = self.conversion.as_ref().is_some_and(|c| c.takes_trailers());
        self.decoder.trailers().filter(|_| !are_body)
    }

    /// Whether bytes wait for the receiver to take them.
    pub fn is_blocked(&self) -> bool {
        !self.is_flushed()
    }

    /// Whether everything was read and written.
    pub fn is_done(&self) -> bool {
        self.ended && self.is_flushed()
    }

    /// Whether any of the body was taken from the source.
    pub fn has_begun(&self) -> bool {
        self.body_bytes > 0
    }

    /// Keeps what is sent, up to a body of `limit` bytes with its framing.
    pub fn keep(&mut self, limit: usize) {
        self.keep = Some(Keep {
            head: self.out.len(),
            limit,
        });
    }

    /// Keeps nothing any longer.
    pub fn forget(&mut self) {
        self.keep = None;
        if self.is_flushed() {
            self.out.clear();
            self.written = 0;
        }
    }

    /// Whether it can be sent again: nothing of the body is lost.
    pub fn can_restart(&self) -> bool {
        !self.has_begun() || self.keep.is_some()
    }

    /// The body, once all of it was taken, if it was kept.
    pub(super) fn kept_body(&self) -> Option<KeptBody<'_>> {
        let keep = self.keep.filter(|_| self.ended)?;
        Some(KeptBody {
            bytes: self.out.get(keep.head..)?,
            is_chunked: self.framing == Framing::Chunked,
        })
    }

    /// The buffer, empty, for the next head; one that a kept body made large is given up.
    pub fn into_buffer(mut self) -> Vec<u8> {
        if self.out.capacity() > HIGH_WATER + READ {
            return Vec::new();
        }
        self.out.clear();
        self.out
    }

    /// How many bytes of the body are still to come, where they may go by as they are.
    fn remaining_length(&self) -> Option<u64> {
        if self.framing == Framing::Raw {
            self.decoder.remaining_length()
        } else {
            None
        }
    }

    /// Nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        let owes_end = self.framing == Framing::Frames && self.ended && !self.said_end;
        self.is_written() && !self.held_back && !owes_end
    }

    fn is_written(&self) -> bool {
        self.written == self.out.len() && self.direct == 0
    }

    /// `count` bytes of the body went by another way (splice).
    pub fn spliced(&mut self, count: u64) {
        self.decoder.skip(count);
        self.body_bytes += count;
        self.wire_bytes += count;
    }

    /// Begins again with a new head, which `encode` writes, and what was kept of the body.
    pub fn restart(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(self.can_restart(), "part of the body is gone");
        self.written = 0;
        self.said_end = false;
        match &mut self.keep {
            Some(keep) if self.out.len() > keep.head => {
                let mut head = Vec::new();
                encode(&mut head);
                self.out.splice(..keep.head, head.iter().copied());
                keep.head = head.len();
            }
            keep => {
                self.out.clear();
                encode(&mut self.out);
                self.ended = false;
                if let Some(keep) = keep {
                    keep.head = self.out.len();
                }
            }
        }
    }

    /// Moves what can be moved. Ready once everything was read and written, or once nothing is
    /// buffered and at least `splice_from` bytes are still to come.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        input: &mut ReadBuffer,
        to: &mut Stream,
        splice_from: u64,
    ) -> Poll<Result<Progress, TransferError>> {
        loop {
            self.take(input)?;
            ready!(self.poll_flush(cx, input, to)).map_err(|_| TransferError::To)?;
            if self.ended {
                return Poll::Ready(Ok(Progress::Done));
            }
            // More pieces of what was read: `take` stopped at the high-water mark, or before the
            // end, which frames have to say.
            if (!input.is_empty() || self.decoder.is_end()) && self.take(input)? {
                continue;
            }
            if let Some(left) = self.remaining_length()
                && left >= splice_from
                && input.is_empty()
            {
                return Poll::Ready(Ok(Progress::Splice(left)));
            }
            let read = match ready!(poll_read(cx, from, input)) {
                Ok(read) => read,
                // TLS without its last word (RFC 8446 §6.1), which many servers leave out. Where
                // only the end says how long a body is, it is taken for the end, as Envoy has it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                Err(_) => return Poll::Ready(Err(TransferError::From)),
            };
            if read == 0 {
                self.decoder.at_eof().map_err(TransferError::Cut)?;
                if let Some(frames) = from.frames() {
                    self.decoder.set_trailers(frames.take_trailers());
                }
                self.end()?;
            }
        }
    }

    /// Takes pieces out of `input` until it needs more, or enough waits to be written. Whether
    /// anything was taken.
    fn take(&mut self, input: &mut ReadBuffer) -> Result<bool, TransferError> {
        let mut took = false;
        while !self.ended && self.direct == 0 && self.out.len() - self.written < HIGH_WATER {
            match self.decoder.decode(input).map_err(TransferError::Cut)? {
                BodyEvent::NeedMore => break,
                BodyEvent::Data(count)
                    if self.conversion.as_ref().is_some_and(|c| c.changes_bytes()) =>
                {
                    self.take_converted(input, count)?;
                }
                BodyEvent::Data(count) => {
                    self.body_bytes += count as u64;
                    if let Some(messages) = &mut self.messages {
                        messages.see(&input.filled()[..count]);
                    }
                    if let Some(keep) = self.keep
                        && self.out.len() + count > keep.head + keep.limit
                    {
                        self.forget();
                    }
                    if self.framing != Framing::Chunked && count > COPY && self.keep.is_none() {
                        self.direct = count;
                    } else {
                        if self.framing == Framing::Chunked {
                            http1::write_chunk_head(&mut self.out, count);
                        }
                        self.out.extend_from_slice(&input.filled()[..count]);
                        input.consume(count);
                        if self.framing == Framing::Chunked {
                            self.out.extend_from_slice(http1::CHUNK_END);
                        }
                    }
                }
                // The last chunk carries them; `End` follows.
                BodyEvent::Trailers => {}
                BodyEvent::End => self.end()?,
            }
            took = true;
        }
        Ok(took)
    }

    /// Takes a piece of the body that becomes another.
    fn take_converted(
        &mut self,
        input: &mut ReadBuffer,
        count: usize,
    ) -> Result<(), TransferError> {
        let Some(conversion) = &mut self.conversion else {
            return Ok(());
        };
        self.body_bytes += count as u64;
        let piece = input.filled().get(..count).unwrap_or_default();
        let converted = conversion.piece(piece).map_err(TransferError::NotText)?;
        if let Some(messages) = &mut self.messages {
            // The messages are in what is no text.
            messages.see(if conversion.takes_trailers() {
                piece
            } else {
                &converted
            });
        }
        input.consume(count);
        self.put(&converted);
        Ok(())
    }

    /// Puts a piece of the body where it is written from.
    fn put(&mut self, piece: &[u8]) {
        // No chunk of nothing: that would be the last one.
        if piece.is_empty() {
            return;
        }
        if let Some(keep) = self.keep
            && self.out.len() + piece.len() > keep.head + keep.limit
        {
            self.forget();
        }
        if self.framing == Framing::Chunked {
            http1::write_chunk_head(&mut self.out, piece.len());
        }
        self.out.extend_from_slice(piece);
        if self.framing == Framing::Chunked {
            self.out.extend_from_slice(http1::CHUNK_END);
        }
    }

    fn end(&mut self) -> Result<(), TransferError> {
        self.ended = true;
        if let Some(conversion) = &self.conversion {
            let last = conversion.end(self.decoder.trailers());
            self.put(&last.map_err(TransferError::NotText)?);
        }
        if self.framing == Framing::Chunked {
            let are_body = self.conversion.as_ref().is_some_and(|c| c.takes_trailers());
            let trailers = self.decoder.trailers().filter(|_| !are_body);
            http1::write_last_chunk(&mut self.out, trailers);
        }
        Ok(())
    }

    /// As [`poll_flush`](Self::poll_flush), and says the end with the last piece where it can.
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut ReadBuffer,
        to: &mut Frames,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let waiting = &self.out[self.written..];
            let piece = if waiting.is_empty() {
                &input.filled()[..self.direct]
            } else {
                waiting
            };
            let is_rest = waiting.is_empty() || self.direct == 0;
            let ends = self.framing == Framing::Frames
                && self.ended
                && is_rest
                && self.sent_trailers().is_none();
            let (length, direct) = (piece.len(), waiting.is_empty());
            let wrote = ready!(to.poll_write(cx, piece, ends))?;
            self.wire_bytes += wrote as u64;
            self.said_end |= ends && wrote == length;
            if direct {
                input.consume(wrote);
                self.direct -= wrote;
            } else {
                self.written += wrote;
            }
        }
        if self.framing == Framing::Frames && self.ended && !self.said_end {
            to.finish(self.sent_trailers())?;
            self.said_end = true;
        }
        if self.keep.is_none() {
            self.out.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut ReadBuffer,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        if let Stream::Http2(frames) = to {
            return self.poll_frames(cx, input, frames);
        }
        while !self.is_written() {
            self.held_back = true;
            let first = &self.out[self.written..];
            let to = Pin::new(&mut *to);
            let wrote = if self.direct == 0 {
                ready!(to.poll_write(cx, first))?
            } else {
                let second = &input.filled()[..self.direct];
                ready!(to.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)]))?
            };
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wire_bytes += wrote as u64;
            let from_first = wrote.min(first.len());
            self.written += from_first;
            input.consume(wrote - from_first);
            self.direct -= wrote - from_first;
        }
        if self.held_back {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.held_back = false;
        }
        if self.keep.is_none() {
            self.out.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads once into `input`; 0 at the end.
pub fn poll_read(
    cx: &mut Context<'_>,
    from: &mut Stream,
    input: &mut ReadBuffer,
) -> Poll<io::Result<usize>> {
    // What is there is used up before more is read, but for a head or a chunk's line.
    let want = if input.is_empty() { READ } else { READ / 4 };
    let mut buffer = ReadBuf::new(input.unfilled(want));
    ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
    let read = buffer.filled().len();
    input.advance(read);
    Poll::Ready(Ok(read))
}
