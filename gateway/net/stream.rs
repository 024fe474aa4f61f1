//! A connection as bytes, whatever carries them: TCP as it is, TLS over it, or a stream of HTTP/2.
//!
//! What can only be done with a bare socket (splice, peek) is asked for by [`Stream::tcp`].

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::http2::Frames;
use crate::tls::Session;

/// One end of a connection.
#[derive(Debug)]
pub enum Stream {
    /// A socket.
    Tcp(TcpStream),
    /// A client's TLS that ends here. Boxed: what TLS keeps is many times a socket.
    Tls(Box<Session>),
    /// Our TLS to an endpoint.
    TlsToEndpoint(Box<TlsStream<TcpStream>>),
    /// One of many that share a connection.
    Http2(Box<Frames>),
}

impl Stream {
    /// The bare socket; none where bytes do not go through it as they are.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(_) | Self::TlsToEndpoint(_) | Self::Http2(_) => None,
        }
    }

    /// The stream of an HTTP/2 connection, whose heads and ends are said apart from its bytes.
    pub fn frames(&mut self) -> Option<&mut Frames> {
        match self {
            Self::Http2(frames) => Some(frames),
            Self::Tcp(_) | Self::Tls(_) | Self::TlsToEndpoint(_) => None,
        }
    }

    /// Whether it is one of HTTP/2.
    pub fn is_frames(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// The socket below, of a connection that is not shared.
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(session) => Some(session.socket()),
            Self::TlsToEndpoint(stream) => Some(stream.get_ref().0),
            Self::Http2(_) => None,
        }
    }

    /// Our address.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let socket = self.socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.local_addr()
    }

    /// Whether a read is worth a buffer: bytes may have come, or the end.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(session) => session.poll_read_ready(cx),
            // What came last was more than the reader took.
            Self::TlsToEndpoint(stream) if !stream.get_ref().1.wants_read() => Poll::Ready(Ok(())),
            Self::TlsToEndpoint(stream) => stream.get_ref().0.poll_read_ready(cx),
            Self::Http2(frames) => frames.poll_read_ready(cx),
        }
    }

    /// Whether the socket takes bytes.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket() {
            Some(socket) => socket.poll_write_ready(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Says that nothing more will be written, where that can be said without TLS: a socket alone.
    pub fn end(&self) {
        if let Self::Tcp(stream) = self {
            // Fails only if the other side is gone already, which reading shows.
            let _ = SockRef::from(stream).shutdown(Shutdown::Write);
        }
    }

    /// Tells the other side that this is the end and nothing was cut, as far as that can be done at
    /// once (RFC 8446 §6.1: `close_notify`). A bare socket says it by being closed.
    pub fn farewell(&mut self) {
        if let Self::Tls(_) | Self::TlsToEndpoint(_) = self {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            // Whoever does not take it is gone, or knows by the length of what came.
            let _ = Pin::new(self).poll_shutdown(&mut cx);
        }
    }

    /// Makes the close a reset, so that a cut stream does not look like a whole one.
    pub fn reset_on_close(&self) {
        // If it fails the socket is closed in the ordinary way.
        if let Some(socket) = self.socket() {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether nothing has come since the last read, not even the end. Makes a system call only
    /// where the poller has reported something.
    ///
    /// A session ticket or a key update is nothing that a request could be answered with, but
    /// telling it from other bytes would take a read: a connection with one is given up.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        let untouched = match self {
            Self::Tcp(_) => true,
            Self::Tls(session) => session.has_nothing_left(),
            Self::TlsToEndpoint(stream) => stream.get_ref().1.wants_read(),
            Self::Http2(_) => false,
        };
        let Some(socket) = self.socket().filter(|_| untouched) else {
            return false;
        };
        matches!(socket.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(session) => Pin::new(session).poll_read(cx, buffer),
            Self::TlsToEndpoint(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Http2(frames) => frames.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(session) => Pin::new(session).poll_write(cx, bytes),
            Self::TlsToEndpoint(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Http2(frames) => frames.poll_write(cx, bytes, false),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(session) => Pin::new(session).poll_write_vectored(cx, slices),
            Self::TlsToEndpoint(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Http2(frames) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                frames.poll_write(cx, first.map_or(&[], |slice| slice), false)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing is held back, or others see to it.
            Self::Tcp(_) | Self::Http2(_) => Poll::Ready(Ok(())),
            Self::Tls(session) => Pin::new(session).poll_flush(cx),
            Self::TlsToEndpoint(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(session) => Pin::new(session).poll_shutdown(cx),
            Self::TlsToEndpoint(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Http2(frames) => Poll::Ready(frames.finish(None)),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}
