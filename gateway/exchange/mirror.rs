//! `mirror` and `mirrors`: copies of requests, whose answers nobody waits for.
//!
//! A copy is a task of its own with a connection of its own: a mirror that is slow or dead costs
//! the request nothing. Copies under way are bounded in number, bytes and time; one too many is
//! left out and counted.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::OnceLock;

use gatehouse_config::model::Percent;
use tokio::io::AsyncWriteExt as _;

use crate::exchange::Exchange;
use crate::exchange::multiplexed::{self, Connecting, Waiting, speaks_http2};
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::{KeptBody, Transfer, poll_read};
use crate::http1::{BodyDecoder, BodyEvent, BodyLength, ResponseHead, ResponseLength};
use crate::http2::client::{Making, Place};
use crate::http2::{Frames, heads};
use crate::net::{Stream, connect};
use crate::snapshot::{Cluster, ClusterId, EndpointId, Forward, Mirror};
use crate::tls::Within;
use crate::upstream::circuit_breaker::{Resource, Slot};
use crate::upstream::pool::{self, Purpose};
use crate::upstream::{Choice, EndpointState, Outcome, Upstream, choose, connect_options};
use crate::worker::Worker;
use crate::worker::random::Random;
use crate::worker::view::View;

/// The field that says which gateways have copied a request: none of them copies it again, so
/// that a mirror that leads back here ends after one round.
const MARK: &str = "x-gatehouse-mirrored";

/// Copies under way in one worker.
#[derive(Debug, Default)]
pub struct Copies {
    count: Cell<usize>,
    bytes: Cell<usize>,
}

/// One copy, counted for as long as it lives.
#[derive(Debug)]
struct Counted {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Counted {
    /// Counts a copy of so many bytes; none where that is one too many.
    fn new(worker: &Rc<Worker>, bytes: usize) -> Option<Self> {
        let Copies {
            count,
            bytes: in_all,
        } = &worker.copies;
        let settings = &worker.settings;
        if count.get() >= settings.max_mirrors
            || in_all.get().saturating_add(bytes) > settings.max_mirror_bytes
        {
            return None;
        }
        count.set(count.get() + 1);
        in_all.set(in_all.get() + bytes);
        Some(Self {
            worker: Rc::clone(worker),
            bytes,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Copies { count, bytes } = &self.worker.copies;
        count.set(count.get().saturating_sub(1));
        bytes.set(bytes.get().saturating_sub(self.bytes));
    }
}

impl HttpConnection {
    /// Throws the dice for each mirror of the route.
    pub(super) fn mirrors(&self, forward: &Forward) -> Vec<ClusterId> {
        let request = &self.exchange.request;
        let mut marks = request.fields().get_all(MARK);
        // What follows an upgrade is not HTTP and cannot be copied.
        if request.upgrade().is_some() || marks.any(|mark| mark == instance().as_bytes()) {
            return Vec::new();
        }
        drawn(&forward.mirrors, &self.worker.random)
    }

    /// Sends the copies of a request that was sent to its end, if its body was kept.
    pub(super) fn copy_sent(&mut self, view: &Rc<View>, to: &[ClusterId], request: &Transfer) {
        if to.is_empty() || self.exchange.request.body() == BodyLength::Empty {
            return; // sent already
        }
        match request.kept_body() {
            Some(body) => self.copy(view, to, body),
            None => self.worker.with_metrics(|metrics| {
                metrics.limit_reached_times("mirror_body", to.len() as u64);
            }),
        }
    }

    /// Sends copies of the request as it goes to the upstream, with this body.
    pub(super) fn copy(&mut self, view: &Rc<View>, to: &[ClusterId], body: KeptBody<'_>) {
        let is_head = self.exchange.request.is_head();
        for &cluster in to {
            let to = view.snapshot.cluster(cluster);
            if to.tls.impossible().is_some() {
                self.worker
                    .with_metrics(|metrics| metrics.limit_reached("mirror_failed"));
                continue; // not in plain text
            }
            let Choice::Endpoint(endpoint) = choose(view, cluster, &[], None, &self.worker.random)
            else {
                continue;
            };
            let http2 = speaks_http2(to, self.exchange.protocol);
            let Some(message) = self.copied(to, body, http2) else {
                continue; // HTTP/2 cannot say it
            };
            let Some(counted) = Counted::new(&self.worker, message.len()) else {
                self.worker
                    .with_metrics(|metrics| metrics.limit_reached("max_mirrors"));
                continue;
            };
            let copy = Shadow {
                endpoint,
                state: Rc::clone(view.state(endpoint)),
                purpose: self.purpose(to),
                view: Rc::clone(view),
                cluster,
                message,
                is_head,
                counted,
            };
            tokio::task::spawn_local(copy.run());
        }
    }

    /// The message; Envoy's copies say that they come from a proxy. None where HTTP/2 cannot say it.
    fn copied(&mut self, to: &Cluster, body: KeptBody<'_>, http2: bool) -> Option<Message> {
        let local = self.exchange.connection.local.ip().to_canonical();
        let fields = self.exchange.request.fields_mut();
        let before = fields.get("x-forwarded-for").map(<[u8]>::to_vec);
        let list = before.as_deref().unwrap_or_default();
        let separator: &[u8] = if list.is_empty() { b"" } else { b"," };
        let longer = [list, separator, local.to_string().as_bytes()].concat();
        fields.set("x-forwarded-for", &longer);
        fields.append("x-envoy-internal", b"true");
        fields.append(MARK, instance().as_bytes());
        let Exchange {
            request, scheme, ..
        } = &self.exchange;
        let message = if http2 {
            heads::to_request(request, multiplexed::scheme(to, scheme))
                .ok()
                .map(|head| Message::Http2 {
                    head: Box::new(head),
                    body: body.plain(&self.worker.settings.limits),
                })
        } else {
            let mut message = Vec::with_capacity(1024 + body.bytes.len());
            request.encode(&mut message);
            match request.body() {
                BodyLength::Chunked => message.extend(body.in_chunks()),
                BodyLength::Empty | BodyLength::Length(_) => message.extend(body.bytes),
            }
            Some(Message::Http1(message))
        };
        let fields = self.exchange.request.fields_mut();
        fields.remove_last(MARK);
        fields.remove_last("x-envoy-internal");
        match before {
            Some(before) => fields.set("x-forwarded-for", &before),
            None => {
                fields.remove("x-forwarded-for");
            }
        }
        message
    }
}

/// A copy as it is sent.
#[derive(Debug)]
enum Message {
    Http1(Vec<u8>),
    Http2 {
        head: Box<http::Request<()>>,
        body: Vec<u8>,
    },
}

impl Message {
    /// About how much memory it takes.
    fn len(&self) -> usize {
        match self {
            Self::Http1(bytes) => bytes.len(),
            Self::Http2 { body, .. } => 1024 + body.len(),
        }
    }
}

/// The clusters whose share the request falls into.
fn drawn(mirrors: &[Mirror], random: &Random) -> Vec<ClusterId> {
    let hit = |mirror: &&Mirror| random.below(Percent::WHOLE) < mirror.percentage.millionths();
    let hits = mirrors.iter().filter(hit);
    hits.map(|mirror| mirror.cluster).collect()
}

/// This process, told from every other gatehouse.
fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| String::from_utf8_lossy(&Random::new().uuid()).into_owned())
}

/// A copy on its way.
#[derive(Debug)]
struct Shadow {
    view: Rc<View>,
    cluster: ClusterId,
    endpoint: EndpointId,
    state: Rc<EndpointState>,
    /// What its connection is made for.
    purpose: Purpose,
    message: Message,
    is_head: bool,
    counted: Counted,
}

impl Shadow {
    /// What becomes of it is nobody's business, as long as it comes to an end.
    async fn run(self) {
        let limit = self.counted.worker.settings.mirror_timeout;
        #[expect(clippy::disallowed_methods, reason = "once per copy")]
        let sent = tokio::time::timeout(limit, self.send()).await;
        self.report(&sent);
        match sent {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => self.counted.worker.with_metrics(|metrics| {
                metrics.limit_reached("mirror_failed");
            }),
            Err(_) => self.counted.worker.with_metrics(|metrics| {
                metrics.limit_reached("mirror_timeout");
            }),
        }
    }

