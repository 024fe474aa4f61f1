//! `headers`: set, add and remove, of requests and responses.
//!
//! As Envoy's `HeaderParser::evaluateHeaders`: removals first, then every value is made, then the
//! values are written; one that comes out empty is left out.

use std::fmt::Display;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use gatehouse_config::model::{AddressPart, EndpointAddress, HeaderName, ValuePiece};
use jiff::Timestamp;

use crate::exchange::{Connection, Exchange, Protocol, ResponseFlags};
use crate::filter::operators;
use crate::http1::{Fields, RequestHead};
use crate::snapshot::{Edit, Snapshot, Template};

/// What a value's operators can speak of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request, for `%REQ(name)%`.
    pub request: &'a RequestHead,
    /// What is known before there is a response.
    pub known: Known<'a>,
    /// `%RESPONSE_CODE%`; 0 while there is no response.
    pub status: u16,
    /// What only a response has to tell.
    pub answer: Option<Answer<'a>>,
}

/// What is known of an exchange from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The client's connection, for `%DOWNSTREAM_…%`.
    pub connection: &'a Connection,
    /// `%PROTOCOL%`.
    pub protocol: Protocol,
    /// Since when `%DURATION%` counts.
    pub started: Instant,
    /// `%UPSTREAM_CLUSTER_RAW%`; none where the request goes nowhere.
    pub cluster: Option<&'a str>,
}

