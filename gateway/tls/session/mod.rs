//! A client's TLS that ends here, over a socket.
//!
//! rustls' connection without buffers: records are read into memory that the thread's connections
//! share, decrypted there, and handed on. A connection that waits for its client owns no buffer at
//! all, only what it cannot do without: its keys, and the beginning of a record or what the socket
//! did not take, as long as there is some.

mod held;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use held::Held;

/// Decrypted or encrypted at once, at most.
const AT_ONCE: usize = 64 << 10;
/// A message of a handshake may be so long (rustls' limit), in records with their heads.
const RECORDS: usize = AT_ONCE + (8 << 10);
/// Read at once, at least: most messages of a handshake.
const LEAST_READ: usize = 4 << 10;
/// What records add to what they carry: about 30 bytes for each 16 kB.
const RECORD_OVERHEAD: usize = 256;
/// One record's worth: several slices that are shorter are sent as one.
const RECORD: usize = 16 << 10;
/// More than one write leaves behind: beyond it are answers of TLS itself, and a client that makes us
/// answer and reads nothing is not read from.
const MAX_UNSENT: usize = 2 * RECORDS;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        records: vec![0; RECORDS].into(),
        gathered: vec![0; RECORD].into(),
    });
}

/// What a thread's connections read and encrypt into, never longer than one call.
struct Scratch {
    records: Box<[u8]>,
    gathered: Box<[u8]>,
}

/// One client's TLS.
pub struct Session {
    socket: TcpStream,
    tls: UnbufferedServerConnection,
    /// The beginning of a record, until the rest of it comes.
    incoming: Held,
    /// Decrypted, and more than the reader had room for.
    plain: Held,
    /// Records that the socket did not take yet.
    outgoing: Held,
    /// The client said that it sends no more (`close_notify`).
    client_is_done: bool,
    /// We said so.
    is_done: bool,
    /// It came to an error: rustls is not asked again, for it tells of an error only once.
    has_failed: bool,
}

