//! What an edge does to a request's headers before anything looks at them (reference: Istio §2.6).
//!
//! The client's own address is appended to `x-forwarded-for`, `x-forwarded-proto` says what we
//! were spoken to, `x-request-id` is ours, and headers that steer or describe a proxy are not
//! taken from strangers.

use std::io::Write as _;
use std::net::IpAddr;

use crate::http1::{KnownName, RequestHead};
use crate::worker::random::Random;

/// `x-envoy-*` headers that Envoy strips from external clients, and the client certificate's.
const STRIPPED: &[&str] = &[
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-is-timeout-retry",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-original-url",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
    "x-forwarded-client-cert",
];

/// Applies the edge's rules. `scheme` is what the client speaks: `http` or `https`.
pub fn sanitize(head: &mut RequestHead, peer: IpAddr, scheme: &str, random: &Random) {
    let fields = head.fields_mut();
    fields.retain(|name, _| {
        !(name.starts_with(b"x-")
            && (name.starts_with(b"x-envoy-") || name.starts_with(b"x-forwarded-client"))
            && STRIPPED.iter().any(|stripped| stripped.as_bytes() == name))
    });

    let mut buffer = [0_u8; MAX_ADDRESS];
    let address = print(&mut buffer, peer.to_canonical());
    match fields.known(KnownName::XForwardedFor) {
        None => fields.append("x-forwarded-for", address),
        Some(_) => {
            let mut all = Vec::with_capacity(64);
            for value in fields.get_all("x-forwarded-for") {
                all.extend_from_slice(value);
                all.push(b',');
            }
            all.extend_from_slice(address);
            fields.set("x-forwarded-for", &all);
        }
    }
    fields.set("x-forwarded-proto", scheme.as_bytes());
    fields.append("x-envoy-external-address", address);
    fields.set("x-request-id", &random.uuid());
}

/// The longest text of an IPv6 address.
const MAX_ADDRESS: usize = 46;

fn print(buffer: &mut [u8; MAX_ADDRESS], address: IpAddr) -> &[u8] {
    let mut left = &mut buffer[..];
    let before = left.len();
    write!(left, "{address}").expect("no address is longer than 45 bytes");
    let written = before - left.len();
    &buffer[..written]
}
