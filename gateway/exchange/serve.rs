//! One client connection: exchange after exchange until one side has had enough.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use gatehouse_config::model::ServerHeader;

use crate::exchange::forward::Next;
use crate::exchange::grpc_web::GrpcWeb;
use crate::exchange::reply::Reply;
use crate::exchange::upgrade::Switched;
use crate::exchange::wait::Head;
use crate::exchange::{Connection, Exchange, GrpcCall, Protocol, ResponseFlags, decide, grpc};
use crate::filter::{headers, redirect};
use crate::http1::{
    Fields, KnownName, ReadBuffer, RequestError, RequestHead, ResponseHead, ResponseLength, Version,
};
use crate::http2::{self, Frames};
use crate::net::Stream;
use crate::snapshot::{Action, Edit, LabelsId};
use crate::why;
use crate::worker::listener::Slot;
use crate::worker::timer::Timer;
use crate::worker::view::View;
use crate::worker::{Admitted, Worker};

/// A client's connection.
#[derive(Debug)]
pub struct HttpConnection {
    pub(super) worker: Rc<Worker>,
    slot: Rc<Slot>,
    pub(super) stream: Stream,
    pub(super) input: ReadBuffer,
    /// The buffer that heads are written into; empty between exchanges.
    pub(super) output: Vec<u8>,
    pub(super) timer: Timer,
    pub(super) exchange: Exchange,
    /// As it was accepted; trusted proxies may name another client for a single exchange.
    connection: Rc<Connection>,
    scheme: &'static str,
    /// Another protocol is agreed on.
    pub(super) switched: Option<Box<Switched>>,
    /// Of a connection that is not shared: it is counted.
    admitted: Option<Admitted>,
}

/// What became of a stream's request.
#[derive(Debug)]
pub enum Served {
    /// It is over.
    Over {
        /// The client broke it off.
        left: bool,
        /// Both sides came to their ends, and the next stream may follow.
        again: bool,
    },
    /// It was served by this view, and goes on as a [tunnel](HttpConnection::into_tunnel).
    Switched(Rc<View>),
}

/// The most memory that is kept from one stream for the next, of each of a head and a buffer: more
/// is needed by few.
const KEPT: usize = 4 * 1024;

impl HttpConnection {
    /// A connection that was accepted at `slot`.
    pub fn new(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        stream: Stream,
        connection: Connection,
        admitted: Admitted,
    ) -> Self {
        let scheme = match stream {
            Stream::Tls(_) => "https",
            Stream::Tcp(_) | Stream::TlsToEndpoint(_) | Stream::Http2(_) => "http",
        };
        Self {
            admitted: Some(admitted),
            ..Self::of(worker, slot, stream, Rc::new(connection), scheme)
        }
    }

    /// For streams of a connection of HTTP/2, one after the other.
    pub fn of_streams(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        connection: &Rc<Connection>,
        scheme: &'static str,
    ) -> Self {
        let stream = Stream::Http2(Box::new(Frames::none()));
        Self::of(worker, slot, stream, Rc::clone(connection), scheme)
    }

    fn of(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        stream: Stream,
        connection: Rc<Connection>,
        scheme: &'static str,
    ) -> Self {
        Self {
            timer: worker.wheel.timer(),
            exchange: Exchange::new(Rc::clone(&connection)),
            worker,
            slot,
            stream,
            input: ReadBuffer::new(),
            output: Vec::new(),
            connection,
            scheme,
            switched: None,
            admitted: None,
        }
    }