/// What is known of an exchange once there is a response.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `%START_TIME%`.
    pub started_at: SystemTime,
    /// `%RESPONSE_FLAGS%`.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: &'a str,
    /// `%UPSTREAM_HOST%`.
    pub upstream: Option<&'a EndpointAddress>,
    /// `%UPSTREAM_PROTOCOL%`.
    pub upstream_protocol: Option<Protocol>,
    /// `%UPSTREAM_LOCAL_ADDRESS%`.
    pub upstream_local: Option<SocketAddr>,
    /// From the request's end to the response's head.
    pub service_time: Option<Duration>,
    /// `%BYTES_RECEIVED%`.
    pub received: u64,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`.
    pub attempts: u32,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    pub transport_failure: &'a str,
    /// `%CONNECTION_TERMINATION_DETAILS%`.
    pub termination_details: &'a str,
}

/// Applies edits to a request. `%REQ(x)%` reads what the removals left of it.
pub fn edit_request(head: &mut RequestHead, edits: &[Edit], known: Known<'_>) {
    remove(head.fields_mut(), edits);
    let facts = Facts {
        request: head,
        known,
        status: 0,
        answer: None,
    };
    let made = make(edits, facts, None);
    write(head.fields_mut(), edits, made);
}

/// Applies edits to the answer of an exchange, ours or an upstream's.
pub fn edit_answer(exchange: &mut Exchange, snapshot: &Snapshot, all: &[&[Edit]], details: &str) {
    if all.iter().all(|edits| edits.is_empty()) {
        return;
    }
    let facts = Facts {
        request: &exchange.request,
        known: Known {
            connection: &exchange.connection,
            protocol: exchange.protocol,
            started: exchange.started,
            cluster: exchange.cluster.map(|id| &*snapshot.cluster(id).name),
        },
        status: exchange.status,
        answer: Some(Answer {
            started_at: exchange.started_at,
            flags: exchange.flags,
            details,
            upstream: exchange.upstream_remote.as_ref(),
            upstream_protocol: exchange.upstream_protocol,
            upstream_local: exchange.upstream_local,
            service_time: exchange.upstream_service_time,
            received: exchange.request_body_bytes,
            attempts: exchange.attempts,
            transport_failure: &exchange.transport_failure,
            termination_details: exchange.termination_details,
        }),
    };
    for edits in all {
        edit_response(exchange.response.fields_mut(), edits, facts);
    }
}

/// Applies edits to a response's fields.
fn edit_response(fields: &mut Fields, edits: &[Edit], facts: Facts<'_>) {
    remove(fields, edits);
    let made = make(edits, facts, Some(fields));
    write(fields, edits, made);
}

fn remove(fields: &mut Fields, edits: &[Edit]) {
    for edit in edits {
        if let Edit::Remove(name) = edit {
            fields.remove(name);
        }
    }
}

/// The values of the edits that have operators, in order.
fn make(edits: &[Edit], facts: Facts<'_>, response: Option<&Fields>) -> Vec<Vec<u8>> {
    edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Set(_, Template::Pieces(pieces)) | Edit::Add(_, Template::Pieces(pieces)) => {
                Some(fill(pieces, facts, response))
            }
            _ => None,
        })
        .collect()
}

fn write(fields: &mut Fields, edits: &[Edit], made: Vec<Vec<u8>>) {
    let mut made = made.into_iter();
    for edit in edits {
        let (Edit::Set(name, template) | Edit::Add(name, template)) = edit else {
            continue;
        };
        let next;
        let value: &[u8] = match template {
            Template::Literal(value) => value,
            Template::Pieces(_) => {
                next = made.next().unwrap_or_default();
                &next
            }
        };
        match edit {
            _ if value.is_empty() => {}
            Edit::Set(..) => fields.set(name, value),
            _ => fields.append(name, value),
        }
    }
}

/// The value; what is not there leaves nothing.
fn fill(pieces: &[ValuePiece], facts: Facts<'_>, response: Option<&Fields>) -> Vec<u8> {
    let mut value = Vec::new();
    for piece in pieces {
        match piece {
            ValuePiece::Literal(text) => value.extend_from_slice(text.as_bytes()),
            ValuePiece::RequestHeader {
                name,
                otherwise,
                max_length,
            } => {
                let found = request_header(facts.request, name).or_else(|| {
                    let otherwise = otherwise.as_ref()?;
                    request_header(facts.request, otherwise)
                });
                value.extend(cut(found, *max_length));
            }
            ValuePiece::ResponseHeader {
                name,
                otherwise,
                max_length,
            } => {
                let find = |name: &HeaderName| response?.get(name.as_str());
                let found = find(name).or_else(|| find(otherwise.as_ref()?));
                value.extend(cut(found, *max_length));
            }
            ValuePiece::StartTime(format) => {
                let at = facts.answer.map(|answer| answer.started_at);
                start_time(&mut value, at, format.as_deref());
            }
            ValuePiece::ResponseFlags => {
                if let Some(answer) = &facts.answer {
                    print(&mut value, answer.flags);
                }
            }
            ValuePiece::ResponseCodeDetails => {
                let details = facts.answer.map_or("", |answer| answer.details);
                value.extend_from_slice(details.as_bytes());
            }
            ValuePiece::UpstreamRemote(part) => {
                match facts.answer.and_then(|answer| answer.upstream) {
                    Some(EndpointAddress::Inet(at)) => address(&mut value, *at, *part),
                    Some(at @ EndpointAddress::Unix(_)) => print(&mut value, at),
                    None => {}
                }
            }
            ValuePiece::UpstreamLocal(part) => {
                if let Some(at) = facts.answer.and_then(|answer| answer.upstream_local) {
                    address(&mut value, at, *part);
                }
            }
            // Filled in when the route was compiled.
            ValuePiece::Hostname | ValuePiece::Environment { .. } | ValuePiece::RouteName => {}
            ValuePiece::Absent => {}
            ValuePiece::Protocol => {
                value.extend_from_slice(facts.known.protocol.as_str().as_bytes());
            }
            ValuePiece::ResponseCode => print(&mut value, facts.status),
            ValuePiece::DownstreamRemote(part) => {
                address(&mut value, facts.known.connection.peer, *part);
            }
            ValuePiece::DownstreamLocal(part) => {
                address(&mut value, facts.known.connection.local, *part);
            }
            ValuePiece::EmitTime(format) => start_time(&mut value, None, format.as_deref()),
            further => operators::fill(&mut value, further, facts, response),
        }
    }
    value
}

/// At most so many bytes.
pub(super) fn cut(found: Option<&[u8]>, most: Option<usize>) -> &[u8] {
    let found = found.unwrap_or_default();
    most.and_then(|most| found.get(..most)).unwrap_or(found)
}

/// In UTC. A request tells the time at which it is sent on, which is when it came.
fn start_time(value: &mut Vec<u8>, at: Option<SystemTime>, format: Option<&str>) {
    let at = Timestamp::try_from(at.unwrap_or_else(SystemTime::now));
    let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
    match format {
        None => print(value, format_args!("{at:.3}")),
        // Translation lets through what jiff knows; nothing is written if it knows better.
        Some(format) => {
            if let Ok(text) = jiff::fmt::strtime::format(format, at) {
                value.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn address(value: &mut Vec<u8>, address: SocketAddr, part: AddressPart) {
    let ip = address.ip().to_canonical();
    match part {
        AddressPart::Whole => print(value, SocketAddr::new(ip, address.port())),
        AddressPart::Ip => print(value, ip),
        AddressPart::Port => print(value, address.port()),
    }
}

pub(super) fn print(value: &mut Vec<u8>, what: impl Display) {
    write!(value, "{what}").expect("memory takes every byte");
}

fn request_header<'a>(head: &'a RequestHead, name: &HeaderName) -> Option<&'a [u8]> {
    match name.as_str() {
        ":method" => Some(head.method()),
        ":path" => Some(head.target()),
        ":authority" | "host" => Some(head.authority()),
        name => head.fields().get(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> HeaderName {
        HeaderName::parse(name).unwrap()
    }

    fn header(first: &str) -> ValuePiece {
        ValuePiece::RequestHeader {
            name: name(first),
            otherwise: None,
            max_length: None,
        }
    }

    fn pieces(pieces: Vec<ValuePiece>) -> Template {
        Template::Pieces(pieces.into())
    }

    fn literal(text: &str) -> Template {
        Template::Literal(text.as_bytes().into())
    }

    fn connection() -> Connection {
        Connection {
            peer: "192.0.2.7:4711".parse().unwrap(),
            local: "[::ffff:192.0.2.1]:80".parse().unwrap(),
            tls: None,
        }
    }

    fn answer() -> Answer<'static> {
        static UPSTREAM: EndpointAddress = EndpointAddress::Inet(SocketAddr::new(
            std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            9080,
        ));
        Answer {
            started_at: SystemTime::UNIX_EPOCH,
            flags: ResponseFlags::DI,
            details: "via_upstream",
            upstream: Some(&UPSTREAM),
            upstream_protocol: Some(Protocol::Http2),
            upstream_local: Some("127.0.0.2:4000".parse().unwrap()),
            service_time: None,
            received: 12,
            attempts: 2,
            transport_failure: "no\r\nroute",
            termination_details: "",
        }
    }

    fn known(connection: &Connection) -> Known<'_> {
        Known {
            connection,
            protocol: Protocol::Http11,
            started: Instant::now(),
            cluster: Some("outbound|80||a"),
        }
    }

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new(b"GET", b"/a?b", b"a.lan");
        for (name, value) in fields {
            head.fields_mut().append(name, value.as_bytes());
        }
        head
    }

    fn edited(fields: &[(&str, &str)], edits: &[Edit]) -> Vec<String> {
        let mut head = request(fields);
        edit_request(&mut head, edits, known(&connection()));
        shown(head.fields())
    }

    fn shown(fields: &Fields) -> Vec<String> {
        let text = String::from_utf8_lossy;
        fields
            .iter()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect()
    }

    #[test]
    fn values_are_made_after_the_removals_and_before_anything_is_written() {
        let edits = [
            Edit::Remove("x-gone".into()),
            Edit::Set("x-a".into(), literal("new")),
            Edit::Set("x-b".into(), pieces(vec![header("x-a")])),
            Edit::Add(
                "x-c".into(),
                pieces(vec![ValuePiece::Literal("<".to_owned()), header("x-gone")]),
            ),
        ];
        assert_eq!(
            edited(&[("x-a", "old"), ("x-gone", "1")], &edits),
            ["x-a: new", "x-b: old", "x-c: <"]
        );
    }

    #[test]
    fn a_value_that_comes_out_empty_is_left_out() {
        let edits = [
            Edit::Set("x-a".into(), pieces(vec![header("nope")])),
            Edit::Set("x-b".into(), literal("")),
            Edit::Add("x-c".into(), literal("")),
            Edit::Add("x-d".into(), literal("d")),
        ];
        assert_eq!(
            edited(&[("x-a", "kept"), ("x-b", "kept")], &edits),
            ["x-a: kept", "x-b: kept", "x-d: d"]
        );
    }

    #[test]
    fn operators_say_what_envoys_do() {
        let or = |first: &str, otherwise: &str, max_length| ValuePiece::RequestHeader {
            name: name(first),
            otherwise: Some(name(otherwise)),
            max_length,
        };
        let head = request(&[("x-ver", "v1.2")]);
        let connection = connection();
        let facts = Facts {
            request: &head,
            known: known(&connection),
            status: 204,
            answer: Some(answer()),
        };
        for (piece, want) in [
            (header(":path"), "/a?b"),
            (header("host"), "a.lan"),
            (or("nope", "x-ver", None), "v1.2"),
            (or("x-ver", "host", Some(2)), "v1"),
            (or("nope", "nope-2", None), ""),
            (ValuePiece::Protocol, "HTTP/1.1"),
            (ValuePiece::ResponseCode, "204"),
            (ValuePiece::StartTime(None), "1970-01-01T00:00:00.000Z"),
            (
                ValuePiece::StartTime(Some("%Y/%m/%d %H:%M:%S.%3f %s".to_owned())),
                "1970/01/01 00:00:00.000 0",
            ),
            (ValuePiece::EmitTime(Some("%%".to_owned())), "%"),
            (ValuePiece::ResponseFlags, "DI"),
            (ValuePiece::ResponseFlagsLong, "DelayInjected"),
            (ValuePiece::UpstreamCluster { raw: true }, "outbound|80||a"),
            (
                ValuePiece::UpstreamCluster { raw: false },
                "outbound|80||a;",
            ),
            (ValuePiece::UpstreamProtocol, "HTTP/2"),
            (ValuePiece::AttemptCount, "2"),
            (ValuePiece::TransportFailure, "noroute"),
            (ValuePiece::BytesReceived, "12"),
            (ValuePiece::BytesSent, "0"),
            (
                ValuePiece::Duration(gatehouse_config::model::DurationPart::Request),
                "",
            ),
            (ValuePiece::Absent, ""),
            (ValuePiece::ResponseCodeDetails, "via_upstream"),
            (
                ValuePiece::UpstreamRemote(AddressPart::Whole),
                "127.0.0.1:9080",
            ),
            (ValuePiece::UpstreamLocal(AddressPart::Port), "4000"),
            (
                ValuePiece::ResponseHeader {
                    name: name("x-nope"),
                    otherwise: Some(name("x-resp")),
                    max_length: Some(2),
                },
                "re",
            ),
            (
                ValuePiece::DownstreamRemote(AddressPart::Whole),
                "192.0.2.7:4711",
            ),
            (ValuePiece::DownstreamRemote(AddressPart::Ip), "192.0.2.7"),
            (ValuePiece::DownstreamRemote(AddressPart::Port), "4711"),
            (
                ValuePiece::DownstreamLocal(AddressPart::Whole),
                "192.0.2.1:80",
            ),
            (ValuePiece::DownstreamLocal(AddressPart::Ip), "192.0.2.1"),
            (ValuePiece::DownstreamLocal(AddressPart::Port), "80"),
        ] {
            let mut fields = Fields::default();
            fields.append("x-resp", b"resp");
            let edits = [Edit::Add("x".into(), pieces(vec![piece.clone()]))];
            edit_response(&mut fields, &edits, facts);
            let got = fields.get("x").unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(got), want, "{piece:?}");
        }
    }
}
