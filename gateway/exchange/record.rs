//! The one record of an exchange that access log, metrics and traces read.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use gatehouse_config::model::EndpointAddress;

use crate::exchange::ResponseFlags;
use crate::exchange::grpc_web::GrpcWeb;
use crate::filter::cors_policy::Field;
use crate::http1::{RequestHead, ResponseHead};
use crate::snapshot::{ClusterId, EndpointId, RouteId};
use crate::tls::TlsConnection;

/// What is known of the client's connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// What TLS told; none for a connection without it.
    pub tls: Option<Rc<TlsConnection>>,
}

/// The version that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// As the access log prints it: `HTTP/1.1`, `HTTP/2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// One request and its answer.
///
/// The heads are as edited: what the access log prints is what the upstream was sent, as Envoy
/// does it. A worker reuses one of these per connection.
#[derive(Debug)]
pub struct Exchange {
    /// The client's connection.
    pub connection: Rc<Connection>,
    /// The version that the client speaks.
    pub protocol: Protocol,
    /// `http` or `https`, as the client used it.
    pub scheme: &'static str,
    /// What was spoken on the last try that got a connection.
    pub upstream_protocol: Option<Protocol>,
    /// When the first byte of the request was seen.
    pub started: Instant,
    /// When the request was ready to be sent on: `started`, or the end of an injected delay.
    pub forwarded: Instant,
    /// The same moment as `started` on the wall clock.
    pub started_at: SystemTime,
    /// From the first byte of the request to the last of the response; set at the end.
    pub duration: Duration,
    /// The request's head.
    pub request: RequestHead,
    /// The response's head.
    pub response: ResponseHead,
    /// The status sent to the client; 0 while none was.
    pub status: u16,
    /// What went wrong, in Envoy's letters.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`: `via_upstream`, `route_not_found`, …; empty prints as `-`.
    pub details: &'static str,
    /// `%CONNECTION_TERMINATION_DETAILS%`; empty prints as `-`.
    pub termination_details: &'static str,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`; empty prints as `-`.
    pub transport_failure: String,
    /// `%BYTES_RECEIVED%`: bytes of the request's body.
    pub request_body_bytes: u64,
    /// `%BYTES_SENT%`: bytes of the response's body.
    pub response_body_bytes: u64,
    /// Bytes of the request on the client's wire, head included.
    pub request_wire_bytes: u64,
    /// Bytes of the response on the client's wire, head included.
    pub response_wire_bytes: u64,
    /// The route taken.
    pub route: Option<RouteId>,
    /// The cluster chosen.
    pub cluster: Option<ClusterId>,
    /// The endpoint of the last try.
    pub endpoint: Option<EndpointId>,
    /// The endpoint of the last try that got a connection.
    pub upstream_remote: Option<EndpointAddress>,
    /// Our address on the upstream connection.
    pub upstream_local: Option<SocketAddr>,
    /// `x-envoy-upstream-service-time`: from the request's end to the response's head.
    pub upstream_service_time: Option<Duration>,
    /// Tries, the first included.
    pub attempts: u32,
    /// Cookies that the answer sets so that the client stays at its endpoint.
    pub set_cookies: Vec<String>,
    /// The call, where the request is gRPC (`content-type: application/grpc…`).
    pub grpc: Option<GrpcCall>,
    /// The call came as grpc-web, and its answer goes so.
    pub grpc_web: Option<GrpcWeb>,
    /// Fields that a filter sets on whatever answer is given; most requests have none.
    pub imposed: Vec<Field>,
}

/// What a gRPC call adds to an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCall {
    /// `grpc-status` of the trailers or the head; none when the call died before.
    pub status: Option<u8>,
    /// Messages from the client.
    pub request_messages: u64,
    /// Messages to the client.
    pub response_messages: u64,
}

impl Exchange {
    /// A record for the exchanges of one connection.
    pub fn new(connection: Rc<Connection>) -> Self {
        Self {
            connection,
            protocol: Protocol::default(),
            scheme: "http",
            upstream_protocol: None,
            started: Instant::now(),
            forwarded: Instant::now(),
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            request: RequestHead::default(),
            response: ResponseHead::default(),
            status: 0,
            flags: ResponseFlags::default(),
            details: "",
            termination_details: "",
            transport_failure: String::new(),
            request_body_bytes: 0,
            response_body_bytes: 0,
            request_wire_bytes: 0,
            response_wire_bytes: 0,
            route: None,
            cluster: None,
            endpoint: None,
            upstream_remote: None,
            upstream_local: None,
            upstream_service_time: None,
            attempts: 0,
            set_cookies: Vec::new(),
            grpc: None,
            grpc_web: None,
            imposed: Vec::new(),
        }
    }

    /// Starts the next exchange; the request's head was read already.
    pub fn begin(&mut self, now: Instant, wall: SystemTime) {
        self.protocol = Protocol::Http11;
        self.started = now;
        self.forwarded = now;
        self.started_at = wall;
        self.duration = Duration::ZERO;
        self.response.clear();
        self.status = 0;
        self.flags = ResponseFlags::default();
        self.details = "";
        self.termination_details = "";
        self.transport_failure.clear();
        self.request_body_bytes = 0;
        self.response_body_bytes = 0;
        self.request_wire_bytes = 0;
        self.response_wire_bytes = 0;
        self.route = None;
        self.cluster = None;
        self.endpoint = None;
        self.upstream_remote = None;
        self.upstream_protocol = None;
        self.upstream_local = None;
        self.upstream_service_time = None;
        self.attempts = 0;
        self.set_cookies.clear();
        self.grpc = None;
        self.grpc_web = None;
        self.imposed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that leaves before it is answered must not be recorded with another's answer.
    #[test]
    fn an_exchange_begins_without_the_answer_of_the_last() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut exchange = Exchange::new(Rc::new(Connection {
            peer: address,
            local: address,
            tls: None,
        }));
        exchange.response.set_status(200);
        exchange.response.fields_mut().append("x-of", b"the last");
        exchange.begin(Instant::now(), SystemTime::now());
        assert_eq!(exchange.response.status(), 0);
        assert_eq!(exchange.response.fields().get("x-of"), None);
    }
}
