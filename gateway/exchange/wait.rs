//! Between exchanges: waiting for a request's head, and closing in a way that answers survive.
//!
//! A connection that waits holds no read buffer, and after a while no memory for heads either:
//! ten thousand idle ones are cheap.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::poll_read;
use crate::http1::{Limits, RequestError, RequestHead, ResponseHead};
use crate::http2;

/// A connection that waits for so long gives back what busy ones keep.
const REST_AFTER: Duration = Duration::from_secs(2);

/// How much is read and thrown away of a request that was answered early.
const LINGER_BYTES: usize = 256 * 1024;

/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// What came of waiting for a request.
pub(super) enum Head {
    Request,
    /// The client speaks HTTP/2 without having been asked (RFC 9113 §3.3).
    Http2,
    Malformed(RequestError),
    TimedOut,
    Closed,
}

/// Why a wait ended.
enum Woken {
    Read(std::io::Result<usize>),
    Expired,
    Drained,
}

impl HttpConnection {
    /// Reads until a head is complete. A drain closes a connection that waits for its next one.
    pub(super) async fn read_head(&mut self, first: bool) -> Head {
        let limits = self.worker.limits();
        if let Some(head) = self.decode(&limits, false) {
            return head;
        }
        let settings = &self.worker.settings;
        let configured = self.worker.view().snapshot.proxy.connections;
        let head_timeout = configured.head_timeout.unwrap_or(settings.head_timeout);
        let idle = if first {
            head_timeout
        } else {
            configured.idle_timeout.unwrap_or(settings.idle_timeout)
        };
        let began = Instant::now();
        let mut resting = false;
        // The time of a head runs from its first byte.
        let mut started = !self.input.is_empty();
        self.timer.set(
            began,
            Some(if started {
                head_timeout
            } else {
                idle.min(REST_AFTER)
            }),
        );
        loop {
            match poll_fn(|cx| self.poll_wait(cx, first)).await {
                Woken::Read(Ok(read)) if read > 0 => {}
                // A client that leaves in the middle of a head has nobody to be answered to.
                Woken::Read(_) | Woken::Drained => return Head::Closed,
                Woken::Expired if started => return Head::TimedOut,
                Woken::Expired if resting || idle <= REST_AFTER => return Head::Closed,
                Woken::Expired => {
                    resting = true;
                    self.rest();
                    self.timer.set(began, Some(idle));
                    continue;
                }
            }
            if let Some(head) = self.decode(&limits, first) {
                return head;
            }
            if !started {
                started = true;
                self.timer.set(Instant::now(), Some(head_timeout));
            }
        }
    }

    /// What came, if all of it did. Only the first bytes of a connection may be those of HTTP/2.
    fn decode(&mut self, limits: &Limits, first: bool) -> Option<Head> {
        if first {
            match http2::is_preface(self.input.filled()) {
                Some(true) => return Some(Head::Http2),
                None => return None,
                Some(false) => {}
            }
        }
        match self.exchange.request.decode(&mut self.input, limits) {
            Ok(true) => Some(Head::Request),
            Ok(false) => None,
            Err(error) => Some(Head::Malformed(error)),
        }
    }

    /// Waits for bytes, the deadline or the drain. A buffer is taken only when there are bytes.
    fn poll_wait(&mut self, cx: &mut Context<'_>, first: bool) -> Poll<Woken> {
        if let Poll::Ready(read) = self.poll_read_lent(cx) {
            return Poll::Ready(Woken::Read(read));
        }
        if self.timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Woken::Expired);
        }
        if self.input.is_empty() && self.worker.poll_drain(cx, first).is_ready() {
            return Poll::Ready(Woken::Drained);
        }
        Poll::Pending
    }

    /// Reads from the client into a buffer that the worker lends as long as there are bytes.
    pub(super) fn poll_read_lent(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.input.is_empty() {
            if let Err(error) = ready!(self.stream.poll_read_ready(cx)) {
                return Poll::Ready(Err(error));
            }
            if !self.input.has_memory() {
                self.input = self.worker.buffers.take();
            }
        }
        let read = poll_read(cx, &mut self.stream, &mut self.input);
        if read.is_pending() {
            self.give_back_input();
        }
        read
    }

    /// Gives the read buffer back if nothing is in it.
    pub(super) fn give_back_input(&mut self) {
        if self.input.is_empty() && self.input.has_memory() {
            self.worker.buffers.give(std::mem::take(&mut self.input));
        }
    }

    /// Gives back the memory that a busy connection uses again and again.
    fn rest(&mut self) {
        self.exchange.request = RequestHead::default();
        self.exchange.response = ResponseHead::default();
        self.output = Vec::new();
    }

    /// Closes so that the client gets to read the answer: a socket that is closed with unread
    /// bytes sends a reset, and a reset overtakes the answer.
    pub(super) async fn linger(mut self) {
        self.timer.set(Instant::now(), Some(LINGER_TIME));
        let said = poll_fn(|cx| {
            let stream = std::pin::Pin::new(&mut self.stream);
            if let Poll::Ready(said) = tokio::io::AsyncWrite::poll_shutdown(stream, cx) {
                return Poll::Ready(said.is_ok());
            }
            self.timer.poll_expired(cx).map(|()| false)
        });
        if !said.await {
            return;
        }
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.input.clear();
            let read = poll_fn(|cx| {
                if let Poll::Ready(read) = self.poll_read_lent(cx) {
                    return Poll::Ready(read.unwrap_or(0));
                }
                self.timer.poll_expired(cx).map(|()| 0)
            })
            .await;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        self.input.clear();
        self.give_back_input();
    }
}