impl Session {
    /// Shakes hands with a client whose first bytes were read already.
    ///
    /// # Errors
    ///
    /// The handshake came to nothing: the socket's error, or rustls' within one of kind
    /// `InvalidData`, of which the client was told. With the socket, for last words.
    pub async fn accept(
        config: Arc<ServerConfig>,
        first: &[u8],
        socket: TcpStream,
    ) -> Result<Self, (io::Error, TcpStream)> {
        let tls = match UnbufferedServerConnection::new(config) {
            Ok(tls) => tls,
            Err(error) => return Err((invalid(error), socket)),
        };
        let mut session = Self {
            socket,
            tls,
            incoming: Held::default(),
            plain: Held::default(),
            outgoing: Held::default(),
            client_is_done: false,
            is_done: false,
            has_failed: false,
        };
        let begun = session.begin(first);
        let done = match begun {
            Ok(()) => poll_fn(|cx| session.poll_handshake(cx)).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(session),
            Err(error) => Err((error, session.socket)),
        }
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What was agreed on.
    pub fn agreed(&self) -> &CommonState {
        &self.tls
    }

    /// Whether nothing has come that was not read: neither bytes nor a part of a record.
    pub fn has_nothing_left(&self) -> bool {
        self.plain.is_empty() && self.incoming.is_empty()
    }

    /// Whether a read is worth a buffer.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plain.is_empty() && !self.client_is_done {
            self.socket.poll_read_ready(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn begin(&mut self, first: &[u8]) -> io::Result<()> {
        let mut first = first.to_vec();
        let (used, ()) = self.drive(&mut first, &mut ReadBuf::new(&mut []), |_| ())?;
        self.incoming.keep(first.get(used..).unwrap_or_default());
        Ok(())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads once from the socket, and takes in every record that is whole; false at its end. What
    /// they say goes to the reader, and what it has no room for is held.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        if self.outgoing.len() > MAX_UNSENT {
            ready!(self.poll_send(cx))?;
        }
        let received = SCRATCH.with_borrow_mut(|scratch| {
            let begun = self.incoming.len();
            // Little more than the reader has room for, so that little is held.
            let wanted = reader.remaining().clamp(LEAST_READ, AT_ONCE) + RECORD_OVERHEAD;
            let end = (begun + wanted).min(scratch.records.len());
            let (known, room) = (scratch.records.get_mut(..end))
                .and_then(|records| records.split_at_mut_checked(begun))
                .filter(|(_, room)| !room.is_empty())
                .ok_or(io::ErrorKind::InvalidData)?;
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let come = read.filled().len();
            if come == 0 {
                return Poll::Ready(Ok(false));
            }
            known.copy_from_slice(self.incoming.bytes());
            let records = scratch.records.get_mut(..begun + come).unwrap_or_default();
            let (used, ()) = self.drive(records, reader, |_| ())?;
            self.incoming.keep(records.get(used..).unwrap_or_default());
            Poll::Ready(Ok(true))
        });
        // What TLS itself has to say waits for nobody to write; what the socket does not take now
        // goes with what is written next, which also meets its errors: what came counts first.
        let _ = self.try_send();
        received
    }

    /// Takes in the records at the front of `records` until nothing more comes of them; how many
    /// bytes they were. Then `last` may write, unless the connection is not open for that.
    fn drive<T>(
        &mut self,
        records: &mut [u8],
        reader: &mut ReadBuf<'_>,
        last: impl FnOnce(Option<WriteTraffic<'_, ServerConnectionData>>) -> T,
    ) -> io::Result<(usize, T)> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut used = 0;
        loop {
            let rest = records.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(rest);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        self.plain.give_or_hold(record.payload, reader);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, &mut self.outgoing),
                // It is held in order with everything else that is to be sent.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => self.client_is_done = true,
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    return Ok((used + discard, last(Some(traffic))));
                }
                // The handshake waits, or both sides are done; early data is offered to nobody.
                Ok(_) => return Ok((used + discard, last(None))),
                Err(error) => {
                    let rest = records.get_mut(used + discard..).unwrap_or_default();
                    self.tell_why(rest);
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// Sends the alert that follows an error, as far as the socket takes it at once.
    fn tell_why(&mut self, rest: &mut [u8]) {
        self.has_failed = true;
        // What is to be sent comes before more is taken in of what was wrong already.
        while self.tls.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(alert)) =
                self.tls.process_tls_records(rest).state
        {
            encode(alert, &mut self.outgoing);
        }
        // Whoever does not take it has nothing to hear.
        let _ = self.try_send();
    }

    /// Lets `write` write records, and sends what the socket takes of them at once; the rest is
    /// held. None: nothing can be written any more.
    fn seal(
        &mut self,
        records: &mut [u8],
        write: impl FnOnce(
            WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        // Nothing whole is in there; but where it is cut may matter to what is there.
        let mut incoming = std::mem::take(&mut self.incoming);
        let sealed = self.drive(
            incoming.bytes_mut(),
            &mut ReadBuf::new(&mut []),
            |traffic| traffic.map(|traffic| write(traffic, records)),
        );
        self.incoming = incoming;
        let (used, sealed) = sealed?;
        self.incoming.take(used);
        let sealed = sealed.ok_or(io::ErrorKind::BrokenPipe)?;
        let sealed = sealed.map_err(io::Error::other)?;
        let mut records = records.get(..sealed).unwrap_or_default();
        while self.outgoing.is_empty() && !records.is_empty() {
            match self.socket.try_write(records) {
                Ok(written) => records = records.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing.append(records);
        Ok(())
    }

    /// Sends what is held, as far as the socket takes it at once.
    fn try_send(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.socket.try_write(self.outgoing.bytes()) {
                Ok(written) => self.outgoing.take(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends all that is held.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.try_send()?;
            if self.outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }
}

impl AsyncRead for Session {
    /// # Errors
    ///
    /// `UnexpectedEof` where the client closed without `close_notify`: something may be missing.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let session = self.get_mut();
        let before = reader.filled().len();
        session.plain.give(reader);
        loop {
            if reader.filled().len() > before || session.client_is_done || reader.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !ready!(session.poll_receive(cx, reader))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let session = self.get_mut();
        ready!(session.poll_send(cx))?;
        let bytes = bytes.get(..AT_ONCE).unwrap_or(bytes);
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            session.seal(&mut scratch.records, |mut traffic, records| {
                traffic.encrypt(bytes, records)
            })
        })?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut some = slices.iter().filter(|slice| !slice.is_empty());
        let first = some.next().map_or(&[][..], |slice| slice);
        if first.len() >= RECORD || some.next().is_none() {
            return self.poll_write(cx, first);
        }
        // Each encryption is a record at least, with what that costs on both sides.
        let session = self.get_mut();
        ready!(session.poll_send(cx))?;
        let written = SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { records, gathered } = scratch;
            let mut count = 0;
            for slice in slices {
                let room = gathered.get_mut(count..).unwrap_or_default();
                for (to, from) in room.iter_mut().zip(slice.iter()) {
                    *to = *from;
                }
                count += room.len().min(slice.len());
            }
            let gathered = gathered.get(..count).unwrap_or_default();
            session.seal(records, |mut traffic, records| {
                traffic.encrypt(gathered, records)
            })?;
            io::Result::Ok(count)
        })?;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    /// Says that nothing more comes (RFC 8446 §6.1: `close_notify`), and ends the socket's side.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = self.get_mut();
        if !std::mem::replace(&mut session.is_done, true) && !session.has_failed {
            SCRATCH.with_borrow_mut(|scratch| {
                session.seal(&mut scratch.records, |mut traffic, records| {
                    traffic.queue_close_notify(records)
                })
            })?;
        }
        ready!(session.poll_send(cx))?;
        Pin::new(&mut session.socket).poll_shutdown(cx)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of what was said, and no key.
        f.debug_struct("Session")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// Adds a message of TLS itself to what is to be sent.
fn encode(mut message: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Held) {
    outgoing.append_with(|room| match message.encode(room) {
        Ok(written) => Ok(written),
        Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
        Err(EncodeError::AlreadyEncoded) => Ok(0),
    });
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
