//! The same where the kernel cannot move the bytes by itself: TLS on one side at least.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::time::sleep;

use crate::exchange::transfer::poll_read;
use crate::http1::ReadBuffer;
use crate::l4::counters::{TcpCounters, add, set};
use crate::l4::tcp::{Carried, CountClosed, End, IDLE_CHECKS, Peer, Quiet, TcpSettings};
use crate::net::{Side, Stream};
use crate::worker::buffers::Buffers;

/// Carries bytes between the two until both are done. A direction that waits holds no buffer.
pub async fn relay(
    client: &mut Stream,
    upstream: &mut Stream,
    settings: &TcpSettings,
    buffers: &Buffers,
    counters: &TcpCounters,
) -> Carried {
    add(&counters.connections_opened, 1);
    let _closed = CountClosed(counters);
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let mut first = None;
    let check = settings.idle_timeout.map(|timeout| timeout / IDLE_CHECKS);
    let mut timer = pin!(check.map(sleep));
    // Few have one, and a timer is large.
    let mut old = settings
        .max_duration
        .map(|longest| Box::pin(sleep(longest)));
    let mut quiet = Quiet::default();
    let end = poll_fn(|cx| {
        if !up.done
            && let Poll::Ready(moved) = up.poll(cx, client, upstream, buffers)
        {
            match moved {
                Ok(()) => drop(first.get_or_insert(Peer::Client)),
                Err(error) => return Poll::Ready(error.end(Peer::Client, Peer::Upstream)),
            }
        }
        if !down.done
            && let Poll::Ready(moved) = down.poll(cx, upstream, client, buffers)
        {
            match moved {
                Ok(()) => drop(first.get_or_insert(Peer::Upstream)),
                Err(error) => return Poll::Ready(error.end(Peer::Upstream, Peer::Client)),
            }
        }
        set(&counters.received_bytes, up.moved);
        set(&counters.sent_bytes, down.moved);
        if let Some(first) = first
            && up.done
            && down.done
        {
            return Poll::Ready(End::Closed(first));
        }
        if let Some(old) = &mut old
            && old.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(End::Old);
        }
        match (timer.as_mut().as_pin_mut(), check) {
            (Some(timer), Some(check)) => quiet.poll(cx, timer, check, up.moved + down.moved),
            _ => Poll::Pending,
        }
    })
    .await;
    match end {
        End::Reset(Peer::Client) | End::Lost(Peer::Client, _) => upstream.reset_on_close(),
        End::Reset(Peer::Upstream) | End::Lost(Peer::Upstream, _) => client.reset_on_close(),
        // We close, which TLS wants to be said (RFC 8446 §6.1).
        End::Idle | End::Old => {
            client.farewell();
            upstream.farewell();
        }
        End::Closed(_) => {}
    }
    Carried {
        received: up.moved,
        sent: down.moved,
        end,
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// What was read and not taken yet.
    buffer: ReadBuffer,
    moved: u64,
    /// The receiver's TLS may hold bytes back.
    held_back: bool,
    /// The source has said its last.
    ended: bool,
    /// And the receiver was told.
    done: bool,
}

/// A side that failed.
struct Lost {
    side: Side,
    error: io::Error,
}

impl Lost {
    fn end(&self, from: Peer, to: Peer) -> End {
        let peer = match self.side {
            Side::From => from,
            Side::To => to,
        };
        match self.error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted => End::Reset(peer),
            kind => End::Lost(peer, kind),
        }
    }
}

impl Direction {
    /// Ready once the source has ended and the receiver was told.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<Result<(), Lost>> {
        loop {
            ready!(self.poll_write(cx, to)).map_err(|error| Lost {
                side: Side::To,
                error,
            })?;
            if self.buffer.has_memory() {
                buffers.give(std::mem::take(&mut self.buffer));
            }
            if self.done {
                return Poll::Ready(Ok(()));
            }
            let read = ready!(self.poll_read(cx, from, buffers)).map_err(|error| Lost {
                side: Side::From,
                error,
            })?;
            self.ended = read == 0;
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        ready!(from.poll_read_ready(cx))?;
        self.buffer = buffers.take();
        let read = poll_read(cx, from, &mut self.buffer);
        if read.is_pending() {
            buffers.give(std::mem::take(&mut self.buffer));
        }
        read
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let wrote = ready!(Pin::new(&mut *to).poll_write(cx, self.buffer.filled()))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.buffer.consume(wrote);
            self.moved += wrote as u64;
            self.held_back = true;
        }
        if self.held_back {
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            self.held_back = false;
        }
        if self.ended && !self.done {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.done = true;
        }
        Poll::Ready(Ok(()))
    }
}
