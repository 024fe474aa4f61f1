//! An owned copy of what one line needs: fixed fields, and all text in one buffer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatehouse_config::model::{EndpointAddress, HeaderName, TlsFact};

use crate::exchange::{Exchange, ResponseFlags};
use crate::http1::{Fields, RequestHead};
use crate::observe::access_log::plan::LogPlan;
use crate::observe::access_log::{Resolved, TcpConnection};
use crate::tls::TlsConnection;

/// A buffer that grew past this is not kept for the next line.
const KEPT: usize = 4_096;

/// The texts that every record has, in the order in which they are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Details,
    TerminationDetails,
    TransportFailure,
    DownstreamFailure,
    Cluster,
    RouteName,
    /// These three are asked for by filters.
    Method,
    Target,
    Authority,
}

const TEXTS: usize = Text::Authority as usize + 1;

/// One line in the making.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) plan: Option<Arc<LogPlan>>,
    pub(super) started_at: SystemTime,
    pub(super) duration: Duration,
    /// Empty for TCP.
    pub(super) protocol: &'static str,
    pub(super) status: u16,
    pub(super) flags: ResponseFlags,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) attempts: u32,
    pub(super) upstream_service_time: Option<Duration>,
    pub(super) endpoint: Option<EndpointAddress>,
    pub(super) upstream_local: Option<SocketAddr>,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Whether the client has shown a certificate.
    pub(super) mtls: bool,
    text: Vec<u8>,
    /// Where each text ends: the fixed ones, the headers and facts of TLS that the plan names, and
    /// then, where it asks for them, name and value of every header.
    ends: Vec<usize>,
    /// How many of the headers at the end are the request's.
    request_headers: usize,
}

impl Default for Record {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            plan: None,
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            protocol: "",
            status: 0,
            flags: ResponseFlags::default(),
            received: 0,
            sent: 0,
            attempts: 0,
            upstream_service_time: None,
            endpoint: None,
            upstream_local: None,
            local: nowhere,
            peer: nowhere,
            mtls: false,
            text: Vec::with_capacity(512),
            ends: Vec::with_capacity(TEXTS + 8),
            request_headers: 0,
        }
    }
}

impl Record {
    pub(super) fn fill_http(
        &mut self,
        exchange: &Exchange,
        resolved: Resolved<'_>,
        plan: &Arc<LogPlan>,
    ) {
        self.started_at = exchange.started_at;
        self.duration = exchange.duration;
        self.protocol = exchange.protocol.as_str();
        self.status = exchange.status;
        self.flags = exchange.flags;
        self.received = exchange.request_body_bytes;
        self.sent = exchange.response_body_bytes;
        self.attempts = exchange.attempts;
        self.upstream_service_time = exchange.upstream_service_time;
        self.endpoint = resolved.endpoint.cloned();
        self.upstream_local = exchange.upstream_local;
        self.local = exchange.connection.local;
        self.peer = exchange.connection.peer;
        let tls = exchange.connection.tls.as_deref();
        self.mtls = tls.is_some_and(|tls| tls.client_certificate.is_some());
        let request = &exchange.request;
        self.start([
            exchange.details.as_bytes(),
            exchange.termination_details.as_bytes(),
            exchange.transport_failure.as_bytes(),
            b"", // a client of a request has got through
            resolved.cluster.as_bytes(),
            resolved.route_name.as_bytes(),
            request.method(),
            request.target(),
            request.authority(),
        ]);
        for name in &plan.request {
            self.push(request_header(request, name).unwrap_or_default());
        }
        let response = exchange.response.fields();
        for name in &plan.response {
            self.push(response.get(name.as_str()).unwrap_or_default());
        }
        self.push_tls(tls, plan);
        if plan.all_headers {
            self.request_headers = self.push_all(request.fields());
            self.push_all(response);
        }
        self.plan = Some(Arc::clone(plan));
    }

