//! `101 Switching Protocols`: from here on bytes go both ways as they are (WebSocket).

use std::future::poll_fn;
use std::rc::Rc;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use data_encoding::BASE64;

use crate::exchange::ResponseFlags;
use crate::exchange::forward::Next;
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::Transfer;
use crate::l4::TcpCounters;
use crate::l4::{End, Memory, TcpSettings, carry};
use crate::net::Stream;
use crate::upstream::Upstream;
use crate::worker::view::View;

impl HttpConnection {
    /// Writes the 101 and what each side sent ahead.
    pub(super) async fn switch(
        &mut self,
        mut upstream: Box<Upstream>,
        request: Transfer,
        mut response: Transfer,
    ) -> Next {
        self.exchange.details = "via_upstream";
        if !request.is_done() {
            // Switched before the request was complete: what of it went where cannot be told.
            self.exchange.flags.insert(ResponseFlags::UPE);
            return Next::Close;
        }
        let stall = self.worker.settings.stall_timeout;
        let ahead = async {
            poll_fn(|cx| response.poll_flush(cx, &mut upstream.input, &mut self.stream)).await?;
            write_all(&mut self.stream, upstream.input.filled()).await?;
            write_all(&mut upstream.stream, self.input.filled()).await
        };
        #[expect(clippy::disallowed_methods, reason = "once per upgraded connection")]
        let ahead = tokio::time::timeout(stall, ahead).await;
        if !matches!(ahead, Ok(Ok(()))) {
            self.exchange.flags.insert(ResponseFlags::DC);
            return Next::Close;
        }
        let (sent, received) = (upstream.input.len() as u64, self.input.len());
        self.input.consume(received);
        self.give_back_input();
        self.worker
            .buffers
            .give(std::mem::take(&mut upstream.input));
        self.output = Vec::new();
        self.switched = Some(Box::new(Switched {
            upstream,
            received: received as u64,
            sent,
            wire_bytes: response.wire_bytes,
        }));
        Next::Switched
    }

    /// The connection as one that carries bytes, once it has switched.
    pub fn into_tunnel(mut self, view: Rc<View>) -> Option<Tunnel> {
        let switched = self.switched.take()?;
        self.exchange.request.fields_mut().shrink();
        self.exchange.response.fields_mut().shrink();
        // It holds a waker, which keeps the memory of the whole task that served the request.
        self.timer = self.worker.wheel.timer();
        Some(Tunnel {
            connection: Box::new(self),
            switched,
            view,
        })
    }
}

/// What is left of an exchange that has switched to another protocol.
#[derive(Debug)]
pub(super) struct Switched {
    upstream: Box<Upstream>,
    /// Bytes that the client had sent ahead.
    received: u64,
    /// Bytes that the upstream had sent ahead.
    sent: u64,
    /// Of the answer's head.
    wire_bytes: u64,
}

/// A connection that carries another protocol. It has a task of its own, for it may be idle for
/// hours, and nothing of the machinery of requests is kept for it.
#[derive(Debug)]
pub struct Tunnel {
    /// Boxed: its size and that of the task fit the allocator's blocks better apart.
    connection: Box<HttpConnection>,
    switched: Box<Switched>,
    /// That the request was served by.
    view: Rc<View>,
}

impl Tunnel {
    /// Carries until both sides are done, and takes note of it. Whether the client broke off.
    #[expect(
        clippy::manual_async_fn,
        reason = "a block uses the tunnel where it lies; arguments of an async function, and parts \
                  taken out of them, would be in the task twice, for as long as it is idle"
    )]
    pub fn carry(mut self) -> impl Future<Output = bool> {
        async move {
            let connection = &mut self.connection;
            let worker = &connection.worker;
            let counters = TcpCounters::default();
            let idle = self.view.snapshot.proxy.connections.stream_idle_timeout;
            let settings = TcpSettings {
                idle_timeout: Some(idle.unwrap_or(worker.settings.tunnel_idle_timeout)),
                max_duration: None,
            };
            let memory = Memory {
                pipes: &worker.pipes,
                buffers: &worker.buffers,
            };
            let (client, upstream) = (&mut connection.stream, &mut self.switched.upstream.stream);
            let carried = carry(client, upstream, &settings, memory, &counters).await;
            let exchange = &mut connection.exchange;
            exchange.request_body_bytes = self.switched.received + carried.received;
            exchange.response_body_bytes = self.switched.sent + carried.sent;
            exchange.request_wire_bytes += exchange.request_body_bytes;
            exchange.response_wire_bytes = self.switched.wire_bytes + exchange.response_body_bytes;
            if carried.end == End::Idle {
                worker.with_metrics(|metrics| metrics.limit_reached("tunnel_idle_timeout"));
            }
            connection.record(&self.view);
            connection.exchange.flags.contains(ResponseFlags::DC)
        }
    }
}

/// What an endpoint of HTTP/1.1 would have said of a WebSocket's key (RFC 6455 §4.2.2).
pub(super) fn accept_key(key: &[u8]) -> Vec<u8> {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(hash.finish().as_ref()).into_bytes()
}

async fn write_all(to: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    if bytes.is_empty() {
        return Ok(());
    }
    to.write_all(bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_answered_as_the_rfc_has_it() {
        let accept = super::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
