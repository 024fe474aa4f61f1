//! A TCP connection carried: both directions at once, half-close and reset passed on.
//!
//! Nothing is held for an idle connection but the two sockets and one timer.

mod relay;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::l4::counters::{TcpCounters, add};
use crate::net::Stream;
use crate::net::splice::{Pipes, Pump, Side, SpliceError};
use crate::worker::buffers::Buffers;

/// The idle timeout is looked at so often within its length, so it fires at most a quarter late.
pub(super) const IDLE_CHECKS: u32 = 4;

/// How a TCP connection is carried.
#[derive(Clone, Debug)]
pub struct TcpSettings {
    /// Closed after so long without a byte either way (Envoy's tcp_proxy: 1 h); it may take up
    /// to a quarter longer. None: never.
    pub idle_timeout: Option<Duration>,
    /// Closed after so long in any case (Envoy's `max_downstream_connection_duration`). None: never.
    pub max_duration: Option<Duration>,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(3600)),
            max_duration: None,
        }
    }
}

/// An end of a carried connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Upstream,
}

/// How a carried connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides said that they were done; this one first.
    Closed(Peer),
    /// This side reset the connection; the other was reset in turn.
    Reset(Peer),
    /// This side was lost otherwise (no acknowledgement, no route); the other was reset.
    Lost(Peer, io::ErrorKind),
    /// Idle for too long.
    Idle,
    /// Open for too long.
    Old,
}

/// What a carried connection amounted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the client that the upstream took.
    pub received: u64,
    /// Bytes from the upstream that the client took.
    pub sent: u64,
    /// How it ended.
    pub end: End,
}

/// Carries bytes between the two until both are done, and closes them.
///
/// Dropping the future still counts the connection as closed. Bytes that the caller has buffered
/// are to be written by the caller first. Afterwards the streams are good for nothing but dropping.
pub async fn carry(
    client: &mut Stream,
    upstream: &mut Stream,
    settings: &TcpSettings,
    memory: Memory<'_>,
    counters: &TcpCounters,
) -> Carried {
    match (client.tcp(), upstream.tcp()) {
        (Some(client), Some(upstream)) => {
            tunnel(client, upstream, settings, memory.pipes, counters).await
        }
        _ => relay::relay(client, upstream, settings, memory.buffers, counters).await,
    }
}

/// What a worker lends to connections that are carried.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// For bytes that the kernel moves.
    pub pipes: &'a Pipes,
    /// For bytes that it does not.
    pub buffers: &'a Buffers,
}

/// As [`carry`], by the kernel.
pub(super) async fn tunnel(
    client: &TcpStream,
    upstream: &TcpStream,
    settings: &TcpSettings,
    pipes: &Pipes,
    counters: &TcpCounters,
) -> Carried {
    add(&counters.connections_opened, 1);
    let _closed = CountClosed(counters);
    let mut tunnel = Tunnel {
        client,
        upstream,
        up: Pump::until_eof(pipes, client, upstream, &counters.received_bytes),
        down: Pump::until_eof(pipes, upstream, client, &counters.sent_bytes),
        up_done: false,
        down_done: false,
        end: None,
    };
    let check = settings.idle_timeout.map(|timeout| timeout / IDLE_CHECKS);
    let mut timer = pin!(check.map(sleep));
    // Few have one, and a timer is large.
    let mut old = settings
        .max_duration
        .map(|longest| Box::pin(sleep(longest)));
    let mut quiet = Quiet::default();
    let end = poll_fn(|cx| {
        if let Poll::Ready(end) = tunnel.poll(cx) {
            return Poll::Ready(end);
        }
        if let Some(old) = &mut old
            && old.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(End::Old);
        }
        match (timer.as_mut().as_pin_mut(), check) {
            (Some(timer), Some(check)) => quiet.poll(cx, timer, check, tunnel.moved()),
            _ => Poll::Pending,
        }
    })
    .await;
    tunnel.pass_on(end);
    Carried {
        received: tunnel.up.moved(),
        sent: tunnel.down.moved(),
        end,
    }
}