    /// Serves until the connection ends.
    pub async fn serve(mut self) {
        let mut first = true;
        loop {
            let next = match self.read_head(first).await {
                Head::Closed => return self.stream.farewell(),
                Head::Http2 => {
                    let input = std::mem::take(&mut self.input);
                    let (slot, connection) = (self.slot, self.connection);
                    let _admitted = self.admitted;
                    let serve = http2::server::serve(
                        self.worker,
                        slot,
                        self.stream,
                        input,
                        connection,
                        self.scheme,
                    );
                    return Box::pin(serve).await;
                }
                Head::Request => {
                    // Not needed while the answer is waited for, unless a body or another request
                    // is in it.
                    self.give_back_input();
                    let view = self.worker.view();
                    let next = self.exchange(&view).await;
                    if next == Next::Switched {
                        if let Some(tunnel) = self.into_tunnel(view) {
                            tokio::task::spawn_local(tunnel.carry());
                        }
                        return;
                    }
                    self.record(&view);
                    next
                }
                Head::Malformed(error) => {
                    self.worker
                        .with_metrics(|metrics| metrics.refused(error.details()));
                    self.refuse(Reply::malformed(&error)).await
                }
                Head::TimedOut => self.refuse(Reply::head_timeout()).await,
            };
            match next {
                Next::Keep => first = false,
                Next::Close => {
                    // A cut answer must not look like a whole one.
                    if self.exchange.flags.is_empty() {
                        self.stream.farewell();
                    }
                    return;
                }
                Next::Linger => return self.linger().await,
                // Requests alone switch.
                Next::Switched => return,
            }
        }
    }

    /// Where the head of the next stream's request is to be put.
    pub fn next_request(&mut self) -> &mut RequestHead {
        &mut self.exchange.request
    }

    /// Takes a stream of HTTP/2, whose head was put into [`next_request`](Self::next_request).
    pub fn begin_stream(&mut self, frames: Frames) {
        match &mut self.stream {
            // In the memory of the last one.
            Stream::Http2(last) => **last = frames,
            other => *other = Stream::Http2(Box::new(frames)),
        }
    }

    /// Serves the one request of the stream that was [begun](Self::begin_stream).
    pub async fn serve_stream(&mut self, head: Result<(), RequestError>) -> Served {
        let next = match head {
            Ok(()) => {
                let view = self.worker.view();
                let next = self.exchange(&view).await;
                if next == Next::Switched {
                    return Served::Switched(view);
                }
                self.record(&view);
                next
            }
            Err(error) => {
                self.worker
                    .with_metrics(|metrics| metrics.refused(error.details()));
                self.refuse(Reply::malformed(&error)).await
            }
        };
        let flags = self.exchange.flags;
        if next == Next::Close
            && !flags.is_empty()
            && let Some(frames) = self.stream.frames()
        {
            frames.reset(h2::Reason::INTERNAL_ERROR);
        }
        Served::Over {
            left: flags.contains(ResponseFlags::DC),
            again: next == Next::Keep,
        }
    }

    /// Lets go of the stream that was served, and of what is large.
    pub fn end_stream(&mut self) {
        self.begin_stream(Frames::none());
        self.input.clear();
        self.give_back_input();
        self.output.clear();
        if self.output.capacity() > KEPT {
            self.output = Vec::new();
        }
        self.exchange.request.fields_mut().trim(KEPT);
        self.exchange.response.fields_mut().trim(KEPT);
    }

    /// When the last exchange was over, as it is on record.
    pub fn ended_at(&self) -> Instant {
        self.exchange.started + self.exchange.duration
    }

    /// Its timer, which is of no use to the connection while it serves nothing.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Answers something that is no request; nothing of an earlier one is left to be seen.
    async fn refuse(&mut self, reply: Reply) -> Next {
        self.exchange.request.clear();
        self.begin();
        let next = self.reply(reply, &[]).await;
        self.record(&self.worker.view());
        next
    }