    /// Failures of copies count as those of requests do (Envoy).
    fn report(&self, sent: &Result<io::Result<u16>, tokio::time::error::Elapsed>) {
        let cluster = self.view.snapshot.cluster(self.cluster);
        let Some(outliers) = &cluster.outliers else {
            return;
        };
        let position = self.endpoint.0 - cluster.endpoints.start;
        outliers.report(
            position,
            match sent {
                Ok(Ok(status)) => {
                    outliers.report(position, Outcome::Connected);
                    Outcome::Status(*status)
                }
                // Not sent at all, because of a limit.
                Ok(Err(error)) if error.kind() == io::ErrorKind::QuotaExceeded => return,
                Ok(Err(_)) => Outcome::Failed,
                Err(_) => Outcome::TimedOut,
            },
        );
    }

    /// Gives the answer's status.
    async fn send(&self) -> io::Result<u16> {
        match &self.message {
            Message::Http1(message) => self.send_http1(message).await,
            Message::Http2 { head, body } => self.send_http2(head, body).await,
        }
    }

    /// Copies keep to the limits of their cluster; none waits for its turn.
    fn slot(&self, resource: Resource) -> io::Result<Option<Slot>> {
        match &self.view.snapshot.cluster(self.cluster).breaker {
            None => Ok(None),
            Some(breaker) => match breaker.take(resource) {
                None => Err(io::Error::from(io::ErrorKind::QuotaExceeded)),
                slot => Ok(slot),
            },
        }
    }