struct Tunnel<'a> {
    client: &'a TcpStream,
    upstream: &'a TcpStream,
    up: Pump<'a>,
    down: Pump<'a>,
    up_done: bool,
    down_done: bool,
    /// The first thing that ended a direction.
    end: Option<End>,
}

impl Tunnel<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !self.up_done
            && let Poll::Ready(outcome) = self.up.poll(cx)
        {
            self.up_done = true;
            if self.ended(outcome, Peer::Client, Peer::Upstream) {
                return Poll::Ready(self.end.unwrap_or(End::Idle));
            }
        }
        if !self.down_done
            && let Poll::Ready(outcome) = self.down.poll(cx)
        {
            self.down_done = true;
            if self.ended(outcome, Peer::Upstream, Peer::Client) {
                return Poll::Ready(self.end.unwrap_or(End::Idle));
            }
        }
        match self.end {
            Some(end) if self.up_done && self.down_done => Poll::Ready(end),
            _ => Poll::Pending,
        }
    }

    /// Takes note of a direction's end; true if that ends the other one as well.
    ///
    /// A side that cannot be written is dead, but what it sent before is still there to be
    /// read: the other direction goes on until it has come to the end of that. A side that
    /// cannot be read has nothing more to give.
    fn ended(&mut self, outcome: Result<(), SpliceError>, from: Peer, to: Peer) -> bool {
        match outcome {
            Ok(()) => {
                self.end.get_or_insert(End::Closed(from));
                // Fails only if `to` is gone already; the other direction finds that out.
                let _ = self.socket(to).shutdown(std::net::Shutdown::Write);
                false
            }
            Err(error) => {
                let (peer, over) = match error.side {
                    Side::From => (from, true),
                    Side::To => (to, false),
                };
                self.end = Some(match error.error.kind() {
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionAborted => End::Reset(peer),
                    kind => End::Lost(peer, kind),
                });
                over
            }
        }
    }

    /// Makes the close that follows a reset, so that a cut stream does not look like a whole one.
    fn pass_on(&self, end: End) {
        let other = match end {
            End::Closed(_) | End::Idle | End::Old => return,
            End::Reset(Peer::Client) | End::Lost(Peer::Client, _) => Peer::Upstream,
            End::Reset(Peer::Upstream) | End::Lost(Peer::Upstream, _) => Peer::Client,
        };
        // If it fails the socket is closed in the ordinary way.
        let _ = self.socket(other).set_linger(Some(Duration::ZERO));
    }

    fn socket(&self, peer: Peer) -> SockRef<'_> {
        SockRef::from(match peer {
            Peer::Client => self.client,
            Peer::Upstream => self.upstream,
        })
    }

    fn moved(&self) -> u64 {
        self.up.moved() + self.down.moved()
    }
}

/// Counts checks without a byte: a timer that is never touched while bytes flow.
#[derive(Default)]
pub(super) struct Quiet {
    checks: u32,
    moved: u64,
}

impl Quiet {
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: std::pin::Pin<&mut Sleep>,
        check: Duration,
        moved: u64,
    ) -> Poll<End> {
        while timer.as_mut().poll(cx).is_ready() {
            if self.moved == moved {
                self.checks += 1;
            } else {
                self.checks = 0;
                self.moved = moved;
            }
            if self.checks >= IDLE_CHECKS {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(Instant::now() + check);
        }
        Poll::Pending
    }
}

/// Counts the end, also of a future that is dropped.
pub(super) struct CountClosed<'a>(pub(super) &'a TcpCounters);

impl Drop for CountClosed<'_> {
    fn drop(&mut self) {
        add(&self.0.connections_closed, 1);
    }
}

#[cfg(test)]
mod tests;
