//! A record to a line, by the format of its log (reference: Istio §3.3; Envoy's substitution
//! formatter).

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use gatehouse_config::model::{
    AccessLog, AddressPart, LogFormat, LogJson, LogOperator, LogPiece, LogTemplate,
};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::observe::access_log::record::{Record, Text};

/// Appends the line of a record, line feed included.
pub(super) fn format(out: &mut Vec<u8>, record: &Record, log: &AccessLog) {
    match &log.format {
        LogFormat::Text(template) => text(out, record, template, log.omit_empty),
        LogFormat::Json(value) => {
            json(out, record, value, log.omit_empty);
            out.push(b'\n');
        }
    }
}

fn text(out: &mut Vec<u8>, record: &Record, template: &LogTemplate, omit_empty: bool) {
    let mut value = Vec::new();
    for piece in &template.pieces {
        match piece {
            LogPiece::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
            LogPiece::Operator {
                operator,
                max_length,
            } => {
                value.clear();
                match write(&mut value, record, operator) {
                    Written::Nothing if omit_empty => {}
                    Written::Nothing => out.push(b'-'),
                    Written::Number | Written::Text => put(out, shortened(&value, *max_length)),
                }
            }
        }
    }
}

/// Numbers are numbers, texts strings, and what is missing `null` or left out, as Envoy's JSON has
/// it; what is mixed of several pieces is text.
fn json(out: &mut Vec<u8>, record: &Record, value: &LogJson, omit_empty: bool) {
    match value {
        LogJson::Object(entries) => {
            out.push(b'{');
            let mut first = true;
            for (key, value) in entries {
                if omit_empty && is_nothing(record, value) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                string(out, key.as_bytes());
                out.push(b':');
                json(out, record, value, omit_empty);
            }
            out.push(b'}');
        }
        LogJson::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(out, record, item, omit_empty);
            }
            out.push(b']');
        }
        LogJson::Text(template) => json_text(out, record, template, omit_empty),
        // A value that was read as JSON can be written as JSON.
        LogJson::Fixed(value) => drop(serde_json::to_writer(out, value)),
    }
}

fn json_text(out: &mut Vec<u8>, record: &Record, template: &LogTemplate, omit_empty: bool) {
    let mut value = Vec::new();
    if let [
        LogPiece::Operator {
            operator,
            max_length,
        },
    ] = template.pieces.as_slice()
    {
        match write(&mut value, record, operator) {
            Written::Nothing => out.extend_from_slice(b"null"),
            Written::Number => out.extend_from_slice(&value),
            Written::Text => string(out, shortened(&value, *max_length)),
        }
    } else {
        text(&mut value, record, template, omit_empty);
        string(out, &value);
    }
}

fn is_nothing(record: &Record, value: &LogJson) -> bool {
    let LogJson::Text(template) = value else {
        return false;
    };
    let [LogPiece::Operator { operator, .. }] = template.pieces.as_slice() else {
        return false;
    };
    matches!(write(&mut Vec::new(), record, operator), Written::Nothing)
}

/// What an operator came to.
enum Written {
    Nothing,
    Number,
    Text,
}

fn write(out: &mut Vec<u8>, record: &Record, operator: &LogOperator) -> Written {
    match operator {
        LogOperator::StartTime(format) => {
            start_time(out, record.started_at, format.as_deref());
            Written::Text
        }
        LogOperator::Request { name, otherwise } => {
            let otherwise = || record.request(otherwise.as_ref()?);
            bytes(out, record.request(name).or_else(otherwise))
        }
        LogOperator::Response { name, otherwise } => {
            if name.as_str() == "x-envoy-upstream-service-time"
                && let Some(time) = record.upstream_service_time
            {
                display(out, millis(time));
                return Written::Text;
            }
            let otherwise = || record.response(otherwise.as_ref()?);
            bytes(out, record.response(name).or_else(otherwise))
        }
        LogOperator::Protocol => bytes(
            out,
            Some(record.protocol.as_bytes()).filter(|p| !p.is_empty()),
        ),
        LogOperator::ResponseCode => number(out, u64::from(record.status)),
        LogOperator::ResponseCodeDetails => bytes(out, record.text(Text::Details)),
        LogOperator::ResponseFlags => {
            display(out, record.flags);
            Written::Text
        }
        LogOperator::TerminationDetails => bytes(out, record.text(Text::TerminationDetails)),
        LogOperator::TransportFailure => bytes(out, record.text(Text::TransportFailure)),
        LogOperator::DownstreamTransportFailure => bytes(out, record.text(Text::DownstreamFailure)),
        LogOperator::BytesReceived => number(out, record.received),
        LogOperator::BytesSent => number(out, record.sent),
        LogOperator::Duration => number(out, millis(record.duration)),
        LogOperator::UpstreamHost => match &record.endpoint {
            Some(endpoint) => {
                display(out, endpoint);
                Written::Text
            }
            None => Written::Nothing,
        },
        LogOperator::UpstreamCluster { raw } => {
            let written = bytes(out, record.text(Text::Cluster));
            if matches!(written, Written::Text) && !raw {
                out.push(b';');
            }
            written
        }
        LogOperator::UpstreamLocal(part) => address(out, record.upstream_local, *part),
        LogOperator::DownstreamLocal(part) => address(out, Some(record.local), *part),
        LogOperator::DownstreamRemote(part) => address(out, Some(record.peer), *part),
        LogOperator::RouteName => bytes(out, record.text(Text::RouteName)),
        LogOperator::AttemptCount => number(out, u64::from(record.attempts)),
        LogOperator::Tls(fact) => bytes(out, record.tls(*fact)),
        LogOperator::Absent => Written::Nothing,
    }
}

/// `%START_TIME%`: `2026-08-22T12:00:00.000Z`, or as a format of strftime says.
fn start_time(out: &mut Vec<u8>, time: SystemTime, format: Option<&str>) {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    let formatted = format.and_then(|format| {
        let zoned = time.to_zoned(TimeZone::UTC);
        strtime::format(format, &zoned).ok()
    });
    match formatted {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => display(out, format_args!("{time:.3}")),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bytes(out: &mut Vec<u8>, value: Option<&[u8]>) -> Written {
    match value {
        Some(value) => {
            out.extend_from_slice(value);
            Written::Text
        }
        None => Written::Nothing,
    }
}

fn number(out: &mut Vec<u8>, value: u64) -> Written {
    display(out, value);
    Written::Number
}

fn address(out: &mut Vec<u8>, address: Option<SocketAddr>, part: AddressPart) -> Written {
    let Some(address) = address else {
        return Written::Nothing;
    };
    match part {
        AddressPart::Whole => display(out, address),
        AddressPart::Ip => display(out, address.ip()),
        AddressPart::Port => return number(out, u64::from(address.port())),
    }
    Written::Text
}

fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{value}");
}

fn shortened(value: &[u8], max_length: Option<usize>) -> &[u8] {
    let length = max_length.unwrap_or(usize::MAX).min(value.len());
    value.get(..length).unwrap_or(value)
}

/// Control bytes are escaped, so that a value cannot end the line.
fn put(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        if byte < 0x20 || byte == 0x7f {
            let _ = write!(out, "\\x{byte:02x}");
        } else {
            out.push(byte);
        }
    }
}

fn string(out: &mut Vec<u8>, value: &[u8]) {
    // A string always serializes, and the Vec takes all of it.
    drop(serde_json::to_writer(out, &String::from_utf8_lossy(value)));
}