    /// A new connection, and what keeps it counted.
    async fn connect(&self) -> io::Result<(Stream, Option<pool::Counted>)> {
        let to = self.view.snapshot.cluster(self.cluster);
        let counted = self.slot(Resource::Connection)?;
        let counted = counted.map(|slot| pool::Counted::new(slot, &self.state));
        let within = match self.message {
            Message::Http1(_) => Within::Http1,
            Message::Http2 { .. } => Within::Http2,
        };
        let address = &self.state.address;
        let options = connect_options(to, to.connect_timeout, &self.purpose, within, address);
        let options = options.map_err(io::Error::other)?;
        let stream = connect(address, &options).await;
        Ok((stream.map_err(io::Error::other)?, counted))
    }

    async fn send_http2(&self, head: &http::Request<()>, body: &[u8]) -> io::Result<u16> {
        let _request = self.slot(Resource::Request)?;
        let place = self.place().await?;
        let sent = place.send(head.clone(), body.is_empty()).await;
        let (answer, send) = sent.map_err(io::Error::other)?;
        let mut frames = Frames::to_upstream(answer, send);
        let mut written = 0;
        while written < body.len() {
            let rest = body.get(written..).unwrap_or_default();
            written += poll_fn(|cx| frames.poll_write(cx, rest, true)).await?;
        }
        let mut head = ResponseHead::default();
        let answered = poll_fn(|cx| frames.poll_answer(cx, &mut head)).await;
        answered.map_err(io::Error::other)?;
        let mut input = self.counted.worker.buffers.take();
        let mut stream = Stream::Http2(Box::new(frames));
        while poll_fn(|cx| poll_read(cx, &mut stream, &mut input)).await? > 0 {
            input.consume(input.len());
        }
        self.counted.worker.buffers.give(input);
        Ok(head.status())
    }

    async fn place(&self) -> io::Result<Place> {
        let to = self.view.snapshot.cluster(self.cluster);
        let connections = &self.state.http2;
        loop {
            let lifetimes = self.state.lifetimes.get();
            if let Some(place) = connections.place(&self.purpose, to.max_streams, &lifetimes) {
                return Ok(place);
            }
            if connections.connecting.get() {
                let _waiting = Waiting::new(connections);
                connections.changed.notified().await;
                continue;
            }
            let _connecting = Connecting::new(connections);
            let (stream, counted) = self.connect().await?;
            let making = Making {
                purpose: self.purpose.clone(),
                counted,
                keepalive: to.keepalive,
            };
            let added = connections.add(stream, making, &self.counted.worker).await;
            return added.map_err(io::Error::other);
        }
    }

    async fn send_http1(&self, message: &[u8]) -> io::Result<u16> {
        let worker = &self.counted.worker;
        let request = self.slot(Resource::Request)?;
        let mut upstream = match Upstream::idle(&self.state, &self.purpose) {
            Some(upstream) => upstream,
            None => {
                let (stream, counted) = self.connect().await?;
                let mut upstream = Upstream::new(stream, &self.state)?;
                upstream.mark(counted, self.purpose.clone());
                upstream
            }
        };
        upstream.request = request;
        upstream.stream.write_all(message).await?;
        upstream.stream.flush().await?;
        upstream.input = worker.buffers.take();
        let (status, keeps) = self.read_answer(&mut upstream).await?;
        let leftover = !upstream.input.is_empty();
        worker.buffers.give(std::mem::take(&mut upstream.input));
        if keeps && !leftover {
            upstream.release(std::time::Instant::now());
        }
        Ok(status)
    }

    /// Reads the answer and throws it away. Its status, and whether the connection can be used
    /// again.
    async fn read_answer(&self, upstream: &mut Upstream) -> io::Result<(u16, bool)> {
        let limits = &self.counted.worker.settings.limits;
        let mut head = ResponseHead::default();
        loop {
            let complete = head.decode(&mut upstream.input, limits);
            if !complete.map_err(io::Error::other)? {
                read(upstream).await?;
            } else if head.status() == 101 {
                return Ok((101, false));
            } else if !head.is_informational() {
                break;
            }
        }
        let length = head.body(self.is_head, false);
        let status = head.status();
        if matches!(length, ResponseLength::UntilClose) {
            return Ok((status, false));
        }
        let mut body = BodyDecoder::with_limits(length, limits);
        loop {
            match body.decode(&mut upstream.input).map_err(io::Error::other)? {
                BodyEvent::NeedMore => read(upstream).await?,
                BodyEvent::Data(count) => upstream.input.consume(count),
                BodyEvent::Trailers => {}
                BodyEvent::End => return Ok((status, head.keep_alive())),
            }
        }
    }
}

async fn read(upstream: &mut Upstream) -> io::Result<()> {
    let Upstream { stream, input, .. } = upstream;
    match poll_fn(|cx| poll_read(cx, stream, input)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mirror_gets_its_share() {
        let random = Random::from_seed(5);
        let mirrors = [(0, 100.0), (1, 10.0)].map(|(id, percent)| Mirror {
            cluster: ClusterId(id),
            percentage: Percent::new(percent),
        });
        let mut hits = [0; 2];
        for _ in 0..100_000 {
            for ClusterId(id) in drawn(&mirrors, &random) {
                hits[id as usize] += 1;
            }
        }
        assert_eq!(hits[0], 100_000);
        assert!((9_500..10_500).contains(&hits[1]), "{hits:?}");
    }
}