    pub(super) fn fill_tcp(&mut self, connection: &TcpConnection<'_>, plan: &Arc<LogPlan>) {
        self.started_at = connection.started_at;
        self.duration = connection.duration;
        self.protocol = "";
        self.status = 0;
        self.flags = connection.flags;
        self.received = connection.received;
        self.sent = connection.sent;
        self.attempts = 0;
        self.upstream_service_time = None;
        self.endpoint = connection.resolved.endpoint.cloned();
        self.upstream_local = connection.upstream_local;
        self.local = connection.local;
        self.peer = connection.peer;
        let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
        texts[Text::Details as usize] = connection.details.as_bytes();
        texts[Text::TransportFailure as usize] = connection.transport_failure.as_bytes();
        texts[Text::DownstreamFailure as usize] = connection.downstream_failure.as_bytes();
        texts[Text::Cluster as usize] = connection.resolved.cluster.as_bytes();
        texts[Text::RouteName as usize] = connection.resolved.route_name.as_bytes();
        self.start(texts);
        for _ in 0..plan.request.len() + plan.response.len() {
            self.push(b"");
        }
        self.mtls = connection
            .tls
            .is_some_and(|tls| tls.client_certificate.is_some());
        self.push_tls(connection.tls, plan);
        self.plan = Some(Arc::clone(plan));
    }

    /// A text; none where it is empty.
    pub(super) fn text(&self, text: Text) -> Option<&[u8]> {
        self.at(text as usize)
    }

    /// A request header that the plan names; none where it is missing or empty.
    pub(super) fn request(&self, name: &HeaderName) -> Option<&[u8]> {
        let names = &self.plan.as_ref()?.request;
        let place = names.iter().position(|known| known == name)?;
        self.at(TEXTS + place)
    }

    /// A response header that the plan names; none where it is missing or empty.
    pub(super) fn response(&self, name: &HeaderName) -> Option<&[u8]> {
        let plan = self.plan.as_ref()?;
        let place = plan.response.iter().position(|known| known == name)?;
        self.at(TEXTS + plan.request.len() + place)
    }

    /// What the plan asks of the client's TLS; none where there is nothing.
    pub(super) fn tls(&self, fact: TlsFact) -> Option<&[u8]> {
        let plan = self.plan.as_ref()?;
        let place = plan.tls.iter().position(|known| *known == fact)?;
        self.at(TEXTS + plan.request.len() + plan.response.len() + place)
    }

    /// Every header of the request, or of the response, where the plan asks for them.
    pub(super) fn headers(&self, of_request: bool) -> impl Iterator<Item = (&[u8], &[u8])> {
        let first = TEXTS
            + self.plan.as_ref().map_or(0, |plan| {
                plan.request.len() + plan.response.len() + plan.tls.len()
            });
        let all = self.ends.len().saturating_sub(first) / 2;
        let range = match of_request {
            true => 0..self.request_headers.min(all),
            false => self.request_headers.min(all)..all,
        };
        range.map(move |i| {
            let at = |place| self.at(place).unwrap_or_default();
            (at(first + 2 * i), at(first + 2 * i + 1))
        })
    }

    /// What the record costs in memory, roughly.
    pub(super) fn size(&self) -> u64 {
        (size_of::<Self>() + self.text.len() + self.ends.len() * size_of::<usize>()) as u64
    }

    /// Makes the record fit to be kept for another line.
    pub(super) fn recycle(&mut self) {
        self.plan = None;
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.ends.clear();
        self.ends.shrink_to(KEPT / size_of::<usize>());
    }

    fn at(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        let text = self.text.get(start..*self.ends.get(index)?);
        text.filter(|text| !text.is_empty())
    }

    fn start(&mut self, texts: [&[u8]; TEXTS]) {
        self.text.clear();
        self.ends.clear();
        self.request_headers = 0;
        for text in texts {
            self.push(text);
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.ends.push(self.text.len());
    }

    fn push_tls(&mut self, tls: Option<&TlsConnection>, plan: &LogPlan) {
        for fact in &plan.tls {
            match tls {
                Some(tls) => self.push(tls.fact(*fact).as_bytes()),
                None => self.push(b""),
            }
        }
    }

    fn push_all(&mut self, fields: &Fields) -> usize {
        let mut count = 0;
        for (name, value) in fields.iter() {
            self.push(name);
            self.push(value);
            count += 1;
        }
        count
    }
}

fn request_header<'a>(head: &'a RequestHead, name: &HeaderName) -> Option<&'a [u8]> {
    match name.as_str() {
        ":method" => Some(head.method()),
        ":path" | "path" => Some(head.target()),
        ":authority" | "host" => Some(head.authority()),
        name => head.fields().get(name),
    }
}
