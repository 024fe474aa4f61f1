//! `tunnel`: a carried connection within a request to an HTTP proxy, by CONNECT or POST (Envoy:
//! `TunnelingConfig` over HTTP/1.1).
//!
//! After a CONNECT the bytes go by as they are. A POST has them as its body, in chunks, and the
//! other way as the body of its answer.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};

use gatehouse_config::model::Tunnel;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use crate::exchange::transfer::{Framing, NO_SPLICE, Progress, Transfer, TransferError, poll_read};
use crate::http1::{BodyDecoder, Limits, ReadBuffer, ResponseHead, ResponseLength};
use crate::l4::TcpCounters;
use crate::l4::counters::{add, set};
use crate::l4::tcp::{
    Carried, CountClosed, End, IDLE_CHECKS, Memory, Peer, Quiet, TcpSettings, carry,
};
use crate::net::Stream;

/// What a proxy has granted.
#[derive(Debug)]
pub struct Granted {
    /// What it sent behind its answer.
    ahead: ReadBuffer,
    /// After POST: how the answer's body ends.
    body: Option<ResponseLength>,
}

/// Asks for the tunnel on a new connection to the proxy.
///
/// # Errors
///
/// The proxy refused it, answered no HTTP or went away. The caller bounds the time.
pub async fn open(stream: &mut Stream, tunnel: &Tunnel) -> io::Result<Granted> {
    let Tunnel { target, post } = tunnel;
    let request = if *post {
        format!("POST / HTTP/1.1\r\nhost: {target}\r\ntransfer-encoding: chunked\r\n\r\n")
    } else {
        format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n")
    };
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut input = ReadBuffer::new();
    let mut head = ResponseHead::default();
    let limits = Limits::default();
    loop {
        match head.decode(&mut input, &limits) {
            Ok(true) if head.is_informational() => continue,
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        if poll_fn(|cx| poll_read(cx, stream, &mut input)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if !(200..300).contains(&head.status()) {
        return Err(io::Error::other(format!(
            "the proxy answered {}",
            head.status()
        )));
    }
    Ok(Granted {
        ahead: input,
        body: post.then(|| head.body(false, false)),
    })
}

/// As [`carry`], through a tunnel.
pub async fn carry_through(
    client: &mut Stream,
    upstream: &mut Stream,
    granted: Granted,
    settings: &TcpSettings,
    memory: Memory<'_>,
    counters: &TcpCounters,
) -> Carried {
    let Granted { ahead, body } = granted;
    let Some(length) = body else {
        let early = ahead.len() as u64;
        if early > 0 && client.write_all(ahead.filled()).await.is_err() {
            return Carried {
                received: 0,
                sent: 0,
                end: End::Reset(Peer::Client),
            };
        }
        let carried = carry(client, upstream, settings, memory, counters).await;
        add(&counters.sent_bytes, early);
        return Carried {
            sent: carried.sent + early,
            ..carried
        };
    };
    add(&counters.connections_opened, 1);
    let _closed = CountClosed(counters);
    let limits = Limits::default();
    let until_close = BodyDecoder::with_limits(ResponseLength::UntilClose, &limits);
    let answer = BodyDecoder::with_limits(length, &limits);
    let mut up = Transfer::new(until_close, Framing::Chunked, Vec::new());
    let mut down = Transfer::new(answer, Framing::Raw, Vec::new());
    let (mut from_client, mut from_upstream) = (ReadBuffer::new(), ahead);
    let check = settings.idle_timeout.map(|timeout| timeout / IDLE_CHECKS);
    let mut timer = pin!(check.map(sleep));
    let mut old = pin!(settings.max_duration.map(sleep));
    let mut quiet = Quiet::default();
    let mut first = None;
    let end = poll_fn(|cx| {
        if !up.is_done()
            && let Poll::Ready(moved) = up.poll(cx, client, &mut from_client, upstream, NO_SPLICE)
        {
            match moved {
                Ok(Progress::Done | Progress::Splice(_)) => drop(first.get_or_insert(Peer::Client)),
                Err(error) => return Poll::Ready(lost(error, Peer::Client, Peer::Upstream)),
            }
        }
        if !down.is_done()
            && let Poll::Ready(moved) =
                down.poll(cx, upstream, &mut from_upstream, client, NO_SPLICE)
        {
            match moved {
                Ok(Progress::Done | Progress::Splice(_)) => {
                    first.get_or_insert(Peer::Upstream);
                    client.end();
                }
                Err(error) => return Poll::Ready(lost(error, Peer::Upstream, Peer::Client)),
            }
        }
        set(&counters.received_bytes, up.body_bytes);
        set(&counters.sent_bytes, down.body_bytes);
        if let Some(first) = first
            && up.is_done()
            && down.is_done()
        {
            return Poll::Ready(End::Closed(first));
        }
        if let Some(old) = old.as_mut().as_pin_mut()
            && old.poll(cx).is_ready()
        {
            return Poll::Ready(End::Old);
        }
        let (Some(timer), Some(check)) = (timer.as_mut().as_pin_mut(), check) else {
            return Poll::Pending;
        };
        Poll::Ready(ready!(quiet.poll(
            cx,
            timer,
            check,
            up.wire_bytes + down.wire_bytes
        )))
    })
    .await;
    Carried {
        received: up.body_bytes,
        sent: down.body_bytes,
        end,
    }
}

fn lost(error: TransferError, from: Peer, to: Peer) -> End {
    match error {
        TransferError::From | TransferError::Cut(_) | TransferError::NotText(_) => End::Reset(from),
        TransferError::To => End::Reset(to),
    }
}
