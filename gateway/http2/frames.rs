//! One stream of an HTTP/2 connection, as an exchange sees a connection: bytes that come and go,
//! with heads and ends said apart from them.
//!
//! Invariant: what was read is given back to flow control as it is taken, and no more is sent than
//! the other side has room for, so that a slow stream holds up no other.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::ReadBuf;

use crate::http1::{Fields, ResponseHead};
use crate::http2::client::Broken;
use crate::http2::heads;

/// The most that is handed over in one piece: with the head of its frame it fills a record of TLS.
const PIECE: usize = 16 * 1024 - 9;

/// A stream.
#[derive(Debug)]
pub struct Frames {
    receive: Option<RecvStream>,
    /// What came and was not read to its end.
    piece: Bytes,
    trailers: Option<Box<Fields>>,
    respond: Option<SendResponse<Bytes>>,
    answer: Option<ResponseFuture>,
    send: Option<SendStream<Bytes>>,
    /// How reading broke off.
    broken: Option<Broken>,
}

impl Frames {
    /// No stream yet, or none any longer.
    pub fn none() -> Self {
        Self {
            receive: None,
            piece: Bytes::new(),
            trailers: None,
            respond: None,
            answer: None,
            send: None,
            broken: None,
        }
    }

    /// A client's stream, whose request's head was taken.
    pub fn from_client(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self {
            receive: Some(body),
            respond: Some(respond),
            ..Self::none()
        }
    }

    /// A stream to an endpoint, whose request's head was sent.
    pub fn to_upstream(answer: ResponseFuture, send: SendStream<Bytes>) -> Self {
        Self {
            answer: Some(answer),
            send: Some(send),
            ..Self::none()
        }
    }

    /// Sends the answer's head; `ends` where no body follows.
    ///
    /// # Errors
    ///
    /// The client has reset the stream, or its connection is gone.
    pub fn respond(&mut self, head: &ResponseHead, ends: bool) -> io::Result<()> {
        let respond = self.respond.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let sent = respond.send_response(heads::to_response(head), ends);
        self.send = Some(sent.map_err(io::Error::other)?);
        Ok(())
    }

    /// Sends an interim head (1xx).
    ///
    /// # Errors
    ///
    /// As for [`respond`](Self::respond).
    pub fn inform(&mut self, head: &ResponseHead) -> io::Result<()> {
        let respond = self.respond.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let sent = respond.send_informational(heads::to_response(head));
        sent.map_err(io::Error::other)
    }

    /// An interim head of the endpoint (1xx), if one has come.
    pub fn poll_interim(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> bool {
        let Some(answer) = &mut self.answer else {
            return false;
        };
        // An error shows in the answer itself.
        let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) else {
            return false;
        };
        heads::response(interim.status(), interim.headers(), true, head);
        true
    }

    /// Waits for the endpoint's answer.
    ///
    /// # Errors
    ///
    /// The endpoint reset the stream, or its connection broke.
    pub fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), h2::Error>> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
        };
        let (parts, body) = ready!(std::pin::Pin::new(answer).poll(cx))?.into_parts();
        heads::response(parts.status, &parts.headers, body.is_end_stream(), head);
        self.answer = None;
        self.receive = Some(body);
        Poll::Ready(Ok(()))
    }

    /// Whether the other side has reset the stream or is gone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let reset = match (&mut self.send, &mut self.respond) {
            (Some(send), _) => send.poll_reset(cx),
            (None, Some(respond)) => respond.poll_reset(cx),
            (None, None) => return false,
        };
        reset.is_ready()
    }

    /// How reading broke off, if it did.
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Whether a read gives something: bytes, or the end.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            let Some(receive) = &mut self.receive else {
                return Poll::Ready(Ok(()));
            };
            match ready!(receive.poll_data(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    self.broken = Some(Broken::from(&error));
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                None => {
                    let trailers = ready!(receive.poll_trailers(cx)).map_err(io::Error::other)?;
                    self.trailers = trailers.map(|map| Box::new(heads::trailers(&map)));
                    self.receive = None;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads; nothing at the end.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_read_ready(cx))?;
        let count = self.piece.len().min(buffer.remaining());
        buffer.put_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        if count > 0
            && let Some(receive) = &mut self.receive
        {
            let given = receive.flow_control().release_capacity(count);
            given.map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }

    /// The trailers, once everything was read.
    pub fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    /// Writes as much as the other side has room for; `ends` where nothing follows.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        ends: bool,
    ) -> Poll<io::Result<usize>> {
        let send = self.send.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let wanted = bytes.len().min(PIECE);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        send.reserve_capacity(wanted);
        let mut room = send.capacity();
        while room == 0 {
            room = match ready!(send.poll_capacity(cx)) {
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(room) => room.map_err(io::Error::other)?,
            };
        }
        let count = wanted.min(room);
        let piece = bytes.get(..count).unwrap_or_default();
        let sent = send.send_data(Bytes::copy_from_slice(piece), ends && count == bytes.len());
        sent.map_err(io::Error::other)?;
        Poll::Ready(Ok(count))
    }

    /// Ends what is sent.
    ///
    /// # Errors
    ///
    /// The other side is gone.
    pub fn finish(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        let send = self.send.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        match trailers {
            Some(trailers) => send.send_trailers(heads::to_trailers(trailers)),
            None => send.send_data(Bytes::new(), true),
        }
        .map_err(io::Error::other)
    }

    /// Breaks the stream off.
    pub fn reset(&mut self, reason: Reason) {
        match (&mut self.send, &mut self.respond) {
            (Some(send), _) => send.send_reset(reason),
            (None, Some(respond)) => respond.send_reset(reason),
            (None, None) => {}
        }
    }
}
