//! An exchange for tests.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::exchange::{Connection, Exchange, Protocol, ResponseFlags};
use crate::http1::{RequestHead, ResponseHead};

/// The head of a GET of `/productpage`.
pub(crate) fn request() -> RequestHead {
    let mut head = RequestHead::new(b"GET", b"/productpage?u=normal", b"bookinfo.example");
    let fields = head.fields_mut();
    fields.set("user-agent", b"curl/8.14.1");
    fields.set("x-forwarded-for", b"192.168.8.20");
    fields.set("x-request-id", b"6c9f2c1e-4c2e-4f5a-9d1c-2d1f6f1c3b77");
    head
}

/// A GET that went well: 200 in 3.5 ms, 300 bytes there, 1,200 back, heads included.
pub(crate) fn exchange() -> Exchange {
    Exchange {
        connection: Rc::new(Connection {
            peer: "192.168.8.20:51324".parse().unwrap(),
            local: "192.168.8.151:80".parse().unwrap(),
            tls: None,
        }),
        protocol: Protocol::Http11,
        scheme: "http",
        upstream_protocol: Some(Protocol::Http11),
        started: Instant::now(),
        // 2026-08-22T12:00:00.007Z
        forwarded: Instant::now(),
        started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_787_400_000_007),
        duration: Duration::from_micros(3_500),
        request: request(),
        response: ResponseHead::default(),
        status: 200,
        flags: ResponseFlags::default(),
        details: "via_upstream",
        termination_details: "",
        transport_failure: String::new(),
        request_body_bytes: 0,
        response_body_bytes: 1_000,
        request_wire_bytes: 300,
        response_wire_bytes: 1_200,
        route: None,
        cluster: None,
        endpoint: None,
        upstream_remote: None,
        upstream_local: Some("192.168.8.2:40000".parse().unwrap()),
        upstream_service_time: Some(Duration::from_millis(3)),
        set_cookies: Vec::new(),
        attempts: 1,
        grpc: None,
        grpc_web: None,
        imposed: Vec::new(),
    }
}