    /// One request and its answer.
    async fn exchange(&mut self, view: &Rc<View>) -> Next {
        self.begin();
        let scheme = match self.receive(view) {
            Ok(scheme) => scheme,
            Err(reply) => return self.reply(reply, &[]).await,
        };
        // A listener that moved (from every address to one of them, say) leaves its connections
        // behind: they are served by what listens at their address now, and then closed.
        let tls = self.connection.tls.as_deref();
        let moved = || {
            let own = self.stream.local_addr();
            let local = own.unwrap_or(self.connection.local);
            self.worker.server_at(&view.snapshot, local, tls)
        };
        let Some(server) = self.slot.server(&view.snapshot, tls).or_else(moved) else {
            // Nothing is served here any more.
            return self
                .reply(
                    Reply {
                        close: true,
                        ..Reply::no_route()
                    },
                    &[],
                )
                .await;
        };
        if let Some(tls) = tls
            && self.worker.settings.refuse_misdirected
            && self.slot.is_misdirected(
                &view.snapshot,
                tls,
                server,
                self.exchange.request.authority(),
            )
        {
            return self.reply(Reply::misdirected(), &[]).await;
        }
        if view.snapshot.server(server).grpc_web {
            self.exchange.grpc_web = GrpcWeb::begin(&mut self.exchange.request);
        }
        match decide::route(&view.snapshot, server, &self.exchange.request, scheme) {
            Err(reply) => self.reply(reply, &[]).await,
            Ok(id) => {
                self.exchange.route = Some(id);
                let snapshot = &view.snapshot;
                let route = snapshot.route(id);
                if let Some(filters) = &route.filters
                    && let ControlFlow::Break(next) = self.filter(route, filters).await
                {
                    return next;
                }
                match &*route.action {
                    Action::Redirect(to) => {
                        let location = redirect::location(
                            to,
                            &self.exchange.request,
                            scheme,
                            &route.matcher.path,
                        );
                        self.reply(Reply::redirect(to.code, location), &[&route.response_edits])
                            .await
                    }
                    Action::DirectResponse { status, body } => {
                        self.reply(Reply::direct(*status, body), &[&route.response_edits])
                            .await
                    }
                    Action::Forward(forward) => self.forward(view, route, forward).await,
                }
            }
        }
    }

    fn begin(&mut self) {
        let now = Instant::now();
        self.exchange.begin(now, self.worker.clock.wall(now));
        if self.stream.is_frames() {
            self.exchange.protocol = Protocol::Http2;
        }
        self.exchange.connection = Rc::clone(&self.connection);
        self.exchange.scheme = self.scheme;
    }

