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
use crate::l4::{Memory, TcpSettings, carry};
use crate::net::Stream;
use crate::upstream::Upstream;

impl HttpConnection {
    /// Writes the 101 and what each side sent ahead, then carries bytes until both are done.
    pub(super) async fn switch(
        &mut self,
        mut upstream: Upstream,
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
        let (sent, received) = (upstream.input.len(), self.input.len());
        self.input.consume(received);
        self.give_back_input();
        self.worker
            .buffers
            .give(std::mem::take(&mut upstream.input));
        self.output = Vec::new();
        let worker = Rc::clone(&self.worker);
        let counters = TcpCounters::default();
        let settings = TcpSettings {
            idle_timeout: Some(worker.settings.tunnel_idle_timeout),
            max_duration: None,
        };
        let memory = Memory {
            pipes: &worker.pipes,
            buffers: &worker.buffers,
        };
        let (client, upstream) = (&mut self.stream, &mut upstream.stream);
        let carried = carry(client, upstream, &settings, memory, &counters).await;
        let exchange = &mut self.exchange;
        exchange.request_body_bytes = received as u64 + carried.received;
        exchange.response_body_bytes = sent as u64 + carried.sent;
        exchange.request_wire_bytes += exchange.request_body_bytes;
        exchange.response_wire_bytes = response.wire_bytes + exchange.response_body_bytes;
        Next::Close
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
