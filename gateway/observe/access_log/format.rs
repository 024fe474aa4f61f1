//! A record to a line: Istio's default text and JSON formats (reference: Istio's
//! `telemetry_logging.go`).

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::observe::access_log::LogFormat;
use crate::observe::access_log::record::{Record, Text};

/// Appends the line of a record, line feed included.
pub(super) fn format(out: &mut Vec<u8>, record: &Record, format: LogFormat) {
    match format {
        LogFormat::Text => text(out, record),
        LogFormat::Json => json(out, record),
    }
}

fn text(out: &mut Vec<u8>, record: &Record) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "[{}] \"", start_time(record.started_at));
    put(out, record.text(Text::Method));
    out.push(b' ');
    put(out, record.text(Text::Path));
    out.push(b' ');
    put(
        out,
        Some(record.protocol.as_bytes()).filter(|p| !p.is_empty()),
    );
    let _ = write!(out, "\" {} {} ", record.status, record.flags);
    put(out, record.text(Text::Details));
    out.push(b' ');
    put(out, record.text(Text::TerminationDetails));
    out.push(b' ');
    quoted(out, record.text(Text::TransportFailure));
    let _ = write!(
        out,
        "{} {} {} ",
        record.received,
        record.sent,
        millis(record.duration)
    );
    put_display(out, record.upstream_service_time.map(millis));
    out.push(b' ');
    quoted(out, record.text(Text::ForwardedFor));
    quoted(out, record.text(Text::UserAgent));
    quoted(out, record.text(Text::RequestId));
    quoted(out, record.text(Text::Authority));
    out.push(b'"');
    put_display(out, record.endpoint.as_ref());
    out.extend_from_slice(b"\" ");
    put(out, record.text(Text::Cluster));
    out.push(b' ');
    put_display(out, record.upstream_local);
    // The requested server name comes with TLS.
    let _ = write!(out, " {} {} - ", record.local, record.peer);
    put(out, record.text(Text::RouteName));
    out.push(b'\n');
}

/// Numbers are numbers, header values strings, and what is missing `null`, as Envoy's typed JSON
/// has it; keys in the order of Istio's format.
fn json(out: &mut Vec<u8>, record: &Record) {
    out.push(b'{');
    key(out, "start_time", b"");
    let _ = write!(out, "\"{}\"", start_time(record.started_at));
    string(out, "route_name", record.text(Text::RouteName));
    string(out, "method", record.text(Text::Method));
    string(out, "path", record.text(Text::Path));
    let protocol = Some(record.protocol.as_bytes()).filter(|p| !p.is_empty());
    string(out, "protocol", protocol);
    number(out, "response_code", u64::from(record.status));
    string(
        out,
        "response_flags",
        Some(record.flags.to_string().as_bytes()),
    );
    string(out, "response_code_details", record.text(Text::Details));
    string(
        out,
        "connection_termination_details",
        record.text(Text::TerminationDetails),
    );
    number(out, "bytes_received", record.received);
    number(out, "bytes_sent", record.sent);
    number(out, "duration", millis(record.duration));
    display(
        out,
        "upstream_service_time",
        record.upstream_service_time.map(millis),
    );
    string(out, "x_forwarded_for", record.text(Text::ForwardedFor));
    string(out, "user_agent", record.text(Text::UserAgent));
    string(out, "request_id", record.text(Text::RequestId));
    string(out, "authority", record.text(Text::Authority));
    display(out, "upstream_host", record.endpoint.as_ref());
    string(out, "upstream_cluster", record.text(Text::Cluster));
    display(out, "upstream_local_address", record.upstream_local);
    display(out, "downstream_local_address", Some(record.local));
    display(out, "downstream_remote_address", Some(record.peer));
    string(out, "requested_server_name", None);
    string(
        out,
        "upstream_transport_failure_reason",
        record.text(Text::TransportFailure),
    );
    out.extend_from_slice(b"}\n");
}

/// `%START_TIME%`: `2026-08-22T12:00:00.000Z`.
fn start_time(time: SystemTime) -> impl std::fmt::Display {
    struct StartTime(Timestamp);
    impl std::fmt::Display for StartTime {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:.3}", self.0)
        }
    }
    StartTime(Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A value, or `-`. Control bytes are escaped, so that a value cannot end the line.
fn put(out: &mut Vec<u8>, value: Option<&[u8]>) {
    for &byte in value.unwrap_or(b"-") {
        if byte < 0x20 || byte == 0x7f {
            let _ = write!(out, "\\x{byte:02x}");
        } else {
            out.push(byte);
        }
    }
}

fn quoted(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(b'"');
    put(out, value);
    out.extend_from_slice(b"\" ");
}

fn put_display(out: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => {
            let _ = write!(out, "{value}");
        }
        None => out.push(b'-'),
    }
}

fn key(out: &mut Vec<u8>, key: &str, before: &[u8]) {
    out.extend_from_slice(before);
    let _ = write!(out, "\"{key}\":");
}

fn string(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    key(out, name, b",");
    match value.map(String::from_utf8_lossy) {
        // A string always serializes, and the Vec takes all of it.
        Some(value) => drop(serde_json::to_writer(out, &value)),
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name, b",");
    let _ = write!(out, "{value}");
}

/// A value whose text needs no escaping, as a string.
fn display(out: &mut Vec<u8>, name: &str, value: Option<impl std::fmt::Display>) {
    key(out, name, b",");
    let _ = match value {
        Some(value) => write!(out, "\"{value}\""),
        None => write!(out, "null"),
    };
}
