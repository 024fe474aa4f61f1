//! What an edge does to a request's headers before anything looks at them (reference: Istio §2.6).
//!
//! The client's own address is appended to `x-forwarded-for`, `x-forwarded-proto` says what we
//! were spoken to, `x-request-id` is ours, and headers that steer or describe a proxy are not
//! taken from strangers.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use gatehouse_config::model::{ForwardClientCert, Proxy};

use crate::exchange::Connection;
use crate::http1::{Fields, KnownName, RequestHead};
use crate::tls::ClientCertificate;
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
    CLIENT_CERT,
];

/// What endpoints hear of a client's certificate.
const CLIENT_CERT: &str = "x-forwarded-client-cert";

/// What trusted proxies say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// `http` or `https`: what the client spoke to the first of them.
    pub scheme: &'static str,
    /// The client's address, where they name another than the connection's.
    pub client: Option<IpAddr>,
}

/// Applies the edge's rules. `scheme` is what we were spoken to: `http` or `https`.
pub fn sanitize(
    head: &mut RequestHead,
    connection: &Connection,
    scheme: &'static str,
    proxy: &Proxy,
    random: &Random,
) -> Trusted {
    let peer = connection.peer.ip().to_canonical();
    let fields = head.fields_mut();
    let mut trusted = Trusted {
        scheme,
        client: None,
    };
    if proxy.trusted_proxies > 0 {
        trusted = believe(fields, proxy.trusted_proxies, scheme);
    }
    let tls = connection.tls.as_deref();
    let certificate = tls.and_then(|tls| tls.client_certificate.as_ref());
    let forwards = forwards(proxy.client_certificates, certificate.is_some());
    fields.retain(|name, _| {
        !(name.starts_with(b"x-")
            && (name.starts_with(b"x-envoy-") || name.starts_with(b"x-forwarded-client"))
            && STRIPPED.iter().any(|stripped| stripped.as_bytes() == name)
            && !(forwards && name == CLIENT_CERT.as_bytes()))
    });
    if let Some(certificate) = certificate {
        tell(fields, proxy.client_certificates, certificate);
    }

    let mut buffer = [0_u8; MAX_ADDRESS];
    let address = print(&mut buffer, peer);
    // Whoever connects to a socket of this host has no address to be told (Envoy: `appendXff`).
    let is_known = !peer.is_unspecified();
    match fields.known(KnownName::XForwardedFor) {
        _ if !is_known => {}
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
    let believes = |fields: &Fields, name| proxy.trusted_proxies > 0 && fields.get(name).is_some();
    if !believes(fields, "x-forwarded-proto") {
        fields.set("x-forwarded-proto", scheme.as_bytes());
    }
    if proxy.headers.forwarded_port && !believes(fields, "x-forwarded-port") {
        let mut port = itoa::Buffer::new();
        let port = port.format(connection.local.port());
        fields.set("x-forwarded-port", port.as_bytes());
    }
    match trusted.client {
        None if !is_known => {}
        None => fields.append("x-envoy-external-address", address),
        Some(client) => {
            let address = print(&mut buffer, client);
            fields.append("x-envoy-external-address", address);
        }
    }
    if proxy.headers.request_id {
        fields.set("x-request-id", &random.uuid());
    }
    trusted
}

/// Whether what a client says of its certificate is passed on (Envoy: `mutateXfccRequestHeader`).
fn forwards(mode: ForwardClientCert, has_certificate: bool) -> bool {
    match mode {
        ForwardClientCert::Sanitize | ForwardClientCert::SanitizeSet => false,
        ForwardClientCert::ForwardOnly | ForwardClientCert::AppendForward => has_certificate,
        ForwardClientCert::AlwaysForwardOnly => true,
    }
}

/// Says what a client's certificate says, after what was said of those before it.
fn tell(fields: &mut Fields, mode: ForwardClientCert, certificate: &ClientCertificate) {
    match mode {
        ForwardClientCert::SanitizeSet => fields.append(CLIENT_CERT, &certificate.forwarded),
        ForwardClientCert::AppendForward => {
            let mut all = Vec::with_capacity(certificate.forwarded.len());
            for value in fields.get_all(CLIENT_CERT) {
                all.extend_from_slice(value);
                all.push(b',');
            }
            all.extend_from_slice(&certificate.forwarded);
            fields.set(CLIENT_CERT, &all);
        }
        ForwardClientCert::Sanitize
        | ForwardClientCert::ForwardOnly
        | ForwardClientCert::AlwaysForwardOnly => {}
    }
}

/// Reads what the proxies in front say before anything is added to it: the client's address is the
/// `hops`th of `x-forwarded-for` from the right (Envoy: `getLastAddressFromXFF`); where there are
/// fewer, or it is none, the connection's own stands.
#[cold]
fn believe(fields: &Fields, hops: u32, scheme: &'static str) -> Trusted {
    let hops = usize::try_from(hops).unwrap_or(usize::MAX);
    let all: Vec<&[u8]> = fields
        .get_all("x-forwarded-for")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .collect();
    let place = all.len().checked_sub(hops);
    let text = place.and_then(|place| std::str::from_utf8(all.get(place)?).ok());
    let scheme = match fields.get("x-forwarded-proto") {
        Some(proto) if proto.eq_ignore_ascii_case(b"https") => "https",
        Some(proto) if proto.eq_ignore_ascii_case(b"http") => "http",
        _ => scheme,
    };
    Trusted {
        scheme,
        client: text.and_then(|text| parse(text.trim())),
    }
}

/// An address as proxies write it, perhaps with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The longest text of an IPv6 address.
const MAX_ADDRESS: usize = 46;

fn print(buffer: &mut [u8; MAX_ADDRESS], address: IpAddr) -> &[u8] {
    if let IpAddr::V4(address) = address {
        // Of every request: without the machinery of formatting.
        let mut written = 0;
        for octet in address.octets() {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(octet).as_bytes();
            buffer[written..written + digits.len()].copy_from_slice(digits);
            written += digits.len();
            buffer[written] = b'.';
            written += 1;
        }
        return &buffer[..written - 1];
    }
    let mut left = &mut buffer[..];
    let before = left.len();
    write!(left, "{address}").expect("no address is longer than 45 bytes");
    let written = before - left.len();
    &buffer[..written]
}
