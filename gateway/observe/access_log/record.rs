//! An owned copy of what one line needs: fixed fields, and all text in one buffer.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use gatehouse_config::model::EndpointAddress;

use crate::exchange::{Exchange, ResponseFlags};
use crate::http1::RequestHead;
use crate::observe::access_log::{Resolved, TcpConnection};

/// A buffer that grew past this is not kept for the next line.
const KEPT: usize = 4_096;

/// The texts of a record, in the order in which they are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Method,
    Path,
    Details,
    TerminationDetails,
    TransportFailure,
    ForwardedFor,
    UserAgent,
    RequestId,
    Authority,
    Cluster,
    RouteName,
}

const TEXTS: usize = Text::RouteName as usize + 1;

/// What a line shows of the request's head.
struct RequestTexts<'a> {
    method: &'a [u8],
    path: &'a [u8],
    forwarded_for: &'a [u8],
    user_agent: &'a [u8],
    request_id: &'a [u8],
    authority: &'a [u8],
}

impl<'a> RequestTexts<'a> {
    fn of(request: &'a RequestHead) -> Self {
        let fields = request.fields();
        let field = |name| fields.get(name).unwrap_or_default();
        Self {
            method: request.method(),
            // %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%: the path before a rewrite.
            path: fields
                .get("x-envoy-original-path")
                .unwrap_or_else(|| request.target()),
            forwarded_for: field("x-forwarded-for"),
            user_agent: field("user-agent"),
            request_id: field("x-request-id"),
            authority: request.authority(),
        }
    }
}

/// One line in the making.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) started_at: SystemTime,
    pub(super) duration: Duration,
    /// Empty for TCP.
    pub(super) protocol: &'static str,
    pub(super) status: u16,
    pub(super) flags: ResponseFlags,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) upstream_service_time: Option<Duration>,
    pub(super) endpoint: Option<EndpointAddress>,
    pub(super) upstream_local: Option<SocketAddr>,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    text: Vec<u8>,
    /// Where each text ends.
    ends: [usize; TEXTS],
}

impl Default for Record {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            protocol: "",
            status: 0,
            flags: ResponseFlags::default(),
            received: 0,
            sent: 0,
            upstream_service_time: None,
            endpoint: None,
            upstream_local: None,
            local: nowhere,
            peer: nowhere,
            text: Vec::with_capacity(512),
            ends: [0; TEXTS],
        }
    }
}

impl Record {
    pub(super) fn fill_http(&mut self, exchange: &Exchange, resolved: Resolved<'_>) {
        self.started_at = exchange.started_at;
        self.duration = exchange.duration;
        self.protocol = exchange.protocol.as_str();
        self.status = exchange.status;
        self.flags = exchange.flags;
        self.received = exchange.request_body_bytes;
        self.sent = exchange.response_body_bytes;
        self.upstream_service_time = exchange.upstream_service_time;
        self.endpoint = resolved.endpoint.cloned();
        self.upstream_local = exchange.upstream_local;
        self.local = exchange.connection.local;
        self.peer = exchange.connection.peer;
        let request = RequestTexts::of(&exchange.request);
        self.set_texts([
            request.method,
            request.path,
            exchange.details.as_bytes(),
            exchange.termination_details.as_bytes(),
            exchange.transport_failure.as_bytes(),
            request.forwarded_for,
            request.user_agent,
            request.request_id,
            request.authority,
            resolved.cluster.as_bytes(),
            resolved.route_name.as_bytes(),
        ]);
    }

    pub(super) fn fill_tcp(&mut self, connection: &TcpConnection<'_>) {
        self.started_at = connection.started_at;
        self.duration = connection.duration;
        self.protocol = "";
        self.status = 0;
        self.flags = connection.flags;
        self.received = connection.received;
        self.sent = connection.sent;
        self.upstream_service_time = None;
        self.endpoint = connection.resolved.endpoint.cloned();
        self.upstream_local = connection.upstream_local;
        self.local = connection.local;
        self.peer = connection.peer;
        let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
        texts[Text::TransportFailure as usize] = connection.transport_failure.as_bytes();
        texts[Text::Cluster as usize] = connection.resolved.cluster.as_bytes();
        texts[Text::RouteName as usize] = connection.resolved.route_name.as_bytes();
        self.set_texts(texts);
    }

    /// A text; none where it is empty.
    pub(super) fn text(&self, text: Text) -> Option<&[u8]> {
        let index = text as usize;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        self.text
            .get(start..self.ends[index])
            .filter(|text| !text.is_empty())
    }

    /// What the record costs in memory, roughly.
    pub(super) fn size(&self) -> u64 {
        (size_of::<Self>() + self.text.len()) as u64
    }

    /// Makes the record fit to be kept for another line.
    pub(super) fn recycle(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
    }

    fn set_texts(&mut self, texts: [&[u8]; TEXTS]) {
        self.text.clear();
        for (text, end) in texts.into_iter().zip(&mut self.ends) {
            self.text.extend_from_slice(text);
            *end = self.text.len();
        }
    }
}