    /// Judges and cleans the request; gives the scheme that the client used.
    fn receive(&mut self, view: &View) -> Result<&'static str, Reply> {
        let exchange = &mut self.exchange;
        exchange.request_wire_bytes = exchange.request.wire_len() as u64;
        if exchange.request.version() == Version::Http10 {
            exchange.protocol = Protocol::Http10;
        }
        let trusted = decide::receive(
            &mut exchange.request,
            &exchange.connection,
            self.scheme,
            &view.snapshot.proxy,
            &self.worker.random,
        )?;
        if let Some(client) = trusted.client {
            exchange.connection = Rc::new(Connection {
                peer: SocketAddr::new(client, 0),
                local: exchange.connection.local,
                tls: exchange.connection.tls.clone(),
            });
        }
        exchange.scheme = trusted.scheme;
        Ok(trusted.scheme)
    }

    /// Answers here. `edits` are those of the route and the destination that were chosen, if any
    /// was: Envoy applies them to its own answers too.
    pub(super) async fn reply(&mut self, reply: Reply, edits: &[&[Edit]]) -> Next {
        let unread = !matches!(
            self.exchange.request.body(),
            crate::http1::BodyLength::Empty
        );
        let keep = !reply.close && !unread && self.keep_alive();
        let reason = self.reason(&reply);
        let reply = self.as_grpc(reply);
        let exchange = &mut self.exchange;
        exchange.status = reply.status;
        exchange.flags.insert(reply.flags);
        exchange.details = reply.details;
        exchange.response = ResponseHead::new(reply.status);
        let fields = exchange.response.fields_mut();
        if let Some(location) = &reply.location {
            fields.append("location", location);
        }
        if let Some(call) = &exchange.grpc {
            let content_type = exchange.grpc_web.map(GrpcWeb::content_type);
            fields.append("content-type", content_type.unwrap_or(b"application/grpc"));
            let status = call.status.unwrap_or_default();
            fields.append("grpc-status", itoa::Buffer::new().format(status).as_bytes());
            if let Some(message) = &reply.grpc_message {
                fields.append("grpc-message", message);
            }
        } else if !reply.body.is_empty() {
            fields.append("content-type", b"text/plain");
        }
        if reply.overloaded {
            fields.append("x-envoy-overloaded", b"true");
        }
        if let Some(reason) = reason {
            fields.append("x-gatehouse-reason", &reason);
        }
        let details = exchange.details;
        headers::edit_answer(exchange, &self.worker.view().snapshot, edits, details);
        for (name, value) in &exchange.imposed {
            exchange.response.fields_mut().set(name, value);
        }
        let length = ResponseLength::Length(reply.body.len() as u64);
        let framed = (!matches!(reply.status, 204 | 304)).then_some(length);
        frame_response(self.exchange.response.fields_mut(), framed, false);
        self.finish_response_head(keep);
        let has_body = !self.exchange.request.is_head() && !matches!(reply.status, 204 | 304);
        let body = if has_body { &*reply.body } else { &[] };
        let mut output = std::mem::take(&mut self.output);
        let head = self.put_head(&mut output, body.is_empty());
        self.output = output;
        self.output.extend_from_slice(body);
        self.exchange.response_body_bytes = body.len() as u64;
        self.timer
            .set(Instant::now(), Some(self.worker.settings.write_timeout));
        let written = match head {
            Ok(()) => self.write_output().await,
            Err(_) => Err(()),
        };
        self.exchange.response_wire_bytes = self.output.len() as u64;
        self.output.clear();
        self.give_back_input();
        match written {
            Err(()) => {
                self.exchange.flags.insert(ResponseFlags::DC);
                Next::Close
            }
            Ok(()) if keep => Next::Keep,
            Ok(()) => Next::Linger,
        }
    }

    /// Why this is the answer, for clients that are to know.
    fn reason(&self, reply: &Reply) -> Option<Vec<u8>> {
        let settings = &self.worker.settings;
        let is_error = matches!(reply.status, 404 | 503);
        if !is_error || !settings.reasons.are_for(self.exchange.connection.peer.ip()) {
            return None;
        }
        let view = self.worker.view();
        why::reason(
            &view.snapshot,
            self.slot
                .server(&view.snapshot, self.connection.tls.as_deref()),
            &self.exchange,
            self.scheme,
            reply,
        )
    }

    /// A gRPC call is answered 200 without a body, and told the rest in fields (Envoy:
    /// `prepareLocalReply`).
    fn as_grpc(&mut self, reply: Reply) -> Reply {
        if !grpc::is_call(self.exchange.request.fields()) {
            return reply;
        }
        let status = reply
            .grpc_status
            .unwrap_or_else(|| grpc::status_of(reply.status));
        self.exchange.grpc = Some(GrpcCall {
            status: Some(status),
            ..GrpcCall::default()
        });
        let message = (!reply.body.is_empty() && !self.exchange.request.is_head())
            .then(|| grpc::message(&reply.body));
        Reply {
            status: 200,
            body: std::borrow::Cow::Borrowed(b""),
            grpc_message: message,
            ..reply
        }
    }

    /// Whether the connection may serve another request.
    pub(super) fn keep_alive(&self) -> bool {
        self.exchange.request.keep_alive()
            && !self.worker.is_draining()
            && self.slot.serves_http(self.connection.tls.is_some())
    }

    /// What every response carries, whoever made it.
    pub(super) fn finish_response_head(&mut self, keep: bool) {
        let fields = self.exchange.response.fields_mut();
        let view = self.worker.view();
        let server = match &view.snapshot.proxy.headers.server {
            Some(ServerHeader::Value(value)) => Some(value),
            Some(ServerHeader::Upstream) => None,
            None => self.worker.settings.server_header.as_ref(),
        };
        if let Some(server) = server {
            fields.set("server", server.as_bytes());
        }
        if fields.known(KnownName::Date).is_none() {
            self.worker
                .clock
                .with_date(|date| fields.append("date", date));
        }
        if !keep {
            fields.set("connection", b"close");
        }
    }

    /// Puts the response's head where its body will follow: into `out`, or, as frames, on its way.
    /// `ends` where no body follows.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub(super) fn put_head(&mut self, out: &mut Vec<u8>, ends: bool) -> std::io::Result<()> {
        match self.stream.frames() {
            None => self.exchange.response.encode(out),
            Some(frames) => frames.respond(&self.exchange.response, ends)?,
        }
        Ok(())
    }

    /// Writes `output`, or fails when the client is gone or does not read in time.
    async fn write_output(&mut self) -> Result<(), ()> {
        let mut written = 0;
        while written < self.output.len() {
            let wrote = poll_fn(|cx| {
                let left = &self.output[written..];
                let wrote = match self.stream.frames() {
                    // The last frame says that it is: an empty one after it would be counted by
                    // clients that look out for floods of small frames.
                    Some(frames) => frames.poll_write(cx, left, true),
                    None => {
                        let stream = std::pin::Pin::new(&mut self.stream);
                        tokio::io::AsyncWrite::poll_write(stream, cx, left)
                    }
                };
                if let Poll::Ready(wrote) = wrote {
                    return Poll::Ready(wrote.ok().filter(|wrote| *wrote > 0));
                }
                self.timer.poll_expired(cx).map(|()| None)
            })
            .await;
            written += wrote.ok_or(())?;
        }
        if self.stream.is_frames() {
            return Ok(());
        }
        poll_fn(|cx| {
            let stream = std::pin::Pin::new(&mut self.stream);
            if let Poll::Ready(flushed) = tokio::io::AsyncWrite::poll_flush(stream, cx) {
                return Poll::Ready(flushed.map_err(drop));
            }
            self.timer.poll_expired(cx).map(|()| Err(()))
        })
        .await
    }

    pub(super) fn record(&mut self, view: &View) {
        let exchange = &mut self.exchange;
        exchange.duration = exchange.started.elapsed();
        let labels = match (exchange.endpoint, exchange.cluster) {
            (Some(endpoint), _) => view.snapshot.endpoint(endpoint).labels,
            (None, Some(cluster)) => view.snapshot.cluster(cluster).no_endpoint_labels,
            (None, None) => LabelsId(0),
        };
        self.worker.record(labels, exchange, &view.snapshot);
    }
}

/// Says how the body is framed, whatever edits have done to the fields that say so; none: there
/// is no body to speak of, and the fields stay as they were made.
pub(super) fn frame_response(fields: &mut Fields, length: Option<ResponseLength>, upgrade: bool) {
    if upgrade {
        return;
    }
    fields.remove_known(KnownName::TransferEncoding);
    fields.remove_known(KnownName::Connection);
    match length {
        None => {}
        Some(ResponseLength::Length(length)) => set_length(fields, length),
        Some(ResponseLength::Empty) => set_length(fields, 0),
        Some(ResponseLength::Chunked | ResponseLength::UntilClose) => {
            fields.remove_known(KnownName::ContentLength);
            fields.append("transfer-encoding", b"chunked");
        }
    }
}

/// Sets Content-Length, and leaves it alone where it is right already.
pub(super) fn set_length(fields: &mut Fields, length: u64) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(length).as_bytes();
    let mut all = fields.known_all(KnownName::ContentLength);
    let right = all.next() == Some(text) && all.next().is_none();
    drop(all);
    if !right {
        fields.set("content-length", text);
    }
}
